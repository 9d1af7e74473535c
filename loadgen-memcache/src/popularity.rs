//! Which key of a space is asked for: the laws of popularity.
//!
//! A [`Law`] is shared and constant; the random numbers are the caller's, so that one seed gives
//! one run.

use loadgen_core::workload::Random;

use crate::spec::Popularity;

/// A law over a number of keys, ready to be drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    keys: u64,
    shape: Shape,
    /// Ranks are spread over the key space by multiplying with it; it has no factor in common with
    /// the number of keys, so that no two ranks meet.
    stride: u64,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Uniform,
    Zipf(Zipf),
    Sequential,
    Hot { keys: u64, requests: f64 },
}

impl Law {
    /// `popularity` over `keys` keys, both judged by the plan.
    #[must_use]
    pub fn new(popularity: Popularity, keys: u64) -> Self {
        let keys = keys.max(1);
        let shape = match popularity {
            Popularity::Uniform => Shape::Uniform,
            Popularity::Zipf(s) => Shape::Zipf(Zipf::new(s, keys)),
            Popularity::Sequential => Shape::Sequential,
            Popularity::Hot {
                keys: share,
                requests,
            } => Shape::Hot {
                keys: ((keys as f64 * share).round() as u64).clamp(1, keys),
                requests,
            },
        };
        Self {
            keys,
            shape,
            stride: stride(keys),
        }
    }

    /// How many keys it is over.
    #[must_use]
    pub const fn keys(&self) -> u64 {
        self.keys
    }

    /// The next key: drawn, or the one at `cursor`, which moves on.
    #[inline]
    pub fn next(&self, cursor: &mut u64, random: &mut Random) -> u64 {
        match &self.shape {
            Shape::Uniform => random.below(self.keys),
            Shape::Zipf(zipf) => self.spread(zipf.draw(random) - 1),
            Shape::Hot { keys, requests } => {
                let hot = random.unit() <= *requests;
                let rank = if hot || *keys == self.keys {
                    random.below(*keys)
                } else {
                    keys + random.below(self.keys - keys)
                };
                self.spread(rank)
            }
            Shape::Sequential => {
                let index = *cursor % self.keys;
                *cursor = index + 1;
                index
            }
        }
    }

    #[inline]
    fn spread(&self, rank: u64) -> u64 {
        (u128::from(rank) * u128::from(self.stride) % u128::from(self.keys)) as u64
    }
}

/// The number next to the golden section of `keys` that has no factor in common with it.
fn stride(keys: u64) -> u64 {
    let near = (keys as f64 * 0.618_033_988_749_895) as u64;
    (near.max(1)..).find(|n| gcd(*n, keys) == 1).unwrap_or(1)
}

/// The greatest common divisor.
pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Zipf's law: rank k of 1 to n with a probability proportional to 1/k^s.
///
/// Rejection-inversion (Hörmann, Derflinger: Rejection-inversion to generate variates from monotone
/// discrete distributions, 1996): the density is covered by a hat that can be inverted, and of the
/// area between them little is left to reject. The cost is a constant, whatever n and s, and so is
/// the memory.
#[derive(Clone, Copy, Debug)]
struct Zipf {
    n: u64,
    s: f64,
    /// Where under the hat the draws begin (at rank 1) and end (at rank n).
    first: f64,
    last: f64,
    /// This far left of its rank, and every draw is accepted without another look.
    sure: f64,
}

impl Zipf {
    fn new(s: f64, n: u64) -> Self {
        let zipf = Self {
            n,
            s,
            first: 0.0,
            last: 0.0,
            sure: 0.0,
        };
        Self {
            first: zipf.hat(1.5) - 1.0,
            last: zipf.hat(n as f64 + 0.5),
            sure: 2.0 - zipf.inverse(zipf.hat(2.5) - zipf.density(2.0)),
            ..zipf
        }
    }

    /// x^-s.
    #[inline]
    fn density(&self, x: f64) -> f64 {
        (-self.s * x.ln()).exp()
    }

    /// The integral of the density from 1 to x: (x^(1-s) - 1) / (1-s), which is ln x for s = 1.
    #[inline]
    fn hat(&self, x: f64) -> f64 {
        let (ln, t) = (x.ln(), 1.0 - self.s);
        if (t * ln).abs() < 1e-8 {
            // The first two terms of the series: what is left is below the precision of f64.
            ln * (1.0 + t * ln / 2.0)
        } else {
            (t * ln).exp_m1() / t
        }
    }

    /// Where the integral has the value `area`.
    #[inline]
    fn inverse(&self, area: f64) -> f64 {
        let t = 1.0 - self.s;
        // Never below -1, where rounding would leave the logarithm's domain.
        let ta = (t * area).max(-1.0);
        if ta.abs() < 1e-8 {
            (area * (1.0 - ta / 2.0)).exp()
        } else {
            (ta.ln_1p() / t).exp()
        }
    }

