//! Any bytes, cut anywhere, for any methods: the verdict must not depend on the cuts, and the
//! session must neither panic nor reach beyond its input or its reply (the replay checks that).
#![no_main]

#[path = "../../tests/support/replay.rs"]
mod replay;

use libfuzzer_sys::fuzz_target;
use loadgen_core::replay::Skips;

/// The input: how many requests, their methods by bit, flags, how many cuts, the cuts in 1/255 of
/// the rest, the rest.
struct Case<'a> {
    methods: Vec<&'static str>,
    limited: bool,
    end: bool,
    skips: Skips,
    cuts: Vec<usize>,
    bytes: &'a [u8],
}

fn case(data: &[u8]) -> Option<Case<'_>> {
    let (&[methods, flags, cuts], rest) = data.split_first_chunk::<3>()?;
    let (cuts, bytes) = rest.split_at_checked(usize::from(cuts % 16))?;
    let method = |bit: u8| {
        if methods >> bit & 1 == 0 {
            "GET"
        } else {
            "HEAD"
        }
    };
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| bytes.len() * usize::from(*cut) / 255)
        .collect();
    cuts.sort_unstable();
    Some(Case {
        methods: (0..1 + (flags & 3)).map(method).collect(),
        limited: flags & 4 != 0,
        end: flags & 8 != 0,
        skips: if flags & 16 != 0 {
            Skips::Whole
        } else {
            Skips::Piecewise
        },
        cuts,
        bytes,
    })
}

fuzz_target!(|data: &[u8]| {
    let Some(case) = case(data) else {
        return;
    };
    let seen = |skips, cuts: &[usize]| {
        let conn = replay::connection(&case.methods, case.limited, skips);
        replay::named(conn.run(case.bytes, cuts, case.end))
    };
    let whole = seen(Skips::Whole, &[]);
    assert_eq!(seen(case.skips, &case.cuts), whole);
    if case.bytes.len() <= 512 {
        let each: Vec<usize> = (0..case.bytes.len()).collect();
        assert_eq!(seen(case.skips, &each), whole);
    }
});
