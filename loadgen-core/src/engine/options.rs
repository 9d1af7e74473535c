//! What a worker is given, and what it gives back.
//!
//! Plain values: nothing here may act.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::client::Shared;
use super::deal::Dealt;
use crate::driver::{Buffers, CpuUsed, DriverStats, SocketOptions, TcpInfo};
use crate::pace::{Dispatch, Pacing};
use crate::record::ErrorTable;
use crate::stop::Stop;
use crate::time::{Clock, Tick};
use crate::workload::{Endpoint, RouteId};

/// The shape of the load: everything a worker needs to know that is not the protocol's.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Connections in total.
    pub connections: u32,
    /// Requests in flight on a connection, at most. At least 1.
    pub depth: u32,
    /// Closed loop, or open loop at a rate.
    pub pacing: Pacing,
    /// How a due request finds its connection in an open loop.
    pub dispatch: Dispatch,
    /// When the run ends.
    pub stop: Stop,
    /// How long load is given before the measured window begins.
    pub warmup: Duration,
    /// How long a request may take, from sent.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long requests in flight are waited for at the end; at the most the timeout is useful.
    pub drain: Duration,
    /// Length of an interval of the time series.
    pub interval: Duration,
    /// Seed of everything random.
    pub seed: u64,
    /// How sockets are made.
    pub sockets: SocketOptions,
    /// Whether bytes nobody needs may be discarded in the kernel.
    pub discard: bool,
}

impl Default for EngineOptions {
    /// What the command line defaults to as well.
    fn default() -> Self {
        Self {
            connections: 10,
            depth: 1,
            pacing: Pacing::Closed,
            dispatch: Dispatch::Pool,
            stop: Stop::After(Duration::from_secs(10)),
            warmup: Duration::ZERO,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            interval: Duration::from_secs(1),
            seed: 1,
            sockets: SocketOptions::default(),
            discard: true,
        }
    }
}

/// One worker's place in a run.
#[derive(Debug)]
pub struct Seat {
    /// Its number, from 0.
    pub worker: usize,
    /// How many there are.
    pub workers: usize,
    /// The CPU its thread is pinned to, if it is.
    pub cpu: Option<u32>,
    /// The run's clock.
    pub clock: Clock,
    /// The shape of the load.
    pub options: Arc<EngineOptions>,
    /// Its connections.
    pub dealt: Vec<Dealt>,
    /// Run-wide number of its first connection: local ports and addresses are dealt by it.
    pub first: u64,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
}

/// What became of a worker's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Established.
    pub opened: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Ended against our will: reset, timed out, closed with requests in flight, talked nonsense.
    pub lost: u64,
    /// Closed by the target with nothing in flight, or announced to close.
    pub closed_by_target: u64,
    /// Closed by us as planned.
    pub closed_by_us: u64,
    /// Alive when sending ended.
    pub alive_at_end: u64,
}

impl ConnectionCounts {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.connect_failures += other.connect_failures;
        self.lost += other.lost;
        self.closed_by_target += other.closed_by_target;
        self.closed_by_us += other.closed_by_us;
        self.alive_at_end += other.alive_at_end;
    }
}

/// Whole-run counters of one address of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointCounts {
    /// The route.
    pub route: RouteId,
    /// The address.
    pub endpoint: Endpoint,
    /// Connections established to it.
    pub opened: u64,
    /// Replies from it.
    pub completed: u64,
    /// Requests that failed on it.
    pub failed: u64,
}

/// What a worker hands over when it is done; its sets went through the exchange.
#[derive(Debug, Default)]
pub struct WorkerEnd {
    /// Its number.
    pub worker: usize,
    /// The CPU it was pinned to.
    pub cpu: Option<u32>,
    /// How many connections it had.
    pub connections: u32,
    /// What became of them.
    pub counts: ConnectionCounts,
    /// By address.
    pub endpoints: Vec<EndpointCounts>,
    /// `TCP_INFO` of the connections alive at the end.
    pub tcp: Vec<TcpInfo>,
    /// The buffers of the first connection alive at the end.
    pub buffers: Buffers,
    /// How it waited.
    pub waiting: &'static str,
    /// What its driver knows of itself.
    pub driver: DriverStats,
    /// When it had nothing new to send on paced routes; `None`: it never came so far.
    pub drained_at: Option<Tick>,
    /// CPU it used in the measured window; `None` where it is not known.
    pub cpu_used: Option<CpuUsed>,
    /// Of that, time spent turning until a release, ns.
    pub spin_ns: u64,
    /// Its failures.
    pub errors: ErrorTable,
    /// What the protocol said at the end.
    pub details: Value,
    /// Nothing answered for as long as a connection may take to be made, and the count of requests
    /// was not reached.
    pub gave_up: bool,
    /// Why it could not work at all (no epoll instance, a panic); the run is then a failure.
    pub broken: Option<String>,
}

impl WorkerEnd {
    /// A worker that could not work at all.
    #[must_use]
    pub fn broken(seat: &Seat, why: String) -> Self {
        let connections = seat.dealt.len() as u32;
        let (worker, cpu) = (seat.worker, seat.cpu);
        Self {
            worker,
            cpu,
            connections,
            broken: Some(why),
            ..Self::default()
        }
    }
}
