//! The course of a run in one worker's thread: connect, wait for the others, work, drain.
//!
//! It decides when, as the native engine does; what is done then is a [`Task`]'s business. Nothing
//! here may know which direction records go.

use std::time::Duration;

use loadgen_core::driver::CpuUsed;
use loadgen_core::engine::{ConnectionCounts, EndpointCounts, Seat, WorkerEnd};
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::record::{Recorder, Window};
use loadgen_core::time::{Tick, nanos};
use loadgen_core::workload::{Route, RouteId};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde_json::Value;

use super::context::Context;
use super::fault::{self, Kind};
use super::settings::STATISTICS_MS;
use super::threads;
use crate::wire::Wrong;

/// How often a worker that waits for the others asks whether they are there.
const GATE_POLL: Duration = Duration::from_micros(500);
/// The longest time between two looks at the stop flag and the recorder.
const LOOK: Duration = Duration::from_millis(20);
/// How long requests in flight are waited for after a stop from outside.
const STOP_DRAIN: Duration = Duration::from_secs(1);
/// Statistics that do not come in this time do not come any more.
const STATISTICS_WAIT: Duration = Duration::from_millis(5 * STATISTICS_MS);

/// One direction.
pub(super) trait Task {
    /// What the instance tells; `None`: this worker has none.
    fn context(&self) -> Option<&Context>;

    /// Serves the instance for so long, before the run begins and after it is over.
    fn idle(&mut self, length: Duration);

    /// The run begins.
    fn start(&mut self, work: &mut Work);

    /// Works until something has happened, `until` at the latest.
    fn step(&mut self, work: &mut Work, until: Tick);

    /// Whether nothing is left to ask, on this worker and for ever.
    fn is_spent(&self) -> bool;

    /// Whether something it asked for has not ended.
    fn is_busy(&self) -> bool;

    /// Nothing works any more since this tick.
    fn down_since(&self) -> Option<Tick>;

    /// The run is over: what is unanswered, what is unsent, and what it counted.
    fn finish(&mut self, work: &mut Work, now: Tick) -> Value;
}

/// What a worker has, whichever way records go.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) seat: Seat,
    pub(super) recorder: Recorder,
    pub(super) window: Window,
    /// Requests may be sent.
    pub(super) sending: bool,
    /// When something was counted last.
    pub(super) last: Tick,
    routes: Vec<Route>,
    /// Completed and failed, by route.
    ended: Vec<(u64, u64)>,
    /// Bytes received and sent that are counted already.
    wire: (u64, u64),
}

impl Work {
    pub(super) fn now(&self) -> Tick {
        self.seat.clock.now()
    }

    /// A request to this route was answered, or was not.
    pub(super) fn ended(&mut self, route: Option<RouteId>, completed: bool, at: Tick) {
        self.last = self.last.max(at);
        if let Some(ended) = route.and_then(|route| self.ended.get_mut(route)) {
            ended.0 += u64::from(completed);
            ended.1 += u64::from(!completed);
        }
    }

    /// Something is wrong.
    #[cold]
    pub(super) fn error(&mut self, phase: Phase, cause: Cause, reason: &str) {
        let now = self.now();
        let detail = || reason.escape_debug().to_string();
        self.recorder.error(phase, cause, now, detail);
    }

    fn wire(&mut self, context: &Context, at: Tick) {
        let (rx, tx) = context.wire_bytes();
        let (rx_before, tx_before) = std::mem::replace(&mut self.wire, (rx, tx));
        self.recorder
            .received_untimed(rx.saturating_sub(rx_before), at);
        self.recorder.wrote(tx.saturating_sub(tx_before));
    }
}

