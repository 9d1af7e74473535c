//! Ctrl-C and SIGTERM: the first asks the run to end well, the second ends the program.
//!
//! Nothing here may act on a run; the front looks at the flag.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loadgen_core::results::exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether someone asked us to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    asked: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the second signal finds the flag raised by the first.
            let code = i32::from(exit::INTERRUPTED);
            flag::register_conditional_shutdown(signal, code, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { asked })
    }

    /// Whether a signal has come.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}
