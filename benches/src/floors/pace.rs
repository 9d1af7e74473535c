//! Requests at a rate, for floors that are compared at equal throughput.
//!
//! A counter and a clock: it keeps no latency and promises no precision below a sleep's.

use std::time::Instant;

/// How many requests are due by now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Instant,
    per_ns: f64,
    sent: u64,
}

impl Pace {
    /// `rate_per_s` from `start` on.
    pub(crate) fn new(rate_per_s: f64, start: Instant) -> Self {
        Self {
            start,
            per_ns: rate_per_s / 1e9,
            sent: 0,
        }
    }

    /// Takes the next request, if it is due at `now`.
    #[inline]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.start).as_nanos() as f64 * self.per_ns;
        let yes = self.sent < due as u64;
        self.sent += u64::from(yes);
        yes
    }

    /// From `now` to the next request, ns.
    #[inline]
    pub(crate) fn next_ns(&self, now: Instant) -> u64 {
        let at = (self.sent + 1) as f64 / self.per_ns;
        (at as u64 + 1).saturating_sub(now.duration_since(self.start).as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rate_is_kept_and_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(1000.0, start);
        assert!(!pace.take(start));
        assert!(pace.next_ns(start).abs_diff(1_000_000) <= 1);
        let later = start + Duration::from_micros(3500);
        let taken = (0..10).filter(|_| pace.take(later)).count();
        assert_eq!(taken, 3);
        assert!(pace.next_ns(later).abs_diff(500_000) <= 1);
    }
}
