//! Whole runs over the sim driver: plan, scenario, workload, session, engine and document, no socket.

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/reading.rs"]
mod reading;

use std::time::Duration;

use loadgen_core::results::Document;
use loadgen_core::stop::Stop;
use loadgen_kafka::sim::Happening;
use loadgen_kafka::spec::{Depth, Until};
use reading::{Setup, all_of, consumed, findings, nothing_failed, records, row};
use serde_json::Value;

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
