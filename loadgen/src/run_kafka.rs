//! `loadgen kafka`: from flags to a run.
//!
//! What Kafka means is loadgen-kafka's business, what a run is core's; here they meet: the cluster
//! is asked, the run takes place while leaders are watched, the cluster is asked again.

mod consume;
mod end_to_end;
pub(crate) mod flow;
mod produce;

use std::ffi::OsString;
use std::time::Duration;

use clap::Subcommand;
use loadgen_core::cli::CommonArgs;
use loadgen_core::run::Options;
use loadgen_kafka::spec::{ConsumeSpec, ProduceSpec};

use self::consume::ConsumeCommand;
use self::end_to_end::EndToEndCommand;
use self::produce::{ProduceCommand, SeedCommand};
use crate::command;
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
    /// Write and read at once, on one clock: how old records are when they arrive
    EndToEnd(Box<EndToEndCommand>),
    /// Fill a topic with a number of records, as fast as it goes
    Seed(Box<SeedCommand>),
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
        KafkaCommand::EndToEnd(both) => end_to_end::run(both, words),
    }
}

/// What the shared flags mean here. Connections are 0 where none were typed: how many it takes is
/// known when the brokers are.
fn options(common: &CommonArgs, words: &[OsString]) -> Result<Options, Failure> {
    let mut common = common.clone();
    let typed = common.load.connections;
    // Not to be told of fewer connections than workers by a default that is not ours.
    common.load.connections = typed.or(common.load.workers);
    let mut options = common.options(&command::recorded(words))?;
    options.engine.connections = typed.unwrap_or(0);
    common.client_of(&CLIENTS)?;
    Ok(options)
}

/// The password, when none was typed.
fn password() -> Option<String> {
    std::env::var(loadgen_kafka::args::PASSWORD).ok()
}

/// A broker's patience with a fetch is below ours.
fn check_max_wait(spec: &ConsumeSpec, timeout: Duration) -> Result<(), Failure> {
    let wait = Duration::from_millis(spec.max_wait_ms.unsigned_abs().into());
    if wait < timeout {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--max-wait {wait:?} is not below --timeout {timeout:?}: fetches would time out while the \
         broker waits for records"
    )))
}

/// A broker's patience with its replicas is not above ours.
fn check_ack_timeout(spec: &ProduceSpec, timeout: Duration) -> Result<(), Failure> {
    let wait = Duration::from_millis(spec.timeout_ms.unsigned_abs().into());
    if wait <= timeout {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--ack-timeout {wait:?} is above --timeout {timeout:?}: we would give up before the broker \
         does"
    )))
}
