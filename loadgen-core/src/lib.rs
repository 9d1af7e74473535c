//! The engine of loadgen: workers, drivers, pacing, recording and the results document.
//!
//! This crate never names a protocol, never prints, never ends the process and keeps no global
//! state. A module uses only those above it in the list below; the `tidy` test keeps it so.

pub mod time;

pub mod buffer;

pub mod protocol;

#[cfg(feature = "replay")]
pub mod replay;

pub mod workload;

pub mod address;

pub mod plan;

pub mod pace;

pub mod stop;

pub mod record;

pub mod driver;

pub mod serve;

pub mod engine;

pub mod host;

pub mod results;

pub mod run;

#[cfg(feature = "cli")]
pub mod cli;
