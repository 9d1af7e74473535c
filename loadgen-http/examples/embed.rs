//! loadgen inside another program, one that lives in tokio: two seconds of load, one number.
//!
//! The run has threads of its own, so it takes nothing from the runtime; waiting for it is the
//! only thing that blocks, and that is what `spawn_blocking` is for.

use std::time::Duration;

use loadgen_core::engine::EngineOptions;
use loadgen_core::run::{Options, start};
use loadgen_core::stop::Stop;
use loadgen_http::target::{Target, TargetOptions};
use loadgen_http::{HttpPlan, HttpScenario, HttpSpec};

type Anything = Box<dyn std::error::Error>;

fn main() -> Result<(), Anything> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Anything> {
    let target = Target::start(TargetOptions::default())?;
    let url = format!("http://{}/bytes/1024", target.address());
    let spec = HttpSpec {
        urls: vec![url.as_str().into()],
        ..HttpSpec::default()
    };
    let scenario = HttpScenario::new(HttpPlan::new(spec)?);
    let options = Options {
        engine: EngineOptions {
            stop: Stop::After(Duration::from_secs(2)),
            ..EngineOptions::default()
        },
        ..Options::default()
    };
    let handle = start(scenario, options)?;
    // Any other task runs meanwhile; this one looks now and then.
    while !handle.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = handle.snapshot();
        eprintln!("{}: {} replies so far", now.phase, now.completed);
    }
    let document = tokio::task::spawn_blocking(move || handle.join()).await?;
    match document.summary.response_time.p99_ns {
        Some(p99_ns) => println!("p99: {:.3} ms", p99_ns as f64 / 1e6),
        None => println!("p99: unknown, nothing was answered"),
    }
    Ok(())
}
