//! The same echo over real sockets, through the library's front door.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loadgen_core::engine::EngineOptions;
use loadgen_core::protocol::Tables;
use loadgen_core::results::RunStatus;
use loadgen_core::run::{Options, StartError, start};
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Endpoint, Route, Scenario};

use crate::echo::{Echo, EchoWorkload, reply};
use crate::harness::route;

/// An echo server that counts; its threads end with their connections.
fn server() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                let mut number = [0; 4];
                while stream.read_exact(&mut number).is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                    let answer = reply(u32::from_be_bytes(number), 100);
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, count)
}

fn echo(address: SocketAddr) -> Echo {
    Echo {
        endpoint: Some(Endpoint::Tcp(address)),
        ..Echo::default()
    }
}

fn options(stop: Stop) -> Options {
    let engine = EngineOptions {
        connections: 8,
        depth: 4,
        stop,
        ..EngineOptions::default()
    };
    Options {
        engine,
        workers: Some(2),
        ..Options::default()
    }
}

#[test]
fn two_runs_in_one_process_count_what_their_servers_count() {
    let servers = [server(), server()];
    let handles = servers
        .each_ref()
        .map(|(address, _)| start(echo(*address), options(Stop::Requests(20_000))).unwrap());
    for (handle, (_, count)) in handles.into_iter().zip(&servers) {
        let document = handle.join();
        assert_eq!(document.status, RunStatus::Complete);
        assert_eq!(document.totals.completed, 20_000);
        assert_eq!(document.totals.payload_rx_bytes, Some(2_000_000));
        assert_eq!(count.load(Ordering::Relaxed), 20_000);
        assert_eq!(document.summary.response_time.count, 20_000);
        assert_eq!(
            document.workers.iter().map(|w| w.completed).sum::<u64>(),
            20_000
        );
        assert_eq!(document.connections.opened, 8);
    }
}

/// A route to each of two addresses.
struct Two([SocketAddr; 2]);

impl Scenario for Two {
    type Workload = EchoWorkload;

    fn tables(&self) -> Arc<Tables> {
        Echo::default().tables()
    }

    fn routes(&self) -> Vec<Route> {
        let to = |address: &SocketAddr| Route {
            endpoints: vec![Endpoint::Tcp(*address)],
            ..route(&address.to_string(), 1)
        };
        self.0.iter().map(to).collect()
    }

    fn workload(&self, _worker: usize, _workers: usize) -> EchoWorkload {
        EchoWorkload
    }
}

/// Answers so many requests of one connection, each after a while, and is gone.
fn brief(requests: u32, each: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut number = [0; 4];
        for _ in 0..requests {
            if stream.read_exact(&mut number).is_err() {
                return;
            }
            std::thread::sleep(each);
            let answer = reply(u32::from_be_bytes(number), 0);
            stream.write_all(&answer).unwrap();
        }
    });
    address
}

/// A worker whose only target is gone ends nobody else's run, and keeps nothing of it to itself.
#[test]
fn a_worker_with_nobody_to_ask_leaves_its_part_to_the_others() {
    let each = Duration::from_millis(1);
    let mut options = options(Stop::Requests(600));
    options.engine.connections = 2;
    options.engine.depth = 1;
    options.engine.connect_timeout = Duration::from_millis(50);
    let scenario = Two([brief(5, each), brief(u32::MAX, each)]);
    let document = start(scenario, options).unwrap().join();
    assert_eq!(document.status, RunStatus::Complete);
    assert!(document.workers.iter().all(|worker| !worker.gave_up));
    let totals = &document.totals;
    // One may have been on its way when the first was gone.
    assert_eq!((totals.sent, totals.unsent), (600, 0));
    assert!(totals.completed >= 599, "{totals:?}");
}

/// So does one that nobody answers: all are gone, and that is found out for all of them.
#[test]
fn a_run_by_count_ends_when_all_of_its_targets_are_gone() {
    let each = Duration::from_millis(1);
    let mut options = options(Stop::Requests(600));
    options.engine.connections = 2;
    options.engine.depth = 1;
    options.engine.connect_timeout = Duration::from_millis(50);
    let document = start(Two([brief(5, each), brief(100, each)]), options).unwrap();
    let document = document.join();
    assert_eq!(document.status, RunStatus::Partial);
    assert!(document.workers.iter().any(|worker| worker.gave_up));
    let totals = &document.totals;
    assert_eq!((totals.completed, totals.sent + totals.unsent), (105, 600));
}

