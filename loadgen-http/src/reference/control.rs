//! The course of a run in one worker's thread: connect, wait for the others, send, drain.
//!
//! It decides when, as the native engine does; the connections' tasks do the rest. Nothing here
//! may touch a request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen_core::driver::{CpuUsed, thread_cpu};
use loadgen_core::engine::{Seat, WorkerEnd};
use loadgen_core::record::{Recorder, Window};
use loadgen_core::time::{Tick, nanos};
use loadgen_core::workload::Route;
use tokio::task::LocalSet;

use super::conn::Conn;
use super::pool;
use super::prepared::Prepared;
use super::work::{Parts, Stage, Work};
use crate::timer::{self, Timer};
use crate::workload::Turn;

/// How often a worker that waits for the others asks whether they are there.
const GATE_POLL: Duration = Duration::from_micros(500);
/// The longest time between two looks at the stop flag and the recorder.
const LOOK: Duration = Duration::from_millis(20);
/// Beyond the time a connection may take, so that the first failures are known by then.
const GRACE: Duration = Duration::from_millis(200);
/// How long requests in flight are waited for after a stop from outside.
const STOP_DRAIN: Duration = Duration::from_secs(1);

/// Fills the calling thread until the run is over.
pub(super) fn run(
    seat: Seat,
    recorder: Recorder,
    prepared: Arc<Prepared>,
    turns: Vec<Turn>,
    routes: Vec<Route>,
) -> WorkerEnd {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return WorkerEnd::broken(&seat, format!("no runtime: {error}")),
    };
    let alarm = match runtime.block_on(async { timer::alarm() }) {
        Ok(alarm) => alarm,
        Err(error) => return WorkerEnd::broken(&seat, format!("no timer: {error}")),
    };
    let work = Rc::new(Work::new(Parts {
        seat,
        recorder,
        prepared,
        routes,
        turns,
        timer: Timer::new(alarm),
    }));
    let local = LocalSet::new();
    let mine = Rc::clone(&work);
    local.spawn_local(async move { mine.timer.run().await });
    for slot in 0..work.seat.dealt.len() {
        local.spawn_local(Conn::new(Rc::clone(&work), slot).live());
    }
    let end = local.block_on(&runtime, Course::new(Rc::clone(&work)).run());
    // Every task ends here, and gives back what it had not begun.
    drop(local);
    drop(runtime);
    finish(work, end)
}

/// Where the run is.
struct Course {
    work: Rc<Work>,
    /// CPU time at the window's begin, and what was spent yielding by then.
    cpu_begin: Option<(Option<CpuUsed>, u64)>,
    drain_until: Tick,
    last_alive: Tick,
    end: WorkerEnd,
}

impl Course {
    fn new(work: Rc<Work>) -> Self {
        let end = WorkerEnd {
            worker: work.seat.worker,
            cpu: work.seat.cpu,
            connections: work.seat.dealt.len() as u32,
            waiting: "tokio, timerfd",
            ..WorkerEnd::default()
        };
        Self {
            work,
            cpu_begin: None,
            drain_until: Tick::NEVER,
            last_alive: Tick(0),
            end,
        }
    }

    async fn run(mut self) -> WorkerEnd {
        let Some(epoch) = self.meet().await else {
            return self.end;
        };
        self.plan(epoch);
        if self.work.seat.shared.gate.alive() == 0 {
            return self.end;
        }
        self.work.timer.wait(self.work.instant(epoch)).await;
        self.start();
        while self.work.stage.get() == Stage::Run {
            self.sleep(self.next_look()).await;
            self.look();
        }
        while self.work.busy.get() > 0 && self.work.now() < self.drain_until {
            self.sleep(self.drain_until).await;
            let now = self.work.now();
            self.work.recorder.borrow_mut().turn(now);
            if self.work.seat.shared.stop.raised().is_some() {
                self.drain_until = self.drain_until.min(now + STOP_DRAIN);
            }
        }
        self.end
    }

    /// Connections are tried in turn, and a run must begin some day: with none there after as long
    /// as one may take, or after twice that with some, the others go on in the background.
    fn waited_long_enough(&self) -> bool {
        let patience = if self.work.alive.get() == 0 { 1 } else { 2 };
        let limit = self.work.seat.options.connect_timeout;
        let limit = limit.saturating_mul(patience).saturating_add(GRACE);
        self.work.now().0 > nanos(limit)
    }

    /// Waits until all connections were tried, here and elsewhere. `None`: stopped before.
    async fn meet(&mut self) -> Option<Tick> {
        let shared = Arc::clone(&self.work.seat.shared);
        while self.work.untried.get() > 0 && !self.waited_long_enough() {
            if shared.stop.raised().is_some() {
                return None;
            }
            self.sleep(Tick::NEVER).await;
        }
        let alive = if self.work.is_cold() {
            self.work.seat.dealt.len() as u64
        } else {
            self.work.alive.get()
        };
        shared.gate.arrive(alive, self.work.now());
        loop {
            if shared.stop.raised().is_some() {
                return None;
            }
            if let Some(epoch) = shared.gate.epoch() {
                return Some(epoch);
            }
            self.work.timer.wait(Instant::now() + GATE_POLL).await;
        }
    }

