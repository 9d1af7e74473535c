//! `--dry-run`: the plan of the document a run would leave, and nothing sent.
//!
//! It is assembled by the same function as a real document, from a run that never was, so the two
//! cannot drift apart. Names were looked up; nothing connects.

use std::sync::Arc;

use loadgen_core::engine::{Client, WorkerEnd, deal};
use loadgen_core::host;
use loadgen_core::pace::Pacing;
use loadgen_core::record::{Aggregate, Window};
use loadgen_core::results::{Machine, Outcome, RunStatus, assemble};
use loadgen_core::run::{Options, plan_client};
use loadgen_core::time::{Tick, nanos};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The plan as JSON, with a newline at its end.
///
/// # Errors
/// Whatever would refuse the run as well.
pub(crate) fn plan(client: &dyn Client, options: &Options) -> Result<String, Failure> {
    let allowed = host::Allowed::read();
    let cpus = plan_client(client, options)?;
    let machine = Machine {
        name: host::name(),
        allowed_cpus: allowed.cpus,
        cpu_quota: allowed.quota,
        cpus,
        ..Machine::default()
    };
    let document = assemble(never_run(client, options, machine));
    let plan = json!({
        "protocol": document.protocol,
        "client": document.client,
        "loop": document.loop_,
        "plan": document.plan,
    });
    Ok(format!("{plan:#}\n"))
}

fn never_run(client: &dyn Client, options: &Options, machine: Machine) -> Outcome {
    let workers = machine.cpus.len();
    let routes = client.routes();
    let mut counts = vec![0_u32; routes.len()];
    for dealt in deal(options.engine.connections, &routes, workers)
        .into_iter()
        .flatten()
    {
        counts[dealt.route] += 1;
    }
    let interval_ns = nanos(options.engine.interval);
    let open_loop = matches!(options.engine.pacing, Pacing::Open { .. });
    Outcome {
        caption: options.caption.clone(),
        options: Arc::new(options.engine.clone()),
        tables: client.tables(),
        client: client.name(),
        driver: client.driver(),
        requests_per_connection: client.requests_per_connection(),
        protocol_plan: client.plan(),
        protocol_details: Value::Null,
        routes: routes.into_iter().zip(counts).collect(),
        start_unix_ns: 0,
        window: Window {
            epoch: Tick::NEVER,
            begin: Tick::NEVER,
            end: Tick::NEVER,
            interval_ns,
        },
        over: Tick(0),
        status: RunStatus::Failed,
        interrupted: false,
        sum: Aggregate::new(workers, interval_ns, open_loop),
        workers: (0..workers).map(|_| WorkerEnd::default()).collect(),
        machine,
    }
}
