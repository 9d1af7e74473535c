//! Waits that end to within tens of microseconds, for tokio.
//!
//! The timer of tokio ticks in milliseconds, too coarse for the embedded target's laws and the
//! reference client's schedules. Each worker has a `timerfd(2)` in its own event loop instead: it fires shortly before
//! the earliest deadline, and the rest is spent yielding, so that other connections are served
//! meanwhile. Nobody must ever yield for longer than [`EARLY_MAX_NS`] for a wait, nor be let go before
//! its deadline; an idle worker sleeps without end.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// How long before its deadline a waiter is woken, at most and at first. What a timer and the way
/// into the event loop really take is learnt.
const EARLY_MAX_NS: u64 = 100_000;

/// The part of what was learnt last in what is known.
const LEARN: u64 = 8;

#[derive(Debug)]
struct Waiter {
    due: Instant,
    /// Of two with one deadline the one who asked first goes first.
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
}

/// The timer of one worker's thread.
#[derive(Debug)]
pub(crate) struct Timer {
    alarm: AsyncFd<OwnedFd>,
    pending: RefCell<Pending>,
    /// How long before a deadline the alarm is set to.
    early_ns: Cell<u64>,
    /// What it is set to.
    set_to: Cell<Option<Instant>>,
}

/// Makes the descriptor of a timer, within its runtime.
///
/// # Errors
/// When there is no descriptor left.
#[allow(
    deprecated,
    reason = "its successor is unsafe, for types that may change their descriptor; OwnedFd cannot"
)]
pub(crate) fn alarm() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    Ok(AsyncFd::try_with_interest(fd, Interest::READABLE)?)
}

impl Timer {
    /// A timer on what [`alarm`] made.
    pub(crate) fn new(alarm: AsyncFd<OwnedFd>) -> Self {
        Self {
            alarm,
            pending: RefCell::default(),
            early_ns: Cell::new(EARLY_MAX_NS),
            set_to: Cell::new(None),
        }
    }

    /// Returns not before `due`. [`Timer::run`] must be running.
    pub(crate) async fn wait(&self, due: Instant) {
        if due.saturating_duration_since(Instant::now()) > self.early() {
            // The sender lives as long as the timer, and that as long as `self`.
            let _ = self.enter(due).await;
        }
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
    }

    fn enter(&self, due: Instant) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut pending = self.pending.borrow_mut();
        pending.asked += 1;
        let number = pending.asked;
        let first = pending.heap.peek();
        if first.is_none_or(|Reverse(first)| due < first.due) {
            self.arm(due);
        }
        pending.heap.push(Reverse(Waiter { due, number, wake }));
        woken
    }

    /// Sets the alarm to shortly before `due`.
    fn arm(&self, due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        // 0 would disarm it.
        let left = left
            .saturating_sub(self.early())
            .max(Duration::from_nanos(1));
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let alarm = Itimerspec {
            it_interval: never,
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            },
        };
        // Refused only for a descriptor or a time that is none (timerfd_settime(2)).
        let _ = timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &alarm);
    }

    /// Lets go whose time has come, until the runtime ends.
    pub(crate) async fn run(&self) {
        loop {
            let Ok(mut ready) = self.alarm.readable().await else {
                return;
            };
            let fired = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut [0; 8])?));
            if fired.is_ok() {
                self.release();
            }
        }
    }

    fn early(&self) -> Duration {
        Duration::from_nanos(self.early_ns.get())
    }

    /// The alarm went off: how late?
    fn learn(&self, now: Instant) {
        if let Some(set_to) = self.set_to.take() {
            let late = now.saturating_duration_since(set_to).as_nanos();
            let late_ns = u64::try_from(late).unwrap_or(u64::MAX).min(EARLY_MAX_NS);
            let known_ns = self.early_ns.get();
            self.early_ns
                .set((known_ns * (LEARN - 1) + late_ns) / LEARN);
        }
    }

    fn release(&self) {
        let now = Instant::now();
        self.learn(now);
        let until = now + self.early();
        let mut pending = self.pending.borrow_mut();
        while let Some(Reverse(first)) = pending.heap.peek() {
            if first.due > until {
                return self.arm(first.due);
            }
            if let Some(Reverse(waiter)) = pending.heap.pop() {
                // An error means that the connection is gone.
                let _ = waiter.wake.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::task::{JoinSet, LocalSet};

    use super::*;

    /// Runs `work` with a timer of its own.
    fn with_timer<F: Future>(work: impl FnOnce(Rc<Timer>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let timer = Rc::new(Timer::new(alarm().unwrap()));
            let running = Rc::clone(&timer);
            tokio::task::spawn_local(async move { running.run().await });
            work(timer).await
        })
    }

    #[test]
    fn thousands_wait_at_once_and_none_is_early() {
        with_timer(async |timer| {
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for n in 0..4000_u32 {
                let timer = Rc::clone(&timer);
                // In no order, so that later ones are often the new earliest.
                let due = start + Duration::from_micros(u64::from(n * 7919 % 4000) * 25);
                tasks.spawn_local(async move {
                    timer.wait(due).await;
                    Instant::now().checked_duration_since(due)
                });
            }
            let mut count = 0;
            while let Some(late) = tasks.join_next().await {
                assert!(late.unwrap().is_some(), "let go before its deadline");
                count += 1;
            }
            assert_eq!(count, 4000);
            assert!(timer.pending.borrow().heap.is_empty());
        });
    }

    #[test]
    fn an_earlier_deadline_goes_first() {
        with_timer(async |timer| {
            let start = Instant::now();
            let far = timer.wait(start + Duration::from_secs(3000));
            let near = timer.wait(start + Duration::from_millis(5));
            tokio::select! {
                biased;
                () = far => panic!("the later one came first"),
                () = near => {}
            }
            assert!(start.elapsed() < Duration::from_secs(3000));
        });
    }
}
