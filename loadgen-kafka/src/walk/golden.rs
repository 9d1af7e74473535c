//! Batches of Apache Kafka's own library, and what that library reads out of them.
//!
//! `tests/golden/Golden.java` wrote both. Nothing of ours may be used to make what is expected.

use super::tests::{seal, walk_in};
use super::*;

const RECORDS: &str = include_str!("../../tests/golden/records.txt");
const CODECS: [&[u8]; 5] = [
    include_bytes!("../../tests/golden/none.bin"),
    include_bytes!("../../tests/golden/gzip.bin"),
    include_bytes!("../../tests/golden/snappy.bin"),
    include_bytes!("../../tests/golden/lz4.bin"),
    include_bytes!("../../tests/golden/zstd.bin"),
];
const APPEND_TIME: &[u8] = include_bytes!("../../tests/golden/append-time.bin");
const TRANSACTIONS: &[u8] = include_bytes!("../../tests/golden/transactions.bin");
const COMPACTED: &[u8] = include_bytes!("../../tests/golden/compacted.bin");

/// Offset, timestamp, and the lengths of key and value, −1 for null.
type Seen = [i64; 4];

/// What the library read out of a case.
fn theirs(case: &str) -> Vec<Seen> {
    let of_case = |line: &str| {
        let (name, numbers) = line.split_once(' ')?;
        let mut numbers = numbers.split(' ').map(|number| number.parse().unwrap());
        (name == case).then(|| std::array::from_fn(|_| numbers.next().unwrap()))
    };
    let records: Vec<_> = RECORDS.lines().filter_map(of_case).collect();
    assert!(!records.is_empty(), "{case}");
    records
}

fn payload(records: &[Seen]) -> u64 {
    let bytes = records.iter().flat_map(|[_, _, key, value]| [*key, *value]);
    bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum()
}

#[derive(Default)]
struct All(Vec<Seen>);

impl Visit for All {
    fn record(&mut self, offset: i64, timestamp_ms: i64, record: &Record<'_>) {
        let length = |bytes: Option<u32>| bytes.map_or(-1, i64::from);
        let (key, value) = (length(record.key_bytes), length(record.value_bytes));
        self.0.push([offset, timestamp_ms, key, value]);
    }
}

/// Walks in pieces of `piece` bytes.
fn read(
    rules: Rules,
    from: i64,
    aborted: &[(i64, i64)],
    bytes: &[u8],
    piece: usize,
) -> (Counts, Vec<Seen>) {
    let mut walker = Walk::new(rules);
    walker.begin(from, bytes.len() as u32);
    for &(producer, first) in aborted {
        walker.aborted(producer, first);
    }
    let mut seen = All::default();
    let counts = walk_in(&mut walker, bytes, piece, &mut seen).unwrap();
    (counts, seen.0)
}

const DEEP: Rules = Rules {
    depth: Depth::Records,
    isolation: Isolation::ReadUncommitted,
};

#[test]
fn every_codec_has_the_records_that_the_library_reads() {
    let expected = theirs("none");
    for (codec, bytes) in Codec::ALL.into_iter().zip(CODECS) {
        let header = Header::read(bytes).unwrap().unwrap();
        assert_eq!(header.codec(), codec);
        for piece in [1, 17, 4096, usize::MAX / 2] {
            let (counts, seen) = read(DEEP, 1000, &[], bytes, piece);
            assert_eq!(seen, expected, "{codec:?}");
            assert_eq!(counts.payload_bytes, Some(payload(&expected)), "{codec:?}");
            assert_eq!((counts.records, counts.batches), (300, 2), "{codec:?}");
        }
        // From anywhere within them on.
        for (skipped, from) in (1000..1300).enumerate() {
            let (_, seen) = read(DEEP, from, &[], bytes, 4096);
            assert_eq!(seen, expected[skipped..], "{codec:?} {from}");
        }
    }
}

#[test]
fn the_first_batch_cut_once_anywhere_reads_the_same() {
    for (codec, bytes) in Codec::ALL.into_iter().zip(CODECS) {
        let header = Header::read(bytes).unwrap().unwrap();
        let bytes = &bytes[..header.batch_bytes() as usize];
        let whole = read(DEEP, 1003, &[], bytes, bytes.len());
        for cut in 1..bytes.len() {
            let mut walker = Walk::new(DEEP);
            walker.begin(1003, bytes.len() as u32);
            let mut seen = All::default();
            let step = walker.feed(&bytes[..cut], 0, &mut seen).unwrap();
            assert!(!step.done && step.discard == 0);
            let step = walker.feed(&bytes[step.eaten..], 0, &mut seen).unwrap();
            assert!(step.done);
            assert_eq!((*walker.counts(), seen.0), whole, "{codec:?} {cut}");
        }
    }
}

