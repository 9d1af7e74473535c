//! Batches made by another encoder (kafka-protocol's), walked at every depth and cut anywhere.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as TheirRecord, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::*;
use crate::wire::codec;

fn record(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> TheirRecord {
    let mut headers = IndexMap::new();
    if offset % 3 == 0 {
        let name = StrBytes::from_static_str("h");
        headers.insert(name, Some(Bytes::from_static(b"xyz")));
    }
    TheirRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32,
        timestamp: 1_700_000_000_000 + offset,
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers,
    }
}

fn encode(records: &[TheirRecord]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut out, records, &options).unwrap();
    out.to_vec()
}

/// The same batch, its records compressed by us.
fn pack(batch: &[u8], codec: Codec) -> Vec<u8> {
    let mut header = Header::read(batch).unwrap().unwrap();
    let body = codec::compress(codec, &batch[HEADER_BYTES..]).unwrap();
    header.attributes |= codec.bits();
    header.length = (body.len() + HEADER_BYTES - 12) as u32;
    seal(header, &body)
}

/// A batch with the right CRC.
pub(super) fn seal(mut header: Header, body: &[u8]) -> Vec<u8> {
    let head = header.encode();
    header.crc = crc32c::crc32c_append(crc32c::crc32c(&head[CRC_FROM..]), body);
    [&header.encode()[..], body].concat()
}

/// Ten records from `base` on: tombstones, empty values, null keys among them.
fn ten(base: i64) -> Vec<u8> {
    let value = vec![7; 300];
    let of = |n: i64| match n % 4 {
        0 => record(base + n, Some(b"key"), Some(&value)),
        1 => record(base + n, None, Some(b"")),
        2 => record(base + n, Some(b""), None),
        _ => record(base + n, None, Some(&value[..n as usize])),
    };
    encode(&(0..10).map(of).collect::<Vec<_>>())
}

/// Bytes of keys and values of [`ten`] from the `from`th on.
fn payload(from: i64) -> u64 {
    let of = |n: i64| match n % 4 {
        0 => 303,
        1 | 2 => 0,
        _ => n as u64,
    };
    (from..10).map(of).sum()
}

const READ: Isolation = Isolation::ReadUncommitted;

#[derive(Default)]
struct Seen(Vec<(i64, i64, usize)>);

impl Visit for Seen {
    fn record(&mut self, offset: i64, timestamp_ms: i64, record: &Record<'_>) {
        self.0.push((offset, timestamp_ms, record.value_head.len()));
    }
}

/// Walks `bytes` in pieces of `piece`, discarding what it may.
pub(super) fn walk_in(
    walk: &mut Walk,
    bytes: &[u8],
    piece: usize,
    visit: &mut impl Visit,
) -> Result<Counts, WireError> {
    let (mut at, mut end, mut skipped) = (0, 0, 0);
    loop {
        end = (end + piece).min(bytes.len()).max(at);
        let step = walk.feed(&bytes[at..end], skipped, visit)?;
        at += step.eaten;
        skipped = step.discard.min((bytes.len() - at) as u64);
        at += skipped as usize;
        if step.done {
            assert_eq!(at, bytes.len());
            return Ok(*walk.counts());
        }
        assert!(
            end < bytes.len() || skipped > 0,
            "it wants more than there is"
        );
    }
}

/// The verdict is the same however the bytes are cut.
fn walk(
    rules: Rules,
    from: i64,
    aborted: &[(i64, i64)],
    bytes: &[u8],
) -> Result<Counts, WireError> {
    let mut walker = Walk::new(rules);
    let mut results = [1, 2, 3, 7, 60, 61, 62, 500, usize::MAX / 2].map(|piece| {
        walker.begin(from, bytes.len() as u32);
        for &(producer, first) in aborted {
            walker.aborted(producer, first);
        }
        walk_in(&mut walker, bytes, piece, &mut ())
    });
    let last = results[8].clone();
    for result in &mut results {
        assert_eq!(*result, last);
    }
    last
}

fn at(depth: Depth) -> Rules {
    Rules {
        depth,
        isolation: READ,
    }
}

#[test]
fn each_depth_counts_what_it_can_know() {
    for codec in Codec::ALL {
        let bytes = [pack(&ten(100), codec), pack(&ten(110), codec)].concat();
        let whole = bytes.len() as u64;
        for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
            let counts = walk(at(depth), 100, &[], &bytes).unwrap();
            assert_eq!(
                (counts.records, counts.batches, counts.batch_bytes),
                (20, 2, whole)
            );
            assert_eq!((counts.first_offset, counts.next_offset), (Some(100), 120));
            let known = depth == Depth::Records;
            assert_eq!(
                counts.payload_bytes,
                known.then(|| 2 * payload(0)),
                "{codec:?}"
            );
            assert_eq!((counts.inexact_records, counts.missing_offsets), (0, 0));
        }
        let none = walk(at(Depth::None), 100, &[], &bytes).unwrap();
        assert_eq!((none.records, none.batches, none.next_offset), (0, 0, 100));
    }
}

