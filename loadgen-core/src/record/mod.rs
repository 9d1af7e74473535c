//! What is counted, once, by one worker.
//!
//! A [`Recorder`] belongs to one worker and fills one [`Set`] at a time; at every boundary of the
//! run's [`Window`] it hands the full set to the control thread, which adds them up
//! ([`Aggregate`]). It must never lock, format (failures excepted) or read a clock: every event
//! brings its stamp.

mod aggregate;
mod cells;
mod errors;
mod set;

use std::sync::Arc;

use crossbeam_queue::SegQueue;

pub use aggregate::{Aggregate, INTERVALS_MAX, IntervalSum, RowSum, Times, WorkerSum};
pub use cells::{Cells, HIGHEST_NS, sum_histogram};
pub use errors::{ErrorEntry, ErrorTable};
pub use set::{Counts, Kind, Row, Set, Stage};

use crate::pace::Evenly;
use crate::protocol::{Cause, Outcome, Phase, Status, Tables};
use crate::time::Tick;

/// When the pieces of a run begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When all workers begin to send.
    pub epoch: Tick,
    /// When the measured window begins: the epoch and the warm-up.
    pub begin: Tick,
    /// When it ends; [`Tick::NEVER`] while that is not known.
    pub end: Tick,
    /// Length of an interval, ns.
    pub interval_ns: u64,
}

impl Window {
    /// Before a run has an epoch.
    #[must_use]
    pub fn unknown(interval_ns: u64) -> Self {
        let never = Tick::NEVER;
        Self {
            epoch: never,
            begin: never,
            end: never,
            interval_ns: interval_ns.max(1),
        }
    }

    /// Whether a request intended at `tick` belongs to the measured window.
    #[must_use]
    #[inline]
    pub fn holds(&self, tick: Tick) -> bool {
        tick >= self.begin && tick < self.end
    }

    fn stage_at(&self, tick: Tick) -> (Stage, Tick) {
        let slice = |from: Tick, to: Tick| {
            let index = tick.since(from) / self.interval_ns;
            let until = from
                .after((index + 1).saturating_mul(self.interval_ns))
                .min(to);
            (u32::try_from(index).unwrap_or(u32::MAX), until)
        };
        if tick < self.epoch {
            (Stage::Connect, self.epoch)
        } else if tick < self.begin {
            (Stage::Warmup, slice(self.epoch, self.begin).1)
        } else if tick < self.end {
            let (index, until) = slice(self.begin, self.end);
            (Stage::Measure(index), until)
        } else {
            (Stage::Drain, Tick::NEVER)
        }
    }
}

/// Full sets on their way to the control thread, and empty ones on their way back.
#[derive(Debug, Default)]
pub struct Exchange {
    /// Filled by workers.
    pub full: SegQueue<Box<Set>>,
    /// Cleared by the control thread.
    pub spare: SegQueue<Box<Set>>,
}

/// So much goes into a cell at once, and into a set of it, before `u32` cells could be full.
const CELL_MAX: u32 = u32::MAX / 2;

/// The four stamps of a request and what answered it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// A position in [`Tables::ops`].
    pub op: u8,
    /// A position in [`Tables::statuses`].
    pub status: u16,
    /// Units that ended so.
    pub units: u32,
    /// Application bytes of the reply, where known.
    pub payload_rx_bytes: Option<u64>,
    /// When it was due.
    pub intended: Tick,
    /// When it was sent.
    pub sent: Tick,
    /// When the first byte of the reply came; [`Tick::NEVER`] where none is expected.
    pub first: Tick,
    /// When the last byte came.
    pub last: Tick,
    /// When the answered thing was made, for end-to-end latency.
    pub origin: Option<Tick>,
}

/// One worker's counters.
#[derive(Debug)]
pub struct Recorder {
    worker: usize,
    open_loop: bool,
    window: Window,
    until: Tick,
    set: Box<Set>,
    /// By status: whether it is an error.
    is_error: Box<[bool]>,
    /// By op: whether its times stay out of the summary.
    is_apart: Box<[bool]>,
    exchange: Arc<Exchange>,
    errors: ErrorTable,
}

impl Recorder {
    /// A recorder for `worker`. In a closed loop response and service time are the same and are
    /// recorded once.
    #[must_use]
    pub fn new(
        worker: usize,
        open_loop: bool,
        tables: &Tables,
        window: Window,
        exchange: Arc<Exchange>,
    ) -> Self {
        let is_error = |status: &Status| status.outcome == Outcome::Error;
        let is_error: Box<[bool]> = tables.statuses.iter().map(is_error).collect();
        let is_apart = |op: usize| tables.apart.iter().any(|a| usize::from(*a) == op);
        let is_apart = (0..tables.ops.len()).map(is_apart).collect();
        let mut set = exchange.spare.pop().unwrap_or_default();
        set.begin(
            worker,
            Stage::Connect,
            Tick(0),
            tables.ops.len() * is_error.len(),
        );
        let errors = ErrorTable::default();
        let until = window.epoch;
        Self {
            worker,
            open_loop,
            window,
            until,
            set,
            is_error,
            is_apart,
            exchange,
            errors,
        }
    }

