//! Whether a run without a planned end still gets anywhere, and who may send what is left of it.
//!
//! Both are judged over all workers: one whose target is gone must neither end a run that others go
//! on with nor keep from them what it has claimed, and a run where nobody gets on must end. Nothing
//! here is looked at per request.

use std::sync::atomic::{AtomicU64, Ordering};

use super::worker::{SWEEP_NS, Worker};
use crate::driver::Driver;
use crate::time::{Tick, nanos};
use crate::workload::Workload;

/// After so long with nothing in flight anywhere, although there is something to send, a run is given
/// up. Targets need their time to agree on who takes over from one that died: 10 to 20 s.
const STALL_NS: u64 = 30_000_000_000;
/// So often in a row it must be seen: after a pause of the whole process it is others that have not
/// looked yet.
const LOOKS: u32 = 3;
const LOOKS_NS: u64 = LOOKS as u64 * SWEEP_NS;
/// How soon a worker that has nothing to send asks whether the others have used what they claimed, ns:
/// at first, and in the end.
const ASK_AGAIN_NS: [u64; 2] = [500_000, 50_000_000];

/// When a run was last seen to live, by any worker.
#[derive(Debug, Default)]
pub struct Pulse {
    alive_at: AtomicU64,
    busy_at: AtomicU64,
}

impl Pulse {
    fn alive(&self, now: Tick) {
        self.alive_at.fetch_max(now.0, Ordering::AcqRel);
    }

    fn busy(&self, now: Tick) {
        self.busy_at.fetch_max(now.0, Ordering::AcqRel);
    }

    /// For how long no connection was there, and nothing was in flight, ns.
    fn still_ns(&self, now: Tick) -> [u64; 2] {
        [&self.alive_at, &self.busy_at].map(|at| now.since(Tick(at.load(Ordering::Acquire))))
    }
}

/// What a worker has of what is left to send.
#[derive(Debug)]
pub(super) struct Hand {
    /// Claimed and not sent yet.
    pub(super) credit: u64,
    /// The block that is of.
    pub(super) claimed: u64,
    /// Since when it has nothing to send, while the others have.
    waiting_since: Tick,
    /// When it looks after them.
    pub(super) look_again: Tick,
    /// How often in a row the run was seen to get nowhere.
    still: u32,
}

impl Default for Hand {
    fn default() -> Self {
        Self {
            credit: 0,
            claimed: 0,
            waiting_since: Tick::NEVER,
            look_again: Tick::NEVER,
            still: 0,
        }
    }
}

impl<W: Workload, D: Driver> Worker<W, D> {
    /// The run begins.
    pub(super) fn begin_pulse(&self, now: Tick) {
        self.shared.pulse.alive(now);
        self.shared.pulse.busy(now);
    }

    /// A run by count would never end while nothing answers, or where there is nobody to ask.
    pub(super) fn take_pulse(&mut self, now: Tick) {
        let under_way = self.in_flight > self.following() || self.owed > 0;
        if !under_way {
            self.hand_back();
        }
        // With a connection for each request nothing is alive between two of them, and where
        // nothing answers it is requests that fail: the count is reached all the same.
        let cold = self.per_connection == Some(1);
        let pulse = &self.shared.pulse;
        if under_way || cold || self.alive > 0 {
            pulse.alive(now);
        }
        if under_way || self.waits_for_time(now) {
            pulse.busy(now);
        }
        // The others are looked at as often as we are.
        let connect_ns = nanos(self.options.connect_timeout) + LOOKS_NS;
        let [dead_ns, idle_ns] = pulse.still_ns(now);
        if dead_ns <= connect_ns && idle_ns <= STALL_NS.max(connect_ns) {
            self.hand.still = 0;
            return;
        }
        self.hand.still += 1;
        if self.hand.still == LOOKS {
            self.end.gave_up = true;
            self.shared.stop.raise(now);
        }
    }

    /// Whether a pause will be over, or a request be due, without anybody's help.
    fn waits_for_time(&self, now: Tick) -> bool {
        let paused = self.conns.iter().any(|conn| conn.paused_until > now);
        paused || self.releases.will_be_due(&self.strays, now)
    }

    /// What was claimed and cannot be sent now is for whoever can.
    pub(super) fn hand_back(&mut self) {
        let budget = &self.shared.budget;
        let credit = std::mem::take(&mut self.hand.credit);
        budget.used(std::mem::take(&mut self.hand.claimed) - credit);
        budget.give_back(credit);
    }

    /// When to ask again whether there is something left: the others have claimed it, and may hand it
    /// back. [`Tick::NEVER`] where that is not so.
    pub(super) fn ask_others_at(&mut self, now: Tick) -> Tick {
        let waits = !self.spent && self.hand.credit == 0 && self.shared.budget.is_spent();
        if !waits {
            self.hand.waiting_since = Tick::NEVER;
            return Tick::NEVER;
        }
        self.hand.waiting_since = self.hand.waiting_since.min(now);
        let [first, last] = ASK_AGAIN_NS;
        now.after((now.since(self.hand.waiting_since) / 8).clamp(first, last))
    }
}