    fn plan(&mut self, epoch: Tick) {
        let options = &self.work.seat.options;
        let begin = epoch + options.warmup;
        let end = options.stop.end(begin);
        self.set_window(Window {
            epoch,
            begin,
            end,
            ..self.work.window.get()
        });
        if let Some(pools) = &self.work.pools {
            pools.plan(epoch);
        }
    }

    fn set_window(&self, window: Window) {
        self.work.window.set(window);
        let now = self.work.now();
        self.work.recorder.borrow_mut().set_window(window, now);
    }

    fn start(&mut self) {
        self.last_alive = self.work.now();
        self.work.stage.set(Stage::Run);
        self.work.started.notify_waiters();
        for route in 0..self.work.pools.as_ref().map_or(0, pool::Pools::len) {
            tokio::task::spawn_local(pool::pace(Rc::clone(&self.work), route));
        }
        self.look();
    }

    /// Sleeps until `until`, something changed, or it is time for a look.
    async fn sleep(&self, until: Tick) {
        let until = until.min(self.work.now() + LOOK);
        tokio::select! {
            () = self.work.timer.wait(self.work.instant(until)) => {}
            () = self.work.changed.notified() => {}
        }
    }

    fn next_look(&self) -> Tick {
        let window = self.work.window.get();
        let begin = if self.cpu_begin.is_none() {
            window.begin
        } else {
            Tick::NEVER
        };
        begin
            .min(window.end)
            .min(self.work.recorder.borrow().until())
    }

    fn look(&mut self) {
        let work = Rc::clone(&self.work);
        let now = work.now();
        if let Some(at) = work.seat.shared.stop.raised() {
            self.stop(at, now);
            return;
        }
        work.recorder.borrow_mut().turn(now);
        let window = work.window.get();
        if self.cpu_begin.is_none() && now >= window.begin {
            self.cpu_begin = Some((thread_cpu(), work.timer.spin_ns()));
        }
        if now >= window.end {
            self.begin_drain(now);
            return;
        }
        work.spent.set(work.nothing_left());
        if work.spent.get() && work.busy.get() == 0 {
            self.begin_drain(now);
        } else if work.seat.options.stop.duration().is_none() {
            self.give_up_if_dead(now);
        }
    }

    /// A run by count would never end while nothing answers.
    fn give_up_if_dead(&mut self, now: Tick) {
        let work = &self.work;
        // With a connection for each request nothing is alive between two of them, and where
        // nothing answers it is requests that fail: the count is reached all the same.
        let hopeful = work.is_cold() || work.alive.get() > 0 || work.busy.get() > 0;
        if hopeful || work.seat.dealt.is_empty() {
            self.last_alive = now;
        } else if now.since(self.last_alive) > nanos(work.seat.options.connect_timeout) {
            self.end.gave_up = true;
            work.seat.shared.stop.raise(now);
        }
    }

    fn stop(&mut self, at: Tick, now: Tick) {
        let window = self.work.window.get();
        if at < window.end {
            let end = at.max(window.begin.min(now));
            self.set_window(Window { end, ..window });
        }
        self.begin_drain(now);
        self.drain_until = self.drain_until.min(now + STOP_DRAIN);
    }

    fn begin_drain(&mut self, now: Tick) {
        if let Some((begin, spin_ns)) = self.cpu_begin {
            self.end.spin_ns = self.work.timer.spin_ns().saturating_sub(spin_ns);
            self.end.cpu_used = thread_cpu().zip(begin).map(|(end, begin)| end.since(begin));
        }
        self.work.stage.set(Stage::Drain);
        self.drain_until = now + self.work.seat.options.drain;
        self.work.counts.borrow_mut().alive_at_end = self.work.alive.get();
    }
}

fn finish(work: Rc<Work>, mut end: WorkerEnd) -> WorkerEnd {
    let Some(work) = Rc::into_inner(work) else {
        end.broken = Some("a task of the runtime outlived it".to_owned());
        return end;
    };
    let now = work.now();
    let mut recorder = work.recorder.into_inner();
    for flight in work.flights.into_inner().into_iter().flatten() {
        recorder.unanswered(flight.intended, flight.sent, flight.first, now);
    }
    if let Some(pools) = &work.pools {
        let until = if work.spent.get() {
            Tick::NEVER
        } else {
            work.window.get().end
        };
        pools.unsent(until, |due| recorder.unsent(due, now));
    }
    work.seat.shared.budget.give_back(work.credit.get());
    end.counts = work.counts.into_inner();
    end.endpoints = work.endpoints.into_inner();
    end.errors = recorder.finish(now);
    end
}