#[test]
fn a_stopped_run_is_partial_and_loses_nothing() {
    let (address, count) = server();
    let handle = start(
        echo(address),
        options(Stop::After(Duration::from_secs(600))),
    )
    .unwrap();
    let begun = Instant::now();
    while handle.snapshot().completed < 1000 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            handle.snapshot()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    handle.stop();
    let document = handle.join();
    assert_eq!(document.status, RunStatus::Partial);
    assert_eq!(document.verdict.exit_code, 130);
    assert_eq!(document.totals.completed, count.load(Ordering::Relaxed));
    assert_eq!(document.totals.sent, document.totals.completed);
    let window_s = document
        .phases
        .iter()
        .find(|p| p.name == "measure")
        .unwrap()
        .duration_ns;
    assert!(window_s < 30_000_000_000);
}

/// An end that somebody planned is no interruption.
#[test]
fn a_run_that_is_ended_is_complete() {
    let (address, count) = server();
    let handle = start(
        echo(address),
        options(Stop::After(Duration::from_secs(600))),
    )
    .unwrap();
    let begun = Instant::now();
    while handle.snapshot().completed == 0 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    handle.end();
    let document = handle.join();
    assert!(!document.interrupted);
    assert_eq!(document.status, RunStatus::Complete);
    assert_eq!(document.totals.completed, count.load(Ordering::Relaxed));
}

/// What is read while a run goes on is what its document has: nothing twice, nothing left out but
/// what came after the last look.
#[test]
fn intervals_are_handed_out_once_and_in_order() {
    let (address, _) = server();
    let mut options = options(Stop::After(Duration::from_millis(600)));
    options.engine.interval = Duration::from_millis(20);
    let handle = start(echo(address), options).unwrap();
    let mut rows = Vec::new();
    while !handle.is_finished() {
        rows.extend(handle.intervals());
        std::thread::sleep(Duration::from_millis(5));
    }
    rows.extend(handle.intervals());
    let begin_unix_ns = handle.snapshot().begin_unix_ns;
    let document = handle.join();
    assert!(rows.len() > 10, "{}", rows.len());
    assert_eq!(rows, document.intervals[..rows.len()]);
    let measure = document.phases.iter().find(|p| p.name == "measure");
    let start_ns = measure.unwrap().start_ns;
    assert_eq!(begin_unix_ns, Some(document.start_unix_ns + start_ns));
    // A reply of this server is one unit.
    assert!(rows.iter().all(|row| row.units == row.completed));
    let busy = rows.iter().filter(|row| row.completed > 0);
    assert!(busy.clone().count() > 0);
    for row in busy {
        let (mean, max) = (row.mean_ns.unwrap(), row.max_ns.unwrap());
        assert!(mean > 0.0 && mean <= max as f64, "{row:?}");
    }
}

#[test]
fn a_run_inside_an_async_runtime_needs_nothing_of_it() {
    // No runtime of ours is entered: the handle is polled like any other thing.
    let (address, _) = server();
    let handle = start(echo(address), options(Stop::Requests(100))).unwrap();
    while !handle.is_finished() {
        std::thread::yield_now();
    }
    assert_eq!(handle.join().totals.completed, 100);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let (address, count) = server();
    let refuse = |change: fn(&mut Options)| {
        let mut options = options(Stop::Requests(10));
        change(&mut options);
        match start(echo(address), options) {
            Err(StartError::Options(text) | StartError::Environment(text)) => text,
            Ok(_) => panic!("it was started"),
        }
    };
    assert!(refuse(|o| o.engine.connections = 0).contains("--connections is 0"));
    assert!(refuse(|o| o.engine.depth = 0).contains("--depth is 0"));
    assert!(refuse(|o| o.workers = Some(9)).contains("--workers is 9"));
    assert!(refuse(|o| o.engine.timeout = Duration::ZERO).contains("--timeout"));
    assert!(refuse(|o| o.cpus = Some(vec![1023])).contains("CPU 1023"));
    assert_eq!(count.load(Ordering::Relaxed), 0);
}
