//! hyper against the embedded target: both sides of the ledger must agree.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loadgen_core::engine::{Shared, deal};
use loadgen_core::pace::Arrival;
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::record::{Aggregate, Window};
use loadgen_core::stop::Stop;
use loadgen_core::time::{Clock, nanos};
use loadgen_core::workload::Endpoint;
use socket2::{Domain, Socket, Type};

use super::*;
use crate::plan::{HttpPlan, HttpSpec, WeightedUrl};
use crate::target::{Law, Target, TargetHandle, TargetOptions};
use crate::wire::Wrong;

const MS: Duration = Duration::from_millis(1);

fn target() -> TargetHandle {
    Target::start(TargetOptions::default()).unwrap()
}

fn url(target: &TargetHandle, path: &str) -> WeightedUrl {
    format!("http://{}{path}", target.address()).as_str().into()
}

fn spec(target: &TargetHandle, path: &str) -> HttpSpec {
    HttpSpec {
        urls: vec![url(target, path)],
        ..HttpSpec::default()
    }
}

fn options(connections: u32, stop: Stop) -> EngineOptions {
    EngineOptions {
        connections,
        stop,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(1),
        ..EngineOptions::default()
    }
}

fn open_loop(rate_per_s: f64) -> Pacing {
    Pacing::Open {
        rate_per_s,
        arrival: Arrival::Fixed,
    }
}

/// Runs one worker in this thread; `stop_at`: raised after so long.
fn run(
    spec: HttpSpec,
    options: EngineOptions,
    stop_at: Option<Duration>,
) -> (WorkerEnd, Aggregate) {
    run_plan(HttpPlan::new(spec).unwrap(), options, stop_at)
}

fn run_plan(
    plan: HttpPlan,
    options: EngineOptions,
    stop_at: Option<Duration>,
) -> (WorkerEnd, Aggregate) {
    let client = HyperClient::new(HttpScenario::new(plan)).unwrap();
    assert_eq!(client.refuses(&options), None);
    let budget = options.stop.requests();
    let shared = Arc::new(Shared::new(budget, 1));
    let clock = Clock::start();
    if let Some(after) = stop_at {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            thread::sleep(after);
            shared.stop.raise(clock.now());
        });
    }
    let is_open = options.pacing != Pacing::Closed;
    let window = Window::unknown(nanos(options.interval));
    let exchange = Arc::clone(&shared.exchange);
    let recorder = Recorder::new(0, is_open, &client.tables(), window, exchange);
    let seat = Seat {
        worker: 0,
        workers: 1,
        cpu: None,
        clock,
        dealt: deal(options.connections, &client.routes(), 1).remove(0),
        options: Arc::new(options),
        first: 0,
        shared: Arc::clone(&shared),
    };
    let end = client.run(seat, recorder);
    let mut sum = Aggregate::new(1, window.interval_ns, is_open);
    while let Some(set) = shared.exchange.full.pop() {
        sum.add(&set);
    }
    sum.finish();
    (end, sum)
}

#[test]
fn a_count_is_met_exactly_on_both_sides() {
    let target = target();
    let (end, sum) = run(
        spec(&target, "/bytes/1000"),
        options(8, Stop::Requests(500)),
        None,
    );
    let stats = target.stop();
    assert_eq!(sum.total.completed, 500);
    assert_eq!((stats.requests, stats.replies), (500, 500));
    assert_eq!((sum.total.sent, sum.total.failed), (500, 0));
    assert_eq!(sum.total.payload_rx_bytes, 500_000);
    assert_eq!(sum.total.wire_rx_bytes, stats.wire_tx_bytes);
    assert_eq!(sum.total.wire_tx_bytes, stats.wire_rx_bytes);
    assert_eq!((end.counts.opened, stats.connections_accepted), (8, 8));
    assert_eq!((end.counts.lost, end.counts.alive_at_end), (0, 8));
    assert_eq!(end.endpoints[0].completed, 500);
    assert!(end.errors.rows().is_empty() && end.broken.is_none());
    assert!(end.cpu_used.is_some());
    assert_eq!(sum.response.answered.len(), 500);
    assert_eq!(sum.first_byte.answered.len(), 500);
}

