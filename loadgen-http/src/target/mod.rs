//! The embedded target: an HTTP/1.1 server on hyper whose behaviour is known exactly.
//!
//! It serves bodies of any size, delays that follow a law, stalls and broken replies, all on one
//! port, and counts what it gave. It is the other side of every truth test, so it must never
//! report a delay it meant to give: only what it gave.
//!
//! | path | reply |
//! | --- | --- |
//! | `/` | as `/bytes/1024` |
//! | `/bytes/N` | N bytes with their length |
//! | `/chunked/N?chunk=C` | N bytes in chunks of C (16 KiB) |
//! | `/close/N` | N bytes until the connection closes |
//! | `/status/CODE` | that status |
//! | `/echo` | the number of bytes in the request's body |
//! | `/stats` | the target's numbers as JSON ([`Stats`]) |
//! | `/fault/NAME?bytes=N` | as `/bytes/N?fault=NAME` |
//!
//! Any of them takes `?delay=LAW` ([`Law`]) and `?fault=NAME` ([`Fault`]). Requests of one
//! connection are served one after the other: the delays of pipelined ones add up.

mod behaviour;
mod run;
mod service;
mod stats;
#[cfg(test)]
mod tests;
mod wire;

#[cfg(feature = "cli")]
mod args;

#[cfg(feature = "cli")]
pub use args::ServeHttpArgs;
pub use behaviour::{Fault, Law, Stall};
pub use run::{Target, TargetHandle};
pub use stats::{DelayStats, Stats};

use std::net::{Ipv4Addr, SocketAddr};

use loadgen_core::workload::Endpoint;

/// How a target behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetOptions {
    /// Where it listens; port 0: any free one.
    pub listen: Endpoint,
    /// Threads, each with its own runtime; connections are dealt over them round-robin. At
    /// least 1.
    pub workers: usize,
    /// The service time of requests that do not name their own.
    pub delay: Law,
    /// When no reply leaves.
    pub stall: Option<Stall>,
    /// Every so many requests, a reset instead of the reply. At least 1.
    pub reset_every: Option<u64>,
    /// Every so many requests, half of the body and a close. At least 1.
    pub truncate_every: Option<u64>,
    /// Requests a connection carries before the target closes it. At least 1.
    pub keepalive_requests: Option<u64>,
    /// Seed of the delays.
    pub seed: u64,
}

impl Default for TargetOptions {
    /// One worker on any free port of the loopback address, no delay, nothing broken.
    fn default() -> Self {
        Self {
            listen: Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            workers: 1,
            delay: Law::None,
            stall: None,
            reset_every: None,
            truncate_every: None,
            keepalive_requests: None,
            seed: 1,
        }
    }
}

impl TargetOptions {
    /// What the request with this number, from 1 on, meets.
    fn fault_of(&self, number: u64) -> Option<Fault> {
        let due = |every: Option<u64>| every.is_some_and(|n| number.is_multiple_of(n.max(1)));
        if due(self.reset_every) {
            Some(Fault::ResetBeforeHead)
        } else if due(self.truncate_every) {
            Some(Fault::Truncate)
        } else {
            None
        }
    }
}
