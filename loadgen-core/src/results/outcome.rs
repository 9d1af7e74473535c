//! Everything a finished run left behind, before it becomes a document.
//!
//! Plain values, handed from the control thread to [`super::assemble()`]. Nothing here may act.

use std::sync::Arc;

use serde_json::Value;

use super::document::{CpuRow, Label, RunStatus};
use crate::engine::{EngineOptions, WorkerEnd};
use crate::protocol::Tables;
use crate::record::{Aggregate, Window};
use crate::time::Tick;
use crate::workload::Route;

/// What a document says that is not measured.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// What the user put on the run.
    pub labels: Vec<Label>,
    /// The command line, when there was one.
    pub command: Vec<String>,
    /// `--require`, as typed; checked before the run.
    pub requirements: Vec<String>,
    /// Whether doubts invalidate.
    pub strict: bool,
}

/// Where the run took place.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Host name.
    pub name: Option<String>,
    /// The CPUs this process may use.
    pub allowed_cpus: Vec<u32>,
    /// The cgroup's limit in CPUs.
    pub cpu_quota: Option<f64>,
    /// The CPU each worker was to be pinned to.
    pub cpus: Vec<Option<u32>>,
    /// Workers whose pinning the kernel refused, in words.
    pub refusals: Vec<String>,
    /// Whole-machine CPU time over the window.
    pub cpu: Vec<CpuRow>,
    /// The time those rows stand for, ns.
    pub cpu_window_ns: u64,
    /// Kernel and machine: an object.
    pub provenance: Value,
}

/// One run, finished.
#[derive(Debug)]
pub struct Outcome {
    /// What the user said of it.
    pub caption: Caption,
    /// The shape of the load.
    pub options: Arc<EngineOptions>,
    /// The protocol's tables.
    pub tables: Arc<Tables>,
    /// `native`, or the reference client's name.
    pub client: &'static str,
    /// `epoll`, `sim`, or the client's runtime.
    pub driver: &'static str,
    /// Requests a connection carries.
    pub requests_per_connection: Option<u64>,
    /// The protocol's plan.
    pub protocol_plan: Value,
    /// The protocol's last words.
    pub protocol_details: Value,
    /// The routes, and how many connections each was dealt.
    pub routes: Vec<(Route, u32)>,
    /// When the run started, ns since 1970.
    pub start_unix_ns: u64,
    /// The window as it turned out: `end` is a real tick. `epoch` is [`Tick::NEVER`] when the run
    /// never got so far.
    pub window: Window,
    /// When everything was over.
    pub over: Tick,
    /// How it ended.
    pub status: RunStatus,
    /// Whether it was ended from outside ([`crate::run::Handle::stop`]).
    pub interrupted: bool,
    /// Everything counted.
    pub sum: Aggregate,
    /// The workers, in order.
    pub workers: Vec<WorkerEnd>,
    /// Where.
    pub machine: Machine,
}
