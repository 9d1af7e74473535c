//! The size that belongs to each key: a fixed function of the key's number.
//!
//! It must never depend on the seed or on what was asked before: two runs, a prefill and a run, two
//! machines agree on every size.

use loadgen_core::workload::Random;

use crate::spec::{SizeRange, Sizes};

/// Of so many keys in a row, every range has its exact share, to one key.
pub const ROUND: usize = 1024;

/// The order of the ranges is shuffled with it.
const SHUFFLE_SEED: u64 = 0x73_697a_6573;

/// Sizes, ready to be looked up.
#[derive(Clone, Debug)]
pub struct SizeTable {
    ranges: Vec<SizeRange>,
    /// Which range each key of a round has; empty where there is one size only.
    round: Vec<u16>,
}

impl SizeTable {
    /// Lays out `sizes`, which the plan has judged: at least one range, no range upside down, a
    /// weight above 0. Without a range, every size is 0.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let ranges = sizes.0.clone();
        let one_size = ranges.len() <= 1 && ranges.iter().all(|r| r.min_bytes == r.max_bytes);
        let round = if one_size {
            Vec::new()
        } else {
            lay_out(&ranges)
        };
        Self { ranges, round }
    }

    /// The size that belongs to key `index` of its space, whose hash is `hash`.
    #[inline]
    #[must_use]
    pub fn of(&self, index: u64, hash: u64) -> u32 {
        let at = self.round.get(index as usize % ROUND).copied();
        let Some(range) = self.ranges.get(usize::from(at.unwrap_or(0))) else {
            return 0;
        };
        let span = u64::from(range.max_bytes.saturating_sub(range.min_bytes)) + 1;
        range.min_bytes + ((u128::from(hash) * u128::from(span)) >> 64) as u32
    }

    /// The smallest size.
    #[must_use]
    pub fn min(&self) -> u32 {
        self.ranges.iter().map(|r| r.min_bytes).min().unwrap_or(0)
    }
}

/// Which range each of [`ROUND`] keys has: shares by largest remainder, in random order.
fn lay_out(ranges: &[SizeRange]) -> Vec<u16> {
    let sum: u64 = ranges.iter().map(|r| u64::from(r.weight)).sum();
    let part = |r: &SizeRange| u64::from(r.weight) * ROUND as u64;
    let mut counts: Vec<u64> = ranges.iter().map(|r| part(r) / sum.max(1)).collect();
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(part(&ranges[i]) % sum.max(1)));
    let left = ROUND as u64 - counts.iter().sum::<u64>().min(ROUND as u64);
    for &i in order.iter().take(left as usize) {
        counts[i] += 1;
    }
    let mut round: Vec<u16> = Vec::with_capacity(ROUND);
    for (range, count) in (0..).zip(counts) {
        round.extend(std::iter::repeat_n(range, count as usize));
    }
    let mut random = Random::new(SHUFFLE_SEED);
    for i in (1..round.len()).rev() {
        round.swap(i, random.below(i as u64 + 1) as usize);
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min_bytes: u32, max_bytes: u32, weight: u32) -> SizeRange {
        SizeRange {
            min_bytes,
            max_bytes,
            weight,
        }
    }

    fn drawn(table: &SizeTable, keys: u64) -> Vec<u32> {
        let mut random = Random::new(9);
        (0..keys)
            .map(|index| table.of(index, random.next_u64()))
            .collect()
    }

    #[test]
    fn one_size_is_one_size() {
        let table = SizeTable::new(&Sizes::fixed(64));
        assert!(table.round.is_empty());
        assert!(drawn(&table, 3000).iter().all(|size| *size == 64));
    }

    #[test]
    fn a_range_is_used_to_both_its_ends_and_evenly() {
        let sizes = drawn(&SizeTable::new(&Sizes::range(10, 19)), 100_000);
        for size in 10..20 {
            let count = sizes.iter().filter(|s| **s == size).count();
            assert!((9_500..10_500).contains(&count), "{size}: {count}");
        }
        assert!(sizes.iter().all(|size| (10..20).contains(size)));
        assert_eq!(
            SizeTable::new(&Sizes::range(0, u32::MAX)).of(0, u64::MAX),
            u32::MAX
        );
    }

    #[test]
    fn shares_are_exact_in_every_round_and_mixed() {
        let table = SizeTable::new(&Sizes(vec![
            range(1, 1, 1),
            range(2, 2, 2),
            range(100, 200, 5),
        ]));
        let sizes = drawn(&table, 4 * ROUND as u64);
        for round in sizes.chunks(ROUND) {
            let count = |wanted: u32| round.iter().filter(|s| **s == wanted).count();
            assert_eq!((count(1), count(2)), (128, 256));
        }
        assert!(sizes[..64].contains(&1) && sizes[..64].contains(&2));
        // 1024 is no multiple of 3: to one key.
        let thirds = SizeTable::new(&Sizes(vec![range(1, 1, 1), range(2, 2, 1), range(3, 3, 1)]));
        let sizes = drawn(&thirds, ROUND as u64);
        let count = |wanted: u32| sizes.iter().filter(|s| **s == wanted).count();
        assert_eq!(count(1) + count(2) + count(3), ROUND);
        assert!([1, 2, 3].iter().all(|s| (341..=342).contains(&count(*s))));
    }
}
