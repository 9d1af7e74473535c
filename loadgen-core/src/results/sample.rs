//! A made-up run with nothing wrong, for the tests of whatever reads documents.
//!
//! It goes through the real recorder and [`super::assemble()`], so it cannot drift from them. Every
//! number is a function of the constants below: no clock, no randomness. Not part of the API.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::document::{CpuRow, Document, Label, RunStatus};
use super::{Caption, Machine, Outcome};
use crate::driver::{Buffers, CpuUsed, DriverStats, TcpInfo};
use crate::engine::{ConnectionCounts, EndpointCounts, EngineOptions, WorkerEnd};
use crate::pace::{Arrival, Pacing};
use crate::protocol::{self, Status, Tables};
use crate::record::{Aggregate, Answer, ErrorTable, Exchange, Recorder, Window};
use crate::stop::Stop;
use crate::time::Tick;
use crate::workload::{Endpoint, Route};

const MS: u64 = 1_000_000;
/// Workers of the sample.
pub const WORKERS: usize = 2;
/// Connections of each worker.
pub const PER_WORKER: u64 = 2;
/// Offered rate of the open loop, per second.
pub const RATE_PER_S: f64 = 800.0;
/// Application bytes of a reply.
pub const PAYLOAD_BYTES: u64 = 1024;
/// Bytes of a reply on the socket.
pub const WIRE_RX_BYTES: u64 = 1200;
/// Bytes of a request on the socket.
pub const WIRE_TX_BYTES: u64 = 60;
/// How late an open loop sends, ns.
pub const LAG_NS: u64 = 10_000;
/// How late a worker looks at a reply, ns.
pub const DELAY_NS: u64 = 20_000;

/// The window of the sample: 10 ms of connecting, 1 s of warm-up, 2 s measured.
#[must_use]
pub fn window() -> Window {
    Window {
        epoch: Tick(10 * MS),
        begin: Tick(1010 * MS),
        end: Tick(3010 * MS),
        interval_ns: 500 * MS,
    }
}

/// How long request number `n` takes, ns: 2 to 4 ms, evenly.
#[must_use]
pub fn service_ns(n: u64) -> u64 {
    2 * MS + n * 37 % 100 * 20_000
}

/// The tables of the sample: one op, a good and a bad status.
#[must_use]
pub fn tables() -> Tables {
    let status = |name, outcome| Status {
        name: Cow::Borrowed(name),
        outcome,
    };
    Tables {
        protocol: "toy",
        ops: vec![Cow::Borrowed("GET")],
        statuses: vec![
            status("200", protocol::Outcome::Ok),
            status("503", protocol::Outcome::Error),
        ],
        causes: &[],
        apart: &[],
        written: 0,
    }
}

/// What the run left behind.
#[must_use]
pub fn outcome(open_loop: bool) -> Outcome {
    let exchange = Arc::new(Exchange::default());
    let tables = tables();
    let over = Tick(3020 * MS);
    let mut completed = [0; WORKERS];
    for (worker, completed) in completed.iter_mut().enumerate() {
        let shared = Arc::clone(&exchange);
        let mut recorder = Recorder::new(worker, open_loop, &tables, window(), shared);
        recorder.connected(150_000, Tick(MS));
        recorder.connected(250_000, Tick(2 * MS));
        *completed = replay(&mut recorder, &requests(worker as u64, open_loop));
        let _ = recorder.finish(over);
    }
    let mut sum = Aggregate::new(WORKERS, window().interval_ns, open_loop);
    while let Some(set) = exchange.full.pop() {
        sum.add(&set);
    }
    sum.finish();
    Outcome {
        caption: caption(),
        options: Arc::new(options(open_loop)),
        tables: Arc::new(tables),
        client: "native",
        driver: "sim",
        requests_per_connection: None,
        protocol_plan: json!({"urls": ["toy://target/a"]}),
        protocol_details: Value::Null,
        routes: vec![(route(), (WORKERS as u64 * PER_WORKER) as u32)],
        start_unix_ns: 1_000_000_000_123_000_000,
        window: window(),
        over,
        status: RunStatus::Complete,
        interrupted: false,
        sum,
        workers: completed.into_iter().enumerate().map(worker_end).collect(),
        machine: machine(),
    }
}

/// The document of [`outcome`], with what depends on the build fixed.
#[must_use]
pub fn document(open_loop: bool) -> Document {
    let mut document = super::assemble(outcome(open_loop));
    document.run_id = "0de0b6b3b2230cc0-1".to_owned();
    document.tool.version = "0.0.0".to_owned();
    document.tool.git = None;
    document.tool.profile = "release".to_owned();
    super::judge(&mut document);
    document
}

