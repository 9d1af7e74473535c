//! The same work through hyper's client on tokio: what an ordinary application would see.
//!
//! One current-thread runtime in each worker's thread, one task per connection, the same plan,
//! pacing, stamps and recorder as the native engine, so that two documents differ in the client
//! alone. What hyper cannot do is refused by name; it must never be done a little differently in
//! silence.

mod conn;
mod control;
mod fault;
mod link;
mod pool;
mod prepared;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

use loadgen_core::engine::{Client, EngineOptions, Seat, WorkerEnd};
use loadgen_core::pace::{Dispatch, Pacing};
use loadgen_core::protocol::Tables;
use loadgen_core::record::Recorder;
use loadgen_core::workload::{Route, Scenario as _};
use serde_json::Value;

use crate::scenario::HttpScenario;
use prepared::Prepared;

/// hyper as a client of the engine's harness: `--client hyper`.
#[derive(Debug)]
pub struct HyperClient {
    scenario: HttpScenario,
    prepared: Arc<Prepared>,
}

impl HyperClient {
    /// Prepares the requests of `scenario` for hyper.
    ///
    /// # Errors
    /// One sentence, when hyper cannot express a URL or a header that the native client can.
    pub fn new(scenario: HttpScenario) -> Result<Self, String> {
        let prepared = Arc::new(Prepared::new(scenario.http_plan())?);
        Ok(Self { scenario, prepared })
    }
}

impl Client for HyperClient {
    fn name(&self) -> &'static str {
        "hyper"
    }

    fn driver(&self) -> &'static str {
        "tokio"
    }

    fn tables(&self) -> Arc<Tables> {
        self.scenario.tables()
    }

    fn routes(&self) -> Vec<Route> {
        self.scenario.routes()
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.scenario.requests_per_connection()
    }

    fn plan(&self) -> Value {
        loadgen_core::workload::Scenario::plan(&self.scenario)
    }

    fn refuses(&self, options: &EngineOptions) -> Option<String> {
        if options.depth > 1 {
            return Some(format!(
                "--depth {}: hyper does not pipeline, so --client hyper allows 1",
                options.depth
            ));
        }
        let open = matches!(options.pacing, Pacing::Open { .. });
        if open && options.dispatch == Dispatch::Pinned {
            return Some("--dispatch pinned: --client hyper has only --dispatch pool".to_owned());
        }
        None
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        self.scenario.details(workers)
    }

    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd {
        let turns = self.scenario.turns(seat.worker, seat.workers);
        let prepared = Arc::clone(&self.prepared);
        control::run(seat, recorder, prepared, turns, self.routes())
    }
}
