//! What a request costs: system calls, as strace counts them, and memory.
//!
//! Counts do not depend on the machine's speed, so the limits are the design's own.

mod support;

use std::collections::HashMap;

use support::nginx::Nginx;
use support::run::{Ran, loadgen, under};
use support::{KB, MB, machine};

/// Calls by name.
type Calls = HashMap<String, u64>;

/// A run under `strace -c`, threads too.
#[track_caller]
fn traced(args: &[&str]) -> (Ran, Calls) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("calls");
    let path = file.to_str().expect("a path in UTF-8");
    let ran = under(&["strace", "-f", "-c", "-o", path, "--"], args);
    let table = std::fs::read_to_string(&file).expect("strace's table");
    (ran, parse(&table))
}

/// `% time  seconds  usecs/call  calls  errors  syscall`, where errors may be blank.
fn parse(table: &str) -> Calls {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_row = matches!(words.len(), 5 | 6) && words.last() != Some(&"total");
        let calls = words.get(3)?.parse().ok()?;
        is_row.then(|| (words[words.len() - 1].to_owned(), calls))
    };
    table.lines().filter_map(row).collect()
}

fn sum(calls: &Calls, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| calls.get(*name)).sum()
}

const SENDS: [&str; 5] = ["sendto", "sendmsg", "write", "writev", "sendfile"];
const RECEIVES: [&str; 4] = ["recvfrom", "recvmsg", "read", "readv"];
const WAITS: [&str; 4] = [
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "timerfd_settime",
];

/// Everything that does not grow with the run: start, threads, connections, the document.
const ONCE: u64 = 1_500;

#[test]
fn a_small_request_is_one_send_one_receive_and_a_share_of_a_wait() {
    const REQUESTS: u64 = 20_000;
    let _machine = machine();
    let nginx = Nginx::start(1);
    let (count, url) = (REQUESTS.to_string(), nginx.url("/1k"));
    let args = ["http", "-n", &count, "-c", "20", "-t", "1", "--json", &url];
    let (ran, calls) = traced(&args);
    assert_eq!(ran.complete().totals.payload_rx_bytes, Some(REQUESTS * KB));

    let (sends, receives) = (sum(&calls, &SENDS), sum(&calls, &RECEIVES));
    let waits = sum(&calls, &WAITS);
    let rest = calls.values().sum::<u64>() - sends - receives - waits;
    assert!(sends >= REQUESTS, "strace counted {calls:?}");
    assert!(sends <= REQUESTS + ONCE, "{sends} sends: {calls:?}");
    assert!(
        receives <= REQUESTS + ONCE,
        "{receives} receives: {calls:?}"
    );
    // A share: 20 connections are ready together again and again.
    assert!(waits <= REQUESTS / 2, "{waits} waits: {calls:?}");
    assert!(rest <= ONCE, "{rest} other calls: {calls:?}");
}

#[test]
fn a_large_body_is_received_in_large_pieces() {
    const REQUESTS: u64 = 500;
    let _machine = machine();
    let nginx = Nginx::start(1);
    let (count, url) = (REQUESTS.to_string(), nginx.url("/1m"));
    let args = ["http", "-n", &count, "-c", "8", "-t", "1", "--json", &url];
    let (ran, calls) = traced(&args);
    assert_eq!(ran.complete().totals.payload_rx_bytes, Some(REQUESTS * MB));

    let receives = sum(&calls, &RECEIVES);
    let limit = REQUESTS * MB / 100_000;
    assert!(receives >= REQUESTS, "strace counted {calls:?}");
    assert!(
        receives < limit,
        "{receives} receives, the limit is {limit}: {calls:?}"
    );
}

#[test]
fn an_open_loop_costs_no_more_than_its_waits() {
    const REQUESTS: u64 = 4_000;
    let _machine = machine();
    let nginx = Nginx::start(1);
    let (count, url) = (REQUESTS.to_string(), nginx.url("/1k"));
    let args = [
        "http", "-n", &count, "-c", "20", "-t", "1", "-R", "2k", "--json", &url,
    ];
    let (ran, calls) = traced(&args);
    assert_eq!(ran.document().totals.completed, REQUESTS);
    let busy = sum(&calls, &SENDS) + sum(&calls, &RECEIVES);
    let waits = sum(&calls, &WAITS);
    let rest = calls.values().sum::<u64>() - busy - waits;
    assert!(busy <= 2 * (REQUESTS + ONCE), "{calls:?}");
    assert!(waits <= 4 * REQUESTS, "{waits} waits: {calls:?}");
    assert!(rest <= ONCE, "{rest} other calls: {calls:?}");
}

#[test]
fn memory_stays_small() {
    const LIMIT: u64 = 16 * MB;
    let _machine = machine();
    let nginx = Nginx::start(1);
    for (path, workers) in [("/1k", "1"), ("/1k", "2"), ("/1m", "2")] {
        let url = nginx.url(path);
        let args = [
            "http", "-d", "3s", "-c", "64", "-t", workers, "--json", &url,
        ];
        let ran = loadgen(&args);
        ran.complete();
        let peak = ran.resident_peak_bytes;
        assert!(peak > MB, "a reading of {peak} bytes is none");
        assert!(
            peak < LIMIT,
            "{path}, {workers} workers: {peak} bytes resident"
        );
    }
}

#[test]
fn straces_table_is_read() {
    let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                 ------ ----------- ----------- --------- --------- ----------------\n \
                  60.00    0.000300           1       300           recvfrom\n \
                  40.00    0.000200           2       100         7 connect\n\
                 ------ ----------- ----------- --------- --------- ----------------\n\
                 100.00    0.000500           1       400         7 total\n";
    let calls = parse(table);
    assert_eq!(calls.len(), 2);
    assert_eq!((calls["recvfrom"], calls["connect"]), (300, 100));
    assert_eq!(sum(&calls, &RECEIVES), 300);
}
