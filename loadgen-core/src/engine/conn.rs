//! One connection as the engine keeps it.
//!
//! Plain state: who changes it is the worker. Nothing here may touch a driver.

use std::collections::VecDeque;

use super::deal::Dealt;
use crate::protocol::{Cause, Phase, Ticket};
use crate::time::Tick;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is none; a timer or the queue of connects brings it back.
    Down,
    /// There is none and need not be: the next request connects first.
    Cold,
    /// `connect()` was called.
    Connecting,
    /// The protocol's greeting is under way.
    Handshake,
    /// It takes requests.
    Ready,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) intended: Tick,
    pub(super) sent: Tick,
    /// [`Tick::NEVER`] until a byte of the reply has come.
    pub(super) first: Tick,
}

/// A request that was chosen and waits for its own connection.
#[derive(Debug)]
pub(super) struct Pending<R> {
    pub(super) request: R,
    pub(super) intended: Tick,
    /// When `connect()` was called for it.
    pub(super) sent: Tick,
}

/// Why a connection is given up.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) phase: Phase,
    pub(super) cause: Cause,
    /// What its neighbours in flight are counted as.
    pub(super) others: Cause,
    pub(super) detail: String,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn<S, R> {
    pub(super) dealt: Dealt,
    pub(super) state: State,
    /// Its route's pacing is the run's.
    pub(super) paced: bool,
    /// It is not paced, and had nothing to ask any more when it was asked last.
    pub(super) done: bool,
    pub(super) session: Option<S>,
    /// A position in the worker's table of endpoints.
    pub(super) endpoint: usize,
    pub(super) flight: VecDeque<Flight>,
    /// Requests without a reply that the driver still keeps.
    pub(super) unflushed: Vec<Flight>,
    /// What feedback asked for; goes out before anything else.
    pub(super) owed: VecDeque<R>,
    pub(super) pending: Option<Pending<R>>,
    /// The driver keeps bytes and takes none.
    pub(super) blocked: bool,
    /// Bytes handed to the driver that it has not told to be out yet; wire and payload.
    pub(super) kept_bytes: u64,
    pub(super) kept_payload_bytes: u64,
    /// Takes nothing new and is closed when its flight is empty.
    pub(super) retiring: bool,
    /// Received, and not understood yet.
    pub(super) tail: Vec<u8>,
    /// Bytes of the current reply that need not be seen.
    pub(super) skip: u64,
    /// Bytes skipped since the last decode.
    pub(super) skipped: u64,
    /// The current reply has bytes worth discarding.
    pub(super) discarded: bool,
    /// The last reply had bytes worth discarding: read only the head of the next one.
    pub(super) large: bool,
    /// Requests put on this connection since it was made.
    pub(super) served: u64,
    /// Replies on it since it was made.
    pub(super) replies: u64,
    /// Failed attempts in a row, connections without a single reply among them.
    pub(super) failures: u32,
    /// Failed attempts so far: so many endpoints of the route are passed over.
    pub(super) detour: u32,
    /// How long it was last left alone with nothing to ask, ns; 0 after a reply.
    pub(super) idle_ns: u64,
    /// Attempts so far.
    pub(super) serial: u64,
    /// The first attempt has ended, well or not.
    pub(super) tried: bool,
    /// When `connect()` was called.
    pub(super) since: Tick,
    pub(super) paused_until: Tick,
    /// The one timer of this connection that counts; [`Tick::NEVER`]: none.
    pub(super) timer: Tick,
    /// Pinned dispatch: its next arrival is in the heap.
    pub(super) scheduled: bool,
}

impl<S, R> Conn<S, R> {
    pub(super) fn new(dealt: Dealt, state: State, paced: bool) -> Self {
        Self {
            dealt,
            state,
            paced,
            done: false,
            session: None,
            endpoint: 0,
            flight: VecDeque::new(),
            unflushed: Vec::new(),
            owed: VecDeque::new(),
            pending: None,
            blocked: false,
            kept_bytes: 0,
            kept_payload_bytes: 0,
            retiring: false,
            tail: Vec::new(),
            skip: 0,
            skipped: 0,
            discarded: false,
            large: false,
            served: 0,
            replies: 0,
            failures: 0,
            detour: 0,
            idle_ns: 0,
            serial: 0,
            tried: state == State::Cold,
            since: Tick::NEVER,
            paused_until: Tick(0),
            timer: Tick::NEVER,
            scheduled: false,
        }
    }

    /// Forgets everything that belonged to the connection that was.
    pub(super) fn reset(&mut self, state: State) {
        self.state = state;
        self.session = None;
        self.flight.clear();
        self.unflushed.clear();
        self.owed.clear();
        self.pending = None;
        self.blocked = false;
        self.retiring = false;
        self.tail.clear();
        (self.skip, self.skipped) = (0, 0);
        self.discarded = false;
        (self.served, self.replies) = (0, 0);
        (self.kept_bytes, self.kept_payload_bytes) = (0, 0);
        self.paused_until = Tick(0);
        self.timer = Tick::NEVER;
        self.idle_ns = 0;
    }

    /// Whether it may take a request now.
    #[inline]
    pub(super) fn can_take(&self, depth: usize, now: Tick) -> bool {
        matches!(self.state, State::Ready | State::Cold)
            && self.flight.len() + self.unflushed.len() < depth
            && !self.blocked
            && !self.retiring
            && self.paused_until <= now
    }
}
