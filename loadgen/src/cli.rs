//! The subcommands: which there are, and where each goes.
//!
//! Doors are looked for first, since their grammar is not ours. Nothing here may know a flag of a
//! subcommand.

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use loadgen_core::results::exit;
use loadgen_http::target::ServeHttpArgs;
use loadgen_kafka::target::ServeKafkaArgs;
use loadgen_memcache::target::ServeMemcacheArgs;

use crate::failure::Failure;
use crate::quickstart::QuickstartArgs;
use crate::run_http::HttpCommand;
use crate::run_kafka::KafkaCommand;
use crate::run_memcache::MemcacheCommand;
use crate::say::say;
use crate::{doors, hints, quickstart, run_http, run_kafka, run_memcache, serve};

/// Load generator for networks under real applications: honest, fast, convenient.
///
/// Exit codes: 0 fine, 1 a --require said no, 2 usage, 3 target unreachable or every reply bad,
/// 4 the environment refuses what was asked for, 5 output could not be written, 6 a finding
/// invalidates the numbers, 70 a bug of ours, 130 interrupted (the partial result is written).
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load on HTTP/1.1 servers
    Http(Box<HttpCommand>),
    /// Load on memcached servers
    Memcache(Box<MemcacheCommand>),
    /// Load on Kafka clusters: reading, writing, filling a topic
    #[command(subcommand)]
    Kafka(KafkaCommand),
    /// Measure embedded targets on this machine, in under 15 seconds
    Quickstart(QuickstartArgs),
    /// Embedded targets, whose behaviour is known exactly
    #[command(subcommand)]
    Serve(Serve),
    /// wrk's flags and report, our engine
    #[command(disable_help_flag = true)]
    Wrk(Door),
    /// wrk2's flags and report, our engine
    #[command(disable_help_flag = true)]
    Wrk2(Door),
    /// memaslap's flags and report, our engine
    #[command(disable_help_flag = true)]
    Memaslap(Door),
}

#[derive(Debug, Subcommand)]
enum Serve {
    /// HTTP/1.1
    Http(ServeHttpArgs),
    /// memcached, the binary protocol
    Memcache(ServeMemcacheArgs),
    /// Kafka: a synthetic log to read, a sink to write to
    Kafka(ServeKafkaArgs),
}

/// Only for the list of subcommands: a door reads its words itself, before clap sees them.
#[derive(Debug, clap::Args)]
struct Door {
    /// The flags of the old tool
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Does what was typed; the exit code.
pub(crate) fn run(words: &[OsString]) -> u8 {
    if let Some((door, rest)) = doors::of(words) {
        return door.open(rest, words);
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, words),
    };
    match execute(cli.command, words) {
        Ok(code) => code,
        Err(failure) => {
            say(format_args!("loadgen: {}", failure.text));
            failure.code
        }
    }
}

fn execute(command: Command, words: &[OsString]) -> Result<u8, Failure> {
    match command {
        Command::Http(http) => run_http::run(&http, words),
        Command::Memcache(memcache) => run_memcache::run(&memcache, words),
        Command::Kafka(kafka) => run_kafka::run(&kafka, words),
        Command::Quickstart(args) => quickstart::run(&args, words),
        Command::Serve(Serve::Http(args)) => serve::http(&args),
        Command::Serve(Serve::Memcache(args)) => serve::memcache(&args),
        Command::Serve(Serve::Kafka(args)) => serve::kafka(&args),
        // Found by `doors::of` already; with the same words, there is nothing else to do.
        Command::Wrk(door) => Ok(doors::Door::Wrk.open(&door.words, words)),
        Command::Wrk2(door) => Ok(doors::Door::Wrk2.open(&door.words, words)),
        Command::Memaslap(door) => Ok(doors::Door::Memaslap.open(&door.words, words)),
    }
}

/// Prints what clap says: help and version on stdout, a refusal on stderr with a hint if we know
/// what was meant.
fn refuse(error: &clap::Error, words: &[OsString]) -> u8 {
    if error.print().is_err() && !error.use_stderr() {
        return exit::OUTPUT;
    }
    if let Some(hint) = hints::of(error, subcommand(words)) {
        say(format_args!("\n  hint: {hint}"));
    }
    if error.use_stderr() {
        exit::USAGE
    } else {
        exit::OK
    }
}

fn subcommand(words: &[OsString]) -> &str {
    words
        .get(1)
        .and_then(|word| word.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_hint_is_only_for_flags_we_do_not_have() {
        let mut cli = Cli::command();
        for line in [
            "http",
            "memcache",
            "kafka consume",
            "kafka produce",
            "kafka seed",
        ] {
            let mut command = &mut cli;
            for word in line.split(' ') {
                command = command.find_subcommand_mut(word).unwrap();
            }
            let subcommand = line.split(' ').next().unwrap();
            for arg in command.get_arguments() {
                let names = [
                    arg.get_short().map(|c| format!("-{c}")),
                    arg.get_long().map(|name| format!("--{name}")),
                ];
                for name in names.into_iter().flatten() {
                    let foreign = hints::is_foreign(subcommand, &name);
                    assert!(!foreign, "{name} of {subcommand} is ours and has a hint");
                }
            }
        }
    }

    #[test]
    fn a_foreign_flag_gets_its_hint_through_clap() {
        for (line, part) in [
            ("loadgen http -q 100 http://h/", "-R"),
            ("loadgen http -z30s http://h/", "-d"),
            ("loadgen http --rps=5 http://h/", "--rate"),
            ("loadgen http -t 2s http://h/", "--timeout"),
            ("loadgen http -d {} http://h/", "--body"),
            ("loadgen http -s x.lua http://h/", "Lua"),
            ("loadgen memcache -s h", "HOST:PORT"),
            ("loadgen memcache --test-time=5 h", "-d"),
            ("loadgen memcache -t 60s h", "-d"),
            ("loadgen memcache -x 5 h", "-n"),
            ("loadgen kafka consume -b h:9092", "HOST:PORT"),
            ("loadgen kafka consume -t orders h", "--topic"),
            (
                "loadgen kafka consume --topic t --from beginning h",
                "earliest",
            ),
            ("loadgen kafka consume --topic t --messages 5 h", "-n"),
            ("loadgen kafka produce --topic t --throughput -1 h", "-R"),
            ("loadgen kafka produce --topic t --acks 2 h", "all"),
            (
                "loadgen kafka produce --topic t --producer-props acks=1 h",
                "--acks",
            ),
        ] {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let error = Cli::try_parse_from(&words).unwrap_err();
            let hint = hints::of(&error, subcommand(&words)).unwrap_or_default();
            assert!(hint.contains(part), "{line}: {hint}");
        }
    }
}
