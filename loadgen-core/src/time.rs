//! Time as the engine sees it: nanoseconds since the origin of one run.
//!
//! A [`Tick`] is passed into sessions, pacers and recorders as an argument; only drivers and the
//! control thread hold a clock. This module must never sleep and never read the wall clock.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// A point in time: nanoseconds since the origin of the run's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// A point that no run reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// Nanoseconds from `earlier` to `self`, 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` − `ns` nanoseconds, 0 at the earliest.
    #[must_use]
    pub const fn before(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// `self` + `ns` nanoseconds, saturating at [`Tick::NEVER`].
    #[must_use]
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        self.after(nanos(rhs))
    }
}

impl Sub for Tick {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.since(rhs))
    }
}

/// A duration in whole nanoseconds, saturating at `u64::MAX` (584 years).
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The monotonic clock of one run. Copies share the origin, so their ticks compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The time since the origin.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Tick {
        let since = self.origin.elapsed();
        Tick(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_never_wraps() {
        assert_eq!(Tick(5).since(Tick(9)), 0);
        assert_eq!(Tick(9).since(Tick(5)), 4);
        assert_eq!(Tick::NEVER.after(1), Tick::NEVER);
    }

    #[test]
    fn the_clock_runs_forward() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
