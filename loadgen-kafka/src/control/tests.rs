//! Against a scripted broker on a real socket.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
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
use crate::spec::{Credentials, Isolation, Mechanism};

const PATIENCE: Duration = Duration::from_secs(5);

fn spec(ports: &[u16]) -> ClusterSpec {
    let names = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    ClusterSpec {
        bootstrap: names.collect(),
        sasl: None,
        client_id: "test".into(),
    }
}

/// What a broker is asked.
struct Asked {
    api: ApiKey,
    version: i16,
    /// How often this was asked before, on any connection.
    nth: usize,
    port: u16,
}

/// What it does then.
enum Does {
    Answers(Vec<u8>),
    /// Sends these bytes instead of a frame.
    Says(Vec<u8>),
    Nothing,
    Closes,
}

type Script = dyn Fn(&Asked) -> Does + Send + Sync;
type Counts = Mutex<BTreeMap<i16, usize>>;

/// A broker on a port of its own, until the tests are over.
fn broker(script: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script: Arc<Script> = Arc::new(script);
    let counts: Arc<Counts> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, counts) = (Arc::clone(&script), Arc::clone(&counts));
            std::thread::spawn(move || serve(stream.unwrap(), port, &*script, &counts));
        }
    });
    port
}

fn serve(mut stream: TcpStream, port: u16, script: &Script, counts: &Counts) -> Option<()> {
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
        let nth = {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(key).or_default();
            *count += 1;
            *count - 1
        };
        let asked = Asked {
            api,
            version,
            nth,
            port,
        };
        match script(&asked) {
            Does::Answers(body) => {
                let length = 4 + body.len() as u32;
                let id = header.correlation_id.to_be_bytes();
                let whole = [&length.to_be_bytes(), &id, &body[..]].concat();
                stream.write_all(&whole).ok()?;
            }
            Does::Says(bytes) => stream.write_all(&bytes).ok()?,
            Does::Nothing => {}
            Does::Closes => return None,
        }
    }
}

fn encoded(answer: &impl Encodable, version: i16) -> Does {
    let mut out = BytesMut::new();
    answer.encode(&mut out, version).unwrap();
    Does::Answers(out.to_vec())
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn metadata(asked: &Asked, leaders: [i32; 2], port: i32) -> Does {
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(BrokerId(leaders[index]))
            .with_leader_epoch(3)
    };
    let leaderless = leaders.iter().any(|leader| *leader < 0);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(name()))
        .with_error_code(if leaderless { 5 } else { 0 })
        .with_partitions(vec![partition(1), partition(0)]);
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(7))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(port);
    let answer = MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_controller_id(BrokerId(7))
        .with_topics(vec![topic]);
    encoded(&answer, asked.version)
}

fn offsets(asked: &Asked, code: i16) -> Does {
    let partition = |index| {
        ListOffsetsPartitionResponse::default()
            .with_partition_index(index)
            .with_error_code(code)
            .with_offset(100 + i64::from(index))
    };
    let topic = ListOffsetsTopicResponse::default()
        .with_name(name())
        .with_partitions(vec![partition(1), partition(0)]);
    let answer = ListOffsetsResponse::default().with_topics(vec![topic]);
    encoded(&answer, asked.version)
}

fn created(asked: &Asked, code: i16) -> Does {
    let topic = CreatableTopicResult::default()
        .with_name(name())
        .with_error_code(code);
    let answer = CreateTopicsResponse::default().with_topics(vec![topic]);
    encoded(&answer, asked.version)
}

fn deleted(asked: &Asked, code: i16) -> Does {
    let topic = DeletableTopicResult::default()
        .with_name(Some(name()))
        .with_error_code(code);
    let answer = DeleteTopicsResponse::default().with_responses(vec![topic]);
    encoded(&answer, asked.version)
}

/// Node 7, whose topic `t` has two partitions that it leads. It does not describe settings.
fn usual(asked: &Asked) -> Does {
    match asked.api {
        ApiKey::ApiVersions => {
            let rows: [[i16; 3]; 6] = [
                [3, 0, 12],
                [2, 1, 7],
                [19, 0, 7],
                [20, 1, 6],
                [1, 4, 11],
                [0, 0, 9],
            ];
            let mut body = vec![0, 0, 0, 0, 0, rows.len() as u8];
            body.extend(rows.iter().flatten().flat_map(|n| n.to_be_bytes()));
            Does::Answers(body)
        }
        ApiKey::Metadata => metadata(asked, [7, 7], asked.port.into()),
        ApiKey::ListOffsets => offsets(asked, 0),
        ApiKey::CreateTopics => created(asked, 0),
        ApiKey::DeleteTopics => deleted(asked, 3),
        other => panic!("nobody asks for {other:?}"),
    }
}