#[test]
fn connections_carry_what_they_are_allowed_to() {
    for (limit, connections) in [(1, 60), (7, 9)] {
        let target = target();
        let spec = HttpSpec {
            requests_per_conn: Some(limit),
            ..spec(&target, "/bytes/10")
        };
        let (end, sum) = run(spec, options(1, Stop::Requests(60)), None);
        let stats = target.stop();
        assert_eq!((sum.total.completed, stats.requests), (60, 60));
        assert_eq!(stats.connections_accepted, connections, "limit {limit}");
        assert_eq!(end.counts.opened, connections);
        assert_eq!(end.counts.lost, 0);
        assert_eq!(sum.connect.answered.len(), connections);
    }
}

#[test]
fn a_pause_longer_than_a_connect_is_not_the_end() {
    let target = target();
    let spec = HttpSpec {
        requests_per_conn: Some(1),
        ..spec(&target, "/bytes/10")
    };
    let options = EngineOptions {
        pacing: open_loop(5.0),
        connect_timeout: 60 * MS,
        ..options(1, Stop::Requests(4))
    };
    let (end, sum) = run(spec, options, None);
    assert!(!end.gave_up);
    assert_eq!((sum.total.completed, sum.total.failed), (4, 0));
}

#[test]
fn a_target_that_closes_is_connected_to_again() {
    let target = Target::start(TargetOptions {
        keepalive_requests: Some(10),
        ..TargetOptions::default()
    })
    .unwrap();
    let (end, sum) = run(spec(&target, "/"), options(2, Stop::Requests(100)), None);
    let stats = target.stop();
    assert_eq!((sum.total.completed, sum.total.failed), (100, 0));
    assert_eq!(end.counts.opened, stats.connections_accepted);
    assert_eq!(end.counts.lost, 0);
    assert!(end.counts.closed_by_target >= 9);
}

#[test]
fn a_dead_address_is_passed_over_and_one_that_answers_is_kept() {
    let target = target();
    // Nobody listens on the other loopback address.
    let with_dead = |found: Vec<Endpoint>| {
        let Endpoint::Tcp(here) = found[0] else {
            panic!("{found:?}")
        };
        let dead = SocketAddr::from(([127, 0, 0, 2], here.port()));
        (vec![Endpoint::Tcp(dead), Endpoint::Tcp(here)], Vec::new())
    };
    for limit in [1, 5] {
        let spec = HttpSpec {
            requests_per_conn: Some(limit),
            ..spec(&target, "/bytes/10?delay=fixed:10ms")
        };
        let plan = HttpPlan::judge(spec, with_dead).unwrap();
        let (end, sum) = run_plan(plan, options(2, Stop::Requests(20)), None);
        let failed = u64::from(limit == 1);
        assert_eq!(
            (sum.total.completed, sum.total.failed),
            (20 - failed, failed)
        );
        assert_eq!(end.counts.connect_failures, 1, "limit {limit}");
    }
}

#[test]
fn bodies_methods_and_statuses_are_counted() {
    let target = target();
    let post = HttpSpec {
        body: Some(vec![b'x'; 100_000].into()),
        ..spec(&target, "/echo")
    };
    let (_, sum) = run(post, options(2, Stop::Requests(20)), None);
    assert_eq!(sum.total.payload_tx_bytes, 2_000_000);
    assert_eq!(target.stats().payload_rx_bytes, 2_000_000);
    for (method, path, status, payload) in [
        ("HEAD", "/bytes/5000", 100, 0),
        ("GET", "/status/304", 204, 0),
        ("GET", "/status/503", 403, 110),
        ("GET", "/chunked/50000?chunk=777", 100, 500_000),
        ("GET", "/close/5000", 100, 50_000),
    ] {
        let spec = HttpSpec {
            method: Some(method.to_owned()),
            ..spec(&target, path)
        };
        let (_, sum) = run(spec, options(2, Stop::Requests(10)), None);
        assert_eq!(sum.rows[&(0, status)].total_count, 10, "{path}");
        assert_eq!(sum.total.payload_rx_bytes, payload, "{path}");
        assert_eq!(sum.total.error_replies, if status == 403 { 10 } else { 0 });
    }
}

