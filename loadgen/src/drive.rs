//! From a started run to its document: progress, signals, the wait.
//!
//! All protocols and doors come through here. Nothing here may change what was measured.

use std::time::{Duration, Instant};

use loadgen_core::results::Document;
use loadgen_core::run::Handle;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::Signals;

/// Between two looks at a run: short at first, so that a short run ends when it is over.
const LOOK_MIN: Duration = Duration::from_millis(1);
/// And never longer than this, so that Ctrl-C is answered at once.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// Listens for Ctrl-C and SIGTERM, from before the run on.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::listen().map_err(|e| Failure::environment(format!("cannot listen for signals: {e}")))
}

/// Waits for the end of the run; the first signal asks it to end early.
pub(crate) fn to_end(handle: Handle, signals: &Signals, quiet: bool) -> Document {
    watched(handle, signals, quiet, |_| false)
}

/// The same, where somebody looks on: `ends` is asked a few times a second whether that is enough.
pub(crate) fn watched(
    handle: Handle,
    signals: &Signals,
    quiet: bool,
    mut ends: impl FnMut(&Handle) -> bool,
) -> Document {
    let progress = Progress::new(quiet);
    let begun = Instant::now();
    let mut stopped = false;
    while !handle.is_finished() {
        let enough = ends(&handle) || signals.asked();
        if enough && !stopped {
            stopped = true;
            handle.stop();
        }
        progress.show(&handle.snapshot());
        std::thread::sleep((begun.elapsed() / 8).clamp(LOOK_MIN, LOOK_MAX));
    }
    progress.clear();
    handle.join()
}
