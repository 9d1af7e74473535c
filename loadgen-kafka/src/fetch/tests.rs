//! Cursors: who reads where, where reading goes on, and when it gives up.
//!
//! Whole replies are in tests/framing.rs, whole runs in tests/sim.rs.

use loadgen_core::time::Tick;

use super::cursors::{Asking, Came, Claim, Cursors, Passed, Ranges};
use crate::cluster::{Broker, Topic};
use crate::spec::{Depth, Until};
use crate::walk::Counts;

fn topic(leaders: &[i32]) -> Topic {
    let broker = |node| Broker {
        node,
        name: format!("b{node}:1"),
    };
    let partitions: Vec<_> = (0..)
        .zip(leaders)
        .map(|(i, l)| (i, Some((*l, 0))))
        .collect();
    Topic::new("t".into(), vec![broker(0), broker(1)], &partitions)
}

/// Partitions from offset 5 to 10, with one cursor each.
fn ranges(partitions: usize, until: Until) -> Ranges {
    Ranges {
        starts: vec![5; partitions],
        ends: vec![10; partitions],
        until,
        copies: vec![1; partitions],
        wanted: None,
        depth: Depth::Headers,
    }
}

fn claimed_at(cursors: &Cursors, topic: &Topic, route: usize, slots: u32, now: u64) -> Vec<Claim> {
    let mut claims = Vec::new();
    let asking = Asking {
        route,
        share: cursors.share(topic, route, slots),
        from: 0,
        now: Tick(now),
    };
    cursors.claim(topic, &asking, &mut claims);
    claims
}

fn claimed(cursors: &Cursors, topic: &Topic, route: usize, slots: u32) -> Vec<Claim> {
    claimed_at(cursors, topic, route, slots, 0)
}

/// The one cursor of the one partition.
fn claim(cursors: &Cursors) -> Option<Claim> {
    claimed(cursors, &topic(&[0]), 0, 1).pop()
}

/// Records came up to `next_offset`, or nothing did; the log ends at 10.
fn advance(cursors: &Cursors, claim: &Claim, next_offset: i64) -> u64 {
    let records = u64::try_from(next_offset - claim.offset).expect("forward");
    let counts = Counts {
        records,
        next_offset,
        first_offset: (records > 0).then_some(claim.offset),
        ..Counts::default()
    };
    let came = Came {
        counts: &counts,
        bytes: 100 * records as u32,
        known_end: 10,
        barren: records == 0,
    };
    cursors.advance(claim, &came).offsets
}

#[test]
fn each_is_read_once_at_a_time_where_its_leader_is() {
    let topic = topic(&[0, 1, 0, 0]);
    let cursors = Cursors::new(ranges(4, Until::End));
    let at = |claims: &[Claim]| claims.iter().map(|c| c.partition).collect::<Vec<_>>();
    let first = claimed(&cursors, &topic, 0, 2);
    let second = claimed(&cursors, &topic, 0, 2);
    assert_eq!((at(&first), at(&second)), (vec![0, 2], vec![3]));
    assert!(claimed(&cursors, &topic, 0, 2).is_empty());
    assert_eq!(at(&claimed(&cursors, &topic, 1, 2)), [1]);
    // A lost one is read again from where it was; its leader may be elsewhere then.
    cursors.release(&first[0]);
    topic.learn(0, Some((1, 1)));
    assert_eq!(claimed(&cursors, &topic, 1, 1), [first[0]]);
    advance(&cursors, &first[1], 10);
    advance(&cursors, &second[0], 7);
    assert!(!cursors.is_over());
    let again = claimed(&cursors, &topic, 0, 1);
    assert_eq!((at(&again), again[0].offset), (vec![3], 7));
    let rows = cursors.rows(&topic);
    let row = |at: usize, name: &str| rows[at][name].clone();
    assert_eq!(
        (row(2, "records"), row(2, "next_offset")),
        (5.into(), 10.into())
    );
    assert_eq!(
        (row(2, "position"), row(3, "position")),
        (10.into(), 7.into())
    );
}

