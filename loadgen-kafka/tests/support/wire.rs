//! Fetching connections for core's replay, and a broker's replies as Kafka's own message files have
//! them.
//!
//! The fuzz target uses it too. Nothing here may use the encoder under test for what it is held
//! against.

#[path = "frames.rs"]
pub(crate) mod frames;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Session as _, Ticket};
use loadgen_core::replay::{Replay, Seen, Skips};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Next, Workload as _};
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::fetch::local::{Local, sum};
use loadgen_kafka::fetch::session::FetchSession;
use loadgen_kafka::fetch::workload::FetchWorkload;
use loadgen_kafka::fetch::{ConsumePlan, ConsumeRules};
use loadgen_kafka::spec::{ClusterSpec, ConsumeSpec, Depth, From, Isolation, Until};
use loadgen_kafka::wire::batch::{CRC_FROM, Codec, HEADER_BYTES, Header, LENGTH_END};
use loadgen_kafka::wire::codec::compress;
use loadgen_kafka::wire::compose::{Composer, Draft};
use serde_json::Value;

pub(crate) use frames::{TOPIC, encoded};
use frames::{brokers, greet};

/// The request's key.
pub(crate) const FETCH: u8 = 1;

/// What a connection reads, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub version: i16,
    pub depth: Depth,
    pub isolation: Isolation,
    pub until: Until,
    /// Numbers of the partitions; each is read from [`START`] to [`END`].
    pub partitions: &'static [i32],
    /// Fetches in flight.
    pub fetches: u32,
}

/// Where reading begins, and the offset behind its end.
pub(crate) const START: i64 = 100;
pub(crate) const END: i64 = 1000;

impl Setup {
    pub(crate) const fn new(version: i16) -> Self {
        Self {
            version,
            depth: Depth::Records,
            isolation: Isolation::ReadUncommitted,
            until: Until::End,
            partitions: &[3, 4, 7],
            fetches: 1,
        }
    }
}

/// Everything that can be asked for, where nothing else is said.
pub(crate) fn spec(setup: &Setup) -> ConsumeSpec {
    ConsumeSpec {
        cluster: ClusterSpec {
            bootstrap: vec!["127.0.0.1:1".to_owned()],
            sasl: None,
            client_id: "loadgen".to_owned(),
        },
        topic: TOPIC.to_owned(),
        partitions: Vec::new(),
        from: From::Earliest,
        until: setup.until,
        records: None,
        partition_max_bytes: 1 << 20,
        fetch_max_bytes: 50 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
        isolation: setup.isolation,
        depth: setup.depth,
        seeded_record_bytes: None,
    }
}

/// All partitions at the first of two brokers.
pub(crate) fn plan(setup: &Setup) -> ConsumePlan {
    let (brokers, routes) = brokers();
    let partitions: Vec<_> = setup
        .partitions
        .iter()
        .map(|index| (*index, Some((1, 9))))
        .collect();
    ConsumePlan {
        spec: spec(setup),
        routes,
        topic: Arc::new(Topic::new(TOPIC.to_owned(), brokers, &partitions)),
        starts: vec![START; partitions.len()],
        ends: vec![END; partitions.len()],
        slots: vec![setup.fetches; 2],
        seed: 1,
    }
}

/// A worker with one connection that is greeted and has its fetches in flight, and their bytes.
pub(crate) struct Connection {
    pub rules: Arc<ConsumeRules>,
    pub workload: FetchWorkload,
    pub session: FetchSession,
    pub tickets: Vec<Ticket>,
    pub requests: Vec<u8>,
}

pub(crate) fn connection(setup: &Setup) -> Connection {
    let rules = Arc::new(plan(setup).rules(None));
    let mut workload = FetchWorkload::new(Local::shared(Arc::clone(&rules)));
    let mut session = workload.open(0, 0);
    greet(&mut session, FETCH, setup.version);
    let mut out = Outbox::default();
    let mut tickets = Vec::new();
    for _ in 0..setup.fetches {
        let Next::Ready(ask) = workload.next(0, 0, tickets.len() as u64) else {
            break;
        };
        tickets.push(session.encode(ask, Tick(0), &mut out));
    }
    Connection {
        rules,
        workload,
        session,
        tickets,
        requests: out.flatten(),
    }
}

/// What a connection sees of `bytes` when they come cut at `cuts`, and what its run's document says
/// then: where reading is, among other things.
pub(crate) fn read(
    setup: &Setup,
    bytes: &[u8],
    cuts: &[usize],
    skips: Skips,
    end: bool,
) -> (Vec<Seen>, Value) {
    let mut conn = connection(setup);
    let seen = Replay::new(conn.session, conn.tickets, skips).run(bytes, cuts, end);
    let details = sum(&[conn.workload.details()], &conn.rules);
    (seen, details)
}

/// A batch whose records begin at `base`: `values` of them, ten bytes each, without keys.
pub(crate) fn batch(base: i64, values: usize, codec: Codec) -> Vec<u8> {
    let mut composer = Composer::new();
    for _ in 0..values {
        let draft = Draft {
            value: Some(b"0123456789"),
            ..Draft::default()
        };
        composer.push(&draft).expect("a record");
    }
    let plain = composer.finish(Codec::None, 1).expect("a batch");
    let mut header = Header::read(&plain).expect("a batch").expect("all of it");
    let body = compress(codec, &plain[HEADER_BYTES..]).expect("a body");
    header.base_offset = base;
    header.attributes |= codec.bits();
    header.length = (HEADER_BYTES - LENGTH_END + body.len()) as u32;
    sealed(header, &body)
}

/// A batch with the CRC that it should have.
pub(crate) fn sealed(mut header: Header, body: &[u8]) -> Vec<u8> {
    let head = crc32c::crc32c(&header.encode()[CRC_FROM..]);
    header.crc = crc32c::crc32c_append(head, body);
    [&header.encode()[..], body].concat()
}

/// A partition of a reply with these batches.
pub(crate) fn partition(index: i32, error: i16, records: Option<Vec<u8>>) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error)
        .with_high_watermark(END)
        .with_last_stable_offset(END)
        .with_records(records.map(Bytes::from))
}

/// A reply with these partitions of [`TOPIC`].
pub(crate) fn response(partitions: Vec<PartitionData>) -> FetchResponse {
    let topic = FetchableTopicResponse::default()
        .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(partitions);
    FetchResponse::default().with_responses(vec![topic])
}
