//! Whole runs over the sim driver: plan, scenario, workload, session, engine and document, no socket.

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
const VALUE_BYTES: u64 = 100;

/// A cluster, what is read of it, and how.
#[derive(Clone)]
struct Setup {
    nodes: i32,
    logs: Vec<Log>,
    until: Until,
    depth: Depth,
    records: Option<u64>,
    connections: u32,
    in_flight: u32,
    stop: Stop,
    version: i16,
    partition_max_bytes: i32,
    cuts_first: bool,
    happenings: Vec<(u64, Happening)>,
    /// Whether somebody asks the cluster beside the run.
    watched: bool,
    /// How long that one waits for a leader.
    patience: Duration,
}

impl Setup {
    /// `partitions` of `records` each on two nodes, read to the end. The first offsets differ, and
    /// are inside batches.
    fn new(partitions: i32, records: i64) -> Self {
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
    fn offsets(&self) -> u64 {
        let each = self.logs.iter().map(|log| (log.end - log.start) as u64);
        each.sum()
    }

    fn spec(&self) -> ConsumeSpec {
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

    fn endpoint(node: i32) -> Endpoint {
        Endpoint::Unix(format!("broker {node}").into())
    }

    fn topic(&self) -> Arc<Topic> {
        let broker = |node| Broker {
            node,
            name: format!("b{node}:9092"),
        };
        let brokers: Vec<Broker> = (1..=self.nodes).map(broker).collect();
        let of = |log: &Log| (log.index, Some(log.leader));
        let partitions: Vec<_> = self.logs.iter().map(of).collect();
        Arc::new(Topic::new("t".to_owned(), brokers, &partitions))
    }

    fn scenario(&self, topic: &Arc<Topic>) -> ConsumeScenario {
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

    fn options(&self) -> Options {
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

    fn peer(&self, topic: &Arc<Topic>) -> KafkaPeer {
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
    fn run_many(&self, runs: usize) -> Vec<Document> {
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

    fn run(&self) -> Document {
        self.run_many(1).remove(0)
    }
}

/// Requests and records of an op's status over the whole run.
fn row(document: &Document, op: &str, status: &str) -> (u64, u64) {
    let mut rows = document.operations.iter();
    let found = rows.find(|row| row.op == op && row.status == status);
    found.map_or((0, 0), |row| (row.total_count, row.total_units))
}

/// Records of all ops.
fn records(document: &Document) -> u64 {
    row(document, "fetch", "ok").1 + row(document, "wait", "ok").1
}

fn consumed(document: &Document) -> &Value {
    &document.protocol_details["consume"]
}

/// Every record of every log was read, and none of them twice.
fn all_of(setup: &Setup, document: &Document) {
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

fn nothing_failed(document: &Document) {
    let totals = &document.totals;
    assert_eq!(totals.sent, totals.completed);
    assert_eq!((totals.failed, totals.unanswered), (0, 0));
    assert!(document.errors.is_empty(), "{:?}", document.errors);
}

/// The code of each finding of the protocol.
fn findings(document: &Document) -> Vec<String> {
    let ours = document.findings.iter().map(|f| f.code.clone());
    ours.filter(|code| code.starts_with("kafka.")).collect()
}

#[test]
fn a_run_until_the_end_has_every_record_at_every_version_and_depth() {
    for version in 4..=12 {
        for depth in [Depth::Headers, Depth::Crc, Depth::Records] {
            let mut setup = Setup::new(3, 1003);
            (setup.version, setup.depth) = (version, depth);
            // A few batches a fetch, and the last one cut.
            setup.partition_max_bytes = 6000;
            let document = setup.run();
            nothing_failed(&document);
            all_of(&setup, &document);
            let consumed = consumed(&document);
            assert_eq!(consumed["fetch_version"], version);
            assert!(consumed["partial_bytes"].as_u64() > Some(0));
            assert_eq!(findings(&document), [""; 0]);
        }
    }
}

#[test]
fn a_batch_that_no_reply_has_room_for_ends_the_run_with_what_was_read() {
    for depth in [Depth::None, Depth::Headers, Depth::Records] {
        let mut setup = Setup::new(2, 1000);
        // A batch has more than 1000 bytes; below that not even its header is whole.
        for bytes in [700, 30] {
            (setup.cuts_first, setup.partition_max_bytes) = (true, bytes);
            setup.depth = depth;
            setup.until = if depth == Depth::None {
                Until::Replay
            } else {
                Until::End
            };
            let document = setup.run();
            assert_eq!(records(&document), 0);
            assert_eq!(consumed(&document)["given_up"], 2);
            assert_eq!(consumed(&document)["cut_off"], 80);
            // A pause after each: a leader that has just changed may be behind.
            let measured = document.phases.iter().find(|row| row.name == "measure");
            let ms = measured.map_or(0, |row| row.duration_ns / 1_000_000);
            assert!((1_900..2_500).contains(&ms), "{ms}");
            assert_eq!(findings(&document), ["kafka.given_up", "kafka.cut_off"]);
        }
    }
}

#[test]
fn a_batch_that_cannot_be_decoded_stops_its_partition_and_no_other() {
    for (connections, in_flight) in [(2, 1), (2, 3), (6, 1)] {
        let mut setup = Setup::new(8, 1000);
        (setup.connections, setup.in_flight) = (connections, in_flight);
        setup.partition_max_bytes = 3000;
        setup.depth = Depth::Crc;
        setup.happenings = vec![(0, Happening::Rot(2, 515))];
        // Only so that a run that never ends fails.
        setup.stop = Stop::After(Duration::from_secs(60));
        let document = setup.run();
        let consumed = consumed(&document);
        let rows = consumed["partitions"].as_array().unwrap();
        for row in rows.iter().filter(|row| row["partition"] != 2) {
            assert_eq!(row["records"], 1000, "{row}");
        }
        // Up to the fetch that the batch came with.
        let next = rows[2]["next_offset"].as_i64().unwrap();
        assert!((490..=510).contains(&next), "{next}");
        assert_eq!(consumed["given_up"], 1);
        let batch = &consumed["undecodable"][0];
        assert_eq!(
            (&batch["partition"], &batch["offset"]),
            (&2.into(), &510.into())
        );
        let found = findings(&document);
        assert!(found.contains(&"kafka.given_up".to_owned()), "{found:?}");
        let finding = document
            .findings
            .iter()
            .find(|f| f.code == "kafka.undecodable");
        let hint = &finding.expect("a finding").hint;
        assert!(
            hint.contains("partition 2, in the batch at offset 510: "),
            "{hint}"
        );
        assert_ne!(document.verdict.exit_code, 0);
        let causes = document
            .errors
            .iter()
            .filter(|error| error.cause.ends_with("crc_mismatch"));
        assert_eq!(causes.map(|error| error.count).sum::<u64>(), 3);
    }
}

#[test]
fn a_batch_that_was_wrong_once_is_read_the_next_time() {
    let mut setup = Setup::new(4, 1000);
    setup.depth = Depth::Crc;
    setup.partition_max_bytes = 3000;
    setup.happenings = vec![(0, Happening::Rot(2, 515)), (56, Happening::Heal)];
    setup.stop = Stop::After(Duration::from_secs(60));
    let document = setup.run();
    all_of(&setup, &document);
    assert!(!document.errors.is_empty());
    assert_eq!(consumed(&document)["given_up"], 0);
}

#[test]
fn a_partition_that_nobody_leads_ends_the_run_without_it() {
    let mut setup = Setup::new(4, 1000);
    setup.partition_max_bytes = 3000;
    setup.patience = Duration::ZERO;
    setup.happenings = vec![(10, Happening::Orphan(1))];
    // Only so that a run that never ends fails.
    setup.stop = Stop::After(Duration::from_secs(600));
    let document = setup.run();
    let consumed = consumed(&document);
    assert_eq!(consumed["given_up"], 1);
    assert!(consumed["partitions"][1]["records"].as_u64() < Some(1000));
    assert_eq!(
        records(&document),
        3000 + consumed["partitions"][1]["records"].as_u64().unwrap()
    );
    assert!(findings(&document).contains(&"kafka.given_up".to_owned()));
    assert_ne!(document.verdict.exit_code, 0);
}

#[test]
fn a_partition_that_nobody_leads_is_waited_for_a_while_and_not_passed_over_in_silence() {
    for (seconds, given_up) in [(30, 0), (90, 1)] {
        let mut setup = Setup::new(4, 100);
        setup.until = Until::Follow;
        setup.happenings = vec![(4, Happening::Orphan(0))];
        setup.stop = Stop::After(Duration::from_secs(seconds));
        let document = setup.run();
        assert_eq!(consumed(&document)["given_up"], given_up);
        assert_eq!(consumed(&document)["stuck_partitions"], 1 - given_up);
        let code = ["kafka.stuck_partitions", "kafka.given_up"][given_up];
        let found = findings(&document);
        assert!(found.contains(&code.to_owned()), "{found:?}");
    }
}

#[test]
fn a_leader_that_nobody_knew_is_told() {
    let mut setup = Setup::new(2, 100);
    setup.until = Until::Follow;
    setup.happenings = vec![(4, Happening::Move(0, 9))];
    setup.stop = Stop::After(Duration::from_secs(90));
    let document = setup.run();
    assert_eq!(consumed(&document)["unknown_leaders"], 1);
    assert_eq!(consumed(&document)["given_up"], 1);
    let found = findings(&document);
    assert!(
        found.contains(&"kafka.unknown_leaders".to_owned()),
        "{found:?}"
    );
}

#[test]
fn what_is_refused_for_a_minute_is_given_up() {
    // The topic is deleted; whole replies are refused: with and without somebody who asks.
    for happening in [Happening::Delete, Happening::Refuse(-1)] {
        for watched in [false, true] {
            let mut setup = Setup::new(4, 1000);
            setup.partition_max_bytes = 3000;
            setup.watched = watched;
            setup.happenings = vec![(10, happening)];
            setup.stop = Stop::After(Duration::from_secs(600));
            let document = setup.run();
            assert_eq!(consumed(&document)["given_up"], 4, "{happening:?}");
            assert!(document.errors.is_empty(), "{:?}", document.errors);
            // Once in 50 ms on two connections.
            let sent = document.totals.sent;
            assert!((1000..4000).contains(&sent), "{sent}");
        }
    }
}

#[test]
fn fifty_partitions_on_few_connections_with_two_fetches_each() {
    for (connections, in_flight) in [(2, 1), (3, 2), (5, 2), (40, 2)] {
        let mut setup = Setup::new(50, 200);
        (setup.connections, setup.in_flight) = (connections, in_flight);
        setup.partition_max_bytes = 3000;
        let document = setup.run();
        nothing_failed(&document);
        all_of(&setup, &document);
        assert_eq!(document.connections.opened, u64::from(connections));
    }
}

#[test]
fn workers_that_read_at_the_same_time_read_nothing_twice() {
    let mut setup = Setup::new(50, 2000);
    (setup.connections, setup.in_flight) = (4, 2);
    setup.partition_max_bytes = 2000;
    let documents = setup.run_many(4);
    let mut all = 0;
    for document in &documents {
        nothing_failed(document);
        all += records(document);
    }
    assert_eq!(all, setup.offsets());
    // The rows are those of all workers: whoever ends last sees all of it.
    let whole = |document: &&Document| {
        let rows = consumed(document)["partitions"].as_array();
        let counts = rows
            .into_iter()
            .flatten()
            .map(|row| row["records"].as_u64());
        counts.map(Option::unwrap_or_default).sum::<u64>() == setup.offsets()
    };
    let last = documents.iter().find(whole).expect("somebody ends last");
    for (row, log) in consumed(last)["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&setup.logs)
    {
        assert_eq!(row["records"], log.end - log.start);
        assert_eq!(
            (&row["first_offset"], &row["next_offset"]),
            (&log.start.into(), &log.end.into())
        );
    }
}

#[test]
fn a_number_of_records_ends_it_with_the_reply_that_reaches_it() {
    let mut setup = Setup::new(1, 100_000);
    setup.records = Some(1000);
    setup.partition_max_bytes = 3000;
    let document = setup.run();
    nothing_failed(&document);
    let read = records(&document);
    // A fetch brings three batches of ten at the most.
    assert!((1000..1030).contains(&read), "{read}");
    assert_eq!(consumed(&document)["partitions"][0]["records"], read);
    assert_eq!(consumed(&document)["partitions"][0]["next_offset"], read);
}

#[test]
fn a_replay_goes_round_and_every_connection_has_work() {
    for partitions in [1, 3] {
        let mut setup = Setup::new(partitions, 50);
        setup.until = Until::Replay;
        (setup.connections, setup.in_flight) = (6, 2);
        setup.stop = Stop::After(Duration::from_millis(50));
        let document = setup.run();
        nothing_failed(&document);
        let rows = consumed(&document)["partitions"].as_array().unwrap();
        for (row, log) in rows.iter().zip(&setup.logs) {
            // Everything comes with one fetch here: whole rounds only.
            assert_eq!(
                row["records"].as_u64(),
                row["rounds"].as_u64().map(|n| n * 50)
            );
            assert!(row["rounds"].as_u64() > Some(100), "{row}");
            assert_eq!((&row["next_offset"]), &Value::from(log.end));
        }
        let sum: u64 = rows.iter().filter_map(|row| row["records"].as_u64()).sum();
        assert_eq!(records(&document), sum);
        // Three connections and six slots at each broker; with one partition only one broker leads.
        let busy = if partitions == 1 { 6 } else { 12 };
        let possible = busy * 50_000_000 / 100_000;
        let fetches = row(&document, "fetch", "ok").0;
        assert!(fetches * 10 > possible * 9, "{fetches} of {possible}");
    }
}

#[test]
fn leaders_that_move_cost_nothing_and_repeat_nothing() {
    // 12: the reply names the new leader. 11, 4: somebody has to ask. 4: without epochs.
    for (version, watched) in [(12, false), (12, true), (11, true), (4, true)] {
        let mut setup = Setup::new(10, 1000);
        (setup.version, setup.watched) = (version, watched);
        (setup.connections, setup.in_flight) = (4, 2);
        setup.partition_max_bytes = 2000;
        setup.happenings = (0..40)
            .map(|n| {
                (
                    n * 3,
                    Happening::Move(n as i32 % 10, (n as i32 / 10 + n as i32 % 3) % 2 + 1),
                )
            })
            .collect();
        let document = setup.run();
        all_of(&setup, &document);
        let consumed = consumed(&document);
        assert!(consumed["leader_moves"].as_u64() > Some(5), "{consumed}");
        let names = consumed["errors"].as_array().unwrap().iter();
        let names: Vec<_> = names.filter_map(|row| row["name"].as_str()).collect();
        let of_moves = ["not_leader_or_follower", "fenced_leader_epoch"];
        assert!(names.contains(&of_moves[0]), "{names:?}");
        assert!(
            names.iter().all(|name| of_moves.contains(name)),
            "{names:?}"
        );
        assert_eq!(findings(&document), ["kafka.partition_errors"]);
        assert!(document.errors.is_empty(), "{:?}", document.errors);
    }
}

#[test]
fn a_connection_lost_in_mid_reply_loses_no_record_and_repeats_none() {
    for reset in [false, true] {
        for depth in [Depth::Headers, Depth::Records] {
            let mut setup = Setup::new(6, 3000);
            (setup.connections, setup.in_flight) = (4, 2);
            setup.depth = depth;
            setup.partition_max_bytes = 5000;
            setup.happenings = (1..30).map(|n| (n * 4, Happening::Lose(reset))).collect();
            let document = setup.run();
            all_of(&setup, &document);
            let lost: u64 = document.errors.iter().map(|error| error.count).sum();
            assert!(lost >= 29, "{:?}", document.errors);
            assert!(document.connections.opened > 4);
        }
    }
}

#[test]
fn a_log_that_begins_later_is_jumped_into_and_the_gap_is_counted() {
    for tells_range in [false, true] {
        let mut setup = Setup::new(2, 2000);
        setup.partition_max_bytes = 2000;
        setup.happenings = vec![(10, Happening::Trim(1, 507))];
        let topic = setup.topic();
        let scenario = Arc::new(setup.scenario(&topic));
        let (cluster, watched) = (setup.clone(), Arc::clone(&topic));
        let peer = move || {
            let mut peer = cluster.peer(&watched);
            peer.tells_range = tells_range;
            peer
        };
        let client = Arc::new(Simulated(scenario, peer));
        let document = start_client(client, setup.options())
            .expect("a start")
            .join();
        let consumed = consumed(&document);
        let gap = consumed["jumped_offsets"].as_u64().unwrap();
        assert_eq!(consumed["jumps"], 1);
        assert!((1..500).contains(&gap), "{gap}");
        assert_eq!(records(&document), setup.offsets() - gap);
        assert_eq!(consumed["partitions"][0]["records"], 2000);
        assert_eq!(consumed["partitions"][1]["records"], 2000 - gap);
        assert_eq!(consumed["partitions"][1]["next_offset"], 2007);
        let found = findings(&document);
        assert!(found.contains(&"kafka.offset_gap".to_owned()), "{found:?}");
        assert_eq!(consumed["errors"][0]["name"], "offset_out_of_range");
    }
}

#[test]
fn an_end_that_is_not_there_any_more_makes_the_run_invalid() {
    let mut setup = Setup::new(2, 1000);
    setup.partition_max_bytes = 2000;
    // The new leader of partition 1 has lost everything from the first offset on.
    setup.happenings = vec![(6, Happening::Grow(1, -1000))];
    let document = setup.run();
    let consumed = consumed(&document);
    assert_eq!(consumed["partitions"][0]["records"], 1000);
    assert!(consumed["partitions"][1]["records"].as_u64() < Some(1000));
    let found = findings(&document);
    assert!(found.contains(&"kafka.given_up".to_owned()), "{found:?}");
    assert_ne!(document.verdict.exit_code, 0);
}

#[test]
fn what_is_read_at_the_end_waits_for_records_to_come() {
    let mut setup = Setup::new(2, 100);
    setup.until = Until::Follow;
    setup.stop = Stop::After(Duration::from_secs(10));
    setup.happenings = vec![(12, Happening::Grow(0, 30)), (16, Happening::Grow(1, 12))];
    let document = setup.run();
    nothing_failed(&document);
    assert_eq!(records(&document), 200 + 42);
    let (waits, none) = row(&document, "wait", "empty");
    // Half a second each on two connections.
    assert!((30..=42).contains(&waits) && none == 0, "{waits}");
    assert_eq!(row(&document, "wait", "ok"), (2, 42));
    assert_eq!(row(&document, "fetch", "ok"), (2, 200));
    assert_eq!(row(&document, "fetch", "empty"), (0, 0));
}

#[test]
fn what_waits_has_its_connection_for_itself() {
    // One connection and two at a time; two of the partitions get records all the time.
    let mut setup = Setup::new(4, 100);
    setup.nodes = 1;
    setup.logs.iter_mut().for_each(|log| log.leader = (1, 3));
    setup.until = Until::Follow;
    (setup.connections, setup.in_flight) = (1, 2);
    setup.happenings = (0..1000)
        .map(|n| (4 + n, Happening::Grow(n as i32 % 2, 10)))
        .collect();
    setup.records = Some(8000);
    let document = setup.run();
    nothing_failed(&document);
    // No fetch waited behind a long poll, and there was no long poll that had nothing to come for.
    let ms = document.phases.iter().find(|row| row.name == "measure");
    let ms = ms.map_or(0, |row| row.duration_ns / 1_000_000);
    assert!(ms < 2_000, "{ms}");
    assert!(records(&document) >= 8000);
}

#[test]
fn a_broker_that_throttles_is_left_alone_for_so_long() {
    let mut setup = Setup::new(2, 2000);
    setup.partition_max_bytes = 2000;
    setup.happenings = vec![(3, Happening::Throttle(250)), (9, Happening::Throttle(40))];
    let document = setup.run();
    nothing_failed(&document);
    all_of(&setup, &document);
    assert_eq!(consumed(&document)["throttled"], 2);
    assert_eq!(consumed(&document)["throttle_ms"], 290);
    assert_eq!(findings(&document), ["kafka.throttled"]);
}

#[test]
fn a_partition_that_is_refused_again_and_again_is_not_asked_for_all_the_time() {
    let mut setup = Setup::new(4, 100);
    setup.until = Until::Follow;
    // Without the watcher nobody learns where it went, and below v12 the reply does not say.
    (setup.version, setup.watched) = (11, false);
    setup.happenings = vec![(4, Happening::Move(0, 2))];
    setup.stop = Stop::After(Duration::from_secs(10));
    let document = setup.run();
    nothing_failed(&document);
    let errors = consumed(&document)["errors"][0]["count"].as_u64().unwrap();
    // Every 50 ms at the most, though the partition beside it is there to be asked for.
    assert!((10..=200).contains(&errors), "{errors}");
    let fetches = document.totals.completed;
    assert!(fetches < 500, "{fetches}");
}

#[test]
fn a_replay_that_nobody_looks_into_goes_through_the_whole_range() {
    let mut setup = Setup::new(2, 500);
    (setup.until, setup.depth) = (Until::Replay, Depth::None);
    setup.partition_max_bytes = 3000;
    setup.stop = Stop::After(Duration::from_millis(200));
    let document = setup.run();
    nothing_failed(&document);
    let rows = consumed(&document)["partitions"].as_array().unwrap();
    let mut fetches = 0;
    // Batches of ten records take 1.1 kB: two come whole in 3000 bytes. The second log begins inside a
    // batch, so it has one more of them.
    for (row, fetches_a_round) in rows.iter().zip([25, 26]) {
        let rounds = row["rounds"].as_u64().unwrap();
        assert!(rounds > 50, "{row}");
        assert!(row["records"].is_null() && row["next_offset"].is_null());
        fetches += rounds * fetches_a_round;
    }
    let (count, units) = row(&document, "fetch", "ok");
    assert!(
        (fetches..fetches + 51).contains(&count),
        "{count}, {fetches}"
    );
    assert_eq!((units, document.totals.payload_rx_bytes), (0, None));
    let bytes = consumed(&document)["records_bytes"].as_u64().unwrap();
    assert!(
        (2500 * count..=3000 * count).contains(&bytes),
        "{bytes} in {count}"
    );
    assert_eq!(consumed(&document)["batches"], 0);
}
