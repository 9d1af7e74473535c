//! One thread's share of a run: the loop, and what it looks at between events.
//!
//! `wait → events → look` is the whole of it. What an event does is in `receive.rs`, what is sent
//! in `send.rs`, how connections come and go in `connect.rs` and `fail.rs`. Nothing here may lock,
//! allocate or format per request.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::client::Shared;
use super::conn::{Conn, State};
use super::deal::Dealt;
use super::options::{ConnectionCounts, EndpointCounts, EngineOptions, Seat, WorkerEnd};
use super::pulse::Hand;
use super::release::{Releases, Strays};
use crate::buffer::Outbox;
use crate::driver::{CpuUsed, Driver, Event, Slot, TcpInfo};
use crate::protocol::{Outcome, Tables, Tally};
use crate::record::{Recorder, Window};
use crate::time::{Tick, nanos};
use crate::workload::{Random, Request, Route, Workload};

/// Events between two looks at the pacer: 32 of them are about 150 µs.
const EVENTS_PER_LOOK: usize = 32;
/// Events between two waits, so that a flood on some sockets never starves the others.
const EVENTS_PER_TURN: usize = 512;
/// One receive's worth; a part of a reply that must be seen whole has to fit.
const BUFFER_BYTES: usize = 256 * 1024;
/// How often a worker that waits for the others asks whether they are there, ns.
const GATE_POLL_NS: u64 = 500_000;
/// How long a stop from outside waits for what is in flight, ns.
const STOP_DRAIN_NS: u64 = 1_000_000_000;
/// The longest time between two sweeps, ns.
pub(super) const SWEEP_NS: u64 = 100_000_000;

/// Where a worker is in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its connections are being made.
    Connect,
    /// They were all tried; the others' are not.
    Gate,
    /// It sends.
    Run,
    /// It sends nothing new.
    Drain,
    /// It is done.
    Over,
}

/// One thread's share of a run.
#[expect(
    missing_debug_implementations,
    reason = "requests and sessions need not have any"
)]
pub struct Worker<W: Workload, D: Driver> {
    pub(super) driver: D,
    pub(super) workload: W,
    pub(super) recorder: Recorder,
    pub(super) tables: Arc<Tables>,
    /// By status: whether its outcome is an error.
    pub(super) is_error: Vec<bool>,
    pub(super) options: Arc<EngineOptions>,
    pub(super) shared: Arc<Shared>,
    pub(super) routes: Vec<Route>,
    pub(super) per_connection: Option<u64>,
    pub(super) conns: Vec<Conn<W::Session, Request<W>>>,
    pub(super) endpoints: Vec<EndpointCounts>,
    pub(super) counts: ConnectionCounts,
    pub(super) releases: Releases,
    pub(super) strays: Strays,
    /// How many there are.
    pub(super) workers: usize,
    pub(super) timers: BinaryHeap<Reverse<(Tick, Slot)>>,
    /// Connections that wait for their turn to connect, and how many are under way.
    pub(super) to_connect: VecDeque<Slot>,
    pub(super) connecting: usize,
    pub(super) untried: usize,
    /// Connections that are ready.
    pub(super) alive: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) outbox: Outbox,
    pub(super) tally: Tally,
    pub(super) random: Random,
    pub(super) stage: Stage,
    pub(super) window: Window,
    pub(super) in_flight: u64,
    /// Requests that feedback asked for and that are not sent yet.
    pub(super) owed: u64,
    /// The connections of routes that are not paced have had their first request.
    pub(super) following_begun: bool,
    /// Payload bytes in the outbox.
    pub(super) carrying_bytes: u64,
    /// A route is being released: what changes meanwhile is only listed.
    pub(super) releasing: bool,
    /// `TCP_INFO` of connections that were lost.
    pub(super) tcp: Vec<TcpInfo>,
    /// Requests of this worker so far.
    pub(super) number: u64,
    pub(super) hand: Hand,
    /// Nothing is left to send.
    pub(super) spent: bool,
    pub(super) woke: Tick,
    sweep_at: Tick,
    drain_until: Tick,
    /// The stop from outside was seen.
    stopped: bool,
    cpu_begin: Option<(Option<CpuUsed>, u64)>,
    pub(super) end: WorkerEnd,
}

