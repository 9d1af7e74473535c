//! Produce: every version, every refusal, bytes cut anywhere.

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TransactionalId};

use super::super::api::{Key, code};
use super::*;
use crate::wire::batch::{Codec, HEADER_BYTES};
use crate::wire::compose::{Composer, Draft};

/// A batch of so many records of 100 bytes.
pub(super) fn batch(records: usize) -> Bytes {
    let mut composer = Composer::new();
    for _ in 0..records {
        let draft = Draft {
            value: Some(&[b'v'; 100]),
            ..Draft::default()
        };
        composer.push(&draft).unwrap();
    }
    composer.finish(Codec::None, 1_000).unwrap().into()
}

fn data(name: &str, partition: i32, records: Option<Bytes>) -> TopicProduceData {
    let part = PartitionProduceData::default()
        .with_index(partition)
        .with_records(records);
    TopicProduceData::default()
        .with_name(topic(name))
        .with_partition_data(vec![part])
}

pub(super) fn produce(name: &str, partition: i32, records: Bytes, acks: i16) -> ProduceRequest {
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![data(name, partition, Some(records))])
}

/// Code and base offset of the only partition.
fn said(reply: &ProduceResponse) -> (i16, i64) {
    let partition = &reply.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

fn empty(check_crc: bool) -> TargetOptions {
    TargetOptions {
        records: Some(0),
        check_crc,
        ..options()
    }
}

#[test]
fn every_version_appends_and_counts() {
    for check_crc in [false, true] {
        let (target, mut client) = start(empty(check_crc));
        let records = batch(7);
        let mut expected = 0;
        for version in versions(Key::Produce) {
            // No reply; the next one shows that it was counted.
            client.send(&frame(version, &produce("t", 2, records.clone(), 0)));
            expected += 7;
            for acks in [1, -1] {
                let reply = client.ask(version, &produce("t", 2, records.clone(), acks));
                assert_eq!(said(&reply), (0, expected));
                expected += 7;
            }
        }
        let stats = target.stop();
        let batches = 30;
        assert_eq!(stats.get("produce_requests"), batches);
        assert_eq!(stats.get("produced_batches"), batches);
        assert_eq!(stats.get("produced_records"), 7 * batches);
        assert_eq!(
            stats.get("produced_batch_bytes"),
            batches * records.len() as u64
        );
        assert_eq!(stats.get("refused_batches"), 0);
    }
}

#[test]
fn many_partitions_and_topics_in_one_request() {
    let (target, mut client) = start(empty(true));
    let large = batch(5_000);
    let request = ProduceRequest::default().with_acks(1).with_topic_data(vec![
        TopicProduceData::default()
            .with_name(topic("t"))
            .with_partition_data(
                [0, 1, 9]
                    .map(|index| {
                        PartitionProduceData::default()
                            .with_index(index)
                            .with_records(Some(large.clone()))
                    })
                    .to_vec(),
            ),
        data("u", 0, Some(batch(1))),
        data("t", 3, Some(batch(2))),
    ]);
    let reply = client.ask(12, &request);
    let codes = reply.responses.iter().flat_map(|t| &t.partition_responses);
    let codes: Vec<_> = codes.map(|p| (p.index, p.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 0), (9, 3), (0, 3), (3, 0)]);
    let names: Vec<_> = reply.responses.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["t", "u", "t"]);
    let stats = target.stop();
    assert_eq!(stats.get("produced_records"), 10_002);
    assert_eq!(stats.get("refused_batches"), 2);
}

#[test]
fn a_request_may_be_cut_anywhere() {
    for check_crc in [false, true] {
        let (target, mut client) = start(empty(check_crc));
        for version in [3, 9] {
            let bytes = frame(version, &produce("t", 0, batch(2), 1));
            for cut in 1..bytes.len() {
                client.send(&bytes[..cut]);
                // The rest may come with it or later: both are met.
                std::thread::yield_now();
                client.send(&bytes[cut..]);
                let reply = understand::<ProduceRequest>(version, client.read());
                assert_eq!(said(&reply).0, 0, "{version} {cut}");
            }
        }
        let stats = target.stop();
        assert_eq!(
            stats.get("produced_records"),
            2 * stats.get("produce_requests")
        );
        assert_eq!(stats.get("bad_requests"), 0);
    }
}

