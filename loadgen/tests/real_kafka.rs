//! Our totals against Kafka's own: what we say we wrote is in the log, what we say we read is what the
//! Java tool reads.
//!
//! Brokers of every version, Kafka's own tools as the other side. Nothing here may allow a tolerance.

mod support;

use std::time::Duration;

use loadgen_core::results::Document;
use support::kafka::ours::{kafka, units};
use support::kafka::{Kafka, Perf, Step, USER, Version, shared};
use support::machine;
use support::run::{Ran, loadgen, start};

fn found(document: &Document, code: &str) -> bool {
    document.findings.iter().any(|f| f.code == code)
}

#[track_caller]
fn assert_fine(ran: &Ran, document: &Document) {
    assert_eq!(ran.code, Some(0), "{} {:?}", ran.stderr, document.findings);
    assert!(document.errors.is_empty(), "{:?}", document.errors);
    assert_eq!(document.totals.failed, 0);
    let wrong = [
        "kafka.acked_records_missing",
        "kafka.more_records_than_sent",
        "kafka.count_mismatch",
    ];
    assert!(
        wrong.iter().all(|code| !found(document, code)),
        "{:?}",
        document.findings
    );
}

/// Every codec and every way of acknowledging: the log has what we say, we read what is there, and
/// Java's tool counts the same records and bytes.
#[test]
fn what_is_written_is_there_and_what_is_there_is_read() {
    for version in Version::ALL {
        let broker = shared(version);
        let at = broker.bootstrap();
        let cases = [
            ("none", "1", 30_001_u64, 1_000),
            ("lz4", "all", 20_000, 1_000),
            ("gzip", "1", 5_000, 1_000),
            ("snappy", "0", 5_000, 1_000),
            ("zstd", "all", 5_000, 300),
            ("none", "1", 41, 1_000_000),
        ];
        for (codec, acks, records, bytes) in cases {
            let topic = format!("w-{codec}-{acks}-{bytes}");
            let (ran, document) = kafka(&format!(
                "seed {at} --topic {topic} --create --partitions-count 4 -n {records} \
                 --record-size {bytes} --codec {codec} --acks {acks}"
            ));
            assert_fine(&ran, &document);
            let status = if acks == "0" { "unacked" } else { "ok" };
            assert_eq!(units(&document, status), records, "{topic}");
            assert_eq!(document.totals.payload_tx_bytes, Some(records * bytes));
            let ends: i64 = broker.ends(&topic).iter().sum();
            assert_eq!(ends.unsigned_abs(), records, "{version:?} {topic}");
            for depth in ["headers", "crc", "records"] {
                let (ran, document) =
                    kafka(&format!("consume {at} --topic {topic} --verify {depth}"));
                assert_fine(&ran, &document);
                assert_eq!(
                    units(&document, "ok"),
                    records,
                    "{version:?} {topic} {depth}"
                );
                let payload = document.totals.payload_rx_bytes;
                assert_eq!(payload, (depth == "records").then_some(records * bytes));
            }
        }
        let mib = Perf::mib_of(30_001 * 1_000);
        let seen = broker.consumer_perf("w-none-1-1000", 30_001, &[]);
        assert_eq!(
            seen,
            Perf {
                mib,
                records: 30_001
            },
            "{version:?}"
        );
        let mib = Perf::mib_of(20_000 * 1_000);
        let seen = broker.consumer_perf("w-lz4-all-1000", 20_000, &[]);
        assert_eq!(
            seen,
            Perf {
                mib,
                records: 20_000
            },
            "{version:?}"
        );
    }
}

