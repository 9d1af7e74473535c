//! What is sent, taken apart by decoders that did not write it.

use bytes::Bytes as Buffer;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use loadgen_core::buffer::Outbox;
use loadgen_core::time::Tick;

use super::super::template::stamp_of;
use super::*;
use crate::cluster::Broker;
use crate::wire::batch::{CRC_FROM, Header, LENGTH_END};
use crate::wire::codec::Unpacker;

const COUNT: i32 = 5;
const SEED: u64 = 7;
const MARK: u64 = 0xfeed;

fn topic() -> Topic {
    let broker = Broker {
        node: 1,
        name: "b:9092".into(),
    };
    let partitions: Vec<_> = (0..COUNT).map(|index| (index, Some((1, 0)))).collect();
    Topic::new("t".into(), vec![broker], &partitions)
}

fn spec(codec: Codec, value_bytes: u32) -> RecordSpec {
    RecordSpec {
        value_bytes,
        key_bytes: Some(4),
        headers: vec![("h".into(), 3)],
        codec,
        batch_bytes: 16 * 1024,
    }
}

fn templates(
    records: &RecordSpec,
    partitioner: Partitioner,
    wanted: Option<u64>,
    mark: Option<u64>,
) -> Result<Templates, WireError> {
    Templates::new(&Order {
        records,
        partitioner,
        topic: &topic(),
        partition_count: COUNT as u32,
        wanted,
        mark,
        seed: SEED,
    })
}

fn plain(records: &RecordSpec) -> Templates {
    templates(records, Partitioner::RoundRobin, None, None).unwrap()
}

/// The bytes that are sent.
fn sent(template: &Template, unix_ms: i64, at: Tick) -> Vec<u8> {
    let mut out = Outbox::default();
    out.put(b"in front");
    template.put(unix_ms, at, &mut out);
    let bytes = out.flatten().split_off(8);
    assert_eq!(bytes.len(), template.batch_bytes());
    bytes
}

/// The same batch without compression, for a decoder that has none; its CRC is checked before.
fn decompressed(batch: Vec<u8>) -> Vec<u8> {
    let mut header = Header::read(&batch).unwrap().unwrap();
    assert_eq!(header.crc, crc32c::crc32c(&batch[CRC_FROM..]));
    let codec = Codec::of(header.attributes).unwrap();
    if codec == Codec::None {
        return batch;
    }
    let mut body = Vec::new();
    let collect = |bytes: &[u8]| {
        body.extend_from_slice(bytes);
        Ok(())
    };
    let packed = &batch[HEADER_BYTES..];
    let mut unpacker = Unpacker::default();
    unpacker.unpack(codec, packed, 1 << 30, collect).unwrap();
    header.attributes = 0;
    header.length = (HEADER_BYTES - LENGTH_END + body.len()) as u32;
    let head = crc32c::crc32c(&header.encode()[CRC_FROM..]);
    header.crc = crc32c::crc32c_append(head, &body);
    [&header.encode()[..], &body].concat()
}

/// The records of a send, to a decoder of others, which checks the CRC.
fn records(template: &Template, unix_ms: i64, at: Tick) -> Vec<Record> {
    let mut bytes = Buffer::from(decompressed(sent(template, unix_ms, at)));
    let set = RecordBatchDecoder::decode(&mut bytes).expect("a batch");
    assert!(bytes.is_empty());
    let length = |bytes: &Option<Buffer>| bytes.as_ref().map_or(0, Buffer::len) as u64;
    let payload = set
        .records
        .iter()
        .map(|r| length(&r.key) + length(&r.value));
    assert_eq!(payload.sum::<u64>(), template.payload_bytes);
    assert_eq!(set.records.len(), template.records as usize);
    set.records
}

#[test]
fn every_send_has_its_times_and_the_right_crc() {
    for codec in Codec::ALL {
        for value_bytes in [0, 100, 1000, 100_000] {
            let templates = plain(&spec(codec, value_bytes));
            let template = templates.of(3, false).unwrap();
            for unix_ms in [0, 1, 1_700_000_000_123, i64::MAX] {
                let records = records(template, unix_ms, Tick(5));
                assert!(records.iter().all(|r| r.timestamp == unix_ms));
                let size = value_bytes as usize;
                let values = records.iter().map(|r| r.value.as_ref());
                assert!(values.into_iter().all(|v| v.map(Buffer::len) == Some(size)));
            }
        }
    }
}

#[test]
fn as_many_records_as_fit_and_one_at_least() {
    let of = |value_bytes, wanted| {
        let spec = spec(Codec::None, value_bytes);
        let templates = templates(&spec, Partitioner::RoundRobin, wanted, None).unwrap();
        let short = templates.of(0, true).unwrap().records;
        (templates.batch_records(), templates.batch_bytes(), short)
    };
    let (many, bytes, short) = of(1000, None);
    assert_eq!(many, short);
    // One more does not fit.
    let one = (bytes - HEADER_BYTES) / many as usize;
    assert!((16 * 1024 - one..=16 * 1024).contains(&bytes), "{bytes}");
    assert_eq!(of(1000, Some(3)).0, 3);
    assert_eq!(of(1000, Some(u64::from(many) * 9 + 5)).2, 5);
    assert_eq!(of(1000, Some(u64::from(many) * 9)).2, many);
    assert_eq!(of(1_000_000, None).0, 1);
}

