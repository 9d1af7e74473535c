//! `loadgen kafka end-to-end`.

use std::ffi::OsString;
use std::time::Duration;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::run::Options;
use loadgen_kafka::args::EndToEndArgs;
use loadgen_kafka::plan;
use loadgen_kafka::spec::EndToEndSpec;

use super::flow::Writing;
use super::{check_ack_timeout, check_max_wait, options, password};
use crate::drive;
use crate::failure::Failure;
use crate::launch::launch_as;

/// What can be typed behind `loadgen kafka end-to-end`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("requests", |arg| arg
        .visible_alias("records")
        .help("Stop after so many records were written, in total, and read [default: stop by time]")),
    mut_arg("rate", |arg| arg
        .help("Open loop at so many records per second, in total, as whole batches [default: closed \
               loop, as fast as acknowledgements come]")),
    mut_arg("connections", |arg| arg
        .help("Connections that write, in total; each reader has one to each broker besides [default: \
               one for each broker and worker]")),
    mut_arg("depth", |arg| arg
        .help("Batches in flight per connection that writes; a reader has one fetch in flight at each \
               broker")),
)]
pub(crate) struct EndToEndCommand {
    #[command(flatten)]
    kafka: EndToEndArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Judges what was typed before anybody is asked.
fn judged(typed: &EndToEndCommand, words: &[OsString]) -> Result<(Options, EndToEndSpec), Failure> {
    let common = &typed.common;
    let options = options(common, words)?;
    if common.client.driver == DriverArg::Sim {
        return Err(Failure::usage(
            "--driver sim: its scripted cluster is for reading; loadgen serve kafka takes records",
        ));
    }
    let engine = &options.engine;
    let password = password();
    let spec = typed
        .kafka
        .spec(engine.seed, engine.timeout, password.as_deref())?;
    plan::end_to_end(&spec, common.load.requests)?;
    check_ack_timeout(&spec.write, engine.timeout)?;
    check_max_wait(&spec.read, engine.timeout)?;
    let wait = Duration::from_millis(spec.read.max_wait_ms.unsigned_abs().into());
    if wait >= engine.drain {
        return Err(Failure::usage(format!(
            "--max-wait {wait:?} is not below --drain {:?}: the last fetches wait as long as that for \
             records that never come",
            engine.drain
        )));
    }
    Ok((options, spec))
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(super) fn run(typed: &EndToEndCommand, words: &[OsString]) -> Result<u8, Failure> {
    let (options, spec) = judged(typed, words)?;
    let common = &typed.common;
    let writing = Writing::with_readers(&spec, common.load.requests, options)?;
    let (client, options) = writing.planned();
    launch_as(&*client, &options, &common.output, |signals| {
        writing.run(|handle| drive::to_end(handle, signals, common.output.quiet))
    })
}