/// What Java's producer wrote: tombstones, headers, empty values, transactions that ended either
/// way, a log whose start has moved.
#[test]
fn records_of_all_kinds_are_counted_as_kafka_counts_them() {
    for version in Version::ALL {
        let broker = shared(version);
        let (at, topic) = (broker.bootstrap(), "all-kinds");
        broker.create(topic, 50, &[]);
        let put = |partition, count, key, value_bytes, headers| Step::Put {
            partition,
            count,
            key,
            value_bytes,
            headers,
        };
        let plain = [
            put(0, 10, None, Some(100), 0),
            put(0, 3, Some("key-#"), None, 0),
            put(49, 5, Some("k"), Some(0), 2),
        ];
        broker.write(topic, &["compression.type=lz4"], &plain);
        let payload_bytes = 10 * 100 + 3 * 6 + 5;
        for depth in ["headers", "crc", "records"] {
            let (ran, document) = kafka(&format!("consume {at} --topic {topic} --verify {depth}"));
            assert_fine(&ran, &document);
            assert_eq!(units(&document, "ok"), 18, "{version:?} {depth}");
            let payload = document.totals.payload_rx_bytes;
            assert_eq!(payload, (depth == "records").then_some(payload_bytes));
        }
        let transactions = [
            Step::Begin,
            put(49, 4, None, Some(10), 0),
            Step::Abort,
            Step::Begin,
            put(49, 2, None, Some(10), 0),
            Step::Commit,
        ];
        broker.write(topic, &["transactional.id=kinds"], &transactions);
        for (isolation, records) in [("read_uncommitted", 24), ("read_committed", 20)] {
            for depth in ["headers", "records"] {
                let (ran, document) = kafka(&format!(
                    "consume {at} --topic {topic} --verify {depth} --isolation {isolation}"
                ));
                assert_fine(&ran, &document);
                assert_eq!(
                    units(&document, "ok"),
                    records,
                    "{version:?} {isolation} {depth}"
                );
            }
        }
        broker.forget(topic, 0, 7);
        for depth in ["headers", "records"] {
            let (ran, document) = kafka(&format!("consume {at} --topic {topic} --verify {depth}"));
            assert_fine(&ran, &document);
            assert_eq!(units(&document, "ok"), 24 - 7, "{version:?} {depth}");
        }
    }
}

#[test]
fn credentials_are_proven_by_all_three_mechanisms() {
    for version in Version::ALL {
        let broker = shared(version);
        let (at, topic) = (broker.sasl_address(1), "secret");
        broker.create(topic, 1, &[]);
        let (user, password) = USER;
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let (ran, document) = kafka(&format!(
                "produce {at} --topic {topic} -n 100 --sasl {mechanism}:{user}:{password}"
            ));
            assert_fine(&ran, &document);
            assert_eq!(units(&document, "ok"), 100, "{version:?} {mechanism}");
            let wrong =
                format!("kafka produce {at} --topic {topic} -n 100 --sasl {mechanism}:{user}:no");
            let ran = loadgen(&wrong.split_whitespace().collect::<Vec<_>>());
            assert_eq!(ran.code, Some(3), "{mechanism} {}", ran.stderr);
        }
    }
}

