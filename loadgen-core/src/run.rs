//! Starting a run and holding on to it: the library's front door.
//!
//! [`start`] spawns a control thread and one thread per worker, and gives a [`Handle`]. Nothing
//! here prints, ends the process or keeps global state; two runs in one process do not meet.

mod check;
mod control;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::control::ROWS_MAX;
use self::control::{Control, View};
use crate::engine::{Client, EngineOptions};
use crate::host;
use crate::results::{Caption, Document, Interval};
use crate::workload::Scenario;

/// Everything about a run that is not the protocol's.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The shape of the load.
    pub engine: EngineOptions,
    /// Worker threads; `None`: one per allowed CPU, never more than connections.
    pub workers: Option<usize>,
    /// CPUs the workers are pinned to, in order; `None`: chosen from the allowed ones. Named
    /// ones must be allowed.
    pub cpus: Option<Vec<u32>>,
    /// Leave the workers to the scheduler.
    pub unpinned: bool,
    /// What the document says besides.
    pub caption: Caption,
}

/// Why a run could not be started. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The options contradict each other; the sentence names the option, the limit and the value.
    Options(String),
    /// The environment refuses what was asked for explicitly.
    Environment(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Options(text) | Self::Environment(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// `connect`, `warmup`, `measure`, `drain` or `over`.
    pub phase: &'static str,
    /// When the measured window began, ns since 1970; `None` before it is known.
    pub begin_unix_ns: Option<u64>,
    /// Time in this phase.
    pub elapsed: Duration,
    /// Planned length of the phase, where there is one.
    pub planned: Option<Duration>,
    /// Requests completed so far, warm-up too; it moves once an interval.
    pub completed: u64,
    /// Requests failed so far.
    pub failed: u64,
    /// The planned number of requests, when the run stops by count.
    pub requests: Option<u64>,
    /// Of those, how many the workers have taken on: sent, or next to be. It moves all the time.
    pub taken: Option<u64>,
    /// Completions per second in the last whole interval.
    pub rate_per_s: Option<f64>,
    /// Received payload in the last whole interval, bytes per second.
    pub payload_rx_bytes_per_s: Option<f64>,
    /// Median response time of the last interval, ns.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the same, ns.
    pub p99_ns: Option<u64>,
}

/// A run under way. Dropped, it goes on by itself and its document is lost.
#[derive(Debug)]
pub struct Handle {
    control: JoinHandle<Document>,
    view: Arc<View>,
}

impl Handle {
    /// How far it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.view.snapshot()
    }

    /// Intervals of the window that were finished since the last call, in order, as the document
    /// will have them. Whoever asks less often than every [`ROWS_MAX`] of them misses the oldest.
    #[must_use]
    pub fn intervals(&self) -> Vec<Interval> {
        self.view.take_rows()
    }

    /// Asks it to stop sending; what is in flight is waited for, a second at the most, and the
    /// document is marked partial. Returns at once.
    pub fn stop(&self) {
        self.view.stop();
        self.control.thread().unpark();
    }

    /// Asks it to stop sending as [`Handle::stop`] does, where that is the plan: the document is
    /// marked neither interrupted nor, for that, partial. Returns at once.
    pub fn end(&self) {
        self.view.end();
        self.control.thread().unpark();
    }

    /// Whether [`Handle::join`] would return at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.control.is_finished()
    }

    /// Waits for the end of the run. Blocks the calling thread: inside an async runtime, call it
    /// where blocking is allowed, or poll [`Handle::is_finished`] first.
    ///
    /// # Panics
    /// When the control thread panicked, with the same panic: a bug of ours.
    #[must_use]
    pub fn join(self) -> Document {
        match self.control.join() {
            Ok(document) => document,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts `scenario` with the native engine.
///
/// # Errors
/// [`StartError`], before anything was sent.
pub fn start<S: Scenario>(scenario: S, options: Options) -> Result<Handle, StartError> {
    start_client(Arc::new(crate::engine::Native(Arc::new(scenario))), options)
}

/// What [`start_client`] would do on this machine: the CPU of each worker, `None` where the
/// scheduler decides. Nothing is started.
///
/// # Errors
/// [`StartError`], as [`start_client`] would give it.
pub fn plan_client(client: &dyn Client, options: &Options) -> Result<Vec<Option<u32>>, StartError> {
    check::check(client, options, &host::Allowed::read())
}

/// Starts any client, the native engine or a reference one.
///
/// # Errors
/// [`StartError`], before anything was sent.
pub fn start_client(client: Arc<dyn Client>, options: Options) -> Result<Handle, StartError> {
    let allowed = host::Allowed::read();
    let cpus = check::check(client.as_ref(), &options, &allowed)?;
    let control = Control::new(client, options, allowed, cpus);
    let view = control.view();
    let control = std::thread::Builder::new()
        .name("loadgen-control".into())
        .spawn(move || control.run())
        .map_err(|e| StartError::Environment(format!("no thread for the run: {e}")))?;
    Ok(Handle { control, view })
}
