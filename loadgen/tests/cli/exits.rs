//! Every exit code that a command line can bring about (70 is a bug: see `guard.rs`).

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{Left, command, dead_url, document_in, loadgen, slow_target, target, url};

#[test]
fn zero_when_all_is_well() {
    let target = target();
    let left = loadgen(&format!(
        "http -n 100 --require requests.failed<1 {}",
        url(&target)
    ));
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert_eq!(loadgen("--help").code, Some(0));
    assert!(
        loadgen("http --help")
            .stdout
            .contains("--requests-per-conn")
    );
    assert!(
        loadgen("--version")
            .stdout
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn one_when_a_requirement_says_no() {
    let target = target();
    let line = "http -n 100 --json --require response_time.p99<1ns --require requests.failed<1";
    let left = loadgen(&format!("{line} {}", url(&target)));
    assert_eq!(left.code, Some(1), "{}", left.stderr);
    let document = left.document();
    assert_eq!(document["requirements"][0]["ok"], false);
    assert_eq!(document["requirements"][1]["ok"], true);
    assert_eq!(document["verdict"]["exit_code"], 1);
}

#[test]
fn two_when_the_command_line_is_wrong() {
    for (line, part) in [
        ("", "Usage"),
        ("http", "<URL>"),
        ("frobnicate", "frobnicate"),
        ("http --frobnicate http://h/", "--frobnicate"),
        ("http -d 5 -n 5 http://127.0.0.1/", "-n 5"),
        ("http -t 5 -c 2 http://127.0.0.1/", "-t 5"),
        ("http -c 1x http://127.0.0.1/", "1x"),
        ("http https://127.0.0.1/", "https"),
        ("http nonsense", "nonsense"),
        ("http --require p98<5 http://127.0.0.1/", "p98"),
        ("http --client curl http://127.0.0.1/", "native or hyper"),
        ("http -H Nonsense http://127.0.0.1/", "Nonsense"),
        (
            "http --depth 2 --pipeline 3 http://127.0.0.1/",
            "--pipeline 3",
        ),
    ] {
        let left = loadgen(line);
        assert_eq!(left.code, Some(2), "{line}: {}", left.stderr);
        assert!(left.stderr.contains(part), "{line}: {}", left.stderr);
        assert_eq!(left.stdout, "", "{line}");
    }
}

#[test]
fn a_flag_of_another_tool_gets_a_hint() {
    for (line, hint) in [
        ("http -q 100 http://127.0.0.1/", "-R/--rate"),
        ("http -z 10s http://127.0.0.1/", "-d/--duration"),
        ("http -t 2s http://127.0.0.1/", "--timeout"),
        ("http -s post.lua http://127.0.0.1/", "--body"),
        ("http -k http://127.0.0.1/", "https"),
    ] {
        let left = loadgen(line);
        assert_eq!(left.code, Some(2));
        let said = left.stderr.lines().find(|l| l.contains("hint: "));
        assert!(said.is_some_and(|l| l.contains(hint)), "{}", left.stderr);
    }
}

#[test]
fn three_when_nothing_can_be_reached_and_the_result_is_written() {
    let left = loadgen(&format!("http -d 1 --json {}", dead_url()));
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    let document = left.document();
    assert_eq!(document["status"], "failed");
    assert_eq!(document["errors"][0]["phase"], "connect");
    assert_eq!(document["errors"][0]["cause"], "refused");
    let codes: Vec<&str> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["code"].as_str())
        .collect();
    assert!(codes.contains(&"target_unreachable"), "{codes:?}");
    let unresolved = loadgen("http -d 1 http://no-such-host.invalid/");
    assert_eq!(unresolved.code, Some(3), "{}", unresolved.stderr);
    assert!(unresolved.stderr.contains("no-such-host.invalid"));
}

#[test]
fn three_when_every_reply_is_bad() {
    let target = target();
    let left = loadgen(&format!("http -n 50 --json {}status/503", url(&target)));
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    assert_eq!(left.document()["operations"][0]["status"], "503");
}

#[test]
fn four_when_the_machine_refuses() {
    let target = target();
    let left = loadgen(&format!("http -n 5 --cpus 1023 {}", url(&target)));
    assert_eq!(left.code, Some(4), "{}", left.stderr);
    assert!(left.stderr.contains("CPU 1023"), "{}", left.stderr);
    let listen = format!("serve http --listen {}", target.address());
    let taken = loadgen(&listen);
    assert_eq!(taken.code, Some(4), "{}", taken.stderr);
    assert_eq!(target.stop().requests, 0);
}

#[test]
fn five_when_output_cannot_be_written() {
    let target = target();
    for flag in ["--json", "--timeseries"] {
        let line = format!("http -n 5 {flag}=/no/such/folder/x {}", url(&target));
        let left = loadgen(&line);
        assert_eq!(left.code, Some(5), "{}", left.stderr);
        assert!(left.stderr.contains("/no/such/folder/x"), "{}", left.stderr);
    }
    assert_eq!(target.stats().requests, 0, "refused before the run");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let line = format!("http -n 5 {}", url(&target));
    let left: Left = command(&line)
        .stdout(Stdio::from(full))
        .output()
        .unwrap()
        .into();
    assert_eq!(left.code, Some(5), "{}", left.stderr);
    assert_eq!(target.stop().requests, 5);
}

#[test]
fn six_when_a_finding_invalidates() {
    // 20 replies a second at the most, 400 asked for: the schedule cannot be kept.
    let target = slow_target("fixed:50ms");
    let line = "http -c 1 -R 400 -d 1 --drain 100ms --json";
    let left = loadgen(&format!("{line} {}", url(&target)));
    assert_eq!(left.code, Some(6), "{}", left.stderr);
    let document = left.document();
    assert_eq!(document["verdict"]["valid"], false);
    assert_eq!(document["loop"], "open");
}

#[test]
fn interrupted_the_result_is_partial_and_written() {
    for signal in ["-INT", "-TERM"] {
        let target = slow_target("fixed:1ms");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("partial.json");
        let line = format!("http -d 60 -c 2 --json={} {}", file.display(), url(&target));
        let begun = Instant::now();
        let child = command(&line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(|| target.stats().replies > 10);
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(sent.unwrap().success());
        let left: Left = child.wait_with_output().unwrap().into();
        assert_eq!(left.code, Some(130), "{}", left.stderr);
        assert!(begun.elapsed() < Duration::from_secs(30));
        let document = document_in(&file);
        assert_eq!(document["status"], "partial");
        assert_eq!(document["interrupted"], true);
        assert!(document["totals"]["completed"].as_u64().unwrap() > 0);
        assert!(!left.stdout.is_empty(), "the report is there too");
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let target = slow_target("fixed:30s");
    let child = command(&format!("http -d 60 -c 1 {}", url(&target)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| target.stats().requests > 0);
    kill("-INT", &child);
    // The first one waits up to a second for the reply in flight; two at once would be one.
    std::thread::sleep(Duration::from_millis(200));
    kill("-INT", &child);
    let left: Left = child.wait_with_output().unwrap().into();
    assert_eq!(left.code, Some(130), "{}", left.stderr);
    assert_eq!(left.stdout, "", "no report: it did not wait");
}

fn kill(signal: &str, child: &std::process::Child) {
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args([signal, &pid])
        .status();
    assert!(sent.unwrap().success());
}

/// Looks again and again, for ten seconds at the most.
pub(crate) fn wait_for(true_now: impl Fn() -> bool) {
    let begun = Instant::now();
    while !true_now() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}