impl<W: Workload, D: Driver> Worker<W, D> {
    /// A worker on `driver`. `per_connection`: requests a connection carries.
    pub fn new(
        seat: Seat,
        recorder: Recorder,
        driver: D,
        workload: W,
        tables: Arc<Tables>,
        routes: Vec<Route>,
        per_connection: Option<u64>,
    ) -> Self {
        let Seat {
            worker,
            workers,
            cpu,
            options,
            dealt,
            shared,
            ..
        } = seat;
        let cold = per_connection == Some(1);
        let state = if cold { State::Cold } else { State::Down };
        let of = |d: &Dealt| Conn::new(*d, state, routes[d.route].paced);
        let conns: Vec<_> = dealt.iter().map(of).collect();
        let slots = conns.len();
        let end = WorkerEnd {
            worker,
            cpu,
            connections: slots as u32,
            ..WorkerEnd::default()
        };
        let statuses = tables.statuses.iter();
        let is_error = statuses.map(|s| s.outcome == Outcome::Error).collect();
        let releases = Releases::new(&options, &routes, &dealt, workers);
        Self {
            driver,
            workload,
            recorder,
            tables,
            is_error,
            shared,
            routes,
            per_connection,
            conns,
            endpoints: Vec::new(),
            counts: ConnectionCounts::default(),
            releases,
            strays: Strays::default(),
            workers,
            timers: BinaryHeap::new(),
            to_connect: VecDeque::new(),
            connecting: 0,
            untried: if state == State::Cold { 0 } else { slots },
            alive: 0,
            buffer: vec![0; BUFFER_BYTES],
            outbox: Outbox::default(),
            tally: Tally::default(),
            random: Random::new(options.seed ^ (worker as u64 + 1).wrapping_mul(0x5851_f42d)),
            stage: Stage::Connect,
            window: Window::unknown(nanos(options.interval)),
            in_flight: 0,
            owed: 0,
            following_begun: false,
            carrying_bytes: 0,
            releasing: false,
            tcp: Vec::new(),
            number: 0,
            hand: Hand::default(),
            spent: false,
            woke: Tick(0),
            sweep_at: Tick(0),
            drain_until: Tick::NEVER,
            stopped: false,
            cpu_begin: None,
            end,
            options,
        }
    }

    /// Works until the run is over.
    #[must_use]
    pub fn run(mut self) -> WorkerEnd {
        if self.per_connection != Some(1) {
            self.to_connect.extend(0..self.conns.len());
            self.connect_more();
        }
        self.look();
        while self.stage != Stage::Over {
            self.turn();
        }
        self.finish()
    }

    /// One wait and what it brought.
    fn turn(&mut self) {
        let (until, precise) = self.deadline();
        self.woke = self.driver.wait(until, precise);
        for handled in 1..=EVENTS_PER_TURN {
            let Some((slot, event)) = self.driver.next() else {
                break;
            };
            match event {
                Event::Readable => self.readable(slot),
                Event::Connected => self.connected(slot),
                Event::ConnectFailed(cause) => self.connect_failed(slot, cause),
                Event::Flushed => self.flushed(slot),
                Event::WriteFailed(cause) => self.write_failed(slot, cause),
            }
            if handled % EVENTS_PER_LOOK == 0 {
                self.look();
            }
        }
        self.look();
    }

