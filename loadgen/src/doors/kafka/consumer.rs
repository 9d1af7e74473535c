//! `loadgen kafka-consumer-perf-test …`: from its flags to a run and its report.
//!
//! The exit code is the tool's: 0 when a run took place, even one that found nothing before
//! `--timeout`; 1 when the flags are wrong or there was no run. Our verdict is in the document
//! (`--json=FILE`).

use std::ffi::OsString;
use std::time::Instant;

use jiff::tz::TimeZone;
use loadgen::render::{self, KafkaConsumerPerf};
use loadgen_core::host;
use loadgen_core::pace::Pacing;
use loadgen_core::results::{Document, exit};
use loadgen_core::run::Handle;
use loadgen_core::stop::Stop;

use super::consumer_flags::{Ask, NAME, Typed, USAGE, read};
use super::live::Live;
use super::{FAILED, Load, Work, finish, measure, options, told, version, words};
use crate::drive;
use crate::failure::Failure;
use crate::output::{self, Files};
use crate::say::say;
use crate::signals::Signals;

/// Requests in flight on a connection: the tool has one fetch of a broker under way.
const DEPTH: u32 = 1;

/// Opens the door: `typed_words` is what follows the tool's name, `typed` the whole command line.
pub(in crate::doors) fn run(typed_words: &[OsString], typed: &[OsString]) -> u8 {
    match read(&words(typed_words)) {
        Ok(Typed::Run(ask)) => told(carry_out(&ask, typed)),
        Ok(Typed::Version) => told(output::stdout(&version(NAME)).map(|()| exit::OK)),
        Err(refusal) => {
            if !refusal.line.is_empty() {
                say(&refusal.line);
            }
            if refusal.usage {
                say(USAGE.trim_end());
            }
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
    let mut asked = report(ask);
    output::stdout(&render::kafka_consumer_header(&asked))?;
    let load = Load {
        client: &ask.client,
        threads: ask.threads,
        depth: DEPTH,
        pacing: Pacing::Closed,
        stop: Stop::Exhausted,
        interval: ask.interval,
        idle: Some(ask.idle),
    };
    let options = options(&load, typed);
    let (mut broken, mut silent) = (Ok(()), false);
    let document = measure(Work::Consume(&ask.spec), options, |handle| {
        to_end(handle, &signals, ask, &asked, (&mut broken, &mut silent))
    })?;
    asked.silent = silent;
    let report = render::kafka_consumer_end(&document, &asked);
    finish(&document, files, &report, broken)
}

/// Waits, with a line each interval where that was asked for, and no longer than `--timeout` without
/// a record: that is how such a run ends, and no interruption. What became of the lines, and whether
/// it was silence that ended it, goes to `outcome`.
fn to_end(
    handle: Handle,
    signals: &Signals,
    ask: &Ask,
    asked: &KafkaConsumerPerf,
    outcome: (&mut Result<(), Failure>, &mut bool),
) -> Document {
    let (broken, was_silent) = outcome;
    let mut live = Live::new(ask.interval, Some(ask.idle));
    drive::watched(handle, signals, true, |handle| {
        let begin_unix_ns = handle.snapshot().begin_unix_ns;
        let rows = handle.intervals();
        let is_silent = live.look(&rows, Instant::now(), |windows, window| {
            let begun = begin_unix_ns.filter(|_| ask.detailed);
            let line = begun.map(|begin| windows.consumer_line(window, begin, asked));
            if let (Some(line), Ok(())) = (line, &broken) {
                *broken = output::stdout(&line);
            }
        });
        // A run nobody can read goes on no longer.
        if is_silent && broken.is_ok() && !signals.asked() && !*was_silent {
            *was_silent = true;
            handle.end();
        }
        broken.is_err()
    })
}

fn report(ask: &Ask) -> KafkaConsumerPerf {
    KafkaConsumerPerf {
        words: ask.words,
        detailed: ask.detailed,
        hide_header: ask.hide_header,
        metrics: ask.metrics,
        date: ask.date.clone(),
        zone: TimeZone::system(),
        records: ask.spec.records.unwrap_or(0),
        idle: ask.idle,
        silent: false,
        client_id: ask.spec.cluster.client_id.clone(),
    }
}