#[test]
fn bad_batches_have_their_codes() {
    let (target, mut client) = start(empty(true));
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = batch(2).to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(changed)
    };
    let two = [batch(1), batch(1)].concat();
    let rows = [
        (with(HEADER_BYTES + 9, b"!"), code::CORRUPT_MESSAGE),
        (with(17, &[0; 4]), code::CORRUPT_MESSAGE),
        (with(16, &[1]), code::INVALID_RECORD),
        (with(57, &3_i32.to_be_bytes()), code::CORRUPT_MESSAGE),
        (with(57, &1_i32.to_be_bytes()), code::INVALID_RECORD),
        (with(8, &i32::MAX.to_be_bytes()), code::INVALID_RECORD),
        (with(8, &7_i32.to_be_bytes()), code::CORRUPT_MESSAGE),
        (with(22, &[1 << 5]), code::INVALID_RECORD),
        (with(22, &[4]), code::UNSUPPORTED_COMPRESSION_TYPE),
        (Bytes::from(two), code::INVALID_RECORD),
        (Bytes::from_static(b"short"), code::INVALID_RECORD),
        (Bytes::new(), code::INVALID_RECORD),
        (Bytes::from(vec![0; 1_048_589]), code::MESSAGE_TOO_LARGE),
    ];
    for (number, (records, expected)) in rows.iter().enumerate() {
        // What follows in the same request is not touched by it.
        let mut request = produce("t", 0, records.clone(), 1);
        request.topic_data.push(data("t", 1, Some(batch(1))));
        let reply = client.ask(5, &request);
        assert_eq!(said(&reply), (*expected, -1), "{number}");
        let next = &reply.responses[1].partition_responses[0];
        assert_eq!((next.error_code, next.base_offset), (0, number as i64));
    }
    let request = produce("t", 0, batch(1), 2);
    let refused = said(&client.ask(8, &request)).0;
    assert_eq!(refused, code::INVALID_REQUIRED_ACKS);
    let id = TransactionalId(text("mine"));
    let request = produce("t", 0, batch(1), -1).with_transactional_id(Some(id));
    let refused = said(&client.ask(9, &request)).0;
    assert_eq!(refused, code::TRANSACTIONAL_ID_REFUSED);
    let null = ProduceRequest::default()
        .with_acks(1)
        .with_topic_data(vec![data("t", 0, None)]);
    assert_eq!(said(&client.ask(3, &null)).0, code::INVALID_RECORD);
    let stats = target.stop();
    assert_eq!(stats.get("crc_errors"), 2);
    assert_eq!(stats.get("produced_records"), rows.len() as u64);
}

#[test]
fn without_the_check_a_wrong_crc_is_not_seen() {
    let (_target, mut client) = start(empty(false));
    let mut wrong = batch(2).to_vec();
    wrong[17] ^= 1;
    let reply = client.ask(12, &produce("t", 0, wrong.into(), 1));
    assert_eq!(said(&reply), (0, 0));
}

#[test]
fn without_a_reply_the_only_no_is_an_end() {
    let (target, mut client) = start(empty(false));
    client.send(&frame(9, &produce("nothing", 0, batch(1), 0)));
    assert!(client.is_closed());
    assert_eq!(target.stop().get("refused_batches"), 1);
}

#[test]
fn a_request_that_is_not_whole_counts_for_nothing() {
    let (target, mut client) = start(empty(false));
    let mut request = produce("t", 0, batch(500), 1);
    request.topic_data.push(data("t", 1, Some(batch(500))));
    let bytes = frame(9, &request);
    client.send(&bytes[..bytes.len() - 1]);
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
    assert_eq!(target.stop().get("produced_records"), 0);
}

#[test]
fn lengths_that_lie_end_the_connection() {
    let (target, _client) = start(empty(false));
    let bytes = frame(3, &produce("t", 0, batch(1), 1));
    let records = batch(1).len();
    let length_at = bytes.len() - records - 4;
    let with = |at: usize, value: i32| {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&value.to_be_bytes());
        changed
    };
    let cases = [
        with(length_at, records as i32 + 1),
        with(length_at, i32::MAX),
        with(length_at, -2),
        // Less than there is: what is left belongs to nothing.
        with(length_at, records as i32 - 1),
        // A second partition that never comes.
        with(length_at - 8, 2),
        with(length_at - 8, -5),
    ];
    for (number, case) in cases.iter().enumerate() {
        let mut client = Client::new(&target);
        client.send(case);
        assert!(client.is_closed(), "{number}");
    }
    let stats = target.stop();
    assert_eq!(stats.get("bad_requests"), cases.len() as u64);
    assert_eq!(stats.get("produced_records"), 0);
}
