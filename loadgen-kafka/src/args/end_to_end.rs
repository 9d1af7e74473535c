//! The flags of `loadgen kafka end-to-end`: those of writing, and what reading adds.

use std::time::Duration;

use clap::Args;
use loadgen_core::cli;

use super::{FetchArgs, ProduceArgs};
use crate::plan::PlanError;
use crate::spec::EndToEndSpec;

/// What was typed.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Kafka",
    mut_arg("partitions", |arg| arg
        .help("Partitions to write to and to read, such as 0,2-5 [default: all]")),
    mut_arg("batch_bytes", |arg| arg
        .default_value(ONE_RECORD)
        .help("Bytes of a batch: as many records as fit, one at least; all records of a batch are as \
               old as it is [default: one record]")
        .hide_default_value(true)),
    mut_arg("acks", |arg| arg
        .help("When a batch is acknowledged: by the leader, or by all in-sync replicas; with 0 nobody \
               would know when all was read")),
    mut_arg("codec", |arg| arg
        .help("Records that carry the time at which they were sent cannot be compressed before the \
               run: none is all there is")),
)]
pub struct EndToEndArgs {
    /// What is written.
    #[command(flatten)]
    pub produce: ProduceArgs,

    /// So many readers read every record, each over connections of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = cli::positive)]
    pub fan_out: u64,

    /// How it is read.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// The smallest batch there is: a record fits into it alone.
const ONE_RECORD: &str = "61";

impl EndToEndArgs {
    /// What was typed, for `plan` to judge. `seed` and `timeout` are the run's; `environment` is the
    /// value of [`super::PASSWORD`].
    ///
    /// # Errors
    /// [`PlanError::Refused`]: a password that cannot be had, or a time finer than a millisecond.
    pub fn spec(
        &self,
        seed: u64,
        timeout: Duration,
        environment: Option<&str>,
    ) -> Result<EndToEndSpec, PlanError> {
        let write = self.produce.spec(seed, timeout, environment)?;
        let fan_out = u32::try_from(self.fan_out).unwrap_or(u32::MAX);
        Ok(EndToEndSpec::follow(write, self.fetch.spec()?, fan_out))
    }
}
