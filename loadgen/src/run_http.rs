//! `loadgen http`: from flags to a run.
//!
//! What HTTP means is loadgen-http's business, what a run is core's; here they meet.

use std::ffi::OsString;
use std::sync::Arc;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::engine::{Client, Native, Simulated};
use loadgen_http::args::HttpArgs;
use loadgen_http::reference::HyperClient;
use loadgen_http::{HttpPeer, HttpPlan, HttpScenario};

use crate::command;
use crate::failure::Failure;
use crate::launch::launch;

/// The clients there are.
const CLIENTS: [&str; 2] = ["native", "hyper"];

/// What the scripted target of `--driver sim` sends.
const SIM_BODY_BYTES: usize = 1024;
/// And after how long.
const SIM_DELAY_NS: u64 = 1_000_000;
/// How long it takes to accept.
const SIM_CONNECT_NS: u64 = 100_000;

/// What can be typed behind `loadgen http`.
#[derive(Debug, clap::Args)]
pub(crate) struct HttpCommand {
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(crate) fn run(typed: &HttpCommand, words: &[OsString]) -> Result<u8, Failure> {
    let common = &typed.common;
    let mut options = common.options(&command::recorded(words))?;
    options.engine.depth = depth(common.load.depth, typed.http.pipeline)?;
    let name = common.client_of(&CLIENTS)?;
    let scenario = HttpScenario::new(HttpPlan::new(typed.http.spec()?)?);
    let client = client(name, common.client.driver, scenario)?;
    launch(client, options, &common.output)
}

fn client(
    name: &str,
    driver: DriverArg,
    scenario: HttpScenario,
) -> Result<Arc<dyn Client>, Failure> {
    match (name, driver) {
        ("hyper", DriverArg::Epoll) => match HyperClient::new(scenario) {
            Ok(client) => Ok(Arc::new(client)),
            Err(refused) => Err(Failure::usage(refused)),
        },
        ("hyper", DriverArg::Sim) => Err(Failure::usage(
            "--client hyper brings its own sockets; --driver sim is for --client native",
        )),
        (_, DriverArg::Epoll) => Ok(Arc::new(Native(Arc::new(scenario)))),
        (_, DriverArg::Sim) => Ok(Arc::new(Simulated(Arc::new(scenario), scripted))),
    }
}

fn scripted() -> HttpPeer {
    let mut peer = HttpPeer::new(SIM_BODY_BYTES, SIM_DELAY_NS);
    peer.connect_ns = SIM_CONNECT_NS;
    peer
}

/// `--pipeline` is another name for `--depth`; 1 is what is there when neither was typed.
fn depth(depth: u32, pipeline: Option<u32>) -> Result<u32, Failure> {
    match pipeline {
        None => Ok(depth),
        Some(0) => Err(Failure::usage("--pipeline 0 is below the limit of 1")),
        Some(other) if depth != 1 && depth != other => Err(Failure::usage(format!(
            "--pipeline {other} and --depth {depth} are two names for one thing; give one"
        ))),
        Some(other) => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_for_one_depth() {
        assert_eq!(depth(4, None), Ok(4));
        assert_eq!(depth(1, Some(16)), Ok(16));
        assert_eq!(depth(16, Some(16)), Ok(16));
        assert!(depth(1, Some(0)).is_err());
        assert!(depth(4, Some(2)).unwrap_err().text.contains("--depth 4"));
    }
}
