//! Times against a real broker: what a path adds to them, and that each record that was acknowledged is
//! read once by every reader.
//!
//! Kafka's brokers on loopback, with and without a path of a known length. Nothing here may compare
//! times of two machines.

mod support;

use std::time::Duration;

use loadgen_core::results::{Document, Latency, Operation};
use support::kafka::{Kafka, Version, shared};
use support::run::{loadgen, start, under};
use support::{first, machine};

/// What the path adds to a request and its reply.
const PATH: Duration = Duration::from_millis(20);
/// What a relay, its timers and a machine with other things to do may add to that.
const SLACK: Duration = Duration::from_millis(5);

/// Runs `loadgen kafka WORDS -t 1 --json` before whatever else the machine does.
#[track_caller]
fn kafka(words: &str) -> Document {
    let words = format!("kafka {words} --json");
    let words: Vec<&str> = words.split_whitespace().collect();
    under(&first(), &words).document()
}

fn ours(document: &Document) -> Vec<&str> {
    let codes = document.findings.iter().map(|f| f.code.as_str());
    codes.filter(|code| code.starts_with("kafka.")).collect()
}

fn row<'a>(document: &'a Document, op: &str, status: &str) -> Option<&'a Operation> {
    let mut rows = document.operations.iter();
    rows.find(|row| (row.op.as_str(), row.status.as_str()) == (op, status))
}

/// Records of the whole run.
fn records(document: &Document, op: &str) -> u64 {
    row(document, op, "ok").map_or(0, |row| row.total_units)
}

/// Every record that was acknowledged was read once by every one of `readers`, and has its time.
#[track_caller]
fn all_were_read(document: &Document, written: u64, readers: u64) {
    assert_eq!(ours(document), [""; 0], "{:?}", document.findings);
    assert_eq!(records(document, "produce"), written);
    let read = records(document, "fetch") + records(document, "wait");
    assert_eq!(read, written * readers);
    let old = &document.summary.end_to_end;
    assert_eq!((old.count, old.censored), (written * readers, 0));
    // What would be negative is 0.
    assert!(old.min_ns > Some(10_000), "{old:?}");
    let totals = &document.totals;
    assert_eq!((totals.failed, totals.unanswered, totals.unsent), (0, 0, 0));
    let grown = &document.protocol_details["reconciliation"]["growth_records"];
    assert_eq!(grown.as_u64(), Some(written));
}

/// `far` is what `near` is and what the path adds.
#[track_caller]
fn is_longer(what: &str, near: &Latency, far: &Latency) {
    let (near, far) = (
        near.p50_ns.expect("a median"),
        far.p50_ns.expect("a median"),
    );
    let added = Duration::from_nanos(far.saturating_sub(near));
    println!("{what}: {near} ns, on the path {far} ns");
    assert!(
        added + Duration::from_micros(500) >= PATH,
        "{what}: {added:?}"
    );
    assert!(added <= PATH + SLACK, "{what}: {added:?}");
}

/// At a rate at which every fetch is at the broker before the next record is.
#[test]
fn what_the_path_adds_is_in_both_times() {
    let broker = shared(Version::V4_2);
    broker.create("path", 4, &[]);
    // A JVM that has not done this before takes longer than the path.
    let at = broker.bootstrap();
    let used = kafka(&format!(
        "end-to-end {at} --topic path -n 5000 --fan-out 3 --acks 1 -t 1"
    ));
    all_were_read(&used, 5000, 3);
    let run = |at: &str| {
        let document = kafka(&format!(
            "end-to-end {at} --topic path -n 120 -R 20 --fan-out 3 --acks 1 -t 1"
        ));
        all_were_read(&document, 120, 3);
        document
    };
    let near = run(&at);
    let path = broker.path(1, PATH);
    let far = run(&path.address());
    let summary = |document: &Document| document.summary.clone();
    let (near, far) = (summary(&near), summary(&far));
    is_longer("produce", &near.response_time, &far.response_time);
    is_longer("end to end", &near.end_to_end, &far.end_to_end);
}

#[test]
fn what_is_acknowledged_is_read_once_by_every_reader() {
    for version in Version::ALL {
        let broker = shared(version);
        let (at, topic) = (broker.bootstrap(), "read-by-all");
        broker.create(topic, 6, &[]);
        for (words, records) in [
            ("-n 3000 -R 3000 -t 1", 3000),
            ("-n 20001 --batch-bytes 16Ki --depth 4 -t 2 -c 3", 20_001),
            (
                "-n 5000 --batch-bytes 4Ki --acks 1 -t 2 --key-size 8 --partitioner key",
                5000,
            ),
            ("-n 30 --record-size 1000000 -t 1", 30),
        ] {
            for fan_out in [1, 3] {
                let document = kafka(&format!(
                    "end-to-end {at} --topic {topic} {words} --fan-out {fan_out}"
                ));
                all_were_read(&document, records, fan_out);
            }
        }
    }
}

