//! Produce requests as Kafka's own message files read them, and every reply a session can get.
//!
//! Each reply is written by a codec that is not ours, read whole, cut at every byte, and byte by byte:
//! the verdict must be the same, and the right one.

#[path = "support/produce.rs"]
mod wire;

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use kafka_protocol::messages::produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch};
use kafka_protocol::messages::{BrokerId, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable as _, HeaderVersion as _, StrBytes};
use kafka_protocol::records::RecordBatchDecoder;
use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Cause, Input, Phase, Session as _, Tally, Then};
use loadgen_core::replay::{Replay, Seen, Skips, same_however_cut};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Next, Workload as _};
use loadgen_kafka::produce::local::Local;
use loadgen_kafka::produce::workload::ProduceWorkload;
use loadgen_kafka::spec::Acks;
use loadgen_kafka::tables::status_of;
use loadgen_kafka::wire::Wrong;
use loadgen_kafka::wire::batch::Codec;
use serde_json::{Value, json};
use wire::frames::versions;
use wire::{
    Connection, PARTITIONS, PRODUCE, START_MS, Setup, TOPIC, connection, encoded, partition, plan,
    read, response,
};

/// All versions of Produce that are spoken.
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=12;
/// Records of a batch.
const RECORDS: u32 = 10;

/// The verdict on `bytes` and the document's details, the same however they are cut.
fn verdict(setup: &Setup, bytes: &[u8]) -> (Vec<Seen>, Value) {
    let whole = same_however_cut(bytes.len(), |cuts, skips| {
        read(setup, bytes, cuts, skips, false)
    });
    if whole.0.last() != Some(&Seen::Waiting) {
        assert_eq!(read(setup, bytes, &[], Skips::Whole, true), whole);
    }
    whole
}

fn answered(code: i16, at: usize, then: Then) -> Seen {
    Seen::Reply {
        status: status_of(code),
        units: RECORDS,
        rows: Vec::new(),
        payload_rx_bytes: Some(0),
        at: at as u64,
        then,
    }
}

/// Only what is wrong, however it is cut; and nobody knows what became of the records.
fn refused(setup: &Setup, bytes: &[u8], wrong: Wrong) {
    let (seen, details) = verdict(setup, bytes);
    let fault = Seen::Fault(Phase::Decode, Cause::Protocol(wrong as u8));
    assert_eq!(seen, [fault], "{setup:?}");
    assert_eq!(details["produce"]["acked_records"], 0);
    assert_eq!(details["produce"]["unknown_records"], RECORDS);
}

/// What the connection does after the reply to its oldest request.
fn then(conn: &mut Connection, bytes: &[u8]) -> Then {
    let input = Input {
        bytes,
        skipped: 0,
        end: false,
    };
    let (session, tickets) = (&mut conn.session, &mut conn.tickets);
    let progress = session.decode(&mut tickets[0], input, &mut Tally::default());
    progress.expect("no fault").done.expect("a reply").then
}

// --- Requests ---

#[test]
fn requests_are_what_was_asked_for_to_another_decoder() {
    for version in VERSIONS {
        for (acks, number) in [(Acks::None, 0), (Acks::Leader, 1), (Acks::All, -1)] {
            let setup = Setup {
                acks,
                batches: 4,
                ..Setup::new(version)
            };
            let conn = connection(&setup);
            for ticket in &conn.tickets {
                assert_eq!(ticket.answered, number != 0);
                assert_eq!((ticket.units, ticket.payload_tx_bytes), (RECORDS, 140));
            }
            let mut bytes = Bytes::from(conn.requests);
            for n in 0..4 {
                let length = bytes.get_i32() as usize;
                request_is(bytes.split_to(length), version, number, n);
            }
            assert!(bytes.is_empty());
        }
    }
}

fn request_is(mut frame: Bytes, version: i16, acks: i16, n: i32) {
    let head = ProduceRequest::header_version(version);
    let header = RequestHeader::decode(&mut frame, head).unwrap();
    let ids = (header.request_api_key, header.request_api_version);
    assert_eq!(ids, (0, version));
    assert_eq!(header.correlation_id, n + 1);
    assert_eq!(header.client_id.as_deref(), Some("loadgen"));
    let request = ProduceRequest::decode(&mut frame, version).unwrap();
    assert!(frame.is_empty(), "bytes behind a request");
    assert_eq!((request.acks, request.timeout_ms), (acks, 1500));
    assert_eq!(request.transactional_id, None);
    assert_eq!(request.topic_data.len(), 1);
    let topic = &request.topic_data[0];
    assert_eq!(&**topic.name, TOPIC);
    assert_eq!(topic.partition_data.len(), 1);
    let data = &topic.partition_data[0];
    // Of those that the first broker leads, each in turn.
    assert_eq!(data.index, PARTITIONS[n as usize % 2]);
    let mut batch = data.records.clone().unwrap();
    let set = RecordBatchDecoder::decode(&mut batch).unwrap();
    assert_eq!(set.records.len(), RECORDS as usize);
    let sent_ms = START_MS + i64::from(n);
    assert!(set.records.iter().all(|r| r.timestamp == sent_ms));
}