#[test]
fn contents_are_letters_and_the_same_again() {
    let spec = spec(Codec::None, 100);
    let whole = records(plain(&spec).of(0, false).unwrap(), 1, Tick(1));
    let wanted = Some(whole.len() as u64 + 7);
    let short = templates(&spec, Partitioner::RoundRobin, wanted, None).unwrap();
    let short = records(short.of(0, true).unwrap(), 1, Tick(1));
    assert_eq!(short, whole[..7]);
    let mut values: Vec<_> = whole.iter().map(|r| r.value.clone().unwrap()).collect();
    assert!(values.iter().flatten().all(u8::is_ascii_uppercase));
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), whole.len(), "each value is another one");
    for (record, number) in whole.iter().zip(0..) {
        let key = format!("{number:04}");
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(record.headers.len(), 1);
    }
}

#[test]
fn stamps_say_when_it_was_sent_and_by_which_run() {
    // Many in a batch, more than would be sent without a copy, and one.
    for (value_bytes, batch_bytes) in [(16, 16 * 1024), (100, 200_000), (100_000, 1)] {
        let mut spec = spec(Codec::None, value_bytes);
        spec.batch_bytes = batch_bytes;
        let templates = templates(&spec, Partitioner::RoundRobin, None, Some(MARK)).unwrap();
        let template = templates.of(0, false).unwrap();
        for at in [0, 0x0102_0304, u64::MAX] {
            for record in records(template, 9, Tick(at)) {
                let value = record.value.unwrap();
                assert_eq!(stamp_of(&value, MARK), Some(Tick(at)));
                assert_eq!(stamp_of(&value, MARK + 1), None, "of another run");
                assert!(value[STAMP_BYTES..].iter().all(u8::is_ascii_uppercase));
            }
        }
    }
    assert_eq!(stamp_of(b"short", MARK), None);
}

#[test]
fn what_cannot_be_stamped_is_refused() {
    for (spec, part) in [
        (spec(Codec::Lz4, 100), "--codec lz4"),
        (spec(Codec::None, 15), "--record-size is 15"),
    ] {
        let error = templates(&spec, Partitioner::RoundRobin, None, Some(MARK)).unwrap_err();
        assert!(error.detail.contains(part), "{error}");
    }
}

#[test]
fn where_keys_choose_each_partition_has_its_own() {
    for codec in [Codec::None, Codec::Zstd] {
        let spec = spec(codec, 100);
        let each = u64::from(plain(&spec).batch_records());
        let wanted = Some(each * 9 + 5);
        let templates = templates(&spec, Partitioner::ByKey, wanted, None).unwrap();
        for partition in 0..COUNT as usize {
            for last in [false, true] {
                let template = templates.of(partition, last).unwrap();
                let count = if last { 5 } else { each };
                assert_eq!(u64::from(template.records), count);
                for record in records(template, 1, Tick(1)) {
                    let key = record.key.unwrap();
                    let chosen = keys::partition_of(&key, COUNT as u32);
                    assert_eq!(chosen, partition as i32);
                }
            }
        }
    }
}

#[test]
fn a_partition_that_no_key_reaches_has_no_batch() {
    let mut spec = spec(Codec::None, 100);
    // One key, and so one partition.
    spec.key_bytes = Some(0);
    let templates = templates(&spec, Partitioner::ByKey, None, None).unwrap();
    let there = (0..COUNT as usize).filter(|at| templates.of(*at, false).is_some());
    assert_eq!(there.count(), 1);
}

#[test]
fn too_many_bytes_for_keys_that_choose_are_refused() {
    let mut spec = spec(Codec::None, 1_000_000);
    spec.key_bytes = Some(8);
    let topic = topic();
    let order = Order {
        records: &spec,
        partitioner: Partitioner::ByKey,
        topic: &topic,
        partition_count: COUNT as u32,
        wanted: None,
        mark: None,
        seed: SEED,
    };
    let contents = Contents::new(&order);
    let error = by_partition(&order, &contents, 300, 0).unwrap_err();
    assert!(error.detail.contains("--partitioner key"), "{error}");
}

#[test]
fn many_small_records_are_copied_once_each() {
    let mut spec = spec(Codec::None, 1);
    (spec.key_bytes, spec.headers) = (None, Vec::new());
    spec.batch_bytes = 4 << 20;
    // Were all before copied with each of them, this would take a day.
    assert!(plain(&spec).batch_records() > 300_000);
}
