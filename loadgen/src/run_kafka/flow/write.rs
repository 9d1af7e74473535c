//! Writing: the ends of the logs are asked before and after, and what was acknowledged is held
//! against what they grew by.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadgen_core::engine::{Client, Native};
use loadgen_core::pace::Pacing;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::Route;
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, Offset, Watcher};
use loadgen_kafka::end_to_end::{EndToEndPlan, EndToEndScenario};
use loadgen_kafka::plan::NewTopic;
use loadgen_kafka::produce::{ProducePlan, ProduceRules};
use loadgen_kafka::reconcile::{self, Growth};
use loadgen_kafka::spec::{Acks, EndToEndSpec, Isolation, ProduceSpec};
use serde_json::Value;

use super::super::library::Library;
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

/// How often logs are looked at that do not have all that was sent, at the most: without
/// acknowledgements brokers may still be reading it.
const LOOKS_MAX: u32 = 100;
/// So many times they must have stood still.
const LOOKS_STILL: u32 = 10;
/// Between two looks at them.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// A run that only has to be started.
pub(crate) struct Writing {
    client: Arc<dyn Client>,
    options: Options,
    rules: Arc<ProduceRules>,
    acks: Acks,
    batch_records: u64,
    before: Before,
}

/// What the cluster said before a run.
struct Before {
    control: Control,
    topic: Arc<Topic>,
    /// Partitions of the topic, those that take no part included.
    partition_count: u32,
    settings: Value,
    /// The ends of the logs; why nobody knows them.
    ends: Result<Vec<i64>, String>,
}

impl Before {
    /// And where connections go; how many, is in `options` then.
    fn ask(
        mut found: Found,
        partitions: &[i32],
        options: &mut Options,
    ) -> Result<(Self, Vec<Route>), Failure> {
        let count = found.topic.partitions.len();
        found.narrow(partitions)?;
        let settings = found.settings();
        let ends = ends(&mut found.control, &found.topic);
        let places = found.places(options)?;
        let before = Self {
            control: found.control,
            topic: Arc::new(found.topic),
            partition_count: u32::try_from(count).unwrap_or(u32::MAX),
            settings,
            ends,
        };
        Ok((before, places.routes))
    }
}

fn unix_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since_1970.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// What was said of records, said of batches: the end of the run, and its rate. Records of a batch.
fn in_batches(options: &mut Options, rules: &ProduceRules) -> u64 {
    let batch_records = u64::from(rules.batch_records());
    if let Some(batches) = rules.batches() {
        options.engine.stop = Stop::Requests(batches);
    }
    if let Pacing::Open { rate_per_s, .. } = &mut options.engine.pacing {
        *rate_per_s /= batch_records as f64;
    }
    batch_records
}

impl Writing {
    /// Makes the topic where that was asked for, and asks the cluster for all there is to know
    /// before a run. A rate in `options` is one of records, and becomes one of batches.
    ///
    /// # Errors
    /// What is not there, or cannot be asked, or is refused.
    pub(crate) fn prepare(
        writes: Writes<'_>,
        mut options: Options,
        library: Library,
    ) -> Result<Self, Failure> {
        let spec = writes.spec;
        let (before, routes) = Before::ask(found(&writes)?, &spec.partitions, &mut options)?;
        let plan = ProducePlan {
            spec: spec.clone(),
            topic: Arc::clone(&before.topic),
            partition_count: before.partition_count,
            routes,
            records: writes.records,
            unix_ms_at_zero: unix_ms(),
        };
        let (client, rules) = library.writer(plan, &options.engine)?;
        let batch_records = in_batches(&mut options, &rules);
        Ok(Self {
            client,
            options,
            rules,
            acks: spec.acks,
            batch_records,
            before,
        })
    }

