//! The doors, as scripts that were written for wrk, wrk2 and memaslap meet them.

use std::process::Command;

use loadgen_memcache::target as memcache;

use crate::{Left, command, dead_url, document_in, loadgen, target, url};

#[test]
fn the_report_has_the_lines_that_scrapers_look_for() {
    let target = target();
    let left = loadgen(&format!("wrk -t2 -c10 -d1s --latency {}", url(&target)));
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert_eq!(left.stderr, "");
    let mut lines = left.stdout.lines();
    let first = format!("Running 1s test @ {}", url(&target));
    assert_eq!(lines.next(), Some(first.as_str()));
    assert_eq!(lines.next(), Some("  2 threads and 10 connections"));
    for line in [
        "  Thread Stats ",
        "  Latency Distribution",
        "Requests/sec: ",
        "Transfer/sec: ",
    ] {
        assert!(
            left.stdout.lines().any(|l| l.starts_with(line)),
            "{}",
            left.stdout
        );
    }
    let counted = left
        .stdout
        .lines()
        .find(|l| l.contains(" requests in 1."))
        .unwrap();
    let completed: u64 = counted.split_whitespace().next().unwrap().parse().unwrap();
    assert!(completed > 0);
    assert!(completed <= target.stop().requests);
}

#[test]
fn wrk2_keeps_its_rate_and_needs_one() {
    let target = target();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("door.json");
    let line = format!(
        "wrk2 -t1 -c4 -d1s -R200 -L {} --json={}",
        url(&target),
        file.display()
    );
    let left = loadgen(&line);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(left.stdout.contains("HdrHistogram"), "{}", left.stdout);
    let document = document_in(&file);
    assert_eq!(document["plan"]["rate_per_s"], 200.0);
    assert_eq!(document["plan"]["timeout_ns"], 2_000_000_000_u64);
    let without = loadgen(&format!("wrk2 -d1s {}", url(&target)));
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("-R"), "{}", without.stderr);
}

#[test]
fn bad_replies_are_counted_and_no_failure() {
    let target = target();
    let left = loadgen(&format!("wrk -t1 -c1 -d1s {}status/404", url(&target)));
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(
        left.stdout.contains("Non-2xx or 3xx responses: "),
        "{}",
        left.stdout
    );
}

#[test]
fn what_wrk_refuses_is_refused_with_its_code() {
    for (line, said) in [
        ("wrk", ""),
        (
            "wrk -t4 -c2 http://127.0.0.1/",
            "number of connections must be >= threads",
        ),
        ("wrk -q http://127.0.0.1/", "wrk: invalid option -- 'q'"),
        ("wrk nonsense", "invalid URL: nonsense"),
    ] {
        let left = loadgen(line);
        assert_eq!(left.code, Some(1), "{line}");
        assert!(left.stderr.contains(said), "{line}: {}", left.stderr);
        assert!(
            left.stdout.starts_with("Usage: wrk "),
            "{line}: {}",
            left.stdout
        );
    }
    let script = loadgen("wrk -s post.lua http://127.0.0.1/");
    assert_eq!(script.code, Some(1));
    assert!(script.stderr.contains("--body"), "{}", script.stderr);
    let dead = dead_url();
    let left = loadgen(&format!("wrk -t1 -c2 -d1s {dead}"));
    assert_eq!(left.code, Some(1));
    let address = dead.trim_start_matches("http://").trim_end_matches('/');
    let expected = format!("unable to connect to {address} Connection refused\n");
    assert_eq!((left.stderr, left.stdout), (expected, String::new()));
}

#[test]
fn a_link_named_wrk_is_the_door() {
    let target = target();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("wrk");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_loadgen"), &link).unwrap();
    let mut command = Command::new(&link);
    command.args(["-t1", "-c1", "-d1", &url(&target)]);
    let left: Left = command.output().unwrap().into();
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(
        left.stdout.starts_with("Running 1s test @ "),
        "{}",
        left.stdout
    );
}

fn memcache_target() -> memcache::TargetHandle {
    memcache::Target::start(memcache::TargetOptions::default()).unwrap()
}

#[test]
fn memaslaps_report_is_the_targets_own_count() {
    let target = memcache_target();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("door.json");
    let address = target.address().to_string();
    let line = format!(
        "memaslap -s {address} -B -x 2000 -c 4 -S 1s --json={}",
        file.display()
    );
    let left = loadgen(&line);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let stats = target.stop();
    let begin = format!(
        "servers: {address}\nthreads count: 1\nconcurrency: 4\nexecute number: 2000\n\
         windows size: 10k\nset proportion: set_prop=0.10\nget proportion: get_prop=0.90\n\
         Get Statistics (1800 events)\n"
    );
    assert!(left.stdout.starts_with(&begin), "{}", left.stdout);
    assert_eq!((stats.get("cmd_get"), stats.get("cmd_set")), (1800, 200));
    let document = document_in(&file);
    let rx = document["totals"]["wire_rx_bytes"].as_u64().unwrap();
    let tx = document["totals"]["wire_tx_bytes"].as_u64().unwrap();
    let lines: Vec<&str> = left.stdout.lines().rev().take(8).collect();
    assert!(lines[0].starts_with("Run time: "), "{}", left.stdout);
    assert!(lines[0].contains("s Ops: 2000 TPS: "), "{}", lines[0]);
    assert!(lines[0].contains(" Net_rate: ") && lines[0].ends_with("M/s"));
    let expected = [
        String::new(),
        format!("object_bytes: {}", 200 * (64 + 1024)),
        format!("read_bytes: {rx}"),
        format!("written_bytes: {tx}"),
        format!("get_misses: {}", stats.get("get_misses")),
        "cmd_set: 200".to_owned(),
        "cmd_get: 1800".to_owned(),
    ];
    assert_eq!(lines[1..], expected);
}

