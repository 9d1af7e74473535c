//! The embedded target: a Kafka of one broker that keeps counts instead of records.
//!
//! A log is synthetic: any offset of it is served from a few prepared batches, of which only the
//! base offset is rewritten, so that a foreign client reads endless valid records and this side
//! costs next to nothing. What is produced is judged as a broker judges it, moves the end of the
//! log, and is forgotten: what is read back is not what was written. It must count exactly: it is
//! the other side of truth tests.
//!
//! It shares primitives, the batch header and the composer with the client, no message: those are
//! written again, and held against the codec of others in the tests.

mod admin;
mod api;
mod fetch;
mod fields;
mod group;
mod log;
mod members;
mod produce;
mod serve;
mod stats;
#[cfg(test)]
mod tests;
mod topics;

#[cfg(feature = "cli")]
mod args;

#[cfg(feature = "cli")]
pub use args::ServeKafkaArgs;
pub use loadgen_core::serve::Stats;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use loadgen_core::serve::Server;
use loadgen_core::workload::Endpoint;

use log::Log;
use serve::Broker;
use topics::Topics;

/// How a target behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// Host and port that clients are told to connect to; `None`: those they came to.
    pub advertise: Option<(String, Option<u16>)>,
    /// Threads; connections are dealt over them round-robin. At least 1.
    pub workers: usize,
    /// Topics that are there from the start.
    pub topics: Vec<String>,
    /// Partitions of a topic that does not say how many.
    pub partitions: u32,
    /// Whether asking for a topic makes it.
    pub auto_create: bool,
    /// Bytes of the value of a record; there is no key.
    pub record_bytes: u32,
    /// Bytes of a batch, header included: as many records as fit, at least one.
    pub batch_bytes: u32,
    /// Records in a partition at the start; `None`: more than anybody reads (2^53).
    pub records: Option<u64>,
    /// The largest batch that may be produced (a broker's `message.max.bytes`).
    pub message_max_bytes: u32,
    /// Whether the CRC of what is produced is checked.
    pub check_crc: bool,
}

/// The default of [`TargetOptions::batch_bytes`].
pub const BATCH_BYTES: u32 = 128 * 1024;
/// The most that [`TargetOptions::record_bytes`] and [`TargetOptions::batch_bytes`] can be.
pub const BATCH_BYTES_MAX: u32 = 64 << 20;
/// The default of [`TargetOptions::message_max_bytes`]: Kafka's own.
pub const MESSAGE_MAX_BYTES: u32 = (1 << 20) + 12;

impl Default for TargetOptions {
    /// One thread on any free port of the loopback address, four partitions of endless records of
    /// 1 KiB.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            workers: 1,
            topics: Vec::new(),
            partitions: 4,
            auto_create: true,
            record_bytes: 1024,
            batch_bytes: BATCH_BYTES,
            records: None,
            message_max_bytes: MESSAGE_MAX_BYTES,
            check_crc: false,
        }
    }
}

/// The embedded target.
#[derive(Clone, Copy, Debug)]
pub struct Target;

/// A running target. It stops when it is dropped.
pub type TargetHandle = Server<Broker>;

impl Target {
    /// Starts a target. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound, the system has no thread or descriptor left, a topic's name
    /// is none, or a batch would be larger than the format allows.
    pub fn start(options: TargetOptions) -> io::Result<TargetHandle> {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = unix.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(0));
        let (record, batch) = (options.record_bytes as usize, options.batch_bytes as usize);
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let log = Log::new(record, batch, now_ms).map_err(|e| invalid(e.to_string()))?;
        let topics = Topics::new(options.partitions as usize, options.records);
        for name in &options.topics {
            let made = topics.create(name, None, false);
            made.map_err(|(_, why)| invalid(why))?;
        }
        let (listen, workers) = (Endpoint::Tcp(options.listen), options.workers);
        Server::start(&listen, workers, |hall| {
            Broker::new(options, topics, log, hall)
        })
    }
}
