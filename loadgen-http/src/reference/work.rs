//! What all connections of one worker share: what may be sent, what has come of it.
//!
//! One thread, so cells instead of locks; no borrow may live across an await.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen_core::driver::Slot;
use loadgen_core::engine::{ConnectionCounts, EndpointCounts, Seat};
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::record::{Answer, Recorder, Window};
use loadgen_core::time::{Tick, nanos};
use loadgen_core::workload::{Endpoint, Random, Route, RouteId};
use tokio::sync::{Notify, Semaphore};

use super::pool::Pools;
use super::prepared::Prepared;
use crate::timer::Timer;
use crate::workload::Turn;

/// Connections of one worker under way at once, as in the native engine.
const CONNECTING: usize = 128;

/// The first status that is counted; the table of statuses is in the order of the codes.
const FIRST_STATUS: u16 = 100;

/// Where the worker is in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not all connections were tried, here or elsewhere.
    Wait,
    /// It sends.
    Run,
    /// It sends nothing new.
    Drain,
}

/// A request that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Its number in the plan.
    pub(super) request: u32,
    /// When it is due; `None`: when it is sent.
    pub(super) intended: Option<Tick>,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) intended: Tick,
    pub(super) sent: Tick,
}

/// The state of one worker.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) seat: Seat,
    pub(super) prepared: Arc<Prepared>,
    pub(super) routes: Vec<Route>,
    pub(super) timer: Timer,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) window: Cell<Window>,
    pub(super) stage: Cell<Stage>,
    /// The stage is [`Stage::Run`].
    pub(super) started: Notify,
    /// The control has something to look at.
    pub(super) changed: Notify,
    pub(super) pools: Option<Pools>,
    pub(super) counts: RefCell<ConnectionCounts>,
    pub(super) endpoints: RefCell<Vec<EndpointCounts>>,
    pub(super) flights: RefCell<Vec<Option<Flight>>>,
    pub(super) connecting: Semaphore,
    /// Connections whose first attempt has not ended.
    pub(super) untried: Cell<usize>,
    pub(super) alive: Cell<u64>,
    /// Requests chosen and not ended.
    pub(super) busy: Cell<u64>,
    pub(super) credit: Cell<u64>,
    /// Nothing is left to send.
    pub(super) spent: Cell<bool>,
    pub(super) random: RefCell<Random>,
    turns: RefCell<Vec<Turn>>,
    statuses: Vec<bool>,
}

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) seat: Seat,
    pub(super) recorder: Recorder,
    pub(super) prepared: Arc<Prepared>,
    pub(super) routes: Vec<Route>,
    pub(super) turns: Vec<Turn>,
    pub(super) timer: Timer,
}

