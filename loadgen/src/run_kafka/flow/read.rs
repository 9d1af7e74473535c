//! Reading: the ends of the logs are asked, then they are read.

use std::sync::Arc;

use loadgen_core::engine::{Client, Native};
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, Offset, Watcher};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::plan;
use loadgen_kafka::reconcile;
use loadgen_kafka::spec::{ConsumeSpec, Depth, Isolation, Until};
use serde_json::Value;

use super::{Found, failure};
use crate::failure::Failure;

/// A run that only has to be started.
pub(crate) struct Reading {
    client: Arc<dyn Client>,
    options: Options,
    control: Control,
    topic: Arc<Topic>,
    settings: Value,
    /// How many there are to read once, where each is read once and seen.
    offsets: Option<u64>,
}

impl Reading {
    /// Asks the cluster for all there is to know before a run.
    ///
    /// # Errors
    /// What is not there, or cannot be asked.
    pub(crate) fn prepare(spec: &ConsumeSpec, mut options: Options) -> Result<Self, Failure> {
        let mut found = Found::ask(&spec.cluster, &spec.topic)?;
        found.narrow(&spec.partitions)?;
        let (topic, control) = (&found.topic, &mut found.control);
        let earliest = control.offsets(topic, Offset::Earliest, Isolation::ReadUncommitted);
        let earliest = earliest.map_err(failure)?;
        let latest = control.offsets(topic, Offset::Latest, spec.isolation);
        let range = plan::range(spec, topic, &earliest, &latest.map_err(failure)?)?;
        let settings = found.settings();
        let once = spec.until != Until::Replay && spec.depth > Depth::None;
        let offsets = once.then(|| range.offsets());
        found.topic = range.topic;
        let places = found.places(&mut options)?;
        let topic = Arc::new(found.topic);
        let plan = ConsumePlan {
            spec: spec.clone(),
            topic: Arc::clone(&topic),
            routes: places.routes,
            starts: range.starts,
            ends: range.ends,
            slots: places.slots,
            seed: options.engine.seed,
        };
        Ok(Self {
            client: Arc::new(Native(Arc::new(ConsumeScenario::new(plan)))),
            options,
            control: found.control,
            topic,
            settings,
            offsets,
        })
    }

    /// What will read, and how.
    pub(crate) fn planned(&self) -> (Arc<dyn Client>, Options) {
        (Arc::clone(&self.client), self.options.clone())
    }

    /// Reads; `to_end` waits for it.
    ///
    /// # Errors
    /// Why there was no run.
    pub(crate) fn run(self, to_end: impl FnOnce(Handle) -> Document) -> Result<Document, Failure> {
        let watcher = Watcher::start(self.control, self.topic);
        let handle = start_client(self.client, self.options)?;
        let mut document = to_end(handle);
        drop(watcher);
        reconcile::put(&mut document, "settings", self.settings);
        if let Some(offsets) = self.offsets {
            reconcile::read_to_end(&mut document, offsets);
        }
        Ok(document)
    }
}