    /// The same where readers follow what is written. Connections in `options` are those that write;
    /// those that read come to them.
    ///
    /// # Errors
    /// What is not there, or cannot be asked, or is refused.
    pub(crate) fn with_readers(
        spec: &EndToEndSpec,
        records: Option<u64>,
        mut options: Options,
    ) -> Result<Self, Failure> {
        let write = &spec.write;
        let found = Found::ask(&write.cluster, &write.topic)?;
        let (before, brokers) = Before::ask(found, &write.partitions, &mut options)?;
        let plan = EndToEndPlan {
            spec: spec.clone(),
            topic: Arc::clone(&before.topic),
            partition_count: before.partition_count,
            brokers,
            ends: before.ends.clone().map_err(Failure::target)?,
            connections: options.engine.connections,
            records,
            unix_ms_at_zero: unix_ms(),
        };
        let scenario = EndToEndScenario::new(plan);
        let scenario = scenario.map_err(|error| Failure::usage(error.detail))?;
        let rules = Arc::clone(&scenario.rules().write);
        let batch_records = in_batches(&mut options, &rules);
        options.engine.connections = scenario.connections();
        Ok(Self {
            client: Arc::new(Native(Arc::new(scenario))),
            options,
            rules,
            acks: write.acks,
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
        let Before {
            control,
            topic,
            settings,
            ends: before,
            ..
        } = self.before;
        let watcher = Watcher::start(control, Arc::clone(&topic));
        // As late as can be: records are stamped with it.
        self.rules.clock_starts(unix_ms());
        let handle = start_client(self.client, self.options)?;
        let mut document = to_end(handle);
        let control = watcher.stop();
        reconcile::put(&mut document, "settings", settings);
        let expected = reconcile::expected(&document);
        let growth = before.and_then(|before| {
            let mut control = control.ok_or("the watcher of the leaders broke")?;
            let after = settled(
                &before,
                expected,
                || ends(&mut control, &topic),
                std::thread::sleep,
            )?;
            Ok(growth(&topic, &before, &after))
        });
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

/// The ends of the logs of those who lead them; why nobody knows them.
pub(super) fn ends(control: &mut Control, topic: &Topic) -> Result<Vec<i64>, String> {
    let ends = control.offsets(topic, Offset::End, Isolation::ReadUncommitted);
    ends.map_err(|error| error.text)
}

/// The ends of the logs as soon as they are `expected` records behind `before`, or stand still.
fn settled(
    before: &[i64],
    expected: u64,
    mut ends: impl FnMut() -> Result<Vec<i64>, String>,
    wait: impl Fn(Duration),
) -> Result<Vec<i64>, String> {
    let mut seen = ends()?;
    let grown = |ends: &[i64]| ends.iter().sum::<i64>() - before.iter().sum::<i64>();
    let mut still = 0;
    for _ in 0..LOOKS_MAX {
        let enough = u64::try_from(grown(&seen)).is_ok_and(|grown| grown >= expected);
        if enough || still == LOOKS_STILL {
            break;
        }
        wait(LOOK_AFTER);
        let now = ends()?;
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
    Ok(seen)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found after these answers, the last one over and over, and how often was asked.
    fn found(answers: &[[i64; 2]], expected: u64) -> (Vec<i64>, usize) {
        let mut asked = 0;
        let ends = || {
            asked += 1;
            Ok(answers[(asked - 1).min(answers.len() - 1)].to_vec())
        };
        let found = settled(&[5, 5], expected, ends, |_| ());
        (found.expect("ends"), asked)
    }

    #[test]
    fn logs_are_asked_until_they_have_what_was_sent() {
        let moving = [[5, 7], [6, 7], [9, 8]];
        assert_eq!(found(&moving, 2), (vec![5, 7], 1));
        assert_eq!(found(&moving, 7), (vec![9, 8], 3));
        // What never comes is not waited for.
        assert_eq!(found(&moving, 8), (vec![9, 8], 3 + 10));
        let gone = settled(&[5], 1, || Err("gone".to_owned()), |_| ());
        assert_eq!(gone, Err("gone".to_owned()));
    }
}
