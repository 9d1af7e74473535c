//! What one worker asks next: what its producers or its readers do, by the route.

use std::sync::Arc;

use loadgen_core::protocol::Ticket;
use loadgen_core::workload::{Next, Route, RouteId, Workload};
use serde_json::{Value, json};

use super::session::{Ask, EndToEndSession};
use super::{EndToEndRules, Way};
use crate::fetch::workload::FetchWorkload;
use crate::produce::workload::ProduceWorkload;
use crate::{fetch, produce};

/// One worker's producers and readers.
#[derive(Debug)]
pub struct EndToEndWorkload {
    rules: Arc<EndToEndRules>,
    write: ProduceWorkload,
    readers: Vec<FetchWorkload>,
    draining: bool,
    /// All of them; only the shares of the rate of those that write change.
    routes: Vec<Route>,
}

impl EndToEndWorkload {
    /// For worker number `worker`.
    #[must_use]
    pub fn new(rules: Arc<EndToEndRules>, routes: Vec<Route>, worker: usize) -> Self {
        rules.begins();
        let write = produce::local::Local::shared(Arc::clone(&rules.write));
        let reader = |of| FetchWorkload::new(fetch::local::Local::shared(Arc::clone(of)));
        Self {
            write: ProduceWorkload::new(write, worker),
            readers: rules.readers.iter().map(reader).collect(),
            draining: false,
            routes,
            rules,
        }
    }
}

impl Drop for EndToEndWorkload {
    /// A worker that is gone writes nothing, however it went.
    fn drop(&mut self) {
        self.draining();
    }
}

/// The same, of another request.
fn ask<R>(next: Next<R>, of: impl FnOnce(R) -> Ask) -> Next<Ask> {
    match next {
        Next::Ready(request) => Next::Ready(of(request)),
        Next::Idle => Next::Idle,
        Next::Done => Next::Done,
    }
}

impl Workload for EndToEndWorkload {
    type Session = EndToEndSession;

    fn routes_changed(&mut self) -> Option<Vec<Route>> {
        let weights = self.write.weights_changed()?;
        for (route, weight) in self.routes.iter_mut().zip(weights) {
            route.rate_weight = weight;
        }
        Some(self.routes.clone())
    }

    fn open(&mut self, route: RouteId, conn: u32) -> EndToEndSession {
        match self.rules.way(route) {
            Way::Write => EndToEndSession::Write(Box::new(self.write.open(route, conn))),
            Way::Read { reader, broker } => {
                EndToEndSession::Read(Box::new(self.readers[reader].open(broker, conn)))
            }
        }
    }

    fn next(&mut self, route: RouteId, conn: u32, n: u64) -> Next<Ask> {
        match self.rules.way(route) {
            Way::Write => ask(self.write.next(route, conn, n), Ask::Write),
            Way::Read { reader, .. } if self.draining && self.rules.has_read_all(reader) => {
                Next::Done
            }
            Way::Read { reader, broker } => {
                ask(self.readers[reader].next(broker, conn, n), Ask::Read)
            }
        }
    }

    fn draining(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.rules.ends();
            self.write.draining();
            self.readers.iter_mut().for_each(Workload::draining);
        }
    }

    fn lost(&mut self, route: RouteId, conn: u32, tickets: &[Ticket]) {
        match self.rules.way(route) {
            Way::Write => self.write.lost(route, conn, tickets),
            Way::Read { reader, broker } => self.readers[reader].lost(broker, conn, tickets),
        }
    }

    fn details(&mut self) -> Value {
        let readers = self.readers.iter_mut().map(Workload::details);
        let readers: Vec<Value> = readers.collect();
        json!({"write": self.write.details(), "readers": readers})
    }
}
