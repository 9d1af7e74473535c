//! Writing to a topic and reading it at once, on one clock: how old records are when they arrive.
//!
//! One run whose first routes write, paced, one for each broker; the others read, unpaced, one for
//! each reader and broker. `workload` and `session` hand on to those of `produce` and `fetch` by the
//! route; `details` is what was counted, `sim` a cluster for whole runs without a socket. Nothing here
//! may read a clock: what is written carries the tick at which it was sent, and the engine knows when
//! it came.

mod details;
pub mod session;
pub mod sim;
pub mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loadgen_core::protocol::Tables;
use loadgen_core::workload::{Route, RouteId, Scenario};
use serde_json::Value;

use crate::cluster::Topic;
use crate::fetch::{ConsumePlan, ConsumeRules};
use crate::plan::end_to_end_document;
use crate::produce::{ProducePlan, ProduceRules};
use crate::spec::EndToEndSpec;
use crate::tables::{self, Op};
use crate::wire::WireError;
use workload::EndToEndWorkload;

/// What a run writes and reads, with all that the cluster said.
#[derive(Debug)]
pub struct EndToEndPlan {
    /// What was asked for.
    pub spec: EndToEndSpec,
    /// The partitions of the run.
    pub topic: Arc<Topic>,
    /// Partitions of the topic, those that take no part included.
    pub partition_count: u32,
    /// A route for each broker, in the topic's order.
    pub brokers: Vec<Route>,
    /// The offset behind the last record of each partition, by position: where reading begins.
    pub ends: Vec<i64>,
    /// Connections that write.
    pub connections: u32,
    /// Records of the whole run; `None`: without end.
    pub records: Option<u64>,
    /// Milliseconds since 1970 when the run's clock starts.
    pub unix_ms_at_zero: i64,
}

/// What all workers go by, and the little that they share.
#[derive(Debug)]
pub struct EndToEndRules {
    /// What is written.
    pub write: Arc<ProduceRules>,
    /// Each reads every record.
    pub readers: Vec<Arc<ConsumeRules>>,
    /// Workers that may still write something.
    writing: AtomicUsize,
}

impl EndToEndRules {
    /// A worker is there.
    fn begins(&self) {
        self.writing.fetch_add(1, Ordering::AcqRel);
    }

    /// A worker sends nothing new. Only once for each.
    fn ends(&self) {
        self.writing.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a reader has read all that was acknowledged, and nothing is under way any more. Nobody
    /// waits for ever: what is written and never answered keeps it `false`.
    #[must_use]
    pub fn has_read_all(&self, reader: usize) -> bool {
        // In this order: those that still write might send something after they were quiet.
        if self.writing.load(Ordering::Acquire) > 0 || !self.write.is_quiet() {
            return false;
        }
        let cursors = &self.readers[reader].cursors;
        let read = |at| match self.write.behind(at) {
            None => true,
            Some(offset) => cursors.reached(at, offset),
        };
        (0..self.write.topic.partitions.len()).all(read)
    }

    /// Brokers: so many routes write.
    #[must_use]
    pub fn brokers(&self) -> usize {
        self.write.topic.brokers.len()
    }

    /// What a route is for.
    #[must_use]
    #[inline]
    pub fn way(&self, route: RouteId) -> Way {
        let brokers = self.brokers();
        match route.checked_sub(brokers) {
            None => Way::Write,
            Some(route) => Way::Read {
                reader: route / brokers,
                broker: route % brokers,
            },
        }
    }
}

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To write.
    Write,
    /// To read.
    Read {
        /// Who reads.
        reader: usize,
        /// From whom: a route of the reader's own rules.
        broker: RouteId,
    },
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct EndToEndScenario {
    rules: Arc<EndToEndRules>,
    routes: Vec<Route>,
    connections: u32,
    document: Value,
    tables: Arc<Tables>,
}

impl EndToEndScenario {
    /// Lays out what the plan says.
    ///
    /// # Errors
    /// When batches cannot be composed, or not stamped.
    pub fn new(plan: EndToEndPlan) -> Result<Self, WireError> {
        let document = end_to_end_document(&plan.spec, plan.records);
        let mut routes = routes(&plan);
        let EndToEndSpec {
            write,
            read,
            fan_out,
        } = plan.spec;
        let (seed, brokers) = (write.seed, plan.brokers.len());
        let write = ProducePlan {
            spec: write,
            topic: Arc::clone(&plan.topic),
            partition_count: plan.partition_count,
            routes: Vec::new(),
            records: plan.records,
            unix_ms_at_zero: plan.unix_ms_at_zero,
        };
        let write = Arc::new(write.rules(true)?);
        for (route, weight) in routes.iter_mut().zip(write.rate_weights()) {
            route.rate_weight = weight;
        }
        let reader = |_| {
            let plan = ConsumePlan {
                spec: read.clone(),
                topic: Arc::clone(&plan.topic),
                routes: Vec::new(),
                starts: plan.ends.clone(),
                ends: plan.ends.clone(),
                // A broker answers one fetch of a connection after the other, and one that waits keeps
                // those behind it waiting: all that a reader wants of a broker is asked for in one.
                slots: vec![1; brokers],
                seed,
            };
            Arc::new(plan.rules(Some(write.mark())))
        };
        let reading = plan.brokers.len() as u64 * u64::from(fan_out);
        let connections = u64::from(plan.connections) + reading;
        Ok(Self {
            routes,
            connections: u32::try_from(connections).unwrap_or(u32::MAX),
            document,
            tables: Arc::new(Tables {
                // The summary is of what the run's pacing asked for: of writing.
                apart: &[Op::Fetch as u8, Op::Wait as u8],
                ..tables::tables()
            }),
            rules: Arc::new(EndToEndRules {
                readers: (0..fan_out).map(reader).collect(),
                write,
                writing: AtomicUsize::new(0),
            }),
        })
    }

    /// What the workers go by.
    #[must_use]
    pub fn rules(&self) -> &EndToEndRules {
        &self.rules
    }

    /// Connections in total: those that write, and one of each reader to each broker.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.connections
    }
}

/// Those that write, by the weights of the brokers, then those of each reader. Weights are such that
/// dealing out all connections gives each reader one at each broker.
fn routes(plan: &EndToEndPlan) -> Vec<Route> {
    let weight = |weight: u64| u32::try_from(weight).unwrap_or(u32::MAX);
    let sum = plan.brokers.iter().map(|b| u64::from(b.weight)).sum();
    let write = |broker: &Route| Route {
        weight: weight(u64::from(broker.weight) * u64::from(plan.connections)),
        paced: true,
        ..broker.clone()
    };
    let read = |reader: u32| {
        plan.brokers.iter().map(move |broker| Route {
            name: format!("{}/reader {}", broker.name, reader + 1),
            weight: weight(sum),
            paced: false,
            ..broker.clone()
        })
    };
    let writing = plan.brokers.iter().map(write);
    writing
        .chain((0..plan.spec.fan_out).flat_map(read))
        .collect()
}

impl Scenario for EndToEndScenario {
    type Workload = EndToEndWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    fn workload(&self, worker: usize, _workers: usize) -> EndToEndWorkload {
        EndToEndWorkload::new(Arc::clone(&self.rules), self.routes.clone(), worker)
    }

    fn plan(&self) -> Value {
        self.document.clone()
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        details::sum(&workers, &self.rules)
    }
}
