//! Which partition the next batch of one worker goes to.

use std::rc::Rc;

use loadgen_core::protocol::Ticket;
use loadgen_core::workload::{Next, Route, RouteId, Workload};
use serde_json::Value;

use super::local::Local;
use super::session::{Ask, ProduceSession};
use crate::spec::Partitioner;

/// One worker's producers.
#[derive(Debug)]
pub struct ProduceWorkload {
    local: Rc<Local>,
    opened: u64,
    /// By route.
    turns: Vec<Turn>,
    /// As core knows them; none where somebody else tells it.
    routes: Vec<Route>,
    /// Of the leaders, that were seen.
    moves: u64,
}

impl ProduceWorkload {
    /// For worker number `worker`, on what its sessions share.
    #[must_use]
    pub fn new(local: Rc<Local>, worker: usize) -> Self {
        let routes = local.rules.topic.brokers.len();
        Self {
            local,
            opened: 0,
            turns: vec![Turn::beginning_at(worker); routes],
            routes: Vec::new(),
            moves: 0,
        }
    }

    /// With the routes whose shares of the rate follow the leaders.
    #[must_use]
    pub fn with_routes(mut self, routes: Vec<Route>) -> Self {
        self.routes = routes;
        self
    }

    /// [`super::ProduceRules::rate_weights`], when leaders moved since the last call.
    #[inline]
    pub fn weights_changed(&mut self) -> Option<Vec<u32>> {
        let rules = &self.local.rules;
        let moves = rules.topic.moves();
        if moves == self.moves {
            return None;
        }
        self.moves = moves;
        Some(rules.rate_weights())
    }

    /// The next partition that `route` leads; one that was refused lately only where there is no
    /// other.
    fn partition(&mut self, route: RouteId) -> Option<u32> {
        self.pass(route, |local, at| !local.holds(at, route))
            .or_else(|| self.pass(route, |_, _| true))
    }

    fn pass(&mut self, route: RouteId, free: impl Fn(&Local, u32) -> bool) -> Option<u32> {
        let rules = &self.local.rules;
        let count = rules.topic.partitions.len();
        let may = |at: usize| {
            let ours = rules.topic.leader(at) == Some(route);
            ours && rules.template(at, false).is_some() && free(&self.local, at as u32)
        };
        let turn = self.turns.get_mut(route)?;
        turn.next(count, rules.partitioner, may).map(|at| at as u32)
    }
}

/// Where a producer goes round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    at: usize,
    /// Batches that the partition at hand has had.
    had: u32,
}

impl Turn {
    /// Workers begin at different partitions.
    pub(crate) const fn beginning_at(worker: usize) -> Self {
        Self { at: worker, had: 0 }
    }

    /// The next of `count` positions where a batch `may` go, each so often in a row as `partitioner`
    /// says.
    pub(crate) fn next(
        &mut self,
        count: usize,
        partitioner: Partitioner,
        may: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let stay = match partitioner {
            Partitioner::Sticky { batches } => batches.max(1),
            Partitioner::RoundRobin | Partitioner::ByKey => 1,
        };
        if self.had >= stay {
            (self.at, self.had) = (self.at + 1, 0);
        }
        for _ in 0..count {
            let at = self.at % count;
            if may(at) {
                self.had += 1;
                return Some(at);
            }
            (self.at, self.had) = (self.at + 1, 0);
        }
        None
    }
}

impl Workload for ProduceWorkload {
    type Session = ProduceSession;

    fn routes_changed(&mut self) -> Option<Vec<Route>> {
        let weights = self.weights_changed()?;
        for (route, weight) in self.routes.iter_mut().zip(weights) {
            route.rate_weight = weight;
        }
        (!self.routes.is_empty()).then(|| self.routes.clone())
    }

    fn open(&mut self, route: RouteId, conn: u32) -> ProduceSession {
        self.opened += 1;
        ProduceSession::new(&self.local, route, u64::from(conn) << 32 | self.opened)
    }

    fn next(&mut self, route: RouteId, _conn: u32, _n: u64) -> Next<Ask> {
        match self.partition(route) {
            Some(partition) => Next::Ready(Ask {
                partition,
                last: self.local.rules.takes_the_last(),
            }),
            None => Next::Idle,
        }
    }

    fn lost(&mut self, _route: RouteId, _conn: u32, tickets: &[Ticket]) {
        let (answered, written): (Vec<&Ticket>, Vec<&Ticket>) =
            tickets.iter().partition(|ticket| ticket.answered);
        let records = written.iter().map(|ticket| u64::from(ticket.units)).sum();
        self.local.lost(answered.len() as u64, records);
        self.local.rules.topic.doubt();
    }

    fn details(&mut self) -> Value {
        self.local.details()
    }
}
