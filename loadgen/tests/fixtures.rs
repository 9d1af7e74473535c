//! The fixtures themselves, tried with curl before anything of ours stands on them.
//!
//! What they count must be what curl saw, byte for byte; a fixture that counts wrong would make
//! every proof that uses it worthless.

mod support;

use std::process::Command;

use support::httpd::Httpd;
use support::nginx::Nginx;
use support::node::Node;
use support::{MODIFIED, machine};

/// One transfer as curl saw it: status, bytes of the head, bytes of the body, bytes of the request.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u64,
    head_bytes: u64,
    body_bytes: u64,
    request_bytes: u64,
}

/// `curl ARGS URL…`, all on one connection.
#[track_caller]
fn curl(args: &[&str], urls: &[String]) -> Vec<Seen> {
    let format = "%{http_code} %{size_header} %{size_download} %{size_request}\n";
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--write-out", format]);
    command.args(args);
    for url in urls {
        command.arg("--output").arg("/dev/null").arg(url);
    }
    let output = command.output().expect("curl is needed for this test");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let numbers: Vec<u64> = line
            .split(' ')
            .map(|w| w.parse().expect("a number"))
            .collect();
        Seen {
            status: numbers[0],
            head_bytes: numbers[1],
            body_bytes: numbers[2],
            request_bytes: numbers[3],
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn nginx_counts_what_curl_sees() {
    let _machine = machine();
    let nginx = Nginx::start(2);
    let mut seen = curl(
        &[],
        &[nginx.url("/1k"), nginx.url("/1m"), nginx.url("/nowhere")],
    );
    seen.extend(curl(&["--head"], &[nginx.url("/1k")]));
    let since = format!("If-Modified-Since: {MODIFIED}");
    seen.extend(curl(&["--header", &since], &[nginx.url("/1k")]));
    let chunked = curl(&[], &[nginx.url("/chunked")]);
    let limited = curl(&[], &vec![nginx.url("/limited"); 101]);
    let log = nginx.stop();

    assert_eq!(chunked[0].body_bytes, support::nginx::CHUNKED_BODY);
    assert_eq!(
        seen.iter().map(|s| s.status).collect::<Vec<_>>(),
        [200, 200, 404, 200, 304]
    );
    for (line, seen) in log.iter().zip(&seen) {
        assert_eq!(
            line.bytes_sent,
            seen.head_bytes + seen.body_bytes,
            "{line:?}"
        );
        assert_eq!(line.body_bytes_sent, seen.body_bytes, "{line:?}");
        assert_eq!(line.request_bytes, seen.request_bytes, "{line:?}");
    }
    assert!(
        log[5].body_bytes_sent > support::nginx::CHUNKED_BODY,
        "{:?}",
        log[5]
    );
    assert_eq!(log.len(), seen.len() + 1 + limited.len());
    assert_eq!(log[105].nth, 100);
    assert_eq!(log[106].nth, 1, "the 101st came on a new connection");
}

#[test]
fn httpd_counts_what_curl_sees() {
    let _machine = machine();
    let httpd = Httpd::start();
    let mut seen = curl(
        &[],
        &[httpd.url("/1k"), httpd.url("/1m"), httpd.url("/nowhere")],
    );
    seen.extend(curl(&["--head"], &[httpd.url("/1k")]));
    let since = format!("If-Modified-Since: {MODIFIED}");
    seen.extend(curl(&["--header", &since], &[httpd.url("/1k")]));
    let chunked = curl(&[], &[httpd.url("/chunked.shtml")]);
    let log = httpd.stop();

    assert_eq!(chunked[0].body_bytes, support::httpd::CHUNKED_BODY);
    assert_eq!(
        seen.iter().map(|s| s.status).collect::<Vec<_>>(),
        [200, 200, 404, 200, 304]
    );
    assert_eq!(log.len(), 6);
    for (line, seen) in log.iter().zip(&seen) {
        assert_eq!(
            line.bytes_sent,
            seen.head_bytes + seen.body_bytes,
            "{line:?}"
        );
        // Now and then httpd counts one byte more, on lines where it looked whether another
        // request had come: see `peeked` in real_others.rs.
        let more = line.request_bytes.checked_sub(seen.request_bytes);
        assert!(matches!(more, Some(0 | 1)), "{line:?} {seen:?}");
    }
}

#[test]
fn node_counts_what_curl_sees() {
    let _machine = machine();
    let node = Node::start();
    let mut seen = curl(
        &[],
        &[node.url("/1k"), node.url("/1m"), node.url("/nowhere")],
    );
    seen.extend(curl(&["--head"], &[node.url("/1k")]));
    seen.extend(curl(&[], &[node.url("/304")]));
    let counted = node.stop();

    assert_eq!(
        seen.iter().map(|s| s.status).collect::<Vec<_>>(),
        [200, 200, 404, 200, 304]
    );
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    assert_eq!(counted.requests, 5);
    assert_eq!(counted.connections, 3);
    assert_eq!(counted.tx_bytes, sum(|s| s.head_bytes + s.body_bytes));
    assert_eq!(counted.rx_bytes, sum(|s| s.request_bytes));
}