#[test]
fn records_are_shown_with_offset_and_time() {
    for codec in [Codec::None, Codec::Zstd] {
        let bytes = pack(&ten(100), codec);
        let mut walker = Walk::new(at(Depth::Records));
        walker.begin(107, bytes.len() as u32);
        let mut seen = Seen::default();
        walk_in(&mut walker, &bytes, 50, &mut seen).unwrap();
        let time = 1_700_000_000_000;
        let expected = [
            (107, time + 107, 7),
            (108, time + 108, 32),
            (109, time + 109, 0),
        ];
        assert_eq!(seen.0, expected);
    }
}

#[test]
fn what_lies_below_the_offset_asked_for_is_not_counted() {
    let bytes = [ten(100), ten(110)].concat();
    for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
        let counts = walk(at(depth), 104, &[], &bytes).unwrap();
        assert_eq!((counts.records, counts.first_offset), (16, Some(104)));
        let expected = (depth == Depth::Records).then(|| payload(4) + payload(0));
        assert_eq!(counts.payload_bytes, expected);
        let counts = walk(at(depth), 110, &[], &bytes).unwrap();
        assert_eq!((counts.records, counts.next_offset), (10, 120));
    }
}

#[test]
fn a_last_batch_that_was_cut_is_no_batch() {
    let bytes = [ten(0), ten(10)].concat();
    let one = ten(0).len();
    for cut in [1, 11, 12, 60, 61, 62, bytes.len() - one - 1] {
        for depth in [Depth::Headers, Depth::Records] {
            let counts = walk(at(depth), 0, &[], &bytes[..one + cut]).unwrap();
            assert_eq!((counts.records, counts.partial_bytes), (10, cut as u64));
            assert_eq!(counts.next_offset, 10);
        }
    }
    assert_eq!(
        walk(at(Depth::Headers), 5, &[], &[]).unwrap().next_offset,
        5
    );
}

#[test]
fn compaction_leaves_holes_that_are_told() {
    // Of a batch of offsets 20 to 29, three records are left; the one before it is gone.
    let kept = [
        record(20, None, None),
        record(24, None, None),
        record(29, None, None),
    ];
    let mut header = Header::read(&encode(&kept)).unwrap().unwrap();
    header.last_offset_delta = 9;
    let body = encode(&kept)[HEADER_BYTES..].to_vec();
    let bytes = [ten(0), seal(header, &body)].concat();
    for depth in [Depth::Headers, Depth::Records] {
        let counts = walk(at(depth), 0, &[], &bytes).unwrap();
        assert_eq!(
            (
                counts.records,
                counts.missing_offsets,
                counts.inexact_records
            ),
            (13, 10, 0)
        );
        assert_eq!(counts.next_offset, 30);
    }
    // From within it on, only its records can tell.
    let batch = seal(header, &body);
    assert_eq!(
        walk(at(Depth::Records), 25, &[], &batch).unwrap().records,
        1
    );
    let counts = walk(at(Depth::Headers), 25, &[], &batch).unwrap();
    assert_eq!((counts.records, counts.inexact_records), (3, 3));
}

/// A batch of producer `producer`, or the marker that ends its transaction.
fn transactional(base: i64, producer: i64, marker: Option<i16>) -> Vec<u8> {
    let records = match marker {
        None => vec![
            record(base, None, Some(b"v")),
            record(base + 1, None, Some(b"w")),
        ],
        Some(kind) => {
            let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
            vec![record(base, Some(&key), Some(&[0; 6]))]
        }
    };
    let plain = encode(&records);
    let mut header = Header::read(&plain).unwrap().unwrap();
    header.producer_id = producer;
    header.attributes |= batch::TRANSACTIONAL;
    if marker.is_some() {
        header.attributes |= batch::CONTROL;
    }
    seal(header, &plain[HEADER_BYTES..])
}

