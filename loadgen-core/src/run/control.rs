//! The control thread: starts the workers, adds up what they count, and writes the document.
//!
//! It must stay out of the workers' way: it wakes a few times a second, and shares nothing with
//! them but the exchange of full and empty sets.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Options, Snapshot};
use crate::engine::{Client, Dealt, EngineOptions, Seat, Shared, WorkerEnd, deal, shares};
use crate::host::{self, Allowed, CpuSample};
use crate::pace::Pacing;
use crate::record::{Aggregate, Recorder, Window};
use crate::results::{
    Caption, CpuRow, Document, Interval, Machine, Outcome, RunStatus, assemble, interval,
};
use crate::stop::Stop;
use crate::time::{Clock, Tick, nanos};
use crate::workload::Route;

/// The longest sleep of the control thread.
const NAP: Duration = Duration::from_millis(50);

/// Rows that wait for the holder of the handle, at most: most holders never ask.
pub const ROWS_MAX: usize = 1024;

/// What the holder of the handle sees and may do.
#[derive(Debug)]
pub(super) struct View {
    snapshot: Mutex<Snapshot>,
    rows: Mutex<VecDeque<Interval>>,
    shared: Arc<Shared>,
    clock: Clock,
    interrupted: std::sync::atomic::AtomicBool,
}

impl View {
    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn take_rows(&self) -> Vec<Interval> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.drain(..).collect()
    }

    fn put_rows(&self, new: impl Iterator<Item = Interval>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.extend(new);
        let surplus = rows.len().saturating_sub(ROWS_MAX);
        rows.drain(..surplus);
    }

    pub(super) fn stop(&self) {
        self.interrupted
            .store(true, std::sync::atomic::Ordering::Release);
        self.end();
    }

    pub(super) fn end(&self) {
        self.shared.stop.raise(self.clock.now());
    }
}

/// A run, as the control thread holds it.
pub(super) struct Control {
    client: Arc<dyn Client>,
    engine: Arc<EngineOptions>,
    caption: Caption,
    allowed: Allowed,
    cpus: Vec<Option<u32>>,
    routes: Vec<Route>,
    hands: Vec<Vec<Dealt>>,
    view: Arc<View>,
    sum: Aggregate,
    /// Rows of `sum` that the holder of the handle was given.
    given: usize,
    start_unix_ns: u64,
    cpu_begin: Option<CpuSample>,
    cpu_end: Option<CpuSample>,
}

