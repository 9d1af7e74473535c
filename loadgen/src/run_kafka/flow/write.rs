//! Writing: the ends of the logs are asked before and after, and what was acknowledged is held
//! against what they grew by.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadgen_core::engine::{Client, Native};
use loadgen_core::pace::Pacing;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, Offset, Watcher};
use loadgen_kafka::plan::NewTopic;
use loadgen_kafka::produce::{ProducePlan, ProduceRules, ProduceScenario};
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
    control: Control,
    topic: Arc<Topic>,
    rules: Arc<ProduceRules>,
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
        let plan = ProducePlan {
            spec: spec.clone(),
            topic: Arc::clone(&topic),
            partition_count: u32::try_from(partition_count).unwrap_or(u32::MAX),
            routes: places.routes,
            records: writes.records,
            unix_ms_at_zero: unix_ms(),
        };
        let scenario = ProduceScenario::new(plan);
        let scenario = scenario.map_err(|error| Failure::usage(error.detail))?;
        let rules = Arc::clone(scenario.rules());
        let batch_records = u64::from(rules.batch_records());
        if let Some(batches) = rules.batches() {
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
            rules,
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
        // As late as can be: records are stamped with it.
        self.rules.clock_starts(unix_ms());
        let handle = start_client(self.client, self.options)?;
        let mut document = to_end(handle);
        let control = watcher.stop();
        reconcile::put(&mut document, "settings", self.settings);
        let expected = reconcile::expected(&document);
        let growth = self.before.and_then(|before| {
            let mut control = control.ok_or("the watcher of the leaders broke")?;
            let after = settled(
                &before,
                expected,
                || ends(&mut control, &self.topic),
                std::thread::sleep,
            )?;
            Ok(growth(&self.topic, &before, &after))
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

fn unix_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since_1970.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
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
