//! `loadgen kafka produce` and `seed`: the same work, once measured and once only done.

use std::ffi::OsString;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::run::Options;
use loadgen_kafka::args::{CreateArgs, ProduceArgs};
use loadgen_kafka::plan::{self, NewTopic};
use loadgen_kafka::spec::ProduceSpec;

use super::flow::{Writes, Writing};
use super::{check_ack_timeout, options, password};
use crate::drive;
use crate::failure::Failure;
use crate::launch::launch_as;
use crate::output::Files;

/// Requests in flight of a connection that fills a topic, at the least: it may be quick.
const SEED_DEPTH: u32 = 4;

/// What can be typed behind `loadgen kafka produce`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("requests", |arg| arg
        .visible_alias("records")
        .help("Stop after so many records, in total, and wait for all of them [default: stop by \
               time]")),
    mut_arg("rate", |arg| arg
        .help("Open loop at so many records per second, in total, as whole batches [default: closed \
               loop, as fast as replies come]")),
    mut_arg("connections", |arg| arg
        .help("Connections, in total [default: one for each broker and worker]")),
)]
pub(crate) struct ProduceCommand {
    #[command(flatten)]
    kafka: ProduceArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// What can be typed behind `loadgen kafka seed`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("requests", |arg| arg
        .visible_alias("records")
        .required(true)
        .help("Records, in total")),
    mut_arg("duration", |arg| arg.hide(true)),
    mut_arg("rate", |arg| arg
        .help("No more than so many records per second, in total [default: as fast as it goes]")),
    mut_arg("connections", |arg| arg
        .help("Connections, in total [default: one for each broker and worker]")),
)]
pub(crate) struct SeedCommand {
    #[command(flatten)]
    kafka: ProduceArgs,
    #[command(flatten)]
    create: CreateArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// What was typed, judged before anybody is asked.
#[derive(Debug)]
struct Judged {
    options: Options,
    spec: ProduceSpec,
    records: Option<u64>,
    create: Option<NewTopic>,
}

fn judged(
    kafka: &ProduceArgs,
    common: &CommonArgs,
    create: Option<NewTopic>,
    words: &[OsString],
) -> Result<Judged, Failure> {
    let options = options(common, words)?;
    if common.client.driver == DriverArg::Sim {
        return Err(Failure::usage(
            "--driver sim: its scripted cluster is for reading; loadgen serve kafka takes records",
        ));
    }
    let engine = &options.engine;
    let spec = kafka.spec(engine.seed, engine.timeout, password().as_deref())?;
    let records = common.load.requests;
    plan::produce(&spec, records)?;
    if let Some(new) = &create {
        plan::topic(new)?;
    }
    check_ack_timeout(&spec, engine.timeout)?;
    Ok(Judged {
        options,
        spec,
        records,
        create,
    })
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(super) fn run(typed: &ProduceCommand, words: &[OsString]) -> Result<u8, Failure> {
    let judged = judged(&typed.kafka, &typed.common, None, words)?;
    launch(judged, &typed.common)
}

/// Fills a topic; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(super) fn seed(typed: &SeedCommand, words: &[OsString]) -> Result<u8, Failure> {
    let new = typed.create.topic(&typed.kafka.cluster.topic);
    let mut judged = judged(&typed.kafka, &typed.common, new, words)?;
    let engine = &mut judged.options.engine;
    engine.depth = engine.depth.max(SEED_DEPTH);
    launch(judged, &typed.common)
}

fn launch(judged: Judged, common: &CommonArgs) -> Result<u8, Failure> {
    let output = &common.output;
    if let Some(new) = judged.create.as_ref().filter(|_| output.dry_run) {
        return Err(Failure::usage(format!(
            "--dry-run: topic {} is not there before --create made it, and without it there is no plan",
            new.name
        )));
    }
    // A topic is not made for a result that nobody can write.
    drop(Files::open(output)?);
    let writes = Writes {
        spec: &judged.spec,
        records: judged.records,
        create: judged.create.as_ref(),
    };
    let writing = Writing::prepare(writes, judged.options)?;
    let (client, options) = writing.planned();
    launch_as(&*client, &options, output, |signals| {
        writing.run(|handle| drive::to_end(handle, signals, output.quiet))
    })
}
