//! Whole producing runs over the sim driver: plan, scenario, session, engine and document, no socket.
//!
//! The cluster keeps what it is sent, so that every count is held against its logs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_protocol::records::RecordBatchDecoder;
use loadgen_core::engine::Simulated;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Document, RunStatus};
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Endpoint, Route, Scenario as _};
use loadgen_kafka::cluster::{Broker, Topic};
use loadgen_kafka::produce::sim::{Happening, Log, Logs, ProducePeer};
use loadgen_kafka::produce::{ProducePlan, ProduceScenario, partition_of};
use loadgen_kafka::spec::{Acks, ClusterSpec, Partitioner, ProduceSpec, RecordSpec};
use loadgen_kafka::wire::batch::Codec;
use serde_json::Value;

const DELAY_NS: u64 = 100_000;
const START_MS: i64 = 1_700_000_000_000;
/// Where every log begins.
const START: i64 = 100;
/// Bytes of a key and a value.
const PAYLOAD_BYTES: usize = 8 + 100;

/// A run: what there is, and what is asked of it.
#[derive(Clone)]
struct Setup {
    nodes: i32,
    partitions: i32,
    spec: ProduceSpec,
    /// Records, in total.
    records: Option<u64>,
    connections: u32,
    in_flight: u32,
    pacing: Pacing,
    version: i16,
    append_time_ms: Option<i64>,
    happenings: Vec<(u64, Happening)>,
    watched: bool,
}

impl Setup {
    /// Partitions dealt over two brokers.
    fn new(partitions: i32, records: u64) -> Self {
        Self {
            nodes: 2,
            partitions,
            spec: ProduceSpec {
                cluster: ClusterSpec {
                    bootstrap: vec!["b1:9092".to_owned()],
                    sasl: None,
                    client_id: "loadgen".to_owned(),
                },
                topic: "t".to_owned(),
                partitions: Vec::new(),
                records: RecordSpec {
                    value_bytes: 100,
                    key_bytes: Some(8),
                    headers: Vec::new(),
                    codec: Codec::None,
                    batch_bytes: 1300,
                },
                acks: Acks::Leader,
                partitioner: Partitioner::RoundRobin,
                timeout_ms: 1500,
                seed: 1,
            },
            records: Some(records),
            connections: 2,
            in_flight: 4,
            pacing: Pacing::Closed,
            version: 12,
            append_time_ms: None,
            happenings: Vec::new(),
            watched: true,
        }
    }

    fn endpoint(node: i32) -> Endpoint {
        Endpoint::Unix(format!("broker {node}").into())
    }

    fn leader(&self, index: i32) -> i32 {
        index % self.nodes + 1
    }

    fn topic(&self) -> Arc<Topic> {
        let broker = |node| Broker {
            node,
            name: format!("b{node}:9092"),
        };
        let brokers = (1..=self.nodes).map(broker).collect();
        let partition = |index| (index, Some((self.leader(index), 3)));
        let partitions: Vec<_> = (0..self.partitions).map(partition).collect();
        Arc::new(Topic::new("t".to_owned(), brokers, &partitions))
    }

    fn scenario(&self, topic: &Arc<Topic>) -> ProduceScenario {
        let route = |node: i32| Route {
            name: format!("broker {node}"),
            endpoints: vec![Self::endpoint(node)],
            weight: 1,
            rate_weight: 1,
            paced: true,
        };
        let plan = ProducePlan {
            spec: self.spec.clone(),
            topic: Arc::clone(topic),
            partition_count: self.partitions as u32,
            routes: (1..=self.nodes).map(route).collect(),
            records: self.records,
            unix_ms_at_zero: START_MS,
        };
        ProduceScenario::new(plan).expect("batches")
    }

    fn options(&self, scenario: &ProduceScenario) -> Options {
        let mut options = Options {
            workers: Some(1),
            unpinned: true,
            ..Options::default()
        };
        let engine = &mut options.engine;
        (engine.connections, engine.depth) = (self.connections, self.in_flight);
        engine.pacing = self.pacing;
        engine.stop = match scenario.rules().batches() {
            Some(batches) => Stop::Requests(batches),
            None => Stop::After(Duration::from_secs(1)),
        };
        engine.timeout = Duration::from_secs(5);
        options
    }

