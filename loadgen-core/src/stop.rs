//! When a run ends: by time, by count, by a stop from outside.
//!
//! This module must never read a clock; the engine compares ticks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Tick;

/// The planned end of the measured window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After so long; requests in flight are still waited for.
    After(Duration),
    /// After so many requests were sent and every one of them has ended.
    Requests(u64),
    /// When every worker's workload has nothing to ask any more (`Next::Done`) and everything it
    /// asked has ended: what there is decides, and it need not be known beforehand.
    Exhausted,
}

impl Stop {
    /// The length of the window, where that is what ends it.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Requests(_) | Self::Exhausted => None,
        }
    }

    /// When a window that begins at `begin` ends; [`Tick::NEVER`] where that shows only in the run.
    #[must_use]
    pub fn end(self, begin: Tick) -> Tick {
        self.duration().map_or(Tick::NEVER, |length| begin + length)
    }

    /// The requests, where their number is what ends it.
    #[must_use]
    pub const fn requests(self) -> Option<u64> {
        match self {
            Self::Requests(requests) => Some(requests),
            Self::After(_) | Self::Exhausted => None,
        }
    }
}

/// The requests that may still be sent, shared by all workers.
#[derive(Debug)]
pub struct Budget {
    /// Not claimed.
    remaining: AtomicU64,
    /// Not claimed, or claimed and not used: what may come back.
    open: AtomicU64,
    share: u64,
}

/// Without limit.
const ENDLESS: u64 = u64::MAX;

fn less(cell: &AtomicU64, count: u64) {
    let _ = cell.fetch_update(Ordering::AcqRel, Ordering::Acquire, |seen| {
        (seen != ENDLESS).then(|| seen.saturating_sub(count))
    });
}

/// The most a worker claims at a time: small beside any run, large beside the cost of a claim.
const CLAIM_MAX: u64 = 1024;

impl Budget {
    /// `requests` for `workers` workers; `None`: without limit.
    #[must_use]
    pub fn new(requests: Option<u64>, workers: usize) -> Self {
        let requests = requests.unwrap_or(ENDLESS);
        Self {
            remaining: AtomicU64::new(requests),
            open: AtomicU64::new(requests),
            share: workers.max(1) as u64 * 8,
        }
    }

    /// Claims a block. It shrinks as the end comes near, so that no worker is left with a long
    /// tail while the others are idle. 0: nothing is left, though some of it may come back.
    #[must_use]
    pub fn claim(&self) -> u64 {
        let mut seen = self.remaining.load(Ordering::Relaxed);
        loop {
            if seen == ENDLESS {
                return CLAIM_MAX;
            }
            let block = (seen / self.share).clamp(1, CLAIM_MAX).min(seen);
            let exchange = self.remaining.compare_exchange_weak(
                seen,
                seen - block,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(_) => return block,
                Err(now) => seen = now,
            }
        }
    }

    /// Claims up to `wanted` for requests that are due and will never be sent, and says how many
    /// there were: of a run by count no more can be unsent than the plan had.
    #[must_use]
    pub fn write_off(&self, wanted: u64) -> u64 {
        let all = self
            .remaining
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
                (seen != u64::MAX).then(|| seen - wanted.min(seen))
            });
        let written_off = all.map_or(wanted, |seen| wanted.min(seen));
        self.used(written_off);
        written_off
    }

    /// So many requests of those that were claimed were sent, and will not be given back.
    pub fn used(&self, count: u64) {
        less(&self.open, count);
    }

    /// Gives back what a worker claimed and could not send.
    pub fn give_back(&self, block: u64) {
        let _ = self
            .remaining
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
                (seen != u64::MAX).then(|| seen + block)
            });
    }

    /// Whether everything was claimed.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.remaining.load(Ordering::Relaxed) == 0
    }

    /// Whether everything was claimed and used: nothing can be given back any more.
    #[must_use]
    #[inline]
    pub fn is_over(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// What was never claimed; 0 without a limit.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self.remaining.load(Ordering::Relaxed) {
            u64::MAX => 0,
            left => left,
        }
    }
}

/// A stop from outside: the tick at which it was asked for, seen by every worker at its next look.
#[derive(Debug)]
pub struct StopFlag(AtomicU64);

impl Default for StopFlag {
    fn default() -> Self {
        Self(AtomicU64::new(Tick::NEVER.0))
    }
}

impl StopFlag {
    /// Asks the workers to stop sending; the first call counts.
    pub fn raise(&self, at: Tick) {
        self.0.fetch_min(at.0, Ordering::AcqRel);
    }

    /// When they were asked to.
    #[must_use]
    #[inline]
    pub fn raised(&self) -> Option<Tick> {
        let at = Tick(self.0.load(Ordering::Acquire));
        (at != Tick::NEVER).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_add_up_and_shrink() {
        let budget = Budget::new(Some(10_000), 2);
        let mut sum = 0;
        let mut last = u64::MAX;
        loop {
            let block = budget.claim();
            if block == 0 {
                break;
            }
            assert!(block <= last);
            last = block;
            sum += block;
        }
        assert_eq!(sum, 10_000);
        assert_eq!(last, 1);
        assert!(budget.is_spent());
        budget.give_back(3);
        assert_eq!(budget.left(), 3);
        assert_eq!((budget.write_off(2), budget.write_off(9)), (2, 1));
        assert!(budget.is_spent());
    }

    #[test]
    fn it_is_over_when_nothing_can_come_back() {
        let budget = Budget::new(Some(20), 1);
        let mut claimed = 0;
        while !budget.is_spent() {
            claimed += budget.claim();
        }
        assert_eq!(claimed, 20);
        budget.used(15);
        assert!(!budget.is_over());
        budget.give_back(5);
        assert!(!budget.is_spent() && !budget.is_over());
        assert_eq!(budget.write_off(3), 3);
        budget.used(budget.claim());
        budget.used(budget.claim());
        assert!(budget.is_spent() && budget.is_over());
        let endless = Budget::new(None, 1);
        endless.used(endless.claim());
        assert!(!endless.is_over());
    }

    #[test]
    fn without_a_limit_it_never_ends() {
        let budget = Budget::new(None, 1);
        assert_eq!(budget.claim(), CLAIM_MAX);
        budget.give_back(5);
        assert_eq!(budget.write_off(9), 9);
        assert!(!budget.is_spent());
        assert_eq!(budget.left(), 0);
    }

    #[test]
    fn workers_share_exactly() {
        let budget = std::sync::Arc::new(Budget::new(Some(100_003), 4));
        let sum: u64 = std::thread::scope(|scope| {
            let claim_all = || {
                let mut sum = 0;
                loop {
                    match budget.claim() {
                        0 => return sum,
                        block => sum += block,
                    }
                }
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim_all)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(sum, 100_003);
    }
}
