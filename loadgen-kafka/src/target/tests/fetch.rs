//! Fetch: every version, every limit, the end of the log.

use std::time::Instant;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::records::RecordBatchDecoder;

use super::super::api::{Key, code};
use super::produce::{batch, produce};
use super::*;

/// Index, offset and room of a partition.
type Want = (i32, i64, i32);

pub(super) fn fetch(
    name: &str,
    wants: &[Want],
    max_bytes: i32,
    wait_ms: i32,
    min_bytes: i32,
) -> FetchRequest {
    let partition = |(index, offset, room): &Want| {
        FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(*room)
    };
    let wanted = FetchTopic::default()
        .with_topic(topic(name))
        .with_partitions(wants.iter().map(partition).collect());
    FetchRequest::default()
        .with_max_bytes(max_bytes)
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(min_bytes)
        .with_topics(vec![wanted])
}

fn partitions(reply: &FetchResponse) -> &[PartitionData] {
    &reply.responses[0].partitions
}

/// Offsets of all records, by a decoder that checks the CRC, and how many batches they are in.
fn offsets(partition: &PartitionData) -> (Vec<i64>, usize) {
    let mut bytes = partition.records.clone().unwrap_or_default();
    let (mut seen, mut batches) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        seen.extend(set.records.iter().map(|record| record.offset));
        batches += 1;
    }
    (seen, batches)
}

const ROOM: i32 = 1 << 20;

#[test]
fn every_version_reads_on_where_it_stopped() {
    let (target, mut client) = start(TargetOptions {
        records: Some(1_003),
        ..options()
    });
    for version in versions(Key::Fetch) {
        let mut at = 995;
        let mut seen = Vec::new();
        while at < 1_003 {
            let reply = client.ask(version, &fetch("t", &[(1, at, 0)], ROOM, 0, 1));
            let partition = &partitions(&reply)[0];
            assert_eq!((partition.error_code, partition.high_watermark), (0, 1_003));
            assert_eq!(partition.last_stable_offset, 1_003);
            assert_eq!(partition.partition_index, 1);
            assert!(partition.aborted_transactions.is_none());
            // The room is too small for any: one comes all the same.
            let (offsets, batches) = offsets(partition);
            assert_eq!(batches, 1);
            at = offsets.last().unwrap() + 1;
            seen.extend(offsets);
        }
        let expected: Vec<i64> = (995..1_003).collect();
        assert_eq!(seen, expected);
        let committed = fetch("t", &[(1, 0, 0)], ROOM, 0, 1).with_isolation_level(1);
        let reply = client.ask(version, &committed);
        assert_eq!(partitions(&reply)[0].aborted_transactions, Some(Vec::new()));
    }
    let stats = target.stop();
    assert_eq!(stats.get("fetched_records"), 9 * (8 + FULL as u64));
    assert_eq!(stats.get("empty_fetches"), 0);
}

#[test]
fn limits_are_those_of_the_partition_and_of_the_whole() {
    let (_target, mut client) = start(options());
    let one = client.ask(12, &fetch("t", &[(0, 0, 0)], ROOM, 0, 1));
    let bytes = partitions(&one)[0].records.as_ref().unwrap().len() as i32;
    let counts = |client: &mut Client, wants: &[Want], max| {
        let reply = client.ask(11, &fetch("t", wants, max, 0, 1));
        let partitions = partitions(&reply).iter();
        partitions.map(|p| offsets(p).1).collect::<Vec<_>>()
    };
    let all = |room| [(0, 5, room), (1, 6, room), (2, 7, room)];
    assert_eq!(counts(&mut client, &all(3 * bytes), ROOM), [3, 3, 3]);
    assert_eq!(counts(&mut client, &all(3 * bytes - 1), ROOM), [2, 2, 2]);
    // The first batch of a reply comes in any case, the others do not.
    assert_eq!(counts(&mut client, &all(1), ROOM), [1, 0, 0]);
    assert_eq!(counts(&mut client, &all(3 * bytes), 4 * bytes), [3, 1, 0]);
    assert_eq!(counts(&mut client, &all(3 * bytes), 0), [1, 0, 0]);
    assert_eq!(counts(&mut client, &all(-1), -1), [1, 0, 0]);
}

