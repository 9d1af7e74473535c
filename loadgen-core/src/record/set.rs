//! What one worker counts between two boundaries of the window.
//!
//! Plain numbers: nothing here may know how they are used.

use super::cells::Cells;
use crate::time::Tick;

/// The piece of the run a set belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Before the epoch.
    #[default]
    Connect,
    /// Before the window.
    Warmup,
    /// This interval of the window, from 0.
    Measure(u32),
    /// After the window.
    Drain,
}

/// The histograms of a set that are not per op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Last byte − sent, open loop only.
    Service,
    /// First byte − sent.
    FirstByte,
    /// Sent − intended, open loop only.
    Lag,
    /// Wake-up to receive.
    Delay,
    /// `connect()` to connected.
    Connect,
    /// Last byte − origin.
    EndToEnd,
    /// Ages from intended of requests without a reply.
    CensoredResponse,
    /// Ages from sent of the same, open loop only.
    CensoredService,
    /// Ages of requests that were never sent.
    CensoredLag,
    /// Ages from sent of requests of whose reply no byte came.
    CensoredFirstByte,
    /// Ages of attempts to connect that came to nothing.
    CensoredConnect,
}

const KINDS: usize = 11;

/// Counters of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Of those, the ones that no pacing asked for: of routes that are not paced, and what feedback
    /// brought about.
    pub sent_unpaced: u64,
    /// Replies of any status.
    pub completed: u64,
    /// Of those, the ones on routes that are not paced.
    pub completed_unpaced: u64,
    /// Requests that ended without a usable reply.
    pub failed: u64,
    /// Of those, intended in the window and failed after its end.
    pub failed_late: u64,
    /// Requests in flight when the run was over.
    pub unanswered: u64,
    /// Of those, intended in the window.
    pub unanswered_intended: u64,
    /// Requests due and never sent.
    pub unsent: u64,
    /// Of those, intended in the window.
    pub unsent_intended: u64,
    /// Requests sent (or never sent) whose intended tick is in the window.
    pub intended: u64,
    /// The earliest such tick, and the latest; open loop only.
    pub schedule: Option<(Tick, Tick)>,
    /// Replies whose outcome is an error.
    pub error_replies: u64,
    /// Units completed.
    pub units: u64,
    /// Of those, units on routes that are not paced.
    pub units_unpaced: u64,
    /// Of those, units whose outcome is an error.
    pub error_units: u64,
    /// Application bytes received.
    pub payload_rx_bytes: u64,
    /// Some replies did not say how many.
    pub payload_rx_unknown: bool,
    /// Application bytes sent.
    pub payload_tx_bytes: u64,
    /// Bytes read from sockets.
    pub wire_rx_bytes: u64,
    /// Bytes handed to sockets.
    pub wire_tx_bytes: u64,
}

impl Counts {
    /// Requests that were sent because they were due.
    #[must_use]
    pub const fn sent_paced(&self) -> u64 {
        self.sent.saturating_sub(self.sent_unpaced)
    }

    /// A request of the schedule was due at `tick`.
    #[inline]
    pub(super) fn due(&mut self, tick: Tick) {
        let (first, last) = self.schedule.unwrap_or((tick, tick));
        self.schedule = Some((first.min(tick), last.max(tick)));
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.sent_unpaced += other.sent_unpaced;
        self.completed += other.completed;
        self.completed_unpaced += other.completed_unpaced;
        self.failed += other.failed;
        self.failed_late += other.failed_late;
        self.unanswered += other.unanswered;
        self.unanswered_intended += other.unanswered_intended;
        self.unsent += other.unsent;
        self.unsent_intended += other.unsent_intended;
        self.intended += other.intended;
        if let Some((first, last)) = other.schedule {
            self.due(first);
            self.due(last);
        }
        self.error_replies += other.error_replies;
        self.units += other.units;
        self.units_unpaced += other.units_unpaced;
        self.error_units += other.error_units;
        self.payload_rx_bytes += other.payload_rx_bytes;
        self.payload_rx_unknown |= other.payload_rx_unknown;
        self.payload_tx_bytes += other.payload_tx_bytes;
        self.wire_rx_bytes += other.wire_rx_bytes;
        self.wire_tx_bytes += other.wire_tx_bytes;
    }
}

/// One op and status.
#[derive(Debug, Default)]
pub struct Row {
    /// A position in the table of ops.
    pub op: u8,
    /// A position in the table of statuses.
    pub status: u16,
    /// Replies.
    pub count: u64,
    /// Units.
    pub units: u64,
    /// Response times of the requests that were intended in the window.
    pub response: Cells,
    /// They are no part of the summary's.
    pub apart: bool,
}

const NO_ROW: u16 = u16::MAX;

/// Everything one worker counts between two boundaries.
#[derive(Debug, Default)]
pub struct Set {
    /// Who counted.
    pub worker: usize,
    /// The piece of the run.
    pub stage: Stage,
    /// When it began.
    pub start: Tick,
    /// When it ended.
    pub end: Tick,
    /// Whether it is the worker's last.
    pub last: bool,
    /// The counters.
    pub counts: Counts,
    /// Rows in use; those beyond are spare.
    rows: Vec<Row>,
    used: usize,
    index: Vec<u16>,
    cells: [Cells; KINDS],
}

impl Set {
    /// Makes a cleared set ready. `index_len` is ops × statuses.
    pub(super) fn begin(&mut self, worker: usize, stage: Stage, start: Tick, index_len: usize) {
        self.worker = worker;
        self.stage = stage;
        self.start = start;
        self.end = start;
        self.last = false;
        self.index.resize(index_len, NO_ROW);
    }

    pub(super) fn index_len(&self) -> usize {
        self.index.len()
    }

    /// The row at `index` (op × statuses + status), made when it is not there.
    #[inline]
    pub(super) fn row(&mut self, index: usize, op: u8, status: u16) -> &mut Row {
        let slot = match self.index.get(index) {
            Some(&slot) if slot != NO_ROW => usize::from(slot),
            _ => self.new_row(index, op, status),
        };
        &mut self.rows[slot]
    }

    #[cold]
    fn new_row(&mut self, index: usize, op: u8, status: u16) -> usize {
        let slot = self.used;
        if slot == self.rows.len() {
            self.rows.push(Row::default());
        }
        (self.rows[slot].op, self.rows[slot].status) = (op, status);
        self.used += 1;
        if let (Some(entry), Ok(id)) = (self.index.get_mut(index), u16::try_from(slot)) {
            *entry = id;
        }
        slot
    }

    /// The cells of `kind`, to record into.
    #[inline]
    pub(super) fn cells(&mut self, kind: Kind) -> &mut Cells {
        &mut self.cells[kind as usize]
    }

    /// The cells of `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Cells {
        &self.cells[kind as usize]
    }

    /// The rows that were counted in.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    /// Forgets everything, keeps the memory. For the control thread: it costs more than a worker
    /// should pay.
    pub fn clear(&mut self) {
        self.counts = Counts::default();
        for row in &mut self.rows[..self.used] {
            (row.count, row.units, row.apart) = (0, 0, false);
            row.response.clear();
        }
        self.used = 0;
        self.index.fill(NO_ROW);
        self.cells.iter_mut().for_each(Cells::clear);
    }
}
