//! Minimal loops without any accounting: what the kernel's TCP costs, and nothing else.
//!
//! A floor knows the sizes of its replies beforehand, never looks at them, keeps no time of a
//! request and has no timeout. It must never use the engine: it is what the engine is held against.

mod batches;
mod http;
mod http_bulk;
mod http_small;
mod kafka;
mod kafka_wire;
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
    /// Kafka: one Fetch of all partitions resent, replies thrown away in the kernel (`MSG_TRUNC`)
    KafkaConsume,
    /// Kafka: one Produce (acks=1) with a batch for every partition resent, without a copy
    KafkaProduce,
    /// The same, sent from memory
    KafkaProduceCopy,
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
    /// Requests in flight on a connection (batches, memcache and Kafka's only)
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Requests per second in total; without it the next one follows the reply
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Receive buffer of bulk-copy, KiB
    #[arg(long, value_name = "KIB", default_value_t = 256)]
    buffer: usize,
    /// Kafka's topic
    #[arg(long, default_value = "")]
    topic: String,
    /// How many partitions it has, all led by the broker at --addr
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1000)]
    record_size: u32,
    /// Bytes of a batch that is written, at most; one record at least
    #[arg(long, value_name = "BYTES", default_value_t = 131_072)]
    batch_bytes: u32,
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
        Floor::KafkaConsume | Floor::KafkaProduce | Floor::KafkaProduceCopy => kafka::run(args),
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
        _ => http_small::run(task, ask),
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
    let kafka = matches!(
        args.floor,
        Floor::KafkaConsume | Floor::KafkaProduce | Floor::KafkaProduceCopy
    );
    check_kafka(args, kafka)?;
    let deep = kafka || matches!(args.floor, Floor::Batches | Floor::Memcache);
    if !deep && args.depth != 1 {
        let depth = args.depth;
        return Err(format!(
            "--depth {depth}: only batches, memcache and Kafka's have a depth"
        ));
    }
    if (deep || args.floor == Floor::MemcacheFill) && args.rate.is_some() {
        return Err("--rate: only the HTTP floors of one request at a time have one".into());
    }
    Ok(())
}

fn check_kafka(args: &FloorArgs, kafka: bool) -> Result<(), String> {
    if kafka && args.topic.is_empty() {
        return Err("--topic: a floor of Kafka needs one".into());
    }
    if kafka && args.connections != 1 {
        let connections = args.connections;
        return Err(format!(
            "-c {connections}: a floor of Kafka has 1 connection"
        ));
    }
    if !(1..=1000).contains(&args.partitions) {
        return Err(format!("--partitions {}: 1 to 1000", args.partitions));
    }
    for (flag, bytes) in [
        ("--record-size", args.record_size),
        ("--batch-bytes", args.batch_bytes),
    ] {
        if !(1..=64 << 20).contains(&bytes) {
            return Err(format!("{flag} {bytes}: 1 to 67108864 bytes"));
        }
    }
    Ok(())
}