#[test]
fn weights_are_exact_over_routes_and_urls() {
    let (one, other) = (target(), target());
    let heavy = WeightedUrl {
        weight: 9,
        ..url(&one, "/bytes/1")
    };
    let spec = HttpSpec {
        urls: vec![heavy, url(&one, "/bytes/2")],
        ..HttpSpec::default()
    };
    let (_, sum) = run(spec, options(3, Stop::Requests(200)), None);
    assert_eq!(sum.total.payload_rx_bytes, 180 + 2 * 20);
    let spec = HttpSpec {
        urls: vec![url(&one, "/"), url(&other, "/")],
        ..HttpSpec::default()
    };
    let (end, _) = run(spec, options(4, Stop::Requests(200)), None);
    assert_eq!(end.endpoints.len(), 2);
    assert_eq!(end.endpoints[1].completed, other.stats().requests);
    assert!(other.stats().requests > 0);
}

#[test]
fn an_open_loop_keeps_its_schedule() {
    let target = target();
    let options = EngineOptions {
        pacing: open_loop(1000.0),
        warmup: 100 * MS,
        ..options(4, Stop::After(300 * MS))
    };
    let (_, sum) = run(spec(&target, "/bytes/10"), options, None);
    // A function of the plan: 400 are due, 300 of them in the window.
    assert_eq!(sum.total.sent + sum.total.unsent, 400);
    assert_eq!(sum.total.completed, sum.total.sent);
    assert_eq!(sum.total.intended, 300);
    assert_eq!(target.stop().requests, sum.total.sent);
}

#[test]
fn waiting_for_a_release_is_told_from_work() {
    let target = target();
    let options = EngineOptions {
        pacing: open_loop(500.0),
        ..options(2, Stop::After(300 * MS))
    };
    let (end, _) = run(spec(&target, "/bytes/10"), options, None);
    let used = end.cpu_used.unwrap();
    assert!(end.spin_ns > 0);
    assert!(end.spin_ns < used.user_ns + used.system_ns);
}

#[test]
fn what_tokio_does_not_tell_is_not_told() {
    let target = target();
    let options = EngineOptions {
        pacing: open_loop(1000.0),
        ..options(4, Stop::After(200 * MS))
    };
    let (end, sum) = run(spec(&target, "/bytes/10"), options, None);
    assert!(sum.total.wire_rx_bytes > 0 && sum.total.completed > 0);
    // How long a reply waited in the runtime, and how often the kernel sent again.
    assert_eq!((sum.delay.answered.len(), sum.delay.censored.len()), (0, 0));
    assert!(end.tcp.is_empty());
}

#[test]
fn an_open_loop_may_connect_for_each_request() {
    let target = target();
    let spec = HttpSpec {
        requests_per_conn: Some(1),
        ..spec(&target, "/bytes/10")
    };
    let options = EngineOptions {
        pacing: open_loop(400.0),
        ..options(4, Stop::After(200 * MS))
    };
    let (_, sum) = run(spec, options, None);
    let stats = target.stop();
    assert_eq!(sum.total.sent + sum.total.unsent, 80);
    assert_eq!(stats.requests, sum.total.sent);
    assert_eq!(stats.connections_accepted, sum.total.sent);
}

