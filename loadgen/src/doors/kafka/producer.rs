//! `loadgen kafka-producer-perf-test …`: from its flags to a run and its report.
//!
//! The exit code is the tool's: 0 when a run took place, even one in which every record failed; 1
//! when the flags are wrong or there was no run. Our verdict is in the document (`--json=FILE`).

use std::ffi::OsString;
use std::time::Instant;

use loadgen::render::{self, KafkaProducerPerf};
use loadgen_core::host;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Document, exit};
use loadgen_core::run::Handle;
use loadgen_core::stop::Stop;

use super::live::Live;
use super::producer_flags::{Ask, NAME, Typed, USAGE, read};
use super::{FAILED, Load, Work, finish, measure, options, told, version, words};
use crate::drive;
use crate::failure::Failure;
use crate::output::{self, Files};
use crate::say::say;
use crate::signals::Signals;

/// Opens the door: `typed_words` is what follows the tool's name, `typed` the whole command line.
pub(in crate::doors) fn run(typed_words: &[OsString], typed: &[OsString]) -> u8 {
    match read(&words(typed_words)) {
        Ok(Typed::Run(ask)) => told(carry_out(&ask, typed)),
        Ok(Typed::Version) => told(output::stdout(&version(NAME)).map(|()| exit::OK)),
        // As the tool has it: without a word it exits with 0, with -h it does not.
        Ok(Typed::Help { bare }) => {
            let code = if bare { exit::OK } else { FAILED };
            told(output::stdout(USAGE).map(|()| code))
        }
        Err(line) => {
            say(USAGE.split("\n\n").next().unwrap_or_default());
            say(format!("{NAME}: error: {line}"));
            FAILED
        }
    }
}

fn carry_out(ask: &Ask, typed: &[OsString]) -> Result<u8, Failure> {
    let files = Files::of(ask.json.as_deref(), None)?;
    let signals = drive::signals()?;
    host::raise_open_files();
    for note in &ask.notes {
        say(note);
    }
    let asked = KafkaProducerPerf {
        value_bytes: ask.spec.records.value_bytes,
        metrics: ask.metrics,
        client_id: ask.spec.cluster.client_id.clone(),
        topic: ask.spec.topic.clone(),
    };
    let pacing = match ask.rate_per_s {
        None => Pacing::Closed,
        Some(rate_per_s) => Pacing::Open {
            rate_per_s,
            arrival: Arrival::Fixed,
        },
    };
    let load = Load {
        client: &ask.client,
        threads: ask.threads,
        depth: ask.depth,
        pacing,
        stop: Stop::Exhausted,
        interval: ask.interval,
        idle: None,
    };
    let options = options(&load, typed);
    let mut broken = Ok(());
    let work = Work::Produce(&ask.spec, ask.records);
    let document = measure(work, options, |handle| {
        to_end(handle, &signals, ask, &asked, &mut broken)
    })?;
    let report = render::kafka_producer_end(&document, &asked);
    finish(&document, files, &report, broken)
}

/// Waits, with a line each interval.
fn to_end(
    handle: Handle,
    signals: &Signals,
    ask: &Ask,
    asked: &KafkaProducerPerf,
    broken: &mut Result<(), Failure>,
) -> Document {
    let mut live = Live::new(ask.interval, None);
    drive::watched(handle, signals, true, |handle| {
        live.look(&handle.intervals(), Instant::now(), |_, window| {
            if broken.is_ok() {
                *broken = output::stdout(&render::kafka_producer_line(window, asked));
            }
        });
        // A run nobody can read goes on no longer.
        broken.is_err()
    })
}
