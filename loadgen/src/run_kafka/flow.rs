//! A run of Kafka from judged specs to a document: the cluster is asked, the run takes place while
//! leaders are watched, the cluster is asked again.
//!
//! Subcommands and doors come through here. Nothing here may judge what was typed.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use loadgen_core::engine::{Native, shares};
use loadgen_core::host;
use loadgen_core::pace::Pacing;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::Route;
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, ControlError, Offset, Watcher};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::plan::{self, NewTopic};
use loadgen_kafka::produce::{ProducePlan, ProduceScenario};
use loadgen_kafka::reconcile::{self, Growth, Writing};
use loadgen_kafka::spec::{ClusterSpec, ConsumeSpec, Depth, Isolation, ProduceSpec, Until};
use serde_json::{Value, json};

use crate::failure::Failure;

/// How long a broker may take for any answer outside the run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long leaders may be on their way before a run.
const LEADERS_PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that answered, and the topic with the leaders it has now.
pub(super) struct Found {
    pub(super) control: Control,
    pub(super) topic: Topic,
}

impl Found {
    /// Asks for `topic`, all its partitions.
    pub(super) fn ask(cluster: &ClusterSpec, topic: &str) -> Result<Self, Failure> {
        let control = Control::open(cluster, PATIENCE).map_err(failure)?;
        Self::with(control, topic)
    }

    /// The same, where a connection is there.
    pub(super) fn with(control: Control, name: &str) -> Result<Self, Failure> {
        Self::wait(control, name, false)
    }

