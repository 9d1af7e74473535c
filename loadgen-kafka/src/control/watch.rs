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
        if look(control, topic) {
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
fn look(control: &mut Control, topic: &Topic) -> bool {
    let there = !control.patience.is_over() && control.learn_leaders(topic).unwrap_or(false);
    if there && (0..topic.partitions.len()).any(|at| topic.leader(at).is_none()) {
        topic.doubt();
    }
    there
}

/// Where logs begin. Without an answer it is asked for again: a leader may be missing for a while.
fn starts(control: &mut Control, topic: &Topic) {
    match control.offsets_now(topic, Offset::Earliest, Isolation::ReadUncommitted) {
        Ok(starts) => {
            for (at, start) in starts.into_iter().enumerate() {
                topic.learn_start(at, start);
            }
        }
        Err(_) => topic.want_starts(),
    }
}