fn new_topic() -> NewTopic {
    NewTopic {
        name: "t".into(),
        partitions: Some(2),
        replication: Some(1),
        settings: Vec::new(),
    }
}

/// A port where nobody listens.
fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The topic `t`, of whose leaders nothing is known yet.
fn unknown(control: &Control) -> Arc<Topic> {
    let brokers = control.brokers().to_vec();
    Arc::new(Topic::new("t".into(), brokers, &[(0, None), (1, None)]))
}

fn until(mut what: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > 2 * PATIENCE {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn a_cluster_says_its_leaders_offsets_and_routes() {
    let port = broker(usual);
    let mut control = Control::open(&spec(&[nobody(), port]), PATIENCE).unwrap();
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
    assert_eq!(control.create_topic(&new_topic()), Ok(true));
    assert_eq!(control.delete_topic("t"), Ok(false));
    // What the broker does not list is not asked for.
    let error = control.describe(7, None).unwrap_err();
    assert!(
        !error.unreachable && error.text.contains("DescribeConfigs"),
        "{error}"
    );
}

#[test]
fn what_passes_is_asked_again_and_what_stays_is_said() {
    // NOT_LEADER_OR_FOLLOWER, OFFSET_NOT_AVAILABLE and NOT_CONTROLLER pass.
    let port = broker(|asked| match (asked.api, asked.nth) {
        (ApiKey::ListOffsets, 0) => offsets(asked, 6),
        (ApiKey::ListOffsets, 1) => offsets(asked, 78),
        (ApiKey::ListOffsets, 3) => offsets(asked, 29),
        (ApiKey::CreateTopics, 0) => created(asked, 41),
        (ApiKey::CreateTopics, 2) => created(asked, ask::EXISTS),
        (ApiKey::CreateTopics, 3) => created(asked, 37),
        (ApiKey::DeleteTopics, 0) => deleted(asked, 41),
        (ApiKey::DeleteTopics, 1) => deleted(asked, 0),
        _ => usual(asked),
    });
    let mut control = Control::open(&spec(&[port]), PATIENCE).unwrap();
    let topic = unknown(&control);
    topic.learn(0, Some((7, 1)));
    topic.learn(1, Some((7, 1)));
    let mut latest = || control.offsets(&topic, Offset::Latest, Isolation::ReadCommitted);
    assert_eq!(latest(), Ok(vec![100, 101]));
    assert_eq!(topic.leader_epoch(0), 3);
    let refused = latest().unwrap_err();
    assert_eq!(refused.code, Some(29));
    assert!(
        refused.text.contains("topic_authorization_failed"),
        "{refused}"
    );
    assert_eq!(control.create_topic(&new_topic()), Ok(true));
    assert_eq!(control.create_topic(&new_topic()), Ok(false));
    let refused = control.create_topic(&new_topic()).unwrap_err();
    assert!(refused.text.contains("invalid_partitions"), "{refused}");
    assert_eq!(control.delete_topic("t"), Ok(true));
}

#[test]
fn a_connection_that_broke_is_made_anew_once() {
    let port = broker(|asked| match (asked.api, asked.nth) {
        (ApiKey::Metadata, 1) => Does::Closes,
        _ => usual(asked),
    });
    let mut control = Control::open(&spec(&[port]), PATIENCE).unwrap();
    assert!(control.topic("t").unwrap().is_some());
}

#[test]
fn a_partition_without_a_leader_is_named() {
    let port = broker(|asked| match asked.api {
        ApiKey::Metadata => metadata(asked, [7, -1], asked.port.into()),
        _ => usual(asked),
    });
    let mut control = Control::open(&spec(&[port]), Duration::from_millis(500)).unwrap();
    let topic = control.topic("t").unwrap().unwrap();
    assert_eq!((topic.leader(0), topic.leader(1)), (Some(0), None));
    let error = control.offsets(&topic, Offset::Earliest, Isolation::ReadCommitted);
    let error = error.unwrap_err();
    assert!(
        error.text.contains("partition 1 of t has no leader"),
        "{error}"
    );
}

#[test]
fn nonsense_is_refused_before_it_costs_memory() {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
    let cases = [
        // 16 MiB and a byte; 4 GiB less one.
        (words(&[0x0100_0001]), "of 16777217 bytes"),
        (words(&[u32::MAX]), "of 4294967295 bytes"),
        (words(&[8, 9, 9]), "the answer 9"),
        // Shorter than a correlation id.
        (vec![0, 0, 0, 2, 0, 0], "cannot be read"),
        // Two answers to one question.
        (words(&[4, 1001, 4, 1002]), "8 bytes follow the answer"),
    ];
    for (says, expected) in cases {
        let port = broker(move |asked| match asked.api {
            ApiKey::Metadata => Does::Says(says.clone()),
            _ => usual(asked),
        });
        let error = Control::open(&spec(&[port]), PATIENCE).unwrap_err();
        assert!(
            !error.unreachable && error.text.contains(expected),
            "{error}"
        );
    }
    // An array of two thousand million brokers, in a body of eight bytes.
    let port = broker(move |asked| match asked.api {
        ApiKey::Metadata => Does::Answers(words(&[0, 0x7fff_ffff])),
        _ => usual(asked),
    });
    let error = Control::open(&spec(&[port]), PATIENCE).unwrap_err();
    assert!(error.text.contains("2147483647 rows"), "{error}");
}

#[test]
fn a_port_that_is_none_is_not_replaced_by_another() {
    let port = broker(|asked| match asked.api {
        ApiKey::Metadata => metadata(asked, [7, 7], 70_000),
        _ => usual(asked),
    });
    let mut control = Control::open(&spec(&[port]), PATIENCE).unwrap();
    let topic = control.topic("t").unwrap().unwrap();
    let error = control.routes(&topic).unwrap_err();
    assert!(error.text.contains("70000"), "{error}");
    let error = control.offsets(&topic, Offset::Latest, Isolation::ReadUncommitted);
    assert!(error.unwrap_err().text.contains("70000"));
}

#[test]
fn a_listener_that_closes_is_guessed_at() {
    let closes_at = |api: ApiKey| {
        broker(move |asked| match asked.api {
            asked if asked == api => Does::Closes,
            _ => usual(asked),
        })
    };
    let error = Control::open(&spec(&[closes_at(ApiKey::ApiVersions)]), PATIENCE).unwrap_err();
    assert!(error.text.contains("want TLS?"), "{error}");
    let error = Control::open(&spec(&[closes_at(ApiKey::Metadata)]), PATIENCE).unwrap_err();
    assert!(error.text.contains("want SASL?"), "{error}");
}

#[test]
fn every_connection_is_greeted_with_a_nonce_of_its_own() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&said);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            // ApiVersions and SaslHandshake: no error, no rows. Then it has heard enough.
            for _ in 0..2 {
                let _ = stream.read(&mut asked).unwrap();
                let id = &asked[8..12];
                let answer = [&[0, 0, 0, 10], id, &[0; 6]].concat();
                stream.write_all(&answer).unwrap();
            }
            let count = stream.read(&mut asked).unwrap();
            let text = String::from_utf8_lossy(&asked[..count]).into_owned();
            heard.lock().unwrap().push(text);
        }
    });
    let mut spec = spec(&[port]);
    spec.bootstrap.push(format!("localhost:{port}"));
    spec.sasl = Some(Credentials {
        mechanism: Mechanism::ScramSha256,
        user: "u".into(),
        password: "hunter2".into(),
    });
    let error = Control::open(&spec, PATIENCE).unwrap_err();
    assert!(
        error.unreachable && !error.text.contains("hunter2"),
        "{error}"
    );
    let said = said.lock().unwrap();
    let nonces = said
        .iter()
        .filter_map(|text| Some(text.split_once(",r=")?.1));
    let nonces: Vec<&str> = nonces.collect();
    assert_eq!(nonces.len(), 2, "{said:?}");
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn a_doubt_is_cleared_by_the_watcher() {
    let control = Control::open(&spec(&[broker(usual)]), PATIENCE).unwrap();
    let topic = unknown(&control);
    let watcher = Watcher::start(control, Arc::clone(&topic));
    topic.want_starts();
    assert!(until(|| topic.leader(1).is_some()));
    assert_eq!((topic.leader(0), topic.moves()), (Some(0), 2));
    let mut start = None;
    assert!(until(|| {
        start = topic.take_start(1);
        start.is_some()
    }));
    assert_eq!(start, Some(101));
    assert!(watcher.stop().is_some());
}

