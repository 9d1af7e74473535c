//! The first toy: an echo, in order, pipelined, with a body nobody needs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use loadgen_core::buffer::Outbox;
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::protocol::{
    Cause, Fault, Input, Outcome, Phase, Progress, Reply, Session, Status, Tables, Tally, Then,
    Ticket,
};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Endpoint, Next, Route, RouteId, Scenario, Workload};

use crate::harness::{Frames, MS, by_count, histogram, one_route, run};

/// A request is its number, 4 bytes; a reply the same number, a length, and so many bytes.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) per_connection: Option<u64>,
    pub(crate) endpoint: Option<Endpoint>,
}

pub(crate) struct EchoSession;
pub(crate) struct EchoWorkload;

impl Session for EchoSession {
    type Request = u32;
    type Feedback = ();

    fn encode(&mut self, request: u32, _at: Tick, out: &mut Outbox) -> Ticket {
        out.put(&request.to_be_bytes());
        let tag = u64::from(request);
        Ticket {
            op: 0,
            units: 1,
            answered: true,
            payload_tx_bytes: 4,
            tag,
        }
    }

    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        _tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        const BODY: u64 = 1 << 63;
        let done = |eaten: usize, bytes: u64| {
            let then = Then::Reuse;
            let payload_rx_bytes = Some(bytes);
            let (origin, feedback) = (None, None);
            let reply = Reply {
                status: 0,
                units: 1,
                payload_rx_bytes,
                origin,
                then,
                feedback,
            };
            Ok(Progress {
                eaten,
                discard: 0,
                done: Some(reply),
            })
        };
        if ticket.tag & BODY != 0 {
            // At the end of the stream fewer may have come than were asked for.
            let whole = input.skipped == ticket.tag & !BODY;
            return if whole {
                done(0, input.skipped)
            } else {
                Ok(Progress::more(0))
            };
        }
        let Some(head) = input.bytes.first_chunk::<8>() else {
            return Ok(Progress::more(0));
        };
        let number = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if u64::from(number) != ticket.tag {
            return Err(Fault {
                phase: Phase::Decode,
                cause: Cause::Protocol(0),
                detail: format!("expected {}, got {number}", ticket.tag),
            });
        }
        match u32::from_be_bytes([head[4], head[5], head[6], head[7]]) {
            0 => done(8, 0),
            length => {
                ticket.tag = BODY | u64::from(length);
                Ok(Progress::discard(8, u64::from(length)))
            }
        }
    }
}

impl Workload for EchoWorkload {
    type Session = EchoSession;

    fn open(&mut self, _route: RouteId, _conn: u32) -> EchoSession {
        EchoSession
    }

    fn next(&mut self, _route: RouteId, _conn: u32, n: u64) -> Next<u32> {
        Next::Ready(n as u32)
    }
}

impl Scenario for Echo {
    type Workload = EchoWorkload;

    fn tables(&self) -> Arc<Tables> {
        Arc::new(Tables {
            protocol: "echo",
            ops: vec![Cow::Borrowed("echo")],
            statuses: vec![Status {
                name: Cow::Borrowed("ok"),
                outcome: Outcome::Ok,
            }],
            causes: &["wrong_number"],
            apart: &[],
            written: 0,
        })
    }

    fn routes(&self) -> Vec<Route> {
        let mut routes = one_route();
        if let Some(endpoint) = &self.endpoint {
            routes[0].endpoints = vec![endpoint.clone()];
        }
        routes
    }

    fn workload(&self, _worker: usize, _workers: usize) -> EchoWorkload {
        EchoWorkload
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.per_connection
    }
}

/// Answers request `n` after what `delay_ns` says of it and of now; `None`: never.
pub(crate) struct EchoPeer<F> {
    delay_ns: F,
    body_bytes: u32,
    connect_ns: u64,
    frames: Frames,
}

impl<F: FnMut(u32, Tick) -> Option<u64>> EchoPeer<F> {
    pub(crate) fn new(delay_ns: F) -> Self {
        Self {
            delay_ns,
            body_bytes: 0,
            connect_ns: 1000,
            frames: Frames::default(),
        }
    }
}

pub(crate) fn reply(number: u32, body_bytes: u32) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(body_bytes.to_be_bytes());
    bytes.resize(8 + body_bytes as usize, 7);
    bytes
}

impl<F: FnMut(u32, Tick) -> Option<u64>> Peer for EchoPeer<F> {
    fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
        Accept::After(self.connect_ns)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], at: Tick, script: &mut Script) {
        for frame in self.frames.take(id, bytes, 4) {
            let number = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            if let Some(ns) = (self.delay_ns)(number, at) {
                script.add(ns, Action::Bytes(reply(number, self.body_bytes)));
            }
        }
    }
}