// --- Replies ---

#[test]
fn what_is_acknowledged_is_counted_where_it_is() {
    for version in VERSIONS {
        let setup = Setup {
            batches: 3,
            ..Setup::new(version)
        };
        let first = encoded(version, 1, &response(partition(3, 0, 1000)));
        let appended = partition(4, 0, 77).with_log_append_time_ms(START_MS);
        let second = encoded(version, 2, &response(appended));
        let (seen, details) = verdict(&setup, &[&first[..], &second].concat());
        let both = first.len() + second.len();
        let wanted = [
            answered(0, first.len(), Then::Reuse),
            answered(0, both, Then::Reuse),
            Seen::Waiting,
        ];
        assert_eq!(seen, wanted);
        let produce = &details["produce"];
        assert_eq!(produce["produce_version"], version);
        assert_eq!(produce["sent_records"], 30);
        assert_eq!(produce["acked_records"], 20);
        assert_eq!(produce["unknown_records"], 10);
        assert_eq!(produce["log_append_time_batches"], 1);
        let row = |index: i32, records: u32, base: Option<i64>| {
            let next = base.map(|base| base + 10);
            json!({"partition": index, "acked_records": records, "last_base_offset": base,
                "next_offset": next})
        };
        let rows = json!([
            row(3, 10, Some(1000)),
            row(4, 10, Some(77)),
            row(7, 0, None),
        ]);
        assert_eq!(produce["partitions"], rows);
    }
}

#[test]
fn every_error_has_its_row_and_only_some_mean_not_written() {
    for version in [3, 8, 12] {
        for code in [-1, 1, 2, 7, 10, 17, 19, 20, 29, 31, 32, 42, 87, 9999] {
            let setup = Setup::new(version);
            let mut said = partition(3, code, -1);
            let text = version >= 8;
            said.error_message = text.then(|| StrBytes::from_static_str("so it \n is"));
            let bytes = encoded(version, 1, &response(said));
            let (seen, details) = verdict(&setup, &bytes);
            assert_eq!(seen, [answered(code, bytes.len(), Then::Reuse)]);
            let produce = &details["produce"];
            let maybe = [-1, 7, 20].contains(&code);
            assert_eq!(produce["unknown_records"], if maybe { 10 } else { 0 });
            assert_eq!(produce["refused_records"], if maybe { 0 } else { 10 });
            let row = &produce["errors"][0];
            assert_eq!((&row["code"], &row["count"]), (&code.into(), &1.into()));
            let message = text.then_some("so it \\n is");
            assert_eq!(row["message"], json!(message));
        }
    }
}

#[test]
fn a_doubtful_leader_is_asked_for_and_its_partition_left_alone() {
    for code in [3, 5, 6, 9, 56, 74, 75] {
        let mut conn = connection(&Setup::new(9));
        let bytes = encoded(9, 1, &response(partition(3, code, -1)));
        // There is another partition to write to.
        assert_eq!(then(&mut conn, &bytes), Then::Reuse, "{code}");
        assert!(conn.rules.topic.take_doubt());
        let mut out = Outbox::default();
        let mut next = |at: u64| {
            let Next::Ready(ask) = conn.workload.next(0, 0, 0) else {
                panic!("nothing to ask")
            };
            conn.session.encode(ask, Tick(at), &mut out);
            PARTITIONS[ask.partition as usize]
        };
        assert_eq!([next(1), next(2), next(3)], [4, 4, 4]);
        // Later it is tried again.
        next(60_000_000);
        let mut both = [next(60_000_001), next(60_000_002)];
        both.sort_unstable();
        assert_eq!(both, [3, 4]);
    }
}

#[test]
fn with_nothing_else_to_write_to_the_connection_waits() {
    let mut conn = connection(&Setup::new(9));
    conn.rules.topic.learn(1, Some((2, 10)));
    let bytes = encoded(9, 1, &response(partition(3, 6, -1)));
    let then = then(&mut conn, &bytes);
    assert!(matches!(then, Then::Pause(pause) if pause >= Duration::from_millis(10)));
    // It has not been told who leads; so it asks the same one again then.
    assert!(matches!(conn.workload.next(0, 0, 0), Next::Ready(ask) if ask.partition == 0));
}

#[test]
fn who_leads_is_learned_from_the_refusal() {
    for version in [9, 10, 12] {
        let mut said = partition(3, 6, -1);
        if version >= 10 {
            said.current_leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(2))
                .with_leader_epoch(10);
        }
        let conn = connection(&Setup::new(version));
        let bytes = encoded(version, 1, &response(said));
        let seen = Replay::new(conn.session, conn.tickets, Skips::Whole).run(&bytes, &[], false);
        assert_eq!(seen, [answered(6, bytes.len(), Then::Reuse)]);
        let leader = if version >= 10 { Some(1) } else { Some(0) };
        assert_eq!(conn.rules.topic.leader(0), leader, "v{version}");
    }
}