#[test]
fn the_end_the_number_and_the_next_round() {
    let topic = topic(&[0]);
    let one = |until, wanted| {
        let cursors = Cursors::new(Ranges {
            wanted,
            copies: vec![2],
            ..ranges(1, until)
        });
        // A request names a partition once: the second cursor waits for the next one.
        let mut claims = claimed(&cursors, &topic, 0, 1);
        claims.extend(claimed(&cursors, &topic, 0, 1));
        for claim in &claims {
            advance(&cursors, claim, 10);
        }
        let next = claimed(&cursors, &topic, 0, 9);
        (cursors.is_over(), claims.len(), next)
    };
    assert_eq!(one(Until::End, None), (true, 1, vec![]));
    let (over, claims, next) = one(Until::Follow, None);
    assert!(!over && claims == 1 && next[0].at_end && next[0].offset == 10);
    let (over, claims, next) = one(Until::Replay, None);
    assert!(!over && claims == 2 && !next[0].at_end && next[0].offset == 5);
    assert!(one(Until::Replay, Some(10)).0 && !one(Until::Replay, Some(11)).0);
}

#[test]
fn in_a_replay_each_partition_has_the_cursors_its_own_leader_needs() {
    let topic = topic(&[0, 1, 1]);
    let copies = super::copies(&topic, &[8, 3]);
    assert_eq!(copies, [8, 2, 2]);
    let cursors = Cursors::new(Ranges {
        copies,
        ..ranges(3, Until::Replay)
    });
    let fetches = |route, slots| {
        let claims = std::iter::from_fn(|| Some(claimed(&cursors, &topic, route, slots)));
        claims.take_while(|claims| !claims.is_empty()).count()
    };
    assert_eq!((fetches(0, 8), fetches(1, 4)), (8, 4));
    // Nobody leads it, or somebody outside the run.
    topic.learn(0, None);
    topic.learn(1, Some((77, 9)));
    assert_eq!(super::copies(&topic, &[8, 3]), [1, 1, 3]);
}

#[test]
fn what_was_refused_comes_last_until_its_time_has_come() {
    let topic = topic(&[0, 0]);
    let cursors = Cursors::new(ranges(2, Until::End));
    let first = claimed(&cursors, &topic, 0, 1);
    let refuse_one = || {
        cursors.hold(&first[0], Tick(100));
        cursors.release(&first[1]);
    };
    refuse_one();
    assert_eq!(claimed_at(&cursors, &topic, 0, 1, 99), [first[1]]);
    // It is better than nothing.
    assert_eq!(claimed_at(&cursors, &topic, 0, 1, 99), [first[0]]);
    refuse_one();
    assert_eq!(claimed_at(&cursors, &topic, 0, 1, 100), first);
}

