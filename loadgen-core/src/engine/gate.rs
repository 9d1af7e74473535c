//! Where workers wait for each other until all connections are made.
//!
//! The last one in opens the gate and sets the epoch for all. It must never block: a worker asks,
//! and goes on serving its sockets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::time::Tick;

/// Between the opening of the gate and the epoch, so that every worker sees it in time, ns.
const LEAD_NS: u64 = 2_000_000;

/// One run's gate.
#[derive(Debug)]
pub struct Gate {
    missing: AtomicUsize,
    alive: AtomicU64,
    epoch: AtomicU64,
    lead_ns: u64,
}

impl Gate {
    /// For so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            missing: AtomicUsize::new(workers.max(1)),
            alive: AtomicU64::new(0),
            epoch: AtomicU64::new(Tick::NEVER.0),
            lead_ns: if workers > 1 { LEAD_NS } else { 0 },
        }
    }

    /// One worker has tried all its connections and `alive` of them are there (or need not be).
    /// Called once by each worker.
    pub fn arrive(&self, alive: u64, now: Tick) {
        self.alive.fetch_add(alive, Ordering::AcqRel);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.epoch
                .store(now.after(self.lead_ns).0, Ordering::Release);
        }
    }

    /// The epoch, once all are in.
    #[must_use]
    pub fn epoch(&self) -> Option<Tick> {
        let epoch = Tick(self.epoch.load(Ordering::Acquire));
        (epoch != Tick::NEVER).then_some(epoch)
    }

    /// Connections that were there when the gate opened.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.alive.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_in_sets_the_epoch() {
        let gate = Gate::new(2);
        gate.arrive(3, Tick(10));
        assert_eq!(gate.epoch(), None);
        gate.arrive(0, Tick(20));
        assert_eq!(gate.epoch(), Some(Tick(20 + LEAD_NS)));
        assert_eq!(gate.alive(), 3);
        let solo = Gate::new(1);
        solo.arrive(1, Tick(7));
        assert_eq!(solo.epoch(), Some(Tick(7)));
    }
}