/// Intended, sent and last tick of every request of a worker.
fn requests(worker: u64, open_loop: bool) -> Vec<[Tick; 3]> {
    let window = window();
    let mut all = Vec::new();
    if open_loop {
        let period_ns = 1e9 / RATE_PER_S;
        for n in (worker..).step_by(WORKERS) {
            let intended = window.epoch.after((n as f64 * period_ns) as u64);
            if intended >= window.end {
                break;
            }
            let sent = intended.after(LAG_NS);
            all.push([intended, sent, sent.after(service_ns(n))]);
        }
        return all;
    }
    for connection in 0..PER_WORKER {
        let mut at = window.epoch;
        let mut n = worker * 31 + connection * 17;
        while at < window.end {
            let last = at.after(service_ns(n));
            all.push([at, at, last]);
            (at, n) = (last, n + 1);
        }
    }
    all
}

/// Tells the recorder everything in the order of time, as a worker does.
fn replay(recorder: &mut Recorder, requests: &[[Tick; 3]]) -> u64 {
    let mut events: Vec<(Tick, bool, usize)> = Vec::new();
    for (index, [_, sent, last]) in requests.iter().enumerate() {
        events.push((*sent, false, index));
        events.push((*last, true, index));
    }
    events.sort_unstable();
    for (at, is_reply, index) in events {
        let [intended, sent, last] = requests[index];
        if is_reply {
            recorder.received(WIRE_RX_BYTES, DELAY_NS, at);
            let answer = Answer {
                op: 0,
                status: 0,
                units: 1,
                payload_rx_bytes: Some(PAYLOAD_BYTES),
                intended,
                sent,
                first: Tick(last.0 - 1000),
                last,
                origin: None,
            };
            recorder.answered(&answer, false);
        } else {
            recorder.sent(intended, sent);
            recorder.wrote(WIRE_TX_BYTES);
        }
    }
    requests.len() as u64
}

fn caption() -> Caption {
    Caption {
        labels: vec![Label {
            key: "cni".to_owned(),
            value: "none".to_owned(),
        }],
        command: vec!["loadgen".to_owned(), "toy".to_owned()],
        requirements: Vec::new(),
        strict: false,
    }
}

fn options(open_loop: bool) -> EngineOptions {
    let pacing = if open_loop {
        Pacing::Open {
            rate_per_s: RATE_PER_S,
            arrival: Arrival::Fixed,
        }
    } else {
        Pacing::Closed
    };
    EngineOptions {
        connections: (WORKERS as u64 * PER_WORKER) as u32,
        pacing,
        stop: Stop::After(Duration::from_secs(2)),
        warmup: Duration::from_secs(1),
        interval: Duration::from_millis(500),
        ..EngineOptions::default()
    }
}

fn endpoint() -> Endpoint {
    Endpoint::Tcp(([127, 0, 0, 1], 8080).into())
}

fn route() -> Route {
    Route {
        name: "target".to_owned(),
        endpoints: vec![endpoint()],
        weight: 1,
        rate_weight: 1,
        paced: true,
    }
}

fn worker_end((worker, completed): (usize, u64)) -> WorkerEnd {
    let tcp = |rtt_ns| TcpInfo {
        rtt_ns,
        retransmits: 0,
    };
    WorkerEnd {
        worker,
        cpu: u32::try_from(worker).ok(),
        connections: PER_WORKER as u32,
        counts: ConnectionCounts {
            opened: PER_WORKER,
            alive_at_end: PER_WORKER,
            ..ConnectionCounts::default()
        },
        endpoints: vec![EndpointCounts {
            route: 0,
            endpoint: endpoint(),
            opened: PER_WORKER,
            completed,
            failed: 0,
        }],
        tcp: vec![tcp(40_000), tcp(60_000)],
        buffers: Buffers {
            receive: Some(131_072),
            send: Some(2_626_560),
            window_clamp: Some(65_536),
        },
        waiting: "virtual",
        driver: DriverStats::default(),
        drained_at: None,
        cpu_used: Some(CpuUsed {
            user_ns: 30 * MS,
            system_ns: (80 + 20 * worker as u64) * MS,
            run_queue_wait_ns: Some(MS),
        }),
        spin_ns: 10 * MS,
        errors: ErrorTable::default(),
        details: Value::Null,
        gave_up: false,
        broken: None,
    }
}

fn machine() -> Machine {
    Machine {
        name: Some("generator-1".to_owned()),
        allowed_cpus: vec![0, 1, 2, 3],
        cpu_quota: None,
        cpus: vec![Some(0), Some(1)],
        refusals: Vec::new(),
        cpu: vec![CpuRow {
            state: "user".to_owned(),
            seconds: 0.06,
            percent: 3.0,
        }],
        cpu_window_ns: 2000 * MS,
        provenance: json!({"kernel": "0.0"}),
    }
}
