//! Minimal loops without any accounting: what the kernel's TCP costs, and nothing else.
//!
//! A floor knows the size of its replies beforehand, never looks at them, keeps no time of a
//! request and has no timeout. It must never use the engine: it is what the engine is held against.

mod batches;
mod http_bulk;
mod http_small;
mod net;
mod pace;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::sys;
use net::Connections;
use pace::Pace;

/// Which loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// One request, one small reply, in turn on each connection
    HttpSmall,
    /// Large replies, copied into a buffer
    BulkCopy,
    /// Large replies, thrown away in the kernel (`MSG_TRUNC`)
    BulkTrunc,
    /// The same, woken up for 256 KiB at a time (`SO_RCVLOWAT`)
    BulkLowat,
    /// Small requests and replies, --depth of them in flight on each connection
    Batches,
}

/// The work of a floor.
#[derive(Args, Clone, Debug)]
pub(crate) struct FloorArgs {
    /// Which loop
    #[arg(value_enum)]
    floor: Floor,
    /// Where to
    #[arg(long, value_name = "IP:PORT")]
    addr: SocketAddr,
    /// What to ask for
    #[arg(long, default_value = "/")]
    path: String,
    /// Connections
    #[arg(short = 'c', long, default_value_t = 10)]
    connections: usize,
    /// Seconds
    #[arg(short = 'd', long, value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    /// Requests in flight on a connection (batches only)
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Requests per second in total; without it the next one follows the reply
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Receive buffer of bulk-copy, KiB
    #[arg(long, value_name = "KIB", default_value_t = 256)]
    buffer: usize,
}

/// What a loop is given.
struct Task<'a> {
    net: &'a mut Connections,
    depth: usize,
    buffer_bytes: usize,
    pace: Option<Pace>,
    until: Instant,
}

/// Runs a floor and gives its one line of JSON.
pub(crate) fn run(args: &FloorArgs) -> Result<String, String> {
    check(args)?;
    loadgen_core::host::raise_open_files();
    sys::exact_sleeps();
    let failed = |error: std::io::Error| format!("{}: {error}", args.addr);
    let mut net = Connections::open(args.addr, &args.path, args.connections).map_err(failed)?;
    let start = Instant::now();
    let before = sys::own_usage();
    let task = Task {
        net: &mut net,
        depth: args.depth,
        buffer_bytes: args.buffer * 1024,
        pace: args.rate.map(|rate| Pace::new(rate, start)),
        until: start + Duration::from_secs_f64(args.duration),
    };
    let requests = match args.floor {
        Floor::HttpSmall => http_small::run(task),
        Floor::BulkCopy => http_bulk::run(task, http_bulk::Mode::Copy),
        Floor::BulkTrunc => http_bulk::run(task, http_bulk::Mode::Trunc),
        Floor::BulkLowat => http_bulk::run(task, http_bulk::Mode::TruncLowat),
        Floor::Batches => batches::run(task.net, task.depth, task.until),
    }
    .map_err(failed)?;
    let seconds = start.elapsed().as_secs_f64();
    let after = sys::own_usage();
    let line = json!({
        "floor": args.floor.to_possible_value().map(|v| v.get_name().to_owned()),
        "requests": requests,
        "bytes": requests * net.reply_bytes as u64,
        "seconds": seconds,
        "user_s": after.user_s - before.user_s,
        "sys_s": after.system_s - before.system_s,
        "max_rss_kib": after.max_rss_kib,
    });
    Ok(line.to_string())
}

fn check(args: &FloorArgs) -> Result<(), String> {
    if args.connections == 0 || args.depth == 0 || args.buffer == 0 {
        return Err("--connections, --depth and --buffer are at least 1".into());
    }
    if !(args.duration > 0.0 && args.duration <= 3600.0) {
        return Err(format!("-d {}: 0 to 3600 seconds", args.duration));
    }
    if args.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e8)) {
        return Err("--rate: above 0 and at most 100000000 per second".into());
    }
    if args.floor != Floor::Batches && args.depth != 1 {
        return Err(format!("--depth {}: only batches has a depth", args.depth));
    }
    if args.floor == Floor::Batches && args.rate.is_some() {
        return Err("--rate: batches has none".into());
    }
    Ok(())
}
