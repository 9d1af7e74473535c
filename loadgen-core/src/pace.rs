//! When the next request is due: closed loop, fixed and Poisson arrivals.
//!
//! A [`Schedule`] maps the numbers of requests to ticks after the epoch. It is a value: it must
//! never read a clock, and it forgives nothing: a request that is late stays due at its own tick.

use crate::time::Tick;
use crate::workload::Random;

/// The law of the arrivals in an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Equal gaps.
    Fixed,
    /// Exponential gaps: independent users.
    Poisson,
}

impl Arrival {
    /// The name in the results document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Poisson => "poisson",
        }
    }
}

/// What makes a request due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// A completion on the same connection.
    Closed,
    /// The clock.
    Open {
        /// Requests per second in total, over all workers and routes.
        rate_per_s: f64,
        /// Their law.
        arrival: Arrival,
    },
}

/// How a due request of a route finds its connection in an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The connection of the worker with the fewest requests in flight.
    Pool,
    /// Request *n* belongs to connection *n* mod connections, whatever its neighbours do.
    Pinned,
}

impl Dispatch {
    /// The name in the results document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Pinned => "pinned",
        }
    }
}

/// One part of a route's arrivals: those of one worker, or of one pinned connection.
#[derive(Clone, Debug)]
pub struct Schedule {
    epoch: Tick,
    head: Tick,
    /// Nothing is due from here on.
    until: Tick,
    law: Law,
}

#[derive(Clone, Debug)]
enum Law {
    /// Request `number` of the route is due at (`number` + `phase`) × `period_ns`.
    Fixed {
        number: u64,
        stride: u64,
        phase: f64,
        period_ns: f64,
    },
    /// The sum of exponential gaps so far.
    Poisson {
        sum_ns: f64,
        mean_ns: f64,
        random: Random,
    },
}

/// Arrivals at equal gaps, as one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evenly {
    epoch: Tick,
    first_ns: f64,
    gap_ns: f64,
    /// How many there are.
    pub count: u64,
}

impl Evenly {
    /// A single one, due at `at`.
    #[must_use]
    pub fn one(at: Tick) -> Self {
        Self {
            epoch: at,
            first_ns: 0.0,
            gap_ns: 0.0,
            count: 1,
        }
    }

    /// When number `n`, from 0, is due.
    #[must_use]
    pub fn at(&self, n: u64) -> Tick {
        self.epoch
            .after((self.first_ns + n as f64 * self.gap_ns) as u64)
    }

    /// How many of them are due before `end`.
    #[must_use]
    pub fn before(&self, end: Tick) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle) < end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first `count` of them, or all.
    #[must_use]
    pub fn up_to(mut self, count: u64) -> Self {
        self.count = self.count.min(count);
        self
    }
}

/// So many Poisson arrivals are drawn one by one when all that are left are asked for; the rest of
/// them are taken as even, which no histogram tells apart from so many draws.
const DRAWS: u32 = 1_000_000;

/// Which part of a route's arrivals a [`Schedule`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its number among the parts of the route, from 0.
    pub index: u64,
    /// How many parts the route has.
    pub of: u64,
    /// Fraction of a period, 0 to 1, by which the route is shifted against the other routes.
    pub phase: f64,
}

impl Schedule {
    /// The arrivals of `part` of a route that gets `rate_per_s` in total, from `epoch` on.
    ///
    /// Fixed: request *n* of the route is due at (*n* + phase) ÷ rate, and the part takes
    /// *n* ≡ index (mod of). Poisson: each part is an independent process at rate ÷ of, seeded
    /// by `seed` and the part; together they are one process at the whole rate.
    #[must_use]
    pub fn new(arrival: Arrival, rate_per_s: f64, part: Part, seed: u64, epoch: Tick) -> Self {
        let of = part.of.max(1);
        let law = match arrival {
            Arrival::Fixed => Law::Fixed {
                number: part.index,
                stride: of,
                phase: part.phase,
                period_ns: 1e9 / rate_per_s,
            },
            Arrival::Poisson => Law::Poisson {
                sum_ns: 0.0,
                mean_ns: 1e9 / rate_per_s * of as f64,
                random: Random::new(seed ^ Random::new(part.index + 1).next_u64()),
            },
        };
        let mut schedule = Self {
            epoch,
            head: Tick::NEVER,
            until: Tick::NEVER,
            law,
        };
        schedule.advance(true);
        schedule
    }

    /// Leaves out what is due before `at`: somebody else had that. Fixed arrivals stay those of the
    /// epoch, so that the parts of a route still interleave.
    pub fn skip_before(&mut self, at: Tick) {
        if at <= self.head {
            return;
        }
        match &mut self.law {
            Law::Fixed { .. } => self.take_before(at, |_| ()),
            // It has no memory.
            Law::Poisson { sum_ns, .. } => {
                *sum_ns = at.since(self.epoch) as f64;
                self.advance(false);
            }
        }
    }

