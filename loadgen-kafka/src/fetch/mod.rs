//! Reading a topic: what a run goes by, and the library's way in.
//!
//! `cursors` is where reading is, `marks` where fetches begin when nobody looks, `workload` says what
//! to fetch next, `session` is one connection, `take` what comes on it, `local` what they share within
//! a worker. A cursor moves only when its whole reply has come: nothing here may count half of one.

pub mod cursors;
pub mod local;
mod marks;
pub mod session;
mod take;
#[cfg(test)]
mod tests;
pub mod workload;

use std::sync::Arc;

use loadgen_core::protocol::Tables;
use loadgen_core::workload::{Route, Scenario};
use serde_json::Value;

use crate::cluster::Topic;
use crate::greeting::GreetingRules;
use crate::plan::consume_document;
use crate::spec::{ConsumeSpec, Isolation};
use crate::wire::fetch::Common;
use crate::{tables, walk};
use cursors::{Cursors, Ranges};
use local::Local;
use workload::FetchWorkload;

/// What all consumers of a run go by: constants, and the cursors they share.
#[derive(Debug)]
pub struct ConsumeRules {
    /// What is read.
    pub topic: Arc<Topic>,
    /// Where reading is.
    pub cursors: Cursors,
    /// Fetches in flight at each route, all workers together.
    pub slots: Vec<u32>,
    /// How connections begin.
    pub greeting: Arc<GreetingRules>,
    /// What all requests have in common.
    pub common: Common,
    /// How deep to look.
    pub walk: walk::Rules,
    /// Payload bytes of every record, where somebody knows.
    pub record_bytes: Option<u32>,
    /// The mark of the stamps to look for at the front of values; `None`: nobody looks.
    pub mark: Option<u64>,
}

/// What a run reads, with all that the cluster said.
#[derive(Debug)]
pub struct ConsumePlan {
    /// What was asked for.
    pub spec: ConsumeSpec,
    /// The partitions of the run.
    pub topic: Arc<Topic>,
    /// A route for each broker, in the topic's order.
    pub routes: Vec<Route>,
    /// The first offset of each partition, by position.
    pub starts: Vec<i64>,
    /// The one behind the last.
    pub ends: Vec<i64>,
    /// Fetches in flight at each route: connections × depth.
    pub slots: Vec<u32>,
    /// Seed of the nonces.
    pub seed: u64,
}

impl ConsumePlan {
    /// The constants of the run. `mark`: that of stamps in values, where somebody writes them.
    #[must_use]
    pub fn rules(self, mark: Option<u64>) -> ConsumeRules {
        let Self {
            spec,
            topic,
            starts,
            ends,
            slots,
            seed,
            ..
        } = self;
        ConsumeRules {
            cursors: Cursors::new(Ranges {
                copies: copies(&topic, &slots),
                starts,
                ends,
                until: spec.until,
                wanted: spec.records,
                depth: spec.depth,
            }),
            slots,
            greeting: Arc::new(GreetingRules::new(
                spec.cluster.client_id.clone(),
                spec.cluster.sasl.clone(),
                seed,
            )),
            common: Common {
                client_id: spec.cluster.client_id,
                topic: spec.topic,
                max_wait_ms: spec.max_wait_ms,
                min_bytes: spec.min_bytes,
                max_bytes: spec.fetch_max_bytes,
                partition_max_bytes: spec.partition_max_bytes,
                read_committed: spec.isolation == Isolation::ReadCommitted,
            },
            walk: walk::Rules {
                depth: spec.depth,
                isolation: spec.isolation,
            },
            record_bytes: spec.seeded_record_bytes,
            topic,
            mark,
        }
    }
}

/// So many cursors of each partition that in a replay no fetch has to wait for one.
fn copies(topic: &Topic, slots: &[u32]) -> Vec<usize> {
    let leaders: Vec<Option<usize>> = (0..topic.partitions.len())
        .map(|at| topic.leader(at).filter(|route| *route < slots.len()))
        .collect();
    let mut leads = vec![0_usize; slots.len()];
    for route in leaders.iter().flatten() {
        leads[*route] += 1;
    }
    let needed = |leader: &Option<usize>| {
        leader.map_or(1, |route| (slots[route] as usize).div_ceil(leads[route]))
    };
    leaders.iter().map(needed).collect()
}

/// A whole run's reading.
#[derive(Clone, Debug)]
pub struct ConsumeScenario {
    rules: Arc<ConsumeRules>,
    routes: Vec<Route>,
    document: Value,
    tables: Arc<Tables>,
}

impl ConsumeScenario {
    /// Lays out what the plan says.
    #[must_use]
    pub fn new(plan: ConsumePlan) -> Self {
        let (routes, document) = (plan.routes.clone(), consume_document(&plan.spec));
        Self {
            rules: Arc::new(plan.rules(None)),
            routes,
            document,
            tables: Arc::new(tables::tables()),
        }
    }

    /// What its consumers go by.
    #[must_use]
    pub fn rules(&self) -> &ConsumeRules {
        &self.rules
    }
}

impl Scenario for ConsumeScenario {
    type Workload = FetchWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    fn workload(&self, _worker: usize, _workers: usize) -> FetchWorkload {
        FetchWorkload::new(Local::shared(Arc::clone(&self.rules)))
    }

    fn plan(&self) -> Value {
        self.document.clone()
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        local::sum(&workers, &self.rules)
    }
}
