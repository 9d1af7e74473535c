//! Offsets that are not there: where reading goes on, and when it gives up.
//!
//! Whole replies are in tests/framing.rs, whole runs in tests/sim.rs.

use super::cursors::{Claim, Cursors};
use crate::cluster::{Broker, Topic};
use crate::spec::Until;

fn topic() -> Topic {
    let broker = Broker {
        node: 0,
        name: "b:1".into(),
    };
    Topic::new("t".into(), vec![broker], &[(0, Some((0, 0)))])
}

fn claim(cursors: &Cursors) -> Option<Claim> {
    let mut claims = Vec::new();
    cursors.claim(&topic(), 0, 1, 0, &mut claims);
    claims.pop()
}

/// What a jump from offset 5 of 5 to 10 costs, and the offset it ends at.
fn jump(until: Until, start: i64) -> (u64, Option<i64>, bool) {
    let cursors = Cursors::new(vec![5], vec![10], until, 1, None);
    let first = claim(&cursors).expect("a cursor");
    let cost = cursors.jump(&first, start);
    let next = claim(&cursors).map(|claim| claim.offset);
    (cost, next, cursors.is_over())
}

#[test]
fn a_jump_costs_what_it_passes_over_within_the_range() {
    for until in [Until::End, Until::Follow, Until::Replay] {
        assert_eq!(jump(until, 8), (3, Some(8), false), "{until:?}");
    }
    assert_eq!(jump(Until::End, 80), (5, None, true));
    assert_eq!(jump(Until::Follow, 80), (75, Some(80), false));
    // To begin again at 5 would be out of range again, for ever.
    assert_eq!(jump(Until::Replay, 80), (5, None, true));
}

#[test]
fn an_offset_beyond_the_end_is_given_up_after_a_while() {
    let cursors = Cursors::new(vec![5], vec![10], Until::End, 1, None);
    let mut times = 0;
    while let Some(claim) = claim(&cursors) {
        assert_eq!(claim.offset, 5);
        times += 1;
        assert_eq!(cursors.beyond_end(&claim), cursors.is_over());
    }
    assert_eq!(times, 40);
    assert!(cursors.is_over());
}
