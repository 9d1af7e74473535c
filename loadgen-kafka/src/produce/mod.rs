//! Writing to a topic: what a run goes by, and the library's way in.
//!
//! `templates` are what is sent, `workload` says where it goes, `session` is one connection, `local`
//! what both share within a worker. `sim` is a cluster for whole runs without a socket. Nothing here
//! may know what time it is: a plan says when tick 0 is.

mod keys;
pub mod local;
pub mod session;
pub mod sim;
pub mod template;
pub mod templates;
pub mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use loadgen_core::protocol::Tables;
use loadgen_core::time::Tick;
use loadgen_core::workload::{Random, Route, Scenario};
use serde_json::Value;

use crate::cluster::Topic;
use crate::greeting::GreetingRules;
use crate::plan::produce_document;
use crate::spec::{Acks, Partitioner, ProduceSpec};
use crate::tables;
use crate::wire::WireError;
use crate::wire::batch::Codec;
use local::Local;
use template::Template;
use templates::{Order, Templates};
use workload::ProduceWorkload;

pub use keys::{murmur2, partition_of};

/// How far writing is, for those who read what is written.
#[derive(Debug)]
struct Followed {
    /// The offset behind the last acknowledged record, by the partition's position.
    behind: Vec<AtomicI64>,
    /// Sent, and neither answered nor lost.
    open: AtomicU64,
}

/// What all producers of a run go by: constants, and the little that they share.
#[derive(Debug)]
pub struct ProduceRules {
    /// What is written to.
    pub topic: Arc<Topic>,
    /// How connections begin.
    pub greeting: Arc<GreetingRules>,
    /// When a batch is acknowledged.
    pub acks: Acks,
    /// How long the broker may wait for replicas, ms.
    pub timeout_ms: i32,
    /// How records are compressed.
    pub codec: Codec,
    /// Where batches go.
    pub partitioner: Partitioner,
    templates: Templates,
    batches: Option<u64>,
    taken: AtomicU64,
    unix_ms_at_zero: AtomicI64,
    mark: u64,
    /// Only where somebody reads: all workers would write to it with every batch.
    followed: Option<Followed>,
}

impl ProduceRules {
    /// The batch to send to the partition at this position; `None`: no key goes there.
    #[must_use]
    #[inline]
    pub fn template(&self, partition: usize, last: bool) -> Option<&Template> {
        self.templates.of(partition, last)
    }

    /// The share of the rate of each broker's route: the partitions that it leads, or led last, and that
    /// batches can go to.
    #[must_use]
    pub fn rate_weights(&self) -> Vec<u32> {
        let mut weights = vec![0; self.topic.brokers.len()];
        for at in 0..self.topic.partitions.len() {
            if self.template(at, false).is_some()
                && let Some(route) = self.topic.last_leader(at)
            {
                weights[route] += 1;
            }
        }
        weights
    }

    /// Records of a batch; the last one of a run may have fewer.
    #[must_use]
    pub const fn batch_records(&self) -> u32 {
        self.templates.batch_records()
    }

    /// Bytes of such a batch, as it is sent.
    #[must_use]
    pub const fn batch_bytes(&self) -> usize {
        self.templates.batch_bytes()
    }

    /// Requests of the whole run; `None`: without end.
    #[must_use]
    pub const fn batches(&self) -> Option<u64> {
        self.batches
    }

    /// Takes a batch; whether it is the last one.
    #[must_use]
    pub fn takes_the_last(&self) -> bool {
        self.templates.has_short()
            && Some(self.taken.fetch_add(1, Ordering::Relaxed) + 1) == self.batches
    }

    /// When `at` is, ms since 1970.
    #[must_use]
    #[inline]
    pub fn unix_ms(&self, at: Tick) -> i64 {
        let at_zero = self.unix_ms_at_zero.load(Ordering::Relaxed);
        at_zero.saturating_add((at.0 / 1_000_000) as i64)
    }

    /// The run's clock starts now, at `unix_ms` ms since 1970: composing batches took its time after
    /// the plan was made. To be called before the run is started.
    pub fn clock_starts(&self, unix_ms: i64) {
        self.unix_ms_at_zero.store(unix_ms, Ordering::Relaxed);
    }

    /// What the stamps of this run are known by: see [`template::stamp_of`].
    #[must_use]
    pub const fn mark(&self) -> u64 {
        self.mark
    }