    /// The window as this worker knows it.
    #[must_use]
    #[inline]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// When the current set ends: a reason to wake up.
    #[must_use]
    #[inline]
    pub fn until(&self) -> Tick {
        self.until
    }

    /// The epoch is known, or the end has moved. `at` is now.
    pub fn set_window(&mut self, window: Window, at: Tick) {
        self.turn(at);
        self.window = window;
        // The set at hand may belong to another piece now: an epoch at its very start, an end
        // before it.
        (self.set.stage, self.until) = self.window.stage_at(self.set.start);
        self.turn(at);
    }

    /// Time has come to `at`: hands over every set that has ended.
    #[inline]
    pub fn turn(&mut self, at: Tick) {
        while at >= self.until {
            self.rotate();
        }
    }

    /// The worker sends nothing new from `at` on: what it goes on to receive is no part of a window
    /// whose end was not planned. Others may still send, so times are recorded as before.
    pub fn drain(&mut self, at: Tick) {
        self.turn(at);
        if self.window.end == Tick::NEVER {
            self.hand_over(at);
            (self.set.stage, self.until) = (Stage::Drain, Tick::NEVER);
        }
    }

    #[cold]
    fn rotate(&mut self) {
        let start = self.until;
        let mut next = self.exchange.spare.pop().unwrap_or_default();
        let (stage, until) = self.window.stage_at(start);
        next.begin(self.worker, stage, start, self.set.index_len());
        let mut full = std::mem::replace(&mut self.set, next);
        full.end = start;
        self.exchange.full.push(full);
        self.until = until;
    }

    /// A request was sent. `intended` equals `sent` in a closed loop.
    #[inline]
    pub fn sent(&mut self, intended: Tick, sent: Tick) {
        self.turn(sent);
        self.set.counts.sent += 1;
        if self.window.holds(intended) {
            self.set.counts.intended += 1;
            if self.open_loop {
                self.set.counts.due(intended);
                self.set.cells(Kind::Lag).record(sent.since(intended));
            }
        }
    }

    /// A request was sent that no schedule asked for.
    #[inline]
    pub fn sent_unpaced(&mut self, sent: Tick) {
        self.turn(sent);
        self.set.counts.sent += 1;
        self.set.counts.sent_unpaced += 1;
    }

    /// A request that was sent carries so many application bytes.
    #[inline]
    pub fn carried(&mut self, payload_tx_bytes: u64) {
        self.set.counts.payload_tx_bytes += payload_tx_bytes;
    }

    /// Bytes were handed to the socket.
    #[inline]
    pub fn wrote(&mut self, wire_bytes: u64) {
        self.set.counts.wire_tx_bytes += wire_bytes;
    }

    /// Bytes came, `delay_ns` after the worker woke up.
    #[inline]
    pub fn received(&mut self, wire_bytes: u64, delay_ns: u64, at: Tick) {
        self.received_untimed(wire_bytes, at);
        if self.window.holds(at) {
            self.set.cells(Kind::Delay).record(delay_ns);
        }
    }

    /// Bytes came to a client that cannot tell when its worker woke up.
    #[inline]
    pub fn received_untimed(&mut self, wire_bytes: u64, at: Tick) {
        self.turn(at);
        self.set.counts.wire_rx_bytes += wire_bytes;
    }

    /// A request was answered.
    #[inline]
    pub fn answered(&mut self, answer: &Answer, error: bool) {
        self.turn(answer.last);
        let counts = &mut self.set.counts;
        counts.completed += 1;
        counts.units += u64::from(answer.units);
        if error {
            counts.error_replies += 1;
            counts.error_units += u64::from(answer.units);
        }
        match answer.payload_rx_bytes {
            Some(bytes) => counts.payload_rx_bytes += bytes,
            None => counts.payload_rx_unknown = true,
        }
        let index = usize::from(answer.op) * self.is_error.len() + usize::from(answer.status);
        let row = self.set.row(index, answer.op, answer.status);
        row.count += 1;
        row.units += u64::from(answer.units);
        if !self.window.holds(answer.intended) {
            return;
        }
        row.response.record(answer.last.since(answer.intended));
        if self.is_apart.get(usize::from(answer.op)) == Some(&true) {
            row.apart = true;
            return;
        }
        if answer.first != Tick::NEVER {
            self.set
                .cells(Kind::FirstByte)
                .record(answer.first.since(answer.sent));
        }
        if self.open_loop {
            self.set
                .cells(Kind::Service)
                .record(answer.last.since(answer.sent));
        }
        if let Some(origin) = answer.origin {
            self.arrived(origin, answer.last);
        }
    }

    /// The request that was answered last, with so many units in all, was of a route that is not
    /// paced.
    #[inline]
    pub fn unpaced(&mut self, units: u64) {
        self.set.counts.completed_unpaced += 1;
        self.set.counts.units_unpaced += units;
    }