    fn peer(&self, logs: &Logs, topic: &Arc<Topic>) -> ProducePeer {
        let broker = |node| (Self::endpoint(node), node);
        let brokers = (1..=self.nodes).map(broker).collect();
        let mut peer = ProducePeer::new(brokers, Arc::clone(logs));
        peer.delay_ns = DELAY_NS;
        peer.version = self.version;
        peer.append_time_ms = self.append_time_ms;
        peer.happenings = self.happenings.clone().into();
        peer.watched = self.watched.then(|| Arc::clone(topic));
        peer
    }

    /// Runs it: the document, and the logs behind it.
    fn run(&self) -> (Document, Vec<Log>) {
        let log = |index| Log::new(index, (self.leader(index), 3), START);
        let logs: Logs = Arc::new(Mutex::new((0..self.partitions).map(log).collect()));
        let topic = self.topic();
        let scenario = self.scenario(&topic);
        let options = self.options(&scenario);
        let (setup, kept) = (self.clone(), Arc::clone(&logs));
        let peer = move || setup.peer(&kept, &topic);
        let client = Arc::new(Simulated(Arc::new(scenario), peer));
        let document = start_client(client, options).expect("a start").join();
        let logs = logs.lock().expect("logs").clone();
        (document, logs)
    }
}

/// Requests and records of a status over the whole run.
fn row(document: &Document, status: &str) -> (u64, u64) {
    let mut rows = document.operations.iter();
    let found = rows.find(|row| row.op == "produce" && row.status == status);
    found.map_or((0, 0), |row| (row.total_count, row.total_units))
}

fn produced<'a>(document: &'a Document, name: &str) -> &'a Value {
    &document.protocol_details["produce"][name]
}

fn number(document: &Document, name: &str) -> u64 {
    produced(document, name).as_u64().expect(name)
}

fn grown(logs: &[Log]) -> u64 {
    logs.iter().map(|log| (log.end - START) as u64).sum()
}

fn nothing_failed(document: &Document) {
    let totals = &document.totals;
    assert_eq!(totals.sent, totals.completed);
    assert_eq!((totals.failed, totals.unanswered), (0, 0));
    assert!(document.errors.is_empty(), "{:?}", document.errors);
}

/// The rows of the document are what the logs have.
fn rows_are(document: &Document, logs: &[Log]) {
    let rows = produced(document, "partitions").as_array().expect("rows");
    assert_eq!(rows.len(), logs.len());
    for (row, log) in rows.iter().zip(logs) {
        assert_eq!(row["partition"], log.index);
        assert_eq!(row["acked_records"], log.end - START, "{row}");
        let last = log.batches.last().map(|(base, _)| *base);
        assert_eq!(row["last_base_offset"].as_i64(), last, "{row}");
        assert_eq!(row["next_offset"].as_i64(), last.map(|_| log.end));
    }
}

#[test]
fn exactly_so_many_records_at_every_version_codec_and_acks() {
    for version in [3, 7, 9, 12] {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            for codec in Codec::ALL {
                if codec == Codec::Zstd && version < 7 {
                    continue;
                }
                let mut setup = Setup::new(4, 1003);
                setup.version = version;
                (setup.spec.acks, setup.spec.records.codec) = (acks, codec);
                let (document, logs) = setup.run();
                nothing_failed(&document);
                assert_eq!(grown(&logs), 1003);
                let payload = Some(1003 * PAYLOAD_BYTES as u64);
                assert_eq!(document.totals.payload_tx_bytes, payload);
                assert_eq!(number(&document, "sent_records"), 1003);
                assert_eq!(number(&document, "unknown_records"), 0);
                let (status, acked) = match acks {
                    Acks::None => ("unacked", 0),
                    Acks::Leader | Acks::All => ("ok", 1003),
                };
                assert_eq!(row(&document, status).1, 1003, "{status}");
                assert_eq!(number(&document, "acked_records"), acked);
                assert_eq!(number(&document, "unacked_records"), 1003 - acked);
                if acked > 0 {
                    rows_are(&document, &logs);
                }
            }
        }
    }
}

