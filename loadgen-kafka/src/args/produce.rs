//! The flags of `loadgen kafka produce` and `seed`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use loadgen_core::cli;

use super::{ClusterArgs, Partitions, length, partitions};
use crate::plan::{NewTopic, PlanError};
use crate::spec::{Acks, Partitioner, ProduceSpec, RecordSpec};
use crate::wire::batch::Codec;

/// What was typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct ProduceArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Partitions to write to, such as 0,2-5 [default: all]
    #[arg(long, value_name = "LIST", value_parser = partitions)]
    pub partitions: Option<Partitions>,

    /// Bytes of each record's value; Ki and Mi are understood
    #[arg(long, value_name = "BYTES", default_value = "1000", value_parser = length)]
    pub record_size: u32,

    /// Bytes of each record's key [default: no key]
    #[arg(long, value_name = "BYTES", value_parser = length)]
    pub key_size: Option<u32>,

    /// A header of each record: its name and the bytes of its value; may be repeated
    /// [default: none]
    #[arg(long, value_name = "NAME=BYTES", value_parser = header)]
    pub header: Vec<HeaderArg>,

    /// Bytes of a batch before compression (batch.size, which is 16Ki in the Java client): as many
    /// records as fit, one at least
    #[arg(long, value_name = "BYTES", default_value = "128Ki", value_parser = length)]
    pub batch_bytes: u32,

    /// How batches are compressed, once, before the run
    #[arg(long, value_name = "CODEC", value_enum, default_value = "none")]
    pub codec: CodecArg,

    /// When a batch is acknowledged: never, by the leader, or by all in-sync replicas
    #[arg(long, value_name = "WHO", value_enum, default_value = "all")]
    pub acks: AcksArg,

    /// How long brokers may wait for replicas, with --acks all; in whole ms [default: three quarters
    /// of the --timeout]
    #[arg(long, value_name = "TIME", value_parser = cli::time_span)]
    pub ack_timeout: Option<Duration>,

    /// Where the next batch goes: round-robin, key (murmur2, as the Java client does), or sticky:N,
    /// N batches to one partition and then to the next
    #[arg(long, value_name = "HOW", default_value = "round-robin", value_parser = partitioner)]
    pub partitioner: PartitionerArg,
}

/// The topic of `loadgen kafka seed`, where it is not there yet.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "New topic")]
pub struct CreateArgs {
    /// Create the topic first; it must not be there [default: it is there]
    #[arg(long)]
    pub create: bool,

    /// Its partitions [default: the brokers' num.partitions]
    #[arg(long, value_name = "N", requires = "create", value_parser = cli::positive)]
    pub partitions_count: Option<u64>,

    /// Its replicas [default: the brokers' default.replication.factor]
    #[arg(long, visible_alias = "replication-factor", value_name = "N", requires = "create",
        value_parser = cli::positive)]
    pub replication: Option<u64>,

    /// A setting of it, such as retention.ms=-1; may be repeated [default: the brokers' settings]
    #[arg(long, value_name = "NAME=VALUE", requires = "create", value_parser = setting)]
    pub topic_config: Vec<Setting>,
}

/// `--header`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderArg(pub String, pub u32);

/// `--topic-config`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting(pub String, pub String);

/// `--codec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodecArg {
    /// As they are
    None,
    /// gzip
    Gzip,
    /// Snappy
    Snappy,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}

/// `--acks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcksArg {
    /// Nobody: no reply comes
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All in-sync replicas
    #[value(name = "all", alias = "-1")]
    All,
}

/// `--partitioner`, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionerArg(pub Partitioner);

impl ProduceArgs {
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
    ) -> Result<ProduceSpec, PlanError> {
        let partitions = self.partitions.clone();
        let codec = match self.codec {
            CodecArg::None => Codec::None,
            CodecArg::Gzip => Codec::Gzip,
            CodecArg::Snappy => Codec::Snappy,
            CodecArg::Lz4 => Codec::Lz4,
            CodecArg::Zstd => Codec::Zstd,
        };
        let header = |header: &HeaderArg| (header.0.clone(), header.1);
        Ok(ProduceSpec {
            cluster: self.cluster.spec(environment)?,
            topic: self.cluster.topic.clone(),
            partitions: partitions.map(|list| list.0).unwrap_or_default(),
            records: RecordSpec {
                value_bytes: self.record_size,
                key_bytes: self.key_size,
                headers: self.header.iter().map(header).collect(),
                codec,
                batch_bytes: self.batch_bytes,
            },
            acks: match self.acks {
                AcksArg::None => Acks::None,
                AcksArg::Leader => Acks::Leader,
                AcksArg::All => Acks::All,
            },
            partitioner: self.partitioner.0,
            timeout_ms: match self.ack_timeout {
                Some(timeout) => whole_ms("--ack-timeout", timeout)?,
                // So that the broker's answer is here before we give up on it.
                None => i32::try_from((timeout * 3 / 4).as_millis()).unwrap_or(i32::MAX),
            },
            seed,
        })
    }
}

impl CreateArgs {
    /// The topic to create; `None`: it is there.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<NewTopic> {
        let number = |n: Option<u64>| n.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        let setting = |setting: &Setting| (setting.0.clone(), setting.1.clone());
        self.create.then(|| NewTopic {
            name: name.to_owned(),
            partitions: number(self.partitions_count),
            replication: number(self.replication),
            settings: self.topic_config.iter().map(setting).collect(),
        })
    }
}

/// The protocol counts milliseconds.
pub(super) fn whole_ms(flag: &str, time: Duration) -> Result<i32, PlanError> {
    if !time.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(PlanError::Refused(format!(
            "{flag} {time:?}: brokers count whole milliseconds"
        )));
    }
    Ok(i32::try_from(time.as_millis()).unwrap_or(i32::MAX))
}

fn header(text: &str) -> Result<HeaderArg, String> {
    let (name, bytes) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=BYTES, such as trace=16"))?;
    Ok(HeaderArg(name.to_owned(), length(bytes)?))
}

fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE, such as retention.ms=-1"))?;
    Ok(Setting(name.to_owned(), value.to_owned()))
}

fn partitioner(text: &str) -> Result<PartitionerArg, String> {
    let how = match text.split_once(':') {
        None if text == "round-robin" => Partitioner::RoundRobin,
        None if text == "key" => Partitioner::ByKey,
        Some(("sticky", batches)) => {
            let count = cli::positive(batches)?;
            let batches = u32::try_from(count)
                .map_err(|_| format!("{batches} is above the limit of {} batches", u32::MAX))?;
            Partitioner::Sticky { batches }
        }
        _ => {
            return Err(format!(
                "{text:?} is no partitioner; write round-robin, key or sticky:100"
            ));
        }
    };
    Ok(PartitionerArg(how))
}