impl Control {
    pub(super) fn new(
        client: Arc<dyn Client>,
        options: Options,
        allowed: Allowed,
        cpus: Vec<Option<u32>>,
    ) -> Self {
        let mut engine = options.engine;
        engine.sockets.arrange();
        let workers = cpus.len();
        let requests = engine.stop.requests();
        let shared = Arc::new(Shared::new(requests, workers));
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let view = Arc::new(View {
            snapshot: Mutex::new(Snapshot {
                phase: "connect",
                ..Snapshot::default()
            }),
            rows: Mutex::default(),
            shared,
            clock: Clock::start(),
            interrupted: std::sync::atomic::AtomicBool::new(false),
        });
        let routes = client.routes();
        let open_loop = matches!(engine.pacing, Pacing::Open { .. });
        Self {
            hands: deal(engine.connections, &routes, workers),
            routes,
            client,
            caption: options.caption,
            allowed,
            cpus,
            view,
            sum: Aggregate::new(workers, nanos(engine.interval), open_loop),
            given: 0,
            start_unix_ns: nanos(since_1970),
            engine: Arc::new(engine),
            cpu_begin: None,
            cpu_end: None,
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// The whole run.
    pub(super) fn run(mut self) -> Document {
        let mut refusals = Vec::new();
        let threads: Vec<_> = (0..self.cpus.len())
            .map(|worker| self.spawn(worker))
            .collect();
        while threads
            .iter()
            .any(|t| t.as_ref().is_ok_and(|t| !t.is_finished()))
        {
            let nap = self.look();
            std::thread::park_timeout(nap);
        }
        let mut ends: Vec<WorkerEnd> = Vec::new();
        for (worker, thread) in threads.into_iter().enumerate() {
            let (end, refusal) = match thread.map(JoinHandle::join) {
                Ok(Ok(pair)) => pair,
                Ok(Err(panic)) => (broken(worker, &describe(panic.as_ref())), None),
                Err(error) => (broken(worker, &format!("no thread: {error}")), None),
            };
            ends.push(end);
            refusals.extend(refusal);
        }
        self.look();
        self.sum.finish();
        let over = self.view.clock.now();
        if self.cpu_begin.is_some() && self.cpu_end.is_none() {
            self.cpu_end = CpuSample::read();
        }
        assemble(self.outcome(ends, refusals, over))
    }

    /// Starts one worker's thread.
    fn spawn(&self, worker: usize) -> std::io::Result<JoinHandle<(WorkerEnd, Option<String>)>> {
        let shared = Arc::clone(&self.view.shared);
        let seat = Seat {
            worker,
            workers: self.cpus.len(),
            cpu: self.cpus[worker],
            clock: self.view.clock,
            options: Arc::clone(&self.engine),
            dealt: self.hands[worker].clone(),
            first: self.hands[..worker].iter().map(|h| h.len() as u64).sum(),
            shared: Arc::clone(&shared),
        };
        let window = Window::unknown(nanos(self.engine.interval));
        let open_loop = matches!(self.engine.pacing, Pacing::Open { .. });
        let tables = self.client.tables();
        let exchange = Arc::clone(&shared.exchange);
        let recorder = Recorder::new(worker, open_loop, &tables, window, exchange);
        let client = Arc::clone(&self.client);
        let (control, clock) = (std::thread::current(), self.view.clock);
        let thread = std::thread::Builder::new().name(format!("loadgen-{worker}"));
        let spawned = thread.spawn(move || {
            let refusal = seat
                .cpu
                .and_then(|cpu| host::pin_current(worker, cpu).err());
            let work = AssertUnwindSafe(|| client.run(seat, recorder));
            let end = std::panic::catch_unwind(work)
                .unwrap_or_else(|panic| broken(worker, &describe(panic.as_ref())));
            if end.broken.is_some() {
                // The others must not wait for this one.
                shared.stop.raise(clock.now());
            }
            control.unpark();
            (end, refusal)
        });
        if spawned.is_err() {
            self.view.shared.stop.raise(clock.now());
        }
        spawned
    }

    /// Adds up what has come and says how long to sleep.
    fn look(&mut self) -> Duration {
        let exchange = &self.view.shared.exchange;
        while let Some(mut set) = exchange.full.pop() {
            self.sum.add(&set);
            set.clear();
            exchange.spare.push(set);
        }
        let now = self.view.clock.now();
        let window = self.window();
        if self.cpu_begin.is_none() && now >= window.begin {
            self.cpu_begin = CpuSample::read();
        }
        if self.cpu_end.is_none() && now >= window.end {
            self.cpu_end = CpuSample::read();
        }
        self.show(now, &window);
        let new = self.sum.intervals[self.given..].iter();
        self.view
            .put_rows(new.map(|row| interval(row, window.begin)));
        self.given = self.sum.intervals.len();
        let next = [window.begin, window.end]
            .into_iter()
            .filter(|t| *t > now)
            .min();
        next.map_or(NAP, |tick| NAP.min(tick - now))
    }

    /// The window as far as it is known.
    fn window(&self) -> Window {
        let unknown = Window::unknown(nanos(self.engine.interval));
        let Some(epoch) = self.view.shared.gate.epoch() else {
            return unknown;
        };
        let begin = epoch + self.engine.warmup;
        let planned = self.engine.stop.end(begin);
        let stopped = self.view.shared.stop.raised().unwrap_or(Tick::NEVER);
        Window {
            epoch,
            begin,
            end: planned.min(stopped.max(begin)),
            ..unknown
        }
    }

    fn show(&self, now: Tick, window: &Window) {
        let (phase, since, until) = if now < window.epoch {
            ("connect", Tick(0), None)
        } else if now < window.begin {
            ("warmup", window.epoch, Some(window.begin))
        } else if now < window.end {
            (
                "measure",
                window.begin,
                Some(window.end).filter(|end| *end != Tick::NEVER),
            )
        } else {
            ("drain", window.end, None)
        };
        let last = self.sum.latest();
        let per_s = |count: u64| {
            let seconds = last.map_or(0.0, |i| i.end.since(i.start) as f64 / 1e9);
            (seconds > 0.0).then(|| count as f64 / seconds)
        };
        let response = last.and_then(|i| i.response_ns);
        let requests = self.engine.stop.requests();
        let snapshot = Snapshot {
            phase,
            begin_unix_ns: (window.begin != Tick::NEVER)
                .then(|| self.start_unix_ns + window.begin.0),
            elapsed: now - since,
            planned: until.map(|until| until - since),
            completed: self.sum.total.completed,
            failed: self.sum.total.failed,
            requests,
            taken: requests.map(|all| all - self.view.shared.budget.left().min(all)),
            rate_per_s: last.and_then(|i| per_s(i.counts.completed)),
            payload_rx_bytes_per_s: last
                .filter(|i| !i.counts.payload_rx_unknown)
                .and_then(|i| per_s(i.counts.payload_rx_bytes)),
            p50_ns: response.map(|r| r[0]),
            p99_ns: response.map(|r| r[1]),
        };
        *self
            .view
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn outcome(self, ends: Vec<WorkerEnd>, refusals: Vec<String>, over: Tick) -> Outcome {
        let mut window = self.window();
        if window.end == Tick::NEVER {
            // Those who listen to the others go on behind it.
            let drained: Option<Vec<Tick>> = ends.iter().map(|end| end.drained_at).collect();
            let last = drained.and_then(|all| all.into_iter().max());
            window.end = last.unwrap_or(self.sum.last_end).max(window.begin);
        }
        // On the sim driver the workers' time is not the control thread's.
        let simulated = self.client.driver() == "sim";
        let over = if simulated {
            self.sum.last_end.max(window.end)
        } else {
            over
        };
        window.end = window.end.min(over);
        let interrupted = self
            .view
            .interrupted
            .load(std::sync::atomic::Ordering::Acquire);
        let not_reached = matches!(
            self.engine.stop,
            Stop::Requests(requests) if self.sum.total.sent_paced() < requests
        );
        let cut_short =
            interrupted || not_reached || ends.iter().any(|e| e.gave_up || e.broken.is_some());
        let status = match (self.sum.total.completed, cut_short) {
            (0, _) => RunStatus::Failed,
            (_, true) => RunStatus::Partial,
            (_, false) => RunStatus::Complete,
        };
        let details = ends.iter().map(|e| e.details.clone()).collect();
        let counts = shares(self.engine.connections, &self.routes);
        Outcome {
            machine: machine(&self, refusals),
            caption: self.caption,
            tables: self.client.tables(),
            client: self.client.name(),
            driver: self.client.driver(),
            requests_per_connection: self.client.requests_per_connection(),
            protocol_plan: self.client.plan(),
            protocol_details: self.client.details(details),
            routes: self.routes.into_iter().zip(counts).collect(),
            options: self.engine,
            start_unix_ns: self.start_unix_ns,
            window,
            over,
            status,
            interrupted,
            sum: self.sum,
            workers: ends,
        }
    }
}

fn machine(control: &Control, refusals: Vec<String>) -> Machine {
    let used = control
        .cpu_begin
        .zip(control.cpu_end)
        .map(|(begin, end)| end.since(&begin));
    let row = |s: &host::CpuState| CpuRow {
        state: s.state.to_owned(),
        seconds: s.seconds,
        percent: s.percent,
    };
    Machine {
        name: host::name(),
        allowed_cpus: control.allowed.cpus.clone(),
        cpu_quota: control.allowed.quota,
        cpus: control.cpus.clone(),
        refusals,
        cpu: used.iter().flat_map(|u| u.states.iter().map(row)).collect(),
        cpu_window_ns: used.map_or(0, |u| u.window_ns),
        provenance: host::provenance(),
    }
}

fn broken(worker: usize, why: &str) -> WorkerEnd {
    WorkerEnd {
        worker,
        broken: Some(why.to_owned()),
        ..WorkerEnd::default()
    }
}

/// What a panic said.
fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "a worker panicked: {}",
        text.unwrap_or_else(|| "without a word".into())
    )
}
