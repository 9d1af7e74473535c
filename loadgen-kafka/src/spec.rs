//! What can be asked of a run, in the words of a user or a program.
//!
//! Plain data: it may be nonsense. `plan` judges it, and nothing else may.

use crate::wire::batch::Codec;

/// Who we are, and by which mechanism we say so.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Without the password: specs are printed where something went wrong.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM-SHA-256 (RFC 5802, RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// The name in `SaslHandshake` and in `sasl.mechanism`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// `HOST:PORT`; the first one that answers is asked for the others.
    pub bootstrap: Vec<String>,
    /// Who we are.
    pub sasl: Option<Credentials>,
    /// What we call ourselves.
    pub client_id: String,
}

/// How deep records are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Not at all: bytes only. For the replay of a range whose offsets are known.
    None,
    /// The headers of the batches: records and batch bytes are exact.
    Headers,
    /// And the CRC of every batch.
    Crc,
    /// And every record, decompressed: payload bytes are exact.
    Records,
}

impl Depth {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Headers, Self::Crc, Self::Records];

    /// The value of `--verify`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headers => "headers",
            Self::Crc => "crc",
            Self::Records => "records",
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the start of the log.
    Earliest,
    /// At its end.
    Latest,
    /// At this offset of every partition.
    Offset(i64),
}

/// Where reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the end of the log as it was when the run was planned.
    End,
    /// Nowhere: what comes is read as it comes.
    Follow,
    /// At the end, and then again from the beginning.
    Replay,
}

/// What is visible of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything.
    ReadUncommitted,
    /// Nothing that is open or was aborted.
    ReadCommitted,
}

/// What `loadgen kafka consume` can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumeSpec {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// The topic.
    pub topic: String,
    /// Partitions; empty: all.
    pub partitions: Vec<i32>,
    /// Where reading begins.
    pub from: From,
    /// Where it ends.
    pub until: Until,
    /// Records to read, in total; the reply that reaches it is counted whole.
    pub records: Option<u64>,
    /// `max_bytes` of a partition in a fetch.
    pub partition_max_bytes: i32,
    /// `max_bytes` of a fetch.
    pub fetch_max_bytes: i32,
    /// `min_bytes` of a fetch.
    pub min_bytes: i32,
    /// How long a broker may wait for them, ms.
    pub max_wait_ms: i32,
    /// What is visible of transactions.
    pub isolation: Isolation,
    /// How deep records are looked into.
    pub depth: Depth,
    /// Payload bytes of every record, where the range was seeded by us.
    pub seeded_record_bytes: Option<u32>,
}

/// When a produce request is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never: no reply comes.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

/// Which partition the next batch goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// Each in turn.
    RoundRobin,
    /// By the hash of the key (murmur2, as the Java client does).
    ByKey,
    /// One until so many batches are in it, then the next.
    Sticky {
        /// Batches.
        batches: u32,
    },
}

/// Records of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSpec {
    /// Bytes of a value.
    pub value_bytes: u32,
    /// Bytes of a key; `None`: no key.
    pub key_bytes: Option<u32>,
    /// Headers: name and bytes of the value.
    pub headers: Vec<(String, u32)>,
    /// How they are compressed.
    pub codec: Codec,
    /// Bytes of a batch, header included, before compression: as many records as fit, at least one.
    pub batch_bytes: u32,
}

/// What `loadgen kafka produce` and `seed` can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceSpec {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// The topic.
    pub topic: String,
    /// Partitions; empty: all.
    pub partitions: Vec<i32>,
    /// What is written.
    pub records: RecordSpec,
    /// When it is acknowledged.
    pub acks: Acks,
    /// Where it goes.
    pub partitioner: Partitioner,
    /// How long the broker may wait for its replicas, ms.
    pub timeout_ms: i32,
    /// Seed of contents.
    pub seed: u64,
}

/// What `loadgen kafka end-to-end` can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndToEndSpec {
    /// What is written.
    pub write: ProduceSpec,
    /// How it is read: all that is written from now on, see [`EndToEndSpec::follow`].
    pub read: ConsumeSpec,
    /// So many readers read every record.
    pub fan_out: u32,
}

/// How much a fetch brings, and how long a broker may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSpec {
    /// `max_bytes` of a partition in a fetch.
    pub partition_max_bytes: i32,
    /// `max_bytes` of a fetch.
    pub fetch_max_bytes: i32,
    /// `min_bytes` of a fetch.
    pub min_bytes: i32,
    /// How long a broker may wait for them, ms.
    pub max_wait_ms: i32,
}

impl EndToEndSpec {
    /// To write what `write` says, and to have `fan_out` readers follow it.
    #[must_use]
    pub fn follow(write: ProduceSpec, fetch: FetchSpec, fan_out: u32) -> Self {
        let read = ConsumeSpec {
            cluster: write.cluster.clone(),
            topic: write.topic.clone(),
            partitions: write.partitions.clone(),
            from: From::Latest,
            until: Until::Follow,
            records: None,
            partition_max_bytes: fetch.partition_max_bytes,
            fetch_max_bytes: fetch.fetch_max_bytes,
            min_bytes: fetch.min_bytes,
            max_wait_ms: fetch.max_wait_ms,
            isolation: Isolation::ReadUncommitted,
            depth: Depth::Records,
            seeded_record_bytes: None,
        };
        Self {
            write,
            read,
            fan_out,
        }
    }
}
