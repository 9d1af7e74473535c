//! The memcached binary protocol for loadgen: a native session, its workload, an embedded target.
//!
//! The rooms: `spec` is what can be asked for, `plan` judges it, `scenario` is the library's way
//! in, `args` the command line's. `workload` says what to ask next: `mix` which op, `popularity`
//! which key. `session` is one connection, by the `rules` of the run: `greeting` begins it, `body`
//! streams what comes. `objects` and `sizes` are what keys and values look like, `wire` encodes and
//! decodes without state, `tables` are the rows of the document, `local` is what the sessions of a
//! worker share, `sim` a server for the sim driver. `target` is a memcached on sockets; `stats` asks a
//! server for its numbers, `witness` all of them, each once, and `reconcile` holds ours against
//! them; `memaslap` reads what its users bring.

#[cfg(feature = "cli")]
pub mod args;
mod body;
mod greeting;
pub mod local;
pub mod memaslap;
pub mod mix;
pub mod objects;
pub mod plan;
pub mod popularity;
pub mod reconcile;
pub mod rules;
pub mod scenario;
pub mod session;
pub mod sim;
pub mod sizes;
pub mod spec;
pub mod stats;
pub mod tables;
pub mod target;
pub mod wire;
pub mod witness;
pub mod workload;

pub use plan::{MemcachePlan, PlanError};
pub use scenario::MemcacheScenario;
pub use session::MemcacheSession;
pub use sim::MemcachePeer;
pub use spec::{
    Credentials, KeySpace, MemcacheSpec, Mix, Op, Placement, Popularity, Prefill, SizeRange, Sizes,
};
pub use workload::MemcacheWorkload;