#[test]
fn an_overloaded_open_loop_forgives_nothing() {
    let target = Target::start(TargetOptions {
        delay: Law::Fixed(20 * MS),
        ..TargetOptions::default()
    })
    .unwrap();
    let options = EngineOptions {
        pacing: open_loop(500.0),
        ..options(2, Stop::After(400 * MS))
    };
    let (_, sum) = run(spec(&target, "/"), options, None);
    // Two connections give at most 100 replies a second.
    assert_eq!(sum.total.sent + sum.total.unsent, 200);
    assert!(sum.total.sent <= 42, "{} sent", sum.total.sent);
    assert_eq!(sum.total.completed, sum.total.sent);
    let service = sum.service.as_ref().unwrap();
    assert!(service.answered.min() >= 19_900_000);
    // The last one sent was due long before.
    assert!(sum.lag.answered.max() > 200_000_000);
    assert!(sum.response.answered.max() > 200_000_000);
    assert_eq!(sum.lag.censored.len(), sum.total.unsent);
}

#[test]
fn each_fault_has_its_class() {
    let target = target();
    let protocol = |wrong: Wrong| Cause::Protocol(wrong as u8);
    for (fault, phase, cause) in [
        ("reset-before-head", Phase::Wait, Cause::Reset),
        ("reset-after-head", Phase::Read, Cause::Reset),
        ("truncate", Phase::Read, Cause::Truncated),
        ("garbage", Phase::Decode, protocol(Wrong::NotHttp1)),
        ("close-before-reply", Phase::Wait, Cause::ClosedBeforeReply),
        ("hang", Phase::Wait, Cause::Timeout),
    ] {
        let options = EngineOptions {
            timeout: 100 * MS,
            ..options(1, Stop::Requests(3))
        };
        let (end, sum) = run(spec(&target, &format!("/fault/{fault}")), options, None);
        assert_eq!((sum.total.failed, sum.total.completed), (3, 0), "{fault}");
        assert_eq!(sum.response.censored.len(), 3);
        let rows = end.errors.rows();
        let got: Vec<_> = rows.iter().map(|r| (r.phase, r.cause, r.count)).collect();
        assert_eq!(got, [(phase, cause, 3)], "{fault}: {}", rows[0].sample);
        assert_eq!((end.counts.lost, end.counts.opened), (3, 3), "{fault}");
    }
}

#[test]
fn surplus_bytes_lose_the_connection_and_not_the_reply() {
    let target = target();
    let (end, sum) = run(
        spec(&target, "/fault/surplus"),
        options(1, Stop::Requests(5)),
        None,
    );
    assert_eq!(sum.total.completed + sum.total.failed, 5);
    assert!(sum.total.completed > 0);
    assert!(end.errors.rows().iter().any(|r| r.phase == Phase::Decode));
}

#[test]
fn nobody_there_is_said_and_ends() {
    let target = target();
    let spec = spec(&target, "/");
    target.stop();
    let (end, sum) = run(spec, options(3, Stop::Requests(10)), None);
    assert_eq!(sum.total.sent, 0);
    assert_eq!((end.counts.opened, end.counts.connect_failures), (0, 3));
    let rows = end.errors.rows();
    assert_eq!(
        (rows[0].phase, rows[0].cause),
        (Phase::Connect, Cause::Refused)
    );
}

/// A listener that takes no connection any more: the kernel drops what asks for one.
fn black_hole() -> (Vec<Socket>, HttpSpec) {
    let tcp = || Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    let listener = tcp();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let filler = tcp();
        // Under way is all it has to be.
        let _ = filler.connect(&address);
        sockets.push(filler);
    }
    let url = format!("http://{}/", address.as_socket().unwrap());
    let spec = HttpSpec {
        urls: vec![url.as_str().into()],
        ..HttpSpec::default()
    };
    (sockets, spec)
}

#[test]
fn connecting_in_vain_has_an_end() {
    let (_full, spec) = black_hole();
    let options = EngineOptions {
        connect_timeout: 200 * MS,
        ..options(2000, Stop::After(50 * MS))
    };
    let begun = Instant::now();
    let (end, sum) = run(spec, options, None);
    // Sixteen rounds would be more than 3 s.
    let took = begun.elapsed();
    assert!(took < 2000 * MS, "{took:?}");
    assert_eq!((sum.total.sent, end.counts.opened), (0, 0));
    assert!(end.counts.connect_failures > 0);
    assert_eq!(end.errors.rows()[0].cause, Cause::Timeout);
}

