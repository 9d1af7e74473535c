//! A scripted cluster, a whole run that reads it, and what its document says.
//!
//! Nothing here may assert what a single test is about.

use std::sync::Arc;
use std::time::Duration;

use loadgen_core::engine::Simulated;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Endpoint, Route};
use loadgen_kafka::cluster::{Broker, Topic};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::sim::{Happening, KafkaPeer, Log};
use loadgen_kafka::spec::{ClusterSpec, ConsumeSpec, Depth, From, Isolation, Until};
use serde_json::Value;

/// Bytes of every value.
pub(crate) const VALUE_BYTES: u64 = 100;

/// A cluster, what is read of it, and how.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) nodes: i32,
    pub(crate) logs: Vec<Log>,
    pub(crate) until: Until,
    pub(crate) depth: Depth,
    pub(crate) records: Option<u64>,
    pub(crate) connections: u32,
    pub(crate) in_flight: u32,
    pub(crate) stop: Stop,
    pub(crate) version: i16,
    pub(crate) partition_max_bytes: i32,
    pub(crate) cuts_first: bool,
    pub(crate) happenings: Vec<(u64, Happening)>,
    /// Whether somebody asks the cluster beside the run.
    pub(crate) watched: bool,
    /// How long that one waits for a leader.
    pub(crate) patience: Duration,
}

impl Setup {
    /// `partitions` of `records` each on two nodes, read to the end. The first offsets differ, and
    /// are inside batches.
    pub(crate) fn new(partitions: i32, records: i64) -> Self {
        let log = |index: i32| Log {
            index,
            start: i64::from(index) * 7,
            end: i64::from(index) * 7 + records,
            leader: (index % 2 + 1, 3),
        };
        Self {
            nodes: 2,
            logs: (0..partitions).map(log).collect(),
            until: Until::End,
            depth: Depth::Records,
            records: None,
            connections: 2,
            in_flight: 1,
            stop: Stop::Exhausted,
            version: 12,
            partition_max_bytes: 1 << 20,
            cuts_first: false,
            happenings: Vec::new(),
            watched: true,
            patience: Duration::from_secs(60),
        }
    }

    /// Offsets of all logs.
    pub(crate) fn offsets(&self) -> u64 {
        let each = self.logs.iter().map(|log| (log.end - log.start) as u64);
        each.sum()
    }

    pub(crate) fn spec(&self) -> ConsumeSpec {
        ConsumeSpec {
            cluster: ClusterSpec {
                bootstrap: vec!["b1:9092".to_owned()],
                sasl: None,
                client_id: "loadgen".to_owned(),
            },
            topic: "t".to_owned(),
            partitions: Vec::new(),
            from: From::Earliest,
            until: self.until,
            records: self.records,
            partition_max_bytes: self.partition_max_bytes,
            fetch_max_bytes: 50 << 20,
            min_bytes: 1,
            max_wait_ms: 500,
            isolation: Isolation::ReadUncommitted,
            depth: self.depth,
            seeded_record_bytes: None,
        }
    }

    pub(crate) fn endpoint(node: i32) -> Endpoint {
        Endpoint::Unix(format!("broker {node}").into())
    }

    pub(crate) fn topic(&self) -> Arc<Topic> {
        let broker = |node| Broker {
            node,
            name: format!("b{node}:9092"),
        };
        let brokers: Vec<Broker> = (1..=self.nodes).map(broker).collect();
        let of = |log: &Log| (log.index, Some(log.leader));
        let partitions: Vec<_> = self.logs.iter().map(of).collect();
        Arc::new(Topic::new("t".to_owned(), brokers, &partitions))
    }