#[test]
fn every_delay_is_in_the_histogram() {
    let delay = |n: u32| if n.is_multiple_of(2) { MS } else { 3 * MS };
    let peer = EchoPeer::new(move |n, _| Some(delay(n)));
    let ran = run(&Echo::default(), peer, by_count(1000, 7, 1), |_| {});
    let expected = histogram((0..1000).map(delay));
    assert_eq!(ran.sum.response.answered, expected);
    assert_eq!(ran.sum.first_byte.answered, expected);
    assert_eq!(ran.sum.rows[&(0, 0)].response, expected);
    assert!(ran.sum.service.is_none() && ran.sum.response.censored.is_empty());
    let total = ran.sum.total;
    assert_eq!(
        (total.sent, total.completed, total.failed, total.units),
        (1000, 1000, 0, 1000)
    );
    assert_eq!((total.wire_tx_bytes, total.wire_rx_bytes), (4000, 8000));
    assert_eq!((total.payload_tx_bytes, total.payload_rx_bytes), (4000, 0));
    assert_eq!(ran.end.counts.opened, 7);
    assert_eq!(ran.end.counts.alive_at_end, 7);
    assert_eq!(ran.sum.connect.answered, histogram([1000; 7]));
}

#[test]
fn pipelined_replies_share_a_receive_and_keep_their_own_times() {
    // Four in flight; the peer answers each 2 ms after it came: one send of four, one receive.
    let peer = EchoPeer::new(|_, _| Some(2 * MS));
    let ran = run(&Echo::default(), peer, by_count(400, 1, 4), |_| {});
    assert_eq!(ran.sum.response.answered, histogram([2 * MS; 400]));
    assert_eq!(ran.sum.window.completed, 400);
    // 100 rounds of 2 ms.
    assert_eq!(ran.sum.last_end, Tick(1000 + 200 * MS));
}

#[test]
fn a_run_by_time_counts_latency_by_intended_and_rate_by_completion() {
    let peer = EchoPeer::new(|_, _| Some(3 * MS));
    let mut options = by_count(1, 1, 1);
    options.stop = loadgen_core::stop::Stop::After(Duration::from_millis(100));
    options.warmup = Duration::from_millis(10);
    let ran = run(&Echo::default(), peer, options, |_| {});
    // Sent at 0, 3, 6, … ms after the epoch, up to 108 ms; the last one ends at 111 ms.
    assert_eq!((ran.sum.total.sent, ran.sum.total.completed), (37, 37));
    // Intended in [10, 110): 12 … 108. Completed in it: those that end at 12 … 108.
    assert_eq!(ran.sum.response.answered.len(), 33);
    assert_eq!(ran.sum.window.completed, 33);
    assert_eq!(ran.sum.window.sent, 33);
}

#[test]
fn bytes_nobody_needs_are_discarded_and_counted() {
    for (body_bytes, piece_bytes) in [(1, 1), (100, 7), (100_000, 1460), (100_000, usize::MAX)] {
        for discard in [true, false] {
            let mut peer = EchoPeer::new(|_, _| Some(MS));
            peer.body_bytes = body_bytes;
            let mut options = by_count(20, 2, 3);
            options.discard = discard;
            let ran = run(&Echo::default(), peer, options, |sim| {
                sim.piece_bytes = piece_bytes;
            });
            let total = ran.sum.total;
            let what = format!("{body_bytes} {piece_bytes} {discard}");
            assert_eq!((total.completed, total.failed), (20, 0), "{what}");
            assert_eq!(total.payload_rx_bytes, 20 * u64::from(body_bytes), "{what}");
            assert_eq!(
                total.wire_rx_bytes,
                20 * (8 + u64::from(body_bytes)),
                "{what}"
            );
        }
    }
}

#[test]
fn a_connection_for_each_request_is_timed_from_its_connect() {
    let mut peer = EchoPeer::new(|_, _| Some(2 * MS));
    peer.connect_ns = 5 * MS;
    let echo = Echo {
        per_connection: Some(1),
        ..Echo::default()
    };
    let ran = run(&echo, peer, by_count(50, 4, 1), |_| {});
    assert_eq!(ran.sum.response.answered, histogram([7 * MS; 50]));
    assert_eq!(
        (ran.end.counts.opened, ran.end.counts.closed_by_us),
        (50, 50)
    );
    assert_eq!(ran.end.counts.lost, 0);
}

#[test]
fn a_limited_connection_is_replaced_after_its_last_reply() {
    let peer = EchoPeer::new(|_, _| Some(2 * MS));
    let echo = Echo {
        per_connection: Some(10),
        ..Echo::default()
    };
    let ran = run(&echo, peer, by_count(100, 1, 4), |_| {});
    assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (100, 0));
    assert_eq!(
        (ran.end.counts.opened, ran.end.counts.closed_by_us),
        (10, 10)
    );
}

#[test]
fn kept_sends_block_a_connection_until_they_are_out() {
    let peer = EchoPeer::new(|_, _| Some(MS));
    let ran = run(&Echo::default(), peer, by_count(100, 1, 2), |sim| {
        sim.flush_after_ns = 4 * MS;
    });
    assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (100, 0));
    // Replies come after 1 ms, the next pair goes out when the first is flushed.
    assert_eq!(ran.sum.response.answered, histogram([MS; 100]));
    assert!(ran.sum.last_end >= Tick(49 * 4 * MS));
}
