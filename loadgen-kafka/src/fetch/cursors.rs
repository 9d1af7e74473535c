//! Where reading is: shared by all workers, so that whoever is at a leader can read on.
//!
//! A cursor is claimed by the fetch that reads at it and moves only when the whole reply has come: no
//! record is counted twice, none is lost, whatever becomes of a connection. Nothing here may block.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::cluster::Topic;
use crate::spec::Until;
use crate::walk::Counts;

/// Beyond its log's end a cursor is asked for again so often before it is given up: a leader that has
/// just changed may be behind. Each time costs an answer of the cluster, 50 ms at least.
const REFUSALS_MAX: u32 = 40;

/// One place in one partition.
#[derive(Debug)]
struct Cursor {
    /// A position in the topic's partitions.
    partition: usize,
    claimed: AtomicBool,
    over: AtomicBool,
    next: AtomicI64,
    /// What the broker said last of the log's end.
    high_watermark: AtomicI64,
    /// How often it went through the whole range.
    rounds: AtomicU64,
    /// Times in a row that it was beyond the log's end.
    refusals: AtomicU32,
}

/// What was read of a partition by all of its cursors.
#[derive(Debug)]
struct Read {
    records: AtomicU64,
    first: AtomicI64,
    behind: AtomicI64,
}

/// A cursor in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub cursor: usize,
    /// The partition's position.
    pub partition: usize,
    /// Where it reads.
    pub offset: i64,
    /// Nothing is known to be there yet.
    pub at_end: bool,
}

/// All cursors of a run.
#[derive(Debug)]
pub struct Cursors {
    cursors: Vec<Cursor>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    until: Until,
    read: Vec<Read>,
    /// Records so far, and how many are wanted.
    records: AtomicU64,
    wanted: u64,
    /// Cursors that are over.
    over: AtomicUsize,
}

impl Cursors {
    /// `starts` and `ends` by the partition's position; in a replay `copies` cursors go through each
    /// partition at the same time.
    #[must_use]
    pub fn new(
        starts: Vec<i64>,
        ends: Vec<i64>,
        until: Until,
        copies: usize,
        wanted: Option<u64>,
    ) -> Self {
        let copies = if until == Until::Replay {
            copies.max(1)
        } else {
            1
        };
        let cursor = |partition: usize| Cursor {
            partition,
            claimed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            next: AtomicI64::new(starts[partition]),
            high_watermark: AtomicI64::new(ends[partition]),
            rounds: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
        };
        let read = |_| Read {
            records: AtomicU64::new(0),
            first: AtomicI64::new(i64::MAX),
            behind: AtomicI64::new(-1),
        };
        let count = starts.len().min(ends.len());
        Self {
            cursors: (0..copies).flat_map(|_| (0..count).map(cursor)).collect(),
            read: (0..count).map(read).collect(),
            starts,
            ends,
            until,
            records: AtomicU64::new(0),
            wanted: wanted.unwrap_or(u64::MAX),
            over: AtomicUsize::new(0),
        }
    }

