//! The flags of everything that fetches.

use std::time::Duration;

use clap::Args;
use loadgen_core::cli;

use super::produce::whole_ms;
use super::size;
use crate::plan::PlanError;
use crate::spec::FetchSpec;

/// What was typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct FetchArgs {
    /// Bytes of one partition in a fetch, at most (max.partition.fetch.bytes); a larger batch comes
    /// all the same
    #[arg(long, value_name = "BYTES", default_value = "1Mi", value_parser = size)]
    pub fetch_size: i32,

    /// Bytes of a fetch, at most (fetch.max.bytes)
    #[arg(long, value_name = "BYTES", default_value = "50Mi", value_parser = size)]
    pub fetch_max_bytes: i32,

    /// Bytes a broker waits for before it answers (fetch.min.bytes)
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = size)]
    pub min_bytes: i32,

    /// How long it waits for them, at most (fetch.max.wait.ms)
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = cli::duration)]
    pub max_wait: Duration,
}

impl FetchArgs {
    /// What was typed, for `plan` to judge.
    ///
    /// # Errors
    /// [`PlanError::Refused`]: a time finer than a millisecond.
    pub fn spec(&self) -> Result<FetchSpec, PlanError> {
        Ok(FetchSpec {
            partition_max_bytes: self.fetch_size,
            fetch_max_bytes: self.fetch_max_bytes,
            min_bytes: self.min_bytes,
            max_wait_ms: whole_ms("--max-wait", self.max_wait)?,
        })
    }
}
