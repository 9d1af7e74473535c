//! Fetch requests as Kafka's own message files read them, and every reply a session can get.
//!
//! Each reply is written by a codec that is not ours, read whole, cut at every byte, and byte by byte,
//! with discards done at once and piece by piece: the verdict must be the same, and the right one.

#[path = "support/wire.rs"]
mod wire;

use bytes::{Buf as _, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, ProducerId, RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, HeaderVersion as _, StrBytes};
use loadgen_core::protocol::{Cause, Phase, Then};
use loadgen_core::replay::{Seen, Skips, same_however_cut};
use loadgen_kafka::spec::{Depth, Isolation, Until};
use loadgen_kafka::tables::{EMPTY, OK, Op, status_of};
use loadgen_kafka::wire::Wrong;
use loadgen_kafka::wire::batch::{Codec, HEADER_BYTES, Header, TRANSACTIONAL};
use serde_json::{Value, json};
use std::time::Duration;
use wire::frames::framed;
use wire::{
    END, START, Setup, TOPIC, batch, connection, encoded, partition, read, response, sealed,
};

/// All versions of Fetch that are spoken.
const VERSIONS: std::ops::RangeInclusive<i16> = 4..=12;

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

fn answered(status: u16, units: u32, payload: Option<u64>, at: usize) -> Seen {
    Seen::Reply {
        status,
        units,
        rows: Vec::new(),
        payload_rx_bytes: payload,
        at: at as u64,
        then: Then::Reuse,
    }
}

/// Only what is wrong, at every version and however it is cut.
fn refused(setup: &Setup, bytes: &[u8], wrong: Wrong) {
    let (seen, _) = verdict(setup, bytes);
    let fault = Seen::Fault(Phase::Decode, Cause::Protocol(wrong as u8));
    assert_eq!(seen, [fault], "{setup:?}");
}

/// `next_offset` of each partition's row.
fn next_offsets(details: &Value) -> Vec<Option<i64>> {
    let rows = details["consume"]["partitions"].as_array().expect("rows");
    rows.iter().map(|row| row["next_offset"].as_i64()).collect()
}

// --- Requests ---

#[test]
fn requests_are_what_was_asked_for_to_another_decoder() {
    for version in VERSIONS {
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let setup = Setup {
                isolation,
                until: Until::Replay,
                fetches: 2,
                ..Setup::new(version)
            };
            let mut counts = Vec::new();
            let mut bytes = Bytes::from(connection(&setup).requests);
            for correlation in 1..=2 {
                let length = bytes.get_i32() as usize;
                let mut frame = bytes.split_to(length);
                let head = FetchRequest::header_version(version);
                let header = RequestHeader::decode(&mut frame, head).unwrap();
                assert_eq!(
                    (header.request_api_key, header.request_api_version),
                    (1, version)
                );
                assert_eq!(header.correlation_id, correlation);
                assert_eq!(header.client_id.as_deref(), Some("loadgen"));
                let request = FetchRequest::decode(&mut frame, version).unwrap();
                assert!(!frame.has_remaining(), "bytes behind a request");
                let mut partitions: Vec<i32> = Vec::new();
                for topic in &request.topics {
                    partitions.extend(topic.partitions.iter().map(|p| p.partition));
                }
                assert_eq!(request, wanted(version, isolation, &partitions));
                partitions.sort_unstable();
                partitions.dedup();
                counts.push(partitions.len());
            }
            assert_eq!(counts, [2, 1], "a half of 3, rounded up, and the rest");
            assert!(bytes.is_empty());
        }
    }
}