    /// When to wake up at the latest, and whether a request is due then.
    fn deadline(&self) -> (Tick, bool) {
        let mut until = self.sweep_at;
        if let Some(Reverse((tick, _))) = self.timers.peek() {
            until = until.min(*tick);
        }
        let (mut due, mut precise) = (Tick::NEVER, false);
        match self.stage {
            Stage::Connect => {}
            Stage::Gate => until = until.min(self.woke.after(GATE_POLL_NS)),
            Stage::Run => {
                if self.cpu_begin.is_none() {
                    until = until.min(self.window.begin.max(self.window.epoch));
                }
                until = until.min(self.window.end).min(self.hand.look_again);
                (due, precise) = self.next_due();
            }
            Stage::Drain | Stage::Over => until = until.min(self.drain_until),
        }
        if due <= until {
            (due, precise)
        } else {
            (until, false)
        }
    }

    /// What time alone brings about.
    pub(super) fn look(&mut self) {
        let now = self.driver.now();
        if !self.stopped
            && let Some(at) = self.shared.stop.raised()
        {
            self.stop(at, now);
        }
        match self.stage {
            Stage::Connect if self.untried == 0 || self.waited_long_enough(now) => {
                let cold = self.per_connection == Some(1);
                let alive = if cold {
                    self.conns.len() as u64
                } else {
                    self.alive
                };
                self.shared.gate.arrive(alive, now);
                self.stage = Stage::Gate;
                self.look_at_gate(now);
            }
            Stage::Gate => self.look_at_gate(now),
            Stage::Run => self.look_while_running(now),
            Stage::Drain if self.is_drained() || now >= self.drain_until => {
                self.stage = Stage::Over;
            }
            _ => {}
        }
        self.fire_timers(now);
        if now >= self.sweep_at {
            self.sweep(now);
        }
        if let Some(routes) = self.workload.routes_changed() {
            self.move_routes(routes, now);
        }
    }

    fn look_at_gate(&mut self, now: Tick) {
        let Some(epoch) = self.shared.gate.epoch() else {
            return;
        };
        let begin = epoch + self.options.warmup;
        let end = self.options.stop.end(begin);
        self.window = Window {
            epoch,
            begin,
            end,
            ..self.window
        };
        self.recorder.set_window(self.window, now);
        if self.shared.gate.alive() == 0 {
            self.stage = Stage::Over;
            return;
        }
        self.begin_pulse(now);
        self.stage = Stage::Run;
        self.plan_releases(epoch);
        if now >= epoch {
            self.look_while_running(now);
        }
    }

    fn look_while_running(&mut self, now: Tick) {
        if now < self.window.epoch {
            return;
        }
        if self.cpu_begin.is_none() && now >= self.window.begin {
            self.cpu_begin = Some((self.driver.cpu(), self.driver.stats().spin_ns));
        }
        if now >= self.window.end {
            self.begin_drain(now);
            return;
        }
        if self.shared.adrift.any() {
            self.take_over(now);
        }
        self.release(now);
        self.spent |= self.nothing_left();
        if self.spent && self.in_flight == self.following() && self.owed == 0 {
            self.begin_drain(now);
        }
        self.hand.look_again = self.ask_others_at(now);
    }

    /// Whether everything that may be sent was.
    pub(super) fn nothing_left(&self) -> bool {
        self.spent || (self.hand.credit == 0 && self.shared.budget.is_over())
    }

    /// Connections are tried in turn, and a run must begin some day: with none there after as long
    /// as one may take, or after twice that with some, the others go on in the background.
    fn waited_long_enough(&self, now: Tick) -> bool {
        let patience = if self.alive == 0 { 1 } else { 2 };
        now.0 > nanos(self.options.connect_timeout).saturating_mul(patience)
    }

    fn stop(&mut self, at: Tick, now: Tick) {
        self.stopped = true;
        if at < self.window.end {
            self.window.end = at.max(self.window.begin.min(now));
            if self.window.epoch != Tick::NEVER {
                self.recorder.set_window(self.window, now);
            }
        }
        match self.stage {
            Stage::Connect | Stage::Gate => self.stage = Stage::Over,
            Stage::Run => self.begin_drain(now),
            Stage::Drain | Stage::Over => {}
        }
        self.drain_until = self.drain_until.min(now.after(STOP_DRAIN_NS));
    }

