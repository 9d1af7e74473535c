//! `loadgen wrk …` and `loadgen wrk2 …`: their flags and report over our engine.
//!
//! What differs, and is meant to: every connection is used (wrk drops the remainder of
//! connections ÷ threads), a timed-out request ends and counts, and wrk2's rate is a real
//! schedule. The exit code is theirs: 0 when a run took place, whatever its replies were, 1 when
//! nothing could be reached or the flags are wrong. Our verdict is in the document (`--json=FILE`).

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use loadgen::render::{self, Wrk, WrkDialect};
use loadgen_core::engine::{EngineOptions, Native};
use loadgen_core::host;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Caption, Document, exit};
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_http::args::HttpArgs;
use loadgen_http::{HttpPlan, HttpScenario, PlanError};

use super::wrk_flags::{Ask, Refusal, Tool, read};
use crate::failure::Failure;
use crate::output::{self, Files};
use crate::say::say;
use crate::{command, drive};

/// What wrk and wrk2 exit with when they did not run.
const FAILED: u8 = 1;

/// wrk's Req/Sec row is over tenths of a second.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// But a run of days must not fill the memory with them.
const INTERVALS_MAX: u32 = 100_000;

/// Opens the door: `words` is what follows the tool's name, `typed` the whole command line.
pub(crate) fn run(tool: Tool, words: &[OsString], typed: &[OsString]) -> u8 {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let ask = match read(tool, &words) {
        Ok(ask) => ask,
        Err(refusal) => return refuse(tool, &refusal),
    };
    match measure(tool, &ask, typed) {
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

fn refuse(tool: Tool, refusal: &Refusal) -> u8 {
    if let Some(line) = &refusal.line {
        say(line);
    }
    let mut text = String::new();
    if refusal.version {
        let (name, version) = (tool.name(), env!("CARGO_PKG_VERSION"));
        text.push_str(&format!("{name} by loadgen {version} [epoll]\n"));
    }
    if refusal.usage {
        text.push_str(&tool.usage());
    }
    match output::stdout(&text) {
        Ok(()) => FAILED,
        Err(failure) => failure.code,
    }
}

fn measure(tool: Tool, ask: &Ask, typed: &[OsString]) -> Result<u8, Failure> {
    let args = HttpArgs {
        urls: vec![ask.url.clone()],
        headers: ask.headers.clone(),
        ..HttpArgs::default()
    };
    let plan = args.spec().and_then(HttpPlan::new);
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return Ok(refuse(tool, &refused(&ask.url, &error))),
    };
    let files = Files::of(ask.json.as_deref(), None)?;
    let signals = drive::signals()?;
    host::raise_open_files();
    let client = Native(Arc::new(HttpScenario::new(plan)));
    let handle = start_client(Arc::new(client), options(ask, typed))?;
    // The old tools show no progress either.
    let document = drive::to_end(handle, &signals, true);
    let written = files.write(&document);
    if let Some(line) = unreachable(&document) {
        written?;
        say(line);
        return Ok(FAILED);
    }
    output::stdout(&report(tool, ask, &document))?;
    written?;
    Ok(match document.verdict.exit_code {
        exit::BUG => exit::BUG,
        _ => exit::OK,
    })
}

fn refused(url: &str, error: &PlanError) -> Refusal {
    let (line, usage) = match error {
        PlanError::Refused(why) if why.contains(url) => {
            (format!("invalid URL: {url}\n{why}"), true)
        }
        PlanError::Refused(why) => (why.clone(), true),
        PlanError::Target(why) => (format!("unable to resolve {url}\n{why}"), false),
    };
    Refusal {
        line: Some(line),
        usage,
        version: false,
    }
}

fn options(ask: &Ask, typed: &[OsString]) -> Options {
    let pacing = match ask.rate {
        None => Pacing::Closed,
        Some(rate_per_s) => Pacing::Open {
            rate_per_s,
            arrival: Arrival::Fixed,
        },
    };
    Options {
        engine: EngineOptions {
            connections: ask.connections,
            pacing,
            stop: Stop::After(ask.duration),
            timeout: ask.timeout,
            drain: ask.timeout,
            interval: INTERVAL_MIN.max(ask.duration / INTERVALS_MAX),
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

fn report(tool: Tool, ask: &Ask, document: &Document) -> String {
    let dialect = match tool {
        Tool::Wrk => WrkDialect::Wrk,
        Tool::Wrk2 => WrkDialect::Wrk2,
    };
    let asked = Wrk {
        dialect,
        latency: ask.latency,
        uncorrected: ask.uncorrected,
        url: Some(ask.url.clone()),
    };
    render::wrk(document, &asked)
}

/// The line wrk says when it gets no connection at all, before it would start.
fn unreachable(document: &Document) -> Option<String> {
    if document.connections.opened > 0 || document.totals.completed > 0 {
        return None;
    }
    let target = document.targets.first();
    let address = target.map_or("the target", |t| t.address.as_str());
    let why = document.errors.first();
    let why = why.map_or("no connection was made", |error| {
        match error.cause.as_str() {
            // As strerror(3) has it: wrk prints that, and scripts look for it.
            "refused" => "Connection refused",
            "timeout" => "Connection timed out",
            "reset" => "Connection reset by peer",
            "unreachable" => "No route to host",
            "fd_limit" => "Too many open files",
            "no_local_port" => "Cannot assign requested address",
            _ => error.sample.as_str(),
        }
    });
    Some(format!("unable to connect to {address} {why}"))
}
