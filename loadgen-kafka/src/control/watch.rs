//! Who leads what and where logs begin, kept up to date while a run lasts.
//!
//! A thread of its own that asks the cluster when a worker doubts what it knows, and at most so
//! often. It must never hold a worker up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ask::passing;
use super::{Control, Offset};
use crate::cluster::Topic;
use crate::spec::Isolation;

/// How often doubts are looked for, and so the shortest time between two questions.
const PERIOD: Duration = Duration::from_millis(100);

/// So long after a doubt the cluster is asked again and again: for seconds it names the leader that
/// has just died, and nobody who waits for a connection has a reason to doubt anew.
const LINGER: Duration = Duration::from_secs(15);

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
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let watch = move || {
            let mut doubted: Option<Instant> = None;
            while !seen.load(Ordering::Acquire) {
                std::thread::park_timeout(PERIOD);
                if topic.take_doubt() {
                    doubted = Some(Instant::now());
                }
                let open = doubted.is_some_and(|at| at.elapsed() < LINGER);
                if open && !seen.load(Ordering::Acquire) {
                    look(&mut control, &topic);
                    if topic.take_want() {
                        starts(&mut control, &topic);
                    }
                }
            }
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

/// One question. Without an answer the doubt stays.
fn look(control: &mut Control, topic: &Topic) {
    match control.leaders(&topic.name) {
        Ok(Some(leaders)) => {
            for (at, partition) in topic.partitions.iter().enumerate() {
                let leader = leaders.iter().find(|(index, _)| *index == partition.index);
                let leader = leader.and_then(|(_, leader)| *leader);
                topic.learn(at, leader);
                if leader.is_none() {
                    topic.doubt();
                }
            }
        }
        Ok(None) => topic.doubt(),
        Err(error) if passing(&error) => topic.doubt(),
        // What is refused for good will be refused again.
        Err(_) => {}
    }
}

/// Where logs begin. Without an answer it is asked for again: a leader may be missing for a while.
fn starts(control: &mut Control, topic: &Topic) {
    match control.offsets(topic, Offset::Earliest, Isolation::ReadUncommitted) {
        Ok(starts) => {
            for (at, start) in starts.into_iter().enumerate() {
                topic.learn_start(at, start);
            }
        }
        Err(_) => topic.want_starts(),
    }
}
