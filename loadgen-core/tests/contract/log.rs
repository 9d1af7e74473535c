//! The third toy: a log that is read by offset. It greets first, its routes move in mid-run, the
//! target asks for pauses, and each reply says where to read on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use loadgen_core::buffer::Outbox;
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::pace::{Arrival, Dispatch, Pacing};
use loadgen_core::protocol::{
    Cause, Fault, Handshake, Input, Outcome, Phase, Progress, Reply, Session, Status, Tables,
    Tally, Then, Ticket,
};
use loadgen_core::stop::Stop;
use loadgen_core::time::Tick;
use loadgen_core::workload::{Endpoint, Next, Route, RouteId, Scenario, Workload};

use crate::harness::{Frames, MS, by_count, histogram, run};

/// Requests until the second route moves from `b` to `c`.
const MOVE_AT: u64 = 50;
/// A pause is asked for at every offset divisible by this.
const PAUSE_EVERY: u32 = 10;

struct Log;

struct LogSession;

/// Reads each partition (one per route) in order; one request at a time.
struct LogWorkload {
    offsets: [Option<u32>; 2],
    asked: u64,
    moved: bool,
    seen: Vec<(RouteId, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
struct ReadOn(u32);

impl Session for LogSession {
    type Request = u32;
    type Feedback = ReadOn;

    /// `hi` is asked for with `?`; a refusal is `no`.
    fn handshake(&mut self, input: &[u8], out: &mut Outbox) -> Result<Handshake, Fault> {
        match input {
            [] => {
                out.put(b"?\0\0\0");
                Ok(Handshake::More { eaten: 0 })
            }
            [b'h', b'i', ..] => Ok(Handshake::Done { eaten: 2 }),
            [b'n', b'o', ..] => Err(Fault {
                phase: Phase::Handshake,
                cause: Cause::Protocol(0),
                detail: "the target refused the greeting".into(),
            }),
            _ => Ok(Handshake::More { eaten: 0 }),
        }
    }

    fn encode(&mut self, offset: u32, _at: Tick, out: &mut Outbox) -> Ticket {
        out.put(&offset.to_be_bytes());
        Ticket {
            op: 0,
            units: 1,
            answered: true,
            payload_tx_bytes: 0,
            tag: u64::from(offset),
        }
    }

    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        _tally: &mut Tally,
    ) -> Result<Progress<ReadOn>, Fault> {
        let Some(head) = input.bytes.first_chunk::<12>() else {
            return Ok(Progress::more(0));
        };
        let offset = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        assert_eq!(u64::from(offset), ticket.tag);
        let born = u64::from_be_bytes(*head.last_chunk::<8>().unwrap());
        let then = match offset % PAUSE_EVERY {
            0 if offset > 0 => Then::Pause(Duration::from_millis(20)),
            _ => Then::Reuse,
        };
        let origin = Some(Tick(born));
        let feedback = Some(ReadOn(offset + 1));
        let reply = Reply {
            status: 0,
            units: 1,
            payload_rx_bytes: None,
            origin,
            then,
            feedback,
        };
        Ok(Progress {
            eaten: 12,
            discard: 0,
            done: Some(reply),
        })
    }
}

impl Workload for LogWorkload {
    type Session = LogSession;

    fn routes_changed(&mut self) -> Option<Vec<Route>> {
        if self.asked < MOVE_AT || self.moved {
            return None;
        }
        self.moved = true;
        Some(routes("c"))
    }

    fn open(&mut self, _route: RouteId, _conn: u32) -> LogSession {
        LogSession
    }

    fn next(&mut self, route: RouteId, _conn: u32, _n: u64) -> Next<u32> {
        if self.asked >= 100 {
            return Next::Done;
        }
        // What is being read may not be asked for again before its answer says where to go on.
        match self.offsets[route].take() {
            Some(offset) => {
                self.asked += 1;
                self.seen.push((route, offset));
                Next::Ready(offset)
            }
            None => Next::Idle,
        }
    }

    fn feedback(&mut self, route: RouteId, _conn: u32, ReadOn(offset): ReadOn) -> Option<u32> {
        // Every seventh offset is asked for at once, outside pacing.
        if offset.is_multiple_of(7) && self.asked < 100 {
            self.asked += 1;
            self.seen.push((route, offset));
            return Some(offset);
        }
        self.offsets[route] = Some(offset);
        None
    }

