//! Open loop: due requests find the connections of their route that are free.
//!
//! A connection that is free takes a place in its route's queue; the route's pacer gives each due
//! request to the one that has waited longest. While none is free the requests stay due at their
//! own ticks: nothing is skipped, and the lag is counted when they are sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use loadgen_core::engine::{Dealt, EngineOptions, shares};
use loadgen_core::pace::{Arrival, Pacing, Part, Schedule};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Route, RouteId};
use tokio::sync::{Notify, oneshot};

use super::work::{Job, Stage, Work};

/// The arrivals of one route on this worker, before their epoch is known.
#[derive(Clone, Copy, Debug)]
struct Blueprint {
    arrival: Arrival,
    rate_per_s: f64,
    part: Part,
    seed: u64,
}

/// One route.
#[derive(Debug)]
struct Pool {
    blueprint: Option<Blueprint>,
    schedule: RefCell<Option<Schedule>>,
    free: RefCell<VecDeque<oneshot::Sender<Job>>>,
    /// Given to a connection that was gone before it began.
    returned: RefCell<VecDeque<Job>>,
    /// A connection is free.
    freed: Notify,
    /// A request came back.
    back: Notify,
}

impl Pool {
    fn head(&self) -> Tick {
        let schedule = self.schedule.borrow();
        schedule.as_ref().map_or(Tick::NEVER, Schedule::head)
    }

    fn take(&self) -> Tick {
        let mut schedule = self.schedule.borrow_mut();
        schedule.as_mut().map_or(Tick::NEVER, Schedule::take)
    }

    /// A connection that is free and still there.
    fn claim(&self) -> Option<oneshot::Sender<Job>> {
        let mut free = self.free.borrow_mut();
        loop {
            let place = free.pop_front()?;
            if !place.is_closed() {
                return Some(place);
            }
        }
    }
}

/// All routes of one worker.
#[derive(Debug)]
pub(super) struct Pools(Vec<Pool>);

impl Pools {
    /// `None` in a closed loop. The arrivals are those of the native engine, tick for tick.
    pub(super) fn new(
        options: &EngineOptions,
        routes: &[Route],
        dealt: &[Dealt],
        workers: usize,
    ) -> Option<Self> {
        let Pacing::Open {
            rate_per_s,
            arrival,
        } = options.pacing
        else {
            return None;
        };
        let counts = shares(options.connections, routes);
        let weights: f64 = routes.iter().map(|r| f64::from(r.weight.max(1))).sum();
        let pool = |route: RouteId| {
            let mine = dealt.iter().filter(|d| d.route == route);
            let index = mine.map(|d| d.of_route).min();
            let blueprint = index.map(|index| Blueprint {
                arrival,
                rate_per_s: rate_per_s * f64::from(routes[route].weight.max(1)) / weights,
                part: Part {
                    index: u64::from(index),
                    of: u64::from(counts[route]).min(workers as u64),
                    phase: route as f64 / routes.len() as f64,
                },
                seed: options.seed.wrapping_add(route as u64 * 0x9e37_79b9),
            });
            Pool {
                blueprint,
                schedule: RefCell::new(None),
                free: RefCell::default(),
                returned: RefCell::default(),
                freed: Notify::new(),
                back: Notify::new(),
            }
        };
        Some(Self((0..routes.len()).map(pool).collect()))
    }

    /// How many routes there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The epoch is known.
    pub(super) fn plan(&self, epoch: Tick) {
        for pool in &self.0 {
            let plan = |b: Blueprint| Schedule::new(b.arrival, b.rate_per_s, b.part, b.seed, epoch);
            *pool.schedule.borrow_mut() = pool.blueprint.map(plan);
        }
    }

    /// Waits for a due request of `route`.
    pub(super) async fn turn(&self, route: RouteId) -> Option<Job> {
        let pool = &self.0[route];
        let (place, given) = oneshot::channel();
        pool.free.borrow_mut().push_back(place);
        pool.freed.notify_one();
        let mut waiting = Waiting { pool, given };
        (&mut waiting.given).await.ok()
    }

    /// Hands every request due before `end` and never sent to `each`.
    pub(super) fn unsent(&self, end: Tick, mut each: impl FnMut(Tick)) {
        for pool in &self.0 {
            for job in pool.returned.borrow_mut().drain(..) {
                each(job.intended.unwrap_or(end));
            }
            while end != Tick::NEVER && pool.head() < end {
                each(pool.take());
            }
        }
    }
}

/// A connection that waits for a request.
#[derive(Debug)]
struct Waiting<'a> {
    pool: &'a Pool,
    given: oneshot::Receiver<Job>,
}

impl Drop for Waiting<'_> {
    /// The connection is gone: a request that it was given and did not take goes to another.
    fn drop(&mut self) {
        self.given.close();
        if let Ok(job) = self.given.try_recv() {
            self.pool.returned.borrow_mut().push_back(job);
            self.pool.back.notify_one();
        }
    }
}

/// Gives the requests of `route` to its connections as they become due, until nothing is left.
pub(super) async fn pace(work: Rc<Work>, route: RouteId) {
    let Some(pools) = &work.pools else {
        return;
    };
    let pool = &pools.0[route];
    loop {
        let head = pool.head();
        let returned = !pool.returned.borrow().is_empty();
        if !returned && head > work.now() {
            if head >= work.window.get().end {
                return;
            }
            tokio::select! {
                () = work.timer.wait(work.instant(head)) => {}
                () = pool.back.notified() => {}
            }
            continue;
        }
        let Some(place) = pool.claim() else {
            pool.freed.notified().await;
            continue;
        };
        if work.stage.get() != Stage::Run {
            return;
        }
        let job = pool.returned.borrow_mut().pop_front();
        let job = match job {
            Some(job) => job,
            None => match work.ask(route) {
                Some(request) => Job {
                    request,
                    intended: Some(pool.take()),
                },
                None => return,
            },
        };
        if let Err(job) = place.send(job) {
            pool.returned.borrow_mut().push_front(job);
        }
    }
}
