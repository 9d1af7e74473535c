//! `loadgen kafka` as its users meet it: what is refused, and how, before anybody is asked.

use loadgen_kafka::target::{Target as KafkaTarget, TargetOptions as KafkaTargetOptions};
use serde_json::Value;

use crate::{command, loadgen};

#[test]
#[expect(clippy::too_many_lines, reason = "one row a refusal")]
fn two_when_the_command_line_is_wrong() {
    for (line, parts) in [
        ("kafka", ["consume", "seed"]),
        ("kafka consume", ["HOST:PORT", "--topic"]),
        ("kafka consume h", ["--topic", ""]),
        ("kafka consume h --topic a/b", ["--topic", "'/'"]),
        ("kafka consume h:0 --topic t", ["h:0", "65535"]),
        ("kafka consume h --topic t -d 5 -n 5", ["-d 5s", "-n 5"]),
        (
            "kafka consume h --topic t --verify none",
            ["--verify none", "--replay"],
        ),
        (
            "kafka consume h --topic t --from latest",
            ["--from latest", "--until follow"],
        ),
        (
            "kafka consume h --topic t --max-wait 10s",
            ["--max-wait 10s", "--timeout 10s"],
        ),
        (
            "kafka consume h --topic t --warmup 1s",
            ["--warmup 1s", "-d"],
        ),
        (
            "kafka consume h --topic t --client curl",
            ["--client curl", "native"],
        ),
        (
            "kafka consume h --topic t --sasl PLAIN:u",
            ["LOADGEN_SASL_PASSWORD", ""],
        ),
        (
            "kafka produce h --topic t --partitioner key",
            ["--key-size", ""],
        ),
        (
            "kafka produce h --topic t --ack-timeout 11s",
            ["--ack-timeout 11s", "--timeout 10s"],
        ),
        (
            "kafka produce h --topic t --driver sim",
            ["--driver sim", "serve kafka"],
        ),
        (
            "kafka seed h --topic t -n 5 --create --dry-run",
            ["--dry-run", "--create"],
        ),
        ("kafka seed h --topic t", ["--requests", ""]),
        (
            "kafka seed h --topic t -n 5 --replication 2",
            ["--create", ""],
        ),
        (
            "kafka seed h --topic t -n 5 --create --partitions-count 200k",
            ["--partitions-count", "100000"],
        ),
        (
            "kafka end-to-end h --topic t --codec lz4",
            ["--codec lz4", "compressed"],
        ),
        (
            "kafka end-to-end h --topic t --record-size 15",
            ["--record-size 15", "16 bytes"],
        ),
        (
            "kafka end-to-end h --topic t --acks 0",
            ["--acks 0", "--acks 1"],
        ),
        (
            "kafka end-to-end h --topic t --fan-out 1001",
            ["1001", "1000 readers"],
        ),
        (
            "kafka end-to-end h --topic t --max-wait 10s",
            ["--max-wait 10s", "--timeout 10s"],
        ),
        (
            "kafka end-to-end h --topic t --max-wait 3s --drain 3s",
            ["--max-wait 3s", "--drain 3s"],
        ),
        (
            "kafka end-to-end h --topic t --driver sim",
            ["--driver sim", "serve kafka"],
        ),
        (
            "kafka consume -t orders h",
            ["--workers", "hint: -t is the number of worker"],
        ),
        (
            "kafka produce h --bootstrap-server b",
            ["hint: brokers are words", ""],
        ),
    ] {
        let left = loadgen(line);
        assert_eq!(left.code, Some(2), "{line}: {}", left.stderr);
        for part in parts {
            assert!(left.stderr.contains(part), "{line}: {}", left.stderr);
        }
        assert_eq!(left.stdout, "", "{line}");
    }
}

#[test]
fn three_when_no_broker_answers() {
    for what in ["consume", "produce", "seed -n 5"] {
        // Port 1 is nobody's.
        let line = format!("kafka {what} 127.0.0.1:1 --topic t --connect-timeout 500ms");
        let left = loadgen(&line);
        assert_eq!(left.code, Some(3), "{line}: {}", left.stderr);
        assert!(
            left.stderr.contains("127.0.0.1:1"),
            "{line}: {}",
            left.stderr
        );
    }
}

#[test]
fn a_scripted_cluster_is_read_to_its_end_on_a_virtual_clock() {
    let left = loadgen("kafka consume h --topic t --driver sim --verify records --json");
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let document = left.document();
    let said = &document["protocol_details"]["reconciliation"];
    assert_eq!(
        (&said["records"], &said["offsets"]),
        (&400_000.into(), &400_000.into())
    );
    assert_eq!(document["totals"]["payload_rx_bytes"], 400_000_000);
    // The script answers after 1 ms; a cell of the histogram is a thousandth wide.
    let max_ns = document["summary"]["response_time"]["max_ns"].as_u64();
    assert!(
        (Some(1_000_000)..Some(1_001_000)).contains(&max_ns),
        "{max_ns:?}"
    );
    let some = loadgen("kafka consume h --topic t --driver sim --partitions 2 --from 99990 --json");
    let records = &some.document()["protocol_details"]["reconciliation"]["records"];
    assert_eq!(records, 10);
}

#[test]
fn a_dry_run_asks_the_cluster_and_sends_nothing() {
    let target = KafkaTarget::start(KafkaTargetOptions {
        topics: vec!["t".to_owned()],
        ..KafkaTargetOptions::default()
    });
    let target = target.unwrap();
    for what in ["consume", "produce"] {
        let line = format!("kafka {what} {} --topic t -c 3 --dry-run", target.address());
        let left = loadgen(&line);
        assert_eq!(left.code, Some(0), "{}", left.stderr);
        let plan: Value = serde_json::from_str(&left.stdout).unwrap();
        assert_eq!(plan["plan"]["connections"], 3, "{plan}");
        assert_eq!(plan["plan"]["kafka"]["topic"], "t", "{plan}");
    }
    let stats = serde_json::to_value(target.stop()).unwrap();
    for counter in ["fetch_requests", "produce_requests"] {
        assert_eq!(stats[counter], 0, "{stats}");
    }
    assert!(stats["control_requests"].as_u64() > Some(0), "{stats}");
}

#[test]
fn help_tells_what_the_shared_flags_mean_here() {
    for (line, part) in [
        ("kafka consume --help", "fetches per second"),
        ("kafka produce --help", "records per second"),
        ("kafka seed --help", "--partitions-count"),
        ("kafka --help", "Read a topic"),
    ] {
        let left = loadgen(line);
        assert_eq!(left.code, Some(0), "{line}");
        assert!(left.stdout.contains(part), "{line}: {}", left.stdout);
    }
}

#[test]
fn a_password_is_in_no_message() {
    let mut command =
        command("kafka consume 127.0.0.1:1 --topic t --sasl PLAIN:u --connect-timeout 500ms");
    let output = command
        .env("LOADGEN_SASL_PASSWORD", "hunter2")
        .output()
        .unwrap();
    let text = format!("{output:?}");
    assert!(!text.contains("hunter2"), "{text}");
    let left = loadgen("kafka consume 127.0.0.1:1 --topic t --sasl hunter2");
    assert!(!left.stderr.contains("hunter2"), "{}", left.stderr);
}