    fn lost(&mut self, route: RouteId, _conn: u32, tickets: &[Ticket]) {
        self.offsets[route] = tickets.first().map(|t| t.tag as u32);
    }

    fn details(&mut self) -> serde_json::Value {
        serde_json::json!(self.seen)
    }
}

fn routes(second: &str) -> Vec<Route> {
    vec![
        crate::harness::route("a", 1),
        crate::harness::route(second, 1),
    ]
}

impl Scenario for Log {
    type Workload = LogWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::new(Tables {
            protocol: "log",
            ops: vec![Cow::Borrowed("read")],
            statuses: vec![Status {
                name: Cow::Borrowed("ok"),
                outcome: Outcome::Ok,
            }],
            causes: &["greeting_refused"],
            apart: &[],
            written: 0,
        })
    }

    fn routes(&self) -> Vec<Route> {
        routes("b")
    }

    fn workload(&self, _worker: usize, _workers: usize) -> LogWorkload {
        LogWorkload {
            offsets: [Some(0), Some(0)],
            asked: 0,
            moved: false,
            seen: Vec::new(),
        }
    }
}

/// Serves any offset; what it serves was made 5 ms before it is sent.
#[derive(Default)]
struct Brokers {
    frames: Frames,
    endpoints: HashMap<u64, String>,
    last: HashMap<String, Tick>,
    refuse_greeting: bool,
}

impl Peer for Brokers {
    fn connect(&mut self, id: u64, endpoint: &Endpoint, _at: Tick) -> Accept {
        self.endpoints.insert(id, endpoint.to_string());
        Accept::After(1000)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], at: Tick, script: &mut Script) {
        self.last.insert(self.endpoints[&id].clone(), at);
        for frame in self.frames.take(id, bytes, 4) {
            if frame[0] == b'?' {
                let greeting = if self.refuse_greeting { b"no" } else { b"hi" };
                script.add(MS, Action::Bytes(greeting.to_vec()));
                continue;
            }
            let mut answer = frame.clone();
            let sent = at.after(2 * MS).0;
            answer.extend(sent.saturating_sub(5 * MS).to_be_bytes());
            script.add(2 * MS, Action::Bytes(answer));
        }
    }
}

#[test]
fn offsets_feed_back_routes_move_and_pauses_are_kept() {
    // The workload knows when there is nothing left; a number beyond that changes nothing.
    let stops = [Stop::Requests(1000), Stop::Exhausted];
    for (piece_bytes, stop) in [usize::MAX, 1, 5]
        .into_iter()
        .flat_map(|p| stops.map(|s| (p, s)))
    {
        let mut options = by_count(1000, 2, 1);
        options.stop = stop;
        let ran = run(&Log, Brokers::default(), options, |sim| {
            sim.piece_bytes = piece_bytes;
        });
        let total = ran.sum.total;
        assert_eq!((total.sent, total.completed, total.failed), (100, 100, 0));
        assert!(total.payload_rx_unknown);
        // Every offset of each partition once, in order.
        let seen: Vec<(usize, u32)> = serde_json::from_value(ran.end.details.clone()).unwrap();
        for route in 0..2 {
            let of: Vec<u32> = seen.iter().filter(|s| s.0 == route).map(|s| s.1).collect();
            assert_eq!(of, (0..of.len() as u32).collect::<Vec<_>>());
        }
        assert_eq!(ran.sum.response.answered, histogram([2 * MS; 100]));
        // Made 5 ms before it was sent; the first ones were made at the beginning of time.
        assert!(ran.sum.end_to_end.answered.value_at_quantile(0.5) / 100_000 == 50);
        // b was left for c, once and as planned.
        assert_eq!((ran.end.counts.opened, ran.end.counts.closed_by_us), (3, 1));
        let at = |name: &str| {
            let of = |e: &&loadgen_core::engine::EndpointCounts| e.endpoint.to_string() == name;
            ran.end.endpoints.iter().find(of).map_or(0, |e| e.completed)
        };
        assert_eq!(at("unix:a") + at("unix:b") + at("unix:c"), 100);
        assert!(at("unix:b") >= 20 && at("unix:c") >= 20);
        // 50 reads of 2 ms and at least 4 pauses of 20 ms.
        assert!(ran.sum.last_end >= Tick(180 * MS), "{:?}", ran.sum.last_end);
    }
}