#[test]
fn the_broker_s_time_is_what_the_library_reads() {
    let (_, seen) = read(DEEP, 1000, &[], APPEND_TIME, 4096);
    assert_eq!(seen, theirs("append-time"));
}

#[test]
fn what_the_cleaner_left_has_its_holes_and_its_last_offset() {
    let expected = theirs("compacted");
    let (counts, seen) = read(DEEP, 1000, &[], COMPACTED, 4096);
    assert_eq!(seen, expected);
    // The second batch has no record any more.
    assert_eq!((counts.batches, counts.next_offset), (2, 1300));
    for depth in [Depth::Headers, Depth::Crc] {
        let (counts, _) = read(Rules { depth, ..DEEP }, 1000, &[], COMPACTED, 4096);
        assert_eq!(counts.records, expected.len() as u64);
        assert_eq!((counts.next_offset, counts.inexact_records), (1300, 0));
    }
}

/// Where the batches begin, and the offset behind each.
fn batches(mut bytes: &[u8]) -> Vec<(usize, i64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = Header::read(bytes).unwrap() {
        found.push((at, header.next_offset()));
        at += header.batch_bytes() as usize;
        bytes = &bytes[header.batch_bytes() as usize..];
    }
    found
}

#[test]
fn from_every_offset_on_what_was_aborted_is_hidden_and_nothing_else() {
    // Producer, first offset, and where its marker is.
    let aborted = [(7, 1000, 1012), (8, 1003, 1020)];
    let committed = [1006, 1007, 1008, 1013, 1014, 1015];
    let all = theirs("transactions");
    for from in 1000..=1020 {
        // A broker begins with the batch that has the offset, and names what has not ended before.
        let ends = batches(TRANSACTIONS);
        let (start, _) = ends.into_iter().find(|(_, next)| *next > from).unwrap();
        let named = aborted.iter().filter(|(_, _, marker)| *marker >= from);
        let named: Vec<_> = named.map(|&(id, first, _)| (id, first)).collect();
        let of = |wanted: &dyn Fn(i64) -> bool| -> Vec<Seen> {
            let records = all.iter().filter(|[offset, ..]| *offset >= from);
            records.filter(|[o, ..]| wanted(*o)).copied().collect()
        };
        let (visible, every) = (of(&|offset| committed.contains(&offset)), of(&|_| true));
        for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
            for (isolation, expected) in [
                (Isolation::ReadCommitted, &visible),
                (Isolation::ReadUncommitted, &every),
            ] {
                let rules = Rules { depth, isolation };
                let (counts, seen) = read(rules, from, &named, &TRANSACTIONS[start..], 100);
                let hidden = every.len() - expected.len();
                assert_eq!(
                    (counts.records, counts.aborted_records, counts.next_offset),
                    (expected.len() as u64, hidden as u64, 1021),
                    "{from} {depth:?} {isolation:?}"
                );
                if depth == Depth::Records {
                    assert_eq!(seen, *expected, "{from} {isolation:?}");
                    assert_eq!(counts.payload_bytes, Some(payload(expected)));
                }
            }
        }
    }
}

#[test]
fn batches_with_a_wrong_byte_and_a_right_crc_have_one_verdict_however_they_are_cut() {
    for bytes in CODECS {
        let header = Header::read(bytes).unwrap().unwrap();
        let body = &bytes[HEADER_BYTES..header.batch_bytes() as usize];
        let mut refused = 0;
        for at in (0..body.len()).take(120) {
            for flip in [0x01, 0x80, 0xff] {
                let mut body = body.to_vec();
                body[at] ^= flip;
                let bytes = seal(header, &body);
                let mut walker = Walk::new(DEEP);
                let mut verdict = |piece| {
                    walker.begin(1000, bytes.len() as u32);
                    let mut seen = All::default();
                    let result = walk_in(&mut walker, &bytes, piece, &mut seen);
                    (result, seen.0)
                };
                let whole = verdict(usize::MAX / 2);
                assert_eq!(verdict(7), whole, "{:?} {at} {flip:#x}", header.codec());
                refused += usize::from(whole.0.is_err());
            }
        }
        assert!(refused > 60, "{:?}: {refused}", header.codec());
    }
}