    pub(crate) fn scenario(&self, topic: &Arc<Topic>) -> ConsumeScenario {
        let route = |node: i32| Route {
            name: format!("broker {node}"),
            endpoints: vec![Self::endpoint(node)],
            weight: 1,
            rate_weight: 1,
            paced: true,
        };
        let slots = self.connections.div_ceil(self.nodes as u32) * self.in_flight;
        ConsumeScenario::new(ConsumePlan {
            spec: self.spec(),
            topic: Arc::clone(topic),
            routes: (1..=self.nodes).map(route).collect(),
            starts: self.logs.iter().map(|log| log.start).collect(),
            ends: self.logs.iter().map(|log| log.end).collect(),
            slots: vec![slots; self.nodes as usize],
            seed: 1,
        })
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options {
            workers: Some(1),
            unpinned: true,
            ..Options::default()
        };
        options.engine.connections = self.connections;
        options.engine.depth = self.in_flight;
        options.engine.stop = self.stop;
        options.engine.timeout = Duration::from_secs(5);
        options
    }

    pub(crate) fn peer(&self, topic: &Arc<Topic>) -> KafkaPeer {
        let broker = |node| (Self::endpoint(node), node);
        let brokers = (1..=self.nodes).map(broker).collect();
        let mut peer = KafkaPeer::new(brokers, self.logs.clone());
        (peer.version, peer.cuts_first) = (self.version, self.cuts_first);
        peer.value_bytes = VALUE_BYTES as usize;
        peer.happenings = self.happenings.clone().into();
        peer.patience = self.patience;
        peer.watched = self.watched.then(|| Arc::clone(topic));
        peer
    }

    /// Each of `runs` has a thread and connections of its own; all share where reading is, as the
    /// workers of a run do.
    pub(crate) fn run_many(&self, runs: usize) -> Vec<Document> {
        let topic = self.topic();
        let scenario = Arc::new(self.scenario(&topic));
        let start = |_| {
            let (setup, topic) = (self.clone(), Arc::clone(&topic));
            let peer = move || setup.peer(&topic);
            let client = Arc::new(Simulated(Arc::clone(&scenario), peer));
            start_client(client, self.options()).expect("a start")
        };
        let handles: Vec<_> = (0..runs).map(start).collect();
        handles.into_iter().map(Handle::join).collect()
    }

    pub(crate) fn run(&self) -> Document {
        self.run_many(1).remove(0)
    }
}

/// Requests and records of an op's status over the whole run.
pub(crate) fn row(document: &Document, op: &str, status: &str) -> (u64, u64) {
    let mut rows = document.operations.iter();
    let found = rows.find(|row| row.op == op && row.status == status);
    found.map_or((0, 0), |row| (row.total_count, row.total_units))
}

/// Records of all ops.
pub(crate) fn records(document: &Document) -> u64 {
    row(document, "fetch", "ok").1 + row(document, "wait", "ok").1
}

pub(crate) fn consumed(document: &Document) -> &Value {
    &document.protocol_details["consume"]
}

/// Every record of every log was read, and none of them twice.
pub(crate) fn all_of(setup: &Setup, document: &Document) {
    assert_eq!(records(document), setup.offsets());
    let rows = consumed(document)["partitions"].as_array().expect("rows");
    assert_eq!(rows.len(), setup.logs.len());
    for (row, log) in rows.iter().zip(&setup.logs) {
        assert_eq!(row["partition"], log.index);
        assert_eq!(row["records"], log.end - log.start, "{row}");
        assert_eq!(row["first_offset"], log.start, "{row}");
        assert_eq!(row["next_offset"], log.end, "{row}");
    }
    assert_eq!(consumed(document)["missing_offsets"], 0);
    if setup.depth == Depth::Records {
        let payload = Some(setup.offsets() * VALUE_BYTES);
        assert_eq!(document.totals.payload_rx_bytes, payload);
    }
}

pub(crate) fn nothing_failed(document: &Document) {
    let totals = &document.totals;
    assert_eq!(totals.sent, totals.completed);
    assert_eq!((totals.failed, totals.unanswered), (0, 0));
    assert!(document.errors.is_empty(), "{:?}", document.errors);
}

/// The code of each finding of the protocol.
pub(crate) fn findings(document: &Document) -> Vec<String> {
    let ours = document.findings.iter().map(|f| f.code.clone());
    ours.filter(|code| code.starts_with("kafka.")).collect()
}
