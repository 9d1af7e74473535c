//! Who leads what and where logs begin, kept up to date while a run lasts.
//!
//! A thread of its own that asks the cluster when a worker doubts what it knows, and at most so
//! often. It must never hold a worker up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::link::Patience;
use super::{Control, Offset};
use crate::cluster::Topic;
use crate::spec::Isolation;

/// How often doubts are looked for, and so the shortest time between two questions.
const PERIOD: Duration = Duration::from_millis(100);

/// The longest time between two questions while nobody answers them.
const PERIOD_MAX: Duration = Duration::from_secs(1);

/// So long after a doubt the cluster is asked again and again: for seconds it names the leader that
/// has just died, and nobody who waits for a connection has a reason to doubt anew.
const LINGER: Duration = Duration::from_secs(15);

/// How long one broker may take: a mute one must not keep the others from saying who leads now.
const EACH: Duration = Duration::from_secs(2);

/// A partition that has had no leader for so long is not waited for any more. A broker that restarts
/// and recovers its log is back by then; one that is not may never be.
const LEADERLESS_MAX: Duration = Duration::from_secs(60);

/// Since when partitions have had no leader that a connection of the run can go to.
#[derive(Debug)]
pub(crate) struct Missing {
    max: Duration,
    /// By the partition's position, on the clock of whoever looks.
    since: Vec<Option<Duration>>,
}

impl Missing {
    /// For the partitions of `topic`; `max`: for how long they are waited for.
    pub(crate) fn new(topic: &Topic, max: Duration) -> Self {
        let since = vec![None; topic.partitions.len()];
        Self { max, since }
    }

    /// The cluster answered; `there`: it has the topic. Partitions that were missing for too long are
    /// lost.
    pub(crate) fn look(&mut self, topic: &Topic, there: bool, now: Duration) {
        for (at, since) in self.since.iter_mut().enumerate() {
            if there && topic.leader(at).is_some() {
                *since = None;
            } else if now.saturating_sub(*since.get_or_insert(now)) >= self.max {
                topic.lose(at);
            }
        }
    }

    /// Nobody answered: that says nothing of leaders, and whoever is back needs time again.
    fn forget(&mut self) {
        self.since.fill(None);
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Control>>,
}

impl Watcher {
    /// Watches over the leaders of `topic`.
    #[must_use]
    pub fn start(mut control: Control, topic: Arc<Topic>) -> Self {
        if (0..topic.partitions.len()).any(|at| topic.leader(at).is_none()) {
            topic.doubt();
        }
        let over = Arc::new(AtomicBool::new(false));
        let hasty = Patience {
            each: EACH.min(control.patience.each),
            over: Arc::clone(&over),
        };
        let watch = move || {
            let usual = std::mem::replace(&mut control.patience, hasty);
            watch(&mut control, &topic);
            control.patience = usual;
            control
        };
        let thread = std::thread::Builder::new()
            .name("leaders".into())
            .spawn(watch)
            .ok();
        Self { over, thread }
    }

    /// Ends it and gives back what it asked with; `None` when the thread could not be made or broke.
    #[must_use]
    pub fn stop(mut self) -> Option<Control> {
        self.end()
    }

    fn end(&mut self) -> Option<Control> {
        self.over.store(true, Ordering::Release);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn watch(control: &mut Control, topic: &Topic) {
    let mut missing = (Missing::new(topic, LEADERLESS_MAX), Instant::now());
    let mut doubted: Option<Instant> = None;
    let mut period = PERIOD;
    while !control.patience.is_over() {
        std::thread::park_timeout(period);
        if topic.take_doubt() {
            doubted = Some(Instant::now());
        }
        if doubted.is_none_or(|at| at.elapsed() >= LINGER) {
            continue;
        }
        if look(control, topic, &mut missing) {
            period = PERIOD;
        } else {
            // What is not answered stays doubtful, for as long as it takes.
            topic.doubt();
            period = (period * 2).min(PERIOD_MAX);
        }
        if !control.patience.is_over() && topic.take_want() {
            starts(control, topic);
        }
    }
}

/// One question; whether it was answered. A partition without a leader stays doubtful.
fn look(control: &mut Control, topic: &Topic, missing: &mut (Missing, Instant)) -> bool {
    if control.patience.is_over() {
        return false;
    }
    let (missing, begun) = missing;
    let Ok(there) = control.learn_leaders(topic) else {
        missing.forget();
        return false;
    };
    missing.look(topic, there, begun.elapsed());
    let awaited = |at| topic.leader(at).is_none() && !topic.is_lost(at);
    if there && (0..topic.partitions.len()).any(awaited) {
        topic.doubt();
    }
    there
}

/// Where logs begin. Those that did not answer are asked again: a leader may be missing for a while.
fn starts(control: &mut Control, topic: &Topic) {
    let starts = control.offsets_there(topic, Offset::Earliest, Isolation::ReadUncommitted);
    for (at, start) in starts.into_iter().enumerate() {
        match start {
            Ok(start) => topic.learn_start(at, start),
            Err(_) if topic.is_lost(at) => {}
            Err(_) => topic.want_starts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Broker;

    #[test]
    fn a_partition_without_a_leader_is_lost_after_a_while() {
        let brokers = vec![Broker {
            node: 1,
            name: "b:1".to_owned(),
        }];
        let topic = Topic::new(
            "t".into(),
            brokers,
            &[(0, Some((1, 0))), (1, None), (2, None)],
        );
        let mut missing = Missing::new(&topic, Duration::from_secs(60));
        let lost = |topic: &Topic| [0, 1, 2].map(|at| topic.is_lost(at));
        let second = Duration::from_secs;
        missing.look(&topic, true, second(5));
        // One has a leader for a moment, and is waited for as long again.
        topic.learn(2, Some((1, 1)));
        missing.look(&topic, true, second(30));
        topic.learn(2, None);
        missing.look(&topic, true, second(64));
        assert_eq!(lost(&topic), [false; 3]);
        missing.look(&topic, true, second(65));
        assert_eq!(lost(&topic), [false, true, false]);
        // A cluster that does not answer says nothing of its leaders.
        missing.forget();
        missing.look(&topic, true, second(200));
        assert_eq!(lost(&topic), [false, true, false]);
        // The topic is gone: nobody leads anything, whoever did.
        missing.look(&topic, false, second(201));
        missing.look(&topic, false, second(261));
        assert_eq!(lost(&topic), [true; 3]);
        assert_eq!(topic.losses(), 3);
    }
}
