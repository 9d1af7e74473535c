//! The Kafka wire protocol for loadgen: consume, produce and end to end, an embedded target.
//!
//! The rooms: `spec` is what can be asked for, `plan` judges it, `args` is the command line's way in.
//! `control` asks a cluster for what a plan must know (blocking, with a codec from outside, never on
//! the hot path), `cluster` is what workers know of it and share, `reconcile` holds our counts against
//! it. `greeting` begins a connection, with `sasl`; `fetch` and `produce` are what it does then: rules,
//! scenario, workload and session of each; `end_to_end` is both at once. `walk` looks into record
//! batches as deep as was asked for. `wire` encodes and decodes without state, `tables` are the rows of
//! the document, `sim` a cluster for the sim driver. `target` is a Kafka on sockets.

#[cfg(feature = "cli")]
pub mod args;
pub mod cluster;
pub mod control;
pub mod end_to_end;
pub mod fetch;
pub mod greeting;
pub mod plan;
pub mod produce;
pub mod reconcile;
mod sasl;
pub mod sim;
pub mod spec;
pub mod tables;
pub mod target;
pub mod walk;
pub mod wire;

pub use plan::PlanError;