    /// Nothing is due from `at` on: somebody else has that.
    pub fn end_at(&mut self, at: Tick) {
        self.until = at;
        if self.head >= at {
            self.head = Tick::NEVER;
        }
    }

    /// When the next request that was not taken yet is due.
    #[must_use]
    #[inline]
    pub fn head(&self) -> Tick {
        self.head
    }

    /// Takes the request at the head.
    #[inline]
    pub fn take(&mut self) -> Tick {
        let taken = self.head;
        self.advance(false);
        taken
    }

    /// Hands everything due before `end` to `each`, in a time that does not grow with its number.
    pub fn take_before(&mut self, end: Tick, mut each: impl FnMut(Evenly)) {
        if end == Tick::NEVER {
            return;
        }
        let end = end.min(self.until);
        if matches!(self.law, Law::Poisson { .. }) {
            for _ in 0..DRAWS {
                if self.head >= end {
                    return;
                }
                each(Evenly::one(self.take()));
            }
        }
        let (first_ns, gap_ns) = match self.law {
            Law::Fixed {
                number,
                stride,
                phase,
                period_ns,
            } => (
                (number as f64 + phase) * period_ns,
                stride as f64 * period_ns,
            ),
            Law::Poisson {
                sum_ns, mean_ns, ..
            } => (sum_ns, mean_ns),
        };
        let all = Evenly {
            epoch: self.epoch,
            first_ns,
            gap_ns,
            count: (end.since(self.head) as f64 / gap_ns) as u64 + 2,
        };
        let due = all.up_to(all.before(end));
        if due.count == 0 {
            return;
        }
        match &mut self.law {
            Law::Fixed { number, stride, .. } => *number += (due.count - 1) * *stride,
            // It has no memory: what comes after the end does not depend on what came before.
            Law::Poisson { sum_ns, .. } => *sum_ns = end.since(self.epoch) as f64,
        }
        self.advance(false);
        each(due);
    }

