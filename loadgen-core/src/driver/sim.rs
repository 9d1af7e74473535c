//! The driver without sockets: a scripted peer and a virtual clock.
//!
//! Time moves only in [`Driver::wait`], to the next thing that happens. Everything is exact and
//! repeatable; a run of minutes takes milliseconds. Nothing here may read a real clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Driver, Event, Received, Sent, Slot};
use crate::buffer::Outbox;
use crate::protocol::Cause;
use crate::time::Tick;
use crate::workload::Endpoint;

/// What a peer answers to a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// It is there after so many ns.
    After(u64),
    /// It is refused after so many ns.
    Refuse(u64),
    /// Nothing ever comes.
    Never,
    /// No socket could be made: it fails in the call.
    Fail(Cause),
}

/// What a peer does on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It sends.
    Bytes(Vec<u8>),
    /// It closes.
    End,
    /// It resets.
    Reset,
    /// It looks at the connection again: see [`Peer::look`]. Later steps may overtake it.
    Look,
}

/// What a peer does next, in order; each step so many ns after now, never before the one in front on
/// the same connection.
#[derive(Debug, Default)]
pub struct Script(Vec<(Option<u64>, u64, Action)>);

impl Script {
    /// Adds a step, `after_ns` from now.
    pub fn add(&mut self, after_ns: u64, action: Action) {
        self.0.push((None, after_ns, action));
    }

    /// Adds a step on connection `id`, whatever this one is: what was asked there may wait for what
    /// comes here. Nothing happens when it is gone.
    pub fn add_on(&mut self, id: u64, after_ns: u64, action: Action) {
        self.0.push((Some(id), after_ns, action));
    }
}

/// The other side of all connections of one worker.
pub trait Peer {
    /// Connection `id` (never used twice) is attempted.
    fn connect(&mut self, id: u64, endpoint: &Endpoint, at: Tick) -> Accept;

    /// Connection `id` is there: a peer that speaks first does so here.
    fn connected(&mut self, _id: u64, _at: Tick, _script: &mut Script) {}

    /// Bytes came on connection `id`.
    fn receive(&mut self, id: u64, bytes: &[u8], at: Tick, script: &mut Script);

    /// The time of an [`Action::Look`] on connection `id` has come.
    fn look(&mut self, _id: u64, _at: Tick, _script: &mut Script) {}

    /// Connection `id` was closed by the generator.
    fn closed(&mut self, _id: u64, _at: Tick) {}
}

#[derive(Debug, Default)]
struct Conn {
    id: u64,
    open: bool,
    /// The last step planned for it: later steps do not overtake.
    last: Tick,
    incoming: VecDeque<u8>,
    ended: bool,
    reset: bool,
    queued: bool,
    skip: u64,
    /// Bytes of sends that are kept.
    kept: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: Tick,
    order: u64,
    slot: Slot,
    id: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Accept,
    Refuse,
    Bytes(Vec<u8>),
    End,
    Reset,
    Look,
    Flushed,
}

/// One worker's simulated connections.
#[derive(Debug)]
pub struct Sim<P> {
    now: Tick,
    peer: P,
    conns: Vec<Conn>,
    planned: BinaryHeap<Reverse<Planned>>,
    ready: VecDeque<(Slot, Event)>,
    order: u64,
    next_id: u64,
    /// Most bytes a receive gives; tests cut replies with it.
    pub piece_bytes: usize,
    /// Every send is kept for so long; 0: none is.
    pub flush_after_ns: u64,
}

impl<P: Peer> Sim<P> {
    /// A driver whose time begins at 0.
    pub fn new(peer: P) -> Self {
        Self {
            now: Tick(0),
            peer,
            conns: Vec::new(),
            planned: BinaryHeap::new(),
            ready: VecDeque::new(),
            order: 0,
            next_id: 0,
            piece_bytes: usize::MAX,
            flush_after_ns: 0,
        }
    }

    fn plan(&mut self, slot: Slot, at: Tick, what: What) {
        self.order += 1;
        let id = self.conns[slot].id;
        self.planned.push(Reverse(Planned {
            at,
            order: self.order,
            slot,
            id,
            what,
        }));
    }

    fn perform(&mut self, slot: Slot, script: Script) {
        for (id, after_ns, action) in script.0 {
            let of_id = |id| self.conns.iter().position(|conn| conn.id == id);
            let Some(slot) = id.map_or(Some(slot), of_id) else {
                continue;
            };
            let what = match action {
                Action::Bytes(bytes) => What::Bytes(bytes),
                Action::End => What::End,
                Action::Reset => What::Reset,
                Action::Look => {
                    self.plan(slot, self.now.after(after_ns), What::Look);
                    continue;
                }
            };
            let at = self.now.after(after_ns).max(self.conns[slot].last);
            self.conns[slot].last = at;
            self.plan(slot, at, what);
        }
    }