#[test]
fn a_quota_is_kept() {
    for version in VERSIONS {
        let held_back = response(partition(3, 0, 0)).with_throttle_time_ms(1234);
        let bytes = encoded(version, 1, &held_back);
        let (seen, details) = verdict(&Setup::new(version), &bytes);
        let pause = Then::Pause(Duration::from_millis(1234));
        assert_eq!(seen, [answered(0, bytes.len(), pause)]);
        assert_eq!(details["produce"]["throttled"], 1);
        assert_eq!(details["produce"]["throttle_ms"], 1234);
        assert_eq!(details["findings"][0]["code"], "kafka.throttled");
    }
}

#[test]
fn refusals_of_many_records_are_passed_over() {
    for version in 8..=12 {
        let record = |index| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(index)
                .with_batch_index_error_message(Some(StrBytes::from_static_str("too old")))
        };
        let said = partition(3, 87, -1).with_record_errors((0..20).map(record).collect());
        let bytes = encoded(version, 1, &response(said));
        let (seen, _) = verdict(&Setup::new(version), &bytes);
        assert_eq!(seen, [answered(87, bytes.len(), Then::Reuse)]);
    }
}

#[test]
fn a_reply_that_never_ends_is_no_reply() {
    let bytes = encoded(12, 1, &response(partition(3, 0, 0)));
    for cut in 0..bytes.len() {
        let (seen, details) = read(&Setup::new(12), &bytes[..cut], &[], Skips::Whole, true);
        let wanted = match cut {
            0 => Seen::ClosedBeforeReply,
            _ => Seen::Truncated,
        };
        assert_eq!(seen, [wanted]);
        assert_eq!(details["produce"]["unknown_records"], RECORDS);
    }
}

#[test]
fn replies_to_something_else_are_faults() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        for correlation in [0, 2, -1] {
            let bytes = encoded(version, correlation, &response(partition(3, 0, 0)));
            refused(&setup, &bytes, Wrong::Correlation);
        }
        // One that is written to, but not by this request.
        let bytes = encoded(version, 1, &response(partition(4, 0, 0)));
        refused(&setup, &bytes, Wrong::Partition);
        let mut other = response(partition(3, 0, 0));
        other.responses[0].name = StrBytes::from_static_str("u").into();
        refused(&setup, &encoded(version, 1, &other), Wrong::Partition);
    }
}

#[test]
fn lengths_that_cannot_be_are_faults() {
    for version in [3, 8, 12] {
        let setup = Setup::new(version);
        let good = encoded(version, 1, &response(partition(3, 0, 0)));
        let with = |length: i32| [&length.to_be_bytes()[..], &good[4..]].concat();
        for length in [i32::MIN, -1, 0, 3, i32::MAX] {
            refused(&setup, &with(length), Wrong::Length);
        }
        // Each ends in the middle of something.
        for length in 4..good.len() - 4 {
            refused(&setup, &with(length as i32), Wrong::Length);
        }
    }
}

#[test]
fn every_byte_of_a_reply_may_be_another_one() {
    for version in [3, 5, 8, 9, 12] {
        let setup = Setup::new(version);
        let good = encoded(version, 1, &response(partition(3, 6, 5)));
        let each: Vec<usize> = (0..good.len()).collect();
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let whole = read(&setup, &bytes, &[], Skips::Whole, false);
                let cut = read(&setup, &bytes, &each, Skips::Piecewise, false);
                assert_eq!(cut, whole, "v{version}, byte {at}, {flip:#x}");
            }
        }
    }
}

#[test]
fn bytes_behind_the_last_reply_are_told() {
    let good = encoded(12, 1, &response(partition(3, 0, 0)));
    let more = [&good[..], b"x"].concat();
    let (seen, _) = read(&Setup::new(12), &more, &[], Skips::Whole, false);
    let surplus = Seen::Fault(Phase::Decode, Cause::Unsolicited);
    assert_eq!(seen, [answered(0, good.len(), Then::Reuse), surplus]);
}

// --- The greeting ---

#[test]
fn a_version_in_common_is_needed_and_zstd_needs_more() {
    for (version, codec, good) in [
        (2, Codec::None, false),
        (3, Codec::None, true),
        (6, Codec::Zstd, false),
        (7, Codec::Zstd, true),
        (6, Codec::Lz4, true),
    ] {
        let setup = Setup {
            codec,
            ..Setup::new(version)
        };
        let rules = std::sync::Arc::new(plan(&setup).rules(false).unwrap());
        let mut workload = ProduceWorkload::new(Local::shared(rules), 0);
        let mut session = workload.open(0, 0);
        let mut out = Outbox::default();
        session.handshake(&[], &mut out).unwrap();
        match session.handshake(&versions(1, PRODUCE, version), &mut out) {
            Ok(_) => assert!(good, "v{version} {codec:?}"),
            Err(fault) => {
                assert!(!good, "v{version} {codec:?}: {fault:?}");
                let cause = Cause::Protocol(Wrong::Version as u8);
                assert_eq!((fault.phase, fault.cause), (Phase::Handshake, cause));
            }
        }
    }
}
