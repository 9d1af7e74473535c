//! `loadgen serve http`: the embedded target as a program of its own, until Ctrl-C.
//!
//! The address goes to stderr, the target's own numbers go to stdout at the end, as JSON: they are
//! what a test compares with. Nothing here may shape what the target does.

use std::io::Write;
use std::time::Duration;

use loadgen_core::host;
use loadgen_http::target::{ServeHttpArgs, Target};

use crate::drive;
use crate::failure::Failure;
use crate::say::say;

/// How often the signal is looked for; the target works in its own threads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Serves until it is told to stop. The exit code is then 0: to stop it is how it ends.
pub(crate) fn http(args: &ServeHttpArgs) -> Result<u8, Failure> {
    host::raise_open_files();
    let signals = drive::signals()?;
    // An address in use, or not ours, is the environment's no to an explicit wish.
    let target = Target::start(args.options()).map_err(|e| Failure::environment(e.to_string()))?;
    say(format_args!("listening on {}", target.address()));
    while !signals.asked() {
        std::thread::sleep(LOOK_EVERY);
    }
    let stats = target.stop();
    let text = serde_json::to_string_pretty(&stats)
        .map_err(|e| Failure::output(format!("the target's numbers are no JSON: {e}")))?;
    writeln!(std::io::stdout().lock(), "{text}")
        .map_err(|e| Failure::output(format!("stdout cannot be written: {e}")))?;
    Ok(0)
}
