//! Medians, spreads and intervals of a few runs.
//!
//! Pure functions; the bootstrap is seeded, so the same runs give the same interval.

use loadgen_core::workload::Random;
use serde::Serialize;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 10_000;

/// A median with what surrounds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// The median.
    pub(crate) value: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// The median; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// Median, smallest and largest.
pub(crate) fn spread(values: &[f64]) -> Spread {
    Spread {
        median: median(values),
        min: values.iter().copied().fold(f64::NAN, f64::min),
        max: values.iter().copied().fold(f64::NAN, f64::max),
    }
}

/// The median of `values` with a 95 % interval: percentiles of the medians of resamples.
pub(crate) fn bootstrap(values: &[f64], seed: u64) -> Estimate {
    let mut random = Random::new(seed);
    let mut resample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for place in &mut resample {
                *place = values[random.below(values.len() as u64) as usize];
            }
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate {
        value: median(values),
        low: medians[RESAMPLES / 40],
        high: medians[RESAMPLES - 1 - RESAMPLES / 40],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let spread = spread(&[3.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.max), (1.0, 3.0));
    }

    #[test]
    fn an_interval_holds_the_middle_and_not_the_edge() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = bootstrap(&values, 1);
        assert_eq!(found.value, 50.5);
        // The median of n uniform values has a standard error near half the range ÷ √n.
        assert!(found.low > 38.0 && found.low < 46.0, "{found:?}");
        assert!(found.high > 55.0 && found.high < 63.0, "{found:?}");
        assert_eq!(found, bootstrap(&values, 1));
        let same = bootstrap(&[2.0; 7], 1);
        assert_eq!((same.low, same.high), (2.0, 2.0));
    }

    /// Of many samples with a known median, about 95 % of the intervals hold it.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut random = Random::new(3);
        let holds = (0..200)
            .filter(|&seed| {
                let values: Vec<f64> = (0..7).map(|_| random.unit()).collect();
                let found = bootstrap(&values, seed);
                found.low <= 0.5 && 0.5 <= found.high
            })
            .count();
        assert!((176..=200).contains(&holds), "{holds} of 200");
    }
}
