//! What is sent, when, and on which connection.
//!
//! Closed loop and the two ways of open loop differ only here: in what makes a request due. Nothing
//! here may skip a request that is due, or forgive its lateness.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::conn::{Flight, Pending, State};
use super::deal::{Dealt, shares};
use super::options::EngineOptions;
use super::ready::Ready;
use super::worker::{Stage, Worker};
use crate::driver::{Driver, Sent, Slot};
use crate::pace::{Arrival, Dispatch, Evenly, Pacing, Part, Schedule};
use crate::protocol::{Cause, Phase, Session};
use crate::record::Answer;
use crate::time::Tick;
use crate::workload::{Next, Request, Route, RouteId, Workload};

/// How long a route or connection with nothing to ask is left alone, ns.
const IDLE_NS: u64 = 1_000_000;
/// Connections that get their first request between two looks at the sockets.
const KICK: usize = 64;

/// A schedule before its epoch is known.
#[derive(Clone, Copy, Debug)]
struct Blueprint {
    arrival: Arrival,
    rate_per_s: f64,
    part: Part,
    seed: u64,
}

/// One schedule, of a route or of a pinned connection.
#[derive(Debug)]
pub(super) struct Release {
    blueprint: Blueprint,
    schedule: Option<Schedule>,
    idle_until: Tick,
}

impl Release {
    fn head(&self) -> Tick {
        self.schedule.as_ref().map_or(Tick::NEVER, Schedule::head)
    }

    fn take(&mut self) -> Tick {
        self.schedule.as_mut().map_or(Tick::NEVER, Schedule::take)
    }
}

/// What makes this worker's requests due.
#[derive(Debug)]
pub(super) enum Releases {
    /// A completion on the same connection. So many connections have had their first request.
    Closed { kicked: usize },
    /// The clock, for any connection of the route; `None` where this worker has none.
    Pool {
        routes: Vec<Option<Release>>,
        ready: Ready,
    },
    /// The clock, for each connection by itself; the heap holds those whose next request is not
    /// due yet.
    Pinned {
        slots: Vec<Release>,
        due: BinaryHeap<Reverse<(Tick, Slot)>>,
    },
}

