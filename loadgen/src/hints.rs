//! Flags that mean something in another load generator and something else, or nothing, here: one
//! line that says ours. Those of wrk, oha, hey, ab, h2load and bombardier are in this file.
//!
//! A colliding flag is never guessed at; the hint comes beside the error. Nothing here may print.

mod kafka;
mod memcache;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A flag we do not have, and the line for it.
const UNKNOWN: &[(&str, &str)] = &[
    (
        "-q",
        "a rate (oha, hey, fortio: -q, -qps) is -R/--rate here, per second and in total; no output but the result is --quiet",
    ),
    ("--qps", "a rate is -R/--rate here, per second and in total"),
    (
        "--rps",
        "a rate (h2load: for each client) is -R/--rate here, per second and in total",
    ),
    ("-z", "the duration (oha, hey: -z) is -d/--duration here"),
    (
        "-D",
        "the duration (h2load: -D) is -d/--duration here; a body from a file (hey, oha: -D) is --body @FILE",
    ),
    (
        "-r",
        "a rate (bombardier: -r) is -R/--rate here; requests for each connection (h1load: -r) is --requests-per-conn; redirects (oha: -r) are never followed",
    ),
    (
        "-k",
        "https is not spoken yet, so there is no certificate to ignore (oha, bombardier: -k); connections are kept alive (ab: -k) unless --requests-per-conn 1 says otherwise",
    ),
    (
        "--insecure",
        "https is not spoken yet, so there is no certificate to ignore",
    ),
    (
        "-s",
        "Lua scripts (wrk: -s) are not run: see --method, --body, --header and several URLs; a timeout (ab: -s) is --timeout",
    ),
    (
        "--script",
        "Lua scripts are not run: see --method, --body, --header and several URLs",
    ),
    ("-C", "a cookie (ab: -C) is -H 'Cookie: NAME=VALUE' here"),
    (
        "-T",
        "a timeout (wrk, h2load: -T) is --timeout here; a content type (oha, hey, ab: -T) is -H 'Content-Type: TYPE'",
    ),
    (
        "-A",
        "an Accept header (oha, hey: -A) is -H 'Accept: TYPE' here",
    ),
    (
        "-a",
        "basic authentication (oha, hey: -a) is -H 'Authorization: Basic BASE64' here; a new connection for each request (bombardier: -a) is --requests-per-conn 1",
    ),
    (
        "-o",
        "the document goes to a file with --json=FILE; another report with --format (oha, bombardier: -o)",
    ),
    ("--output", "the document goes to a file with --json=FILE"),
    (
        "-f",
        "a body from a file (bombardier: -f) is --body @FILE here",
    ),
    (
        "-w",
        "load before the measured window is --warmup here; a timeout (h1load: -w) is --timeout",
    ),
    (
        "--warm-up-time",
        "load before the measured window is --warmup here",
    ),
    (
        "-l",
        "percentiles (bombardier: -l) are in every report; choose them with --percentiles",
    ),
    (
        "-L",
        "percentiles (wrk, wrk2: -L) are in every report; choose them with --percentiles",
    ),
    (
        "--latency",
        "percentiles (wrk, wrk2) are in every report; choose them with --percentiles",
    ),
    (
        "-U",
        "response time and service time (wrk2: corrected and -U) are both in every document",
    ),
    (
        "-B",
        "every reply is timed by itself here (wrk2: -B times batches)",
    ),
    (
        "--latency-correction",
        "an open loop (--rate) always counts from the intended time (oha: --latency-correction)",
    ),
    (
        "--no-tui",
        "the progress line is for terminals only; --quiet switches it off (oha: --no-tui)",
    ),
    ("-i", "HEAD requests (ab: -i) are --method HEAD here"),
    (
        "-x",
        "proxies (hey, ab, oha: -x) are not supported; name the proxy as the target",
    ),
    ("-V", "the version is --version"),
    ("-v", "the version (wrk: -v) is --version here"),
    ("--http2", "only HTTP/1.1 is spoken"),
    ("--http3", "only HTTP/1.1 is spoken"),
    ("-N", "a timeout (h2load: -N) is --timeout here"),
    (
        "--laddr",
        "local addresses (vegeta: -laddr) are --bind-ip here",
    ),
    ("-j", "the document on stdout is --json here"),
];

