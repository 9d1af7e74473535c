//! The flags of `loadgen kafka consume`.

use clap::{Args, ValueEnum};

use super::{ClusterArgs, FetchArgs, length, partitions};
use crate::plan::PlanError;
use crate::spec::{ConsumeSpec, Depth, From, Isolation, Until};

/// What was typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct ConsumeArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Partitions to read, such as 0,2-5 [default: all]
    #[arg(long, value_name = "LIST", value_parser = partitions)]
    pub partitions: Option<Partitions>,

    /// Where reading begins: earliest, latest, or an offset of every partition
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = from)]
    pub from: FromArg,

    /// Where it ends: at the end of the log as it was at the start, nowhere, or at the end and then
    /// again from the beginning, out of the brokers' page cache
    #[arg(long, value_name = "WHERE", value_enum, default_value = "end")]
    pub until: UntilArg,

    /// Same as --until replay [default: no]
    #[arg(long, conflicts_with = "until")]
    pub replay: bool,

    /// How deep records are looked into; payload bytes are known at records only, and none is for
    /// --replay only
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "headers")]
    pub verify: VerifyArg,

    /// What is visible of transactions
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        default_value = "read_uncommitted"
    )]
    pub isolation: IsolationArg,

    /// How much a fetch brings.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Key and value bytes of every record, where we filled the topic: payload is then known
    /// without --verify records [default: not known]
    #[arg(long, value_name = "BYTES", value_parser = length)]
    pub record_bytes: Option<u32>,
}

/// `--partitions`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions(pub Vec<i32>);

/// `--from`, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromArg(pub From);

/// `--until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UntilArg {
    /// At the end of the log
    End,
    /// Nowhere: what comes is read as it comes
    Follow,
    /// At the end, and then again
    Replay,
}

/// `--verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyArg {
    /// Bytes only
    None,
    /// Headers of batches: records are exact
    Headers,
    /// And the CRC of every batch
    Crc,
    /// And every record, decompressed: payload bytes are exact
    Records,
}

/// `--isolation`, spelt as in `isolation.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum IsolationArg {
    /// Everything
    ReadUncommitted,
    /// Nothing that is open or was aborted
    ReadCommitted,
}

impl ConsumeArgs {
    /// What was typed, for `plan` to judge. `records` is `-n`; `environment` the value of
    /// [`super::PASSWORD`].
    ///
    /// # Errors
    /// [`PlanError::Refused`]: a password that cannot be had, or a time finer than a millisecond.
    pub fn spec(
        &self,
        records: Option<u64>,
        environment: Option<&str>,
    ) -> Result<ConsumeSpec, PlanError> {
        let partitions = self.partitions.clone();
        let fetch = self.fetch.spec()?;
        Ok(ConsumeSpec {
            cluster: self.cluster.spec(environment)?,
            topic: self.cluster.topic.clone(),
            partitions: partitions.map(|list| list.0).unwrap_or_default(),
            from: self.from.0,
            until: match self.until {
                _ if self.replay => Until::Replay,
                UntilArg::End => Until::End,
                UntilArg::Follow => Until::Follow,
                UntilArg::Replay => Until::Replay,
            },
            records,
            partition_max_bytes: fetch.partition_max_bytes,
            fetch_max_bytes: fetch.fetch_max_bytes,
            min_bytes: fetch.min_bytes,
            max_wait_ms: fetch.max_wait_ms,
            isolation: match self.isolation {
                IsolationArg::ReadUncommitted => Isolation::ReadUncommitted,
                IsolationArg::ReadCommitted => Isolation::ReadCommitted,
            },
            depth: match self.verify {
                VerifyArg::None => Depth::None,
                VerifyArg::Headers => Depth::Headers,
                VerifyArg::Crc => Depth::Crc,
                VerifyArg::Records => Depth::Records,
            },
            seeded_record_bytes: self.record_bytes,
        })
    }
}

fn from(text: &str) -> Result<FromArg, String> {
    let from = match text {
        "earliest" => From::Earliest,
        "latest" => From::Latest,
        _ => {
            let offset = text.parse::<i64>().ok().filter(|offset| *offset >= 0);
            From::Offset(offset.ok_or_else(|| {
                format!("{text:?} is no offset; write earliest, latest, or a number from 0")
            })?)
        }
    };
    Ok(FromArg(from))
}