/// An instance could not be made to work, for `error`.
#[cold]
pub(super) fn refused(work: &mut Work, context: &Context, error: &KafkaError) {
    // What librdkafka said on the way is more to the point than that it took too long.
    let told = context.take_errors();
    let said = told
        .into_iter()
        .find(|(code, _)| *code != RDKafkaErrorCode::AllBrokersDown);
    let (code, reason) = said.unwrap_or_else(|| (fault::code_of(error), error.to_string()));
    let (phase, cause) = match fault::of(code, &reason) {
        Kind::Lost(phase, cause) => (phase, cause),
        // The cluster answered, and says that it will not.
        Kind::Answer(_) => {
            let refused = Cause::Protocol(Wrong::HandshakeRefused as u8);
            (Phase::Handshake, refused)
        }
    };
    work.error(phase, cause, &reason);
}

/// Fills the calling thread until the run is over. `connect` makes the task; `instances` is how many
/// workers have an instance of librdkafka.
pub(super) fn run<T: Task>(
    seat: Seat,
    recorder: Recorder,
    routes: Vec<Route>,
    instances: usize,
    connect: impl FnOnce(&mut Work) -> Result<T, String>,
) -> WorkerEnd {
    let interval_ns = nanos(seat.options.interval);
    let mut work = Work {
        window: Window::unknown(interval_ns),
        sending: false,
        last: Tick(0),
        ended: vec![(0, 0); routes.len()],
        wire: (0, 0),
        seat,
        recorder,
        routes,
    };
    let task = match connect(&mut work) {
        Ok(task) => task,
        Err(why) => return WorkerEnd::broken(&work.seat, why),
    };
    let instances = if task.context().is_some() {
        instances as u64
    } else {
        u64::MAX
    };
    Course {
        task,
        instances,
        cpu_begin: None,
        cpu_used: None,
        gave_up: false,
        work,
    }
    .run()
}

/// Where the run is.
struct Course<T> {
    task: T,
    work: Work,
    /// What librdkafka's threads used is divided by it.
    instances: u64,
    cpu_begin: Option<Option<CpuUsed>>,
    cpu_used: Option<CpuUsed>,
    gave_up: bool,
}

impl<T: Task> Course<T> {
    fn run(mut self) -> WorkerEnd {
        if let Some(epoch) = self.meet()
            && self.work.seat.shared.gate.alive() > 0
        {
            self.plan(epoch);
            while self.work.now() < epoch {
                let left = epoch - self.work.now();
                self.task.idle(left);
            }
            self.work.sending = true;
            self.work.last = epoch;
            self.task.start(&mut self.work);
            while self.look() {
                let until = self.next_look();
                self.task.step(&mut self.work, until);
            }
            self.drain();
        }
        self.finish()
    }

    /// Waits for the other workers. `None`: stopped before.
    fn meet(&mut self) -> Option<Tick> {
        let alive = match self.task.context() {
            Some(_) => self.work.seat.dealt.len() as u64,
            None => 0,
        };
        let now = self.work.now();
        self.work.seat.shared.gate.arrive(alive, now);
        loop {
            let shared = &self.work.seat.shared;
            if shared.stop.raised().is_some() {
                return None;
            }
            if let Some(epoch) = shared.gate.epoch() {
                return Some(epoch);
            }
            self.task.idle(GATE_POLL);
        }
    }

    fn plan(&mut self, epoch: Tick) {
        let options = &self.work.seat.options;
        let begin = epoch + options.warmup;
        let end = options.stop.end(begin);
        let window = Window {
            epoch,
            begin,
            end,
            ..self.work.window
        };
        self.set_window(window);
    }

    fn set_window(&mut self, window: Window) {
        self.work.window = window;
        let now = self.work.now();
        self.work.recorder.set_window(window, now);
    }

    fn next_look(&self) -> Tick {
        let window = &self.work.window;
        let begin = match self.cpu_begin {
            None => window.begin,
            Some(_) => Tick::NEVER,
        };
        (self.work.now() + LOOK)
            .min(begin)
            .min(window.end)
            .min(self.work.recorder.until())
    }

