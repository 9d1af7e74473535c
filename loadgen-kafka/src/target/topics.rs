//! The topics there are, and how long each log is.
//!
//! A log is a number: where it ends. Records are made up when they are asked for, what is produced
//! only moves the end. Every count from a client is held against a limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::api::code;

/// Topics and, over all of them, partitions there can be.
pub(super) const TOPICS_MAX: usize = 10_000;
pub(super) const PARTITIONS_MAX: usize = 100_000;

/// The longest name (Kafka's `Topic.MAX_NAME_LENGTH`).
const NAME_MAX: usize = 249;

/// The end of a log that was asked to have none: years at any rate, exact in every JSON reader.
pub(super) const ENDLESS: i64 = 1 << 53;

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    ends: Vec<AtomicI64>,
}

impl Topic {
    pub(super) fn partitions(&self) -> usize {
        self.ends.len()
    }

    /// Where the log of a partition ends; `None`: there is no such partition.
    pub(super) fn end(&self, partition: i32) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        // In one order with what a bell is rung for: see `Hall::ring`.
        self.ends
            .get(partition)
            .map(|end| end.load(Ordering::SeqCst))
    }

    /// Appends so many records; the offset of the first.
    pub(super) fn append(&self, partition: i32, records: i64) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        let end = self.ends.get(partition)?;
        Some(end.fetch_add(records, Ordering::SeqCst))
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Topics {
    map: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Changes with every topic that comes or goes.
    generation: AtomicU64,
    /// Partitions of a topic that does not say, and records of a new log.
    partitions: usize,
    records: i64,
}

impl Topics {
    pub(super) fn new(partitions: usize, records: Option<u64>) -> Self {
        let records = records.and_then(|records| i64::try_from(records).ok());
        Self {
            map: RwLock::default(),
            generation: AtomicU64::new(0),
            partitions: partitions.clamp(1, PARTITIONS_MAX),
            records: records.map_or(ENDLESS, |records| records.min(ENDLESS)),
        }
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Arc<Topic>> {
        let name = std::str::from_utf8(name).ok()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(name).cloned()
    }

    /// All, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.values().cloned().collect()
    }

    /// Makes a topic; `None` partitions: as many as is usual here. `judge_only` changes nothing.
    pub(super) fn create(
        &self,
        name: &str,
        partitions: Option<i32>,
        judge_only: bool,
    ) -> Result<Arc<Topic>, (i16, String)> {
        if let Some(why) = wrong_name(name) {
            return Err((code::INVALID_TOPIC, why));
        }
        let count = partitions.map_or(Some(self.partitions), |n| usize::try_from(n).ok());
        let count = count.filter(|n| (1..=PARTITIONS_MAX).contains(n));
        let Some(count) = count else {
            let asked = partitions.unwrap_or_default();
            return Err((
                code::INVALID_PARTITIONS,
                format!("a topic has 1 to {PARTITIONS_MAX} partitions, {asked} were asked for"),
            ));
        };
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if map.contains_key(name) {
            let why = format!("topic {name} is there already");
            return Err((code::TOPIC_ALREADY_EXISTS, why));
        }
        let others: usize = map.values().map(|topic| topic.partitions()).sum();
        if map.len() >= TOPICS_MAX || others + count > PARTITIONS_MAX {
            return Err((
                code::POLICY_VIOLATION,
                format!(
                    "{} topics with {others} partitions are here, at most {TOPICS_MAX} with \
                     {PARTITIONS_MAX} can be",
                    map.len()
                ),
            ));
        }
        let topic = Arc::new(Topic {
            name: name.to_owned(),
            ends: (0..count).map(|_| AtomicI64::new(self.records)).collect(),
        });
        if !judge_only {
            map.insert(name.to_owned(), Arc::clone(&topic));
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(topic)
    }

    /// Whether there was such a topic.
    pub(super) fn delete(&self, name: &str) -> bool {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let was = map.remove(name).is_some();
        if was {
            self.generation.fetch_add(1, Ordering::Release);
        }
        was
    }
}

fn wrong_name(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_MAX {
        Some(format!(
            "a topic's name has 1 to {NAME_MAX} characters, this one {}",
            name.len()
        ))
    } else if name == "." || name == ".." || !name.chars().all(legal) {
        Some(format!(
            "{name:?} is no topic's name: letters, digits, '.', '_' and '-' only"
        ))
    } else {
        None
    }
}

/// Topics that a connection asked for lately: no lock is taken for them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    generation: u64,
    topics: Vec<Arc<Topic>>,
}

/// Topics a connection remembers.
const RECENT: usize = 32;

impl Recent {
    pub(super) fn find(&mut self, name: &[u8], all: &Topics) -> Option<Arc<Topic>> {
        let generation = all.generation.load(Ordering::Acquire);
        if self.generation != generation {
            self.topics.clear();
            self.generation = generation;
        }
        let known = self.topics.iter().find(|t| t.name.as_bytes() == name);
        if let Some(topic) = known {
            return Some(Arc::clone(topic));
        }
        let topic = all.find(name)?;
        if self.topics.len() == RECENT {
            self.topics.remove(0);
        }
        self.topics.push(Arc::clone(&topic));
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_and_go_within_limits() {
        let topics = Topics::new(4, Some(10));
        let made = topics.create("a", None, false).unwrap();
        assert_eq!(
            (made.partitions(), made.end(3), made.end(4)),
            (4, Some(10), None)
        );
        assert_eq!((made.end(-1), made.append(-1, 1)), (None, None));
        assert_eq!((made.append(0, 5), made.end(0)), (Some(10), Some(15)));
        let refused = |name: &str, n| topics.create(name, n, false).unwrap_err().0;
        assert_eq!(refused("a", None), code::TOPIC_ALREADY_EXISTS);
        assert_eq!(refused("b", Some(0)), code::INVALID_PARTITIONS);
        assert_eq!(refused("b", Some(i32::MAX)), code::INVALID_PARTITIONS);
        assert_eq!(refused("b", Some(99_999)), code::POLICY_VIOLATION);
        for name in ["", ".", "..", "a b", "ü", &"x".repeat(250)] {
            assert_eq!(refused(name, None), code::INVALID_TOPIC, "{name}");
        }
        assert!(topics.create("b", Some(1), true).is_ok());
        assert!(topics.find(b"b").is_none(), "only judged");
        assert!(topics.delete("a") && !topics.delete("a"));
    }

    #[test]
    fn a_memory_of_topics_does_not_outlive_them() {
        let topics = Topics::new(1, None);
        let first = topics.create("a", None, false).unwrap();
        let mut recent = Recent::default();
        assert!(Arc::ptr_eq(&recent.find(b"a", &topics).unwrap(), &first));
        topics.delete("a");
        assert!(recent.find(b"a", &topics).is_none());
        let second = topics.create("a", Some(7), false).unwrap();
        assert!(Arc::ptr_eq(&recent.find(b"a", &topics).unwrap(), &second));
        assert_eq!(second.end(6), Some(ENDLESS));
        for i in 0..2 * RECENT {
            let name = format!("t{i}");
            topics.create(&name, None, false).unwrap();
            assert!(recent.find(name.as_bytes(), &topics).is_some());
        }
        assert!(recent.topics.len() <= RECENT);
    }
}
