//! The loop that turns a workload and a driver into load, written once.
//!
//! [`Worker`] is one pinned thread's share of a run: its connections, its schedules, its recorder.
//! It must never name a protocol, and in the loop it must never lock, allocate per request, format
//! (failures excepted) or make a system call that the driver does not need.

mod client;
mod conn;
mod connect;
mod deal;
mod fail;
mod gate;
mod options;
mod pulse;
mod ready;
mod receive;
mod release;
mod send;
mod worker;

pub use client::{Client, Native, Shared, Simulated};
pub use deal::{Dealt, deal, shares};
pub use gate::Gate;
pub use options::{ConnectionCounts, EndpointCounts, EngineOptions, Seat, WorkerEnd};
pub use release::Blueprint;
pub use worker::Worker;
