//! Producing connections for core's replay, and a broker's replies as Kafka's own message files have
//! them.
//!
//! The fuzz target uses it too. Nothing here may use the decoder under test for what it is held
//! against.

#[path = "frames.rs"]
pub(crate) mod frames;

use std::sync::Arc;

use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Session as _, Ticket};
use loadgen_core::replay::{Replay, Seen, Skips};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Next, Workload as _};
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::produce::local::{Local, sum};
use loadgen_kafka::produce::session::ProduceSession;
use loadgen_kafka::produce::workload::ProduceWorkload;
use loadgen_kafka::produce::{ProducePlan, ProduceRules};
use loadgen_kafka::spec::{Acks, ClusterSpec, Partitioner, ProduceSpec, RecordSpec};
use loadgen_kafka::wire::batch::Codec;
use serde_json::Value;

pub(crate) use frames::{TOPIC, encoded};
use frames::{brokers, greet};

/// The request's key.
pub(crate) const PRODUCE: u8 = 0;

/// Its partitions' numbers; the last one is led by the second of two brokers.
pub(crate) const PARTITIONS: [i32; 3] = [3, 4, 7];
/// Milliseconds since 1970 at tick 0.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// What a connection writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub version: i16,
    pub acks: Acks,
    pub codec: Codec,
    /// Batches in flight.
    pub batches: u32,
}

impl Setup {
    pub(crate) const fn new(version: i16) -> Self {
        Self {
            version,
            acks: Acks::Leader,
            codec: Codec::None,
            batches: 1,
        }
    }
}

/// Batches of ten records of ten bytes, and keys of four: small, for each connection composes its own.
fn spec(setup: &Setup) -> ProduceSpec {
    ProduceSpec {
        cluster: ClusterSpec {
            bootstrap: vec!["127.0.0.1:1".to_owned()],
            sasl: None,
            client_id: "loadgen".to_owned(),
        },
        topic: TOPIC.to_owned(),
        partitions: Vec::new(),
        records: RecordSpec {
            value_bytes: 10,
            key_bytes: Some(4),
            headers: Vec::new(),
            codec: setup.codec,
            batch_bytes: 61 + 10 * 21,
        },
        acks: setup.acks,
        partitioner: Partitioner::RoundRobin,
        timeout_ms: 1500,
        seed: 1,
    }
}

pub(crate) fn plan(setup: &Setup) -> ProducePlan {
    let (brokers, routes) = brokers();
    let leader = |index: &i32| (*index, Some((if *index == 7 { 2 } else { 1 }, 9)));
    let partitions: Vec<_> = PARTITIONS.iter().map(leader).collect();
    ProducePlan {
        spec: spec(setup),
        routes,
        topic: Arc::new(Topic::new(TOPIC.to_owned(), brokers, &partitions)),
        partition_count: 8,
        records: None,
        unix_ms_at_zero: START_MS,
    }
}

/// A worker with one connection to the first broker that is greeted and has its batches in flight, and
/// their bytes.
pub(crate) struct Connection {
    pub rules: Arc<ProduceRules>,
    pub workload: ProduceWorkload,
    pub session: ProduceSession,
    pub tickets: Vec<Ticket>,
    pub requests: Vec<u8>,
}

pub(crate) fn connection(setup: &Setup) -> Connection {
    let rules = Arc::new(plan(setup).rules(false).expect("batches"));
    let mut workload = ProduceWorkload::new(Local::shared(Arc::clone(&rules)), 0);
    let mut session = workload.open(0, 0);
    greet(&mut session, PRODUCE, setup.version);
    let mut out = Outbox::default();
    let mut tickets = Vec::new();
    for n in 0..setup.batches {
        let Next::Ready(ask) = workload.next(0, 0, n.into()) else {
            break;
        };
        let at = Tick(u64::from(n) * 1_000_000);
        tickets.push(session.encode(ask, at, &mut out));
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
/// then: what was acknowledged, among other things.
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

/// What a reply says of a partition.
pub(crate) fn partition(index: i32, error: i16, base_offset: i64) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(error)
        .with_base_offset(base_offset)
        .with_log_append_time_ms(-1)
}

/// A reply with this partition of [`TOPIC`].
pub(crate) fn response(partition: PartitionProduceResponse) -> ProduceResponse {
    let topic = TopicProduceResponse::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_responses(vec![partition]);
    ProduceResponse::default().with_responses(vec![topic])
}
