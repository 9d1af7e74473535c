//! `loadgen memaslap …`: its flags and report over our engine.
//!
//! What differs, and is meant to, is in docs/migrating-from-memaslap.md. The exit code is
//! memaslap's: 0 when a run took place, whatever its replies were, 1 when nothing could be reached
//! or the flags are wrong. Our verdict is in the document (`--json=FILE`).

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadgen::render::{self, Memaslap};
use loadgen_core::engine::EngineOptions;
use loadgen_core::host;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Caption, Document, exit};
use loadgen_core::run::Options;
use loadgen_core::stop::Stop;
use loadgen_core::workload::Random;
use loadgen_memcache::memaslap::Ask;
use loadgen_memcache::{MemcachePlan, MemcacheScenario};

use super::memaslap_flags::{NAME, Typed, USAGE, read};
use crate::failure::Failure;
use crate::launch::findings;
use crate::output::{self, Files};
use crate::say::say;
use crate::{command, drive, run_memcache};

/// What memaslap exits with when it did not run.
const FAILED: u8 = 1;

/// Letters of the prefix that keeps the keys of two runs apart, and what a key of a window needs
/// besides.
const PREFIX_LETTERS: u32 = 4;
const NUMBER_BYTES: u32 = 16;

/// An interval may not be so short, nor are there so many of them.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVALS_MAX: u32 = 100_000;

const ASCII: &str = "memaslap: without -B the old tool speaks ASCII; here the same operations go \
                     out in the binary protocol, so written_bytes, read_bytes and Net_rate differ";

/// Opens the door: `words` is what follows the tool's name, `typed` the whole command line.
pub(super) fn run(words: &[OsString], typed: &[OsString]) -> u8 {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let done = match read(&words, std::env::var(run_memcache::SERVERS).ok()) {
        Ok(Typed::Run { ask, json }) => measure(&ask, json.as_deref(), typed),
        Ok(Typed::Help) => output::stdout(USAGE).map(|()| exit::OK),
        Ok(Typed::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            output::stdout(&format!("{NAME} by loadgen {version}\n")).map(|()| exit::OK)
        }
        Err(why) => {
            say(why);
            return FAILED;
        }
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            say(failure.text);
            // Output and bugs keep their codes: no script expects them, and they are no "1".
            match failure.code {
                exit::OUTPUT | exit::BUG => failure.code,
                _ => FAILED,
            }
        }
    }
}

fn measure(ask: &Ask, json: Option<&Path>, typed: &[OsString]) -> Result<u8, Failure> {
    let plan = MemcachePlan::new(ask.spec(&prefix(ask)))?;
    let scenario = MemcacheScenario::new(plan);
    let files = Files::of(json, None)?;
    let signals = drive::signals()?;
    host::raise_open_files();
    let asked = report(ask);
    output::stdout(&render::memaslap_plan(&asked))?;
    if !ask.binary {
        say(ASCII);
    }
    let document = run_memcache::measure(&scenario, &options(ask, typed), &signals, true)?;
    let written = files.write(&document);
    let measured = document.summary.requests.completed;
    if measured > 0 {
        output::stdout(&render::memaslap(&document, &asked))?;
    }
    written?;
    for line in lines(ask, &document) {
        say(line);
    }
    Ok(match document.verdict.exit_code {
        exit::BUG => exit::BUG,
        // Ended by hand before there was anything to report, or a prefill that did not get through.
        exit::INTERRUPTED if measured == 0 => exit::INTERRUPTED,
        _ if measured == 0 => FAILED,
        _ => exit::OK,
    })
}

/// Why nothing came, what was wrong with a value, and the findings.
fn lines(ask: &Ask, document: &Document) -> Vec<String> {
    let mut lines = Vec::new();
    if document.totals.completed == 0 {
        let samples = document.errors.iter().map(|row| row.sample.clone());
        lines.extend(samples.take(1));
    }
    if ask.verbose
        && let Some(sample) = document.protocol_details["mismatch_sample"].as_str()
    {
        lines.push(sample.to_owned());
    }
    lines.extend(findings(document));
    lines
}

/// Letters of the moment and the process, where keys are long enough for them.
fn prefix(ask: &Ask) -> String {
    let shortest = ask.config.key.iter().map(|range| range.min_bytes).min();
    if shortest < Some(NUMBER_BYTES + PREFIX_LETTERS) {
        return String::new();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let moment = since.unwrap_or_default().as_nanos() as u64;
    let mut random = Random::new(moment ^ u64::from(std::process::id()) << 32);
    let letter = |_| char::from(b'a' + random.below(26) as u8);
    (0..PREFIX_LETTERS).map(letter).collect()
}

fn report(ask: &Ask) -> Memaslap {
    Memaslap {
        servers: ask.servers.clone().unwrap_or_default(),
        threads: ask.threads,
        concurrency: ask.concurrency,
        operations: ask.operations,
        duration: ask.duration,
        window: ask.window,
        shares: [ask.config.set, ask.config.get],
        latency: ask.stat_every.is_some(),
        verify: ask.verify,
        expiry: ask.expiry.is_some(),
    }
}

fn options(ask: &Ask, typed: &[OsString]) -> Options {
    let pacing = match ask.requests_per_s() {
        None => Pacing::Closed,
        Some(rate_per_s) => Pacing::Open {
            rate_per_s,
            arrival: Arrival::Fixed,
        },
    };
    let stop = match ask.requests() {
        Some(requests) => Stop::Requests(requests),
        None => Stop::After(ask.duration),
    };
    let interval = ask.stat_every.unwrap_or(INTERVAL_MIN);
    Options {
        engine: EngineOptions {
            connections: ask.concurrency,
            pacing,
            stop,
            interval: interval.max(ask.duration / INTERVALS_MAX),
            ..EngineOptions::default()
        },
        workers: Some(ask.threads as usize),
        caption: Caption {
            command: command::recorded(typed),
            ..Caption::default()
        },
        ..Options::default()
    }
}
