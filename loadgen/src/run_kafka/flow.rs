//! A run of Kafka from judged specs to a document: the cluster is asked, the run takes place while
//! leaders are watched, the cluster is asked again.
//!
//! Subcommands and doors come through here. Nothing here may judge what was typed.

mod read;
mod write;

use std::time::{Duration, Instant};

use loadgen_core::engine::shares;
use loadgen_core::host;
use loadgen_core::results::Document;
use loadgen_core::run::{Handle, Options};
use loadgen_core::workload::Route;
use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, ControlError};
use loadgen_kafka::plan;
use loadgen_kafka::spec::{ClusterSpec, ConsumeSpec};
use serde_json::{Value, json};

use super::library::Library;
use crate::failure::Failure;

pub(crate) use read::Reading;
pub(crate) use write::{Writes, Writing};

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
        while let Err(why) = write::ends(&mut found.control, &found.topic) {
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
        let mut routes = self.control.routes(&self.topic).map_err(failure)?;
        if options.engine.connections == 0 {
            level(&mut routes);
        }
        options.engine.connections = connections(options, routes.len())?;
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

/// 0 stands for none that were typed: one for each broker and worker then, so that every worker
/// reaches every leader.
fn connections(options: &Options, brokers: usize) -> Result<u32, Failure> {
    let typed = options.engine.connections;
    if typed == 0 {
        let named = options.cpus.as_ref().map(Vec::len);
        let workers = options.workers.or(named);
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

/// As many connections for each broker, whatever it leads: one of each worker, when it is one for each
/// broker and worker.
fn level(routes: &mut [Route]) {
    for route in routes {
        route.weight = 1;
    }
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
    options: Options,
    to_end: impl FnOnce(Handle) -> Document,
) -> Result<Document, Failure> {
    Reading::prepare(spec, options, Library::Native)?.run(to_end)
}

/// Writes what `writes` says. A rate in `options` is one of records, and becomes one of batches.
///
/// # Errors
/// Why there was no run.
pub(crate) fn produce(
    writes: Writes<'_>,
    options: Options,
    to_end: impl FnOnce(Handle) -> Document,
) -> Result<Document, Failure> {
    Writing::prepare(writes, options, Library::Native)?.run(to_end)
}

#[cfg(test)]
mod tests {
    use loadgen_core::engine::deal;

    use super::*;

    fn route(weight: u32) -> Route {
        Route {
            name: "broker".to_owned(),
            endpoints: Vec::new(),
            weight,
            rate_weight: weight,
            paced: true,
        }
    }

    #[test]
    fn every_worker_reaches_every_broker_unless_told_otherwise() {
        let options = |typed: u32, workers, cpus: Option<Vec<u32>>| {
            let mut options = Options {
                workers,
                cpus,
                ..Options::default()
            };
            options.engine.connections = typed;
            options
        };
        assert_eq!(connections(&options(0, Some(4), None), 3), Ok(12));
        assert_eq!(connections(&options(0, None, Some(vec![1, 2])), 1), Ok(2));
        assert_eq!(connections(&options(3, Some(1), None), 3), Ok(3));
        // Whatever they lead.
        let mut routes: Vec<Route> = [9, 1, 1].map(route).to_vec();
        level(&mut routes);
        for hand in deal(12, &routes, 4) {
            let of_routes: Vec<_> = hand.iter().map(|dealt| dealt.route).collect();
            assert_eq!(of_routes, [0, 1, 2]);
        }
        let few = connections(&options(2, Some(1), None), 3).unwrap_err();
        let parts = ["-c 2", "3 brokers"];
        assert!(parts.iter().all(|part| few.text.contains(part)), "{few:?}");
    }
}