    fn advance(&mut self, first: bool) {
        let offset_ns = match &mut self.law {
            Law::Fixed {
                number,
                stride,
                phase,
                period_ns,
            } => {
                if !first {
                    *number += *stride;
                }
                // Below 2^53 ns (104 days) the product is exact to a nanosecond.
                (*number as f64 + *phase) * *period_ns
            }
            Law::Poisson {
                sum_ns,
                mean_ns,
                random,
            } => {
                *sum_ns += random.exponential(*mean_ns);
                *sum_ns
            }
        };
        let at = self.epoch.after(offset_ns as u64);
        self.head = if at < self.until { at } else { Tick::NEVER };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(phase: f64) -> Part {
        Part {
            index: 0,
            of: 1,
            phase,
        }
    }

    #[test]
    fn fixed_arrivals_are_a_function_of_their_number() {
        let mut one = Schedule::new(Arrival::Fixed, 3.0, whole(0.0), 1, Tick(100));
        let ticks: Vec<u64> = (0..4).map(|_| one.take().0).collect();
        assert_eq!(ticks, [100, 333_333_433, 666_666_766, 1_000_000_100]);
    }

    #[test]
    fn parts_interleave_to_the_whole() {
        let mut all: Vec<u64> = Vec::new();
        for index in 0..3 {
            let part = Part {
                index,
                of: 3,
                phase: 0.5,
            };
            let mut schedule = Schedule::new(Arrival::Fixed, 1e6, part, 1, Tick(0));
            all.extend((0..100).map(|_| schedule.take().0));
        }
        all.sort_unstable();
        let expected: Vec<u64> = (0..300).map(|n| n * 1000 + 500).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn all_that_is_left_is_what_one_by_one_would_take() {
        for (phase, rate_per_s, end) in [
            (0.0, 1e6, 1_000_100),
            (0.5, 3.0, 5_000_000_100),
            (0.0, 1e3, 100),
            (0.25, 7.7e5, 123_456_789),
        ] {
            let part = Part {
                index: 1,
                of: 3,
                phase,
            };
            let mut bulk = Schedule::new(Arrival::Fixed, rate_per_s, part, 1, Tick(100));
            let mut single = bulk.clone();
            let (mut taken, mut expected) = (Vec::new(), Vec::new());
            bulk.take_before(Tick(end), |due| {
                taken.extend((0..due.count).map(|n| due.at(n)));
            });
            while single.head() < Tick(end) {
                expected.push(single.take());
            }
            assert_eq!(taken.len(), expected.len(), "{rate_per_s}/s");
            for (mine, theirs) in taken.iter().zip(&expected) {
                assert!(mine.0.abs_diff(theirs.0) <= 1, "{rate_per_s}/s");
            }
            assert_eq!(bulk.head(), single.head(), "{rate_per_s}/s");
            bulk.take_before(Tick(end), |_| panic!("nothing is left"));
            bulk.take_before(Tick::NEVER, |_| panic!("nobody knows the end"));
        }
    }

    #[test]
    fn what_ends_and_what_goes_on_from_there_are_the_whole() {
        let at = Tick(10_500);
        let ticks = |schedule: &mut Schedule| -> Vec<u64> {
            std::iter::from_fn(|| (schedule.head() < Tick(20_000)).then(|| schedule.take().0))
                .collect()
        };
        let mut all = Schedule::new(Arrival::Fixed, 1e6, whole(0.5), 1, Tick(100));
        let (mut old, mut new) = (all.clone(), all.clone());
        old.end_at(at);
        new.skip_before(at);
        let mut left = Vec::new();
        let mut ended = old.clone();
        ended.take_before(Tick(1_000_000), |due| {
            left.extend((0..due.count).map(|n| due.at(n).0));
        });
        let before = ticks(&mut old);
        assert_eq!(left, before);
        assert_eq!(old.head(), Tick::NEVER);
        assert_eq!([before, ticks(&mut new)].concat(), ticks(&mut all));
        let mut poisson = Schedule::new(Arrival::Poisson, 1e6, whole(0.0), 1, Tick(100));
        poisson.skip_before(at);
        assert!(poisson.head() >= at);
        poisson.end_at(at);
        assert_eq!(poisson.head(), Tick::NEVER);
    }

    #[test]
    fn an_hour_at_a_billion_a_second_is_taken_at_once() {
        for arrival in [Arrival::Fixed, Arrival::Poisson] {
            let mut schedule = Schedule::new(arrival, 1e9, whole(0.0), 1, Tick(0));
            let hour = Tick(3_600_000_000_000);
            let mut count = 0;
            schedule.take_before(hour, |due| {
                assert!(due.at(0) < hour && due.at(due.count - 1) < hour);
                count += due.count;
            });
            // Three deviations of a Poisson count of a million.
            assert!(count.abs_diff(3_600_000_000_000) <= 3_000, "{count}");
            assert!(schedule.head() >= hour);
        }
    }

    #[test]
    fn no_drift_after_a_billion_requests() {
        let part = Part {
            index: 1_000_000_000,
            of: 1_000_000_000,
            phase: 0.0,
        };
        let mut schedule = Schedule::new(Arrival::Fixed, 1e6, part, 1, Tick(0));
        assert_eq!(schedule.take().0, 1_000_000_000_000);
        assert_eq!(schedule.take().0, 2_000_000_000_000);
    }

    #[test]
    fn parts_of_a_poisson_route_are_different_and_repeatable() {
        let make = |index| {
            let part = Part {
                index,
                of: 2,
                phase: 0.0,
            };
            let mut s = Schedule::new(Arrival::Poisson, 1000.0, part, 42, Tick(0));
            (0..5).map(|_| s.take().0).collect::<Vec<_>>()
        };
        assert_ne!(make(0), make(1));
        assert_eq!(make(0), make(0));
    }

    /// Kolmogorov–Smirnov: the gaps of the merged parts against the exponential law.
    #[test]
    fn merged_poisson_parts_have_exponential_gaps() {
        let rate_per_s = 50_000.0;
        let mut all: Vec<u64> = Vec::new();
        for index in 0..4 {
            let part = Part {
                index,
                of: 4,
                phase: 0.0,
            };
            let mut s = Schedule::new(Arrival::Poisson, rate_per_s, part, 7, Tick(0));
            while s.head() < Tick(1_000_000_000) {
                all.push(s.take().0);
            }
        }
        all.sort_unstable();
        let mut gaps: Vec<f64> = all.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        assert!(
            (n - rate_per_s).abs() < 5.0 * rate_per_s.sqrt(),
            "{n} arrivals in a second"
        );
        let mean_ns = 1e9 / rate_per_s;
        let mut distance: f64 = 0.0;
        for (i, gap) in gaps.iter().enumerate() {
            let law = 1.0 - (-gap / mean_ns).exp();
            let low = (law - i as f64 / n).abs();
            let high = (law - (i as f64 + 1.0) / n).abs();
            distance = distance.max(low).max(high);
        }
        // 1.63 / sqrt(n): the 1 % point of the KS statistic.
        assert!(distance < 1.63 / n.sqrt(), "distance {distance}");
    }
}