#[test]
fn batches_are_whole_in_order_and_dealt_evenly() {
    let (document, logs) = Setup::new(4, 4000).run();
    nothing_failed(&document);
    let each = number(&document, "batch_records") as i64;
    assert!((8..=12).contains(&each), "{each}");
    for log in &logs {
        // A turn more or less, by which broker was quicker.
        assert!((900..=1100).contains(&(log.end - START)), "{}", log.end);
        let mut sent_ms = START_MS;
        for (_, batch) in &log.batches {
            let set = RecordBatchDecoder::decode(&mut batch.clone()).expect("a batch");
            assert!(set.records.len() as i64 <= each);
            let time = set.records[0].timestamp;
            assert!((sent_ms..START_MS + 10_000).contains(&time), "in order");
            sent_ms = time;
            for record in set.records {
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                assert_eq!(key.len() + value.len(), PAYLOAD_BYTES);
            }
        }
    }
}

#[test]
fn sticky_stays_for_so_many_batches() {
    let mut setup = Setup::new(6, 6000);
    (setup.nodes, setup.connections, setup.in_flight) = (1, 1, 1);
    setup.spec.partitioner = Partitioner::Sticky { batches: 7 };
    let (document, logs) = setup.run();
    nothing_failed(&document);
    assert_eq!(grown(&logs), 6000);
    // Whole turns, but for where the run ends.
    let counts: Vec<usize> = logs.iter().map(|log| log.batches.len()).collect();
    assert!(counts.iter().filter(|count| **count % 7 != 0).count() <= 1);
    let turns: Vec<usize> = counts.iter().map(|count| count.div_ceil(7)).collect();
    assert!(turns.iter().max().unwrap() - turns.iter().min().unwrap() <= 1);
}

#[test]
fn keys_go_where_the_java_client_would_send_them() {
    let mut setup = Setup::new(6, 3001);
    setup.spec.partitioner = Partitioner::ByKey;
    let (document, logs) = setup.run();
    nothing_failed(&document);
    assert_eq!(grown(&logs), 3001);
    rows_are(&document, &logs);
    for log in &logs {
        assert!(!log.batches.is_empty());
        for (_, batch) in &log.batches {
            let set = RecordBatchDecoder::decode(&mut batch.clone()).expect("a batch");
            for record in set.records {
                assert_eq!(partition_of(&record.key.unwrap(), 6), log.index);
            }
        }
    }
}

#[test]
fn a_lost_connection_leaves_records_unknown_and_nothing_is_sent_again() {
    for reset in [false, true] {
        let mut setup = Setup::new(4, 2000);
        setup.happenings = vec![(20, Happening::Lose(reset)), (90, Happening::Lose(!reset))];
        let (document, logs) = setup.run();
        let acked = number(&document, "acked_records");
        let unknown = number(&document, "unknown_records");
        assert_eq!(number(&document, "sent_records"), 2000);
        assert_eq!(acked + unknown, 2000);
        assert_eq!(row(&document, "ok").1, acked);
        // Those that were in flight; some of them came.
        assert!(unknown > 0);
        let grown = grown(&logs);
        let may_be = acked + 1..=acked + unknown;
        assert!(may_be.contains(&grown), "{acked} {unknown} {grown}");
        let totals = &document.totals;
        assert_eq!(totals.sent, totals.completed + totals.failed);
        assert!(totals.failed >= 2);
        assert_eq!(document.connections.lost, 2);
    }
}

#[test]
fn without_acknowledgements_what_was_lost_is_unknown_too() {
    let mut setup = Setup::new(2, 1000);
    setup.spec.acks = Acks::None;
    setup.happenings = vec![(10, Happening::Refuse(10))];
    let (document, logs) = setup.run();
    let unacked = number(&document, "unacked_records");
    assert_eq!(unacked + number(&document, "unknown_records"), 1000);
    assert_eq!(row(&document, "unacked").1, unacked);
    // Nobody is told which; the broker closed the connection, and what it had not read is gone.
    assert!(grown(&logs) < 1000);
}

