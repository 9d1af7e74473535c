//! Logs and clusters that do not stand still: what a compacted log has left, where a reader may begin,
//! a leader that dies while it is read, a broker that does nothing for a second.
//!
//! kcat and Kafka's own tools are the other side. Nothing here may allow a tolerance on a count.

mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use loadgen_core::results::Document;
use support::kafka::ours::{command, kafka, units};
use support::kafka::{Kafka, Step, Version, shared};
use support::machine;
use support::run::start;

/// Records of the measured window that were acknowledged.
fn measured(document: &Document) -> u64 {
    let good = document.operations.iter().filter(|row| row.status == "ok");
    good.map(|row| row.units).sum()
}

fn counted(document: &Document, name: &str) -> u64 {
    let count = &document.protocol_details["consume"][name];
    count.as_u64().unwrap_or_else(|| panic!("no {name}"))
}

/// Keys and values that kcat reads from `offset` on, one a line.
#[track_caller]
fn kcat(broker: &Kafka, topic: &str, offset: usize, isolation: &str) -> Vec<String> {
    let (from, isolation) = (offset.to_string(), format!("isolation.level={isolation}"));
    let args = ["-C", "-t", topic, "-p", "0", "-o", &from, "-e"];
    let format = ["-X", &isolation, "-f", "%o %K %S\\n"];
    let text = broker.kcat(&[&args[..], &format].concat(), "").expect_ok();
    text.lines().map(str::to_owned).collect()
}

/// Key and value bytes of what kcat printed; a null counts nothing.
fn payload(lines: &[String]) -> u64 {
    let lengths = |line: &String| -> u64 {
        let words = line.split(' ').skip(1);
        words.filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    lines.iter().map(lengths).sum()
}

const fn put(count: u64, key: Option<&str>, value_bytes: Option<u32>) -> Step<'_> {
    Step::Put {
        partition: 0,
        count,
        key,
        value_bytes,
        headers: 0,
    }
}

/// Records overwritten by later ones of their key leave holes: in batches and between them.
#[test]
fn a_compacted_log_is_counted_as_it_is() {
    for version in Version::ALL {
        let broker = shared(version);
        let (at, topic) = (broker.bootstrap(), "compacted");
        let settings = [
            "cleanup.policy=compact",
            "segment.ms=500",
            "min.cleanable.dirty.ratio=0.01",
        ];
        broker.create(topic, 1, &settings);
        // Half of them are deleted by later ones: a batch that was sent keeps some of its records.
        broker.write(topic, &[], &[put(400, Some("k#"), Some(50))]);
        broker.write(topic, &[], &[put(200, Some("k#"), None)]);
        sleep(Duration::from_millis(600));
        // Closes the segment before; the last one is never cleaned.
        broker.write(topic, &[], &[put(3, Some("last"), Some(10))]);
        let since = Instant::now();
        let left = loop {
            let left = kcat(&broker, topic, 0, "read_uncommitted");
            if left.len() < 600 {
                break left;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "{}", left.len());
            sleep(Duration::from_millis(300));
        };
        // It must not be cleaned again between two readers: one of Java's counts like kcat.
        let records = left.len() as u64;
        assert_eq!(broker.consumer_perf(topic, records, &[]).records, records);
        for depth in ["headers", "crc", "records"] {
            let words = format!("consume {at} --topic {topic} --verify {depth}");
            let (ran, document) = kafka(&words);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(units(&document, "ok"), records, "{version:?} {depth}");
            let exact = (depth == "records").then(|| payload(&left));
            assert_eq!(document.totals.payload_rx_bytes, exact, "{version:?}");
        }
    }
}

/// From each offset of a log of transactions, both isolations: as many records as kcat reads.
#[test]
fn a_reader_may_begin_anywhere_in_transactions() {
    for version in Version::ALL {
        let broker = shared(version);
        let (at, topic) = (broker.bootstrap(), "anywhere");
        broker.create(topic, 1, &[]);
        let three = put(3, None, Some(10));
        let steps = [
            [Step::Begin, three, Step::Abort],
            [Step::Begin, put(2, None, Some(10)), Step::Commit],
            [Step::Begin, three, Step::Abort],
        ];
        broker.write(topic, &["transactional.id=anywhere"], &steps.concat());
        let end = usize::try_from(broker.ends(topic)[0]).expect("an offset");
        assert_eq!(end, 3 + 2 + 3 + 3);
        for isolation in ["read_uncommitted", "read_committed"] {
            for from in 0..end {
                let expected = kcat(&broker, topic, from, isolation);
                let (ran, document) = kafka(&format!(
                    "consume {at} --topic {topic} --verify records --from {from} --isolation {isolation}"
                ));
                let facts = format!("{version:?} {isolation} from {from}: {}", ran.stderr);
                assert_eq!(units(&document, "ok"), expected.len() as u64, "{facts}");
                let bytes = document.totals.payload_rx_bytes;
                assert_eq!(bytes, Some(payload(&expected)), "{facts}");
            }
        }
    }
}

