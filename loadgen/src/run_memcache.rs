//! `loadgen memcache`: from flags to a run.
//!
//! What memcached means is loadgen-memcache's business, what a run is core's; here they meet: the
//! servers are asked, the keys are written, the run takes place, the servers are asked again.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::engine::{Native, Simulated};
use loadgen_core::host;
use loadgen_core::pace::Pacing;
use loadgen_core::results::{Document, RunStatus, exit};
use loadgen_core::run::{Options, start_client};
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Endpoint, Scenario as _};
use loadgen_memcache::args::MemcacheArgs;
use loadgen_memcache::local;
use loadgen_memcache::reconcile::{memory_bytes, prefill_refused, reconcile, too_little_memory};
use loadgen_memcache::witness::Asking;
use loadgen_memcache::{MemcachePeer, MemcachePlan, MemcacheScenario};

use crate::failure::Failure;
use crate::launch::{launch, launch_as};
use crate::say::say;
use crate::signals::Signals;
use crate::{command, drive, prelude};

/// The clients there are.
const CLIENTS: [&str; 1] = ["native"];

/// How long the servers may take to say their numbers, all together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests in flight of a prefill, at the least: it is not measured, so it may be quick.
const PREFILL_DEPTH: u32 = 16;

/// Servers, when none were typed.
pub(crate) const SERVERS: &str = "MEMCACHED_SERVERS";

/// After how long the scripted target of `--driver sim` answers.
const SIM_DELAY_NS: u64 = 1_000_000;

/// What can be typed behind `loadgen memcache`.
#[derive(Debug, clap::Args)]
pub(crate) struct MemcacheCommand {
    #[command(flatten)]
    memcache: MemcacheArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs it; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(crate) fn run(typed: &MemcacheCommand, words: &[OsString]) -> Result<u8, Failure> {
    let common = &typed.common;
    let options = common.options(&command::recorded(words))?;
    common.client_of(&CLIENTS)?;
    let environment = std::env::var(SERVERS).ok();
    let spec = (typed.memcache).spec(environment.as_deref(), options.engine.seed)?;
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec)?);
    let output = &common.output;
    if common.client.driver == DriverArg::Sim {
        let peer = || {
            let mut peer = MemcachePeer::default();
            peer.delay_ns = SIM_DELAY_NS;
            peer
        };
        return launch(
            Arc::new(Simulated(Arc::new(scenario), peer)),
            options,
            output,
        );
    }
    let client = Native(Arc::new(scenario.clone()));
    launch_as(&client, &options, output, |signals| {
        measure(&scenario, &options, signals, output.quiet)
    })
}

/// The whole of a run, with what comes before and after.
///
/// # Errors
/// Why there was no run.
pub(crate) fn measure(
    scenario: &MemcacheScenario,
    options: &Options,
    signals: &Signals,
    quiet: bool,
) -> Result<Document, Failure> {
    let asking = Asking {
        sasl: scenario.memcache_plan().spec().sasl.clone(),
        patience: PATIENCE,
    };
    // A run that is to end before it begins says so itself.
    let mut witnesses = asking.before(&endpoints(scenario), &|| signals.asked());
    let prefill = scenario.prefill(options.engine.connections);
    if let Some((_, requests)) = &prefill {
        let spec = scenario.memcache_plan().spec();
        let bytes = memory_bytes(spec, requests / witnesses.len().max(1) as u64);
        for witness in &mut witnesses {
            witness.prefill_bytes = Some(bytes);
            if let Some([needed, limit]) = too_little_memory(witness) {
                say(format!(
                    "the prefill needs {needed} bytes of {}, which has {limit}: not all keys will be there",
                    witness.endpoints[0]
                ));
            }
        }
    }
    let filled = match prefill {
        None => None,
        Some((scenario, requests)) => {
            let options = prefill_options(options, &scenario, requests);
            let handle = start_client(Arc::new(Native(Arc::new(scenario))), options)?;
            Some(drive::to_end(handle, signals, quiet))
        }
    };
    let ended =
        |d: &Document| [exit::BUG, exit::INTERRUPTED, exit::TARGET].contains(&d.verdict.exit_code);
    let refused = filled.as_ref().and_then(|f| prefill_refused(&f.operations));
    let mut document = match filled {
        Some(filled) if ended(&filled) => prelude::alone(filled, "prefill"),
        Some(filled) if refused.is_some() => {
            let mut document = prelude::alone(filled, "prefill");
            document.findings.extend(refused);
            document
        }
        filled => {
            let client = Native(Arc::new(scenario.clone()));
            let handle = start_client(Arc::new(client), options.clone())?;
            let mut document = drive::to_end(handle, signals, quiet);
            if let Some(filled) = filled {
                prelude::put_before(&mut document, &filled, "prefill");
                local::add_prelude(&mut document.protocol_details, &filled.protocol_details);
            }
            document
        }
    };
    // Whoever has ended the run still wants to know what the servers say.
    let ended = signals.asked();
    asking.after(&mut witnesses, &|| !ended && signals.asked());
    if !ended && signals.asked() {
        (document.interrupted, document.status) = (true, RunStatus::Partial);
    }
    reconcile(&mut document, &witnesses);
    Ok(document)
}

/// Every address once.
fn endpoints(scenario: &MemcacheScenario) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = Vec::new();
    for endpoint in scenario.routes().into_iter().flat_map(|r| r.endpoints) {
        if !all.contains(&endpoint) {
            all.push(endpoint);
        }
    }
    all
}

/// Everything once, as fast as it goes.
fn prefill_options(options: &Options, scenario: &MemcacheScenario, requests: u64) -> Options {
    let mut prefill = options.clone();
    let engine = &mut prefill.engine;
    engine.pacing = Pacing::Closed;
    engine.stop = Stop::Requests(requests);
    engine.warmup = Duration::ZERO;
    engine.depth = engine.depth.max(PREFILL_DEPTH);
    // Each of its workers needs a connection to each server.
    let connections = engine.connections as usize;
    let likely = host::Allowed::read().parallelism().min(connections);
    if connections < options.workers.unwrap_or(likely) * scenario.routes().len() {
        prefill.workers = Some(1);
        prefill.cpus = options.cpus.as_ref().map(|cpus| cpus[..1].to_vec());
    }
    // What the run must be is asked of the run.
    prefill.caption.requirements.clear();
    prefill
}
