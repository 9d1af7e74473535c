//! Whole runs that write and read at once, over the sim driver: how old records are is known to the
//! nanosecond, and each is read once by every reader.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use loadgen_core::engine::Simulated;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Document, Operation};
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Endpoint, Route};
use loadgen_kafka::cluster::{Broker, Topic};
use loadgen_kafka::end_to_end::sim::EndToEndPeer;
use loadgen_kafka::end_to_end::{EndToEndPlan, EndToEndScenario};
use loadgen_kafka::produce::sim::{Happening, Log, Logs, ProducePeer};
use loadgen_kafka::spec::{
    Acks, ClusterSpec, EndToEndSpec, FetchSpec, Partitioner, ProduceSpec, RecordSpec,
};
use loadgen_kafka::wire::batch::Codec;
use loadgen_kafka::wire::compose::{Composer, Draft};
use serde_json::Value;

const NODES: i32 = 2;
const PARTITIONS: i32 = 4;
/// Where reading begins in every log.
const START: i64 = 100;
const ACK_NS: u64 = 300_000;
const READ_NS: u64 = 700_000;
const MS: u64 = 1_000_000;

/// A run: what there is, and what is asked of it.
#[derive(Clone)]
struct Setup {
    fan_out: u32,
    records: u64,
    /// One record, or ten.
    batch_bytes: u32,
    /// Batches per second; `None`: a closed loop.
    rate_per_s: Option<f64>,
    connections: u32,
    depth: u32,
    ack_ns: u64,
    read_ns: u64,
    drain: Duration,
    happenings: Vec<(u64, Happening)>,
    lost_reads: Vec<u64>,
    /// Records that others wrote to the first partition after the run was planned.
    strange: u32,
}

impl Setup {
    /// A record each millisecond.
    fn new(fan_out: u32, records: u64) -> Self {
        Self {
            fan_out,
            records,
            batch_bytes: 61,
            rate_per_s: Some(1000.0),
            connections: 2,
            depth: 1,
            ack_ns: ACK_NS,
            read_ns: READ_NS,
            drain: Duration::from_secs(5),
            happenings: Vec::new(),
            lost_reads: Vec::new(),
            strange: 0,
        }
    }

    /// As fast as acknowledgements come, ten records in a batch.
    fn closed(fan_out: u32, records: u64) -> Self {
        Self {
            batch_bytes: 1300,
            rate_per_s: None,
            depth: 4,
            ..Self::new(fan_out, records)
        }
    }

    fn spec(&self) -> EndToEndSpec {
        let write = ProduceSpec {
            cluster: ClusterSpec {
                bootstrap: vec!["b1:9092".to_owned()],
                sasl: None,
                client_id: "loadgen".to_owned(),
            },
            topic: "t".to_owned(),
            partitions: Vec::new(),
            records: RecordSpec {
                value_bytes: 108,
                key_bytes: None,
                headers: Vec::new(),
                codec: Codec::None,
                batch_bytes: self.batch_bytes,
            },
            acks: Acks::Leader,
            partitioner: Partitioner::RoundRobin,
            timeout_ms: 1500,
            seed: 1,
        };
        let fetch = FetchSpec {
            partition_max_bytes: 1 << 20,
            fetch_max_bytes: 50 << 20,
            min_bytes: 1,
            max_wait_ms: 500,
        };
        EndToEndSpec::follow(write, fetch, self.fan_out)
    }

    fn scenario(&self, topic: &Arc<Topic>) -> EndToEndScenario {
        let broker = |node| Route {
            name: format!("broker {node}"),
            endpoints: vec![endpoint(node)],
            weight: (PARTITIONS / NODES) as u32,
            rate_weight: (PARTITIONS / NODES) as u32,
            paced: true,
        };
        let plan = EndToEndPlan {
            spec: self.spec(),
            topic: Arc::clone(topic),
            partition_count: PARTITIONS as u32,
            brokers: (1..=NODES).map(broker).collect(),
            ends: vec![START; PARTITIONS as usize],
            connections: self.connections,
            records: Some(self.records),
            unix_ms_at_zero: 1_700_000_000_000,
        };
        EndToEndScenario::new(plan).expect("batches")
    }

