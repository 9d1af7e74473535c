//! `loadgen serve …`: an embedded target as a program of its own, until Ctrl-C.
//!
//! The address goes to stderr, the target's own numbers go to stdout at the end, as JSON: they are
//! what a test compares with. Nothing here may shape what the target does.

use std::io::{self, Write};
use std::time::Duration;

use loadgen_core::host;
use loadgen_http::target::ServeHttpArgs;
use loadgen_kafka::target::ServeKafkaArgs;
use loadgen_memcache::target::ServeMemcacheArgs;
use serde::Serialize;

use crate::drive;
use crate::failure::Failure;
use crate::say::say;

/// How often the signal is looked for; the target works in its own threads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `loadgen serve http`. The exit code is 0 at the end: to stop it is how it ends.
pub(crate) fn http(args: &ServeHttpArgs) -> Result<u8, Failure> {
    use loadgen_http::target::{Target, TargetHandle};
    let start = || Target::start(args.options());
    until_told(start, |t| t.address().to_string(), TargetHandle::stop)
}

/// `loadgen serve memcache`, likewise.
pub(crate) fn memcache(args: &ServeMemcacheArgs) -> Result<u8, Failure> {
    use loadgen_memcache::target::{Target, TargetHandle};
    let start = || Target::start(args.options());
    until_told(start, |t| t.address().to_string(), TargetHandle::stop)
}

/// `loadgen serve kafka`, likewise.
pub(crate) fn kafka(args: &ServeKafkaArgs) -> Result<u8, Failure> {
    use loadgen_kafka::target::{Target, TargetHandle};
    let start = || Target::start(args.options());
    until_told(start, |t| t.address().to_string(), TargetHandle::stop)
}

fn until_told<T, S: Serialize>(
    start: impl FnOnce() -> io::Result<T>,
    address: impl FnOnce(&T) -> String,
    stop: impl FnOnce(T) -> S,
) -> Result<u8, Failure> {
    host::raise_open_files();
    let signals = drive::signals()?;
    // An address in use, or not ours, is the environment's no to an explicit wish.
    let target = start().map_err(|e| Failure::environment(e.to_string()))?;
    say(format_args!("listening on {}", address(&target)));
    while !signals.asked() {
        std::thread::sleep(LOOK_EVERY);
    }
    let stats = stop(target);
    let text = serde_json::to_string_pretty(&stats)
        .map_err(|e| Failure::output(format!("the target's numbers are no JSON: {e}")))?;
    writeln!(io::stdout().lock(), "{text}")
        .map_err(|e| Failure::output(format!("stdout cannot be written: {e}")))?;
    Ok(0)
}
