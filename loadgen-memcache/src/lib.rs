//! The memcached binary protocol for loadgen.

pub mod memaslap;
pub mod mix;
pub mod objects;
pub mod plan;
pub mod popularity;
pub mod reconcile;
pub mod sizes;
pub mod spec;
pub mod stats;
pub mod target;
pub mod wire;

pub use plan::{MemcachePlan, PlanError};
pub use spec::{
    Credentials, KeySpace, MemcacheSpec, Mix, Op, Placement, Popularity, Prefill, SizeRange, Sizes,
};
