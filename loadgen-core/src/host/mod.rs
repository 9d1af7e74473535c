//! The machine the generator runs on: CPUs it may use, CPU time it used, facts for the document.
//!
//! Everything is read from `/proc`, `/sys` and a few system calls; what cannot be read is `None`,
//! never an error of the run. This module must never look at a document or a protocol.

pub mod cgroup;
mod cpu_time;
pub mod cpus;
mod limits;
mod pin;
mod provenance;
mod reach;

pub use cpu_time::{CpuSample, CpuState, CpuUse};
pub use cpus::Allowed;
pub use limits::raise_open_files;
pub use pin::{Ask, pin_current, plan};
pub use provenance::{name, provenance};
pub use reach::with_route;
