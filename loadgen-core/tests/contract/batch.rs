//! The second toy: quiet batches. Many units a request, a reply only for what was found, and
//! requests that no reply answers at all.

use std::borrow::Cow;
use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::protocol::{
    Fault, Input, Outcome, Progress, Reply, Session, Status, Tables, Tally, Then, Ticket,
};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Endpoint, Next, Route, RouteId, Scenario, Workload};

use crate::harness::{MS, by_count, histogram, one_route, run};

const KEYS: u32 = 10;
const HIT: u16 = 0;
const MISS: u16 = 1;
const WRITTEN: u16 = 2;

/// Every third request is a write without an answer.
#[derive(Default)]
struct Batch {
    per_connection: Option<u64>,
}
struct BatchSession;
struct BatchWorkload;

enum Ask {
    Get,
    Put,
}

impl Session for BatchSession {
    type Request = Ask;
    type Feedback = ();

    fn encode(&mut self, request: Ask, _at: Tick, out: &mut Outbox) -> Ticket {
        let (op, answered, byte) = match request {
            Ask::Get => (0, true, b'g'),
            Ask::Put => (1, false, b'p'),
        };
        out.put(&[byte]);
        Ticket {
            op,
            units: KEYS,
            answered,
            payload_tx_bytes: 0,
            tag: 0,
        }
    }

    /// A hit is one byte `h`; `.` ends the batch. What was skipped is a miss.
    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        let hits = input.bytes.iter().take_while(|b| **b == b'h').count();
        ticket.tag += hits as u64;
        if input.bytes.get(hits) != Some(&b'.') {
            return Ok(Progress::more(hits));
        }
        let units = ticket.tag as u32;
        if units < KEYS {
            tally.add(ticket.op, MISS, KEYS - units);
        }
        let payload_rx_bytes = Some(u64::from(units));
        let (then, origin, feedback) = (Then::Reuse, None, None);
        let reply = Reply {
            status: HIT,
            units,
            payload_rx_bytes,
            origin,
            then,
            feedback,
        };
        Ok(Progress {
            eaten: hits + 1,
            discard: 0,
            done: Some(reply),
        })
    }
}

impl Workload for BatchWorkload {
    type Session = BatchSession;

    fn open(&mut self, _route: RouteId, _conn: u32) -> BatchSession {
        BatchSession
    }

    fn next(&mut self, _route: RouteId, _conn: u32, n: u64) -> Next<Ask> {
        Next::Ready(if n % 3 == 2 { Ask::Put } else { Ask::Get })
    }
}

impl Scenario for Batch {
    type Workload = BatchWorkload;

    fn tables(&self) -> Arc<Tables> {
        let status = |name, outcome| Status {
            name: Cow::Borrowed(name),
            outcome,
        };
        Arc::new(Tables {
            protocol: "batch",
            ops: vec![Cow::Borrowed("get"), Cow::Borrowed("put")],
            statuses: vec![
                status("hit", Outcome::Ok),
                status("miss", Outcome::Empty),
                status("written", Outcome::Ok),
            ],
            causes: &[],
            apart: &[],
            written: WRITTEN,
        })
    }

    fn routes(&self) -> Vec<Route> {
        one_route()
    }

    fn workload(&self, _worker: usize, _workers: usize) -> BatchWorkload {
        BatchWorkload
    }

    fn requests_per_connection(&self) -> Option<u64> {
        self.per_connection
    }
}

/// Finds 7 of 10 keys.
struct Store;

impl Peer for Store {
    fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
        Accept::After(1000)
    }

    fn receive(&mut self, _id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        for _ in bytes.iter().filter(|b| **b == b'g') {
            script.add(MS, Action::Bytes(b"hhhhhhh.".to_vec()));
        }
    }
}

fn check(connections: u32, depth: u32, piece_bytes: usize, flush_after_ns: u64) {
    let ran = run(
        &Batch::default(),
        Store,
        by_count(300, connections, depth),
        |sim| {
            sim.piece_bytes = piece_bytes;
            sim.flush_after_ns = flush_after_ns;
        },
    );
    let what = format!("{connections} × {depth}, {piece_bytes} B, {flush_after_ns} ns");
    let total = ran.sum.total;
    assert_eq!(
        (total.sent, total.completed, total.failed),
        (300, 300, 0),
        "{what}"
    );
    assert_eq!(total.units, 3000, "{what}");
    let row = |op, status| {
        let row = &ran.sum.rows[&(op, status)];
        (row.total_count, row.total_units)
    };
    assert_eq!(row(0, HIT), (200, 1400), "{what}");
    assert_eq!(row(0, MISS), (0, 600), "{what}");
    assert_eq!(row(1, WRITTEN), (100, 1000), "{what}");
    if flush_after_ns == 0 && depth == 1 {
        let written = &ran.sum.rows[&(1, WRITTEN)].response;
        assert_eq!(*written, histogram([0; 100]), "complete when written");
        assert_eq!(ran.sum.rows[&(0, HIT)].response, histogram([MS; 200]));
    }
}

#[test]
fn a_batch_is_one_request_and_many_units() {
    for (connections, depth) in [(1, 1), (4, 1), (1, 8), (3, 5)] {
        for piece_bytes in [usize::MAX, 1, 3] {
            check(connections, depth, piece_bytes, 0);
            check(connections, depth, piece_bytes, 2 * MS);
        }
    }
}

#[test]
fn a_connection_whose_last_request_has_no_reply_is_replaced_when_that_is_written() {
    let batch = Batch {
        per_connection: Some(3),
    };
    for flush_after_ns in [0, MS] {
        let ran = run(&batch, Store, by_count(300, 2, 1), |sim| {
            sim.flush_after_ns = flush_after_ns;
        });
        assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (300, 0));
        assert_eq!(ran.end.counts.opened, 100);
        assert_eq!(ran.end.counts.closed_by_us, 100);
    }
}