    fn options(&self, scenario: &EndToEndScenario) -> Options {
        let mut options = Options {
            workers: Some(1),
            unpinned: true,
            ..Options::default()
        };
        let engine = &mut options.engine;
        (engine.connections, engine.depth) = (scenario.connections(), self.depth);
        if let Some(rate_per_s) = self.rate_per_s {
            let arrival = Arrival::Fixed;
            engine.pacing = Pacing::Open {
                rate_per_s,
                arrival,
            };
        }
        let batches = scenario.rules().write.batches();
        engine.stop = Stop::Requests(batches.expect("a number"));
        (engine.timeout, engine.drain) = (Duration::from_secs(60), self.drain);
        options
    }

    fn peer(&self, logs: &Logs, topic: &Arc<Topic>) -> EndToEndPeer {
        let brokers = (1..=NODES).map(|node| (endpoint(node), node)).collect();
        let mut produce = ProducePeer::new(brokers, Arc::clone(logs));
        produce.delay_ns = self.ack_ns;
        produce.happenings = self.happenings.clone().into();
        produce.watched = Some(Arc::clone(topic));
        let mut peer = EndToEndPeer::new(produce);
        peer.read_ns = self.read_ns;
        peer.lost_reads = self.lost_reads.clone().into();
        peer
    }

    /// Runs it: the document, and how many records the logs grew by.
    fn run(&self) -> (Document, u64) {
        let log = |index| Log::new(index, leader(index), START);
        let mut all: Vec<Log> = (0..PARTITIONS).map(log).collect();
        if self.strange > 0 {
            all[0].batches.push((START, strange(self.strange)));
            all[0].end += i64::from(self.strange);
        }
        let logs: Logs = Arc::new(Mutex::new(all));
        let topic = topic();
        let scenario = self.scenario(&topic);
        let options = self.options(&scenario);
        let (setup, kept) = (self.clone(), Arc::clone(&logs));
        let peer = move || setup.peer(&kept, &topic);
        let client = Arc::new(Simulated(Arc::new(scenario), peer));
        let document = start_client(client, options).expect("a start").join();
        let logs = logs.lock().expect("logs");
        let grown: i64 = logs.iter().map(|log| log.end - START).sum();
        (document, grown.unsigned_abs())
    }
}

fn endpoint(node: i32) -> Endpoint {
    Endpoint::Unix(format!("broker {node}").into())
}

const fn leader(index: i32) -> (i32, i32) {
    (index % NODES + 1, 3)
}

fn topic() -> Arc<Topic> {
    let broker = |node| Broker {
        node,
        name: format!("b{node}:9092"),
    };
    let brokers = (1..=NODES).map(broker).collect();
    let partitions: Vec<_> = (0..PARTITIONS).map(|at| (at, Some(leader(at)))).collect();
    Arc::new(Topic::new("t".to_owned(), brokers, &partitions))
}

/// Records that have room for a stamp and none of ours.
fn strange(records: u32) -> Bytes {
    let draft = Draft {
        value: Some(&[7; 40]),
        ..Draft::default()
    };
    let mut composer = Composer::new();
    for _ in 0..records {
        composer.push(&draft).expect("room");
    }
    Bytes::from(composer.finish(Codec::None, 0).expect("a batch"))
}

fn rows<'a>(document: &'a Document, op: &str) -> Vec<&'a Operation> {
    document.operations.iter().filter(|r| r.op == op).collect()
}

fn records(document: &Document, op: &str, status: &str) -> u64 {
    let rows = rows(document, op).into_iter();
    let rows = rows.filter(|row| row.status == status);
    rows.map(|row| row.total_units).sum()
}

