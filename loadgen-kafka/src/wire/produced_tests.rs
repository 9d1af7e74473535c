//! Replies of another encoder, of every version, cut everywhere; and bytes that are none.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceResponse, ResponseHeader};
use kafka_protocol::protocol::{Encodable as _, StrBytes};

use super::super::produce::VERSIONS;
use super::*;

const TOPIC: &str = "a-topic";

fn asked(version: i16) -> Asked<'static> {
    Asked {
        version,
        correlation: 0x0102_0304,
        topic: TOPIC,
        partition: 77,
    }
}

/// A reply with `body`, and `header_tag` in the header of a flexible version.
fn frame(version: i16, body: &ProduceResponse) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(0x0102_0304);
    let header_version = i16::from(version >= FLEXIBLE_FROM);
    header.encode(&mut bytes, header_version).unwrap();
    body.encode(&mut bytes, version).unwrap();
    let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    frame
}

fn partition(error: i16) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(77)
        .with_error_code(error)
        .with_base_offset(1 << 40)
        .with_log_append_time_ms(-1)
}

fn topic(partitions: Vec<PartitionProduceResponse>) -> TopicProduceResponse {
    TopicProduceResponse::default()
        .with_name(StrBytes::from_static_str(TOPIC).into())
        .with_partition_responses(partitions)
}

fn reply(partition: PartitionProduceResponse) -> ProduceResponse {
    ProduceResponse::default()
        .with_responses(vec![topic(vec![partition])])
        .with_throttle_time_ms(5)
}

/// A refusal with all that a version can say.
fn refusal(version: i16) -> ProduceResponse {
    let mut partition = partition(6);
    if version >= LOG_START_FROM {
        partition.log_start_offset = 3;
    }
    if version >= RECORD_ERRORS_FROM {
        let record = |index, text: Option<&'static str>| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(index)
                .with_batch_index_error_message(text.map(StrBytes::from_static_str))
        };
        partition.record_errors = vec![record(0, Some("first")), record(2, None)];
        partition.error_message = Some(StrBytes::from_static_str("not here"));
    }
    if version >= LEADER_FROM {
        partition.current_leader = LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(9))
            .with_leader_epoch(12);
        let tag = Bytes::from_static(b"of a version to come");
        partition.unknown_tagged_fields.insert(40, tag);
    }
    let mut reply = reply(partition);
    if version >= LEADER_FROM {
        let node = NodeEndpoint::default()
            .with_node_id(BrokerId(9))
            .with_host(StrBytes::from_static_str("host"))
            .with_port(9092);
        reply.node_endpoints = vec![node];
    }
    reply
}

/// Feeds `pieces`; discards are done at once or piece by piece as they come.
fn feed(version: i16, pieces: &[&[u8]]) -> Result<Option<(Produced, usize)>, Wrong> {
    let mut reading = Reading::default();
    let (mut unread, mut eaten, mut skip, mut skipped) = (Vec::new(), 0, 0_u64, 0_u64);
    for piece in pieces {
        let gone = skip.min(piece.len() as u64);
        skipped += gone;
        eaten += gone as usize;
        unread.extend_from_slice(&piece[gone as usize..]);
        let step = reading
            .feed(&asked(version), &unread, std::mem::take(&mut skipped))
            .map_err(|error| {
                assert!(!error.detail.is_empty());
                error.wrong
            })?;
        unread.drain(..step.eaten);
        eaten += step.eaten;
        skip = step.discard;
        if let Some(done) = step.done {
            assert_eq!(reading, Reading::default(), "fit for the next one");
            return Ok(Some((done, eaten)));
        }
        assert!(skip == 0 || unread.is_empty(), "what came is eaten");
    }
    Ok(None)
}

/// The verdict, found to be the same however the bytes are cut.
fn verdict(version: i16, bytes: &[u8]) -> Result<Option<(Produced, usize)>, Wrong> {
    let whole = feed(version, &[bytes]);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(feed(version, &[front, back]), whole, "v{version} at {cut}");
    }
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    if !each.is_empty() {
        assert_eq!(feed(version, &each), whole, "v{version}, byte by byte");
    }
    whole
}

#[test]
fn every_version_is_read_to_its_end() {
    for version in VERSIONS {
        let good = frame(version, &reply(partition(0)));
        // And not beyond.
        let two = [&good[..], &good].concat();
        let wanted = Produced {
            base_offset: 1 << 40,
            log_append_time_ms: -1,
            throttle_ms: 5,
            ..Produced::default()
        };
        assert_eq!(verdict(version, &two), Ok(Some((wanted, good.len()))));

        let bad = frame(version, &refusal(version));
        let wanted = Produced {
            error: 6,
            base_offset: 1 << 40,
            log_append_time_ms: -1,
            throttle_ms: 5,
            leader: (version >= LEADER_FROM).then_some((9, 12)),
            message: (version >= RECORD_ERRORS_FROM).then(|| "not here".to_owned()),
        };
        assert_eq!(verdict(version, &bad), Ok(Some((wanted, bad.len()))));
        for short in 0..bad.len() {
            assert_eq!(
                feed(version, &[&bad[..short]]),
                Ok(None),
                "v{version} {short}"
            );
        }
    }
}