    fn readable(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot];
        if !conn.queued {
            conn.queued = true;
            self.ready.push_back((slot, Event::Readable));
        }
    }

    fn happen(&mut self, planned: Planned) {
        let slot = planned.slot;
        if self.conns[slot].id != planned.id {
            return;
        }
        match planned.what {
            What::Accept => {
                self.conns[slot].open = true;
                self.ready.push_back((slot, Event::Connected));
                let mut script = Script::default();
                self.peer.connected(planned.id, self.now, &mut script);
                self.perform(slot, script);
            }
            What::Refuse => {
                self.conns[slot] = Conn::default();
                self.ready
                    .push_back((slot, Event::ConnectFailed(Cause::Refused)));
            }
            What::Bytes(bytes) => {
                self.conns[slot].incoming.extend(bytes);
                self.readable(slot);
            }
            What::End => {
                self.conns[slot].ended = true;
                self.readable(slot);
            }
            What::Reset => {
                self.conns[slot].reset = true;
                self.readable(slot);
            }
            What::Look => {
                let mut script = Script::default();
                self.peer.look(planned.id, self.now, &mut script);
                self.perform(slot, script);
            }
            What::Flushed => {
                self.conns[slot].kept = 0;
                self.ready.push_back((slot, Event::Flushed));
            }
        }
    }

    fn still_readable(&mut self, slot: Slot) {
        let conn = &self.conns[slot];
        if !conn.incoming.is_empty() || conn.ended || conn.reset {
            self.readable(slot);
        }
    }
}

impl<P: Peer> Driver for Sim<P> {
    fn now(&self) -> Tick {
        self.now
    }

    fn waiting(&self) -> &'static str {
        "virtual"
    }

    fn wait(&mut self, until: Tick, _precise: bool) -> Tick {
        if self.ready.is_empty() {
            let next = self.planned.peek().map_or(Tick::NEVER, |p| p.0.at);
            self.now = self.now.max(next.min(until));
        }
        while self.planned.peek().is_some_and(|p| p.0.at <= self.now) {
            if let Some(Reverse(planned)) = self.planned.pop() {
                self.happen(planned);
            }
        }
        self.now
    }

    fn next(&mut self) -> Option<(Slot, Event)> {
        let (slot, event) = self.ready.pop_front()?;
        if event == Event::Readable {
            self.conns[slot].queued = false;
        }
        Some((slot, event))
    }

    fn receive(&mut self, slot: Slot, into: &mut [u8]) -> Received {
        let piece = self.piece_bytes;
        let conn = &mut self.conns[slot];
        // As a kernel does: what had come before the reset can still be read.
        if conn.reset && conn.incoming.is_empty() {
            return Received::Failed(Cause::Reset);
        }
        let have = conn.incoming.len().min(piece);
        let received = if have == 0 {
            if conn.ended {
                Received::End
            } else {
                Received::Nothing
            }
        } else if conn.skip > 0 {
            let count = conn.skip.min(have as u64);
            conn.incoming.drain(..count as usize);
            if conn.skip != u64::MAX {
                conn.skip -= count;
            }
            Received::Skipped(count)
        } else {
            let count = have.min(into.len());
            for (place, byte) in into.iter_mut().zip(conn.incoming.drain(..count)) {
                *place = byte;
            }
            Received::Bytes(count)
        };
        if !matches!(received, Received::End) {
            self.still_readable(slot);
        }
        received
    }

    fn look_again(&mut self, slot: Slot) {
        self.readable(slot);
    }

    fn connect(&mut self, slot: Slot, endpoint: &Endpoint, _serial: u64) -> Result<(), Cause> {
        if self.conns.len() <= slot {
            self.conns.resize_with(slot + 1, Conn::default);
        }
        self.next_id += 1;
        let id = self.next_id;
        let queued = self.conns[slot].queued;
        self.conns[slot] = Conn {
            id,
            queued,
            last: self.now,
            ..Conn::default()
        };
        match self.peer.connect(id, endpoint, self.now) {
            Accept::After(ns) => self.plan(slot, self.now.after(ns), What::Accept),
            Accept::Refuse(ns) => self.plan(slot, self.now.after(ns), What::Refuse),
            Accept::Never => {}
            Accept::Fail(cause) => return Err(cause),
        }
        Ok(())
    }

    fn send(&mut self, slot: Slot, out: &mut Outbox) -> Sent {
        let bytes = out.flatten();
        out.clear();
        let mut script = Script::default();
        let id = self.conns[slot].id;
        if self.conns[slot].reset {
            return Sent::Failed(Cause::Reset);
        }
        self.peer.receive(id, &bytes, self.now, &mut script);
        self.perform(slot, script);
        if self.flush_after_ns == 0 {
            return Sent::All;
        }
        self.conns[slot].kept += bytes.len() as u64;
        self.plan(slot, self.now.after(self.flush_after_ns), What::Flushed);
        Sent::Kept
    }

    fn discard(&mut self, slot: Slot, bytes: u64) {
        self.conns[slot].skip = bytes;
    }

    fn unsent_bytes(&self, slot: Slot) -> u64 {
        self.conns.get(slot).map_or(0, |c| c.kept)
    }

    fn close(&mut self, slot: Slot, _reset: bool) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        let (id, queued) = (conn.id, conn.queued);
        *conn = Conn {
            queued,
            ..Conn::default()
        };
        if id != 0 {
            self.peer.closed(id, self.now);
        }
    }
}
