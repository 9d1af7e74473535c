//! Replies to fetches, of any bytes and cut anywhere: neither what is seen nor what the document says
//! of it may depend on the cuts, and nothing may panic or reach beyond its input or its reply (the
//! replay checks that).
#![no_main]

#[path = "../common.rs"]
mod common;
#[path = "../../tests/support/wire.rs"]
mod wire;

use common::{cuts, damaged};
use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use libfuzzer_sys::fuzz_target;
use loadgen_core::replay::same_if_cut;
use loadgen_kafka::spec::{Depth, Isolation, Until};
use loadgen_kafka::wire::batch::{CONTROL, Codec, HEADER_BYTES, Header, TRANSACTIONAL};
use wire::frames::framed;
use wire::{START, Setup, batch, encoded, partition, read, response, sealed};

/// Bytes of the input that each partition of a made-up reply takes.
const PART_BYTES: usize = 8;

/// The input: a version, flags, a seed of the cuts, and the rest.
fn setup(version: u8, flags: u8) -> Setup {
    let depth = Depth::ALL[usize::from(flags & 3)];
    Setup {
        depth,
        isolation: if flags & 4 == 0 {
            Isolation::ReadUncommitted
        } else {
            Isolation::ReadCommitted
        },
        until: if depth == Depth::None || flags & 8 != 0 {
            Until::Replay
        } else {
            Until::End
        },
        fetches: u32::from(flags >> 4 & 1) + 1,
        ..Setup::new(4 + i16::from(version % 9))
    }
}

/// A batch of these bytes: good ones, some with a head that lies and a CRC that does not tell.
fn batch_of(bytes: &[u8; PART_BYTES]) -> Vec<u8> {
    let [_, _, shape, count, offset, field, value, kept] = *bytes;
    let codec = Codec::ALL[usize::from(shape % 5)];
    let good = batch(
        START - 2 + i64::from(offset % 8),
        usize::from(count % 12) + 1,
        codec,
    );
    let Ok(Some(mut header)) = Header::read(&good) else {
        return good;
    };
    if shape & 0x20 != 0 {
        header.attributes |= TRANSACTIONAL;
        header.producer_id = i64::from(value % 4);
    }
    let value = i64::from(value) - 8;
    match field {
        0 => header.last_offset_delta = value as i32,
        1 => header.records = value as i32,
        2 => header.attributes ^= CONTROL,
        3 => header.attributes = value as i16,
        4 => header.base_offset = value.saturating_mul(i64::MAX / 200),
        5 => header.length = header.length.wrapping_add(value as u32),
        6 => header.base_timestamp = value.saturating_mul(i64::MAX / 200),
        _ => {}
    }
    let mut body = good[HEADER_BYTES..].to_vec();
    if let Some(byte) = body.get_mut(usize::from(kept)).filter(|_| field == 7) {
        *byte ^= value as u8;
    }
    let mut bytes = sealed(header, &body);
    if field == 8 {
        bytes.truncate(usize::from(kept));
    }
    bytes
}

/// A partition of these bytes.
fn part_of(bytes: &[u8; PART_BYTES]) -> PartitionData {
    let [index, error, shape, count, ..] = *bytes;
    let records = match shape >> 6 {
        0 => Some(batch_of(bytes)),
        1 => Some([batch_of(bytes), batch(START + 20, 2, Codec::None)].concat()),
        2 => Some(bytes.to_vec()),
        _ => None,
    };
    let error = match error % 8 {
        0 => 6,
        1 => 1,
        _ => 0,
    };
    let transaction = |n: u8| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(i64::from(n)))
            .with_first_offset(START + i64::from(count))
    };
    partition([3, 4, 7, 5][usize::from(index % 4)], error, records)
        .with_log_start_offset(i64::from(count) - 1)
        .with_aborted_transactions(Some((0..index >> 2 & 3).map(transaction).collect()))
}

/// The bytes as they are; as what is inside a frame that was expected; and as whole replies.
fn streams(setup: &Setup, bytes: &[u8]) -> [Vec<u8>; 3] {
    let inside = framed(&[&1_i32.to_be_bytes()[..], bytes].concat());
    let (parts, rest) = bytes.as_chunks::<PART_BYTES>();
    let mut replies = Vec::new();
    for (correlation, parts) in (1..).zip(parts.chunks(3).take(3)) {
        let parts = parts.iter().map(part_of).collect();
        replies.extend(encoded(setup.version, correlation, &response(parts)));
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