impl Releases {
    pub(super) fn new(
        options: &EngineOptions,
        routes: &[Route],
        dealt: &[Dealt],
        workers: usize,
        _worker: usize,
    ) -> Self {
        let Pacing::Open {
            rate_per_s,
            arrival,
        } = options.pacing
        else {
            return Self::Closed { kicked: 0 };
        };
        let counts = shares(options.connections, routes);
        let weights: f64 = routes.iter().map(|r| f64::from(r.weight.max(1))).sum();
        let release = |route: RouteId, index: u64, of: u64| Release {
            blueprint: Blueprint {
                arrival,
                rate_per_s: rate_per_s * f64::from(routes[route].weight.max(1)) / weights,
                part: Part {
                    index,
                    of,
                    phase: route as f64 / routes.len() as f64,
                },
                seed: options.seed.wrapping_add(route as u64 * 0x9e37_79b9),
            },
            schedule: None,
            idle_until: Tick(0),
        };
        match options.dispatch {
            Dispatch::Pinned => {
                let one =
                    |d: &Dealt| release(d.route, u64::from(d.of_route), u64::from(counts[d.route]));
                Self::Pinned {
                    slots: dealt.iter().map(one).collect(),
                    due: BinaryHeap::new(),
                }
            }
            Dispatch::Pool => {
                let one = |route: RouteId| {
                    // The first connections of a route go one to each worker.
                    let mine = dealt
                        .iter()
                        .filter(|d| d.route == route)
                        .map(|d| d.of_route)
                        .min();
                    let of = u64::from(counts[route]).min(workers as u64);
                    mine.map(|index| release(route, u64::from(index), of))
                };
                let ready = Ready::new(dealt.len(), routes.len(), options.depth as usize);
                Self::Pool {
                    routes: (0..routes.len()).map(one).collect(),
                    ready,
                }
            }
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Release> {
        let (routes, slots) = match self {
            Self::Closed { .. } => (None, None),
            Self::Pool { routes, .. } => (Some(routes.iter_mut().flatten()), None),
            Self::Pinned { slots, .. } => (None, Some(slots.iter_mut())),
        };
        routes
            .into_iter()
            .flatten()
            .chain(slots.into_iter().flatten())
    }

    /// Hands every request due before `end` and never taken to `each`.
    pub(super) fn unsent(&mut self, end: Tick, mut each: impl FnMut(Evenly)) {
        let schedules = self.all().filter_map(|release| release.schedule.as_mut());
        for schedule in schedules {
            schedule.take_before(end, &mut each);
        }
    }
}

/// What a worker finds when it asks for a request.
enum Asked<R> {
    Request(R),
    /// Not now.
    Idle,
    /// Never again.
    Nothing,
}

impl<W: Workload, D: Driver> Worker<W, D> {
    /// The epoch is known.
    pub(super) fn plan_releases(&mut self, epoch: Tick) {
        for release in self.releases.all() {
            let b = release.blueprint;
            release.schedule = Some(Schedule::new(
                b.arrival,
                b.rate_per_s,
                b.part,
                b.seed,
                epoch,
            ));
        }
        for slot in 0..self.conns.len() {
            self.list(slot, epoch);
            if let Releases::Pinned { slots, due } = &mut self.releases {
                due.push(Reverse((slots[slot].head(), slot)));
                self.conns[slot].scheduled = true;
            }
        }
    }

    /// When the next request is due that could be sent by then.
    pub(super) fn next_due(&self) -> Tick {
        if self.spent {
            return Tick::NEVER;
        }
        match &self.releases {
            Releases::Closed { kicked } if *kicked < self.conns.len() => self.window.epoch,
            Releases::Closed { .. } => Tick::NEVER,
            Releases::Pool { routes, ready } => {
                let due = |(route, release): (usize, &Option<Release>)| {
                    let release = release.as_ref().filter(|_| ready.first(route).is_some())?;
                    Some(release.head().max(release.idle_until))
                };
                routes
                    .iter()
                    .enumerate()
                    .filter_map(due)
                    .min()
                    .unwrap_or(Tick::NEVER)
            }
            Releases::Pinned { due, .. } => due.peek().map_or(Tick::NEVER, |d| d.0.0),
        }
    }

    /// Sends what has become due by itself.
    pub(super) fn release(&mut self, now: Tick) {
        match &mut self.releases {
            Releases::Closed { kicked } => {
                let from = *kicked;
                *kicked = self.conns.len().min(from + KICK);
                for slot in from..self.conns.len().min(from + KICK) {
                    self.top_up(slot, now);
                }
            }
            Releases::Pool { routes, .. } => {
                for route in 0..routes.len() {
                    self.release_route(route, now);
                }
            }
            Releases::Pinned { .. } => self.release_pinned(now),
        }
    }

    fn release_route(&mut self, route: RouteId, now: Tick) {
        loop {
            let Releases::Pool { routes, ready } = &self.releases else {
                return;
            };
            let Some(release) = &routes[route] else {
                return;
            };
            let head = release.head();
            if head > now || head >= self.window.end || release.idle_until > now {
                return;
            }
            let Some(slot) = ready.first(route) else {
                return;
            };
            let asked = self.ask(slot);
            let Releases::Pool { routes, .. } = &mut self.releases else {
                return;
            };
            let Some(release) = &mut routes[route] else {
                return;
            };
            match asked {
                Asked::Request(request) => {
                    let intended = release.take();
                    let sent = self.driver.now();
                    self.give(slot, request, intended, sent);
                    self.flush(slot);
                    self.list(slot, sent);
                }
                Asked::Idle => release.idle_until = now.after(IDLE_NS),
                Asked::Nothing => return,
            }
        }
    }

    fn release_pinned(&mut self, now: Tick) {
        while let Releases::Pinned { due, .. } = &mut self.releases
            && let Some(&Reverse((at, slot))) = due.peek()
            && at <= now
        {
            due.pop();
            self.conns[slot].scheduled = false;
            self.serve(slot, now);
        }
    }

    /// Pinned dispatch: sends what is due on `slot`.
    fn serve(&mut self, slot: Slot, now: Tick) {
        loop {
            let conn = &self.conns[slot];
            let can_take = conn.can_take(self.options.depth as usize, now);
            let Releases::Pinned { slots, due } = &mut self.releases else {
                return;
            };
            let release = &mut slots[slot];
            let head = release.head().max(release.idle_until);
            if release.head() >= self.window.end {
                return;
            }
            if head > now {
                if !self.conns[slot].scheduled {
                    self.conns[slot].scheduled = true;
                    due.push(Reverse((head, slot)));
                }
                return;
            }
            if !can_take {
                return;
            }
            let asked = self.ask(slot);
            let Releases::Pinned { slots, .. } = &mut self.releases else {
                return;
            };
            match asked {
                Asked::Request(request) => {
                    let intended = slots[slot].take();
                    let sent = self.driver.now();
                    self.give(slot, request, intended, sent);
                    self.flush(slot);
                }
                Asked::Idle => slots[slot].idle_until = now.after(IDLE_NS),
                Asked::Nothing => return,
            }
        }
    }

    /// Something about `slot` has changed: it may be able to take a request.
    #[inline]
    pub(super) fn changed(&mut self, slot: Slot, now: Tick) {
        if self.stage != Stage::Run || now >= self.window.end {
            self.list(slot, now);
            return;
        }
        match &self.releases {
            Releases::Closed { kicked } => {
                if slot < *kicked {
                    self.top_up(slot, now);
                }
            }
            Releases::Pool { .. } => {
                self.pay(slot, now);
                self.list(slot, now);
                self.release_route(self.conns[slot].dealt.route, now);
            }
            Releases::Pinned { .. } => {
                self.pay(slot, now);
                self.serve(slot, now);
            }
        }
    }

    /// Pool dispatch: puts `slot` where it belongs.
    #[inline]
    fn list(&mut self, slot: Slot, now: Tick) {
        if let Releases::Pool { ready, .. } = &mut self.releases {
            let conn = &self.conns[slot];
            let takes = conn.can_take(self.options.depth as usize, now);
            ready.set(slot, conn.dealt.route, takes.then_some(conn.flight.len()));
        }
    }

    /// Sends what feedback asked for.
    fn pay(&mut self, slot: Slot, now: Tick) {
        let conn = &self.conns[slot];
        let open = conn.state == State::Ready && !conn.blocked && conn.paused_until <= now;
        if conn.owed.is_empty() || !open {
            return;
        }
        let sent = self.driver.now();
        while let Some(request) = self.conns[slot].owed.pop_front() {
            self.give(slot, request, sent, sent);
        }
        self.flush(slot);
    }

    /// Closed loop: fills `slot` up to its depth, with one send.
    #[inline]
    fn top_up(&mut self, slot: Slot, now: Tick) {
        self.pay(slot, now);
        let depth = self.options.depth as usize;
        if !self.conns[slot].can_take(depth, now) {
            return;
        }
        let sent = self.driver.now();
        while self.conns[slot].can_take(depth, sent) {
            match self.ask(slot) {
                Asked::Request(request) => self.give(slot, request, sent, sent),
                Asked::Idle => {
                    self.set_timer(slot, sent.after(IDLE_NS));
                    break;
                }
                Asked::Nothing => break,
            }
        }
        self.flush(slot);
    }

    #[inline]
    fn ask(&mut self, slot: Slot) -> Asked<Request<W>> {
        if self.credit == 0 {
            self.credit = if self.spent {
                0
            } else {
                self.shared.budget.claim()
            };
            if self.credit == 0 {
                self.spent = true;
                return Asked::Nothing;
            }
        }
        let dealt = self.conns[slot].dealt;
        match self.workload.next(dealt.route, dealt.number, self.number) {
            Next::Ready(request) => {
                self.credit -= 1;
                self.number += 1;
                Asked::Request(request)
            }
            Next::Idle => Asked::Idle,
            Next::Done => {
                self.shared.budget.give_back(self.credit);
                self.credit = 0;
                self.spent = true;
                Asked::Nothing
            }
        }
    }

    /// Puts a request on `slot`; where there is no connection yet, it waits for its own.
    #[inline]
    fn give(&mut self, slot: Slot, request: Request<W>, intended: Tick, sent: Tick) {
        self.recorder.sent(intended, sent);
        self.in_flight += 1;
        if self.conns[slot].state == State::Cold {
            self.conns[slot].pending = Some(Pending {
                request,
                intended,
                sent,
            });
            self.begin_connect(slot);
        } else {
            self.put(slot, request, intended, sent);
        }
    }

    /// Encodes a request behind what is in the outbox.
    #[inline]
    pub(super) fn put(&mut self, slot: Slot, request: Request<W>, intended: Tick, sent: Tick) {
        let conn = &mut self.conns[slot];
        let Some(session) = &mut conn.session else {
            return;
        };
        let ticket = session.encode(request, sent, &mut self.outbox);
        self.recorder.carried(ticket.payload_tx_bytes);
        conn.served += 1;
        conn.retiring |= self
            .per_connection
            .is_some_and(|limit| conn.served >= limit);
        let flight = Flight {
            ticket,
            intended,
            sent,
            first: Tick::NEVER,
        };
        if ticket.answered {
            conn.flight.push_back(flight);
        } else {
            conn.unflushed.push(flight);
        }
    }

    /// Sends what is in the outbox.
    #[inline]
    pub(super) fn flush(&mut self, slot: Slot) {
        if self.outbox.is_empty() {
            return;
        }
        let bytes = self.outbox.len() as u64;
        match self.driver.send(slot, &mut self.outbox) {
            Sent::All => {
                self.recorder.wrote(bytes);
                if !self.conns[slot].unflushed.is_empty() {
                    self.written(slot);
                }
            }
            Sent::Kept => {
                self.recorder.wrote(bytes);
                self.conns[slot].blocked = true;
            }
            Sent::Failed(cause) => {
                self.outbox.clear();
                self.write_failed(slot, cause);
            }
        }
    }

    /// Requests without a reply are out, and so complete.
    fn written(&mut self, slot: Slot) {
        let now = self.driver.now();
        let status = self.tables.written;
        let conn = &mut self.conns[slot];
        self.in_flight -= conn.unflushed.len() as u64;
        self.endpoints[conn.endpoint].completed += conn.unflushed.len() as u64;
        for flight in conn.unflushed.drain(..) {
            let answer = Answer {
                op: flight.ticket.op,
                status,
                units: flight.ticket.units,
                payload_rx_bytes: Some(0),
                intended: flight.intended,
                sent: flight.sent,
                first: now,
                last: now,
                origin: None,
            };
            self.recorder.answered(&answer, false);
        }
        // Not at once: other connections have their turn first.
        self.set_timer(slot, now.after(1));
    }

    /// The driver has sent all it kept.
    pub(super) fn flushed(&mut self, slot: Slot) {
        self.conns[slot].blocked = false;
        if !self.conns[slot].unflushed.is_empty() {
            self.written(slot);
        }
        let now = self.driver.now();
        self.settle(slot, now);
    }

    pub(super) fn write_failed(&mut self, slot: Slot, cause: Cause) {
        self.broken(slot, Phase::Write, cause);
    }
}