fn wanted(version: i16, isolation: Isolation, partitions: &[i32]) -> FetchRequest {
    let partition = |index: &i32| {
        FetchPartition::default()
            .with_partition(*index)
            .with_current_leader_epoch(if version >= 9 { 9 } else { -1 })
            .with_fetch_offset(START)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(partitions.iter().map(partition).collect());
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_isolation_level(i8::from(isolation == Isolation::ReadCommitted))
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

// --- Replies ---

#[test]
fn records_of_several_partitions_are_counted_at_every_version_and_depth() {
    for version in VERSIONS {
        // What depth changes does not depend on the version.
        let with_all = version == 4 || version == 12;
        let depths = Depth::ALL
            .into_iter()
            .filter(|depth| with_all || *depth == Depth::Records);
        for depth in depths {
            let setup = Setup {
                depth,
                until: if depth == Depth::None {
                    Until::Replay
                } else {
                    Until::End
                },
                ..Setup::new(version)
            };
            let two = [
                batch(START, 3, Codec::None),
                batch(START + 3, 2, Codec::Lz4),
            ];
            let reply = response(vec![
                partition(7, 0, Some(two.concat())),
                partition(3, 0, Some(batch(START, 4, Codec::None))),
                // A batch that begins before the fetch offset: two of its records are new.
                partition(4, 0, Some(batch(START - 2, 4, Codec::Gzip))),
            ]);
            let bytes = encoded(version, 1, &reply);
            let (seen, details) = verdict(&setup, &bytes);
            let (units, payload, next) = match depth {
                Depth::None => (0, None, vec![None; 3]),
                Depth::Headers | Depth::Crc => (11, None, vec![Some(104), Some(102), Some(105)]),
                Depth::Records => (11, Some(110), vec![Some(104), Some(102), Some(105)]),
            };
            assert_eq!(
                seen,
                [answered(OK, units, payload, bytes.len())],
                "{version} {depth:?}"
            );
            assert_eq!(next_offsets(&details), next, "{version} {depth:?}");
            let batches = if depth == Depth::None { 0 } else { 4 };
            assert_eq!(details["consume"]["batches"], batches);
            assert_eq!(details["findings"], json!([]));
        }
    }
}

#[test]
fn nothing_is_nothing_whether_it_is_null_empty_or_missing() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        let replies = [
            response(vec![
                partition(3, 0, None),
                partition(4, 0, Some(Vec::new())),
                partition(7, 0, None),
            ]),
            response(vec![partition(4, 0, None)]),
            response(Vec::new()),
            FetchResponse::default(),
        ];
        for reply in replies {
            let bytes = encoded(version, 1, &reply);
            let (seen, details) = verdict(&setup, &bytes);
            let mut expected = answered(EMPTY, 0, Some(0), bytes.len());
            if reply.responses.iter().all(|t| t.partitions.is_empty())
                && let Seen::Reply { then, .. } = &mut expected
            {
                // Asked again at once, it would say so as fast as it can.
                *then = Then::Pause(Duration::from_millis(50));
            }
            assert_eq!(seen, [expected]);
            assert_eq!(next_offsets(&details), [None; 3]);
        }
    }
}

#[test]
fn a_batch_that_was_cut_is_counted_as_bytes_only() {
    for version in [4, 12] {
        for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
            let setup = Setup {
                depth,
                ..Setup::new(version)
            };
            let whole = batch(START, 5, Codec::None);
            for kept in [
                1,
                HEADER_BYTES - 1,
                HEADER_BYTES,
                HEADER_BYTES + 1,
                whole.len() - 1,
            ] {
                let next = batch(START + 5, 5, Codec::None);
                let records = [&whole[..], &next[..kept]].concat();
                let reply = response(vec![
                    partition(3, 0, Some(records)),
                    partition(4, 0, Some(whole.clone())),
                ]);
                let bytes = encoded(version, 1, &reply);
                let (seen, details) = read(&setup, &bytes, &[], Skips::Whole, false);
                let payload = (depth == Depth::Records).then_some(100);
                assert_eq!(seen, [answered(OK, 10, payload, bytes.len())], "{kept}");
                assert_eq!(details["consume"]["partial_bytes"], kept);
                assert_eq!(next_offsets(&details)[..2], [Some(105), Some(105)]);
                assert_eq!(verdict(&setup, &bytes), (seen, details));
            }
        }
    }
}

#[test]
fn an_error_of_one_partition_leaves_the_others_their_records() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        let reply = response(vec![
            partition(3, 6, None),
            partition(4, 0, Some(batch(START, 4, Codec::None))),
            partition(7, 9999, Some(Vec::new())),
        ]);
        let bytes = encoded(version, 1, &reply);
        let (seen, details) = verdict(&setup, &bytes);
        let wanted = Seen::Reply {
            status: status_of(6),
            units: 0,
            rows: vec![(Op::Fetch as u8, OK, 4)],
            payload_rx_bytes: Some(40),
            at: bytes.len() as u64,
            then: Then::Reuse,
        };
        assert_eq!(seen, [wanted]);
        assert_eq!(next_offsets(&details), [None, Some(104), None]);
        assert_eq!(
            details["consume"]["errors"][0]["name"],
            "not_leader_or_follower"
        );
        assert_eq!(details["consume"]["errors"][1]["code"], 9999);
        assert_eq!(details["findings"][0]["code"], "kafka.partition_errors");
        assert_eq!(details["findings"][0]["actual"], 2.0);
    }
}