#[test]
fn a_log_whose_leader_is_missing_keeps_no_other_from_saying_where_it_begins() {
    // The second one is led by nobody, or by somebody who answers with an error.
    for leader in [-1, 7] {
        let port = broker(move |asked| match asked.api {
            ApiKey::Metadata => metadata(asked, [7, leader], asked.port.into()),
            ApiKey::ListOffsets => {
                let partition = |index: i32, code| {
                    ListOffsetsPartitionResponse::default()
                        .with_partition_index(index)
                        .with_error_code(code)
                        .with_offset(if code == 0 { 100 } else { -1 })
                };
                let topic = ListOffsetsTopicResponse::default()
                    .with_name(name())
                    .with_partitions(vec![partition(1, 6), partition(0, 0)]);
                let answer = ListOffsetsResponse::default().with_topics(vec![topic]);
                encoded(&answer, asked.version)
            }
            _ => usual(asked),
        });
        let control = Control::open(&spec(&[port]), PATIENCE).unwrap();
        let topic = unknown(&control);
        let watcher = Watcher::start(control, Arc::clone(&topic));
        topic.want_starts();
        assert!(until(|| topic.take_start(0) == Some(100)));
        // It is asked again for the other one.
        assert!(until(|| topic.take_start(0) == Some(100)));
        assert_eq!(topic.take_start(1), None);
        drop(watcher);
    }
}