/// What a jump from offset 5 of 5 to 10 costs, and the offset it ends at.
fn jump(until: Until, start: i64) -> (u64, Option<i64>, bool) {
    let cursors = Cursors::new(ranges(1, until));
    let first = claim(&cursors).expect("a cursor");
    let cost = cursors.jump(&first, start);
    let next = claim(&cursors).map(|claim| claim.offset);
    assert_eq!(cost.gave_up, until == Until::Replay && start == 80);
    (cost.offsets, next, cursors.is_over())
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
fn later_rounds_begin_where_the_log_begins_by_then() {
    for depth in [Depth::Headers, Depth::None] {
        let cursors = Cursors::new(Ranges {
            depth,
            ..ranges(1, Until::Replay)
        });
        cursors.jump(&claim(&cursors).expect("a cursor"), 8);
        for round in 0..3 {
            let at = claim(&cursors).expect("a cursor");
            assert_eq!(at.offset, 8, "{depth:?}, round {round}");
            advance(&cursors, &at, 10);
        }
    }
}

#[test]
fn the_other_cursors_of_a_replay_know_where_the_log_begins() {
    let cursors = Cursors::new(Ranges {
        copies: vec![2],
        ..ranges(1, Until::Replay)
    });
    let (first, second) = (claim(&cursors), claim(&cursors));
    let (first, second) = first.zip(second).expect("two cursors");
    assert_eq!(cursors.begins_behind(&second), None);
    cursors.jump(&first, 8);
    assert_eq!(cursors.begins_behind(&second), Some(8));
    assert_eq!(cursors.jump(&second, 8).offsets, 3);
    assert_eq!(cursors.begins_behind(&claim(&cursors).expect("one")), None);
}

#[test]
fn an_offset_beyond_the_end_is_given_up_after_a_while() {
    let cursors = Cursors::new(ranges(1, Until::End));
    let mut times = 0;
    while let Some(claim) = claim(&cursors) {
        assert_eq!(claim.offset, 5);
        times += 1;
        assert_eq!(cursors.hopeless(&claim, Tick(9)), cursors.is_over());
    }
    assert_eq!(times, 40);
    assert!(cursors.is_over());
}

#[test]
fn an_end_that_nothing_comes_from_is_passed_over_after_a_while() {
    for until in [Until::End, Until::Replay] {
        let cursors = Cursors::new(ranges(1, until));
        let read = |next| advance(&cursors, &claim(&cursors).expect("a cursor"), next);
        // What comes in between begins the count again.
        assert_eq!(([(); 19].map(|()| read(5)), read(8)), ([0; 19], 0));
        assert_eq!(([(); 19].map(|()| read(8)), read(8)), ([0; 19], 2));
        if until == Until::End {
            // What was passed over was not read.
            let rows = cursors.rows(&topic(&[0]));
            assert!(cursors.is_over() && rows[0]["position"] == 8);
        } else {
            // No later round waits for it.
            assert_eq!(read(8), 0);
            assert_eq!(claim(&cursors).map(|claim| claim.offset), Some(5));
        }
    }
    // Nothing from the first offset on: a replay would go round for ever.
    for (until, gave_up) in [(Until::End, false), (Until::Replay, true)] {
        let cursors = Cursors::new(ranges(1, until));
        let nothing = |at: &Claim| {
            let counts = Counts {
                next_offset: 5,
                ..Counts::default()
            };
            let came = Came {
                counts: &counts,
                bytes: 0,
                known_end: 10,
                barren: true,
            };
            cursors.advance(at, &came)
        };
        let passed = [(); 20].map(|()| nothing(&claim(&cursors).expect("a cursor")));
        let offsets = 5;
        assert_eq!(passed[19], Passed { offsets, gave_up });
        assert_eq!(passed[..19], [Passed::default(); 19]);
        assert!(cursors.is_over());
    }
    let cursors = Cursors::new(ranges(1, Until::Follow));
    let nothing = || advance(&cursors, &claim(&cursors).expect("a cursor"), 5);
    assert_eq!([(); 50].map(|()| nothing()), [0; 50]);
}

#[test]
fn without_looking_rounds_go_where_the_first_one_went() {
    let cursors = Cursors::new(Ranges {
        depth: Depth::None,
        ..ranges(1, Until::Replay)
    });
    for next in [7, 9, 12] {
        let at = claim(&cursors).expect("a cursor");
        assert!(!at.known);
        advance(&cursors, &at, next);
    }
    // Nobody sees how far it comes from now on.
    let came = Came {
        counts: &Counts::default(),
        bytes: 100,
        known_end: 10,
        barren: false,
    };
    let offsets = [(); 7].map(|()| {
        let at = claim(&cursors).expect("a cursor");
        assert!(at.known);
        cursors.advance(&at, &came);
        at.offset
    });
    assert_eq!(offsets, [5, 7, 9, 5, 7, 9, 5]);
    let row = &cursors.rows(&topic(&[0]))[0];
    assert!(row["rounds"] == 3 && row["records"].is_null(), "{row}");
}
