//! Our totals against memcached's own counts, and what a memcached can do to a run.
//!
//! Every case reads the server's `stats` by itself. Nothing here may allow a tolerance.

mod support;

use std::process::Command;
use std::time::Duration;

use loadgen_core::results::Document;
use support::capture::{Capture, many};
use support::machine;
use support::memcached::{Memcached, sum};
use support::run::{Ran, loadgen, start};
use support::target::Target;

/// Units of the whole run of an op with one of some statuses.
fn units(document: &Document, ops: &[&str], statuses: &[&str]) -> u64 {
    let rows = document.operations.iter();
    let rows = rows.filter(|row| ops.contains(&row.op.as_str()));
    let rows = rows.filter(|row| statuses.contains(&row.status.as_str()));
    rows.map(|row| row.total_units).sum()
}

const GETS: [&str; 2] = ["get", "multiget"];
const SETS: [&str; 2] = ["set", "multiset"];

fn codes(document: &Document) -> Vec<&str> {
    document.findings.iter().map(|f| f.code.as_str()).collect()
}

#[track_caller]
fn assert_found(document: &Document, code: &str) {
    assert!(
        codes(document).contains(&code),
        "no {code} among {:?}",
        document.findings
    );
}

/// None of the findings says that a count is wrong.
#[track_caller]
fn assert_reconciled(document: &Document) {
    for code in ["memcache.count_mismatch", "memcache.not_reconciled"] {
        assert!(!codes(document).contains(&code), "{:?}", document.findings);
    }
}

/// Gets, sets, hits, misses: ours are the servers'.
#[track_caller]
fn assert_equal(document: &Document, servers: &[Memcached]) {
    let hits = units(document, &GETS, &["ok"]);
    let misses = units(document, &GETS, &["not_found"]);
    let sets = units(document, &SETS, &["ok"]);
    let facts = format!("{:?}", document.operations);
    assert_eq!(hits, sum(servers, "get_hits"), "{facts}");
    assert_eq!(misses, sum(servers, "get_misses"), "{facts}");
    assert_eq!(hits + misses, sum(servers, "cmd_get"), "{facts}");
    assert_eq!(sets, sum(servers, "cmd_set"), "{facts}");
    assert_reconciled(document);
}

/// A run on fresh servers, which must go well and agree with them.
#[track_caller]
fn exact(servers: usize, flags: &[&str]) -> Document {
    let servers: Vec<Memcached> = (0..servers).map(|_| Memcached::start(&[])).collect();
    let addresses: Vec<String> = servers.iter().map(Memcached::address).collect();
    let mut args = vec!["memcache", "-c", "12", "--json"];
    args.extend(flags);
    args.extend(addresses.iter().map(String::as_str));
    let document = loadgen(&args).complete();
    assert_equal(&document, &servers);
    for target in &document.targets {
        assert!(target.server["delta"]["cmd_get"].is_u64(), "{target:?}");
        assert_eq!(target.server["settings"]["reqs_per_event"], 20);
    }
    document
}

#[test]
fn two_servers_and_two_workers_agree() {
    let _machine = machine();
    for workers in ["1", "2"] {
        let document = exact(2, &["-n", "100k", "-t", workers]);
        assert_eq!(document.totals.completed, 100_000);
        let each: Vec<u64> = document.targets.iter().map(|t| t.completed).collect();
        assert!(each.iter().all(|n| *n > 20_000), "{each:?}");
    }
}

#[test]
fn a_prefill_is_in_the_totals_and_not_in_the_window() {
    let _machine = machine();
    let document = exact(2, &["-n", "20k", "-t", "2", "--keys", "5k", "--prefill"]);
    assert_eq!(document.totals.completed, 20_000 + 2 * 5_000);
    assert_eq!(document.summary.requests.completed, 20_000);
    assert_eq!(
        units(&document, &GETS, &["not_found"]),
        0,
        "every key was there"
    );
    assert_eq!(document.phases[0].name, "prefill");
}

