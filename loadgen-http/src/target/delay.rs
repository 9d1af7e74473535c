//! One timer thread that ends delays to within tens of microseconds.
//!
//! The timer of tokio ticks in milliseconds, too coarse for a law that a client is checked
//! against. Here a thread with a timer slack of 1 ns sleeps until shortly before the earliest
//! deadline and turns over the rest. It must never turn for longer than [`LEAD`] for one
//! deadline, and sleeps without end when there is none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long before a deadline the thread aims to wake up: what a sleep at a slack of 1 ns
/// oversleeps. The rest of it is spent turning.
const LEAD: Duration = Duration::from_micros(30);

#[derive(Debug)]
struct Waiter {
    due: Instant,
    /// Of two with one deadline the earlier asked goes first.
    number: u64,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[derive(Debug, Default)]
struct Pending {
    heap: BinaryHeap<Reverse<Waiter>>,
    asked: u64,
    over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing that holds the lock can panic half-way through a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer. Ends its thread when dropped; whoever still waits is then woken.
#[derive(Debug)]
pub(super) struct Timer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("target-timer".to_owned())
            .spawn(move || run(&mine))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Returns not before `due`.
    pub(super) async fn wait(&self, due: Instant) {
        let (wake, woken) = oneshot::channel();
        {
            let mut pending = self.shared.lock();
            if pending.over {
                return;
            }
            pending.asked += 1;
            let number = pending.asked;
            let earliest = pending
                .heap
                .peek()
                .is_none_or(|Reverse(first)| due < first.due);
            pending.heap.push(Reverse(Waiter { due, number, wake }));
            if earliest {
                self.shared.changed.notify_one();
            }
        }
        // An error means that the timer is gone, and with it the target.
        let _ = woken.await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared) {
    // Refused only by a kernel without timer slack; the histogram tells what it costs.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut pending = shared.lock();
    while !pending.over {
        let Some(Reverse(first)) = pending.heap.peek() else {
            pending = shared
                .changed
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let due = first.due;
        let left = due.saturating_duration_since(Instant::now());
        if left > LEAD {
            pending = shared
                .changed
                .wait_timeout(pending, left - LEAD)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            continue;
        }
        if !left.is_zero() {
            drop(pending);
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            pending = shared.lock();
        }
        release(&mut pending);
    }
    pending.heap.clear();
}

fn release(pending: &mut Pending) {
    let now = Instant::now();
    while pending.heap.peek().is_some_and(|Reverse(w)| w.due <= now) {
        if let Some(Reverse(waiter)) = pending.heap.pop() {
            // An error means that the connection is gone.
            let _ = waiter.wake.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn thousands_wait_at_once_and_none_is_early() {
        let timer = Arc::new(Timer::start().unwrap());
        let start = Instant::now();
        runtime().block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..4000_u32 {
                let timer = Arc::clone(&timer);
                // In no order, so that later ones are often the new earliest.
                let due = start + Duration::from_micros(u64::from(n * 7919 % 4000) * 25);
                tasks.spawn(async move {
                    timer.wait(due).await;
                    Instant::now().checked_duration_since(due)
                });
            }
            let mut count = 0;
            while let Some(late) = tasks.join_next().await {
                assert!(late.unwrap().is_some(), "woken before its deadline");
                count += 1;
            }
            assert_eq!(count, 4000);
        });
    }

    #[test]
    fn the_end_wakes_everyone() {
        let timer = Timer::start().unwrap();
        let far = Instant::now() + Duration::from_secs(3000);
        let shared = Arc::clone(&timer.shared);
        let waiter = std::thread::spawn(move || {
            runtime().block_on(async {
                timer_wait_forever(timer, far).await;
            });
        });
        waiter.join().unwrap();
        assert!(shared.lock().over);
    }

    async fn timer_wait_forever(timer: Timer, far: Instant) {
        let timer = Arc::new(timer);
        let mine = Arc::clone(&timer);
        let wait = tokio::spawn(async move { mine.wait(far).await });
        tokio::task::yield_now().await;
        timer.shared.lock().over = true;
        timer.shared.changed.notify_one();
        wait.await.unwrap();
    }
}
