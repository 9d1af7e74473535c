//! Whole runs over the sim driver: plan, scenario, session, engine and document, no socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loadgen_core::engine::Simulated;
use loadgen_core::results::Document;
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_http::{HttpPeer, HttpPlan, HttpScenario, HttpSpec, WeightedUrl};

const REQUESTS: u64 = 1000;
const DELAY_NS: u64 = 1_000_000;
const BODY_BYTES: usize = 1000;

fn spec(urls: &[(u32, &str)]) -> HttpSpec {
    let url = |(weight, url): &(u32, &str)| WeightedUrl {
        url: (*url).to_owned(),
        weight: *weight,
    };
    HttpSpec {
        urls: urls.iter().map(url).collect(),
        connect_to: Some("127.0.0.1:1".to_owned()),
        ..HttpSpec::default()
    }
}

fn run(spec: HttpSpec, connections: u32, depth: u32) -> Document {
    let scenario = HttpScenario::new(HttpPlan::new(spec).expect("a plan"));
    let mut options = Options {
        workers: Some(1),
        unpinned: true,
        ..Options::default()
    };
    options.engine.connections = connections;
    options.engine.depth = depth;
    options.engine.stop = Stop::Requests(REQUESTS);
    options.engine.timeout = Duration::from_secs(1);
    let peer = || {
        let mut peer = HttpPeer::new(BODY_BYTES, DELAY_NS);
        peer.connect_ns = DELAY_NS;
        peer
    };
    let client = Arc::new(Simulated(Arc::new(scenario), peer));
    start_client(client, options).expect("a start").join()
}

fn all_answered(document: &Document) {
    let totals = &document.totals;
    assert_eq!((totals.sent, totals.completed), (REQUESTS, REQUESTS));
    assert_eq!((totals.failed, totals.unanswered, totals.unsent), (0, 0, 0));
    assert!(document.errors.is_empty(), "{:?}", document.errors);
}

#[test]
fn pipelined_gets_are_counted_to_the_byte() {
    let document = run(spec(&[(1, "http://h/")]), 4, 16);
    all_answered(&document);
    let totals = &document.totals;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    assert_eq!(totals.payload_rx_bytes, Some(REQUESTS * BODY_BYTES as u64));
    let wire = REQUESTS * (head.len() + BODY_BYTES) as u64;
    assert_eq!(totals.wire_rx_bytes, Some(wire));
    let [row] = document.operations.as_slice() else {
        panic!("{:?}", document.operations);
    };
    assert_eq!((row.op.as_str(), row.status.as_str()), ("GET", "200"));
    assert_eq!(row.total_count, REQUESTS);
    assert_eq!(document.connections.opened, 4);
    assert_eq!(document.plan.protocol["http"]["method"], "GET");
}

#[test]
fn a_connection_for_each_request_counts_its_connect() {
    let mut spec = spec(&[(1, "http://h/")]);
    spec.requests_per_conn = Some(1);
    let document = run(spec, 2, 1);
    all_answered(&document);
    assert_eq!(document.connections.opened, REQUESTS);
    let service = &document.summary.service_time;
    let p50 = service.p50_ns.expect("a median");
    assert!(
        (2 * DELAY_NS..2 * DELAY_NS + DELAY_NS / 100).contains(&p50),
        "{p50}"
    );
}

#[test]
fn ten_requests_a_connection() {
    let mut spec = spec(&[(1, "http://h/")]);
    spec.requests_per_conn = Some(10);
    let document = run(spec, 5, 4);
    all_answered(&document);
    assert_eq!(document.connections.opened, REQUESTS / 10);
    assert_eq!(document.connections.lost, 0);
}

#[test]
fn heads_have_no_payload_and_posts_carry_theirs() {
    let mut head = spec(&[(1, "http://h/")]);
    head.method = Some("HEAD".to_owned());
    let document = run(head, 3, 2);
    all_answered(&document);
    assert_eq!(document.totals.payload_rx_bytes, Some(0));
    let mut post = spec(&[(1, "http://h/")]);
    post.body = Some(Bytes::from(vec![b'x'; 200_000]));
    let document = run(post, 3, 1);
    all_answered(&document);
    assert_eq!(document.totals.payload_tx_bytes, Some(REQUESTS * 200_000));
    assert_eq!(document.operations[0].op, "POST");
}

#[test]
fn two_origins_get_their_shares() {
    let document = run(spec(&[(9, "http://a/"), (1, "http://b/")]), 10, 1);
    all_answered(&document);
    let routes = document.plan.routes.iter();
    let shares: Vec<_> = routes.map(|r| (r.name.as_str(), r.connections)).collect();
    assert_eq!(shares, [("a:80", 9), ("b:80", 1)]);
}
