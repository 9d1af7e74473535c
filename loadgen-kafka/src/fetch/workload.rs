//! What one worker fetches next: whatever is free at the broker in question.

use std::rc::Rc;

use loadgen_core::protocol::Ticket;
use loadgen_core::workload::{Next, RouteId, Workload};
use serde_json::Value;

use super::cursors::{Asking, Claim};
use super::local::Local;
use super::session::{Ask, FetchSession};
use crate::tables::Op;

/// One worker's consumers.
#[derive(Debug)]
pub struct FetchWorkload {
    local: Rc<Local>,
    opened: u64,
    /// Partitions that are known to be waited for no more.
    losses: u64,
    /// The most requests that core had on a connection at once, or would have.
    depth: u32,
    shares: Vec<Share>,
}

/// How many cursors a fetch at a route reads at, and what it was counted by: it is counted again only
/// when that has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    moves: u64,
    over: usize,
    cursors: Option<usize>,
}

impl FetchWorkload {
    /// On what the sessions of the worker share.
    #[must_use]
    pub fn new(local: Rc<Local>) -> Self {
        let routes = local.rules.slots.len();
        Self {
            local,
            opened: 0,
            losses: 0,
            depth: 1,
            shares: vec![Share::default(); routes],
        }
    }

    /// Ends what nobody waits for any more.
    #[cold]
    fn lose(&mut self, losses: u64) {
        self.losses = losses;
        let rules = &self.local.rules;
        for _ in 0..rules.cursors.give_up_lost(&rules.topic) {
            self.local.gave_up();
        }
    }

    fn share(&mut self, route: RouteId) -> usize {
        let rules = &self.local.rules;
        let (moves, over) = (rules.topic.moves(), rules.cursors.over());
        let Some(share) = self.shares.get_mut(route) else {
            return 1;
        };
        match share.cursors {
            Some(cursors) if (share.moves, share.over) == (moves, over) => cursors,
            _ => {
                let slots = rules.slots[route];
                let cursors = rules.cursors.share(&rules.topic, route, slots);
                *share = Share {
                    moves,
                    over,
                    cursors: Some(cursors),
                };
                cursors
            }
        }
    }
}

impl Workload for FetchWorkload {
    type Session = FetchSession;

    fn open(&mut self, _route: RouteId, conn: u32) -> FetchSession {
        self.opened += 1;
        FetchSession::new(&self.local, u64::from(conn) << 32 | self.opened)
    }

    fn next(&mut self, route: RouteId, conn: u32, n: u64) -> Next<Ask> {
        let losses = self.local.rules.topic.losses();
        if losses != self.losses {
            self.lose(losses);
        }
        if self.local.rules.cursors.is_over() {
            return Next::Done;
        }
        let line = self.local.line(conn);
        self.depth = self.depth.max(line.fetches + 1);
        // A broker answers a connection in order: what is behind one that waits would wait too.
        if line.waits {
            return Next::Idle;
        }
        let asking = Asking {
            route,
            share: self.share(route),
            from: n,
            now: self.local.now.get(),
        };
        let rules = &self.local.rules;
        let mut op = Op::Wait;
        let place = self.local.keep(|claims| {
            rules.cursors.claim(&rules.topic, &asking, claims);
            // One that has records makes the broker answer at once.
            let waits = |claims: &[Claim]| claims.iter().all(|claim| claim.at_end);
            if waits(claims) && self.depth > 1 && line.fetches == 0 {
                // It will be alone on its connection, so it waits for what all of them would have.
                let share = asking.share.saturating_mul(self.depth as usize);
                let more = Asking { share, ..asking };
                rules.cursors.claim_more(&rules.topic, &more, claims);
            }
            if !waits(claims) {
                op = Op::Fetch;
            }
        });
        let Some(place) = place else {
            return Next::Idle;
        };
        if op == Op::Wait && line.fetches > 0 {
            // It is asked for when the others are back.
            self.local.drop_kept(place);
            return Next::Idle;
        }
        self.local.sent(place, conn, op == Op::Wait);
        Next::Ready(Ask { place, op })
    }

    fn lost(&mut self, _route: RouteId, _conn: u32, tickets: &[Ticket]) {
        for ticket in tickets {
            self.local.lost(ticket.tag as u32);
        }
        self.local.rules.topic.doubt();
    }

    fn details(&mut self) -> Value {
        self.local.details()
    }
}