impl Work {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            seat,
            recorder,
            prepared,
            routes,
            turns,
            timer,
        } = parts;
        let slots = seat.dealt.len();
        let cold = prepared.per_connection == Some(1);
        let options = Arc::clone(&seat.options);
        let seed = options.seed ^ (seat.worker as u64 + 1).wrapping_mul(0x5851_f42d);
        let codes = FIRST_STATUS..600;
        Self {
            pools: Pools::new(&options, &routes, &seat.dealt, seat.workers),
            window: Cell::new(Window::unknown(nanos(options.interval))),
            stage: Cell::new(Stage::Wait),
            started: Notify::new(),
            changed: Notify::new(),
            counts: RefCell::default(),
            endpoints: RefCell::default(),
            flights: RefCell::new(vec![None; slots]),
            connecting: Semaphore::new(CONNECTING),
            untried: Cell::new(if cold { 0 } else { slots }),
            alive: Cell::new(0),
            busy: Cell::new(0),
            credit: Cell::new(0),
            spent: Cell::new(false),
            random: RefCell::new(Random::new(seed)),
            turns: RefCell::new(turns),
            statuses: codes.map(|code| code >= 400).collect(),
            recorder: RefCell::new(recorder),
            seat,
            prepared,
            routes,
            timer,
        }
    }

    pub(super) fn now(&self) -> Tick {
        self.seat.clock.now()
    }

    /// Whether each request makes its own connection.
    pub(super) fn is_cold(&self) -> bool {
        self.prepared.per_connection == Some(1)
    }

    /// `tick` on the clock of the system.
    pub(super) fn instant(&self, tick: Tick) -> Instant {
        Instant::now() + Duration::from_nanos(tick.since(self.now()))
    }

    /// A request of `route`; `None`: nothing may be sent any more.
    pub(super) fn ask(&self, route: RouteId) -> Option<u32> {
        if self.stage.get() != Stage::Run || self.now() >= self.window.get().end {
            return None;
        }
        if self.credit.get() == 0 {
            let claimed = if self.spent.get() {
                0
            } else {
                self.seat.shared.budget.claim()
            };
            self.credit.set(claimed);
            if claimed == 0 {
                self.spent.set(true);
                self.changed.notify_one();
                return None;
            }
        }
        let request = self.turns.borrow_mut().get_mut(route)?.take()?;
        self.credit.set(self.credit.get() - 1);
        self.busy.set(self.busy.get() + 1);
        Some(request)
    }

    /// Whether everything that may be sent was.
    pub(super) fn nothing_left(&self) -> bool {
        self.spent.get() || (self.credit.get() == 0 && self.seat.shared.budget.is_spent())
    }

    /// A request that was chosen has ended.
    fn done(&self) {
        self.busy.set(self.busy.get() - 1);
        let ending = self.stage.get() == Stage::Drain || self.nothing_left();
        if ending && self.busy.get() == 0 {
            self.changed.notify_one();
        }
    }

    /// The row of an address in the table of endpoints.
    pub(super) fn row(&self, route: RouteId, endpoint: &Endpoint) -> usize {
        let mut rows = self.endpoints.borrow_mut();
        let known = |row: &EndpointCounts| row.route == route && row.endpoint == *endpoint;
        rows.iter().position(known).unwrap_or_else(|| {
            rows.push(EndpointCounts {
                route,
                endpoint: endpoint.clone(),
                opened: 0,
                completed: 0,
                failed: 0,
            });
            rows.len() - 1
        })
    }

    /// Bytes came. tokio does not tell when it polled for them: its hooks are called around a
    /// sleep only, and a worker that is busy or about to send does not sleep.
    pub(super) fn received(&self, bytes: u64) {
        let now = self.now();
        self.recorder.borrow_mut().received_untimed(bytes, now);
    }

    /// A request is on its way; where it has no connection yet, from here on.
    pub(super) fn begin(&self, slot: Slot, job: Job) -> Flight {
        self.timer.worked();
        let sent = self.now();
        let intended = job.intended.unwrap_or(sent);
        self.recorder.borrow_mut().sent(intended, sent);
        let flight = Flight { intended, sent };
        self.flights.borrow_mut()[slot] = Some(flight);
        flight
    }

    /// A reply came whole. Says whether its status is one that HTTP knows; if not, the request
    /// has failed.
    pub(super) fn answered(&self, slot: Slot, row: usize, reply: &WholeReply) -> bool {
        let status = usize::from(reply.code.wrapping_sub(FIRST_STATUS));
        let Some(&error) = self.statuses.get(status) else {
            return false;
        };
        let Some(flight) = self.flights.borrow_mut()[slot].take() else {
            return false;
        };
        let answer = Answer {
            op: 0,
            status: status as u16,
            units: 1,
            payload_rx_bytes: Some(reply.payload_bytes),
            intended: flight.intended,
            sent: flight.sent,
            first: reply.first,
            last: reply.last,
            origin: None,
        };
        self.recorder.borrow_mut().answered(&answer, error);
        self.endpoints.borrow_mut()[row].completed += 1;
        self.done();
        true
    }

    /// A request ended without a usable reply.
    pub(super) fn failed(
        &self,
        slot: Slot,
        row: usize,
        (phase, cause): (Phase, Cause),
        detail: impl FnOnce() -> String,
    ) {
        let Some(flight) = self.flights.borrow_mut()[slot].take() else {
            return;
        };
        let now = self.now();
        let mut recorder = self.recorder.borrow_mut();
        recorder.failed(flight.intended, flight.sent, now);
        recorder.error(phase, cause, now, detail);
        drop(recorder);
        self.endpoints.borrow_mut()[row].failed += 1;
        self.done();
    }

    /// The first attempt of a connection has ended.
    pub(super) fn tried(&self) {
        self.untried.set(self.untried.get().saturating_sub(1));
        if self.untried.get() == 0 {
            self.changed.notify_one();
        }
    }
}

/// A reply that came whole, and its stamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeReply {
    pub(super) code: u16,
    pub(super) payload_bytes: u64,
    pub(super) first: Tick,
    pub(super) last: Tick,
}