#[test]
fn a_refused_greeting_is_a_handshake_failure_and_nothing_is_sent() {
    let peer = Brokers {
        refuse_greeting: true,
        ..Brokers::default()
    };
    let ran = run(&Log, peer, by_count(1000, 2, 1), |_| {});
    assert_eq!(ran.sum.total.sent, 0);
    assert_eq!(ran.errors(Phase::Handshake, Cause::Protocol(0)), 2);
    assert_eq!(ran.end.counts.alive_at_end, 0);
}

/// One route is written to by the run's pacing, the other is watched, unpaced, until what was
/// written has been seen.
struct Watched;

#[derive(Default)]
struct WatchedWorkload {
    written: u64,
    watched: u64,
    draining: bool,
    rested: bool,
    watched_while_draining: u64,
}

impl Workload for WatchedWorkload {
    type Session = LogSession;

    fn open(&mut self, _route: RouteId, _conn: u32) -> LogSession {
        LogSession
    }

    fn next(&mut self, route: RouteId, _conn: u32, _n: u64) -> Next<u32> {
        if route == 0 {
            self.written += 1;
            return Next::Ready(1);
        }
        if self.watched_while_draining == 3 {
            return Next::Done;
        }
        if self.draining && !std::mem::replace(&mut self.rested, true) {
            // Nothing now is not nothing any more.
            return Next::Idle;
        }
        self.watched += 1;
        self.watched_while_draining += u64::from(self.draining);
        Next::Ready(1)
    }

    fn draining(&mut self) {
        self.draining = true;
    }

    fn details(&mut self) -> serde_json::Value {
        serde_json::json!([self.written, self.watched, self.watched_while_draining])
    }
}

impl Scenario for Watched {
    type Workload = WatchedWorkload;

    fn tables(&self) -> Arc<Tables> {
        Log.tables()
    }

    fn routes(&self) -> Vec<Route> {
        let mut routes = routes("b");
        routes[1].paced = false;
        routes
    }

    fn workload(&self, _worker: usize, _workers: usize) -> WatchedWorkload {
        WatchedWorkload::default()
    }
}

#[test]
fn a_route_that_is_not_paced_follows_the_others_and_outlasts_them() {
    let arrival = Arrival::Fixed;
    let open = |dispatch| {
        (
            Pacing::Open {
                rate_per_s: 200.0,
                arrival,
            },
            dispatch,
        )
    };
    let closed = (Pacing::Closed, Dispatch::Pool);
    for (pacing, dispatch) in [closed, open(Dispatch::Pool), open(Dispatch::Pinned)] {
        let mut options = by_count(20, 2, 1);
        (options.pacing, options.dispatch) = (pacing, dispatch);
        let ran = run(&Watched, Brokers::default(), options, |_| {});
        let [written, watched, late]: [u64; 3] =
            serde_json::from_value(ran.end.details.clone()).unwrap();
        // The budget is the paced route's alone.
        assert_eq!((written, late), (20, 3), "{pacing:?} {dispatch:?}");
        let total = ran.sum.total;
        assert_eq!((total.completed, total.unsent), (20 + watched, 0));
        assert_eq!(total.sent, total.completed);
        let unpaced = (total.sent_unpaced, total.completed_unpaced);
        assert_eq!(unpaced, (watched, watched));
        assert_eq!(total.units_unpaced, watched);
        if let Pacing::Open { .. } = pacing {
            // 20 at 200/s: the last one is due after 95 ms, and a read takes 2 ms.
            assert!((40..=55).contains(&watched), "{watched}");
            assert_eq!(ran.sum.lag.answered.len(), 20);
            assert!(
                ran.sum.lag.answered.max() < MS,
                "{}",
                ran.sum.lag.answered.max()
            );
        } else {
            assert!((20..=25).contains(&watched), "{watched}");
        }
    }
}