#[test]
fn a_request_that_makes_its_connection_has_its_own_timeout() {
    let (_full, spec) = black_hole();
    let spec = HttpSpec {
        requests_per_conn: Some(1),
        ..spec
    };
    let options = EngineOptions {
        timeout: 100 * MS,
        connect_timeout: Duration::from_secs(2),
        ..options(1, Stop::Requests(2))
    };
    let begun = Instant::now();
    let (end, sum) = run(spec, options, None);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((sum.total.completed, sum.total.failed), (0, 2));
    let row = &end.errors.rows()[0];
    assert_eq!((row.phase, row.cause), (Phase::Connect, Cause::Timeout));
}

/// A target that replies to the head of its first request and reads nothing more.
fn hasty_target() -> (HttpSpec, JoinHandle<(TcpListener, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let spec = HttpSpec {
        urls: vec![url.as_str().into()],
        // More than the buffers of both sides.
        body: Some(vec![b'x'; 64 << 20].into()),
        ..HttpSpec::default()
    };
    let serving = thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        first.read_exact(&mut [0; 16]).unwrap();
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        first.write_all(reply).unwrap();
        (listener, first)
    });
    (spec, serving)
}

#[test]
fn a_connection_that_takes_no_more_is_given_up() {
    let (spec, serving) = hasty_target();
    let options = EngineOptions {
        timeout: 200 * MS,
        ..options(1, Stop::Requests(2))
    };
    let (end, sum) = run(spec, options, Some(Duration::from_secs(5)));
    drop(serving.join().unwrap());
    assert_eq!((sum.total.completed, sum.total.failed), (1, 1));
    assert_eq!(end.counts.lost, 2);
    let rows = end.errors.rows();
    let stuck = (Phase::Write, Cause::Timeout);
    assert!(rows.iter().any(|r| (r.phase, r.cause) == stuck), "{rows:?}");
}

#[test]
fn a_stop_ends_a_drain_too() {
    let target = target();
    let options = EngineOptions {
        drain: Duration::from_secs(3000),
        timeout: Duration::from_secs(3000),
        ..options(2, Stop::After(50 * MS))
    };
    let (_, sum) = run(spec(&target, "/fault/hang"), options, Some(150 * MS));
    assert_eq!((sum.total.sent, sum.total.unanswered), (2, 2));
}

#[test]
fn a_stop_from_outside_ends_the_run() {
    let target = target();
    let options = options(2, Stop::After(Duration::from_secs(3000)));
    let (end, sum) = run(
        spec(&target, "/bytes/1?delay=fixed:1ms"),
        options,
        Some(100 * MS),
    );
    assert!(end.broken.is_none());
    assert!(sum.total.completed > 0);
    assert_eq!((sum.total.failed, sum.total.unanswered), (0, 0));
    assert_eq!(sum.total.completed, target.stats().replies);
}

#[test]
fn requests_in_flight_at_the_end_are_not_lost() {
    let target = target();
    let options = EngineOptions {
        drain: 50 * MS,
        ..options(3, Stop::After(50 * MS))
    };
    let (_, sum) = run(spec(&target, "/fault/hang"), options, None);
    assert_eq!((sum.total.sent, sum.total.unanswered), (3, 3));
    assert_eq!(sum.response.censored.len(), 3);
}

#[test]
fn what_hyper_cannot_do_is_refused_by_name() {
    let target = target();
    let plan = HttpPlan::new(spec(&target, "/")).unwrap();
    let client = HyperClient::new(HttpScenario::new(plan)).unwrap();
    let deep = EngineOptions {
        depth: 16,
        ..EngineOptions::default()
    };
    assert!(client.refuses(&deep).unwrap().contains("--depth 16"));
    let pinned = EngineOptions {
        pacing: open_loop(10.0),
        dispatch: Dispatch::Pinned,
        ..EngineOptions::default()
    };
    assert!(
        client
            .refuses(&pinned)
            .unwrap()
            .contains("--dispatch pinned")
    );
    assert_eq!(client.refuses(&EngineOptions::default()), None);
}
