//! What fills a worker's thread: the native engine, or a reference client.
//!
//! A [`Client`] gets a [`Seat`] and a [`Recorder`] and uses them until the run is over. It must
//! never decide what the numbers mean.

use std::sync::Arc;

use super::gate::Gate;
use super::options::{EngineOptions, Seat, WorkerEnd};
use super::pulse::Pulse;
use super::release::Adrift;
use super::worker::Worker;
use crate::driver::Driver;
use crate::driver::epoll::Epoll;
use crate::driver::sim::{Peer, Sim};
use crate::protocol::Tables;
use crate::record::{Exchange, Recorder};
use crate::stop::{Budget, StopFlag};
use crate::workload::{Route, Scenario};

/// All that workers and the control thread share.
#[derive(Debug)]
pub struct Shared {
    /// A stop from outside.
    pub stop: StopFlag,
    /// Requests that may still be sent.
    pub budget: Budget,
    /// Where workers wait for each other.
    pub gate: Gate,
    /// Sets on their way.
    pub exchange: Arc<Exchange>,
    /// What was due where nothing is asked any more.
    pub adrift: Adrift,
    /// When the run was last seen to live.
    pub pulse: Pulse,
}

impl Shared {
    /// For a run of `workers` workers that ends after `requests`, if it has such an end.
    #[must_use]
    pub fn new(requests: Option<u64>, workers: usize) -> Self {
        Self {
            stop: StopFlag::default(),
            budget: Budget::new(requests, workers),
            gate: Gate::new(workers),
            exchange: Arc::new(Exchange::default()),
            adrift: Adrift::default(),
            pulse: Pulse::default(),
        }
    }
}

/// One way of making load of a scenario.
pub trait Client: Send + Sync + 'static {
    /// `native`, or the name of the library behind it.
    fn name(&self) -> &'static str;

    /// `epoll`, `sim`, or the runtime of the library.
    fn driver(&self) -> &'static str;

    /// The protocol's closed tables.
    fn tables(&self) -> Arc<Tables>;

    /// Where connections go.
    fn routes(&self) -> Vec<Route>;

    /// How many requests a connection carries; `None`: no limit.
    fn requests_per_connection(&self) -> Option<u64>;

    /// What goes into `plan.<protocol>`.
    fn plan(&self) -> serde_json::Value;

    /// What of `options` this client cannot do: one sentence that names the flag.
    fn refuses(&self, _options: &EngineOptions) -> Option<String> {
        None
    }

    /// Adds up what the workers said at the end.
    fn details(&self, workers: Vec<serde_json::Value>) -> serde_json::Value;

    /// Fills one worker's thread until the run is over.
    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd;
}

/// The engine itself, on real sockets.
#[derive(Debug)]
pub struct Native<S>(pub Arc<S>);

impl<S: Scenario> Client for Native<S> {
    fn name(&self) -> &'static str {
        "native"
    }

    fn driver(&self) -> &'static str {
        "epoll"
    }

    fn tables(&self) -> Arc<Tables> {
        self.0.tables()
    }

    fn routes(&self) -> Vec<Route> {
        self.0.routes()
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.0.requests_per_connection()
    }

    fn plan(&self) -> serde_json::Value {
        self.0.plan()
    }

    fn details(&self, workers: Vec<serde_json::Value>) -> serde_json::Value {
        self.0.details(workers)
    }

    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd {
        let sockets = seat.options.sockets.clone();
        let total = u64::from(seat.options.connections);
        let driver = match Epoll::new(seat.clock, sockets, seat.first, total) {
            Ok(driver) => driver,
            Err(error) => return WorkerEnd::broken(&seat, format!("no epoll instance: {error}")),
        };
        work(self.0.as_ref(), seat, recorder, driver)
    }
}

/// The engine on a scripted peer and a virtual clock: the whole program without a socket. One
/// worker only, for each has a time of its own.
#[derive(Debug)]
pub struct Simulated<S, F>(pub Arc<S>, pub F);

impl<S, P, F> Client for Simulated<S, F>
where
    S: Scenario,
    P: Peer,
    F: Fn() -> P + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "native"
    }

    fn driver(&self) -> &'static str {
        "sim"
    }

    fn tables(&self) -> Arc<Tables> {
        self.0.tables()
    }

    fn routes(&self) -> Vec<Route> {
        self.0.routes()
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.0.requests_per_connection()
    }

    fn plan(&self) -> serde_json::Value {
        self.0.plan()
    }

    fn details(&self, workers: Vec<serde_json::Value>) -> serde_json::Value {
        self.0.details(workers)
    }

    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd {
        work(self.0.as_ref(), seat, recorder, Sim::new((self.1)()))
    }
}

fn work<S: Scenario, D: Driver>(
    scenario: &S,
    seat: Seat,
    recorder: Recorder,
    driver: D,
) -> WorkerEnd {
    let workload = scenario.workload(seat.worker, seat.workers);
    let per_connection = scenario.requests_per_connection();
    let (tables, routes) = (scenario.tables(), scenario.routes());
    Worker::new(
        seat,
        recorder,
        driver,
        workload,
        tables,
        routes,
        per_connection,
    )
    .run()
}
