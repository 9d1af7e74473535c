//! Our totals against two other servers' own counts, and against what tshark saw on the wire.
//!
//! A second opinion: what nginx agrees to could be a habit that both share. Nothing here may allow
//! a tolerance.

mod support;

use std::collections::HashSet;

use loadgen_core::results::Document;
use support::capture::{Capture, Captured, many};
use support::httpd::{self, Httpd};
use support::nginx::Nginx;
use support::node::{self, Node};
use support::run::loadgen;
use support::{KB, MB, MODIFIED, machine};

/// Path, flags, count, body bytes of a reply, status.
type Case<'a> = (&'a str, &'a [&'a str], u64, u64, &'a str);

/// A run of `case` on `url`: all replies there, all with the status.
#[track_caller]
fn run(case: &Case<'_>, url: &str, workers: &str) -> Document {
    let &(_, flags, requests, payload, status) = case;
    let count = requests.to_string();
    let mut args = vec!["http", "-n", &count, "-c", "10", "-t", workers, "--json"];
    args.extend(flags);
    args.push(url);
    let document = loadgen(&args).document();
    let totals = &document.totals;
    let facts = format!("{case:?} {totals:?} {:?}", document.errors);
    assert_eq!(totals.completed, requests, "{facts}");
    assert_eq!(
        (totals.failed, totals.unanswered, totals.unsent),
        (0, 0, 0),
        "{facts}"
    );
    assert_eq!(totals.payload_rx_bytes, Some(requests * payload), "{facts}");
    let rows: Vec<_> = document
        .operations
        .iter()
        .map(|o| o.status.as_str())
        .collect();
    assert_eq!(rows, [status], "{facts}");
    document
}

/// How many bytes `%I` counts twice. After a reply httpd peeks one byte to see whether the next
/// request is there already, and `mod_logio` counts it then and again when it is read: such a
/// line is one byte longer than another of the same request.
fn peeked(log: &[httpd::Line]) -> u64 {
    let lengths: HashSet<u64> = log.iter().map(|l| l.request_bytes).collect();
    let twice = |line: &&httpd::Line| lengths.contains(&(line.request_bytes - 1));
    log.iter().filter(twice).count() as u64
}

#[test]
fn httpd_agrees() {
    let _machine = machine();
    let since = format!("If-Modified-Since: {MODIFIED}");
    let since = ["-H", since.as_str()];
    let cases: &[Case<'_>] = &[
        ("/1k", &[], 10_000, KB, "200"),
        ("/1m", &[], 300, MB, "200"),
        ("/chunked.shtml", &[], 1_000, httpd::CHUNKED_BODY, "200"),
        ("/1k", &["--method", "HEAD"], 3_000, 0, "200"),
        ("/1k", &since, 3_000, 0, "304"),
        ("/1k", &["--requests-per-conn", "1"], 2_000, KB, "200"),
        ("/1k", &["--requests-per-conn", "7"], 2_000, KB, "200"),
        ("/1k", &["--depth", "16"], 20_000, KB, "200"),
    ];
    for (case, workers) in cases.iter().flat_map(|c| [(c, "1"), (c, "2")]) {
        let server = Httpd::start();
        let document = run(case, &server.url(case.0), workers);
        let log = server.stop();
        assert_eq!(log.len() as u64, case.2, "{case:?}");
        let sent: u64 = log.iter().map(|l| l.bytes_sent).sum();
        let received: u64 = log.iter().map(|l| l.request_bytes).sum::<u64>() - peeked(&log);
        assert_eq!(document.totals.wire_rx_bytes, Some(sent), "{case:?}");
        assert_eq!(document.totals.wire_tx_bytes, Some(received), "{case:?}");
    }
}

#[test]
fn node_agrees() {
    let _machine = machine();
    let cases: &[Case<'_>] = &[
        ("/1k", &[], 10_000, KB, "200"),
        ("/1m", &[], 300, MB, "200"),
        ("/chunked", &[], 1_000, node::CHUNKED_BODY, "200"),
        ("/1k", &["--method", "HEAD"], 3_000, 0, "200"),
        ("/304", &[], 3_000, 0, "304"),
        ("/nowhere", &[], 3_000, "not found".len() as u64, "404"),
        (
            "/echo",
            &["--method", "POST", "--body", "0123456789"],
            3_000,
            4,
            "200",
        ),
        ("/1k", &["--requests-per-conn", "1"], 2_000, KB, "200"),
        ("/1k", &["--depth", "16"], 20_000, KB, "200"),
    ];
    for (case, workers) in cases.iter().flat_map(|c| [(c, "1"), (c, "2")]) {
        let server = Node::start();
        let document = run(case, &server.url(case.0), workers);
        let counted = server.stop();
        let totals = &document.totals;
        assert_eq!(counted.requests, case.2, "{case:?}");
        assert_eq!(totals.wire_rx_bytes, Some(counted.tx_bytes), "{case:?}");
        assert_eq!(totals.wire_tx_bytes, Some(counted.rx_bytes), "{case:?}");
        assert_eq!(document.connections.opened, counted.connections, "{case:?}");
    }
}

#[test]
fn tshark_agrees() {
    const REQUESTS: u64 = 100_000;
    let _machine = machine();
    let nginx = Nginx::start(1);
    let capture = Capture::start(nginx.port);

    let (count, url) = (REQUESTS.to_string(), nginx.url("/tiny"));
    let ran = loadgen(&["http", "-n", &count, "-c", "20", "-t", "1", "--json", &url]);
    let document = ran.complete();
    let log = nginx.stop();

    let file = capture.stop(2 * REQUESTS);
    let seen = dissect(&file);
    assert_eq!(seen.malformed, 0);
    assert_eq!(seen.lost_segments, 0);
    assert_eq!(document.totals.completed, REQUESTS);
    assert_eq!(log.len() as u64, REQUESTS);
    assert_eq!(seen.requests, document.totals.sent);
    assert_eq!(seen.responses, document.totals.completed);
    assert_eq!(Some(seen.rx_bytes), document.totals.wire_rx_bytes);
    assert_eq!(Some(seen.tx_bytes), document.totals.wire_tx_bytes);
}

/// What tshark finds in a capture.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    responses: u64,
    malformed: u64,
    /// Segments that were there and were not captured.
    lost_segments: u64,
    /// TCP payload from and to the server.
    rx_bytes: u64,
    tx_bytes: u64,
}

#[track_caller]
fn dissect(file: &Captured) -> Seen {
    let fields = [
        "http.request.method",
        "http.response.code",
        "_ws.malformed",
        "tcp.analysis.lost_segment",
        "tcp.srcport",
        "tcp.len",
        "tcp.analysis.retransmission",
    ];
    let mut seen = Seen::default();
    for field in file.dissect("http", fields) {
        seen.requests += many(&field[0]);
        seen.responses += many(&field[1]);
        seen.malformed += many(&field[2]);
        seen.lost_segments += many(&field[3]);
        let bytes: u64 = field[5].parse().expect("a length");
        if field[6].is_empty() {
            if field[4] == file.port.to_string() {
                seen.rx_bytes += bytes;
            } else {
                seen.tx_bytes += bytes;
            }
        }
    }
    seen
}
