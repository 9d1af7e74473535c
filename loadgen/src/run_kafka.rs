//! `loadgen kafka`: from flags to a run.
//!
//! What Kafka means is loadgen-kafka's business, what a run is core's; here they meet: the cluster
//! is asked, the run takes place while leaders are watched, the cluster is asked again.

mod consume;
mod produce;

use std::ffi::OsString;

use clap::Subcommand;
use loadgen_core::host;
use loadgen_core::run::Options;

use self::consume::ConsumeCommand;
use self::produce::{ProduceCommand, SeedCommand};
use crate::failure::Failure;

/// The clients there are.
const CLIENTS: [&str; 1] = ["native"];

/// What can be typed behind `loadgen kafka`.
#[derive(Debug, Subcommand)]
pub(crate) enum KafkaCommand {
    /// Read a topic: to its end, as it grows, or again and again
    Consume(Box<ConsumeCommand>),
    /// Write batches to a topic
    Produce(Box<ProduceCommand>),
    /// Write and read at once, on one clock (not built yet)
    EndToEnd(Words),
    /// Fill a topic with a number of records, as fast as it goes
    Seed(Box<SeedCommand>),
}

/// Words that nobody reads yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(crate) fn run(typed: &KafkaCommand, words: &[OsString]) -> Result<u8, Failure> {
    match typed {
        KafkaCommand::Consume(consume) => consume::run(consume, words),
        KafkaCommand::Produce(produce) => produce::run(produce, words),
        KafkaCommand::Seed(seed) => produce::seed(seed, words),
        KafkaCommand::EndToEnd(typed) => Err(Failure::usage(format!(
            "kafka end-to-end is not built yet, so its {} words are not read: kafka produce and kafka \
             consume measure one direction each",
            typed.words.len()
        ))),
    }
}

/// The password, when none was typed.
fn password() -> Option<String> {
    std::env::var(loadgen_kafka::args::PASSWORD).ok()
}

/// `-c` where none was typed: one for each broker and worker, so that every worker reaches every
/// leader.
fn connections(typed: Option<u32>, options: &Options, brokers: usize) -> Result<u32, Failure> {
    match typed {
        Some(connections) if (connections as usize) < brokers => Err(Failure::usage(format!(
            "-c {connections} is fewer than the {brokers} brokers of the cluster: each may become the \
             leader of a partition, so each needs a connection"
        ))),
        Some(connections) => Ok(connections),
        None => {
            let named = options.cpus.as_ref().map(Vec::len);
            let workers = options.workers.or(named);
            let workers = workers.unwrap_or_else(|| host::Allowed::read().parallelism());
            u32::try_from(workers.saturating_mul(brokers))
                .map_err(|_| Failure::usage(format!("{workers} workers × {brokers} brokers is too much")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_reaches_every_broker_unless_told_otherwise() {
        let workers = |workers| Options {
            workers: Some(workers),
            ..Options::default()
        };
        assert_eq!(connections(None, &workers(4), 3), Ok(12));
        assert_eq!(connections(Some(3), &workers(4), 3), Ok(3));
        let few = connections(Some(2), &workers(1), 3).unwrap_err();
        assert!(few.text.contains("-c 2") && few.text.contains("3 brokers"), "{few:?}");
        let named = Options {
            cpus: Some(vec![1, 2]),
            ..Options::default()
        };
        assert_eq!(connections(None, &named, 1), Ok(2));
    }
}