    /// The same of a topic that was just made: brokers hear of it one after the other.
    fn made(control: Control, name: &str) -> Result<Self, Failure> {
        let deadline = Instant::now() + LEADERS_PATIENCE;
        let mut found = Self::wait(control, name, true)?;
        // A leader may not know yet that it is one.
        while let Err(why) = ends(&mut found.control, &found.topic) {
            if Instant::now() > deadline {
                return Err(Failure::target(why));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(found)
    }

    fn wait(mut control: Control, name: &str, made: bool) -> Result<Self, Failure> {
        let deadline = Instant::now() + LEADERS_PATIENCE;
        loop {
            let topic = control.topic(name).map_err(failure)?;
            let Some(topic) = topic else {
                if made && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                return Err(Failure::target(format!(
                    "the cluster has no topic {name}: loadgen kafka seed --create makes one"
                )));
            };
            let leaderless = (0..topic.partitions.len()).find(|&at| topic.leader(at).is_none());
            match leaderless {
                None => return Ok(Self { control, topic }),
                Some(at) if Instant::now() > deadline => {
                    return Err(Failure::target(format!(
                        "partition {} of topic {name} has no leader",
                        topic.partitions[at].index
                    )));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Keeps the partitions that were asked for.
    pub(super) fn narrow(&mut self, wanted: &[i32]) -> Result<(), Failure> {
        self.topic = plan::lay_out(&self.topic, wanted)?;
        Ok(())
    }

    /// Where connections go, how many, and how many requests are in flight at each broker.
    pub(super) fn places(&self, options: &mut Options) -> Result<Places, Failure> {
        let routes = self.control.routes(&self.topic).map_err(failure)?;
        let engine = &mut options.engine;
        engine.connections = connections(engine.connections, options.workers, routes.len())?;
        let engine = &options.engine;
        let slots = shares(engine.connections, &routes);
        let slots = slots
            .into_iter()
            .map(|share| share.saturating_mul(engine.depth));
        Ok(Places {
            slots: slots.collect(),
            routes,
        })
    }

    /// The settings of the first broker and of the topic; why not, where that was refused.
    pub(super) fn settings(&mut self) -> Value {
        let node = self.topic.brokers.first().map_or(0, |broker| broker.node);
        match self.control.describe(node, Some(&self.topic.name)) {
            Ok(settings) => settings,
            Err(error) => json!({"error": error.text}),
        }
    }
}

/// Routes, and requests in flight at each.
pub(super) struct Places {
    pub(super) routes: Vec<Route>,
    pub(super) slots: Vec<u32>,
}

/// `typed` is 0 where none were: one for each broker and worker then, so that every worker reaches
/// every leader.
fn connections(typed: u32, workers: Option<usize>, brokers: usize) -> Result<u32, Failure> {
    if typed == 0 {
        let workers = workers.unwrap_or_else(|| host::Allowed::read().parallelism());
        return u32::try_from(workers.saturating_mul(brokers)).map_err(|_| {
            Failure::usage(format!("{workers} workers × {brokers} brokers is too much"))
        });
    }
    if (typed as usize) < brokers {
        return Err(Failure::usage(format!(
            "-c {typed} is fewer than the {brokers} brokers of the cluster: each may become the leader \
             of a partition, so each needs a connection"
        )));
    }
    Ok(typed)
}

/// What the cluster refused or could not be asked.
pub(super) fn failure(error: ControlError) -> Failure {
    Failure::target(error.text)
}

/// Reads what `spec` says.
///
/// # Errors
/// Why there was no run.
pub(crate) fn consume(
    spec: &ConsumeSpec,
    mut options: Options,
    to_end: impl FnOnce(Handle) -> Document,
) -> Result<Document, Failure> {
    let mut found = Found::ask(&spec.cluster, &spec.topic)?;
    found.narrow(&spec.partitions)?;
    let (topic, control) = (&found.topic, &mut found.control);
    let earliest = control.offsets(topic, Offset::Earliest, Isolation::ReadUncommitted);
    let latest = control.offsets(topic, Offset::Latest, spec.isolation);
    let range = plan::range(
        spec,
        topic,
        &earliest.map_err(failure)?,
        &latest.map_err(failure)?,
    )?;
    let settings = found.settings();
    found.topic = range.topic;
    let places = found.places(&mut options)?;
    let offsets = range.starts.iter().zip(&range.ends);
    let offsets = offsets
        .map(|(start, end)| (end - start).max(0).unsigned_abs())
        .sum();
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
    let scenario = Arc::new(ConsumeScenario::new(plan));
    let watcher = Watcher::start(found.control, topic);
    let handle = start_client(Arc::new(Native(scenario)), options)?;
    let mut document = to_end(handle);
    drop(watcher);
    reconcile::put(&mut document, "settings", settings);
    if spec.until == Until::End && spec.records.is_none() && spec.depth > Depth::None {
        reconcile::read_to_end(&mut document, offsets);
    }
    Ok(document)
}

/// What a run writes.
#[derive(Clone, Copy)]
pub(crate) struct Writes<'a> {
    pub(crate) spec: &'a ProduceSpec,
    /// Records of the whole run.
    pub(crate) records: Option<u64>,
    /// A topic to be made first.
    pub(crate) create: Option<&'a NewTopic>,
}

/// Writes what `writes` says. A rate in `options` is one of records, and becomes one of batches.
///
/// # Errors
/// Why there was no run.
pub(crate) fn produce(
    writes: Writes<'_>,
    mut options: Options,
    to_end: impl FnOnce(Handle) -> Document,
) -> Result<Document, Failure> {
    let spec = writes.spec;
    let mut found = match writes.create {
        None => Found::ask(&spec.cluster, &spec.topic)?,
        Some(new) => {
            let mut control = Control::open(&spec.cluster, PATIENCE).map_err(failure)?;
            if !control.create_topic(new).map_err(failure)? {
                return Err(Failure::target(format!(
                    "--create: the cluster has a topic {} already",
                    new.name
                )));
            }
            Found::made(control, &spec.topic)?
        }
    };
    let partition_count = found.topic.partitions.len();
    found.narrow(&spec.partitions)?;
    let settings = found.settings();
    let before = ends(&mut found.control, &found.topic);
    let places = found.places(&mut options)?;
    let topic = Arc::new(found.topic);
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let plan = ProducePlan {
        spec: spec.clone(),
        topic: Arc::clone(&topic),
        partition_count: u32::try_from(partition_count).unwrap_or(u32::MAX),
        routes: places.routes,
        records: writes.records,
        unix_ms_at_zero: i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
    };
    let scenario = ProduceScenario::new(plan);
    let scenario = Arc::new(scenario.map_err(|error| Failure::usage(error.detail))?);
    let batch_records = u64::from(scenario.rules().batch_records());
    if let Some(batches) = scenario.rules().batches() {
        options.engine.stop = Stop::Requests(batches);
    }
    if let Pacing::Open { rate_per_s, .. } = &mut options.engine.pacing {
        *rate_per_s /= batch_records as f64;
    }
    let watcher = Watcher::start(found.control, Arc::clone(&topic));
    let handle = start_client(Arc::new(Native(scenario)), options)?;
    let mut document = to_end(handle);
    let after = watcher.stop().map_or_else(
        || Err("the leaders' watcher broke".to_owned()),
        |mut control| ends(&mut control, &topic),
    );
    reconcile::put(&mut document, "settings", settings);
    let growth = before.and_then(|before| Ok(growth(&topic, &before, &after?)));
    let writing = Writing {
        acks: spec.acks,
        batch_records,
        growth: growth.as_deref().map_err(String::as_str),
    };
    reconcile::written(&mut document, &writing);
    Ok(document)
}

/// The ends of the logs; why nobody knows them.
fn ends(control: &mut Control, topic: &Topic) -> Result<Vec<i64>, String> {
    let ends = control.offsets(topic, Offset::Latest, Isolation::ReadUncommitted);
    ends.map_err(|error| error.text)
}

fn growth(topic: &Topic, before: &[i64], after: &[i64]) -> Vec<Growth> {
    let both = before.iter().zip(after);
    topic
        .partitions
        .iter()
        .zip(both)
        .map(|(partition, (&before, &after))| Growth {
            partition: partition.index,
            before,
            after,
        })
        .collect()
}
