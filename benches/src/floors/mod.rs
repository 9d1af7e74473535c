//! Minimal loops without any accounting: what the kernel's TCP costs, and nothing else.
//!
//! A floor knows the sizes of its replies beforehand, never looks at them, keeps no time of a
//! request and has no timeout. It must never use the engine: it is what the engine is held against.

mod batches;
mod http;
mod http_bulk;
mod http_small;
mod memcache;
mod net;
mod pace;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

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
    /// memcached: one SET of 64 + 1024 bytes to nine GETs, --depth of them in flight
    Memcache,
    /// SET every key of the floor `memcache` once, and end
    MemcacheFill,
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
    /// What to ask for (HTTP only)
    #[arg(long, default_value = "/")]
    path: String,
    /// Connections
    #[arg(short = 'c', long, default_value_t = 10)]
    connections: usize,
    /// Seconds
    #[arg(short = 'd', long, value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    /// Requests in flight on a connection (batches and memcache only)
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

/// What a loop did.
struct Done {
    requests: u64,
    /// What it received.
    bytes: u64,
}

/// Runs a floor and gives its one line of JSON.
pub(crate) fn run(args: &FloorArgs) -> Result<String, String> {
    check(args)?;
    loadgen_core::host::raise_open_files();
    sys::exact_sleeps();
    let line = match args.floor {
        Floor::Memcache => memcache::Ring::of(args.depth)
            .and_then(|ring| ring.there(args.addr).map(|()| ring))
            .and_then(|ring| timed(args, |task| memcache::run(task, &ring))),
        Floor::MemcacheFill => memcache::fill(args.addr).map(|keys| json!({ "requests": keys })),
        _ => http::Ask::learn(args.addr, &args.path)
            .and_then(|ask| timed(args, |task| over_http(task, &ask, args.floor))),
    };
    let line = line.map_err(|error| format!("{}: {error}", args.addr))?;
    Ok(line.to_string())
}

fn over_http(task: Task<'_>, ask: &http::Ask, floor: Floor) -> io::Result<Done> {
    let requests = match floor {
        Floor::BulkCopy => http_bulk::run(task, ask, http_bulk::Mode::Copy),
        Floor::BulkTrunc => http_bulk::run(task, ask, http_bulk::Mode::Trunc),
        Floor::BulkLowat => http_bulk::run(task, ask, http_bulk::Mode::TruncLowat),
        Floor::Batches => batches::run(task, ask),
        Floor::HttpSmall | Floor::Memcache | Floor::MemcacheFill => http_small::run(task, ask),
    }?;
    Ok(Done {
        requests,
        bytes: requests * ask.reply_bytes as u64,
    })
}

/// Connects, runs `work` and says what it cost.
fn timed(args: &FloorArgs, work: impl FnOnce(Task<'_>) -> io::Result<Done>) -> io::Result<Value> {
    let mut net = Connections::open(args.addr, args.connections)?;
    let start = Instant::now();
    let before = sys::own_usage();
    let done = work(Task {
        net: &mut net,
        depth: args.depth,
        buffer_bytes: args.buffer * 1024,
        pace: args.rate.map(|rate| Pace::new(rate, start)),
        until: start + Duration::from_secs_f64(args.duration),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let after = sys::own_usage();
    Ok(json!({
        "floor": args.floor.to_possible_value().map(|v| v.get_name().to_owned()),
        "requests": done.requests,
        "bytes": done.bytes,
        "seconds": seconds,
        "user_s": after.user_s - before.user_s,
        "sys_s": after.system_s - before.system_s,
        "max_rss_kib": after.max_rss_kib,
    }))
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
    let deep = matches!(args.floor, Floor::Batches | Floor::Memcache);
    if !deep && args.depth != 1 {
        let depth = args.depth;
        return Err(format!(
            "--depth {depth}: only batches and memcache have a depth"
        ));
    }
    if (deep || args.floor == Floor::MemcacheFill) && args.rate.is_some() {
        return Err("--rate: only the HTTP floors of one request at a time have one".into());
    }
    Ok(())
}