#[test]
fn a_doubt_outlives_refusals() {
    let port = broker(|asked| match (asked.api, asked.nth) {
        // CLUSTER_AUTHORIZATION_FAILED: refused, and not for ever.
        (ApiKey::Metadata, 1 | 2) => {
            let topic = MetadataResponseTopic::default()
                .with_name(Some(name()))
                .with_error_code(31);
            let answer = MetadataResponse::default().with_topics(vec![topic]);
            encoded(&answer, asked.version)
        }
        _ => usual(asked),
    });
    let control = Control::open(&spec(&[port]), PATIENCE).unwrap();
    let topic = unknown(&control);
    let watcher = Watcher::start(control, Arc::clone(&topic));
    topic.doubt();
    assert!(until(|| topic.leader(0).is_some()));
    drop(watcher);
}

#[test]
fn a_mute_broker_keeps_the_watcher_from_nothing() {
    // The first one answers once and then never again, as if it were stopped by a signal.
    let other = broker(usual);
    let unanswered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unanswered);
    let mute = broker(move |asked| match (asked.api, asked.nth) {
        (ApiKey::Metadata, 0) => metadata(asked, [7, 7], other.into()),
        (ApiKey::Metadata, _) => {
            counted.fetch_add(1, Ordering::Relaxed);
            Does::Nothing
        }
        _ => usual(asked),
    });
    let control = Control::open(&spec(&[mute, other]), PATIENCE).unwrap();
    let topic = unknown(&control);
    let watcher = Watcher::start(control, Arc::clone(&topic));
    topic.doubt();
    assert!(until(|| topic.leader(0).is_some()));
    assert_eq!(unanswered.load(Ordering::Relaxed), 1);
    drop(watcher);
}

#[test]
fn a_watcher_that_waits_for_an_answer_ends_at_once() {
    let unanswered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unanswered);
    let mute = broker(move |asked| match (asked.api, asked.nth) {
        (ApiKey::Metadata, 1..) => {
            counted.fetch_add(1, Ordering::Relaxed);
            Does::Nothing
        }
        _ => usual(asked),
    });
    let control = Control::open(&spec(&[mute]), PATIENCE).unwrap();
    let topic = unknown(&control);
    let watcher = Watcher::start(control, Arc::clone(&topic));
    topic.doubt();
    assert!(until(|| unanswered.load(Ordering::Relaxed) == 1));
    let start = Instant::now();
    let control = watcher.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    // Who gets it back has the patience he gave it with.
    assert_eq!(control.patience.each, PATIENCE);
    assert!(!control.patience.is_over());
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let port = nobody();
    let error = Control::open(&spec(&[port]), PATIENCE).unwrap_err();
    assert!(
        error.unreachable && error.text.contains(&port.to_string()),
        "{error}"
    );
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Control::open(&spec(&[port]), Duration::from_millis(50)).unwrap_err();
    assert!(
        error.unreachable && error.text.contains("within 50ms"),
        "{error}"
    );
}
