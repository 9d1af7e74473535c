//! loadgen inside another program: every key is written, then two seconds of GETs, one number.
//!
//! Run it against a memcached: `cargo run --release --example embed -- 127.0.0.1:11211`.

use std::time::Duration;

use loadgen_core::engine::EngineOptions;
use loadgen_core::run::{Options, start};
use loadgen_core::stop::Stop;
use loadgen_memcache::{MemcachePlan, MemcacheScenario, MemcacheSpec, Op, Popularity, Prefill};

type Anything = Box<dyn std::error::Error>;

fn options(stop: Stop) -> Options {
    Options {
        engine: EngineOptions {
            connections: 16,
            stop,
            ..EngineOptions::default()
        },
        ..Options::default()
    }
}

fn main() -> Result<(), Anything> {
    let server = std::env::args().nth(1);
    let spec = MemcacheSpec {
        servers: vec![server.unwrap_or_else(|| "127.0.0.1:11211".to_owned())],
        ops: vec![(Op::Get, 1)],
        popularity: Popularity::Zipf(0.99),
        prefill: Prefill::All,
        verify: 1.0,
        ..MemcacheSpec::default()
    };
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec)?);
    if let Some((prefill, requests)) = scenario.prefill(16) {
        let mut options = options(Stop::Requests(requests));
        options.engine.depth = 32;
        let document = start(prefill, options)?.join();
        println!("{} of {requests} keys written", document.totals.completed);
    }
    let document = start(scenario, options(Stop::After(Duration::from_secs(2))))?.join();
    for row in &document.operations {
        println!("{} {}: {}", row.op, row.status, row.total_count);
    }
    match document.summary.response_time.p99_ns {
        Some(p99_ns) => println!("p99: {:.3} ms", p99_ns as f64 / 1e6),
        None => println!("p99: unknown, nothing was answered"),
    }
    Ok(())
}