#[test]
fn large_batches_come_from_their_file() {
    let (target, mut client) = start(TargetOptions {
        record_bytes: 1_000_000,
        batch_bytes: 16_384,
        ..options()
    });
    let room = 5_000_000;
    // Two at a time: the second one waits for its reader.
    let request = fetch("t", &[(0, 0, room), (1, 7, room)], 50_000_000, 0, 1);
    client.send(&frame(12, &request));
    client.send(&frame(12, &request));
    for _ in 0..2 {
        let reply = understand::<FetchRequest>(12, client.read());
        assert_eq!(offsets(&partitions(&reply)[0]), (vec![0, 1, 2, 3], 4));
        assert_eq!(offsets(&partitions(&reply)[1]), (vec![7, 8, 9, 10], 4));
    }
    let stats = target.stop();
    assert_eq!(stats.get("fetched_batches"), 16);
    assert!(stats.get("bytes_written") > 16_000_000);
}

#[test]
fn what_cannot_be_read_has_its_code() {
    let (_target, mut client) = start(TargetOptions {
        records: Some(10),
        ..options()
    });
    let rows = [
        ("t", 0, 11, code::OFFSET_OUT_OF_RANGE),
        ("t", 0, -1, code::OFFSET_OUT_OF_RANGE),
        ("t", 9, 0, code::UNKNOWN_TOPIC_OR_PARTITION),
        ("u", 0, 0, code::UNKNOWN_TOPIC_OR_PARTITION),
    ];
    for (name, partition, offset, expected) in rows {
        // An error does not wait for records.
        let request = fetch(name, &[(partition, offset, ROOM)], ROOM, 60_000, 1);
        let reply = client.ask(12, &request);
        let found = &partitions(&reply)[0];
        assert_eq!((found.error_code, found.high_watermark), (expected, -1));
        assert_eq!(found.records.as_ref().map(Bytes::len), Some(0));
    }
    let request = fetch("t", &[(0, 0, ROOM)], ROOM, 0, 1);
    let reply = client.ask(12, &request.with_session_id(5).with_session_epoch(1));
    assert_eq!(reply.error_code, code::FETCH_SESSION_ID_NOT_FOUND);
    // Nothing asked for is answered with nothing, at once.
    let nothing = FetchRequest::default().with_max_wait_ms(60_000);
    assert!(client.ask(12, &nothing).responses.is_empty());
}

#[test]
fn at_the_end_a_fetch_waits_for_its_time() {
    let (target, mut client) = start(TargetOptions {
        records: Some(10),
        ..options()
    });
    let asked = Instant::now();
    let reply = client.ask(12, &fetch("t", &[(0, 10, ROOM)], ROOM, 40, 1));
    assert!(asked.elapsed() >= Duration::from_millis(40));
    let partition = &partitions(&reply)[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 10));
    assert_eq!(offsets(partition), (Vec::new(), 0));
    // Less than was asked for is given when the time is up, too.
    let asked = Instant::now();
    let reply = client.ask(12, &fetch("t", &[(0, 8, ROOM)], ROOM, 40, 1 << 20));
    assert!(asked.elapsed() >= Duration::from_millis(40));
    assert_eq!(offsets(&partitions(&reply)[0]).0, [8, 9]);
    assert_eq!(target.stop().get("empty_fetches"), 1);
}

#[test]
fn a_waiting_fetch_is_woken_by_what_is_produced() {
    let (_target, mut reader) = start(TargetOptions {
        records: Some(0),
        workers: 2,
        ..options()
    });
    let mut writer = Client::new(&_target);
    let asked = Instant::now();
    reader.send(&frame(12, &fetch("t", &[(2, 0, ROOM)], ROOM, 60_000, 1)));
    // To another partition first: it goes on waiting.
    for partition in [1, 2] {
        let reply = writer.ask(9, &produce("t", partition, batch(3), 1));
        assert_eq!(reply.responses[0].partition_responses[0].error_code, 0);
    }
    let reply = understand::<FetchRequest>(12, reader.read());
    assert_eq!(offsets(&partitions(&reply)[0]).0, [0, 1, 2]);
    assert!(asked.elapsed() < PATIENCE);
}
