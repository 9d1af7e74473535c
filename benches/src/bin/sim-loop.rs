//! Runs HTTP requests through the real worker on the simulated driver, to be counted by a tool.
//!
//! `sim-loop CASE REQUESTS`. It must do the same work at every start: no random keys, no clock. The
//! peer does not look at the requests, so that what is counted is ours.

use std::process::ExitCode;
use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::driver::sim::{Accept, Action, Peer, Script, Sim};
use loadgen_core::driver::{Driver, Event, Received};
use loadgen_core::engine::{EngineOptions, Seat, Shared, Worker, deal};
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::record::{Recorder, Window};
use loadgen_core::stop::Stop;
use loadgen_core::time::{Clock, Tick, nanos};
use loadgen_core::workload::{Endpoint, Scenario};
use loadgen_http::{HttpPlan, HttpScenario, HttpSpec};

const CONNECTIONS: u32 = 16;
const DEPTH: u32 = 16;
/// From a request to its reply.
const DELAY_NS: u64 = 10_000;
/// A reply as nginx sends it, but for the body.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
    Content-Length: 32\r\nLast-Modified: Sun, 06 Nov 1994 08:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"5f5e1000-20\"\r\nAccept-Ranges: bytes\r\n\r\n\
    0123456789abcdef0123456789abcdef";

/// Sends one reply for so many bytes, whatever they say.
struct Canned {
    request_bytes: usize,
    answered: u64,
}

impl Peer for Canned {
    fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
        Accept::After(0)
    }

    fn receive(&mut self, _id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        let count = bytes.len() / self.request_bytes;
        self.answered += count as u64;
        // The replies of one receive come in one piece, as they do from a real target.
        script.add(DELAY_NS, Action::Bytes(REPLY.repeat(count)));
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, requests] = &args[..] else {
        return fail(
            "sim-loop CASE REQUESTS; CASE: closed, pipelined, open, sockets, sockets-pipelined",
        );
    };
    let Ok(requests) = requests.parse::<u64>() else {
        return fail(&format!("REQUESTS: not a number: {requests}"));
    };
    let done = match case.as_str() {
        "closed" => engine(requests, 1, Pacing::Closed),
        "pipelined" => engine(requests, DEPTH, Pacing::Closed),
        "open" => engine(requests, 1, open()),
        "sockets" => sockets(requests, 1),
        "sockets-pipelined" => sockets(requests, DEPTH as usize),
        other => return fail(&format!("CASE: no such case: {other}")),
    };
    match done {
        Ok(count) if count == requests => ExitCode::SUCCESS,
        Ok(count) => fail(&format!("{count} of {requests} requests were answered")),
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("sim-loop: {why}");
    ExitCode::FAILURE
}

/// Below what the connections could do, so that none is ever waited for.
fn open() -> Pacing {
    Pacing::Open {
        rate_per_s: 500_000.0,
        arrival: Arrival::Fixed,
    }
}

fn scenario() -> Result<HttpScenario, String> {
    let spec = HttpSpec {
        urls: vec!["http://127.0.0.1/1k".into()],
        ..HttpSpec::default()
    };
    let plan = HttpPlan::new(spec).map_err(|error| error.to_string())?;
    Ok(HttpScenario::new(plan))
}

/// Bytes of one request of the scenario, as the session itself encodes it.
fn request_bytes(scenario: &HttpScenario) -> Vec<u8> {
    use loadgen_core::protocol::Session as _;
    use loadgen_core::workload::{Next, Workload as _};
    let mut workload = scenario.workload(0, 1);
    let mut out = Outbox::default();
    if let Next::Ready(request) = workload.next(0, 0, 0) {
        workload.open(0, 0).encode(request, Tick(0), &mut out);
    }
    out.flatten()
}

/// The whole: worker, session, recorder, simulated sockets.
fn engine(requests: u64, depth: u32, pacing: Pacing) -> Result<u64, String> {
    let scenario = scenario()?;
    let options = EngineOptions {
        connections: CONNECTIONS,
        depth,
        pacing,
        stop: Stop::Requests(requests),
        ..EngineOptions::default()
    };
    let shared = Arc::new(Shared::new(Some(requests), 1));
    let (routes, tables) = (scenario.routes(), scenario.tables());
    let window = Window::unknown(nanos(options.interval));
    let open_loop = pacing != Pacing::Closed;
    let exchange = Arc::clone(&shared.exchange);
    let recorder = Recorder::new(0, open_loop, &tables, window, exchange);
    let seat = Seat {
        worker: 0,
        workers: 1,
        cpu: None,
        clock: Clock::start(),
        dealt: deal(options.connections, &routes, 1).remove(0),
        options: Arc::new(options),
        first: 0,
        shared: Arc::clone(&shared),
    };
    let driver = Sim::new(Canned {
        request_bytes: request_bytes(&scenario).len(),
        answered: 0,
    });
    let workload = scenario.workload(0, 1);
    let end = Worker::new(seat, recorder, driver, workload, tables, routes, None).run();
    if let Some(why) = end.broken {
        return Err(why);
    }
    Ok(end.endpoints.iter().map(|e| e.completed).sum())
}

/// The simulated sockets alone, called as the engine calls them: what is not ours to make faster.
fn sockets(requests: u64, depth: usize) -> Result<u64, String> {
    let request = request_bytes(&scenario()?);
    let batch = request.repeat(depth);
    let mut sim = Sim::new(Canned {
        request_bytes: request.len(),
        answered: 0,
    });
    let mut out = Outbox::default();
    let mut buffer = vec![0; 64 * 1024];
    let endpoint = Endpoint::Unix("sim".into());
    let (mut sent, mut answered) = (0, 0);
    for slot in 0..CONNECTIONS as usize {
        let failed = |cause| format!("connect: {cause:?}");
        sim.connect(slot, &endpoint, slot as u64).map_err(failed)?;
    }
    while answered < requests {
        sim.wait(Tick::NEVER, false);
        while let Some((slot, event)) = sim.next() {
            if event == Event::Readable {
                match sim.receive(slot, &mut buffer) {
                    Received::Bytes(count) if count % REPLY.len() == 0 => {
                        answered += (count / REPLY.len()) as u64;
                    }
                    other => return Err(format!("not a reply: {other:?}")),
                }
            }
            let left = usize::try_from(requests - sent).unwrap_or(depth).min(depth);
            if left > 0 {
                sent += left as u64;
                out.put(&batch[..left * request.len()]);
                sim.send(slot, &mut out);
            }
        }
    }
    Ok(answered)
}
