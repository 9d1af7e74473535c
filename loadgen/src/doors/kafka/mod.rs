//! kafka-consumer-perf-test and kafka-producer-perf-test: their flags and reports over our engine.
//!
//! What differs, and is meant to, is in docs/migrating-from-kafka-perf-test.md.

mod argparse4j;
mod client;
mod consumer;
mod consumer_flags;
mod joptsimple;
mod live;
mod producer;
mod producer_flags;
mod properties;

use std::ffi::OsString;
use std::time::Duration;

use loadgen_core::driver::SocketOptions;
use loadgen_core::engine::EngineOptions;
use loadgen_core::pace::Pacing;
use loadgen_core::results::{Caption, Document, exit};
use loadgen_core::run::{Handle, Options};
use loadgen_core::stop::Stop;
use loadgen_kafka::spec::{ConsumeSpec, ProduceSpec};

use self::client::Client;
use crate::command;
use crate::failure::Failure;
use crate::launch::findings;
use crate::output::{self, Files};
use crate::run_kafka::flow::{self, Writes};
use crate::say::say;

pub(super) use consumer::run as consumer_perf;
pub(super) use producer::run as producer_perf;

/// The names the doors are called by; the scripts of the distribution end in `.sh`.
pub(super) const CONSUMER: [&str; 2] = [consumer_flags::NAME, "kafka-consumer-perf-test.sh"];
/// The same of the producer.
pub(super) const PRODUCER: [&str; 2] = [producer_flags::NAME, "kafka-producer-perf-test.sh"];

/// What the tools exit with when there was no run.
const FAILED: u8 = 1;

/// What a door does.
#[derive(Clone, Copy, Debug)]
enum Work<'a> {
    /// Reads.
    Consume(&'a ConsumeSpec),
    /// Writes so many records.
    Produce(&'a ProduceSpec, u64),
}

/// The load of a door, in the engine's words. `connections` is set when the brokers are known: one
/// for each of them and each worker.
struct Load<'a> {
    client: &'a Client,
    threads: u32,
    depth: u32,
    pacing: Pacing,
    stop: Stop,
    interval: Duration,
    /// The longest time without a record.
    idle: Option<Duration>,
}

fn options(load: &Load<'_>, typed: &[OsString]) -> Options {
    let sockets = SocketOptions {
        receive_buffer_bytes: load.client.receive_buffer_bytes,
        send_buffer_bytes: load.client.send_buffer_bytes,
        ..SocketOptions::default()
    };
    Options {
        engine: EngineOptions {
            depth: load.depth,
            pacing: load.pacing,
            stop: load.stop,
            timeout: load.client.timeout,
            drain: load.client.timeout,
            interval: live::step(load.interval, load.idle),
            sockets,
            ..EngineOptions::default()
        },
        workers: Some(load.threads as usize),
        caption: Caption {
            command: command::recorded(typed),
            ..Caption::default()
        },
        ..Options::default()
    }
}

/// Asks the cluster, starts a run and gives it to `to_end`, which waits for it.
///
/// # Errors
/// Why there was no run.
fn measure(
    work: Work<'_>,
    options: Options,
    to_end: impl FnOnce(Handle) -> Document,
) -> Result<Document, Failure> {
    let mut options = options;
    // Known when the brokers are.
    options.engine.connections = 0;
    match work {
        Work::Consume(spec) => flow::consume(spec, options, to_end),
        Work::Produce(spec, records) => {
            let writes = Writes {
                spec,
                records: Some(records),
                create: None,
            };
            flow::produce(writes, options, to_end)
        }
    }
}

/// Writes the document and the end of the report, and says what is to be doubted; the exit code.
/// `broken`: what became of the lines before.
///
/// # Errors
/// What could not be written.
fn finish(
    document: &Document,
    files: Files,
    report: &str,
    broken: Result<(), Failure>,
) -> Result<u8, Failure> {
    let written = files.write(document);
    output::stdout(report)?;
    broken?;
    written?;
    for line in findings(document) {
        say(line);
    }
    Ok(match document.verdict.exit_code {
        exit::BUG => exit::BUG,
        _ => exit::OK,
    })
}

/// The exit code of a door. Output and bugs keep their codes: no script expects them, and they are
/// no "1".
fn told(done: Result<u8, Failure>) -> u8 {
    done.unwrap_or_else(|failure| {
        say(failure.text);
        match failure.code {
            exit::OUTPUT | exit::BUG => failure.code,
            _ => FAILED,
        }
    })
}

fn version(name: &str) -> String {
    format!("{name} by loadgen {}\n", env!("CARGO_PKG_VERSION"))
}

fn words(words: &[OsString]) -> Vec<String> {
    let owned = words.iter().map(|word| word.to_string_lossy().into_owned());
    owned.collect()
}
