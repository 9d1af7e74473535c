//! What the workers of a run know of a topic, and share.
//!
//! Brokers are fixed when a run is planned (each is a route); who leads a partition moves. Workers
//! read leaders without a lock and say when they doubt them; `control` asks the cluster and writes
//! the answer. Nothing here may talk to anybody.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// A broker: the route of the same position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `node_id`.
    pub node: i32,
    /// What it advertises: `HOST:PORT`.
    pub name: String,
}

const NOBODY: u32 = u32::MAX;

const fn known(route: u32) -> Option<usize> {
    match route {
        NOBODY => None,
        route => Some(route as usize),
    }
}

/// A partition of the topic.
#[derive(Debug)]
pub struct Partition {
    /// Kafka's number of it.
    pub index: i32,
    leader: AtomicU32,
    /// Who led it last.
    last: AtomicU32,
    epoch: AtomicI32,
    /// Where its log begins, as the cluster said last; taken once.
    start: AtomicI64,
    /// Nobody could lead it here for so long that nobody waits any more.
    lost: AtomicBool,
    /// The node that leads it, where that is none of the brokers of the run.
    stranger: AtomicI32,
}

const NOT_SAID: i64 = -1;

/// A topic as the workers see it.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// All brokers of the cluster, as they were at the start.
    pub brokers: Vec<Broker>,
    /// Those that take part in the run, in ascending order of their index.
    pub partitions: Vec<Partition>,
    doubted: AtomicBool,
    starts_wanted: AtomicBool,
    moves: AtomicU64,
    losses: AtomicU64,
}

impl Topic {
    /// `partitions`: index and the leader's node id and epoch, if it has one.
    #[must_use]
    pub fn new(
        name: String,
        brokers: Vec<Broker>,
        partitions: &[(i32, Option<(i32, i32)>)],
    ) -> Self {
        let topic = Self {
            name,
            brokers,
            partitions: partitions
                .iter()
                .map(|(index, _)| Partition {
                    index: *index,
                    leader: AtomicU32::new(NOBODY),
                    last: AtomicU32::new(NOBODY),
                    epoch: AtomicI32::new(-1),
                    start: AtomicI64::new(NOT_SAID),
                    lost: AtomicBool::new(false),
                    stranger: AtomicI32::new(-1),
                })
                .collect(),
            doubted: AtomicBool::new(false),
            starts_wanted: AtomicBool::new(false),
            moves: AtomicU64::new(0),
            losses: AtomicU64::new(0),
        };
        for (at, (_, leader)) in partitions.iter().enumerate() {
            topic.learn(at, *leader);
        }
        topic.moves.store(0, Ordering::Relaxed);
        topic
    }

    /// The route to the leader of the partition at position `at`; `None` while there is none.
    #[must_use]
    #[inline]
    pub fn leader(&self, at: usize) -> Option<usize> {
        known(self.partitions[at].leader.load(Ordering::Acquire))
    }

    /// The same, and while there is none the route to the last one: what is due there waits until it
    /// is known who leads.
    #[must_use]
    pub fn last_leader(&self, at: usize) -> Option<usize> {
        known(self.partitions[at].last.load(Ordering::Acquire))
    }

    /// How many partitions are led at `route`.
    #[must_use]
    pub fn leads(&self, route: usize) -> usize {
        let partitions = 0..self.partitions.len();
        partitions
            .filter(|&at| self.leader(at) == Some(route))
            .count()
    }

    /// The leader's epoch; −1 where it is not known.
    #[must_use]
    #[inline]
    pub fn leader_epoch(&self, at: usize) -> i32 {
        self.partitions[at].epoch.load(Ordering::Relaxed)
    }

    /// Who leads the partition at position `at`: node id and epoch; `None`: nobody does now. An
    /// epoch older than the known one changes nothing, nor does a broker that came later than the
    /// run: no connection goes there.
    pub fn learn(&self, at: usize, leader: Option<(i32, i32)>) {
        let partition = &self.partitions[at];
        let route = leader.and_then(|(node, _)| self.brokers.iter().position(|b| b.node == node));
        let epoch = leader.map_or(-1, |(_, epoch)| epoch);
        if epoch >= 0 && epoch < partition.epoch.load(Ordering::Relaxed) {
            return;
        }
        if epoch >= 0 {
            partition.epoch.store(epoch, Ordering::Relaxed);
        }
        let stranger = leader
            .filter(|_| route.is_none())
            .map_or(-1, |(node, _)| node);
        partition.stranger.store(stranger, Ordering::Relaxed);
        let route = route.map_or(NOBODY, |route| route as u32);
        if route != NOBODY {
            partition.last.store(route, Ordering::Release);
        }
        if partition.leader.swap(route, Ordering::AcqRel) != route {
            self.moves.fetch_add(1, Ordering::Release);
        }
    }

