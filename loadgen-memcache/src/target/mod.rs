//! The embedded target: a memcached in memory whose limits and counts are known exactly.
//!
//! It speaks the binary protocol as memcached 1.6 does, wrong requests included, and counts what
//! it did under memcached's own names. It is the other side of every truth test, so what it says
//! in `stats` must be what it did. Every length from the wire is held against a limit before a
//! byte of it is kept.
//!
//! It must never share a line with the session it is a target for: a mistake in both would be
//! seen by nobody.

mod frame;
mod serve;
mod stats;
mod store;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
mod args;

#[cfg(feature = "cli")]
pub use args::ServeMemcacheArgs;
pub use loadgen_core::serve::Stats;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use loadgen_core::serve::Server;
use loadgen_core::workload::Endpoint;

use serve::Shared;

/// How a target behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Where it listens; port 0: any free one.
    pub listen: Endpoint,
    /// Threads; connections are dealt over them round-robin. At least 1.
    pub workers: usize,
    /// Memory for items: keys, values and [`ITEM_OVERHEAD_BYTES`] for each (memcached's `-m`).
    pub memory_bytes: u64,
    /// Whether a full memory makes room by evicting the least recently used item; otherwise a
    /// store is answered with "out of memory" (memcached's `-M`).
    pub evict: bool,
    /// The largest item: key, value and overhead (memcached's `-I`).
    pub item_max_bytes: u32,
    /// Connections at a time; one more is told so in text and closed (memcached's `-c`).
    pub connections_max: usize,
    /// Name and password that SASL PLAIN must give before anything else (memcached's `-S`).
    pub user: Option<(String, String)>,
}

/// What an item costs besides its key and value, as it is counted here.
pub const ITEM_OVERHEAD_BYTES: u64 = 56;

/// The default and the most of [`TargetOptions::item_max_bytes`].
pub const ITEM_BYTES: u32 = 1 << 20;
/// The most that `item_max_bytes` can be.
pub const ITEM_BYTES_MAX: u32 = 128 << 20;

impl Default for TargetOptions {
    /// One worker on any free port of the loopback address, and memcached's own limits.
    fn default() -> Self {
        Self {
            listen: Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            workers: 1,
            memory_bytes: 64 << 20,
            evict: true,
            item_max_bytes: ITEM_BYTES,
            connections_max: 1024,
            user: None,
        }
    }
}

/// The embedded target.
#[derive(Clone, Copy, Debug)]
pub struct Target;

/// A running target. It stops when it is dropped.
pub type TargetHandle = Server<Shared>;

impl Target {
    /// Starts a target. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound, or the system has no thread or descriptor left.
    pub fn start(options: TargetOptions) -> io::Result<TargetHandle> {
        let (listen, workers) = (options.listen.clone(), options.workers);
        Server::start(&listen, workers, |hall| Shared::new(options, hall))
    }
}
