//! Writing: the ends of the logs are asked before and after, and what was acknowledged is held
//! against what they grew by.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use loadgen_core::engine::{Client, Native};
use loadgen_core::pace::Pacing;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, Offset, Watcher};
use loadgen_kafka::plan::NewTopic;
use loadgen_kafka::produce::{ProducePlan, ProduceScenario};
use loadgen_kafka::reconcile::{self, Growth};
use loadgen_kafka::spec::{Acks, Isolation, ProduceSpec};
use serde_json::Value;

use super::{Found, PATIENCE, failure};
use crate::failure::Failure;

/// What a run writes.
#[derive(Clone, Copy)]
pub(crate) struct Writes<'a> {
    pub(crate) spec: &'a ProduceSpec,
    /// Records of the whole run.
    pub(crate) records: Option<u64>,
    /// A topic to be made first.
    pub(crate) create: Option<&'a NewTopic>,
}

/// A run that only has to be started.
pub(crate) struct Writing {
    client: Arc<dyn Client>,
    options: Options,
    control: Control,
    topic: Arc<Topic>,
    settings: Value,
    acks: Acks,
    batch_records: u64,
    before: Result<Vec<i64>, String>,
}

impl Writing {
    /// Makes the topic where that was asked for, and asks the cluster for all there is to know
    /// before a run. A rate in `options` is one of records, and becomes one of batches.
    ///
    /// # Errors
    /// What is not there, or cannot be asked, or is refused.
    pub(crate) fn prepare(writes: Writes<'_>, mut options: Options) -> Result<Self, Failure> {
        let spec = writes.spec;
        let mut found = found(&writes)?;
        let partition_count = found.topic.partitions.len();
        found.narrow(&spec.partitions)?;
        let settings = found.settings();
        let before = ends(&mut found.control, &found.topic);
        let places = found.places(&mut options)?;
        let topic = Arc::new(found.topic);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_ms = since_1970.unwrap_or_default().as_millis();
        let plan = ProducePlan {
            spec: spec.clone(),
            topic: Arc::clone(&topic),
            partition_count: u32::try_from(partition_count).unwrap_or(u32::MAX),
            routes: places.routes,
            records: writes.records,
            unix_ms_at_zero: i64::try_from(unix_ms).unwrap_or(i64::MAX),
        };
        let scenario = ProduceScenario::new(plan);
        let scenario = scenario.map_err(|error| Failure::usage(error.detail))?;
        let batch_records = u64::from(scenario.rules().batch_records());
        if let Some(batches) = scenario.rules().batches() {
            options.engine.stop = Stop::Requests(batches);
        }
        if let Pacing::Open { rate_per_s, .. } = &mut options.engine.pacing {
            *rate_per_s /= batch_records as f64;
        }
        Ok(Self {
            client: Arc::new(Native(Arc::new(scenario))),
            options,
            control: found.control,
            topic,
            settings,
            acks: spec.acks,
            batch_records,
            before,
        })
    }

    /// What will write, and how.
    pub(crate) fn planned(&self) -> (Arc<dyn Client>, Options) {
        (Arc::clone(&self.client), self.options.clone())
    }

    /// Writes; `to_end` waits for it.
    ///
    /// # Errors
    /// Why there was no run.
    pub(crate) fn run(self, to_end: impl FnOnce(Handle) -> Document) -> Result<Document, Failure> {
        let watcher = Watcher::start(self.control, Arc::clone(&self.topic));
        let handle = start_client(self.client, self.options)?;
        let mut document = to_end(handle);
        let after = watcher.stop().map_or_else(
            || Err("the watcher of the leaders broke".to_owned()),
            |mut control| ends(&mut control, &self.topic),
        );
        reconcile::put(&mut document, "settings", self.settings);
        let before = self.before;
        let growth = before.and_then(|before| Ok(growth(&self.topic, &before, &after?)));
        let writing = reconcile::Writing {
            acks: self.acks,
            batch_records: self.batch_records,
            growth: growth.as_deref().map_err(String::as_str),
        };
        reconcile::written(&mut document, &writing);
        Ok(document)
    }
}

fn found(writes: &Writes<'_>) -> Result<Found, Failure> {
    let spec = writes.spec;
    let Some(new) = writes.create else {
        return Found::ask(&spec.cluster, &spec.topic);
    };
    let mut control = Control::open(&spec.cluster, PATIENCE).map_err(failure)?;
    if !control.create_topic(new).map_err(failure)? {
        return Err(Failure::target(format!(
            "--create: the cluster has a topic {} already; leave --create away to write to it",
            new.name
        )));
    }
    Found::made(control, &spec.topic)
}

/// The ends of the logs; why nobody knows them.
pub(super) fn ends(control: &mut Control, topic: &Topic) -> Result<Vec<i64>, String> {
    let ends = control.offsets(topic, Offset::Latest, Isolation::ReadUncommitted);
    ends.map_err(|error| error.text)
}

fn growth(topic: &Topic, before: &[i64], after: &[i64]) -> Vec<Growth> {
    let both = before.iter().zip(after);
    let partitions = topic.partitions.iter().zip(both);
    let row = |(partition, (&before, &after)): (&loadgen_kafka::cluster::Partition, _)| Growth {
        partition: partition.index,
        before,
        after,
    };
    partitions.map(row).collect()
}