fn said(document: &Document) -> &Value {
    &document.protocol_details["end_to_end"]
}

/// The findings that are Kafka's.
fn found(document: &Document) -> Vec<&str> {
    let codes = document.findings.iter().map(|f| f.code.as_str());
    codes.filter(|code| code.starts_with("kafka.")).collect()
}

/// Every record that was acknowledged was read once by every reader.
fn all_agree(document: &Document, setup: &Setup) {
    assert_eq!(found(document), [""; 0]);
    let (readers, acked) = (u64::from(setup.fan_out), setup.records);
    assert_eq!(records(document, "produce", "ok"), acked);
    let read = records(document, "fetch", "ok") + records(document, "wait", "ok");
    assert_eq!(read, acked * readers);
    assert_eq!(document.summary.end_to_end.count, acked * readers);
    let end_to_end = said(document);
    assert_eq!(end_to_end["acked_records"], acked);
    let rows = end_to_end["readers"].as_array().expect("rows");
    assert_eq!(rows.len() as u64, readers);
    for row in rows {
        assert_eq!(
            (&row["records"], &row["records_of_others"]),
            (&acked.into(), &0.into())
        );
    }
    let totals = &document.totals;
    assert_eq!((totals.unanswered, totals.unsent), (0, 0));
    assert_eq!(totals.payload_tx_bytes, Some(acked * 108));
    assert_eq!(totals.payload_rx_bytes, Some(acked * readers * 108));
}

/// The edges of the histogram's cell that `ns` falls into.
fn about(measured_ns: Option<u64>, ns: u64) -> bool {
    measured_ns.is_some_and(|measured| measured.abs_diff(ns) <= ns / 1000)
}

#[test]
fn records_are_as_old_as_the_way_to_the_reader_is_long() {
    // Read after they were acknowledged, before, at once, and acknowledged at once.
    for (ack_ns, read_ns) in [
        (ACK_NS, READ_NS),
        (READ_NS, ACK_NS),
        (ACK_NS, 0),
        (0, READ_NS),
    ] {
        let mut setup = Setup::new(3, 200);
        (setup.ack_ns, setup.read_ns) = (ack_ns, read_ns);
        let (document, grown) = setup.run();
        all_agree(&document, &setup);
        assert_eq!(grown, 200);
        let summary = &document.summary;
        let old = &summary.end_to_end;
        assert!(
            about(old.min_ns, read_ns) && about(old.max_ns, read_ns),
            "{old:?}"
        );
        // The summary is of writing alone.
        let acks = &summary.response_time;
        assert_eq!(acks.count, 200);
        assert!(
            about(acks.min_ns, ack_ns) && about(acks.max_ns, ack_ns),
            "{acks:?}"
        );
        assert!(rows(&document, "wait").iter().all(|row| row.apart));
        let rate = summary.rate.achieved_per_s.expect("a rate");
        assert!(
            (400.0..1010.0).contains(&rate),
            "{rate}: fetches are no part of it"
        );
        // Records are in the log, and the readers know it, but each waits for its last fetch.
        assert!(document.errors.is_empty());
    }
}

#[test]
fn a_closed_loop_of_whole_batches_is_read_by_all_to_its_last_record() {
    for fan_out in [1, 2, 7] {
        let mut setup = Setup::closed(fan_out, 1003);
        setup.connections = 3;
        let (document, grown) = setup.run();
        all_agree(&document, &setup);
        assert_eq!(grown, 1003);
        let paced = |paced| {
            let routes = document
                .plan
                .routes
                .iter()
                .filter(move |r| r.paced == paced);
            routes.map(|route| route.connections).collect::<Vec<_>>()
        };
        assert_eq!(paced(true).iter().sum::<u32>(), 3);
        assert_eq!(paced(false), vec![1; (fan_out * NODES as u32) as usize]);
    }
}