#[test]
fn markers_are_no_records_and_aborted_ones_are_hidden_when_asked_for() {
    const ABORT: Option<i16> = Some(0);
    const COMMIT: Option<i16> = Some(1);
    // Producer 1 aborts, 2 commits in between; then 1 commits another transaction.
    let bytes = [
        transactional(0, 1, None),
        transactional(2, 2, None),
        transactional(4, 1, ABORT),
        transactional(5, 2, COMMIT),
        transactional(6, 1, None),
        transactional(8, 1, COMMIT),
    ]
    .concat();
    for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
        let counts = walk(at(depth), 0, &[(1, 0)], &bytes).unwrap();
        assert_eq!(
            (counts.records, counts.control_batches),
            (6, 3),
            "{depth:?}"
        );
        let rules = Rules {
            depth,
            isolation: Isolation::ReadCommitted,
        };
        let counts = walk(rules, 0, &[(1, 0)], &bytes).unwrap();
        assert_eq!(
            (counts.records, counts.aborted_records),
            (4, 2),
            "{depth:?}"
        );
        assert_eq!(counts.next_offset, 9);
        let known = depth == Depth::Records;
        assert_eq!(counts.payload_bytes, known.then_some(4));
    }
}

#[test]
fn broken_batches_are_told_apart() {
    let wrong = |depth, bytes: &[u8]| walk(at(depth), 0, &[], bytes).map_err(|e| e.wrong);
    let mut flipped = ten(0);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(wrong(Depth::Headers, &flipped).is_ok());
    assert_eq!(wrong(Depth::Crc, &flipped), Err(Wrong::Crc));
    let backwards = [ten(10), ten(0)].concat();
    assert_eq!(wrong(Depth::Headers, &backwards), Err(Wrong::Batch));
    // The right CRC around wrong records.
    let good = ten(0);
    let header = Header::read(&good).unwrap().unwrap();
    let body = &good[HEADER_BYTES..];
    let more = Header {
        records: 9,
        ..header
    };
    assert_eq!(wrong(Depth::Records, &seal(more, body)), Err(Wrong::Batch));
    for (at, byte) in [(0, 0xff), (0, 1), (1, 0xff), (5, 0xff)] {
        let mut body = body.to_vec();
        body[at] = byte;
        let sealed = seal(header, &body);
        let result = wrong(Depth::Records, &sealed);
        assert!(at == 1 || result == Err(Wrong::Batch), "{at}: {result:?}");
    }
    let mut packed = pack(&good, Codec::Gzip);
    packed.truncate(packed.len() - 4);
    let mut header = Header::read(&packed).unwrap().unwrap();
    header.length -= 4;
    let cut = seal(header, &packed[HEADER_BYTES..]);
    assert_eq!(wrong(Depth::Records, &cut), Err(Wrong::Codec));
}

const COMMITTED: Isolation = Isolation::ReadCommitted;

/// What a reader of committed records counts: visible and aborted records.
fn committed(from: i64, aborted: &[(i64, i64)], batches: &[Vec<u8>]) -> (u64, u64) {
    let counts = [Depth::Headers, Depth::Crc, Depth::Records].map(|depth| {
        let isolation = COMMITTED;
        walk(Rules { depth, isolation }, from, aborted, &batches.concat()).unwrap()
    });
    let [headers, rest @ ..] = counts.map(|counts| (counts.records, counts.aborted_records));
    assert_eq!(rest, [headers, headers]);
    headers
}

#[test]
fn a_marker_ends_a_transaction_whose_records_were_in_the_fetch_before() {
    // Reading goes on at the marker: what follows it is another transaction, and committed.
    let batches = [
        transactional(5, 1, Some(0)),
        transactional(6, 1, None),
        transactional(8, 1, Some(1)),
    ];
    assert_eq!(committed(5, &[(1, 0)], &batches), (2, 0));
}

#[test]
fn the_same_producer_aborts_again_and_in_any_order_of_the_list() {
    let batches = [
        transactional(0, 1, None),
        transactional(2, 1, Some(0)),
        transactional(3, 1, None),
        transactional(5, 1, Some(1)),
        transactional(6, 1, None),
        transactional(8, 1, Some(0)),
        transactional(9, 2, None),
    ];
    assert_eq!(committed(0, &[(1, 0), (1, 6)], &batches), (4, 4));
    assert_eq!(committed(0, &[(1, 6), (1, 0)], &batches), (4, 4));
}

#[test]
fn records_outside_transactions_are_never_hidden() {
    // The same producer id in a batch that is no transaction's: idempotence only.
    let plain = Header::read(&transactional(0, 1, None)).unwrap().unwrap();
    let attributes = plain.attributes & !batch::TRANSACTIONAL;
    let header = Header {
        attributes,
        ..plain
    };
    let body = transactional(0, 1, None)[HEADER_BYTES..].to_vec();
    assert_eq!(committed(0, &[(1, 0)], &[seal(header, &body)]), (2, 0));
}

#[test]
fn the_broker_s_time_is_that_of_every_record_where_it_says_so() {
    let plain = ten(100);
    let mut header = Header::read(&plain).unwrap().unwrap();
    header.attributes |= batch::APPEND_TIME;
    header.max_timestamp = 99;
    let bytes = seal(header, &plain[HEADER_BYTES..]);
    let mut walker = Walk::new(at(Depth::Records));
    walker.begin(100, bytes.len() as u32);
    let mut seen = Seen::default();
    walk_in(&mut walker, &bytes, 50, &mut seen).unwrap();
    assert!(seen.0.len() == 10 && seen.0.iter().all(|(_, ms, _)| *ms == 99));
}

