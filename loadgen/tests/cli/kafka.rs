//! `loadgen kafka` as its users meet it: what is refused, and how, before anybody is asked.

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
            "kafka consume h --topic t --driver sim",
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
            "kafka end-to-end h --topic t",
            ["not built yet", "kafka produce"],
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
