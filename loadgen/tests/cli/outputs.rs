//! What goes where: one rendering on stdout, the rest to files and stderr.

use crate::{document_in, loadgen, target, url};

#[test]
fn totals_are_the_targets_own_numbers() {
    for flags in [
        "-t 1",
        "-t 2",
        "--depth 16",
        "--requests-per-conn 1",
        "--requests-per-conn 7",
    ] {
        let target = target();
        let left = loadgen(&format!(
            "http -n 1000 {flags} --json {}bytes/1000",
            url(&target)
        ));
        assert_eq!(left.code, Some(0), "{flags}: {}", left.stderr);
        let document = left.document();
        let totals = &document["totals"];
        let truth = target.stop();
        assert_eq!(totals["completed"], 1000, "{flags}");
        assert_eq!(truth.replies, 1000, "{flags}");
        assert_eq!(
            totals["payload_rx_bytes"], truth.payload_tx_bytes,
            "{flags}"
        );
        assert_eq!(totals["wire_rx_bytes"], truth.wire_tx_bytes, "{flags}");
        assert_eq!(totals["wire_tx_bytes"], truth.wire_rx_bytes, "{flags}");
    }
}

#[test]
fn a_file_besides_and_the_report_on_stdout() {
    let target = target();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let series = folder.path().join("series.ndjson");
    let line = format!(
        "http -d 300ms --interval 100ms --json={} --timeseries {} --label cni=none {}",
        file.display(),
        series.display(),
        url(&target)
    );
    let left = loadgen(&line);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(left.stdout.contains("requests"), "{}", left.stdout);
    assert!(!left.stdout.contains('\u{1b}'), "no colours in a pipe");
    let document = document_in(&file);
    assert_eq!(document["labels"][0]["key"], "cni");
    let typed: Vec<String> = serde_json::from_value(document["command"].clone()).unwrap();
    assert_eq!(typed[1], "http");
    let lines = std::fs::read_to_string(&series).unwrap();
    let rows: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(&serde_json::Value::from(rows), &document["intervals"]);
}

#[test]
fn each_format_is_alone_on_stdout() {
    let target = target();
    let run = |flags: &str| loadgen(&format!("http -n 50 {flags} {}", url(&target)));
    let csv = run("--format csv");
    assert_eq!(csv.stdout.lines().count(), 2);
    assert!(csv.stdout.starts_with("schema,run_id,"), "{}", csv.stdout);
    let wrk = run("--format wrk");
    assert!(wrk.stdout.starts_with("Running "), "{}", wrk.stdout);
    assert!(wrk.stdout.contains("Requests/sec:"), "{}", wrk.stdout);
    let json = run("--format json");
    assert_eq!(json.document()["totals"]["completed"], 50);
    // 50 requests are too few for a p99.9, and the document says so.
    let finding = "note: short_window: ";
    assert!(json.stderr.contains(finding), "{}", json.stderr);
    assert_eq!(run("--json --quiet").stderr, "");
    let text = run("");
    assert!(text.stdout.contains("short_window"), "{}", text.stdout);
    assert_eq!(
        text.stderr, "",
        "nothing is said twice, no progress in a pipe"
    );
}

#[test]
fn a_dry_run_sends_nothing_and_shows_the_plan_of_the_run() {
    let target = target();
    let flags = "-t 1 -c 7 -R 100 --arrival poisson -d 200ms --seed 9 -m HEAD";
    let dry = loadgen(&format!("http {flags} --dry-run {}", url(&target)));
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert_eq!(target.stats().connections_accepted, 0);
    let shown: serde_json::Value = serde_json::from_str(&dry.stdout).unwrap();
    let run = loadgen(&format!("http {flags} --json {}", url(&target))).document();
    assert_eq!(shown["loop"], run["loop"]);
    let (mut planned, mut done) = (shown["plan"].clone(), run["plan"].clone());
    // Only a run knows how it waits.
    planned["waiting"].take();
    done["waiting"].take();
    assert_eq!(planned, done);
    assert_eq!(planned["connections"], 7);
}

#[test]
fn secrets_stay_out_of_the_document() {
    let target = target();
    let line = format!(
        "http -n 5 --json -HAuthorization:Bearer-hunter2 {}",
        url(&target)
    );
    let left = loadgen(&line);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(!left.stdout.contains("hunter2"));
}

#[test]
fn the_reference_client_leaves_the_same_document() {
    let target = target();
    let line = format!("http -n 300 -c 3 --client hyper --json {}", url(&target));
    let left = loadgen(&line);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let document = left.document();
    assert_eq!(document["client"], "hyper");
    assert_eq!(document["totals"]["completed"], 300);
    assert_eq!(target.stop().replies, 300);
}

#[test]
fn a_dry_run_refuses_what_a_run_refuses() {
    for (flags, code, part) in [
        ("--client hyper --depth 2", 2, "depth"),
        ("--cpus 1023", 4, "CPU 1023"),
        ("-c 1 http://127.0.0.2/", 2, "2 routes"),
    ] {
        let left = loadgen(&format!("http --dry-run {flags} http://127.0.0.1/"));
        assert_eq!(left.code, Some(code), "{flags}: {}", left.stderr);
        assert!(left.stderr.contains(part), "{flags}: {}", left.stderr);
        assert_eq!(left.stdout, "", "{flags}");
    }
}

/// The whole binary without a socket: a reply takes 1 ms of virtual time, so a connection makes
/// 1000 requests a second, less the one that is not over when the window is.
#[test]
fn on_the_simulated_driver_every_number_is_exact() {
    let document = loadgen("http --driver sim -c 4 -d 1 --json http://127.0.0.1:1/").document();
    assert_eq!(document["plan"]["driver"], "sim");
    assert_eq!(document["plan"]["workers"], 1);
    assert_eq!(document["summary"]["requests"]["completed"], 4 * 999);
    assert_eq!(document["totals"]["completed"], 4 * 1000);
    assert_eq!(document["summary"]["payload"]["rx_bytes"], 4 * 999 * 1024);
    let latency = &document["summary"]["service_time"];
    let min_ns = latency["min_ns"].as_u64().unwrap();
    let max_ns = latency["max_ns"].as_u64().unwrap();
    // A histogram's cell at 1 ms is 512 ns wide.
    assert!((999_400..=1_000_000).contains(&min_ns), "{min_ns}");
    assert!((1_000_000..=1_000_600).contains(&max_ns), "{max_ns}");
}
