//! SIGINT and SIGTERM end the work in hand, not the process: what was started is stopped, what was
//! made is removed, what was measured is written.
//!
//! A second signal ends the process as usual. Nothing here may be on a measured path.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How long a sleep may go on after a signal.
const LOOK: Duration = Duration::from_millis(20);

/// Listens to both signals from now on.
pub(crate) fn listen() -> Result<(), String> {
    let asked = Arc::clone(ASKED.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, and raises it.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    Ok(())
}

/// An error once a signal has come.
pub(crate) fn check() -> Result<(), String> {
    let asked = ASKED.get().is_some_and(|flag| flag.load(Ordering::Relaxed));
    if asked {
        return Err("interrupted".into());
    }
    Ok(())
}

/// Sleeps, unless a signal comes.
pub(crate) fn sleep(time: Duration) -> Result<(), String> {
    let until = Instant::now() + time;
    loop {
        check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}
