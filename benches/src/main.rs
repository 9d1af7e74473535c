//! The command that checks the claims: floors, side-by-side runs, instruction counts.

mod build;
mod floors;
mod instructions;
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
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Versus(args) => versus::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Floor(args) => floors::run(&args).map(|line| println!("{line}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("loadgen-benches: {why}");
            ExitCode::FAILURE
        }
    }
}
