//! Any bytes, cut anywhere, for any requests: the verdict must not depend on the cuts, and the
//! session must neither panic nor reach beyond its input or its reply (the replay checks that).
#![no_main]

#[path = "../../tests/support/wire.rs"]
mod wire;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loadgen_core::replay::same_if_cut;
use loadgen_memcache::session::Request;
use loadgen_memcache::{MemcacheScenario, Op};
use wire::{connection, key, reply, scenario, spec};

/// The input: requests by bits, flags, how many cuts, the cuts in 1/255 of the rest, the rest.
struct Case<'a> {
    requests: u8,
    scenario: &'static MemcacheScenario,
    end: bool,
    cuts: Vec<usize>,
    bytes: &'a [u8],
}

/// One for each way of looking at replies, made once.
fn scenarios() -> &'static [MemcacheScenario; 8] {
    static SCENARIOS: OnceLock<[MemcacheScenario; 8]> = OnceLock::new();
    SCENARIOS.get_or_init(|| {
        std::array::from_fn(|flags| {
            let mut spec = spec();
            spec.return_keys = flags & 1 != 0;
            spec.verify = if flags & 2 != 0 { 1.0 } else { 0.0 };
            spec.set_on_miss = flags & 4 != 0;
            scenario(&spec)
        })
    })
}

fn case(data: &[u8]) -> Option<Case<'_>> {
    let (&[requests, flags, cuts], rest) = data.split_first_chunk::<3>()?;
    let (cuts, bytes) = rest.split_at_checked(usize::from(cuts % 16))?;
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| bytes.len() * usize::from(*cut) / 255)
        .collect();
    cuts.sort_unstable();
    Some(Case {
        requests,
        scenario: &scenarios()[usize::from(flags & 7)],
        end: flags & 8 != 0,
        cuts,
        bytes,
    })
}

/// Two bits a request: a GET, a SET, a batch of GETs, a batch of SETs.
fn requests(bits: u8) -> Vec<Request> {
    let batch = || (0..4).map(key).collect();
    let one = |shift: u8| match bits >> shift & 3 {
        0 => Request::One(Op::Get, key(1)),
        1 => Request::One(Op::Set, key(2)),
        2 => Request::Batch(Op::Get, batch()),
        _ => Request::Batch(Op::Set, batch()),
    };
    [0, 2, 4, 6].map(one).into()
}

/// The input as it is; and with a repaired header in front of each piece of it, so that more than
/// the first reply is reached.
fn streams(case: &Case<'_>) -> [Vec<u8>; 2] {
    let mut repaired = Vec::new();
    for piece in case.bytes.chunks(24) {
        if let [code, status, opaque, extras, body @ ..] = piece {
            let extras = body.len().min(usize::from(extras % 8));
            let (extras, value) = body.split_at(extras);
            let status = u16::from(status % 4);
            repaired.extend(reply(
                code % 32,
                status,
                u32::from(opaque % 16),
                [extras, b"", value],
            ));
        }
    }
    [case.bytes.to_vec(), repaired]
}

fuzz_target!(|data: &[u8]| {
    let Some(case) = case(data) else {
        return;
    };
    for bytes in streams(&case) {
        same_if_cut(bytes.len(), &case.cuts, |cuts, skips| {
            let conn = connection(case.scenario, requests(case.requests), skips);
            conn.run(&bytes, cuts, case.end)
        });
    }
});