    fn sent(&self) {
        if let Some(followed) = &self.followed {
            followed.open.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// So many requests were lost, or answered otherwise than by [`ProduceRules::acked`].
    fn ended(&self, requests: u64) {
        if let Some(followed) = &self.followed {
            followed.open.fetch_sub(requests, Ordering::AcqRel);
        }
    }

    fn acked(&self, position: usize, next_offset: i64) {
        if let Some(followed) = &self.followed {
            // In this order: when nothing is open any more, all offsets are known.
            followed.behind[position].fetch_max(next_offset, Ordering::AcqRel);
            followed.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether every request that was sent and will be answered has ended. Only known where values
    /// are stamped, `true` otherwise.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let followed = self.followed.as_ref();
        followed.is_none_or(|f| f.open.load(Ordering::Acquire) == 0)
    }

    /// The offset behind the last record of a partition that was acknowledged; `None`: none was, or
    /// values are not stamped.
    #[must_use]
    pub fn behind(&self, position: usize) -> Option<i64> {
        let behind = &self.followed.as_ref()?.behind;
        let offset = behind.get(position)?.load(Ordering::Acquire);
        (offset >= 0).then_some(offset)
    }
}

/// What a run writes, with all that the cluster said.
#[derive(Debug)]
pub struct ProducePlan {
    /// What was asked for.
    pub spec: ProduceSpec,
    /// The partitions of the run.
    pub topic: Arc<Topic>,
    /// Partitions of the topic, those that take no part included: keys choose among all of them.
    pub partition_count: u32,
    /// A route for each broker, in the topic's order.
    pub routes: Vec<Route>,
    /// Records of the whole run; `None`: without end.
    pub records: Option<u64>,
    /// Milliseconds since 1970 when the run's clock starts, as far as that is known beforehand: see
    /// [`ProduceRules::clock_starts`].
    pub unix_ms_at_zero: i64,
}

impl ProducePlan {
    /// The constants of the run. `stamped`: values begin with a stamp, and how far writing is can be
    /// asked.
    ///
    /// # Errors
    /// When batches cannot be composed, or not stamped.
    pub fn rules(self, stamped: bool) -> Result<ProduceRules, WireError> {
        let Self {
            spec,
            topic,
            partition_count,
            records,
            unix_ms_at_zero,
            ..
        } = self;
        // Runs of the same seed at other times have other marks.
        let mark = Random::new(spec.seed ^ (unix_ms_at_zero as u64).rotate_left(20)).next_u64();
        let templates = Templates::new(&Order {
            records: &spec.records,
            partitioner: spec.partitioner,
            topic: &topic,
            partition_count,
            wanted: records,
            mark: stamped.then_some(mark),
            seed: spec.seed,
        })?;
        let each = u64::from(templates.batch_records());
        let nowhere = || AtomicI64::new(-1);
        Ok(ProduceRules {
            batches: records.map(|records| records.div_ceil(each)),
            templates,
            taken: AtomicU64::new(0),
            unix_ms_at_zero: AtomicI64::new(unix_ms_at_zero),
            mark,
            followed: stamped.then(|| Followed {
                behind: topic.partitions.iter().map(|_| nowhere()).collect(),
                open: AtomicU64::new(0),
            }),
            greeting: Arc::new(GreetingRules::new(
                spec.cluster.client_id,
                spec.cluster.sasl,
                spec.seed,
            )),
            acks: spec.acks,
            timeout_ms: spec.timeout_ms,
            codec: spec.records.codec,
            partitioner: spec.partitioner,
            topic,
        })
    }
}

/// A whole run's writing.
#[derive(Clone, Debug)]
pub struct ProduceScenario {
    rules: Arc<ProduceRules>,
    routes: Vec<Route>,
    document: Value,
    tables: Arc<Tables>,
}

impl ProduceScenario {
    /// Lays out what the plan says.
    ///
    /// # Errors
    /// When a batch cannot be composed.
    pub fn new(plan: ProducePlan) -> Result<Self, WireError> {
        let mut routes = plan.routes.clone();
        let document = produce_document(&plan.spec, plan.records);
        let rules = Arc::new(plan.rules(false)?);
        for (route, weight) in routes.iter_mut().zip(rules.rate_weights()) {
            route.rate_weight = weight;
        }
        Ok(Self {
            rules,
            routes,
            document,
            tables: Arc::new(tables::tables()),
        })
    }

    /// What its producers go by.
    #[must_use]
    pub fn rules(&self) -> &Arc<ProduceRules> {
        &self.rules
    }
}

impl Scenario for ProduceScenario {
    type Workload = ProduceWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    fn workload(&self, worker: usize, _workers: usize) -> ProduceWorkload {
        let local = Local::shared(Arc::clone(&self.rules));
        ProduceWorkload::new(local, worker).with_routes(self.routes.clone())
    }

    fn plan(&self) -> Value {
        self.document.clone()
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        local::sum(&workers, &self.rules)
    }
}
