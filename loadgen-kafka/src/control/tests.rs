//! Against a scripted broker on a real socket.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;
use crate::plan::NewTopic;
use crate::spec::Isolation;

const PATIENCE: Duration = Duration::from_secs(5);

fn spec(port: u16) -> ClusterSpec {
    ClusterSpec {
        bootstrap: vec!["127.0.0.1:1".into(), format!("127.0.0.1:{port}")],
        sasl: None,
        client_id: "test".into(),
    }
}

/// A broker with node id 7 and topic `t` of two partitions, the second without a leader unless
/// `leader` says so. It serves until the client is gone.
fn broker(second_leader: i32) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream, port, second_leader));
        }
    });
    port
}

fn serve(mut stream: TcpStream, port: u16, second_leader: i32) -> Option<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).ok()?;
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let api = ApiKey::try_from(key).unwrap();
        let mut bytes = Bytes::from(frame);
        let header =
            RequestHeader::decode(&mut bytes, api.request_header_version(version)).unwrap();
        let mut out = BytesMut::from(&[0; 4][..]);
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut out, api.response_header_version(version))
            .unwrap();
        answer(api, version, (port, second_leader), &mut out);
        let length = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        stream.write_all(&out).ok()?;
    }
}

fn answer(api: ApiKey, version: i16, (port, second_leader): (u16, i32), out: &mut BytesMut) {
    let name = || TopicName(StrBytes::from_static_str("t"));
    match api {
        ApiKey::ApiVersions => {
            let rows = [(3, 0, 12), (2, 1, 7), (19, 0, 7), (1, 4, 11), (0, 0, 9)];
            out.extend_from_slice(&[0, 0, 0, 0, 0, rows.len() as u8]);
            for (key, min, max) in rows {
                for n in [key, min, max] {
                    out.extend_from_slice(&i16::to_be_bytes(n));
                }
            }
        }
        ApiKey::Metadata => {
            let partition = |index, leader| {
                MetadataResponsePartition::default()
                    .with_partition_index(index)
                    .with_leader_id(BrokerId(leader))
                    .with_leader_epoch(3)
            };
            let topic = MetadataResponseTopic::default()
                .with_name(Some(name()))
                .with_error_code(if second_leader < 0 { 5 } else { 0 })
                .with_partitions(vec![partition(1, second_leader), partition(0, 7)]);
            let broker = MetadataResponseBroker::default()
                .with_node_id(BrokerId(7))
                .with_host(StrBytes::from_static_str("127.0.0.1"))
                .with_port(port.into());
            MetadataResponse::default()
                .with_brokers(vec![broker])
                .with_controller_id(BrokerId(7))
                .with_topics(vec![topic])
                .encode(out, version)
                .unwrap();
        }
        ApiKey::ListOffsets => {
            let partition = |index| {
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(index)
                    .with_offset(100 + i64::from(index))
            };
            let topic = ListOffsetsTopicResponse::default()
                .with_name(name())
                .with_partitions(vec![partition(1), partition(0)]);
            ListOffsetsResponse::default()
                .with_topics(vec![topic])
                .encode(out, version)
                .unwrap();
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopicResult::default()
                .with_name(name())
                .with_error_code(ask::EXISTS);
            CreateTopicsResponse::default()
                .with_topics(vec![topic])
                .encode(out, version)
                .unwrap();
        }
        other => panic!("nobody asks for {other:?}"),
    }
}

#[test]
fn a_cluster_says_its_leaders_offsets_and_routes() {
    let port = broker(7);
    let mut control = Control::open(&spec(port), PATIENCE).unwrap();
    let topic = control.topic("t").unwrap().unwrap();
    assert_eq!(control.topic("other").unwrap().map(|t| t.name), None);
    assert_eq!(
        topic.partitions.iter().map(|p| p.index).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!((topic.leader(0), topic.leader_epoch(1)), (Some(0), 3));
    let latest = control.offsets(&topic, Offset::Latest, Isolation::ReadUncommitted);
    assert_eq!(latest, Ok(vec![100, 101]));
    let routes = control.routes(&topic).unwrap();
    assert_eq!((routes.len(), routes[0].weight), (1, 2));
    assert_eq!(
        routes[0].endpoints[0].to_string(),
        format!("127.0.0.1:{port}")
    );
    let new = NewTopic {
        name: "t".into(),
        partitions: Some(2),
        replication: Some(1),
        settings: Vec::new(),
    };
    assert_eq!(control.create_topic(&new), Ok(false));
    // What the broker does not list is not asked for.
    let error = control.describe(7, None).unwrap_err();
    assert!(
        !error.unreachable && error.text.contains("DescribeConfigs"),
        "{error}"
    );
}

#[test]
fn a_doubt_is_cleared_by_the_watcher() {
    let control = Control::open(&spec(broker(7)), PATIENCE).unwrap();
    let brokers = control.brokers().to_vec();
    let topic = Topic::new("t".into(), brokers, &[(0, None), (1, None)]);
    let topic = Arc::new(topic);
    let watcher = Watcher::start(control, Arc::clone(&topic));
    topic.doubt();
    let start = Instant::now();
    while topic.leader(1).is_none() && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(
        (topic.leader(0), topic.leader(1), topic.moves()),
        (Some(0), Some(0), 2)
    );
    assert!(watcher.stop().is_some());
}

#[test]
fn a_partition_without_a_leader_is_named() {
    let mut control = Control::open(&spec(broker(-1)), PATIENCE).unwrap();
    let topic = control.topic("t").unwrap().unwrap();
    assert_eq!((topic.leader(0), topic.leader(1)), (Some(0), None));
    let error = control.offsets(&topic, Offset::Earliest, Isolation::ReadCommitted);
    assert!(
        error
            .unwrap_err()
            .text
            .contains("partition 1 of t has no leader")
    );
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Control::open(&spec(port), PATIENCE).unwrap_err();
    assert!(
        error.unreachable && error.text.contains(&port.to_string()),
        "{error}"
    );
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Control::open(&spec(port), Duration::from_millis(50)).unwrap_err();
    assert!(
        error.unreachable && error.text.contains("within 50ms"),
        "{error}"
    );
}

#[test]
fn names_have_ports_and_brackets() {
    for (name, host, port) in [
        ("a:1", "a", 1),
        ("a", "a", 9092),
        ("[::1]:5", "::1", 5),
        ("[::1]", "::1", 9092),
        ("::1", "::1", 9092),
    ] {
        assert_eq!(link::split(name, 9092), (host.to_owned(), port), "{name}");
    }
}
