//! What one worker fetches next: whatever is free at the broker in question.

use std::rc::Rc;

use loadgen_core::protocol::Ticket;
use loadgen_core::workload::{Next, RouteId, Workload};
use serde_json::Value;

use super::local::Local;
use super::session::{Ask, FetchSession};
use crate::tables::Op;

/// One worker's consumers.
#[derive(Debug)]
pub struct FetchWorkload {
    local: Rc<Local>,
    opened: u64,
}

impl FetchWorkload {
    /// On what the sessions of the worker share.
    #[must_use]
    pub fn new(local: Rc<Local>) -> Self {
        Self { local, opened: 0 }
    }
}

impl Workload for FetchWorkload {
    type Session = FetchSession;

    fn open(&mut self, _route: RouteId, conn: u32) -> FetchSession {
        self.opened += 1;
        FetchSession::new(&self.local, u64::from(conn) << 32 | self.opened)
    }

    fn next(&mut self, route: RouteId, _conn: u32, n: u64) -> Next<Ask> {
        let rules = &self.local.rules;
        if rules.cursors.is_over() {
            return Next::Done;
        }
        let slots = rules.slots.get(route).copied().unwrap_or(1);
        let mut op = Op::Wait;
        let place = self.local.keep(|claims| {
            rules.cursors.claim(&rules.topic, route, slots, n, claims);
            // One that has records makes the broker answer at once.
            if claims.iter().any(|claim| !claim.at_end) {
                op = Op::Fetch;
            }
        });
        match place {
            Some(place) => Next::Ready(Ask { place, op }),
            None => Next::Idle,
        }
    }

    fn lost(&mut self, _route: RouteId, _conn: u32, tickets: &[Ticket]) {
        for ticket in tickets {
            self.local.over(ticket.tag as u32, |_| false);
        }
        self.local.rules.topic.doubt();
    }

    fn details(&mut self) -> Value {
        self.local.details()
    }
}
