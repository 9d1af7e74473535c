//! `loadgen serve kafka` under clients of others: kcat and Kafka's own tools read and write it.
//!
//! What they count is compared with what it counts. No client of ours takes part.

mod support;

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use loadgen_kafka::target::{Target, TargetHandle, TargetOptions};
use support::kafka::Version;
use support::{KB, machine};

/// A mebibyte does not fit into what a producer sends by default.
const MB: u64 = 1_000_000;

fn start(options: TargetOptions) -> TargetHandle {
    Target::start(options).expect("a target")
}

fn address(target: &TargetHandle) -> String {
    target.address().to_string()
}

/// Runs a program to its end; what it wrote on stdout.
#[track_caller]
fn run(mut command: Command, stdin: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{command:?} is needed for this test: {e}"));
    let mut pipe = child.stdin.take().expect("piped");
    let text = stdin.to_owned();
    let feeder = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("its output");
    let _ = feeder.join();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn kcat(target: &TargetHandle, args: &[&str], stdin: &str) -> String {
    let mut command = Command::new("kcat");
    command.args(["-b", &address(target), "-q"]).args(args);
    run(command, stdin)
}

#[track_caller]
fn java(version: Version, class: &str, args: &[&str]) -> String {
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx256M", "-cp"]);
    command.arg(version.jars().join("*")).arg(class).args(args);
    run(command, "")
}

/// 1 KB in batches of 16 KiB, and 1 MB alone: partition and offset of every record once.
#[test]
fn kcat_reads_every_offset_once() {
    let _machine = machine();
    for (bytes, records) in [(KB as u32, 5_000), (MB as u32, 20)] {
        let target = start(TargetOptions {
            topics: vec!["t".into()],
            record_bytes: bytes,
            batch_bytes: 16 * 1024,
            records: Some(records),
            ..TargetOptions::default()
        });
        let args = ["-C", "-t", "t", "-e", "-o", "beginning"];
        let format = ["-X", "check.crcs=true", "-f", "%p %o %S\n"];
        let text = kcat(&target, &[&args[..], &format].concat(), "");
        let seen: HashSet<&str> = text.lines().collect();
        assert_eq!(text.lines().count() as u64, 4 * records, "{bytes}");
        for partition in 0..4 {
            for offset in 0..records {
                let line = format!("{partition} {offset} {bytes}");
                assert!(seen.contains(line.as_str()), "{line}");
            }
        }
        let stats = target.stop();
        assert!(stats.get("fetched_records") >= 4 * records);
        assert_eq!(stats.get("bad_requests"), 0);
    }
}

#[test]
fn kcat_writes_what_is_counted() {
    let _machine = machine();
    let target = start(TargetOptions {
        records: Some(0),
        workers: 2,
        check_crc: true,
        ..TargetOptions::default()
    });
    let lines: String = (0..1_000).map(|i| format!("record {i}\n")).collect();
    let mut written = 0;
    for more in [
        &["-X", "acks=0"][..],
        &["-X", "acks=1"],
        &["-X", "acks=all"],
        &["-X", "enable.idempotence=true"],
        &["-z", "gzip"],
        &["-z", "snappy"],
        &["-z", "lz4"],
        &["-z", "zstd"],
    ] {
        kcat(&target, &[&["-P", "-t", "t"][..], more].concat(), &lines);
        written += 1_000;
    }
    // Not kept, but so many are there: a reader sees that number, in the partitions' own parts.
    let read = ["-C", "-t", "t", "-e", "-o", "beginning", "-f", "%p\n"];
    let text = kcat(&target, &read, "");
    assert_eq!(text.lines().count(), written);
    let stats = target.stop();
    assert_eq!(stats.get("produced_records"), written as u64);
    assert_eq!(
        (stats.get("crc_errors"), stats.get("refused_batches")),
        (0, 0)
    );
}

/// A broker waits 3 s for more members before a first one may read; nobody is waited for here.
#[test]
fn kcat_joins_a_group_at_once_and_goes_on_where_it_was() {
    let _machine = machine();
    let target = start(TargetOptions {
        partitions: 1,
        topics: vec!["t".into()],
        ..TargetOptions::default()
    });
    let begun = Instant::now();
    let first = ["-X", "auto.offset.reset=earliest", "-f", "%o\n"];
    let group = ["-c", "3", "-G", "g", "t"];
    let args = [&first[..], &group].concat();
    assert_eq!(kcat(&target, &args, ""), "0\n1\n2\n");
    assert_eq!(kcat(&target, &args, ""), "3\n4\n5\n");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "two joins took {took:?}");
}

#[test]
fn the_java_tools_read_and_write() {
    let _machine = machine();
    for version in Version::ALL {
        for (bytes, records) in [(KB, 50_000), (MB, 100)] {
            let target = start(TargetOptions {
                record_bytes: bytes as u32,
                ..TargetOptions::default()
            });
            let (at, count) = (address(&target), records.to_string());
            let class = "org.apache.kafka.tools.ConsumerPerformance";
            let args = ["--bootstrap-server", &at, "--topic", "t", "--hide-header"];
            let text = java(
                version,
                class,
                &[&args[..], &["--messages", &count]].concat(),
            );
            let line = text.lines().find(|line| line.matches(", ").count() == 9);
            let words: Vec<&str> = line.expect("a line of results").split(", ").collect();
            // It counts the whole of its last poll.
            let seen: u64 = words[4].parse().expect("a count");
            assert!((records..2 * records).contains(&seen), "{version:?} {text}");
            let mib = (seen * bytes) as f64 / 1_048_576.0;
            assert_eq!(words[2], format!("{mib:.4}"), "{version:?}");
            let join_ms: u64 = words[6].parse().expect("a number");
            assert!(join_ms < 3_000, "{version:?} joined in {join_ms} ms");

            let target = start(TargetOptions {
                records: Some(0),
                check_crc: true,
                ..TargetOptions::default()
            });
            let servers = format!("bootstrap.servers={}", address(&target));
            let (count, size) = (records.to_string(), bytes.to_string());
            let args = [
                "--topic",
                "t",
                "--num-records",
                &count,
                "--throughput",
                "-1",
            ];
            let more = ["--record-size", &size, "--producer-props", &servers];
            let class = "org.apache.kafka.tools.ProducerPerformance";
            java(version, class, &[&args[..], &more].concat());
            let class = "org.apache.kafka.tools.GetOffsetShell";
            let at = address(&target);
            let text = java(version, class, &["--bootstrap-server", &at, "--topic", "t"]);
            let ends = text.lines().filter_map(|line| line.rsplit(':').next());
            let ends: u64 = ends.filter_map(|end| end.parse::<u64>().ok()).sum();
            let stats = target.stop();
            assert_eq!(stats.get("produced_records"), records, "{version:?}");
            assert_eq!(ends, records, "{version:?}: {text}");
            assert_eq!(stats.get("refused_batches"), 0, "{version:?}");
        }
    }
}
