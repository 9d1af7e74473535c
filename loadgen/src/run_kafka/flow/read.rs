//! Reading: the ends of the logs are asked, then they are read.

use std::sync::Arc;

use loadgen_core::engine::{Client, Simulated, shares};
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::workload::{Endpoint, Route};
use loadgen_kafka::cluster::{Broker, Topic};
use loadgen_kafka::control::{Control, Offset, Watcher};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::plan;
use loadgen_kafka::reconcile;
use loadgen_kafka::sim::{KafkaPeer, Log};
use loadgen_kafka::spec::{ConsumeSpec, Depth, Isolation, Until};
use serde_json::Value;

use super::super::library::Library;
use super::{Found, connections, failure};
use crate::failure::Failure;

/// Partitions of the scripted cluster of `--driver sim`.
const SIM_PARTITIONS: i32 = 4;
/// Records of each.
const SIM_RECORDS: i64 = 100_000;
/// Bytes of each.
const SIM_RECORD_BYTES: u32 = 1000;
/// After how long it answers.
const SIM_DELAY_NS: u64 = 1_000_000;

/// A run that only has to be started.
pub(crate) struct Reading {
    client: Arc<dyn Client>,
    options: Options,
    /// Whom to ask beside the run; nobody where the cluster is a script.
    control: Option<Control>,
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
    pub(crate) fn prepare(
        spec: &ConsumeSpec,
        mut options: Options,
        library: Library,
    ) -> Result<Self, Failure> {
        let mut found = Found::ask(&spec.cluster, &spec.topic)?;
        found.narrow(&spec.partitions)?;
        let (topic, control) = (&found.topic, &mut found.control);
        let earliest = control.offsets(topic, Offset::Earliest, Isolation::ReadUncommitted);
        let earliest = earliest.map_err(failure)?;
        let latest = control.offsets(topic, Offset::Latest, spec.isolation);
        let range = plan::range(spec, topic, &earliest, &latest.map_err(failure)?)?;
        let settings = found.settings();
        let offsets = once(spec).then(|| range.offsets());
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
            client: library.reader(plan, &options.engine),
            options,
            control: Some(found.control),
            topic,
            settings,
            offsets,
        })
    }

    /// The same of a scripted cluster on a virtual clock: one broker, and nobody is asked.
    ///
    /// # Errors
    /// What is not there.
    pub(crate) fn simulated(spec: &ConsumeSpec, mut options: Options) -> Result<Self, Failure> {
        let (node, name) = (1, "sim:9092".to_owned());
        let logs: Vec<Log> = (0..SIM_PARTITIONS)
            .map(|index| Log {
                index,
                start: 0,
                end: SIM_RECORDS,
                leader: (node, 0),
            })
            .collect();
        let leaders: Vec<_> = logs.iter().map(|l| (l.index, Some(l.leader))).collect();
        let topic = Topic::new(spec.topic.clone(), vec![Broker { node, name }], &leaders);
        let topic = plan::lay_out(&topic, &spec.partitions)?;
        let of_all = |offset| vec![offset; topic.partitions.len()];
        let range = plan::range(spec, &topic, &of_all(0), &of_all(SIM_RECORDS))?;
        let offsets = once(spec).then(|| range.offsets());
        let topic = Arc::new(range.topic);
        let endpoint = Endpoint::Unix("sim".into());
        let routes = vec![Route {
            name: format!("broker {node}"),
            endpoints: vec![endpoint.clone()],
            weight: 1,
            rate_weight: 1,
            paced: true,
        }];
        options.engine.connections = connections(&options, routes.len())?;
        let engine = &options.engine;
        let slots = shares(engine.connections, &routes);
        let plan = ConsumePlan {
            spec: spec.clone(),
            topic: Arc::clone(&topic),
            routes,
            starts: range.starts,
            ends: range.ends,
            slots: slots
                .iter()
                .map(|n| n.saturating_mul(engine.depth))
                .collect(),
            seed: engine.seed,
        };
        let record_bytes = spec.seeded_record_bytes.unwrap_or(SIM_RECORD_BYTES);
        let watched = Arc::clone(&topic);
        let peer = move || {
            let mut peer = KafkaPeer::new(vec![(endpoint.clone(), node)], logs.clone());
            peer.delay_ns = SIM_DELAY_NS;
            peer.value_bytes = record_bytes as usize;
            peer.watched = Some(Arc::clone(&watched));
            peer
        };
        let scenario = Arc::new(ConsumeScenario::new(plan));
        Ok(Self {
            client: Arc::new(Simulated(scenario, peer)),
            options,
            control: None,
            topic,
            settings: Value::Null,
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
        let topic = self.topic;
        let watcher = self.control.map(|control| Watcher::start(control, topic));
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

/// Whether each offset is read once, and seen.
fn once(spec: &ConsumeSpec) -> bool {
    spec.until != Until::Replay && spec.depth > Depth::None
}
