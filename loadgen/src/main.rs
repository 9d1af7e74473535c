//! The one `loadgen` binary: what was typed goes in, an exit code comes out.
//!
//! Everything it knows about load is in the libraries; nothing here measures.

mod cli;
mod command;
mod doors;
mod drive;
mod dry_run;
mod failure;
mod guard;
mod hints;
mod launch;
mod output;
mod prelude;
mod progress;
mod quickstart;
mod run_http;
mod run_kafka;
mod run_memcache;
mod say;
mod serve;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    guard::install();
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(guard::run(|| cli::run(&words)))
}
