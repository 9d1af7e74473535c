//! What fills a worker's thread: the native engine, or a reference client.
//!
//! A [`Client`] gets a [`Seat`] and a [`Recorder`] and uses them until the run is over. It must
//! never decide what the numbers mean.

use std::sync::Arc;

use super::gate::Gate;
use super::options::{Seat, WorkerEnd};
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

    fn run(&self, seat: Seat, _recorder: Recorder) -> WorkerEnd {
        WorkerEnd {
            worker: seat.worker,
            ..WorkerEnd::default()
        }
    }
}
