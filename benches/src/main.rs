//! The command that checks the claims: floors, side-by-side runs, instruction counts.

mod build;
mod floors;
mod instructions;
#[cfg(feature = "librdkafka")]
mod librdkafka;
mod stop;
mod sys;
mod versus;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "loadgen-benches", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run ours and the peers in turn against the same target
    Versus(versus::VersusArgs),
    /// Count instructions per request on the simulated driver and compare with the baseline
    Instructions(instructions::InstructionsArgs),
    /// Run one minimal loop; prints one line of JSON
    Floor(floors::FloorArgs),
    /// Run one loop on librdkafka; prints one line of JSON
    #[cfg(feature = "librdkafka")]
    Librdkafka(librdkafka::LibrdkafkaArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Versus(args) => stop::listen().and_then(|()| versus::run(&args)),
        Command::Instructions(args) => instructions::run(&args),
        Command::Floor(args) => floors::run(&args).map(|line| println!("{line}")),
        #[cfg(feature = "librdkafka")]
        Command::Librdkafka(args) => librdkafka::run(&args).map(|line| println!("{line}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("loadgen-benches: {why}");
            ExitCode::FAILURE
        }
    }
}
