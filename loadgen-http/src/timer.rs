//! Waits that end to within tens of microseconds, for tokio.
//!
//! The timer of tokio ticks in milliseconds, too coarse for the embedded target's laws and the
//! reference client's schedules. Each worker has a `timerfd(2)` in its own event loop instead: it fires shortly before
//! the earliest deadline, and the rest is spent yielding, so that other connections are served
//! meanwhile. How shortly before is learnt from how late it was so far. Nobody must ever yield for
//! longer than [`LEAD_MAX_NS`] for a wait, nor be let go before its deadline; an idle worker sleeps
//! without end.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// How long before its deadline a waiter is woken, at most and at first, ns.
const LEAD_MAX_NS: u64 = 100_000;

/// One part in so many of what is known is what was learnt last.
const LEARN: u64 = 8;

/// How long before a deadline the alarm is set: what a timer and the way into the event loop take
/// here, on average, and twice the usual distance from that.
#[derive(Clone, Copy, Debug)]
struct Lead {
    mean_ns: u64,
    spread_ns: u64,
}

impl Lead {
    /// Nothing is known yet.
    const UNKNOWN: Self = Self {
        mean_ns: LEAD_MAX_NS,
        spread_ns: 0,
    };

    fn ns(self) -> u64 {
        (self.mean_ns + 2 * self.spread_ns).min(LEAD_MAX_NS)
    }

    /// An alarm was so late. Lateness beyond the limit is not the timer's: the thread was busy, or
    /// had no CPU.
    fn learn(self, late_ns: u64) -> Self {
        let late_ns = late_ns.min(LEAD_MAX_NS);
        let mix = |known_ns: u64, new_ns: u64| (known_ns * (LEARN - 1) + new_ns) / LEARN;
        Self {
            mean_ns: mix(self.mean_ns, late_ns),
            spread_ns: mix(self.spread_ns, late_ns.abs_diff(self.mean_ns)),
        }
    }
}

/// CPU time of this thread so far, ns.
fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What yielding until a deadline has cost.
#[derive(Debug, Default)]
struct Spin {
    /// So far, ns of CPU time.
    ns: Cell<u64>,
    /// CPU time up to which turns were looked at: those of two waiters overlap.
    seen_ns: Cell<u64>,
    /// How often something else was done.
    worked: Cell<u64>,
}

/// The beginning of a turn of the event loop.
#[derive(Clone, Copy, Debug)]
struct Turn {
    cpu_ns: u64,
    worked: u64,
}

impl Spin {
    fn begin(&self) -> Turn {
        Turn {
            cpu_ns: cpu_ns(),
            worked: self.worked.get(),
        }
    }

    /// A turn is over, and the next one begins. One in which anything else was done counts as work
    /// from end to end.
    fn next(&self, turn: Turn) -> Turn {
        let now = self.begin();
        let from_ns = turn.cpu_ns.max(self.seen_ns.get());
        if now.worked == turn.worked {
            self.ns
                .set(self.ns.get() + now.cpu_ns.saturating_sub(from_ns));
        }
        self.seen_ns.set(now.cpu_ns.max(from_ns));
        now
    }
}

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
    lead: Cell<Lead>,
    /// What the alarm is set to.
    set_to: Cell<Option<Instant>>,
    spin: Spin,
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
            lead: Cell::new(Lead::UNKNOWN),
            set_to: Cell::new(None),
            spin: Spin::default(),
        }
    }

    /// Returns not before `due`. [`Timer::run`] must be running.
    pub(crate) async fn wait(&self, due: Instant) {
        if due.saturating_duration_since(Instant::now()) > self.lead() {
            // The sender lives as long as the timer, and that as long as `self`.
            let _ = self.enter(due).await;
        }
        if Instant::now() < due {
            self.turn_until(due).await;
        }
    }

    /// CPU time that went into yielding alone, ns.
    pub(crate) fn spin_ns(&self) -> u64 {
        self.spin.ns.get()
    }

    /// The thread does something else than waiting.
    pub(crate) fn worked(&self) {
        self.spin.worked.set(self.spin.worked.get().wrapping_add(1));
    }

    async fn turn_until(&self, due: Instant) {
        let mut turn = self.spin.begin();
        while Instant::now() < due {
            tokio::task::yield_now().await;
            turn = self.spin.next(turn);
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
        let now = Instant::now();
        // 0 would disarm it.
        let left = due
            .saturating_duration_since(now)
            .saturating_sub(self.lead())
            .max(Duration::from_nanos(1));
        self.set_to.set(now.checked_add(left));
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

    fn lead(&self) -> Duration {
        Duration::from_nanos(self.lead.get().ns())
    }

    /// The alarm went off: how late?
    fn learn(&self, now: Instant) {
        if let Some(set_to) = self.set_to.take() {
            let late = now.saturating_duration_since(set_to).as_nanos();
            let late_ns = u64::try_from(late).unwrap_or(u64::MAX);
            self.lead.set(self.lead.get().learn(late_ns));
        }
    }

    fn release(&self) {
        let now = Instant::now();
        self.learn(now);
        let until = now + self.lead();
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

    #[test]
    fn the_lead_is_what_alarms_take() {
        let mut lead = Lead::UNKNOWN;
        assert_eq!(lead.ns(), LEAD_MAX_NS);
        for _ in 0..200 {
            lead = lead.learn(10_000);
        }
        assert!((10_000..10_100).contains(&lead.ns()), "{lead:?}");
        // What differs gets more room, and what is no timer's fault at most the limit.
        for n in 0..200 {
            lead = lead.learn(if n % 2 == 0 { 10_000 } else { 20_000 });
        }
        assert!((20_000..30_000).contains(&lead.ns()), "{lead:?}");
        for _ in 0..200 {
            lead = lead.learn(u64::MAX);
        }
        assert_eq!(lead.ns(), LEAD_MAX_NS);
    }

    #[test]
    fn a_timer_learns_from_its_alarms() {
        with_timer(async |timer| {
            for _ in 0..100 {
                timer.wait(Instant::now() + Duration::from_millis(1)).await;
            }
            // One alarm that was not later than the limit is enough for that.
            let lead = timer.lead.get();
            assert!(lead.mean_ns < LEAD_MAX_NS, "{lead:?}");
        });
    }

    #[test]
    fn yielding_is_counted_once_and_work_is_not() {
        with_timer(async |timer| {
            let due = || Instant::now() + Duration::from_millis(5);
            let begin_ns = cpu_ns();
            let mut tasks = JoinSet::new();
            for _ in 0..10 {
                let timer = Rc::clone(&timer);
                tasks.spawn_local(async move { timer.turn_until(due()).await });
            }
            while tasks.join_next().await.is_some() {}
            let used_ns = cpu_ns() - begin_ns;
            let spin_ns = timer.spin_ns();
            assert!(spin_ns > 0 && spin_ns <= used_ns, "{spin_ns} of {used_ns}");

            let busy = Rc::clone(&timer);
            let worker = tokio::task::spawn_local(async move {
                loop {
                    busy.worked();
                    tokio::task::yield_now().await;
                }
            });
            tokio::task::yield_now().await;
            timer.turn_until(due()).await;
            worker.abort();
            // The turn in which it was begun may have been the waiter's alone.
            let more_ns = timer.spin_ns() - spin_ns;
            assert!(more_ns < 1_000_000, "{more_ns} ns");
        });
    }
}