/// A flag of ours whose value looks like another tool's, the sign of it, and the line.
type Foreign = (&'static str, fn(&str) -> bool, &'static str);

const VALUES: &[Foreign] = &[
    (
        "--workers",
        is_time,
        "-t is the number of worker threads here; a timeout (oha, hey, bombardier: -t) is --timeout",
    ),
    (
        "--duration",
        is_body,
        "-d is the duration here; a body (oha, hey: -d) is --body, and --body @FILE from a file (h2load: -d)",
    ),
    (
        "--rate",
        is_ramp,
        "ramps (A:B) are not there; -R takes one rate per second",
    ),
    (
        "--requests",
        is_time,
        "-n is a number of requests here; the duration is -d",
    ),
    (
        "--pipeline",
        is_path,
        "-p is --depth here (autocannon, gcannon: pipelining); a body from a file (ab: -p) is --body @FILE",
    ),
    (
        "--connections",
        is_time,
        "-c is the number of connections, in total; the duration is -d",
    ),
];

fn is_time(value: &str) -> bool {
    loadgen_core::cli::duration(value).is_ok() && !value.ends_with(|c: char| c.is_ascii_digit())
}

fn is_body(value: &str) -> bool {
    value.starts_with(['{', '[', '@', '<', '"', '/', '.']) || value.contains(['=', '&'])
}

fn is_path(value: &str) -> bool {
    value.contains(|c: char| !c.is_ascii_digit())
}

fn is_ramp(value: &str) -> bool {
    value.contains(':')
}

/// Where a line is looked for: the flags we do not have, and the values.
type Tables = (&'static [(&'static str, &'static str)], &'static [Foreign]);

/// The tables of a subcommand.
fn tables(subcommand: &str) -> Tables {
    match subcommand {
        "kafka" => (kafka::UNKNOWN, kafka::VALUES),
        "memcache" => (memcache::UNKNOWN, memcache::VALUES),
        _ => (UNKNOWN, VALUES),
    }
}

/// The line for a command line of `subcommand` that clap refused; `None` when there is nothing to
/// say.
pub(crate) fn of(error: &clap::Error, subcommand: &str) -> Option<&'static str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    let tables = tables(subcommand);
    match error.kind() {
        ErrorKind::UnknownArgument => of_unknown(tables, flag),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            of_value(tables, flag, text(ContextKind::InvalidValue)?)
        }
        _ => None,
    }
}

/// Whether a line is known for this flag of a subcommand.
#[cfg(test)]
pub(crate) fn is_foreign(subcommand: &str, flag: &str) -> bool {
    of_unknown(tables(subcommand), flag).is_some()
}

fn of_unknown((unknown, _): Tables, flag: &str) -> Option<&'static str> {
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    let hit = unknown.iter().find(|(known, _)| *known == name);
    hit.map(|(_, line)| *line)
}

/// `flag` as clap writes it: `--workers <N>`.
fn of_value((_, values): Tables, flag: &str, value: &str) -> Option<&'static str> {
    let name = flag.split_whitespace().next()?;
    let hit = values
        .iter()
        .find(|(known, looks, _)| *known == name && looks(value));
    hit.map(|(.., line)| *line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_by_its_flag_and_no_flag_is_there_twice() {
        let http = tables("http");
        for (flag, line) in UNKNOWN {
            assert_eq!(of_unknown(http, flag), Some(*line), "{flag}");
        }
        assert_eq!(of_unknown(http, "--rps=5"), of_unknown(http, "--rps"));
        assert_eq!(of_unknown(http, "--frobnicate"), None);
    }

    #[test]
    fn values_of_other_tools_are_recognised() {
        let http = tables("http");
        let says = |flag, value| of_value(http, flag, value).unwrap_or_default();
        assert!(says("--workers <N>", "2s").contains("--timeout"));
        assert!(says("--duration <TIME>", "{\"a\":1}").contains("--body"));
        assert!(says("--duration <TIME>", "@file").contains("--body"));
        assert!(says("--rate <PER_SECOND>", "1k:2k").contains("ramps"));
        assert!(says("--requests <COUNT>", "30s").contains("-d"));
        assert_eq!(of_value(http, "--workers <N>", "x"), None);
        assert_eq!(of_value(http, "--duration <TIME>", "5x"), None);
    }
}
