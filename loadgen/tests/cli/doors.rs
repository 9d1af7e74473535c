//! The doors, as scripts that were written for wrk and wrk2 meet them.

use std::process::Command;

use crate::{Left, dead_url, document_in, loadgen, target, url};

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
