//! What of a run's options cannot be, before anything is started.
//!
//! Pure: every refusal is one sentence that names the flag, the limit and the value.

use super::{Options, StartError};
use crate::engine::Client;
use crate::host::{self, Allowed};
use crate::pace::Pacing;
use crate::stop::Stop;

/// The most connections: local ports and file descriptors end long before.
const CONNECTIONS_MAX: u32 = 10_000_000;
/// The most requests in flight on one connection.
const DEPTH_MAX: u32 = 65_536;
/// The most of depth × routes: each has a list of connections in each worker.
const LISTS_MAX: usize = 1 << 20;
/// The most worker threads.
const WORKERS_MAX: usize = 4096;

/// Checks everything, and says which CPU each worker is pinned to.
pub(super) fn check(
    client: &dyn Client,
    options: &Options,
    allowed: &Allowed,
) -> Result<Vec<Option<u32>>, StartError> {
    let engine = &options.engine;
    within(
        "--connections",
        u64::from(engine.connections),
        1,
        u64::from(CONNECTIONS_MAX),
    )?;
    within("--depth", u64::from(engine.depth), 1, u64::from(DEPTH_MAX))?;
    if let Stop::Requests(requests) = engine.stop {
        within("--requests", requests, 1, u64::MAX - 1)?;
    }
    if let Stop::After(duration) = engine.stop
        && duration.is_zero()
    {
        return refuse("--duration must be longer than 0".into());
    }
    for (flag, length) in [
        ("--timeout", engine.timeout),
        ("--connect-timeout", engine.connect_timeout),
        ("--interval", engine.interval),
    ] {
        if length.as_micros() < 1000 {
            return refuse(format!("{flag} is {length:?}, at least 1 ms is needed"));
        }
    }
    if let Pacing::Open { rate_per_s, .. } = engine.pacing
        && !(rate_per_s.is_finite() && rate_per_s > 0.0 && rate_per_s <= 1e9)
    {
        return refuse(format!(
            "--rate is {rate_per_s}, it must be above 0 and at most 1e9 per s"
        ));
    }
    if client.requests_per_connection() == Some(0) {
        return refuse("a connection must carry at least 1 request".into());
    }
    let routes = client.routes();
    if routes.is_empty() || routes.iter().any(|r| r.endpoints.is_empty()) {
        return refuse("there is no target to connect to".into());
    }
    let lists = routes.len().saturating_mul(engine.depth as usize);
    if lists > LISTS_MAX {
        let (depth, routes) = (engine.depth, routes.len());
        return refuse(format!(
            "--depth {depth} × {routes} routes is {lists}, at most {LISTS_MAX}"
        ));
    }
    if routes.len() > engine.connections as usize {
        let (connections, routes) = (engine.connections, routes.len());
        return refuse(format!(
            "--connections is {connections}, fewer than the {routes} routes that each need one"
        ));
    }
    if let Some(sentence) = client.refuses(engine) {
        return refuse(sentence);
    }
    check_workers(client, options, allowed)
}

fn check_workers(
    client: &dyn Client,
    options: &Options,
    allowed: &Allowed,
) -> Result<Vec<Option<u32>>, StartError> {
    let connections = options.engine.connections;
    let mut workers = options.workers;
    if let Some(workers) = workers {
        within("--workers", workers as u64, 1, WORKERS_MAX as u64)?;
        if workers > connections as usize {
            return refuse(format!(
                "--workers is {workers}, more than the {connections} connections they share"
            ));
        }
    }
    if client.driver() == "sim" {
        if workers.is_some_and(|w| w > 1) {
            return refuse("the sim driver has one worker: leave --workers away".into());
        }
        workers = Some(1);
    }
    let ask = host::Ask {
        workers,
        cpus: options.cpus.as_deref(),
        unpinned: options.unpinned || client.driver() == "sim",
        connections,
    };
    host::plan(&ask, allowed).map_err(StartError::Environment)
}

fn within(flag: &str, value: u64, low: u64, high: u64) -> Result<(), StartError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        refuse(format!(
            "{flag} is {value}, it must be from {low} to {high}"
        ))
    }
}

fn refuse<T>(sentence: String) -> Result<T, StartError> {
    Err(StartError::Options(sentence))
}