#[test]
fn readers_go_on_until_they_have_read_what_was_acknowledged() {
    let mut setup = Setup::closed(2, 500);
    setup.read_ns = 90 * MS;
    let (document, _) = setup.run();
    all_agree(&document, &setup);
    let old = &document.summary.end_to_end;
    assert!(old.min_ns >= Some(89 * MS), "{old:?}");
    // Records whose fetch comes too late wait for the next one.
    assert!(old.max_ns > Some(100 * MS), "{old:?}");
}

#[test]
fn nobody_waits_for_ever_for_what_does_not_come() {
    let mut setup = Setup::new(2, 50);
    (setup.read_ns, setup.drain) = (30_000 * MS, Duration::from_secs(1));
    let (document, _) = setup.run();
    assert_eq!(found(&document), ["kafka.unread_records"]);
    assert!(!document.verdict.valid);
    assert_eq!(records(&document, "produce", "ok"), 50);
    assert_eq!(said(&document)["readers"][1]["records"], 0);
    assert_eq!(document.summary.end_to_end.count, 0);
}

#[test]
fn a_reader_that_loses_its_connection_reads_each_record_once() {
    let mut setup = Setup::new(2, 300);
    setup.lost_reads = vec![0, 5, 6, 100, 101];
    let (document, _) = setup.run();
    all_agree(&document, &setup);
    assert_eq!(document.totals.failed, 5);
    let old = &document.summary.end_to_end;
    assert!(
        about(old.min_ns, READ_NS) && old.max_ns > Some(2 * READ_NS),
        "{old:?}"
    );
}

#[test]
fn leaders_that_move_are_followed_by_writers_and_readers() {
    let mut setup = Setup::new(2, 400);
    setup.happenings = vec![
        (20, Happening::Move(0, 2)),
        (100, Happening::Move(1, 1)),
        (250, Happening::Move(0, 1)),
    ];
    let (document, grown) = setup.run();
    let acked = records(&document, "produce", "ok");
    assert_eq!(grown, acked);
    assert!(acked >= 390, "{acked}");
    let rows = said(&document)["readers"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["records"] == acked), "{rows:?}");
    assert_eq!(document.summary.end_to_end.count, 2 * acked);
    assert!(
        found(&document)
            .iter()
            .all(|code| *code == "kafka.partition_errors")
    );
    assert!(document.protocol_details["produce"]["leader_moves"].as_u64() >= Some(3));
}

#[test]
fn what_is_unknown_may_be_read() {
    let mut setup = Setup::new(2, 200);
    setup.happenings = vec![(30, Happening::Lose(false)), (90, Happening::Lose(true))];
    let (document, grown) = setup.run();
    assert_eq!(found(&document), [""; 0]);
    let end_to_end = said(&document);
    assert_eq!(
        (&end_to_end["acked_records"], &end_to_end["unknown_records"]),
        (&198.into(), &2.into())
    );
    assert_eq!(grown, 200);
    assert_eq!(end_to_end["readers"][0]["records"], 200);
    assert_eq!(document.summary.end_to_end.count, 400);
}

#[test]
fn records_of_others_are_counted_apart() {
    let mut setup = Setup::new(2, 100);
    setup.strange = 6;
    let (document, _) = setup.run();
    assert_eq!(found(&document), ["kafka.records_of_others"]);
    assert!(document.verdict.valid, "{:?}", document.findings);
    assert_eq!(document.summary.end_to_end.count, 200);
    let row = &said(&document)["readers"][0];
    assert_eq!(
        (&row["records"], &row["records_of_others"]),
        (&100.into(), &6.into())
    );
    // The first of ours had to wait for the fetch that brought theirs.
    let old = &document.summary.end_to_end;
    assert!(
        about(old.p50_ns, READ_NS) && about(old.max_ns, 2 * READ_NS),
        "{old:?}"
    );
}