#[test]
fn frames_that_are_too_short_or_too_long_are_faults() {
    for version in VERSIONS {
        let good = frame(version, &refusal(version));
        let after_length = good.len() - 4;
        for claimed in 4..after_length {
            let mut bytes = good.clone();
            bytes[..4].copy_from_slice(&(claimed as u32).to_be_bytes());
            let seen = feed(version, &[&bytes]);
            assert_eq!(seen, Err(Wrong::Length), "v{version}, {claimed}");
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(feed(version, &each), seen, "v{version}, {claimed}");
        }
        let mut bytes = good.clone();
        bytes[..4].copy_from_slice(&(after_length as u32 + 1).to_be_bytes());
        bytes.push(0);
        assert_eq!(verdict(version, &bytes), Err(Wrong::Length), "v{version}");
        for claimed in [
            0,
            3,
            REPLY_BYTES_MAX + 1,
            i32::MAX as u32,
            1 << 31,
            u32::MAX,
        ] {
            bytes[..4].copy_from_slice(&claimed.to_be_bytes());
            assert_eq!(verdict(version, &bytes), Err(Wrong::Length), "{claimed}");
        }
    }
}

#[test]
fn replies_to_something_else_are_faults() {
    for version in VERSIONS {
        let mut other = frame(version, &reply(partition(0)));
        other[7] ^= 1;
        assert_eq!(verdict(version, &other), Err(Wrong::Correlation));
        let bodies = [
            ProduceResponse::default(),
            reply(partition(0).with_index(78)),
            ProduceResponse::default().with_responses(vec![topic(vec![])]),
            ProduceResponse::default()
                .with_responses(vec![topic(vec![partition(0), partition(0)])]),
            ProduceResponse::default().with_responses(vec![topic(vec![partition(0)]); 2]),
            ProduceResponse::default().with_responses(vec![
                topic(vec![partition(0)]).with_name(StrBytes::from_static_str("b-topic").into()),
            ]),
            ProduceResponse::default().with_responses(vec![
                topic(vec![partition(0)])
                    .with_name(StrBytes::from_static_str("a-topic-more").into()),
            ]),
        ];
        for body in bodies {
            let seen = verdict(version, &frame(version, &body));
            assert_eq!(seen, Err(Wrong::Partition), "v{version} {body:?}");
        }
    }
}

/// Writes `value` at the place in a v3 or v9 reply where what follows the topic's name begins.
fn patched(version: i16, at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = frame(version, &reply(partition(0)));
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn counts_and_texts_that_cannot_be_are_faults() {
    // v3: length, id, topics, name.
    let cases: [(i16, usize, &[u8], Wrong); 10] = [
        (3, 8, &[0xff; 4], Wrong::Length),
        (3, 8, &[0x7f, 0xff, 0xff, 0xff], Wrong::Partition),
        (3, 12, &[0x80, 0x00], Wrong::Length),
        (3, 12, &[0xff, 0xff], Wrong::Partition),
        (3, 12, &[0x7f, 0xff], Wrong::Partition),
        (3, 21, &[0x80, 0, 0, 0], Wrong::Length),
        // v9: length, id, tags of the header, topics, name.
        (9, 8, &[0x7f], Wrong::Length),
        (9, 8, &[0xff; 5], Wrong::Length),
        (9, 9, &[0], Wrong::Length),
        (9, 10, &[0xff, 0xff, 0xff, 0xff, 0x0f], Wrong::Partition),
    ];
    for (version, at, value, wrong) in cases {
        let seen = verdict(version, &patched(version, at, value));
        assert_eq!(seen, Err(wrong), "v{version} at {at}: {value:?}");
    }
    // The throttle is the last thing in v3.
    let at = patched(3, 0, &[]).len() - 4;
    assert_eq!(verdict(3, &patched(3, at, &[0xff; 4])), Err(Wrong::Length));
    // Record errors of v8, behind index, error and three offsets.
    let at = 4 + 4 + 4 + 9 + 4 + 30;
    for count in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 9]] {
        assert_eq!(verdict(8, &patched(8, at, &count)), Err(Wrong::Length));
    }
}

#[test]
fn long_texts_are_passed_over_and_not_kept() {
    let long: String = "x".repeat(30_000);
    let record = BatchIndexAndErrorMessage::default()
        .with_batch_index_error_message(Some(StrBytes::from_string(long.clone())));
    let partition = partition(87)
        .with_record_errors(vec![record])
        .with_error_message(Some(StrBytes::from_string(long)));
    for version in [8, 9, 12] {
        let bytes = frame(version, &reply(partition.clone()));
        let mut reading = Reading::default();
        let step = reading.feed(&asked(version), &bytes[..100], 0).unwrap();
        assert_eq!(step.eaten, 100);
        assert!(step.discard > 29_000, "{step:?}");
        let from = 100 + step.discard as usize;
        let step = reading
            .feed(&asked(version), &bytes[from..], step.discard)
            .unwrap();
        let got = step.done.expect("a reply");
        assert_eq!((got.error, got.message), (87, None));
        assert_eq!(from + step.eaten, bytes.len());
        let cuts: Vec<&[u8]> = bytes.chunks(997).collect();
        assert_eq!(feed(version, &cuts), feed(version, &[&bytes]));
    }
}