#[test]
fn a_reply_of_errors_and_one_that_throttles_hold_the_connection_back() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        let errors = response(vec![partition(3, 6, None), partition(4, 5, None)]);
        let then = |bytes: &[u8]| match &verdict(&setup, bytes).0[..] {
            [Seen::Reply { then, status, .. }] => (*then, *status),
            other => panic!("{other:?}"),
        };
        let (paused, status) = then(&encoded(version, 1, &errors));
        assert_eq!(status, status_of(6));
        assert_eq!(paused, Then::Pause(Duration::from_millis(50)));
        let records = || vec![partition(3, 0, Some(batch(START, 1, Codec::None)))];
        let throttled = response(records()).with_throttle_time_ms(7);
        let wanted = (Then::Pause(Duration::from_millis(7)), OK);
        assert_eq!(then(&encoded(version, 1, &throttled)), wanted);
        let negative = response(records()).with_throttle_time_ms(-7);
        assert_eq!(then(&encoded(version, 1, &negative)), (Then::Reuse, OK));
        if version >= 7 {
            let all = FetchResponse::default().with_error_code(70);
            let (_, status) = then(&encoded(version, 1, &all));
            assert_eq!(status, status_of(70));
        }
    }
}

#[test]
fn a_leader_that_is_named_is_learned() {
    for node in [2, -1, 77] {
        let setup = Setup::new(12);
        let leader = LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(node))
            .with_leader_epoch(11)
            .with_unknown_tagged_field(5, Bytes::from_static(b"later"));
        let reply = response(vec![
            partition(3, 0, Some(batch(START, 1, Codec::None))),
            partition(4, 6, None)
                .with_current_leader(leader)
                .with_unknown_tagged_field(9, Bytes::from_static(b"unknown")),
        ]);
        let bytes = encoded(12, 1, &reply);
        let (_, details) = verdict(&setup, &bytes);
        let moves = i32::from(node != -1);
        assert_eq!(details["consume"]["leader_moves"], moves, "{node}");
    }
}

/// `bytes`, a batch, as part of a transaction of `producer`.
fn transactional(bytes: &[u8], producer: i64) -> Vec<u8> {
    let mut header = Header::read(bytes).unwrap().unwrap();
    header.attributes |= TRANSACTIONAL;
    header.producer_id = producer;
    sealed(header, &bytes[HEADER_BYTES..])
}

#[test]
fn aborted_transactions_are_hidden_where_that_was_asked_for() {
    let aborted = |producer, first| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(producer))
            .with_first_offset(first)
    };
    for version in VERSIONS {
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let setup = Setup {
                isolation,
                ..Setup::new(version)
            };
            let plain = batch(START, 3, Codec::None);
            let records = [
                transactional(&plain, 8),
                transactional(&batch(START + 3, 2, Codec::None), 9),
            ];
            let reply = response(vec![
                partition(3, 0, Some(records.concat()))
                    .with_aborted_transactions(Some(vec![aborted(8, START), aborted(5, 900)])),
                // None of the transactions before reach into this one.
                partition(4, 0, Some(transactional(&plain, 8)))
                    .with_aborted_transactions(Some(Vec::new())),
                partition(7, 0, None).with_aborted_transactions(None),
            ]);
            let bytes = encoded(version, 1, &reply);
            let (seen, details) = verdict(&setup, &bytes);
            let hidden = if isolation == Isolation::ReadCommitted {
                3
            } else {
                0
            };
            let units = 8 - hidden;
            let wanted = answered(OK, units, Some(u64::from(units) * 10), bytes.len());
            assert_eq!(seen, [wanted]);
            assert_eq!(details["consume"]["aborted_records"], hidden);
            assert_eq!(next_offsets(&details)[..2], [Some(105), Some(103)]);
        }
    }
}

