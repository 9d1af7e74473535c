//! What one worker fetches next: whatever is free at the broker in question.

use std::rc::Rc;

use loadgen_core::protocol::Ticket;
use loadgen_core::workload::{Next, RouteId, Workload};
use serde_json::Value;

use super::cursors::Asking;
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

    fn next(&mut self, route: RouteId, _conn: u32, n: u64) -> Next<Ask> {
        let losses = self.local.rules.topic.losses();
        if losses != self.losses {
            self.lose(losses);
        }
        if self.local.rules.cursors.is_over() {
            return Next::Done;
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