/// A leader dies in mid-run: the run goes on; what was acknowledged by all is in the log, what is
/// unknown is said, and a reader counts each record once.
#[test]
fn a_leader_that_dies_costs_no_acknowledged_record() {
    let _machine = machine();
    let mut brokers = Kafka::three(Version::V4_2);
    let topic = "failover";
    brokers.place(
        topic,
        &[&[2, 3, 1], &[3, 2, 1], &[2, 1, 3]],
        &["min.insync.replicas=1"],
    );
    let at = brokers.bootstrap();
    let words = format!(
        "kafka produce {at} --topic {topic} -d 14s --warmup 0s -R 2000 --record-size 200 \
         --batch-bytes 2000 --acks all --timeout 5s --ack-timeout 4s -t 1 -c 3 --json"
    );
    let words: Vec<&str> = words.split_whitespace().collect();
    let running = start(&[], &words);
    std::thread::sleep(Duration::from_secs(4));
    brokers.kill(2);
    let ran = running.finish();
    let document = ran.document();
    let said = &document.protocol_details["reconciliation"];
    let facts = format!(
        "{:?} {:?} {:?}",
        document.operations, document.errors, document.targets
    );
    let number = |name: &str| {
        said[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {said} {facts}"))
    };
    let (acked, unknown) = (number("acked_records"), number("unknown_records_max"));
    let grown = number("growth_records");
    assert!(acked <= grown && grown <= acked + unknown, "{said}");
    assert_eq!(acked, units(&document, "ok"));
    // Nine tenths of what was offered, although a leader was gone for seconds.
    assert!(acked > 15_000, "{acked} acknowledged: {said} {facts}");
    assert!(
        !document.errors.is_empty(),
        "a broker died and nobody noticed"
    );
    assert!(document.protocol_details["produce"]["leader_moves"].as_u64() >= Some(2));
    let (ran, document) = kafka(&format!("consume {at} --topic {topic} -c 3"));
    assert_eq!(
        units(&document, "ok"),
        grown,
        "{} {:?}",
        ran.stderr,
        document.findings
    );
}

/// Each worker reaches one broker only, and one of them dies: the others send its part of the count,
/// and what was due there.
#[test]
fn a_worker_whose_broker_dies_leaves_its_part_to_the_others() {
    let _machine = machine();
    let mut brokers = Kafka::three(Version::V4_2);
    let topic = "left-over";
    brokers.place(
        topic,
        &[&[2, 3, 1], &[3, 2, 1], &[1, 2, 3]],
        &["min.insync.replicas=1"],
    );
    let at = brokers.bootstrap();
    let words = format!(
        "kafka produce {at} --topic {topic} -n 30000 --warmup 0s -R 2000 --record-size 200 \
         --batch-bytes 2000 --acks all --timeout 5s --ack-timeout 4s -t 3 -c 3 --json"
    );
    let running = start(&[], &words.split_whitespace().collect::<Vec<_>>());
    std::thread::sleep(Duration::from_secs(4));
    brokers.kill(2);
    let ran = running.finish();
    let document = ran.document();
    let facts = format!("{:?} {}", document.totals, ran.stderr);
    assert!(document.workers.iter().all(|w| !w.gave_up), "{facts}");
    assert_eq!(document.totals.unsent, 0, "{facts}");
    let sent = document.protocol_details["produce"]["sent_records"].as_u64();
    assert_eq!(sent, Some(30_000), "{facts}");
    let said = &document.protocol_details["reconciliation"];
    let number = |name: &str| said[name].as_u64().expect(name);
    let (acked, unknown) = (number("acked_records"), number("unknown_records_max"));
    let grown = number("growth_records");
    assert!(acked <= grown && grown <= acked + unknown, "{said}");
    assert!(acked > 28_000, "{said}");
}

/// A follower stands still: with acks=1 its leader acknowledges what consumers do not see yet, and all
/// of it is in the log.
#[test]
fn what_followers_lack_is_not_missing() {
    let _machine = machine();
    let brokers = Kafka::three(Version::V4_2);
    let topic = "lagging";
    brokers.place(topic, &[&[1, 2]], &["min.insync.replicas=1"]);
    let at = brokers.address(1);
    let words = format!(
        "kafka produce {at} --topic {topic} -d 4s --warmup 0s --record-size 200 -R 2000 \
         --batch-bytes 2000 --acks 1 -t 1 --json"
    );
    let running = start(&[], &words.split_whitespace().collect::<Vec<_>>());
    std::thread::sleep(Duration::from_secs(2));
    brokers.freeze(2);
    let ran = running.finish();
    brokers.thaw(2);
    let document = ran.document();
    let said = &document.protocol_details["reconciliation"];
    let acked = said["acked_records"].as_i64().expect("acknowledged");
    // All of the rate, though two brokers of three lead nothing.
    assert!(acked > 7500, "{said} {}", ran.stderr);
    assert_eq!(said["growth_records"], acked, "{said}");
    assert!(!found(&document, "kafka.acked_records_missing"), "{said}");
}

/// Without acknowledgements nobody says that every batch is refused: the log does.
#[test]
fn a_run_whose_batches_are_all_refused_is_not_valid_without_acknowledgements() {
    let broker = shared(Version::V4_2);
    let (at, topic) = (broker.bootstrap(), "too-large");
    broker.create(topic, 2, &["max.message.bytes=1000"]);
    let (ran, document) = kafka(&format!(
        "produce {at} --topic {topic} -n 200 --record-size 1500 --batch-bytes 4000 --acks 0"
    ));
    assert!(
        found(&document, "kafka.unacked_records_missing"),
        "{}",
        ran.stderr
    );
    assert!(!document.verdict.valid);
    assert_ne!(ran.code, Some(0));
}

/// Records are stamped with when they are sent, however long it took to compose them.
#[test]
fn preparing_does_not_put_records_into_the_past() {
    let broker = shared(Version::V4_2);
    let (at, topic) = (broker.bootstrap(), "stamps");
    broker.create(topic, 8, &[]);
    let begun = std::time::SystemTime::now();
    let (ran, document) = kafka(&format!(
        "produce {at} --topic {topic} -n 8000 --record-size 1000 --batch-bytes 1000000 --codec gzip \
         --key-size 8 --partitioner key"
    ));
    assert_fine(&ran, &document);
    let begun_ms = begun
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_millis();
    let started_ms = u128::from(document.start_unix_ns / 1_000_000);
    // Otherwise there is nothing to see.
    assert!(
        started_ms - begun_ms > 300,
        "composed in {} ms",
        started_ms - begun_ms
    );
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-f", "%T\\n"];
    let text = broker.kcat(&args, "").expect_ok();
    let stamps = text
        .lines()
        .map(|line| line.parse::<u128>().expect("a time"));
    let earliest = stamps.min().expect("records");
    assert!(
        earliest + 100 >= started_ms,
        "{} ms too early",
        started_ms - earliest
    );
}