#[test]
fn an_error_has_its_row_and_is_not_tried_again() {
    let mut setup = Setup::new(2, 1000);
    setup.happenings = vec![
        (10, Happening::Refuse(10)),
        (20, Happening::Refuse(19)),
        (30, Happening::Doubt(20)),
        (40, Happening::Doubt(7)),
    ];
    let (document, logs) = setup.run();
    let each = number(&document, "batch_records");
    for status in [
        "message_too_large",
        "not_enough_replicas",
        "not_enough_replicas_after_append",
        "request_timed_out",
    ] {
        assert_eq!(row(&document, status), (1, each), "{status}");
    }
    assert_eq!(number(&document, "refused_records"), 2 * each);
    assert_eq!(number(&document, "unknown_records"), 2 * each);
    assert_eq!(number(&document, "acked_records"), 1000 - 4 * each);
    assert_eq!(grown(&logs), 1000 - 2 * each);
    let errors = produced(&document, "errors").as_array().unwrap();
    let too_large = errors.iter().find(|row| row["code"] == 10).unwrap();
    assert_eq!(too_large["message"], "because of 10");
    assert_eq!(too_large["name"], "message_too_large");
}

/// With all acknowledgements a leader appends first and loses the partition while it waits.
#[test]
fn a_leader_that_goes_while_replicas_are_waited_for_leaves_records_unknown() {
    for (acks, unknown) in [(Acks::All, 3), (Acks::Leader, 0)] {
        let mut setup = Setup::new(2, 1000);
        setup.spec.acks = acks;
        let codes = [3, 6, 56].into_iter().enumerate();
        let happening = |(n, code)| (10 + 10 * n as u64, Happening::Doubt(code));
        setup.happenings = codes.map(happening).collect();
        let (document, logs) = setup.run();
        let each = number(&document, "batch_records");
        assert_eq!(number(&document, "unknown_records"), unknown * each);
        assert_eq!(number(&document, "refused_records"), (3 - unknown) * each);
        assert_eq!(grown(&logs), 1000);
    }
}

#[test]
fn a_leader_that_moves_is_followed() {
    for version in [9, 12] {
        let mut setup = Setup::new(4, 8000);
        setup.version = version;
        setup.happenings = vec![(100, Happening::Move(0, 2)), (300, Happening::Move(1, 1))];
        let (document, logs) = setup.run();
        let refused = row(&document, "not_leader_or_follower");
        // Those in flight, and a few until it is known.
        assert!((1..=20).contains(&refused.0), "v{version} {refused:?}");
        assert_eq!(number(&document, "leader_moves"), 2);
        assert_eq!(number(&document, "refused_records"), refused.1);
        assert_eq!(grown(&logs), 8000 - refused.1);
        rows_are(&document, &logs);
        // The run went on at the new leaders.
        for log in &logs[..2] {
            assert!(log.end - START > 900, "{}", log.end);
        }
    }
}

#[test]
fn a_wrong_leader_that_nobody_corrects_does_not_drown_the_others() {
    let mut setup = Setup::new(4, 20_000);
    (setup.version, setup.watched) = (9, false);
    setup.happenings = vec![(50, Happening::Move(0, 2))];
    let (document, logs) = setup.run();
    let (wrong, _) = row(&document, "not_leader_or_follower");
    let (right, _) = row(&document, "ok");
    assert!(wrong >= 1 && wrong * 20 < right, "{wrong} and {right}");
    // The other one of the same broker is written to.
    assert!(logs[2].end > 4000, "{}", logs[2].end);
}

#[test]
fn a_quota_pauses_and_is_a_finding() {
    let mut setup = Setup::new(2, 1000);
    setup.happenings = vec![(10, Happening::Throttle(700))];
    let (document, logs) = setup.run();
    nothing_failed(&document);
    assert_eq!(grown(&logs), 1000);
    assert_eq!(number(&document, "throttle_ms"), 700);
    let found = document
        .findings
        .iter()
        .find(|f| f.code == "kafka.throttled");
    assert_eq!(found.and_then(|f| f.actual), Some(700.0));
}

#[test]
fn the_brokers_clock_is_told() {
    let mut setup = Setup::new(2, 1000);
    setup.append_time_ms = Some(START_MS + 5);
    let (document, _) = setup.run();
    nothing_failed(&document);
    let batches = row(&document, "ok").0;
    assert_eq!(number(&document, "log_append_time_batches"), batches);
}

