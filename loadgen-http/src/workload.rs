//! What one worker asks: the URLs of each route in a fixed, evenly mixed order.
//!
//! The order is a function of the plan and of the worker's number: it must never depend on time,
//! chance or replies.

use std::sync::Arc;

use loadgen_core::workload::{Next, RouteId, Workload};

use crate::session::HttpSession;
use crate::wire::request::Template;

/// The order in which the requests of one route are sent, over one period: every member as often
/// as its weight says, spread as evenly as whole numbers allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation(Arc<[u32]>);

impl Rotation {
    /// The order for these members, each a request and its weight. Weights are 1 or more; the sum
    /// is what the plan limits.
    #[must_use]
    pub fn new(members: &[(u32, u32)]) -> Self {
        let divisor = members
            .iter()
            .fold(0, |a, (_, weight)| gcd(a, *weight))
            .max(1);
        // The k-th of w turns is due in the middle of the k-th of w equal parts of the period.
        let mut turns: Vec<(u64, u64, u32)> = Vec::new();
        for (request, weight) in members {
            let weight = u64::from(weight / divisor);
            turns.extend((0..weight).map(|k| (2 * k + 1, weight, *request)));
        }
        turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
        Self(turns.into_iter().map(|(_, _, request)| request).collect())
    }

    /// The requests of one period.
    #[must_use]
    pub fn period(&self) -> &[u32] {
        &self.0
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A worker's place in a rotation.
///
/// Workers go in pairs, one forward and one backward from the same place: what two of them have
/// asked is always one unbroken stretch, so that their sum is exact whenever it is a multiple of
/// the period. The pairs begin evenly apart.
#[derive(Clone, Debug)]
pub struct Turn {
    rotation: Rotation,
    /// The next one going forward, or the one after the next going backward.
    at: usize,
    backward: bool,
}

impl Turn {
    /// The place of `worker` of `workers`.
    #[must_use]
    pub fn new(rotation: Rotation, worker: usize, workers: usize) -> Self {
        let pairs = workers.div_ceil(2).max(1);
        let at = (worker / 2) % pairs * rotation.0.len() / pairs;
        Self {
            rotation,
            at,
            backward: worker % 2 == 1,
        }
    }

    /// The next request; `None` where the route has none.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        let period = &self.rotation.0;
        if self.backward {
            self.at = self.at.checked_sub(1).or(period.len().checked_sub(1))?;
            return period.get(self.at).copied();
        }
        let request = period.get(self.at).copied()?;
        self.at += 1;
        if self.at == period.len() {
            self.at = 0;
        }
        Some(request)
    }
}

/// What one worker asks.
#[derive(Debug)]
pub struct HttpWorkload {
    templates: Arc<[Template]>,
    requests_per_connection: Option<u64>,
    turns: Vec<Turn>,
}

impl HttpWorkload {
    /// The work of one worker: the requests, and its place in each route's rotation.
    #[must_use]
    pub fn new(
        templates: Arc<[Template]>,
        turns: Vec<Turn>,
        requests_per_connection: Option<u64>,
    ) -> Self {
        Self {
            templates,
            requests_per_connection,
            turns,
        }
    }
}

impl Workload for HttpWorkload {
    type Session = HttpSession;

    fn open(&mut self, _route: RouteId, _conn: u32) -> HttpSession {
        HttpSession::new(Arc::clone(&self.templates), self.requests_per_connection)
    }

    #[inline]
    fn next(&mut self, route: RouteId, _conn: u32, _n: u64) -> Next<u32> {
        match self.turns.get_mut(route).and_then(Turn::take) {
            Some(request) => Next::Ready(request),
            None => Next::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(asked: &[u32], request: u32) -> usize {
        asked.iter().filter(|asked| **asked == request).count()
    }

    fn asked(rotation: &Rotation, worker: usize, workers: usize, requests: usize) -> Vec<u32> {
        let mut turn = Turn::new(rotation.clone(), worker, workers);
        (0..requests).map(|_| turn.take().unwrap()).collect()
    }

    #[test]
    fn nine_to_one_is_exact_in_every_ten() {
        let rotation = Rotation::new(&[(0, 9), (1, 1)]);
        for worker in 0..4 {
            let asked = asked(&rotation, worker, 4, 1000);
            for window in asked.windows(10) {
                assert_eq!(count(window, 1), 1);
            }
        }
    }

    #[test]
    fn weights_are_reduced_and_evenly_spread() {
        assert_eq!(Rotation::new(&[(0, 500), (1, 500)]).period(), [0, 1]);
        assert_eq!(Rotation::new(&[(7, 3)]).period(), [7]);
        assert_eq!(
            Rotation::new(&[(0, 5), (1, 1), (2, 1)]).period(),
            [0, 0, 0, 1, 2, 0, 0]
        );
        let three = Rotation::new(&[(0, 5), (1, 3), (2, 2)]);
        assert_eq!([0, 1, 2].map(|r| count(three.period(), r)), [5, 3, 2]);
        assert!(three.period().windows(3).all(|w| count(w, 0) <= 2));
    }

    #[test]
    fn two_workers_add_up_exactly_however_they_share() {
        let rotation = Rotation::new(&[(0, 5), (1, 3), (2, 2)]);
        for first in 0..=100 {
            let mut all = asked(&rotation, 0, 2, first);
            all.extend(asked(&rotation, 1, 2, 100 - first));
            assert_eq!([0, 1, 2].map(|r| count(&all, r)), [50, 30, 20], "{first}");
        }
    }

    #[test]
    fn a_route_without_requests_is_idle() {
        let mut turn = Turn::new(Rotation::new(&[]), 0, 1);
        assert_eq!(turn.take(), None);
        let mut turn = Turn::new(Rotation::new(&[]), 1, 2);
        assert_eq!(turn.take(), None);
    }
}
