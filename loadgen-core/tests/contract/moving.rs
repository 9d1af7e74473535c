//! An echo that only one of two routes answers, and which one changes: the whole rate goes where it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadgen_core::engine::EngineOptions;
use loadgen_core::pace::{Arrival, Dispatch, Pacing};
use loadgen_core::protocol::Tables;
use loadgen_core::stop::Stop;
use loadgen_core::workload::{Next, Route, RouteId, Scenario, Workload};

use crate::echo::{Echo, EchoPeer, EchoSession};
use crate::harness::{MS, Ran, by_count, route, run};

/// No route.
const NOBODY: usize = usize::MAX;

/// Which route is answered; counts of what it was told since.
#[derive(Default)]
struct Leader {
    route: AtomicUsize,
    /// Requests so far.
    requests: AtomicUsize,
    /// In vain.
    asked: AtomicUsize,
}

impl Leader {
    fn is(&self, route: RouteId) -> bool {
        self.route.load(Ordering::Relaxed) == route
    }

    fn routes(&self) -> Vec<Route> {
        let mut routes = vec![route("first", 1), route("second", 1)];
        for (at, route) in routes.iter_mut().enumerate() {
            route.rate_weight = u32::from(self.is(at));
        }
        routes
    }
}

/// The first route is answered; after so many requests none is, until it was asked so many times in
/// vain, and then the second.
#[derive(Clone, Copy)]
struct When {
    gone_after: usize,
    found_after: usize,
}

/// It is never gone.
const STAYS: When = When {
    gone_after: usize::MAX,
    found_after: usize::MAX,
};

struct Moving {
    leader: Arc<Leader>,
    when: When,
}

struct MovingWorkload {
    leader: Arc<Leader>,
    when: When,
    said: usize,
}

impl Workload for MovingWorkload {
    type Session = EchoSession;

    fn routes_changed(&mut self) -> Option<Vec<Route>> {
        let now = self.leader.route.load(Ordering::Relaxed);
        if now == NOBODY || now == self.said {
            return None;
        }
        self.said = now;
        Some(self.leader.routes())
    }

    fn open(&mut self, _route: RouteId, _conn: u32) -> EchoSession {
        EchoSession
    }

    fn next(&mut self, route: RouteId, _conn: u32, n: u64) -> Next<u32> {
        let leader = &self.leader;
        if leader.is(route) {
            if leader.requests.fetch_add(1, Ordering::Relaxed) + 1 == self.when.gone_after {
                leader.route.store(NOBODY, Ordering::Relaxed);
            }
            return Next::Ready(n as u32);
        }
        if leader.is(NOBODY)
            && leader.asked.fetch_add(1, Ordering::Relaxed) == self.when.found_after
        {
            leader.route.store(1, Ordering::Relaxed);
        }
        Next::Idle
    }
}

impl Scenario for Moving {
    type Workload = MovingWorkload;

    fn tables(&self) -> Arc<Tables> {
        Echo::default().tables()
    }

    fn routes(&self) -> Vec<Route> {
        self.leader.routes()
    }

    fn workload(&self, _worker: usize, _workers: usize) -> MovingWorkload {
        MovingWorkload {
            leader: Arc::clone(&self.leader),
            when: self.when,
            said: 0,
        }
    }
}

fn ran(when: When, dispatch: Dispatch, stop: Stop) -> Ran {
    ran_at(
        Pacing::Open {
            rate_per_s: 1000.0,
            arrival: Arrival::Fixed,
        },
        when,
        dispatch,
        stop,
    )
}

fn ran_at(pacing: Pacing, when: When, dispatch: Dispatch, stop: Stop) -> Ran {
    let scenario = Moving {
        leader: Arc::default(),
        when,
    };
    let options = EngineOptions {
        pacing,
        dispatch,
        stop,
        ..by_count(1, 8, 1)
    };
    let peer = EchoPeer::new(|_, _| Some(MS / 10));
    run(&scenario, peer, options, |_| {})
}

#[test]
fn a_route_where_nothing_can_be_asked_has_no_share_of_the_rate() {
    for dispatch in [Dispatch::Pool, Dispatch::Pinned] {
        let second = Stop::After(Duration::from_secs(1));
        let by_time = ran(STAYS, dispatch, second).sum.total;
        assert_eq!((by_time.sent, by_time.unsent), (1000, 0));
        let by_count = ran(STAYS, dispatch, Stop::Requests(501)).sum.total;
        let (first, last) = by_count.schedule.expect("an open loop");
        assert_eq!((by_count.sent, last.since(first)), (501, 500 * MS));
    }
}

#[test]
fn a_schedule_moves_with_those_who_answer_and_nothing_of_it_is_lost() {
    for dispatch in [Dispatch::Pool, Dispatch::Pinned] {
        let second = Stop::After(Duration::from_secs(1));
        let when = When {
            gone_after: 500,
            found_after: 5,
        };
        let sum = ran(when, dispatch, second).sum;
        assert_eq!((sum.total.sent, sum.total.unsent), (1000, 0));
        // What was due while nobody answered went out late, and is as late as it is.
        let lag = &sum.lag.answered;
        let late = lag.len() - lag.count_between(0, MS / 2);
        assert!((2..100).contains(&late), "{dispatch:?} {late}");
        assert!(lag.max() < 200 * MS && lag.max() > MS, "{}", lag.max());
    }
}

/// All connections are there, and there is nobody who can be asked: found out in half a minute, and not
/// before.
#[test]
fn a_run_by_count_that_gets_nowhere_is_given_up() {
    let open = Pacing::Open {
        rate_per_s: 1000.0,
        arrival: Arrival::Fixed,
    };
    // Some 20 s: eight connections that are asked every 64 ms, one route, four connections of it.
    for (pacing, dispatch, asked) in [
        (Pacing::Closed, Dispatch::Pool, 2400),
        (open, Dispatch::Pool, 300),
        (open, Dispatch::Pinned, 1200),
    ] {
        let when = |found_after| When {
            gone_after: 500,
            found_after,
        };
        let lost = ran_at(pacing, when(usize::MAX), dispatch, Stop::Requests(1000));
        assert!(lost.end.gave_up);
        assert_eq!(lost.sum.total.completed, 500, "{pacing:?} {dispatch:?}");
        assert!((30_000 * MS..32_000 * MS).contains(&lost.sum.last_end.0));
        let found = ran_at(pacing, when(asked), dispatch, Stop::Requests(1000));
        assert!(!found.end.gave_up);
        assert_eq!(found.sum.total.completed, 1000, "{pacing:?} {dispatch:?}");
        assert!(found.sum.last_end.0 > 15_000 * MS);
    }
}

/// What is rare is not dead.
#[test]
fn a_request_a_minute_is_waited_for() {
    let minutely = Pacing::Open {
        rate_per_s: 1.0 / 60.0,
        arrival: Arrival::Fixed,
    };
    let ran = ran_at(minutely, STAYS, Dispatch::Pool, Stop::Requests(3));
    assert!(!ran.end.gave_up);
    assert_eq!(ran.sum.total.completed, 3);
}
