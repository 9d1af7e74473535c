//! Runs one worker on the simulated driver and adds up what it counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use loadgen_core::driver::sim::{Peer, Sim};
use loadgen_core::engine::{EngineOptions, Seat, Shared, Worker, WorkerEnd, deal};
use loadgen_core::pace::Pacing;
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::record::{Aggregate, ErrorEntry, Recorder, Window, sum_histogram};
use loadgen_core::stop::Stop;
use loadgen_core::time::{Clock, nanos};
use loadgen_core::workload::{Endpoint, Route, Scenario};

/// A millisecond, ns.
pub(crate) const MS: u64 = 1_000_000;

/// What one worker left behind.
pub(crate) struct Ran {
    pub(crate) sum: Aggregate,
    pub(crate) end: WorkerEnd,
    pub(crate) errors: Vec<ErrorEntry>,
}

impl Ran {
    /// How often `phase` × `cause` happened.
    pub(crate) fn errors(&self, phase: Phase, cause: Cause) -> u64 {
        let of = |e: &&ErrorEntry| e.phase == phase && e.cause == cause;
        self.errors.iter().filter(of).map(|e| e.count).sum()
    }
}

/// Runs `scenario` against `peer` as one worker. `tune` may cut or slow the driver.
pub(crate) fn run<S: Scenario, P: Peer>(
    scenario: &S,
    peer: P,
    options: EngineOptions,
    tune: impl FnOnce(&mut Sim<P>),
) -> Ran {
    let requests = options.stop.requests();
    let shared = Arc::new(Shared::new(requests, 1));
    let routes = scenario.routes();
    let tables = scenario.tables();
    let open_loop = matches!(options.pacing, Pacing::Open { .. });
    let interval_ns = nanos(options.interval);
    let exchange = Arc::clone(&shared.exchange);
    let window = Window::unknown(interval_ns);
    let recorder = Recorder::new(0, open_loop, &tables, window, Arc::clone(&exchange));
    let seat = Seat {
        worker: 0,
        workers: 1,
        cpu: None,
        clock: Clock::start(),
        dealt: deal(options.connections, &routes, 1).remove(0),
        options: Arc::new(options),
        first: 0,
        shared,
    };
    let mut driver = Sim::new(peer);
    tune(&mut driver);
    let workload = scenario.workload(0, 1);
    let limit = scenario.requests_per_connection();
    let mut end = Worker::new(seat, recorder, driver, workload, tables, routes, limit).run();
    let mut sum = Aggregate::new(1, interval_ns, open_loop);
    while let Some(set) = exchange.full.pop() {
        sum.add(&set);
    }
    sum.finish();
    let errors = std::mem::take(&mut end.errors).into_rows();
    Ran { sum, end, errors }
}

/// Closed loop, by count, with `connections` and `depth`.
pub(crate) fn by_count(requests: u64, connections: u32, depth: u32) -> EngineOptions {
    let (stop, timeout) = (Stop::Requests(requests), Duration::from_millis(100));
    EngineOptions {
        connections,
        depth,
        stop,
        timeout,
        ..EngineOptions::default()
    }
}

/// One route to one made-up address.
pub(crate) fn one_route() -> Vec<Route> {
    vec![route("only", 1)]
}

/// A route to an address of its own.
pub(crate) fn route(name: &str, weight: u32) -> Route {
    let endpoints = vec![Endpoint::Unix(name.into())];
    Route {
        name: name.into(),
        endpoints,
        weight,
        rate_weight: weight,
        paced: true,
    }
}

/// The histogram of exactly these values.
pub(crate) fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = sum_histogram();
    for value in values {
        histogram.record(value).unwrap();
    }
    histogram
}

/// Splits what a peer received into frames of `size` bytes; one per connection.
#[derive(Default)]
pub(crate) struct Frames(std::collections::HashMap<u64, VecDeque<u8>>);

impl Frames {
    pub(crate) fn take(&mut self, id: u64, bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
        let kept = self.0.entry(id).or_default();
        kept.extend(bytes);
        let mut frames = Vec::new();
        while kept.len() >= size {
            frames.push(kept.drain(..size).collect());
        }
        frames
    }
}
