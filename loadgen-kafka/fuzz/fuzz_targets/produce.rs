//! Replies to produce requests, of any bytes and cut anywhere: neither what is seen nor what the
//! document says of it may depend on the cuts, and nothing may panic or reach beyond its input or its
//! reply (the replay checks that).
#![no_main]

#[path = "../../tests/support/produce.rs"]
mod wire;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch};
use kafka_protocol::protocol::StrBytes;
use libfuzzer_sys::fuzz_target;
use loadgen_core::replay::Skips;
use loadgen_kafka::spec::Acks;
use wire::{PARTITIONS, Setup, encoded, framed, partition, read, response};

/// Bytes of the input that each made-up reply takes.
const REPLY_BYTES: usize = 6;
/// Replies up to here are fed byte by byte as well.
const SHORT_BYTES: usize = 512;
/// Codes that mean something different each.
const CODES: [i16; 8] = [0, 6, 7, 10, 19, 87, -1, 9999];

/// The input: a version, flags, a seed of the cuts, and the rest.
fn setup(version: u8, flags: u8) -> Setup {
    Setup {
        acks: if flags & 1 == 0 {
            Acks::Leader
        } else {
            Acks::All
        },
        batches: u32::from(flags >> 1 & 3) + 1,
        ..Setup::new(3 + i16::from(version % 10))
    }
}

/// A reply of these bytes.
fn reply_of(setup: &Setup, correlation: i32, bytes: &[u8; REPLY_BYTES]) -> Vec<u8> {
    let [index, code, offset, throttle, errors, text] = *bytes;
    let code = CODES[usize::from(code % 8)];
    let at = usize::from(index % 2);
    let mut said = partition(PARTITIONS[at], code, i64::from(offset) - 1);
    let text = || StrBytes::from_string("x".repeat(usize::from(text) * 8));
    if setup.version >= 8 {
        let record = |index: u8| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(i32::from(index))
                .with_batch_index_error_message((index & 1 == 0).then(text))
        };
        said.record_errors = (0..errors % 5).map(record).collect();
        said.error_message = (errors & 0x80 != 0).then(text);
    }
    if setup.version >= 10 && errors & 0x40 != 0 {
        said.current_leader = LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(i32::from(index >> 6)))
            .with_leader_epoch(i32::from(index >> 2));
    }
    let throttle_ms = (i32::from(throttle) - 200).max(-1);
    let reply = response(said).with_throttle_time_ms(throttle_ms);
    encoded(setup.version, correlation, &reply)
}

/// The bytes as they are; as what is inside a frame that was expected; and as whole replies.
fn streams(setup: &Setup, bytes: &[u8]) -> [Vec<u8>; 3] {
    let inside = framed(&[&1_i32.to_be_bytes()[..], bytes].concat());
    let (parts, rest) = bytes.as_chunks::<REPLY_BYTES>();
    let mut replies = Vec::new();
    for (correlation, part) in (1..).zip(parts.iter().take(4)) {
        replies.extend(reply_of(setup, correlation, part));
    }
    replies.extend(rest);
    // Somewhere one byte is another.
    if let [at, value, ..] = *rest {
        let at = usize::from(at) * replies.len() / 256;
        replies[at] ^= value;
    }
    [bytes.to_vec(), inside, replies]
}

/// Some places, in ascending order, by a seed.
fn cuts(mut seed: u64, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..seed % 8)
        .map(|_| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (seed >> 33) as usize % (length + 1)
        })
        .collect();
    cuts.sort_unstable();
    cuts
}

fuzz_target!(|data: &[u8]| {
    let Some((&[version, flags, seed], rest)) = data.split_first_chunk::<3>() else {
        return;
    };
    let setup = setup(version, flags);
    let end = flags & 0x20 != 0;
    for bytes in streams(&setup, rest) {
        let whole = read(&setup, &bytes, &[], Skips::Whole, end);
        let some = cuts(u64::from(seed), bytes.len());
        for skips in [Skips::Whole, Skips::Piecewise] {
            assert_eq!(read(&setup, &bytes, &some, skips, end), whole);
        }
        if bytes.len() <= SHORT_BYTES {
            let each: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(read(&setup, &bytes, &each, Skips::Piecewise, end), whole);
        }
    }
});
