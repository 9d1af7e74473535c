//! `loadgen kafka consume`.

use std::ffi::OsString;
use std::time::Duration;

use loadgen_core::cli::{CommonArgs, DriverArg, LoadArgs};
use loadgen_core::run::Options;
use loadgen_core::stop::Stop;
use loadgen_kafka::args::ConsumeArgs;
use loadgen_kafka::plan;
use loadgen_kafka::spec::{ConsumeSpec, Until};

use super::flow::Reading;
use super::{check_max_wait, options, password};
use crate::drive;
use crate::failure::Failure;
use crate::launch::launch_as;

/// What can be typed behind `loadgen kafka consume`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("requests", |arg| arg
        .visible_alias("records")
        .help("Stop after so many records, in total; the reply that reaches it is counted whole \
               [default: none, see --until]")),
    mut_arg("duration", |arg| arg
        .help("Length of the measured window [default: 10s with --until follow and --replay; until \
               the end is reached otherwise]")),
    mut_arg("rate", |arg| arg
        .help("Open loop at so many fetches per second, in total [default: closed loop, as fast as \
               replies come]")),
    mut_arg("connections", |arg| arg
        .help("Connections, in total [default: one for each broker and worker]")),
)]
pub(crate) struct ConsumeCommand {
    #[command(flatten)]
    kafka: ConsumeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Judges what was typed before anybody is asked.
fn judged(typed: &ConsumeCommand, words: &[OsString]) -> Result<(Options, ConsumeSpec), Failure> {
    let common = &typed.common;
    let mut options = options(common, words)?;
    let load = &common.load;
    let spec = typed.kafka.spec(load.requests, password().as_deref())?;
    plan::consume(&spec)?;
    options.engine.stop = stop(load, &spec);
    check_times(&options, &spec)?;
    Ok((options, spec))
}

/// `-n` counts records here, and the end of a log is an end of its own: in both cases the workloads
/// say when it is reached.
fn stop(load: &LoadArgs, spec: &ConsumeSpec) -> Stop {
    match load.duration {
        Some(duration) => Stop::After(duration),
        None if spec.until == Until::End || spec.records.is_some() => Stop::Exhausted,
        None => Stop::After(DURATION_DEFAULT),
    }
}

/// When nothing else says so.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

fn check_times(options: &Options, spec: &ConsumeSpec) -> Result<(), Failure> {
    let engine = &options.engine;
    check_max_wait(spec, engine.timeout)?;
    if engine.stop == Stop::Exhausted && !engine.warmup.is_zero() {
        return Err(Failure::usage(format!(
            "--warmup {:?} needs -d: without it every record counts",
            engine.warmup
        )));
    }
    Ok(())
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(super) fn run(typed: &ConsumeCommand, words: &[OsString]) -> Result<u8, Failure> {
    let (options, spec) = judged(typed, words)?;
    let output = &typed.common.output;
    let reading = match typed.common.client.driver {
        DriverArg::Epoll => Reading::prepare(&spec, options)?,
        DriverArg::Sim => Reading::simulated(&spec, options)?,
    };
    let (client, options) = reading.planned();
    launch_as(&*client, &options, output, |signals| {
        reading.run(|handle| drive::to_end(handle, signals, output.quiet))
    })
}
