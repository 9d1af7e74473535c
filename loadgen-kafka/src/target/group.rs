//! Consumer groups of one member, and the offsets they commit.
//!
//! A member is in as soon as it asks: nobody is waited for, so no join costs time. A second member
//! is refused while the first one's connection lives. Membership ends with the connection it was
//! asked for on; offsets stay. Counts from clients are held against limits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api::code;

/// Groups there can be, and offsets of one group.
const GROUPS_MAX: usize = 10_000;
const OFFSETS_MAX: usize = 100_000;

/// The only member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) metadata: Vec<u8>,
    pub(super) assignment: Vec<u8>,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
}

/// An offset that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) metadata: Option<String>,
}

#[derive(Debug, Default)]
struct Group {
    generation: i32,
    member: Option<Member>,
    offsets: HashMap<(String, i32), Committed>,
}

/// All of them. Nothing here is on a hot path.
#[derive(Debug, Default)]
pub(super) struct Groups {
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    groups: HashMap<String, Group>,
    /// Member ids given so far.
    given: u64,
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member joins, a new one with an empty id: the generation, and the member with its id.
    pub(super) fn join(&self, group: &str, mut member: Member) -> Result<(i32, Member), i16> {
        let mut map = self.lock();
        if map.groups.len() >= GROUPS_MAX && !map.groups.contains_key(group) {
            return Err(code::GROUP_MAX_SIZE_REACHED);
        }
        let next = map.given + 1;
        let known = map.groups.entry(group.to_owned()).or_default();
        match &known.member {
            Some(old) if old.id != member.id => return Err(code::GROUP_MAX_SIZE_REACHED),
            // An id of an earlier life: it is asked to come again without.
            None if !member.id.is_empty() => return Err(code::UNKNOWN_MEMBER_ID),
            _ => {}
        }
        let is_new = member.id.is_empty();
        if is_new {
            member.id = format!("member-{next}");
        }
        known.generation = known.generation.checked_add(1).unwrap_or(1);
        known.member = Some(member.clone());
        let generation = known.generation;
        if is_new {
            map.given = next;
        }
        Ok((generation, member))
    }

    /// The member brings its assignment, or asks for it again: it comes back with all about it.
    pub(super) fn sync(
        &self,
        group: &str,
        generation: i32,
        id: &str,
        assignment: Option<&[u8]>,
    ) -> Result<Member, i16> {
        let mut map = self.lock();
        let member = map.member(group, generation, id)?;
        if let Some(assignment) = assignment {
            member.assignment = assignment.to_vec();
        }
        Ok(member.clone())
    }

    /// Whether the member is still what it takes itself for: 0, or the code of an error.
    pub(super) fn heartbeat(&self, group: &str, generation: i32, id: &str) -> i16 {
        let found = self.lock().member(group, generation, id).map(|_| ());
        found.err().unwrap_or(code::NONE)
    }

    /// The member goes: 0, or the code of an error.
    pub(super) fn leave(&self, group: &str, id: &str) -> i16 {
        let mut map = self.lock();
        match map.groups.get_mut(group) {
            Some(known) if known.member.as_ref().is_some_and(|m| m.id == id) => {
                known.member = None;
                code::NONE
            }
            _ => code::UNKNOWN_MEMBER_ID,
        }
    }

    /// Whether such a member may commit: anybody may, outside a generation (a negative one).
    pub(super) fn may_commit(&self, group: &str, generation: i32, id: &str) -> i16 {
        if generation < 0 {
            code::NONE
        } else {
            self.heartbeat(group, generation, id)
        }
    }

    /// Keeps an offset: 0, or the code of an error.
    pub(super) fn commit(&self, group: &str, topic: &str, partition: i32, what: Committed) -> i16 {
        let mut map = self.lock();
        if map.groups.len() >= GROUPS_MAX && !map.groups.contains_key(group) {
            return code::POLICY_VIOLATION;
        }
        let known = map.groups.entry(group.to_owned()).or_default();
        let key = (topic.to_owned(), partition);
        if known.offsets.len() >= OFFSETS_MAX && !known.offsets.contains_key(&key) {
            return code::POLICY_VIOLATION;
        }
        known.offsets.insert(key, what);
        code::NONE
    }

    /// The offset that was kept, if any.
    pub(super) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        let map = self.lock();
        let known = map.groups.get(group)?;
        known.offsets.get(&(topic.to_owned(), partition)).cloned()
    }

    /// All offsets of a group, by topic and partition.
    pub(super) fn all_committed(&self, group: &str) -> Vec<(String, i32, Committed)> {
        let map = self.lock();
        let offsets = map.groups.get(group).map(|known| &known.offsets);
        let offsets = offsets.into_iter().flatten();
        let mut all: Vec<_> = offsets
            .map(|((topic, partition), what)| (topic.clone(), *partition, what.clone()))
            .collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }
}

impl Map {
    fn member(&mut self, group: &str, generation: i32, id: &str) -> Result<&mut Member, i16> {
        let known = self.groups.get_mut(group).ok_or(code::UNKNOWN_MEMBER_ID)?;
        let member = known.member.as_mut().filter(|member| member.id == id);
        let member = member.ok_or(code::UNKNOWN_MEMBER_ID)?;
        if known.generation == generation {
            Ok(member)
        } else {
            Err(code::ILLEGAL_GENERATION)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_joins_stays_and_goes() {
        let groups = Groups::default();
        let (first, member) = groups.join("g", Member::default()).unwrap();
        let second = groups.join("g", Member::default());
        assert_eq!(second, Err(code::GROUP_MAX_SIZE_REACHED));
        assert_eq!(groups.heartbeat("g", first, &member.id), code::NONE);
        let stale = groups.heartbeat("g", first + 1, &member.id);
        assert_eq!(stale, code::ILLEGAL_GENERATION);
        assert_eq!(groups.heartbeat("h", 1, "x"), code::UNKNOWN_MEMBER_ID);
        let synced = groups.sync("g", first, &member.id, Some(b"all")).unwrap();
        assert_eq!(synced.assignment, b"all");
        let again = groups.sync("g", first, &member.id, None).unwrap();
        assert_eq!(again.assignment, b"all");
        // It may come again, in a new generation.
        let (later, same) = groups.join("g", member.clone()).unwrap();
        assert_eq!((later, &same.id), (first + 1, &member.id));
        assert_eq!(groups.leave("g", "nobody"), code::UNKNOWN_MEMBER_ID);
        assert_eq!(groups.leave("g", &member.id), code::NONE);
        assert_eq!(groups.join("g", member), Err(code::UNKNOWN_MEMBER_ID));
        let (_, other) = groups.join("g", Member::default()).unwrap();
        assert_ne!(other.id, same.id);
    }

    #[test]
    fn offsets_outlive_their_member() {
        let groups = Groups::default();
        let what = |offset| Committed {
            offset,
            metadata: None,
        };
        assert_eq!(groups.committed("g", "t", 1), None);
        assert_eq!(groups.may_commit("g", -1, ""), code::NONE);
        assert_eq!(groups.may_commit("g", 1, "x"), code::UNKNOWN_MEMBER_ID);
        for offset in [7, 9] {
            assert_eq!(groups.commit("g", "t", 1, what(offset)), code::NONE);
        }
        assert_eq!(groups.commit("g", "s", 2, what(1)), code::NONE);
        assert_eq!(groups.committed("g", "t", 1), Some(what(9)));
        let all = groups.all_committed("g");
        assert_eq!(all, [("s".into(), 2, what(1)), ("t".into(), 1, what(9))]);
        assert!(groups.all_committed("h").is_empty());
    }
}