#[test]
fn an_open_loop_offers_batches_at_the_rate_of_records() {
    let mut setup = Setup::new(4, 0);
    setup.records = None;
    let scenario = setup.scenario(&setup.topic());
    let each = scenario.rules().batch_records();
    setup.pacing = Pacing::Open {
        rate_per_s: 10_000.0 / f64::from(each),
        arrival: Arrival::Fixed,
    };
    let (document, logs) = setup.run();
    nothing_failed(&document);
    let grown = grown(&logs);
    assert!((9_980..=10_020).contains(&grown), "{grown}");
    assert_eq!(row(&document, "ok").1, grown);
}

/// Nobody leads the only partition any more, and all brokers go on: a run by count ends some day, and
/// says what it did not send.
#[test]
fn a_partition_that_nobody_leads_any_more_ends_a_run_by_count() {
    let mut setup = Setup::new(1, 5000);
    setup.happenings = vec![(100, Happening::Move(0, 99))];
    let (document, logs) = setup.run();
    assert!(document.workers[0].gave_up);
    assert_eq!(document.status, RunStatus::Partial);
    let mut codes = document.findings.iter().map(|f| f.code.as_str());
    assert!(codes.any(|code| code == "count_not_reached"));
    assert!(!document.verdict.valid);
    assert_eq!(number(&document, "acked_records"), grown(&logs));
    assert!(document.totals.unsent > 300, "{:?}", document.totals);
}

/// The count is reached all the same when one of two partitions is led by nobody any more, but not at
/// the rate that was asked for.
#[test]
fn a_run_by_count_at_half_its_rate_is_not_valid() {
    for arrival in [Arrival::Fixed, Arrival::Poisson] {
        for (gone, met) in [(u64::MAX, true), (200, false)] {
            let mut setup = Setup::new(2, 10_000);
            setup.happenings = vec![(gone, Happening::Move(0, 99))];
            let each = setup.scenario(&setup.topic()).rules().batch_records();
            let rate_per_s = 10_000.0 / f64::from(each);
            setup.pacing = Pacing::Open {
                rate_per_s,
                arrival,
            };
            let (document, _) = setup.run();
            assert_eq!(number(&document, "sent_records"), 10_000);
            let mut codes = document.findings.iter().map(|f| f.code.as_str());
            assert_eq!(
                !codes.any(|code| code == "rate_not_met"),
                met,
                "{arrival:?}"
            );
        }
    }
}

/// Brokers that lead nothing, or nothing that keys go to, have no share of the rate; one that becomes a
/// leader has.
#[test]
fn the_whole_rate_goes_to_those_who_lead() {
    let one = Setup::new(1, 10_000);
    let mut keyless = Setup::new(2, 10_000);
    keyless.spec.partitioner = Partitioner::ByKey;
    keyless.spec.records.key_bytes = Some(0);
    let mut moved = one.clone();
    moved.happenings = vec![(300, Happening::Move(0, 2))];
    for (case, mut setup) in [one, keyless, moved].into_iter().enumerate() {
        let each = setup.scenario(&setup.topic()).rules().batch_records();
        let rate_per_s = 10_000.0 / f64::from(each);
        setup.pacing = Pacing::Open {
            rate_per_s,
            arrival: Arrival::Fixed,
        };
        let (document, _) = setup.run();
        let offered_per_s = document.summary.rate.offered_per_s.expect("a rate");
        let off = (offered_per_s / rate_per_s - 1.0).abs();
        assert!(off < 0.01, "{case}: {offered_per_s} and not {rate_per_s}");
        let sent = number(&document, "sent_records");
        assert_eq!(sent, 10_000, "{case}");
        setup.records = None;
        let (document, _) = setup.run();
        let totals = &document.totals;
        assert_eq!(totals.unsent, 0, "{case}");
        assert!((totals.sent as f64 - rate_per_s).abs() <= 2.0, "{case}");
    }
}

#[test]
fn what_is_planned_is_in_the_document() {
    let setup = Setup::new(2, 101);
    let scenario = setup.scenario(&setup.topic());
    assert_eq!(scenario.plan()["acks"], "1");
    assert_eq!(scenario.routes().len(), 2);
    let each = u64::from(scenario.rules().batch_records());
    assert_eq!(scenario.rules().batches(), Some(101_u64.div_ceil(each)));
}
