//! Writing to a topic: what a run goes by, and the library's way in.
//!
//! `template` is what is sent, `workload` says where it goes, `session` is one connection, `local`
//! what both share within a worker.

pub mod local;
pub mod session;
pub mod template;
pub mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use loadgen_core::protocol::Tables;
use loadgen_core::time::Tick;
use loadgen_core::workload::{Route, Scenario};
use serde_json::{Value, json};

use crate::cluster::Topic;
use crate::greeting::GreetingRules;
use crate::plan::produce_document;
use crate::spec::{Acks, Partitioner, ProduceSpec};
use crate::tables;
use crate::wire::WireError;
use crate::wire::batch::Codec;
use local::Local;
use template::Template;
use workload::ProduceWorkload;

/// What was acknowledged of a partition.
#[derive(Debug)]
struct Written {
    records: AtomicU64,
    /// The offset behind the last of them.
    behind: AtomicI64,
}

/// What all producers of a run go by: constants, and what they count together.
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
    full: Template,
    /// Where the last batch of a run is shorter.
    short: Option<Template>,
    batches: Option<u64>,
    taken: AtomicU64,
    /// Milliseconds since 1970 at tick 0.
    unix_ms_at_zero: i64,
    written: Vec<Written>,
    /// Sent, and neither answered nor lost.
    open: AtomicU64,
}

impl ProduceRules {
    /// The batch to send.
    #[must_use]
    pub fn template(&self, last: bool) -> &Template {
        match &self.short {
            Some(short) if last => short,
            _ => &self.full,
        }
    }

    /// Requests of the whole run; `None`: without end.
    #[must_use]
    pub const fn batches(&self) -> Option<u64> {
        self.batches
    }

    /// Takes a batch; whether it is the last one.
    #[must_use]
    pub fn takes_the_last(&self) -> bool {
        self.short.is_some() && Some(self.taken.fetch_add(1, Ordering::Relaxed) + 1) == self.batches
    }

    /// When `at` is, ms since 1970.
    #[must_use]
    pub const fn unix_ms(&self, at: Tick) -> i64 {
        self.unix_ms_at_zero
            .saturating_add((at.0 / 1_000_000) as i64)
    }

    pub(crate) fn sent(&self, _template: &Template, answered: bool) {
        self.open.fetch_add(u64::from(answered), Ordering::AcqRel);
    }

    pub(crate) fn ended(&self, requests: u64) {
        self.open.fetch_sub(requests, Ordering::AcqRel);
    }

    pub(crate) fn acked(&self, position: usize, records: u32, base_offset: i64) {
        let written = &self.written[position];
        written.records.fetch_add(records.into(), Ordering::Relaxed);
        let behind = base_offset.saturating_add(records.into());
        written.behind.fetch_max(behind, Ordering::AcqRel);
    }

    /// Whether every request that was sent has ended.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// The offset behind the last record of a partition that was acknowledged; `None`: none was.
    #[must_use]
    pub fn behind(&self, position: usize) -> Option<i64> {
        let behind = self.written[position].behind.load(Ordering::Acquire);
        (behind >= 0).then_some(behind)
    }

    fn rows(&self) -> Value {
        let partitions = self.topic.partitions.iter().zip(&self.written);
        let row = |(partition, written): (&crate::cluster::Partition, &Written)| {
            let behind = written.behind.load(Ordering::Relaxed);
            json!({
                "partition": partition.index,
                "acked_records": written.records.load(Ordering::Relaxed),
                "next_offset": (behind >= 0).then_some(behind),
            })
        };
        partitions.map(row).collect()
    }
}

/// What a run writes, with all that the cluster said.
#[derive(Debug)]
pub struct ProducePlan {
    /// What was asked for.
    pub spec: ProduceSpec,
    /// The partitions of the run.
    pub topic: Arc<Topic>,
    /// A route for each broker, in the topic's order.
    pub routes: Vec<Route>,
    /// Records of the whole run; `None`: without end.
    pub records: Option<u64>,
    /// Milliseconds since 1970 when the run's clock starts.
    pub unix_ms_at_zero: i64,
}

impl ProducePlan {
    /// The constants of the run.
    ///
    /// # Errors
    /// When a batch cannot be composed.
    pub fn rules(self, stamped: bool) -> Result<ProduceRules, WireError> {
        let Self {
            spec,
            topic,
            records,
            unix_ms_at_zero,
            ..
        } = self;
        let of = |limit| Template::new(&spec.records, limit, spec.seed, stamped);
        let full = of(records.unwrap_or(u64::MAX))?;
        let each = u64::from(full.records);
        let rest = records.map_or(0, |records| records % each);
        let written = |_| Written {
            records: AtomicU64::new(0),
            behind: AtomicI64::new(-1),
        };
        Ok(ProduceRules {
            short: if rest > 0 { Some(of(rest)?) } else { None },
            batches: records.map(|records| records.div_ceil(each)),
            full,
            taken: AtomicU64::new(0),
            unix_ms_at_zero,
            written: (0..topic.partitions.len()).map(written).collect(),
            open: AtomicU64::new(0),
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
        let routes = plan.routes.clone();
        let document = produce_document(&plan.spec, plan.records);
        Ok(Self {
            rules: Arc::new(plan.rules(false)?),
            routes,
            document,
            tables: Arc::new(tables::tables()),
        })
    }

    /// What its producers go by.
    #[must_use]
    pub fn rules(&self) -> &ProduceRules {
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
        ProduceWorkload::new(Local::shared(Arc::clone(&self.rules)), worker)
    }

    fn plan(&self) -> Value {
        self.document.clone()
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        local::sum(&workers, &self.rules)
    }
}
