//! Which op comes next.
//!
//! A [`Blend`] is shared and constant; where a connection is in it is the workload's to keep.

use loadgen_core::workload::Random;

use crate::popularity::gcd;
use crate::spec::{Mix, Op};

/// The ops of a run and the law of their order.
#[derive(Clone, Debug)]
pub struct Blend {
    mix: Mix,
    /// Each op and the sum of the weights up to it.
    steps: Vec<(Op, u64)>,
    /// One round of the fixed order.
    round: Vec<Op>,
}

impl Blend {
    /// `ops` with their weights, judged by the plan.
    #[must_use]
    pub fn new(ops: &[(Op, u32)], mix: Mix) -> Self {
        let mut sum = 0;
        let steps = ops.iter().map(|(op, weight)| {
            sum += u64::from(*weight);
            (*op, sum)
        });
        Self {
            mix,
            steps: steps.collect(),
            round: round(ops),
        }
    }

    /// The next op: drawn, or the one at `turn`, which moves on.
    #[inline]
    pub fn next(&self, turn: &mut usize, random: &mut Random) -> Option<Op> {
        if self.mix == Mix::Rotation {
            let op = self.round.get(*turn).copied();
            *turn = if *turn + 1 < self.round.len() {
                *turn + 1
            } else {
                0
            };
            return op;
        }
        let sum = self.steps.last()?.1;
        let at = random.below(sum);
        let found = self.steps.iter().find(|(_, until)| at < *until);
        found.map(|(op, _)| *op)
    }
}

/// Whether an op writes a value.
#[must_use]
pub const fn writes(op: Op) -> bool {
    matches!(op, Op::Set | Op::Add | Op::Replace)
}

/// One round: always the op that is furthest behind its share, writes first. For SET:GET 1:9 that
/// is memaslap's order, one SET and nine GETs.
fn round(ops: &[(Op, u32)]) -> Vec<Op> {
    let mut ops: Vec<(Op, u64)> = ops.iter().map(|(op, w)| (*op, u64::from(*w))).collect();
    ops.sort_by_key(|(op, _)| !writes(*op));
    let divisor = ops.iter().fold(0, |a, (_, w)| gcd(a, *w)).max(1);
    let mut state: Vec<(Op, u64, u64)> = ops.iter().map(|(op, w)| (*op, w / divisor, 0)).collect();
    let length: u64 = state.iter().map(|(_, weight, _)| weight).sum();
    let mut round = Vec::with_capacity(length as usize);
    for _ in 0..length {
        // done / weight, compared without dividing.
        let behind = state.iter_mut().filter(|(_, weight, _)| *weight > 0);
        let next = behind.min_by(|a, b| (a.2 * b.1).cmp(&(b.2 * a.1)));
        if let Some((op, _, done)) = next {
            *done += 1;
            round.push(*op);
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(blend: &Blend, count: usize) -> Vec<Op> {
        let (mut turn, mut random) = (0, Random::new(1));
        let next = |_| blend.next(&mut turn, &mut random).unwrap();
        (0..count).map(next).collect()
    }

    fn count(ops: &[Op], op: Op) -> usize {
        ops.iter().filter(|o| **o == op).count()
    }

    #[test]
    fn the_default_order_is_that_of_memaslap() {
        let blend = Blend::new(&[(Op::Get, 9), (Op::Set, 1)], Mix::Rotation);
        let ops = taken(&blend, 1000);
        for tenth in ops.chunks(10) {
            assert_eq!(tenth[0], Op::Set);
            assert_eq!(count(tenth, Op::Get), 9);
        }
    }

    #[test]
    fn a_round_has_the_exact_shares_evenly_spread() {
        let blend = Blend::new(
            &[(Op::Set, 300), (Op::Get, 600), (Op::Touch, 100)],
            Mix::Rotation,
        );
        let ops = taken(&blend, 1000);
        for round in ops.chunks(10) {
            let shares = [Op::Set, Op::Get, Op::Touch].map(|op| count(round, op));
            assert_eq!(shares, [3, 6, 1]);
        }
        assert!(ops.windows(3).all(|w| count(w, Op::Set) <= 2), "{ops:?}");
        let even = Blend::new(&[(Op::Set, 5), (Op::Get, 5)], Mix::Rotation);
        assert_eq!(taken(&even, 4), [Op::Set, Op::Get, Op::Set, Op::Get]);
    }

    #[test]
    fn drawn_ops_have_their_shares_too() {
        let blend = Blend::new(&[(Op::Set, 1), (Op::Get, 8), (Op::Delete, 1)], Mix::Random);
        let ops = taken(&blend, 100_000);
        for (op, wanted) in [(Op::Set, 10_000), (Op::Get, 80_000), (Op::Delete, 10_000)] {
            let actual = count(&ops, op) as i64;
            assert!((actual - wanted).abs() < 500, "{op:?} {actual}");
        }
        assert_ne!(ops[..100], ops[100..200]);
    }

    #[test]
    fn an_op_without_weight_never_comes() {
        for mix in [Mix::Rotation, Mix::Random] {
            let blend = Blend::new(&[(Op::Set, 0), (Op::Get, 2)], mix);
            assert!(taken(&blend, 100).iter().all(|op| *op == Op::Get));
        }
        let (mut turn, mut random) = (0, Random::new(1));
        let none = Blend::new(&[], Mix::Random);
        assert_eq!(none.next(&mut turn, &mut random), None);
    }
}