#[test]
fn replies_answer_the_fetches_in_their_order() {
    let setup = Setup {
        fetches: 2,
        partitions: &[3, 4],
        ..Setup::new(12)
    };
    let one = |index, values| {
        response(vec![partition(
            index,
            0,
            Some(batch(START, values, Codec::None)),
        )])
    };
    let first = encoded(12, 1, &one(3, 2));
    // The second worker's place in line is the next cursor.
    let second = encoded(12, 2, &one(4, 5));
    let both = [first.clone(), second.clone()].concat();
    let (seen, details) = verdict(&setup, &both);
    let wanted = [
        answered(OK, 2, Some(20), first.len()),
        answered(OK, 5, Some(50), both.len()),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(next_offsets(&details), [Some(102), Some(105)]);
    let swapped = [second, first].concat();
    refused(&setup, &swapped, Wrong::Correlation);
}

fn codes(details: &Value) -> Vec<&str> {
    let rows = details["findings"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["code"].as_str()).collect()
}

#[test]
fn an_offset_out_of_range_jumps_forward_or_waits_to_know() {
    for version in VERSIONS {
        let setup = Setup {
            partitions: &[3],
            ..Setup::new(version)
        };
        let out = |log_start, high| {
            let part = partition(3, 1, None)
                .with_high_watermark(high)
                .with_log_start_offset(log_start);
            let reply = response(vec![part]);
            verdict(&setup, &encoded(version, 1, &reply)).1
        };
        let jumped = out(START + 50, END);
        let told = version >= 5;
        assert_eq!(
            jumped["consume"]["jumped_offsets"],
            if told { 50 } else { 0 }
        );
        assert_eq!(jumped["consume"]["errors"][0]["code"], 1);
        // What a broker says when it does not know either.
        let unknown = out(-1, -1);
        assert_eq!(unknown["consume"]["jumped_offsets"], 0);
        assert_eq!(codes(&unknown)[1..], ["kafka.stuck_partitions"]);
        // Behind the end of the log.
        if told {
            let beyond = out(0, START - 1);
            assert!(codes(&beyond).contains(&"kafka.given_up"), "{beyond}");
        }
    }
}

// --- What no reply may be ---

/// A reply of one partition at `version`, without its frame's length.
fn plain(version: i16, correlation: i32) -> Vec<u8> {
    let data = partition(3, 0, Some(batch(START, 2, Codec::None)));
    let bytes = encoded(version, correlation, &response(vec![data]));
    bytes[4..].to_vec()
}

#[test]
fn every_head_that_is_cut_by_its_frame_is_refused() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        let body = plain(version, 1);
        for kept in 4..body.len() {
            let bytes = framed(&body[..kept]);
            let (seen, _) = read(&setup, &bytes, &[], Skips::Whole, false);
            let fault = Cause::Protocol(Wrong::Length as u8);
            assert_eq!(
                seen,
                [Seen::Fault(Phase::Decode, fault)],
                "{version} {kept}"
            );
        }
        let more = [&body[..], b"x"].concat();
        refused(&setup, &framed(&more), Wrong::Length);
    }
}

#[test]
fn lengths_and_counts_that_cannot_be_are_refused_before_anything_is_kept() {
    for length in [-1, 0, 3, i32::MIN] {
        let bytes = [&i32::to_be_bytes(length)[..], &[0, 0, 0, 1]].concat();
        refused(&Setup::new(11), &bytes, Wrong::Length);
    }
    // Where in a reply of v11 each count is, behind the frame's length and the correlation id; and
    // the lowest value that is too low.
    let name = 8 + 4 + 2 + 4 + 4 + 2;
    let data = name + 1 + 4 + 4 + 2 + 8 + 8 + 8;
    for (at, what, low) in [
        (8 + 4 + 2 + 4, "topics", -1),
        (name + 1, "partitions", -1),
        (data, "aborted transactions", -2),
        (data + 4 + 4, "bytes of records", -2),
    ] {
        for count in [low, i32::MIN, 1 << 16, i32::MAX] {
            let mut bytes = framed(&plain(11, 1));
            bytes[at..at + 4].copy_from_slice(&count.to_be_bytes());
            let (seen, _) = verdict(&Setup::new(11), &bytes);
            let fault = Cause::Protocol(Wrong::Length as u8);
            assert_eq!(seen, [Seen::Fault(Phase::Decode, fault)], "{count} {what}");
        }
    }
    for length in [-1_i16, i16::MAX] {
        let mut bytes = framed(&plain(11, 1));
        bytes[name - 2..name].copy_from_slice(&length.to_be_bytes());
        refused(&Setup::new(11), &bytes, Wrong::Length);
    }
}