/// By time, others write besides, and their records are no part of ours.
#[test]
fn records_of_others_are_read_and_have_no_time() {
    let broker = shared(Version::V4_2);
    let (at, topic) = (broker.bootstrap(), "others-too");
    broker.create(topic, 2, &[]);
    let words =
        format!("kafka end-to-end {at} --topic {topic} -d 4s -R 200 --warmup 1s -t 1 --json");
    let words: Vec<&str> = words.split_whitespace().collect();
    let running = start(&[], &words);
    std::thread::sleep(Duration::from_secs(2));
    let other = format!("kafka end-to-end {at} --topic {topic} -n 500 --json");
    let other = loadgen(&other.split_whitespace().collect::<Vec<_>>()).document();
    let document = running.finish().document();
    let said = &document.protocol_details["end_to_end"];
    let acked = records(&document, "produce");
    assert_eq!(said["readers"][0]["records"], acked, "{said}");
    assert_eq!(said["readers"][0]["records_of_others"], 500, "{said}");
    assert!(ours(&document).contains(&"kafka.records_of_others"));
    assert_eq!(other.summary.end_to_end.count, 500);
    // Those of the window, and no others.
    let old = document.summary.end_to_end.count;
    assert!(old < acked && old.abs_diff(800) <= 1, "{old} of {acked}");
}

/// A leader dies in mid-run: readers follow, and what was acknowledged by all is read by all.
#[test]
fn readers_follow_a_leader_that_moves() {
    let _machine = machine();
    let mut brokers = Kafka::three(Version::V4_2);
    let topic = "followed";
    let places: [&[u32]; 3] = [&[2, 3, 1], &[3, 2, 1], &[2, 1, 3]];
    brokers.place(topic, &places, &["min.insync.replicas=1"]);
    let at = brokers.bootstrap();
    let words = format!(
        "kafka end-to-end {at} --topic {topic} -d 12s --warmup 0s -R 300 --acks all --timeout 5s \
         --ack-timeout 4s --fan-out 2 -t 1 --json"
    );
    let words: Vec<&str> = words.split_whitespace().collect();
    let running = start(&[], &words);
    std::thread::sleep(Duration::from_secs(4));
    brokers.kill(2);
    let document = running.finish().document();
    let said = &document.protocol_details["end_to_end"];
    let number = |name: &str| said[name].as_u64().expect("a number");
    let (acked, unknown) = (number("acked_records"), number("unknown_records"));
    assert!(acked > 1000, "{said} {:?}", document.errors);
    for reader in said["readers"].as_array().expect("rows") {
        let read = reader["records"].as_u64().expect("a number");
        assert!(acked <= read && read <= acked + unknown, "{said}");
    }
    assert!(document.protocol_details["produce"]["leader_moves"].as_u64() >= Some(2));
}

/// Reading on a long path: each fetch takes that much longer, and with several in flight there is as
/// much more of them.
#[test]
fn fetches_in_flight_make_up_for_a_long_path() {
    let broker = shared(Version::V4_2);
    let topic = "far-away";
    broker.create(topic, 8, &[]);
    let at = broker.bootstrap();
    let seeded = kafka(&format!(
        "seed {at} --topic {topic} -n 16000 --batch-bytes 32Ki --acks 1"
    ));
    assert_eq!(records(&seeded, "produce"), 16_000);
    let read = |at: &str, depth: u32| {
        let document = kafka(&format!(
            "consume {at} --topic {topic} --replay -d 4s --fetch-size 64Ki --fetch-max-bytes 64Ki -t 1 \
             -c 1 --depth {depth}"
        ));
        assert_eq!(document.totals.failed, 0, "{:?}", document.errors);
        document
    };
    let near = read(&at, 1);
    let path = broker.path(1, PATH);
    let far = read(&path.address(), 1);
    let fetch = |document: &Document| row(document, "fetch", "ok").expect("fetches").clone();
    is_longer(
        "fetch",
        &fetch(&near).response_time,
        &fetch(&far).response_time,
    );
    let many = read(&path.address(), 8);
    let rate = |document: &Document| document.summary.rate.units_per_s.expect("a rate");
    println!(
        "records/s: {} near, {} far, {} far with 8 in flight",
        rate(&near),
        rate(&far),
        rate(&many)
    );
    assert!(
        rate(&many) > 5.0 * rate(&far),
        "{} {}",
        rate(&far),
        rate(&many)
    );
}