    #[inline]
    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.unit() * (self.first - self.last);
            let x = self.inverse(area);
            let k = ((x + 0.5) as u64).clamp(1, self.n);
            let rank = k as f64;
            if rank - x <= self.sure || area >= self.hat(rank + 0.5) - self.density(rank) {
                return k;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 400_000;

    /// Pearson's statistic of many draws of each rank against 1/k^s; ranks that are expected
    /// less than 10 times are taken together. Its mean is the degrees of freedom, its standard
    /// deviation the root of twice that.
    fn chi_square(s: f64, n: u64) -> (f64, f64) {
        let zipf = Zipf::new(s, n);
        let mut random = Random::new(42);
        let mut counts = vec![0_u64; n as usize];
        for _ in 0..DRAWS {
            counts[zipf.draw(&mut random) as usize - 1] += 1;
        }
        let weights: Vec<f64> = (1..=n).map(|k| (k as f64).powf(-s)).collect();
        let sum: f64 = weights.iter().sum();
        let (mut statistic, mut cells) = (0.0, 0.0);
        let (mut seen, mut wanted) = (0.0, 0.0);
        for (count, weight) in counts.iter().zip(&weights) {
            seen += *count as f64;
            wanted += weight / sum * DRAWS as f64;
            if wanted >= 10.0 {
                statistic += (seen - wanted).powi(2) / wanted;
                cells += 1.0;
                (seen, wanted) = (0.0, 0.0);
            }
        }
        (statistic, cells - 1.0)
    }

    #[test]
    fn zipf_follows_its_law() {
        for s in [0.1, 0.5, 0.99, 1.0, 1.000_000_001, 1.2, 2.0, 4.0] {
            for n in [2, 10, 1000, 100_000] {
                let (statistic, freedom) = chi_square(s, n);
                // Five standard deviations: once in millions of seeds, and the seed is fixed.
                let limit = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
                assert!(statistic < limit, "s {s}, n {n}: {statistic} of {freedom}");
            }
        }
    }

    #[test]
    fn the_test_would_see_another_law() {
        // Draws of s = 0.95 held against s = 1.
        let (n, s) = (1000_u64, 1.0);
        let zipf = Zipf::new(0.95, n);
        let mut random = Random::new(42);
        let ones = (0..DRAWS).filter(|_| zipf.draw(&mut random) == 1).count() as f64;
        let sum: f64 = (1..=n).map(|k| (k as f64).powf(-s)).sum();
        let wanted = DRAWS as f64 / sum;
        assert!((ones - wanted).powi(2) / wanted > 100.0);
    }

    #[test]
    fn the_far_ends_are_reached_and_never_passed() {
        let mut random = Random::new(1);
        for (s, n) in [(0.01, 3), (1.0, 1), (0.99, 1 << 40), (10.0, 1 << 40)] {
            let zipf = Zipf::new(s, n);
            for _ in 0..10_000 {
                assert!((1..=n).contains(&zipf.draw(&mut random)), "{s} {n}");
            }
        }
        let few = Zipf::new(0.01, 3);
        let drawn: Vec<u64> = (0..100).map(|_| few.draw(&mut random)).collect();
        assert!([1, 2, 3].iter().all(|k| drawn.contains(k)));
    }

    #[test]
    fn ranks_are_spread_without_meeting() {
        for keys in [1, 2, 7, 100, 4096, 10_000] {
            let law = Law::new(Popularity::Zipf(1.0), keys);
            let places: std::collections::HashSet<u64> = (0..keys).map(|r| law.spread(r)).collect();
            assert_eq!(places.len() as u64, keys);
        }
        let law = Law::new(Popularity::Zipf(1.0), 10_000);
        assert!(law.spread(0).abs_diff(law.spread(1)) > 100);
    }

    #[test]
    fn the_hot_set_gets_its_share() {
        let hot = Popularity::Hot {
            keys: 0.1,
            requests: 0.9,
        };
        let law = Law::new(hot, 1000);
        let (mut random, mut cursor) = (Random::new(3), 0);
        let mut counts = vec![0_u32; 1000];
        for _ in 0..1_000_000 {
            counts[law.next(&mut cursor, &mut random) as usize] += 1;
        }
        let warm = counts.iter().filter(|c| **c > 4_500).count();
        assert_eq!(
            warm, 100,
            "a hot key is asked for 9000 times, a cold one 111 times"
        );
        let hot: u32 = counts.iter().filter(|c| **c > 4_500).sum();
        assert!((898_000..902_000).contains(&hot), "{hot}");
        assert!(counts.iter().all(|c| *c > 50));
    }

    #[test]
    fn sequential_goes_round_and_uniform_everywhere() {
        let law = Law::new(Popularity::Sequential, 3);
        let (mut random, mut cursor) = (Random::new(3), 1);
        let walked: Vec<u64> = (0..5).map(|_| law.next(&mut cursor, &mut random)).collect();
        assert_eq!(walked, [1, 2, 0, 1, 2]);
        let law = Law::new(Popularity::Uniform, 10);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[law.next(&mut cursor, &mut random) as usize] += 1;
        }
        assert!(
            counts.iter().all(|c| (9_500..10_500).contains(c)),
            "{counts:?}"
        );
    }
}