    fn begin_drain(&mut self, now: Tick) {
        self.end_cpu();
        self.end.drained_at = Some(now);
        if self.conns.iter().any(|conn| !conn.paced) {
            self.recorder.drain(now);
        }
        self.stage = Stage::Drain;
        self.drain_until = now + self.options.drain;
        self.counts.alive_at_end = self.alive;
        self.workload.draining();
        if self.is_drained() {
            self.stage = Stage::Over;
        }
    }

    fn is_drained(&self) -> bool {
        self.in_flight == 0 && !self.followers_go_on()
    }

    fn end_cpu(&mut self) {
        let Some((begin, spin_ns)) = self.cpu_begin else {
            return;
        };
        if self.end.cpu_used.is_none() {
            self.end.cpu_used = self
                .driver
                .cpu()
                .zip(begin)
                .map(|(end, begin)| end.since(begin));
            self.end.spin_ns = self.driver.stats().spin_ns.saturating_sub(spin_ns);
        }
    }

    fn sweep(&mut self, now: Tick) {
        let period_ns = (nanos(self.options.timeout) / 8).clamp(1_000_000, SWEEP_NS);
        self.sweep_at = now.after(period_ns);
        self.recorder.turn(now);
        self.driver.sweep();
        for slot in 0..self.conns.len() {
            self.check_timeout(slot, now);
        }
        let endless = self.options.stop.duration().is_none();
        if endless && self.stage == Stage::Run && now >= self.window.epoch {
            self.take_pulse(now);
        }
    }

    /// Looks at `slot` again at `at`, or earlier when something else asked for that.
    pub(super) fn set_timer(&mut self, slot: Slot, at: Tick) {
        if at < self.conns[slot].timer {
            self.conns[slot].timer = at;
            self.timers.push(Reverse((at, slot)));
        }
    }

    fn fire_timers(&mut self, now: Tick) {
        while let Some(&Reverse((at, slot))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            if self.conns[slot].timer != at {
                continue;
            }
            self.conns[slot].timer = Tick::NEVER;
            let conn = &self.conns[slot];
            if conn.state == State::Down {
                self.connect_soon(slot);
                continue;
            }
            if conn.paused_until > now {
                self.set_timer(slot, conn.paused_until);
            }
            self.settle(slot, now);
        }
    }

    fn finish(mut self) -> WorkerEnd {
        let now = self.driver.now();
        self.end_cpu();
        for conn in &mut self.conns {
            if conn.state == State::Connecting {
                self.recorder.unconnected(now.since(conn.since), now);
            }
            for flight in conn.unflushed.drain(..).chain(conn.flight.drain(..)) {
                self.recorder
                    .unanswered(flight.intended, flight.sent, flight.first, now);
            }
            if let Some(pending) = conn.pending.take() {
                self.recorder
                    .unanswered(pending.intended, pending.sent, Tick::NEVER, now);
            }
            for request in conn.owed.drain(..) {
                self.workload
                    .dropped(conn.dealt.route, conn.dealt.number, request);
            }
        }
        if !self.spent {
            self.hand_back();
            let budget = &self.shared.budget;
            self.strays.add(self.shared.adrift.take());
            let (releases, strays) = (&mut self.releases, &mut self.strays);
            releases.unsent(strays, self.window.end, |due| {
                let due = due.up_to(budget.write_off(due.count));
                self.recorder.unsent_evenly(&due, now);
            });
        }
        for slot in 0..self.conns.len() {
            if self.conns[slot].state == State::Ready {
                self.tcp.extend(self.driver.tcp_info(slot));
                if self.end.buffers.receive.is_none() {
                    self.end.buffers = self.driver.buffers(slot);
                }
                self.close_now(slot, false);
            }
        }
        self.end.tcp = self.tcp;
        self.end.waiting = self.driver.waiting();
        self.end.driver = self.driver.stats();
        self.end.counts = self.counts;
        self.end.endpoints = self.endpoints;
        self.end.details = self.workload.details();
        self.end.errors = self.recorder.finish(now);
        self.end
    }
}