#[test]
fn a_frame_of_two_gibibytes_is_waited_for_and_not_held() {
    // The heads of a reply whose records are all that its frame may have.
    let mut bytes = framed(&plain(11, 1));
    let records = 8 + 4 + 2 + 4 + 4 + 2 + 1 + 4 + 4 + 2 + 8 + 8 + 8 + 4 + 4;
    let behind = i32::MAX - (records as i32 + 4 - 4);
    bytes[..4].copy_from_slice(&i32::MAX.to_be_bytes());
    bytes[records..records + 4].copy_from_slice(&behind.to_be_bytes());
    let (seen, _) = verdict(&Setup::new(11), &bytes);
    assert_eq!(seen, [Seen::Waiting]);
    // A head that never ends is refused long before its frame does.
    let mut body = [&i32::MAX.to_be_bytes()[..], &[0, 0, 0, 1, 0]].concat();
    body.extend([0; 10]);
    body.extend([2, 0xff, 0xff, 0xff, 0x7f]);
    body.resize(70_000, b'n');
    let (seen, _) = read(&Setup::new(12), &body, &[9_000], Skips::Whole, false);
    let fault = Cause::Protocol(Wrong::Length as u8);
    assert_eq!(seen, [Seen::Fault(Phase::Decode, fault)]);
}

#[test]
fn compact_counts_that_cannot_be_are_refused() {
    let heads = [0, 0, 0, 1, 0].into_iter().chain([0; 10]);
    let heads: Vec<u8> = heads.collect();
    for count in [
        &[0][..],
        &[0xff, 0x7f],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff; 9],
    ] {
        let bytes = framed(&[&heads[..], count].concat());
        refused(&Setup::new(12), &bytes, Wrong::Length);
    }
    // Tagged fields that say they are longer than the frame.
    for tags in [
        &[1][..],
        &[1, 9, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0],
    ] {
        let bytes = framed(&[&heads[..], &[1], tags].concat());
        refused(&Setup::new(12), &bytes, Wrong::Length);
    }
}

#[test]
fn who_answers_for_something_else_is_refused() {
    for version in VERSIONS {
        let setup = Setup::new(version);
        for correlation in [0, 2, -1] {
            let bytes = framed(&plain(version, correlation));
            refused(&setup, &bytes, Wrong::Correlation);
        }
        let one = |index| partition(index, 0, Some(batch(START, 1, Codec::None)));
        let of = |parts: Vec<PartitionData>| encoded(version, 1, &response(parts));
        refused(&setup, &of(vec![one(5)]), Wrong::Partition);
        refused(&setup, &of(vec![one(-1)]), Wrong::Partition);
        refused(&setup, &of(vec![one(3), one(4), one(3)]), Wrong::Partition);
        let mut twice = response(vec![one(3)]);
        twice.responses.push(twice.responses[0].clone());
        refused(&setup, &encoded(version, 1, &twice), Wrong::Partition);
        for name in ["", "tt", "T"] {
            let mut other = response(vec![one(3)]);
            other.responses[0].topic = TopicName(StrBytes::from_static_str(name));
            refused(&setup, &encoded(version, 1, &other), Wrong::Partition);
        }
    }
}

#[test]
fn batches_that_cannot_be_are_refused() {
    let setup = Setup::new(12);
    let of = |records: Vec<u8>| encoded(12, 1, &response(vec![partition(3, 0, Some(records))]));
    let good = batch(START, 3, Codec::None);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        of(bad)
    };
    refused(&setup, &with(17, &[0; 4]), Wrong::Crc);
    refused(&setup, &with(HEADER_BYTES + 9, b"!"), Wrong::Crc);
    refused(&setup, &with(16, &[1]), Wrong::Batch);
    refused(&setup, &with(22, &[7]), Wrong::Batch);
    refused(&setup, &with(8, &[0xff; 4]), Wrong::Batch);
    refused(&setup, &with(8, &[0, 0, 0, 9]), Wrong::Batch);
    refused(&setup, &with(0, &[0xff; 8]), Wrong::Batch);
    refused(&setup, &with(23, &[0xff; 4]), Wrong::Batch);
    refused(&setup, &with(57, &[0xff; 4]), Wrong::Batch);
    // The last offset would be beyond all offsets there are.
    refused(&setup, &with(0, &i64::MAX.to_be_bytes()), Wrong::Batch);
    // The same batch again: its records would be counted twice.
    refused(&setup, &of([&good[..], &good].concat()), Wrong::Batch);
}