    /// Something made at `origin` came at `at`. Of the window are those made in it.
    #[inline]
    pub fn arrived(&mut self, origin: Tick, at: Tick) {
        if self.window.holds(origin) {
            self.set.cells(Kind::EndToEnd).record(at.since(origin));
        }
    }

    /// Further units of a reply ended with another status.
    pub fn units(&mut self, op: u8, status: u16, units: u32) {
        let index = usize::from(op) * self.is_error.len() + usize::from(status);
        let units = u64::from(units);
        self.set.counts.units += units;
        if self.is_error.get(usize::from(status)) == Some(&true) {
            self.set.counts.error_units += units;
        }
        self.set.row(index, op, status).units += units;
    }

    /// A request ended without a usable reply. `first` is when a byte of it came,
    /// [`Tick::NEVER`] when none did.
    #[cold]
    pub fn failed(&mut self, intended: Tick, sent: Tick, first: Tick, at: Tick) {
        self.turn(at);
        self.set.counts.failed += 1;
        let is_late = self.window.holds(intended) && !self.window.holds(at);
        self.set.counts.failed_late += u64::from(is_late);
        self.censor(intended, sent, first, at);
    }

    /// The run is over and this request is still in flight. `first` as in [`Self::failed`].
    #[cold]
    pub fn unanswered(&mut self, intended: Tick, sent: Tick, first: Tick, at: Tick) {
        self.set.counts.unanswered += 1;
        self.set.counts.unanswered_intended += u64::from(self.window.holds(intended));
        self.censor(intended, sent, first, at);
    }

    /// The run is over and this request, due at `intended`, was never sent.
    #[cold]
    pub fn unsent(&mut self, intended: Tick, at: Tick) {
        self.unsent_evenly(&Evenly::one(intended), at);
    }

    /// The same of all that were `due`. It costs a step for each cell of the histogram that their
    /// ages fall into, however many they are.
    #[cold]
    pub fn unsent_evenly(&mut self, due: &Evenly, at: Tick) {
        self.set.counts.unsent += due.count;
        let end = due.before(self.window.end);
        let mut n = due.before(self.window.begin);
        while n < end {
            let age_ns = at.since(due.at(n));
            let lowest_ns = self.set.cells(Kind::CensoredLag).lowest_like(age_ns);
            // Those after it are younger; the cell ends with the last that is old enough.
            let cell_end = due.before(at.before(lowest_ns).after(1)).clamp(n + 1, end);
            let count = u32::try_from(cell_end - n)
                .unwrap_or(u32::MAX)
                .min(CELL_MAX);
            if self.set.counts.unsent_intended > u64::from(CELL_MAX) {
                self.hand_over(at);
            }
            self.set.counts.unsent_intended += u64::from(count);
            self.set.counts.intended += u64::from(count);
            self.set.counts.due(due.at(n));
            self.set.counts.due(due.at(n + u64::from(count) - 1));
            for kind in [Kind::CensoredResponse, Kind::CensoredLag] {
                self.set.cells(kind).record_n(age_ns, count);
            }
            n += u64::from(count);
        }
    }

    /// Goes on in another set of the same stage, because the cells of this one are filling up.
    #[cold]
    fn hand_over(&mut self, at: Tick) {
        let (stage, until) = (self.set.stage, self.until);
        self.until = at.max(self.set.start);
        self.rotate();
        (self.set.stage, self.until) = (stage, until);
    }

    fn censor(&mut self, intended: Tick, sent: Tick, first: Tick, at: Tick) {
        if !self.window.holds(intended) {
            return;
        }
        let age_ns = at.since(sent);
        self.set
            .cells(Kind::CensoredResponse)
            .record(at.since(intended));
        if self.open_loop {
            self.set.cells(Kind::CensoredService).record(age_ns);
        }
        if first == Tick::NEVER {
            self.set.cells(Kind::CensoredFirstByte).record(age_ns);
        } else {
            self.set.cells(Kind::FirstByte).record(first.since(sent));
        }
    }

    /// A connection was established after `ns`.
    pub fn connected(&mut self, ns: u64, at: Tick) {
        self.turn(at);
        self.set.cells(Kind::Connect).record(ns);
    }

    /// An attempt to connect came to nothing after `ns`, or was still under way when the run was
    /// over.
    #[cold]
    pub fn unconnected(&mut self, ns: u64, at: Tick) {
        self.turn(at);
        self.set.cells(Kind::CensoredConnect).record(ns);
    }

    /// One more failure of a class; `detail` is asked for once per class.
    #[cold]
    pub fn error(&mut self, phase: Phase, cause: Cause, at: Tick, detail: impl FnOnce() -> String) {
        self.errors.add(phase, cause, at, detail);
    }

    /// Hands over the last set, which ends at `at`, and gives back the failures.
    #[must_use]
    pub fn finish(mut self, at: Tick) -> ErrorTable {
        self.turn(at);
        self.set.end = at.max(self.set.start);
        self.set.last = true;
        self.exchange.full.push(self.set);
        self.errors
    }
}

#[cfg(test)]
mod tests;
