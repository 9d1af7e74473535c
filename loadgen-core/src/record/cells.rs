//! Histogram cells that appear on first use.
//!
//! Intervals are counted in `u32` cells and added up in `u64` ones. 1 ns is the floor, 1 h the
//! range, 3 significant digits; what is longer is counted at the end and as clamped. Nothing here
//! may round a value in any other way than HdrHistogram does.

use hdrhistogram::Histogram;

/// The largest value a histogram tells apart: one hour, ns.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

const DIGITS: u8 = 3;

/// An empty histogram for sums.
#[must_use]
pub fn sum_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).unwrap_or_else(|_| unreachable_bounds())
}

#[cold]
fn unreachable_bounds<T: hdrhistogram::Counter>() -> Histogram<T> {
    // The bounds are constants that the crate accepts; a test makes one of each.
    unreachable!("1 ns to 1 h at 3 digits are valid bounds")
}

/// One interval's values of one kind.
#[derive(Debug, Default)]
pub struct Cells {
    histogram: Option<Box<Histogram<u32>>>,
    clamped: u64,
    used: bool,
}

impl Cells {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.record_n(ns, 1);
    }

    /// Counts one value `n` times.
    #[inline]
    pub fn record_n(&mut self, ns: u64, n: u32) {
        self.used = true;
        if ns > HIGHEST_NS {
            self.clamped += u64::from(n);
        }
        let histogram = self.histogram.get_or_insert_with(Self::allocate);
        histogram.saturating_record_n(ns.min(HIGHEST_NS), n);
    }

    /// The smallest value that is counted where `ns` is.
    pub fn lowest_like(&mut self, ns: u64) -> u64 {
        if ns > HIGHEST_NS {
            return HIGHEST_NS + 1;
        }
        let histogram = self.histogram.get_or_insert_with(Self::allocate);
        histogram.lowest_equivalent(ns)
    }

    #[cold]
    fn allocate() -> Box<Histogram<u32>> {
        let made = Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS);
        Box::new(made.unwrap_or_else(|_| unreachable_bounds()))
    }

    /// The values, if there were any.
    #[must_use]
    pub fn histogram(&self) -> Option<&Histogram<u32>> {
        self.histogram.as_deref().filter(|_| self.used)
    }

    /// Values above the range.
    #[must_use]
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// Adds the values to `sum`. Both have the same cells, so nothing is rounded again.
    pub fn add_to(&self, sum: &mut Histogram<u64>) {
        let Some(histogram) = self.histogram() else {
            return;
        };
        for step in histogram.iter_recorded() {
            sum.saturating_record_n(step.value_iterated_to(), step.count_since_last_iteration());
        }
    }

    /// Forgets the values, keeps the memory.
    pub fn clear(&mut self) {
        if self.used
            && let Some(histogram) = &mut self.histogram
        {
            histogram.reset();
        }
        self.clamped = 0;
        self.used = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_every_cell() {
        let mut cells = Cells::default();
        let mut direct = sum_histogram();
        for n in 0..5_000_u64 {
            let value = n * n * 37 + 1;
            cells.record(value);
            direct.record(value).unwrap();
        }
        let mut sum = sum_histogram();
        cells.add_to(&mut sum);
        assert_eq!(sum, direct);
        cells.clear();
        assert!(cells.histogram().is_none());
    }

    #[test]
    fn beyond_the_range_is_counted() {
        let mut cells = Cells::default();
        cells.record(HIGHEST_NS + 1);
        cells.record(5);
        assert_eq!(cells.clamped(), 1);
        assert_eq!(cells.histogram().unwrap().len(), 2);
    }
}