    /// Whether nothing is left to read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) >= self.cursors.len()
            || self.records.load(Ordering::Relaxed) >= self.wanted
    }

    /// How many cursors have their leader at `route`.
    fn at(&self, topic: &Topic, route: usize) -> usize {
        let here = |c: &&Cursor| {
            !c.over.load(Ordering::Relaxed) && topic.leader(c.partition) == Some(route)
        };
        self.cursors.iter().filter(here).count()
    }

    /// Claims a fair part of the free cursors whose leader is at `route`, for one of `slots` fetches
    /// there; from the `from`th on, so that none waits for ever.
    pub fn claim(&self, topic: &Topic, route: usize, slots: u32, from: u64, into: &mut Vec<Claim>) {
        let share = self.at(topic, route).div_ceil(slots.max(1) as usize);
        let count = self.cursors.len();
        for step in 0..count {
            if into.len() >= share {
                return;
            }
            let at = (from as usize).wrapping_add(step) % count;
            let cursor = &self.cursors[at];
            // A request names a partition once.
            let named = |claim: &Claim| claim.partition == cursor.partition;
            let wanted = !cursor.over.load(Ordering::Relaxed)
                && !into.iter().any(named)
                && !cursor.claimed.load(Ordering::Relaxed)
                && topic.leader(cursor.partition) == Some(route);
            if !wanted || cursor.claimed.swap(true, Ordering::Acquire) {
                continue;
            }
            let offset = cursor.next.load(Ordering::Relaxed);
            into.push(Claim {
                cursor: at,
                partition: cursor.partition,
                offset,
                at_end: offset >= cursor.high_watermark.load(Ordering::Relaxed),
            });
        }
    }

    /// A claim came to nothing: somebody else may read there.
    pub fn release(&self, claim: &Claim) {
        self.cursors[claim.cursor]
            .claimed
            .store(false, Ordering::Release);
    }

    /// The reply to a claim came whole. `high_watermark`: negative where it is not known.
    pub fn advance(&self, claim: &Claim, counts: &Counts, high_watermark: i64) {
        let cursor = &self.cursors[claim.cursor];
        if high_watermark >= 0 {
            cursor
                .high_watermark
                .store(high_watermark, Ordering::Relaxed);
        }
        cursor.refusals.store(0, Ordering::Relaxed);
        let read = &self.read[claim.partition];
        read.records.fetch_add(counts.records, Ordering::Relaxed);
        if let Some(first) = counts.first_offset {
            read.first.fetch_min(first, Ordering::Relaxed);
            read.behind.fetch_max(counts.next_offset, Ordering::Relaxed);
        }
        self.records.fetch_add(counts.records, Ordering::Relaxed);
        self.move_to(claim, counts.next_offset.max(claim.offset));
    }

    /// Goes on at `offset`.
    pub fn move_to(&self, claim: &Claim, offset: i64) {
        let cursor = &self.cursors[claim.cursor];
        let mut next = offset;
        if next >= self.ends[claim.partition] {
            match self.until {
                Until::Follow => {}
                Until::End => self.end(cursor),
                Until::Replay => {
                    next = self.starts[claim.partition];
                    cursor.rounds.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        cursor.next.store(next, Ordering::Relaxed);
        self.release(claim);
    }

    /// The log begins at `start` now, behind where reading was. Says how many offsets that cost; in
    /// a replay nothing is left to read when the whole range is gone.
    pub fn jump(&self, claim: &Claim, start: i64) -> u64 {
        let end = self.ends[claim.partition];
        if self.until == Until::Replay && start >= end {
            self.give_up(claim);
        } else {
            self.move_to(claim, start);
        }
        let to = if self.until == Until::Follow {
            start
        } else {
            start.min(end)
        };
        to.saturating_sub(claim.offset).max(0).unsigned_abs()
    }

    /// There is no such offset, and the log does not begin behind it. Whether that was so often
    /// enough to believe it; otherwise it may be asked for again.
    pub fn beyond_end(&self, claim: &Claim) -> bool {
        let refusals = &self.cursors[claim.cursor].refusals;
        if refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS_MAX {
            self.give_up(claim);
            return true;
        }
        self.release(claim);
        false
    }

    /// Nothing can be read there any more.
    pub fn give_up(&self, claim: &Claim) {
        self.end(&self.cursors[claim.cursor]);
        self.release(claim);
    }

    fn end(&self, cursor: &Cursor) {
        if !cursor.over.swap(true, Ordering::Relaxed) {
            self.over.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Rows for the document: what was read of each partition.
    #[must_use]
    pub fn rows(&self, topic: &Topic) -> Value {
        let row = |(at, read): (usize, &Read)| {
            let mut of_it = self.cursors.iter().filter(|c| c.partition == at);
            let rounds: u64 = (of_it.clone().map(|c| c.rounds.load(Ordering::Relaxed))).sum();
            // In a replay each of several is somewhere.
            let only = of_it.next().filter(|_| self.until != Until::Replay);
            let position = only.map(|c| c.next.load(Ordering::Relaxed));
            let records = read.records.load(Ordering::Relaxed);
            let first = read.first.load(Ordering::Relaxed);
            json!({
                "partition": topic.partitions[at].index,
                "start_offset": self.starts[at],
                "end_offset": self.ends[at],
                "records": records,
                "first_offset": (first != i64::MAX).then_some(first),
                "next_offset": (records > 0).then(|| read.behind.load(Ordering::Relaxed)),
                "position": position,
                "rounds": rounds,
            })
        };
        self.read.iter().enumerate().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Broker;

    fn topic(leaders: &[i32]) -> Topic {
        let broker = |node| Broker {
            node,
            name: format!("b{node}:1"),
        };
        let partitions: Vec<_> = (0..)
            .zip(leaders)
            .map(|(i, l)| (i, Some((*l, 0))))
            .collect();
        Topic::new("t".into(), vec![broker(0), broker(1)], &partitions)
    }

    fn claimed(cursors: &Cursors, topic: &Topic, route: usize, slots: u32) -> Vec<Claim> {
        let mut claims = Vec::new();
        cursors.claim(topic, route, slots, 0, &mut claims);
        claims
    }

    fn counts(records: u64, next_offset: i64) -> Counts {
        Counts {
            records,
            next_offset,
            first_offset: (records > 0).then_some(next_offset - records as i64),
            ..Counts::default()
        }
    }

    #[test]
    fn each_is_read_once_at_a_time_where_its_leader_is() {
        let topic = topic(&[0, 1, 0, 0]);
        let cursors = Cursors::new(vec![0; 4], vec![10; 4], Until::End, 9, None);
        let at = |claims: &[Claim]| claims.iter().map(|c| c.partition).collect::<Vec<_>>();
        let first = claimed(&cursors, &topic, 0, 2);
        let second = claimed(&cursors, &topic, 0, 2);
        assert_eq!((at(&first), at(&second)), (vec![0, 2], vec![3]));
        assert!(claimed(&cursors, &topic, 0, 2).is_empty());
        assert_eq!(at(&claimed(&cursors, &topic, 1, 2)), [1]);
        // A lost one is read again from where it was; its leader may be elsewhere then.
        cursors.release(&first[0]);
        topic.learn(0, Some((1, 1)));
        assert_eq!(claimed(&cursors, &topic, 1, 1), [first[0]]);
        cursors.advance(&first[1], &counts(10, 10), 10);
        cursors.advance(&second[0], &counts(4, 4), 10);
        assert!(!cursors.is_over());
        let again = claimed(&cursors, &topic, 0, 1);
        assert_eq!((at(&again), again[0].offset), (vec![3], 4));
        let rows = cursors.rows(&topic);
        assert_eq!(
            (&rows[2]["records"], &rows[2]["next_offset"]),
            (&10.into(), &10.into())
        );
        assert_eq!(
            (&rows[2]["position"], &rows[3]["position"]),
            (&10.into(), &4.into())
        );
    }

    #[test]
    fn the_end_the_number_and_the_next_round() {
        let topic = topic(&[0]);
        let one = |until, wanted| {
            let cursors = Cursors::new(vec![5], vec![10], until, 2, wanted);
            // A request names a partition once: the second cursor waits for the next one.
            let mut claims = claimed(&cursors, &topic, 0, 1);
            claims.extend(claimed(&cursors, &topic, 0, 1));
            for claim in &claims {
                cursors.advance(claim, &counts(5, 10), 10);
            }
            (
                cursors.is_over(),
                claims.len(),
                claimed(&cursors, &topic, 0, 9),
            )
        };
        assert_eq!(one(Until::End, None), (true, 1, vec![]));
        let (over, claims, next) = one(Until::Follow, None);
        assert!(!over && claims == 1 && next[0].at_end && next[0].offset == 10);
        let (over, claims, next) = one(Until::Replay, None);
        assert!(!over && claims == 2 && !next[0].at_end && next[0].offset == 5);
        assert!(one(Until::Replay, Some(10)).0 && !one(Until::Replay, Some(11)).0);
    }
}