    /// Whether to work on.
    fn look(&mut self) -> bool {
        let now = self.work.now();
        self.work.recorder.turn(now);
        if let Some(context) = self.task.context() {
            self.work.wire(context, now);
        }
        let window = self.work.window;
        if let Some(at) = self.work.seat.shared.stop.raised() {
            if at < window.end {
                let end = at.max(window.begin.min(now));
                self.set_window(Window { end, ..window });
            }
            return false;
        }
        if self.cpu_begin.is_none() && now >= window.begin {
            self.cpu_begin = Some(threads::used(self.instances));
        }
        if now >= window.end || (self.task.is_spent() && !self.task.is_busy()) {
            return false;
        }
        self.give_up_if_dead(now);
        true
    }

    /// A run that ends by what it has read would never end while nothing answers.
    fn give_up_if_dead(&mut self, now: Tick) {
        let options = &self.work.seat.options;
        let limit_ns = nanos(options.connect_timeout);
        let dead = |since: Tick| now.since(since) > limit_ns;
        if options.stop.duration().is_none() && self.task.down_since().is_some_and(dead) {
            self.gave_up = true;
            self.work.seat.shared.stop.raise(now);
        }
    }

    fn drain(&mut self) {
        if let Some(begin) = self.cpu_begin {
            let end = threads::used(self.instances);
            self.cpu_used = end.zip(begin).map(|(end, begin)| end.since(begin));
        }
        self.work.sending = false;
        let mut until = self.work.now() + self.work.seat.options.drain;
        while self.task.is_busy() && self.work.now() < until {
            if self.work.seat.shared.stop.raised().is_some() {
                until = until.min(self.work.now() + STOP_DRAIN);
            }
            let next = until.min(self.work.now() + LOOK);
            self.task.step(&mut self.work, next);
            let now = self.work.now();
            self.work.recorder.turn(now);
        }
    }

    /// Counters are as old as the last statistics: the next ones have all there is.
    fn await_statistics(&mut self) {
        let Some(edition) = self.task.context().map(Context::editions) else {
            return;
        };
        let deadline = self.work.now() + STATISTICS_WAIT;
        while self.task.context().map(Context::editions) == Some(edition)
            && self.work.now() < deadline
        {
            self.task.idle(Duration::from_millis(STATISTICS_MS / 10));
        }
    }

    fn finish(mut self) -> WorkerEnd {
        let window = &self.work.window;
        let by_itself = window.end == Tick::NEVER && window.begin != Tick::NEVER;
        // A window without a planned end lasts as long as something came.
        let now = if by_itself {
            self.work.last
        } else {
            self.work.now()
        };
        let details = self.task.finish(&mut self.work, now);
        self.await_statistics();
        let (counts, endpoints) = match self.task.context() {
            Some(context) => {
                self.work.wire(context, now);
                self.connections(context)
            }
            None => Default::default(),
        };
        let Work { seat, recorder, .. } = self.work;
        WorkerEnd {
            worker: seat.worker,
            cpu: seat.cpu,
            connections: seat.dealt.len() as u32,
            counts,
            endpoints,
            waiting: "librdkafka's queue",
            cpu_used: self.cpu_used,
            errors: recorder.finish(now),
            details,
            gave_up: self.gave_up,
            ..WorkerEnd::default()
        }
    }

    /// As librdkafka counts its own; those to bootstrap servers are among them.
    fn connections(&self, context: &Context) -> (ConnectionCounts, Vec<EndpointCounts>) {
        let statistics = context.statistics();
        let mut counts = ConnectionCounts::default();
        for broker in statistics.brokers.values() {
            counts.opened += broker.connects;
            counts.lost += broker.disconnects;
            counts.alive_at_end += u64::from(broker.state == "UP");
        }
        if counts.opened == 0 {
            counts.connect_failures = self.work.seat.dealt.len() as u64;
        }
        let rows = self.work.routes.iter().zip(&self.work.ended).enumerate();
        let row = |(route, (named, &(completed, failed))): (RouteId, (&Route, &(u64, u64)))| {
            Some(EndpointCounts {
                route,
                endpoint: named.endpoints.first()?.clone(),
                opened: 0,
                completed,
                failed,
            })
        };
        (counts, rows.filter_map(row).collect())
    }
}