#[test]
fn whole_batches_below_the_offset_asked_for_are_passed_over() {
    let bytes = [ten(100), ten(110), ten(120)].concat();
    for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
        for (from, records) in [(120, 10), (125, 5), (130, 0), (140, 0)] {
            let counts = walk(at(depth), from, &[], &bytes).unwrap();
            assert_eq!((counts.records, counts.missing_offsets), (records, 0));
            assert_eq!(counts.next_offset, from.max(130));
        }
    }
}

#[test]
fn offsets_that_come_twice_are_refused() {
    for (first, second) in [(0, 0), (0, 9), (5, 0), (0, 1)] {
        let bytes = [ten(first), ten(second)].concat();
        for depth in [Depth::Headers, Depth::Records] {
            let error = walk(at(depth), 0, &[], &bytes).unwrap_err();
            assert_eq!(error.wrong, Wrong::Batch, "{first} {second}");
        }
    }
}

#[test]
fn the_formats_of_long_ago_are_told_however_short() {
    // A message set of magic 1: offset, size, CRC, magic, attributes, timestamp, key, value.
    let mut old = vec![0; 12 + 4];
    old.extend([1, 0]);
    old.extend([0; 8]);
    old.extend((-1_i32).to_be_bytes());
    old.extend(3_i32.to_be_bytes());
    old.extend(b"abc");
    old[11] = (old.len() - 12) as u8;
    for bytes in [old.clone(), old.repeat(3)] {
        let error = walk(at(Depth::Headers), 0, &[], &bytes).unwrap_err();
        assert_eq!(error.wrong, Wrong::Batch);
        assert!(error.detail.contains("magic 1"), "{error}");
    }
}

#[test]
fn a_corrupt_batch_is_told_by_its_crc_and_not_by_what_its_records_became() {
    let good = ten(0);
    for at_byte in HEADER_BYTES..good.len() {
        for codec in [Codec::None, Codec::Lz4] {
            let mut bytes = pack(&good, codec);
            if let Some(byte) = bytes.get_mut(at_byte) {
                *byte ^= 0x55;
                let error = walk(at(Depth::Records), 0, &[], &bytes).unwrap_err();
                assert_eq!(error.wrong, Wrong::Crc, "{codec:?} {at_byte}");
            }
        }
    }
}

#[test]
fn offset_deltas_that_do_not_rise_are_refused() {
    // The record of one batch, twice in another.
    let one = encode(&[record(0, None, None)]);
    let body = one[HEADER_BYTES..].repeat(2);
    let header = Header {
        length: (HEADER_BYTES - 12 + body.len()) as u32,
        last_offset_delta: 1,
        records: 2,
        ..Header::read(&one).unwrap().unwrap()
    };
    for codec in Codec::ALL {
        let bytes = pack(&seal(header, &body), codec);
        let error = walk(at(Depth::Records), 0, &[], &bytes).unwrap_err();
        assert_eq!(error.wrong, Wrong::Batch, "{codec:?} {error}");
    }
}

#[test]
fn a_marker_that_is_none_is_refused_where_it_is_read() {
    let good = transactional(2, 1, Some(0));
    let header = Header::read(&good).unwrap().unwrap();
    let cut = Header {
        length: header.length - 1,
        ..header
    };
    let cut = seal(cut, &good[HEADER_BYTES..good.len() - 1]);
    let bytes = [transactional(0, 1, None), cut].concat();
    for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
        let isolation = COMMITTED;
        let error = walk(Rules { depth, isolation }, 0, &[(1, 0)], &bytes).unwrap_err();
        assert_eq!(error.wrong, Wrong::Batch, "{depth:?}");
    }
}

#[test]
fn more_aborted_transactions_than_are_kept_are_not_passed_over() {
    let bytes = ten(0);
    let mut walker = Walk::new(Rules {
        depth: Depth::Headers,
        isolation: COMMITTED,
    });
    let mut read = |transactions: i64| {
        walker.begin(0, bytes.len() as u32);
        for n in 0..transactions {
            walker.aborted(n, i64::MAX);
        }
        walk_in(&mut walker, &bytes, usize::MAX / 2, &mut ())
    };
    let limit = 1 << 20;
    assert_eq!(read(limit + 1).unwrap_err().wrong, Wrong::Length);
    assert_eq!(read(limit).unwrap().records, 10);
    assert_eq!(read(1).unwrap().records, 10);
}