#[test]
fn depth_and_batches_agree() {
    let _machine = machine();
    exact(
        1,
        &["-n", "100k", "--depth", "32", "--keys", "2k", "--prefill"],
    );
    let document = exact(
        2,
        &[
            "-n",
            "5k",
            "--multiget",
            "50",
            "--multiset",
            "7",
            "--keys",
            "3k",
        ],
    );
    let batches = ["multiget", "multiset"];
    let asked = units(&document, &batches, &["ok", "not_found"]);
    assert!(asked > 100_000, "{asked}");
    exact(
        1,
        &[
            "-n",
            "20k",
            "--multiget",
            "100",
            "--depth",
            "4",
            "--on-miss-set",
        ],
    );
}

#[test]
fn large_values_agree() {
    let _machine = machine();
    let flags = [
        "-n",
        "2k",
        "--value-size",
        "200000",
        "--keys",
        "50",
        "--prefill",
    ];
    let document = exact(1, &flags);
    let reads = units(&document, &GETS, &["ok"]);
    assert!(document.totals.payload_rx_bytes >= Some(reads * 200_000));
}

/// memaslap's semantics: each SET is a new key, so a small server loses most of them.
#[test]
fn evictions_make_misses_and_the_hit_rate_is_the_servers() {
    let _machine = machine();
    let server = Memcached::start(&["-m", "64"]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (config, json) = (dir.path().join("config"), dir.path().join("door.json"));
    let text = "key\n64 64 1\nvalue\n4096 4096 1\ncmd\n0 0.5\n1 0.5\n";
    std::fs::write(&config, text).expect("its file");
    let (address, config) = (server.address(), config.display().to_string());
    let file = format!("--json={}", json.display());
    let ran = loadgen(&[
        "memaslap", "-s", &address, "-B", "-x", "100000", "-c", "4", "-F", &config, &file,
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = std::fs::read_to_string(&json).expect("a document");
    let document: Document = serde_json::from_str(&text).expect("a document");
    assert_equal(&document, std::slice::from_ref(&server));
    assert_found(&document, "memcache.evictions");
    let stats = server.stats();
    assert!(stats.get("evictions") > 10_000 && stats.get("get_misses") > 1_000);
    for (name, value) in [
        ("cmd_get", stats.get("cmd_get")),
        ("cmd_set", stats.get("cmd_set")),
        ("get_misses", stats.get("get_misses")),
    ] {
        let line = format!("{name}: {value}\n");
        assert!(ran.stdout.contains(&line), "no {line} in {}", ran.stdout);
    }
    let last = ran.stdout.lines().last().expect("a report");
    assert!(
        last.contains(" Ops: 100000 TPS: ") && last.contains(" Net_rate: "),
        "{last}"
    );
}

/// The one class of failure of the run.
#[track_caller]
fn assert_only(document: &Document, phase: &str, cause: &str) {
    let classes: Vec<_> = document
        .errors
        .iter()
        .map(|e| (e.phase.as_str(), e.cause.as_str()))
        .collect();
    assert_eq!(classes, [(phase, cause)], "{:?}", document.errors);
}

#[test]
fn full_memory_is_counted_by_its_status() {
    let _machine = machine();
    let server = Memcached::start(&["-M", "-m", "8"]);
    let address = server.address();
    let flags = [
        "--op-mix",
        "set=1",
        "--keys",
        "50k",
        "--popularity",
        "sequential",
    ];
    let mut args = vec!["memcache", "-n", "50k", "--json", &address];
    args.extend(flags);
    let ran = loadgen(&args);
    let document = ran.document();
    let refused = units(&document, &SETS, &["out_of_memory"]);
    assert!(refused > 10_000, "{:?}", document.operations);
    assert_eq!(
        units(&document, &SETS, &["ok"]),
        server.stats().get("cmd_set")
    );
    assert_eq!(document.totals.completed, 50_000);
    assert!(document.errors.is_empty(), "{:?}", document.errors);
    assert_reconciled(&document);
    assert_found(&document, "errors");
    assert_eq!(document.verdict.exit_code, 6, "{:?}", document.findings);
}

#[test]
fn a_prefill_that_is_refused_is_not_measured_upon() {
    let _machine = machine();
    let server = Memcached::start(&["-M", "-m", "8"]);
    let address = server.address();
    let args = ["memcache", "-n", "1k", "--keys", "50k", "--prefill"];
    let ran = loadgen(&[&args[..], &["--json", &address]].concat());
    let document = ran.document();
    assert!(ran.stderr.contains("the prefill needs"), "{}", ran.stderr);
    assert_found(&document, "memcache.prefill_refused");
    assert_eq!(document.summary.requests.completed, 0);
    assert_eq!(
        units(&document, &SETS, &["ok"]),
        server.stats().get("cmd_set")
    );
    assert_reconciled(&document);
    assert_eq!(ran.code, Some(6), "{:?}", document.findings);
}

#[test]
fn one_server_with_two_addresses_is_counted_once() {
    let _machine = machine();
    let server = Memcached::start(&["-l", "127.0.0.2"]);
    let (one, two) = (server.address(), format!("127.0.0.2:{}", server.port));
    let ran = loadgen(&["memcache", "-n", "20k", "-c", "8", "--json", &one, &two]);
    let document = ran.complete();
    assert_reconciled(&document);
    assert_found(&document, "memcache.same_server");
    assert_eq!(document.targets[1].server["same_as"], *one);
    assert_equal(&document, &[server]);
}

#[test]
fn a_mute_server_does_not_keep_the_signals_waiting() {
    let _machine = machine();
    let server = Memcached::start(&[]);
    server.freeze();
    let address = server.address();
    for args in [
        &["memcache", "--json"][..],
        &["memaslap", "-x", "10000", "-s"],
    ] {
        let begun = std::time::Instant::now();
        let running = start(&[], &[args, &[&address]].concat());
        std::thread::sleep(Duration::from_millis(500));
        let pid = rustix::process::Pid::from_raw(running.pid().cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let ran = running.finish();
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
        // Two questions of two seconds each were waited for.
        assert!(begun.elapsed().as_millis() < 3000, "{:?}", begun.elapsed());
    }
    server.thaw();
}

#[test]
fn an_item_that_is_too_large_is_refused_and_the_connection_kept() {
    let _machine = machine();
    let server = Memcached::start(&[]);
    let address = server.address();
    let flags = ["--op-mix", "set=1", "--value-size", "2000000", "--json"];
    let ran = loadgen(&[&["memcache", "-n", "200", &address], &flags[..]].concat());
    let document = ran.document();
    assert_eq!(units(&document, &SETS, &["too_large"]), 200);
    assert_eq!(document.totals.completed, 200);
    assert_eq!(document.connections.opened, 10);
    assert_reconciled(&document);
    assert_found(&document, "all_failed");
    assert_eq!(document.verdict.exit_code, 3);
}

#[test]
fn a_server_that_is_full_says_so() {
    let _machine = machine();
    // Its own descriptors count: some ten connections are left.
    let server = Memcached::start(&["-c", "24", "-t", "1"]);
    let address = server.address();
    let args = ["memcache", "-c", "30", "-d", "2s", "--json", &address];
    let document = loadgen(&args).document();
    let full = document
        .errors
        .iter()
        .find(|e| e.cause == "memcache.too_many_connections");
    let full = full.unwrap_or_else(|| panic!("{:?}", document.errors));
    assert!(full.count > 0 && full.sample.contains("-c"), "{full:?}");
    // Those that were let in went on.
    assert!(document.totals.completed > 100, "{:?}", document.totals);
}

#[test]
fn credentials_that_are_refused_are_a_class_of_their_own() {
    let _machine = machine();
    // It has no user, so it refuses whoever comes.
    let sasl = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(sasl.path().join("memcached.conf"), "mech_list: plain\n").expect("its file");
    let conf = sasl.path().to_str().expect("a path in UTF-8");
    let real = Memcached::start_in(&["-S", "-B", "binary"], &[("SASL_CONF_PATH", conf)]);
    let ours = Target::serve("memcache", &["--user", "me:secret"]);
    let served = format!("127.0.0.1:{}", ours.port);
    for address in [real.address(), served.clone()] {
        for who in [&["--sasl", "me:wrong"][..], &[]] {
            let mut args = vec!["memcache", "-n", "20", "--json", &address];
            args.extend(who);
            let document = loadgen(&args).document();
            if who.is_empty() {
                // The reply is there, and says no.
                assert_eq!(units(&document, &["get", "set"], &["ok"]), 0);
            } else {
                assert_only(&document, "handshake", "memcache.auth_refused");
            }
            assert_found(&document, "all_failed");
            assert_eq!(document.verdict.exit_code, 3, "{:?}", document.findings);
        }
    }
    let args = [
        "memcache",
        "-n",
        "200",
        "--json",
        "--sasl",
        "me:secret",
        &served,
    ];
    let document = loadgen(&args).complete();
    assert_reconciled(&document);
}

#[test]
fn a_server_killed_and_started_anew_in_mid_run() {
    let _machine = machine();
    let mut server = Memcached::start(&[]);
    let address = server.address();
    let running = start(
        &[],
        &[
            "memcache", "-c", "8", "-t", "1", "-R", "2k", "-d", "4s", "--json", &address,
        ],
    );
    std::thread::sleep(Duration::from_millis(1_200));
    server.kill();
    std::thread::sleep(Duration::from_millis(600));
    server.again();
    let ran: Ran = running.finish();
    let document = ran.document();
    let count = |cause: &str| -> u64 {
        let rows = document.errors.iter().filter(|e| e.cause == cause);
        rows.map(|e| e.count).sum()
    };
    assert!(count("refused") > 0, "{:?}", document.errors);
    assert_found(&document, "connect_failures");
    assert_found(&document, "memcache.server_restarted");
    assert!(!codes(&document).contains(&"memcache.count_mismatch"));
    // Every connection came back: the last interval has the whole rate again.
    let last = document.intervals.last().expect("intervals");
    let due = 2_000.0 * last.duration_ns as f64 / 1e9;
    assert!(last.completed as f64 > 0.8 * due, "{last:?}");
    assert!(
        document.connections.opened >= 16,
        "{:?}",
        document.connections
    );
    assert!(document.totals.failed <= 16, "{:?}", document.totals);
}

#[test]
fn memccapable_passes_against_the_embedded_target() {
    let _machine = machine();
    for workers in ["1", "3"] {
        let target = Target::serve("memcache", &["--workers", workers]);
        let port = target.port.to_string();
        let tested = Command::new("memccapable")
            .args(["-b", "-h", "127.0.0.1", "-p", &port])
            .output()
            .expect("memccapable (libmemcached-tools) is needed for this test");
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(tested.status.success(), "{said}");
        assert_eq!(said.matches("[pass]").count(), 27, "{said}");
        assert!(said.contains("All tests passed"), "{said}");
    }
}

#[test]
fn tshark_agrees() {
    const REQUESTS: u64 = 100_000;
    let _machine = machine();
    let server = Memcached::start(&[]);
    let capture = Capture::start(server.port);
    let (count, address) = (REQUESTS.to_string(), server.address());
    let flags = ["-c", "20", "-t", "1", "--value-size", "100", "--json"];
    let ran = loadgen(&[&["memcache", "-n", &count, &address], &flags[..]].concat());
    let document = ran.complete();
    let file = capture.stop(2 * REQUESTS);
    let fields = [
        "memcache.magic",
        "memcache.opcode",
        "_ws.malformed",
        "tcp.analysis.lost_segment",
        "tcp.srcport",
    ];
    let (mut requests, mut replies, mut stats, mut greetings) = (0, 0, 0, 0);
    for [magic, opcode, malformed, lost, source] in file.dissect("memcache", fields) {
        assert_eq!(
            (malformed.as_str(), lost.as_str()),
            ("", ""),
            "{magic} {opcode}"
        );
        // `stats` before and after are no requests of the run.
        if opcode.split(',').any(|op| op == "16" || op == "0x10") {
            stats += 1;
        } else if opcode == "10" || opcode == "0x0a" {
            // Each connection greets with a no-op, outside the run.
            greetings += 1;
        } else if source == server.port.to_string() {
            replies += many(&magic);
        } else {
            requests += many(&magic);
        }
    }
    assert!(stats >= 4, "{stats}");
    assert_eq!(greetings, 2 * document.connections.opened);
    assert_eq!(requests, document.totals.sent);
    assert_eq!(replies, document.totals.completed);
}
