//! Replies to produce requests, of any bytes and cut anywhere: neither what is seen nor what the
//! document says of it may depend on the cuts, and nothing may panic or reach beyond its input or its
//! reply (the replay checks that).
#![no_main]

#[path = "../common.rs"]
mod common;
#[path = "../../tests/support/produce.rs"]
mod wire;

use common::{cuts, damaged};
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch};
use kafka_protocol::protocol::StrBytes;
use libfuzzer_sys::fuzz_target;
use loadgen_core::replay::same_if_cut;
use loadgen_kafka::spec::Acks;
use wire::frames::framed;
use wire::{PARTITIONS, Setup, encoded, partition, read, response};

/// Bytes of the input that each made-up reply takes.
const REPLY_BYTES: usize = 6;
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
    [bytes.to_vec(), inside, damaged(replies, rest)]
}

fuzz_target!(|data: &[u8]| {
    let Some((&[version, flags, seed], rest)) = data.split_first_chunk::<3>() else {
        return;
    };
    let setup = setup(version, flags);
    let end = flags & 0x20 != 0;
    for bytes in streams(&setup, rest) {
        let some = cuts(u64::from(seed), bytes.len());
        same_if_cut(bytes.len(), &some, |cuts, skips| {
            read(&setup, &bytes, cuts, skips, end)
        });
    }
});
