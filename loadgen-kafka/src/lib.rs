//! The Kafka wire protocol for loadgen: consume, produce and end to end, an embedded target.
//!
//! The rooms: `spec` is what can be asked for, `plan` judges it, `scenario` is the library's way in,
//! `args` the command line's. `control` asks a cluster for what a plan must know (tokio and a codec
//! from outside, never on the hot path), `cluster` is what workers know of it and share.
//! `session` is one connection: `greeting` begins it, `fetch` and `produce` are its two roles.
//! `walk` looks into record batches as deep as was asked for. `wire` encodes and decodes without
//! state, `tables` are the rows of the document. `target` is a Kafka on sockets.

#[cfg(feature = "cli")]
pub mod args;
pub mod cluster;
pub mod control;
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