#[test]
fn memaslaps_rate_is_kept_and_its_servers_come_from_the_environment() {
    let target = memcache_target();
    let mut command = command("memaslap -B -P 1k -t 2s -v 1 -e 0.5 -d 5");
    command.env("MEMCACHED_SERVERS", target.address().to_string());
    let left: Left = command.output().unwrap().into();
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let last = left.stdout.lines().last().unwrap();
    let (_, tps) = last.split_once("TPS: ").unwrap();
    let tps: f64 = tps.split(' ').next().unwrap().parse().unwrap();
    assert!((900.0..1150.0).contains(&tps), "{last}");
    for line in [
        "verify_misses: ",
        "verify_failed: 0",
        "expired_get: 0",
        "unexpired_unget: 0",
    ] {
        assert!(left.stdout.contains(line), "{line}: {}", left.stdout);
    }
    assert!(target.stop().get("cmd_get") > 1000);
}

#[test]
fn what_memaslap_cannot_do_is_refused_with_its_code() {
    for (line, said) in [
        ("memaslap", "MEMCACHED_SERVERS"),
        ("memaslap -s h -U", "-U: UDP"),
        ("memaslap -s h -Q", "memaslap: invalid option -- 'Q'"),
        ("memaslap -s h -t 10", "-t \"10\""),
        ("memaslap -s h -F /no/such/file", "/no/such/file"),
    ] {
        let left: Left = command(line)
            .env_remove("MEMCACHED_SERVERS")
            .output()
            .unwrap()
            .into();
        assert_eq!(left.code, Some(1), "{line}");
        assert!(left.stderr.contains(said), "{line}: {}", left.stderr);
    }
    let dead = dead_url();
    let address = dead.trim_start_matches("http://").trim_end_matches('/');
    let left = loadgen(&format!("memaslap -s {address} -B -x 16"));
    assert_eq!(left.code, Some(1));
    assert!(left.stderr.contains("refused"), "{}", left.stderr);
    let ascii = loadgen(&format!(
        "memaslap -s {} -x 160",
        memcache_target().address()
    ));
    assert_eq!(ascii.code, Some(1), "its target is gone");
    assert!(ascii.stderr.contains("ASCII"), "{}", ascii.stderr);
}

/// Exit codes and streams as those of kafka-consumer-perf-test and kafka-producer-perf-test 4.2.0.
#[test]
fn kafkas_tools_are_refused_and_helped_as_they_do_it() {
    let consumer = "kafka-consumer-perf-test --bootstrap-server h:1 --topic t";
    let producer = "kafka-producer-perf-test --topic t --num-records 1 --throughput -1";
    for (line, code, stdout, stderr) in [
        (
            "kafka-consumer-perf-test".to_owned(),
            1,
            "",
            "This tool is used to verify the",
        ),
        (
            "kafka-consumer-perf-test --help".to_owned(),
            1,
            "",
            "This tool is used to verify the",
        ),
        (
            "kafka-consumer-perf-test --version".to_owned(),
            0,
            "kafka-consumer-perf-test by loadgen",
            "",
        ),
        (
            format!("{consumer} --messages 1 --unknown"),
            1,
            "",
            "unknown is not a recognized option\nThis tool",
        ),
        (
            format!("{consumer} --messages x"),
            1,
            "",
            "Cannot parse argument 'x' of option messages\n",
        ),
        (
            "kafka-producer-perf-test".to_owned(),
            0,
            "usage: kafka-producer-perf-test",
            "",
        ),
        (
            "kafka-producer-perf-test -h".to_owned(),
            1,
            "usage: kafka-producer-perf-test",
            "",
        ),
        (
            producer.to_owned(),
            1,
            "",
            "usage: kafka-producer-perf-test",
        ),
    ] {
        let left = loadgen(&line);
        assert_eq!(left.code, Some(code), "{line}: {}", left.stderr);
        for (text, begin) in [(&left.stdout, stdout), (&left.stderr, stderr)] {
            assert!(text.starts_with(begin), "{line}: {text}");
            assert_eq!(text.is_empty(), begin.is_empty(), "{line}: {text}");
        }
    }
    let missing = loadgen(producer).stderr;
    let last = missing.lines().last().unwrap();
    let said = "kafka-producer-perf-test: error: one of the arguments --record-size ";
    assert!(last.starts_with(said), "{missing}");
}
