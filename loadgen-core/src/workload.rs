//! What to ask next, and whom: the other half of the contract with a protocol.
//!
//! A [`Scenario`] is shared by all workers and makes one [`Workload`] for each. Like sessions,
//! workloads must never read a clock, open a socket or start a thread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::protocol::{Session, Tables, Ticket};

/// An address a connection can be made to; opaque to the protocol's state machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A place requests must go to: a group of URLs, a server, a partition leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name in the results document.
    pub name: String,
    /// Its addresses; connections are dealt over them round-robin. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// Its share of the connections, relative to the other routes. At least 1.
    pub weight: u32,
    /// Its share of the rate, relative to the other routes that are paced. 0: nothing can be asked
    /// there now, and the others carry the whole rate. When all are 0, `weight` counts.
    pub rate_weight: u32,
    /// Whether the run's pacing is its own too. A route that is not paced works in a closed loop
    /// whatever the run does: its connections ask as soon as they may, like those that only listen to
    /// what others bring about. Its requests take nothing of the number a run is limited to and of
    /// the offered rate, and while the run drains it goes on until its workload says
    /// [`Next::Done`]. Not for scenarios with a connection for each request.
    pub paced: bool,
}

/// A position in the list of routes.
pub type RouteId = usize;

/// What a workload answers when asked for a request.
#[derive(Debug)]
pub enum Next<R> {
    /// Send this.
    Ready(R),
    /// Nothing to ask on this route now; ask again after a reply or a little later.
    Idle,
    /// Nothing to ask any more, on any route: this worker is finished.
    Done,
}

/// What one worker asks. Made in the worker's thread, never shared.
pub trait Workload {
    /// The protocol state of one connection.
    type Session: Session;

    /// The routes, when they changed since the last call; same length, order and `weight` as before.
    /// A connection whose endpoint is gone from its route drains, closes and connects anew. Where
    /// the shares of the rate are others, schedules are from now on; what was due on such a route and
    /// could not be asked there is asked where it can be, as late as it is.
    fn routes_changed(&mut self) -> Option<Vec<Route>> {
        None
    }

    /// The session of a new connection. `conn` numbers connections over the whole run, from 0,
    /// and stays the same when one is opened anew.
    fn open(&mut self, route: RouteId, conn: u32) -> Self::Session;

    /// Request number `n` of this worker, for `route`, on `conn`.
    fn next(&mut self, route: RouteId, conn: u32, n: u64) -> Next<Request<Self>>;

    /// The run sends nothing new on paced routes from here on. Routes that are not paced may say
    /// [`Next::Done`] when what was under way has come.
    fn draining(&mut self) {}

    /// A reply brought feedback. What it returns is sent on the same connection before anything
    /// else. It counts as a request of its own, outside pacing: it takes nothing of the number of
    /// requests a run is limited to, and nothing of the offered rate.
    fn feedback(
        &mut self,
        _route: RouteId,
        _conn: u32,
        _feedback: Feedback<Self>,
    ) -> Option<Request<Self>> {
        None
    }

    /// A request that [`Workload::feedback`] asked for was never sent: its connection is gone, or
    /// the run is over.
    fn dropped(&mut self, _route: RouteId, _conn: u32, _request: Request<Self>) {}

    /// A connection died with these requests in flight, oldest first.
    fn lost(&mut self, _route: RouteId, _conn: u32, _tickets: &[Ticket]) {}

    /// What the protocol wants to say in `protocol_details`, at the end of the run.
    fn details(&mut self) -> Value {
        Value::Null
    }
}

/// The request type of a workload.
pub type Request<W> = <<W as Workload>::Session as Session>::Request;
/// The feedback type of a workload.
pub type Feedback<W> = <<W as Workload>::Session as Session>::Feedback;

/// A whole run's work: shared by the workers, made by a protocol's `plan`.
pub trait Scenario: Send + Sync + 'static {
    /// What one worker asks.
    type Workload: Workload;

    /// The protocol's closed tables.
    fn tables(&self) -> Arc<Tables>;

    /// Where connections go. Never empty.
    fn routes(&self) -> Vec<Route>;

    /// The workload of worker `worker` of `workers`.
    fn workload(&self, worker: usize, workers: usize) -> Self::Workload;

    /// How many requests a connection carries before it is closed by us; `None`: no limit.
    /// 1 means each request connects first, and its service time starts there.
    fn requests_per_connection(&self) -> Option<u64> {
        None
    }

    /// What goes into `plan.<protocol>` of the document.
    fn plan(&self) -> Value {
        Value::Null
    }

    /// Adds up what the workers' [`Workload::details`] said.
    fn details(&self, workers: Vec<Value>) -> Value {
        workers
            .into_iter()
            .find(|v| !v.is_null())
            .unwrap_or(Value::Null)
    }
}

/// Seeded random numbers for schedules and workloads: the same seed gives the same run.
///
/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): one
/// addition and three mixes, passes `BigCrush`, and any seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1]: never 0, so its logarithm is finite.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..`bound`; 0 when `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Exponential with this mean.
    #[inline]
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }
}