/// A leader dies while its partition is read, comes back, and leads again: every record is read once,
/// and what went wrong meanwhile is in the document.
#[test]
fn a_leader_that_dies_while_it_is_read_costs_no_record() {
    let _machine = machine();
    let mut brokers = Kafka::three(Version::V4_2);
    let topic = "read-on";
    brokers.place(topic, &[&[2, 3, 1], &[3, 2, 1], &[2, 1, 3]], &[]);
    let at = brokers.bootstrap();
    let (ran, _) = kafka(&format!(
        "produce {at} --topic {topic} -n 60000 --record-size 200 --batch-bytes 2000 --acks all -c 3"
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // 20,000 records in each, 20 batches of 9 a reply, 20 replies a second: 17 s.
    let words = format!(
        "consume {at} --topic {topic} --fetch-size 40000 --verify records -R 20 -c 3 --warmup 0s \
         --timeout 5s"
    );
    let running = start(&[], &command(&words));
    sleep(Duration::from_secs(3));
    brokers.kill(2);
    sleep(Duration::from_secs(5));
    brokers.again(2);
    let ran = running.finish();
    let document = ran.document();
    let facts = format!(
        "{} {:?} {}",
        ran.stderr, document.errors, document.protocol_details
    );
    assert_eq!(units(&document, "ok"), 60_000, "{facts}");
    assert_eq!(document.totals.payload_rx_bytes, Some(60_000 * 200));
    let rows = document.protocol_details["consume"]["partitions"].as_array();
    for (row, end) in rows.expect("rows").iter().zip(brokers.ends(topic)) {
        assert_eq!(
            (&row["first_offset"], &row["next_offset"]),
            (&0.into(), &end.into())
        );
        assert_eq!(row["records"], end, "{facts}");
    }
    assert_eq!(counted(&document, "missing_offsets"), 0, "{facts}");
    assert!(counted(&document, "leader_moves") >= 2, "{facts}");
    assert!(
        !document.errors.is_empty(),
        "a broker died unnoticed: {facts}"
    );
    // The gap is in the document: the measured window is longer than the reading took.
    assert!(document.verdict.exit_code != 0 || !document.findings.is_empty());
}

/// A broker does nothing for one second of ten: of the batches that should have left then, each waits
/// for the rest of that second. One request saw it, so service time alone does not show it.
#[test]
fn a_broker_that_stands_still_shows_in_response_time() {
    let _machine = machine();
    let broker = Kafka::one(Version::V4_2);
    let (at, topic) = (broker.bootstrap(), "still");
    broker.create(topic, 1, &[]);
    let words = format!(
        "produce {at} --topic {topic} -d 10s --warmup 2s -R 1000 --record-size 100 --batch-bytes 1150 \
         -c 1 --depth 1 --timeout 10s"
    );
    let running = start(&[], &command(&words));
    sleep(Duration::from_secs(6));
    let frozen = Instant::now();
    broker.freeze(1);
    sleep(Duration::from_secs(1));
    broker.thaw(1);
    let still_s = frozen.elapsed().as_secs_f64();
    let ran = running.finish();
    let document = ran.complete();
    let records = measured(&document) as f64;
    assert!((records - 10_000.0).abs() <= 10.0, "{records} records");
    let response = &document.summary.response_time;
    for (p, actual) in [(0.95, response.p95_ns), (0.99, response.p99_ns)] {
        // A share 1 − p of all batches waited longer.
        let expected_s = still_s - (1.0 - p) * 10.0;
        let actual_s = actual.expect("known") as f64 / 1e9;
        // A JVM that was stopped has its own clocks to wind before it goes on.
        assert!(
            actual_s > expected_s - 0.02 && actual_s < expected_s + 0.2,
            "p{p}: {actual_s} s, {expected_s} s expected"
        );
    }
    let service_s = document.summary.service_time.p99_ns.expect("known") as f64 / 1e9;
    assert!(service_s < 0.3, "{service_s} s: one request of 1000 saw it");
}
