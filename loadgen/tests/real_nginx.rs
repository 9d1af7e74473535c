//! Our totals against nginx's own access log, to the request and to the byte.
//!
//! Every case sends a fixed number of requests, drains completely, stops the server and adds up
//! its log. Nothing here may allow a tolerance.

mod support;

use loadgen_core::results::Document;
use support::nginx::{CHUNKED_BODY, Line, Nginx};
use support::run::loadgen;
use support::{KB, MB, MODIFIED, machine};

/// One case: what is asked, and what must come of it.
struct Case<'a> {
    /// Paths, after the server's address; with their weights, `9@/path`.
    paths: &'a [&'a str],
    /// Flags beside the count.
    flags: &'a [&'a str],
    requests: u64,
    status: u16,
    /// Body bytes of each reply as we count them; `None`: as the log has them.
    payload: Option<u64>,
}

/// Runs the case with one and with two workers of ours on as many of nginx's, and compares.
#[track_caller]
fn exact(case: &Case<'_>) -> Vec<(Document, Vec<Line>)> {
    let _machine = machine();
    [1_u32, 2].map(|workers| exact_with(case, workers)).into()
}

#[track_caller]
fn exact_with(case: &Case<'_>, workers: u32) -> (Document, Vec<Line>) {
    let nginx = Nginx::start(workers);
    let url = |path: &&str| match path.split_once('@') {
        Some((weight, path)) => format!("{weight}@{}", nginx.url(path)),
        None => nginx.url(path),
    };
    let urls: Vec<String> = case.paths.iter().map(url).collect();
    let (count, workers) = (case.requests.to_string(), workers.to_string());
    let mut args = vec!["http", "-n", &count, "-c", "10", "-t", &workers, "--json"];
    args.extend(case.flags);
    args.extend(urls.iter().map(String::as_str));
    let ran = loadgen(&args);
    let log = nginx.stop();
    let document = ran.document();

    let totals = &document.totals;
    let facts = format!("{totals:?} {:?}", document.errors);
    assert_eq!(totals.completed, case.requests, "{facts}");
    assert_eq!(totals.completed, log.len() as u64, "{facts}");
    assert_eq!(
        (totals.failed, totals.unanswered, totals.unsent),
        (0, 0, 0),
        "{facts}"
    );
    let sum = |of: fn(&Line) -> u64| log.iter().map(of).sum::<u64>();
    assert_eq!(totals.wire_rx_bytes, Some(sum(|l| l.bytes_sent)));
    assert_eq!(totals.wire_tx_bytes, Some(sum(|l| l.request_bytes)));
    let payload = case.payload.map(|bytes| bytes * case.requests);
    let payload = payload.unwrap_or_else(|| sum(|l| l.body_bytes_sent));
    assert_eq!(totals.payload_rx_bytes, Some(payload));
    assert!(log.iter().all(|l| l.status == case.status), "{:?}", log[0]);
    let opened: std::collections::HashSet<u64> = log.iter().map(|l| l.connection).collect();
    assert!(document.connections.opened >= opened.len() as u64);
    (document, log)
}

/// The body of every reply is this long.
fn ok<'a>(path: &'a &'a str, requests: u64, flags: &'a [&'a str], payload: u64) -> Case<'a> {
    Case {
        paths: std::slice::from_ref(path),
        flags,
        requests,
        status: 200,
        payload: Some(payload),
    }
}

#[test]
fn one_kb() {
    for (document, log) in exact(&ok(&"/1k", 20_000, &[], KB)) {
        assert!(log.iter().all(|l| l.body_bytes_sent == KB));
        assert_eq!(document.connections.opened, 10);
        assert_eq!(document.operations.len(), 1, "{:?}", document.operations);
    }
}

#[test]
fn one_mb() {
    for (_, log) in exact(&ok(&"/1m", 500, &[], MB)) {
        assert!(log.iter().all(|l| l.body_bytes_sent == MB));
    }
}

#[test]
fn chunked() {
    exact(&ok(&"/chunked", 2_000, &[], CHUNKED_BODY));
}

#[test]
fn not_found() {
    let case = Case {
        status: 404,
        payload: None,
        ..ok(&"/nowhere", 5_000, &[], 0)
    };
    for (document, _) in exact(&case) {
        let [row] = &document.operations[..] else {
            panic!("{:?}", document.operations)
        };
        assert_eq!(
            (row.status.as_str(), row.outcome.as_str()),
            ("404", "error")
        );
        // Every reply was bad: that is what the exit code must say.
        assert_eq!(document.verdict.exit_code, 3);
    }
}

#[test]
fn head() {
    for (_, log) in exact(&ok(&"/1k", 5_000, &["--method", "HEAD"], 0)) {
        assert!(
            log.iter()
                .all(|l| l.method == "HEAD" && l.body_bytes_sent == 0)
        );
    }
}

#[test]
fn not_modified() {
    let since = format!("If-Modified-Since: {MODIFIED}");
    let flags = ["-H", &since];
    let case = Case {
        status: 304,
        ..ok(&"/1k", 5_000, &flags, 0)
    };
    exact(&case);
}

#[test]
fn keep_alive_limit() {
    for (document, log) in exact(&ok(&"/limited", 10_000, &[], KB)) {
        assert_eq!(log.iter().map(|l| l.nth).max(), Some(100));
        assert!(document.connections.opened >= 100);
        assert_eq!(
            document.connections.lost, 0,
            "an announced close is no loss"
        );
    }
}

#[test]
fn connection_per_request() {
    for (document, log) in exact(&ok(&"/1k", 3_000, &["--requests-per-conn", "1"], KB)) {
        assert!(log.iter().all(|l| l.nth == 1));
        assert_eq!(document.connections.opened, 3_000);
    }
}

#[test]
fn pipelining() {
    exact(&ok(&"/1k", 40_000, &["--depth", "16"], KB));
    exact(&ok(&"/1m", 320, &["--depth", "16"], MB));
}

#[test]
fn two_urls_weighted() {
    let case = Case {
        paths: &["9@/1k", "1@/tiny"],
        payload: None,
        ..ok(&"", 10_000, &[], 0)
    };
    for (document, log) in exact(&case) {
        // To the request: the mix is a rotation, not a dice.
        assert_eq!(log.iter().filter(|l| l.uri == "/1k").count(), 9_000);
        assert_eq!(
            document.totals.payload_rx_bytes,
            Some(9_000 * KB + 1_000 * 9)
        );
    }
}