    /// The partition at position `at` had no leader for too long: it is not waited for any more.
    pub fn lose(&self, at: usize) {
        if !self.partitions[at].lost.swap(true, Ordering::AcqRel) {
            self.losses.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether the partition at position `at` is not waited for any more.
    #[must_use]
    pub fn is_lost(&self, at: usize) -> bool {
        self.partitions[at].lost.load(Ordering::Acquire)
    }

    /// How many partitions are not waited for any more.
    #[must_use]
    #[inline]
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// How many partitions are led by a broker that came later than the run.
    #[must_use]
    pub fn led_by_strangers(&self) -> usize {
        let of_one = |p: &&Partition| p.stranger.load(Ordering::Relaxed) >= 0;
        self.partitions.iter().filter(of_one).count()
    }

    /// Something came that makes the leaders doubtful: the cluster should be asked.
    #[inline]
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    /// Whether somebody doubted since the last call.
    #[must_use]
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::AcqRel)
    }

    /// Somebody must know where logs begin: an offset is out of range, and brokers do not say the
    /// range with the error (`ReplicaManager.scala` answers −1 for it).
    pub fn want_starts(&self) {
        self.starts_wanted.store(true, Ordering::Release);
        self.doubt();
    }

    /// Whether somebody wanted the starts of logs since the last call.
    #[must_use]
    pub fn take_want(&self) -> bool {
        self.starts_wanted.swap(false, Ordering::AcqRel)
    }

    /// The log of the partition at position `at` begins at `offset` now.
    pub fn learn_start(&self, at: usize, offset: i64) {
        self.partitions[at].start.store(offset, Ordering::Release);
    }

    /// What was learned since the last call: an answer is used once, so that it is never older than
    /// the question by much.
    pub fn take_start(&self, at: usize) -> Option<i64> {
        let start = self.partitions[at].start.swap(NOT_SAID, Ordering::AcqRel);
        (start >= 0).then_some(start)
    }

    /// How many times a leader changed since the start.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_move_forward_only() {
        let broker = |node| Broker {
            node,
            name: format!("b{node}:9092"),
        };
        let topic = Topic::new(
            "t".into(),
            vec![broker(5), broker(3)],
            &[(0, Some((3, 2))), (1, None)],
        );
        assert_eq!((topic.leader(0), topic.leader(1)), (Some(1), None));
        assert_eq!(topic.moves(), 0);
        topic.learn(0, Some((5, 1)));
        assert_eq!(topic.leader(0), Some(1));
        topic.learn(0, Some((5, 3)));
        assert_eq!(
            (topic.leader(0), topic.leader_epoch(0), topic.moves()),
            (Some(0), 3, 1)
        );
        topic.learn(0, Some((77, 4)));
        assert_eq!((topic.leader(0), topic.last_leader(0)), (None, Some(0)));
        assert_eq!(topic.last_leader(1), None);
        assert_eq!(topic.led_by_strangers(), 1);
        topic.learn(0, Some((3, 4)));
        assert_eq!(topic.led_by_strangers(), 0);
        topic.lose(1);
        topic.lose(1);
        assert_eq!(
            (topic.losses(), topic.is_lost(0), topic.is_lost(1)),
            (1, false, true)
        );
        topic.doubt();
        assert!(topic.take_doubt() && !topic.take_doubt());
    }

    #[test]
    fn starts_are_asked_for_and_used_once() {
        let topic = Topic::new("t".into(), Vec::new(), &[(0, None), (1, None)]);
        assert_eq!(topic.take_start(1), None);
        topic.want_starts();
        assert!(topic.take_doubt() && topic.take_want() && !topic.take_want());
        topic.learn_start(1, 7);
        let taken = [0, 1, 1].map(|at| topic.take_start(at));
        assert_eq!(taken, [None, Some(7), None]);
    }
}
