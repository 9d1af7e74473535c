//! What makes a worker's requests due: completions, or schedules of routes and connections.
//!
//! Which part of a route's arrivals a worker or a connection gets is decided here, for every client
//! alike, so that the parts always add up to the whole. Nothing here may read a clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::deal::{Dealt, shares};
use super::options::EngineOptions;
use super::ready::Ready;
use crate::driver::Slot;
use crate::pace::{Arrival, Dispatch, Evenly, Pacing, Part, Schedule};
use crate::time::Tick;
use crate::workload::{Route, RouteId};

/// How long a route or connection with nothing to ask is left alone at first, ns; doubled while
/// that goes on.
const IDLE_NS: u64 = 1_000_000;
/// The longest it is left alone, ns.
const IDLE_MAX_NS: u64 = 64_000_000;

/// How long to leave alone what was left alone for `last_ns` and still had nothing to ask.
pub(super) fn next_idle_ns(last_ns: u64) -> u64 {
    (last_ns * 2).clamp(IDLE_NS, IDLE_MAX_NS)
}

/// The part of the whole rate that `route` gets; 0 where it is not paced.
fn rate_share(routes: &[Route], route: RouteId) -> f64 {
    let paced = || routes.iter().filter(|route| route.paced);
    let none = paced().all(|route| route.rate_weight == 0);
    let weight = |route: &Route| match none {
        true => f64::from(route.weight.max(1)),
        false => f64::from(route.rate_weight),
    };
    if routes[route].paced {
        weight(&routes[route]) / paced().map(weight).sum::<f64>()
    } else {
        0.0
    }
}

/// A schedule before its epoch is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blueprint {
    arrival: Arrival,
    rate_per_s: f64,
    part: Part,
    seed: u64,
}

impl Blueprint {
    /// Part `index` of `of` of the arrivals of `route`; `None` in a closed loop.
    fn new(
        options: &EngineOptions,
        routes: &[Route],
        route: RouteId,
        index: u32,
        of: u32,
    ) -> Option<Self> {
        let Pacing::Open {
            rate_per_s,
            arrival,
        } = options.pacing
        else {
            return None;
        };
        let share = rate_share(routes, route);
        if share == 0.0 {
            return None;
        }
        let phase = route as f64 / routes.len() as f64;
        Some(Self {
            arrival,
            rate_per_s: rate_per_s * share,
            part: Part {
                index: u64::from(index),
                of: u64::from(of),
                phase,
            },
            seed: options.seed.wrapping_add(route as u64 * 0x9e37_79b9),
        })
    }

    /// What the worker with these connections gets of the arrivals of `route`; `None` where it has
    /// no connection there, where the route has no share of the rate, and in a closed loop.
    #[must_use]
    pub fn of_worker(
        options: &EngineOptions,
        routes: &[Route],
        dealt: &[Dealt],
        workers: usize,
        route: RouteId,
    ) -> Option<Self> {
        // The first connections of a route go one to each worker (see `deal`).
        let index = dealt
            .iter()
            .filter(|d| d.route == route)
            .map(|d| d.of_route)
            .min()?;
        let count = shares(options.connections, routes)[route];
        let of = count.min(u32::try_from(workers).unwrap_or(u32::MAX));
        Self::new(options, routes, route, index, of)
    }

    /// What this connection gets, where each has its own; `counts`: how many each route has.
    fn of_connection(
        options: &EngineOptions,
        routes: &[Route],
        dealt: &Dealt,
        counts: &[u32],
    ) -> Option<Self> {
        let route = dealt.route;
        Self::new(options, routes, route, dealt.of_route, counts[route])
    }

    /// The schedule from `epoch` on.
    #[must_use]
    pub fn schedule(&self, epoch: Tick) -> Schedule {
        Schedule::new(self.arrival, self.rate_per_s, self.part, self.seed, epoch)
    }
}

/// What was due where nothing is asked any more, for whoever can ask it.
#[derive(Debug)]
pub(super) struct Strays {
    schedules: Vec<Schedule>,
    head: Tick,
}

impl Default for Strays {
    fn default() -> Self {
        Self {
            schedules: Vec::new(),
            head: Tick::NEVER,
        }
    }
}

impl Strays {
    /// More of them: schedules that have ended.
    pub(super) fn add(&mut self, more: impl IntoIterator<Item = Schedule>) {
        self.schedules.extend(more);
        self.look();
    }

    fn look(&mut self) {
        self.schedules.retain(|one| one.head() != Tick::NEVER);
        let heads = self.schedules.iter().map(Schedule::head);
        self.head = heads.min().unwrap_or(Tick::NEVER);
    }

    #[cold]
    fn take(&mut self) -> Tick {
        let taken = self.head;
        if let Some(one) = self.schedules.iter_mut().find(|one| one.head() == taken) {
            one.take();
        }
        self.look();
        taken
    }
}

/// The strays of workers that have no connection where they could be asked.
#[derive(Debug, Default)]
pub struct Adrift {
    any: AtomicBool,
    schedules: Mutex<Vec<Schedule>>,
}

impl Adrift {
    /// Whether there may be some.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn schedules(&self) -> MutexGuard<'_, Vec<Schedule>> {
        self.schedules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, more: Vec<Schedule>) {
        let mut schedules = self.schedules();
        schedules.extend(more);
        self.any.store(!schedules.is_empty(), Ordering::Release);
    }

    /// All of them.
    pub(super) fn take(&self) -> Vec<Schedule> {
        let mut schedules = self.schedules();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *schedules)
    }
}

/// One schedule, of a route or of a pinned connection.
#[derive(Debug)]
pub(super) struct Release {
    /// `None` while its route has no share of the rate.
    blueprint: Option<Blueprint>,
    schedule: Option<Schedule>,
    pub(super) idle_until: Tick,
    pub(super) idle_ns: u64,
}

impl Release {
    fn new(blueprint: Option<Blueprint>) -> Self {
        Self {
            blueprint,
            schedule: None,
            idle_until: Tick(0),
            idle_ns: 0,
        }
    }

    /// When the next request is due: one of its own, or a stray one.
    #[inline]
    pub(super) fn head(&self, strays: &Strays) -> Tick {
        let own = self.schedule.as_ref().map(Schedule::head);
        own.map_or(Tick::NEVER, |head| head.min(strays.head))
    }

    #[inline]
    pub(super) fn take(&mut self, strays: &mut Strays) -> Tick {
        match &mut self.schedule {
            Some(schedule) if schedule.head() <= strays.head => schedule.take(),
            Some(_) => strays.take(),
            None => Tick::NEVER,
        }
    }

    /// Its part of the rate is another one, since `begun.1` of a run whose epoch is `begun.0`. What was
    /// due before and was not taken.
    fn change(
        &mut self,
        blueprint: Option<Blueprint>,
        begun: Option<(Tick, Tick)>,
    ) -> Option<Schedule> {
        if self.blueprint == blueprint {
            return None;
        }
        self.blueprint = blueprint;
        let (epoch, now) = begun?;
        (self.idle_until, self.idle_ns) = (Tick(0), 0);
        let new = blueprint.map(|blueprint| {
            let mut schedule = blueprint.schedule(epoch);
            schedule.skip_before(now);
            schedule
        });
        let mut old = std::mem::replace(&mut self.schedule, new)?;
        old.end_at(now);
        (old.head() != Tick::NEVER).then_some(old)
    }
}

/// What makes this worker's requests due.
#[derive(Debug)]
pub(super) enum Releases {
    /// A completion on the same connection. So many connections have had their first request.
    Closed { kicked: usize },
    /// The clock, for any connection of the route; `None` where this worker has none, and where it is
    /// not paced.
    Pool {
        routes: Vec<Option<Release>>,
        ready: Ready,
    },
    /// The clock, for each connection by itself, `None` where it is not paced; the heap holds those
    /// whose next request is not due yet.
    Pinned {
        slots: Vec<Option<Release>>,
        due: BinaryHeap<Reverse<(Tick, Slot)>>,
    },
}

impl Releases {
    pub(super) fn new(
        options: &EngineOptions,
        routes: &[Route],
        dealt: &[Dealt],
        workers: usize,
    ) -> Self {
        match (options.pacing, options.dispatch) {
            (Pacing::Closed, _) => Self::Closed { kicked: 0 },
            (Pacing::Open { .. }, Dispatch::Pinned) => {
                let counts = shares(options.connections, routes);
                let one = |d: &Dealt| {
                    let of_it = || Blueprint::of_connection(options, routes, d, &counts);
                    routes[d.route].paced.then(|| Release::new(of_it()))
                };
                let slots = dealt.iter().map(one).collect();
                Self::Pinned {
                    slots,
                    due: BinaryHeap::new(),
                }
            }
            (Pacing::Open { .. }, Dispatch::Pool) => {
                let one = |route: RouteId| {
                    let here = dealt.iter().any(|d| d.route == route) && routes[route].paced;
                    let of_it = || Blueprint::of_worker(options, routes, dealt, workers, route);
                    here.then(|| Release::new(of_it()))
                };
                let ready = Ready::new(dealt.len(), routes.len(), options.depth as usize);
                Self::Pool {
                    routes: (0..routes.len()).map(one).collect(),
                    ready,
                }
            }
        }
    }

    /// The epoch is known.
    pub(super) fn begin(&mut self, epoch: Tick) {
        for release in self.all() {
            release.schedule = release.blueprint.map(|b| b.schedule(epoch));
        }
    }

    /// The shares of the rate are those of `routes` now; see [`Release::change`].
    #[cold]
    pub(super) fn share_anew(
        &mut self,
        options: &EngineOptions,
        routes: &[Route],
        dealt: &[Dealt],
        workers: usize,
        begun: Option<(Tick, Tick)>,
    ) -> Vec<Schedule> {
        let mut left = Vec::new();
        match self {
            Self::Closed { .. } => {}
            Self::Pool { routes: all, .. } => {
                for (route, release) in all.iter_mut().enumerate() {
                    let blueprint = Blueprint::of_worker(options, routes, dealt, workers, route);
                    left.extend(release.as_mut().and_then(|r| r.change(blueprint, begun)));
                }
            }
            Self::Pinned { slots, .. } => {
                let counts = shares(options.connections, routes);
                for (release, d) in slots.iter_mut().zip(dealt) {
                    let blueprint = Blueprint::of_connection(options, routes, d, &counts);
                    left.extend(release.as_mut().and_then(|r| r.change(blueprint, begun)));
                }
            }
        }
        left
    }

    /// Whether a request is due later, by time alone.
    pub(super) fn will_be_due(&self, strays: &Strays, now: Tick) -> bool {
        self.any(|release| {
            let head = release.head(strays);
            head > now && head != Tick::NEVER
        })
    }

    /// Whether any route or connection of this worker has a share of the rate.
    pub(super) fn carry(&self) -> bool {
        self.any(|release| release.blueprint.is_some())
    }

    fn any(&self, is: impl Fn(&Release) -> bool) -> bool {
        let all: &[Option<Release>] = match self {
            Self::Closed { .. } => &[],
            Self::Pool { routes, .. } => routes,
            Self::Pinned { slots, .. } => slots,
        };
        all.iter().flatten().any(is)
    }

    /// Pool dispatch: the schedule of `route`.
    #[inline]
    pub(super) fn of_route(&mut self, route: RouteId) -> Option<&mut Release> {
        match self {
            Self::Pool { routes, .. } => routes[route].as_mut(),
            Self::Closed { .. } | Self::Pinned { .. } => None,
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Release> {
        let (routes, slots) = match self {
            Self::Closed { .. } => (None, None),
            Self::Pool { routes, .. } => (Some(routes.iter_mut().flatten()), None),
            Self::Pinned { slots, .. } => (None, Some(slots.iter_mut().flatten())),
        };
        routes
            .into_iter()
            .flatten()
            .chain(slots.into_iter().flatten())
    }

    /// Hands every request due before `end` and never taken to `each`.
    pub(super) fn unsent(&mut self, strays: &mut Strays, end: Tick, mut each: impl FnMut(Evenly)) {
        let schedules = self.all().filter_map(|release| release.schedule.as_mut());
        for schedule in schedules.chain(&mut strays.schedules) {
            schedule.take_before(end, &mut each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::deal;
    use crate::workload::Endpoint;

    const MS: u64 = 1_000_000;

    fn routes(rate_weights: [u32; 2]) -> Vec<Route> {
        let route = |rate_weight| Route {
            name: "r".into(),
            endpoints: vec![Endpoint::Unix("x".into())],
            weight: 1,
            rate_weight,
            paced: true,
        };
        rate_weights.map(route).to_vec()
    }

    /// Everything due before `end`, wherever this worker may send it.
    fn due(releases: &mut Releases, strays: &mut Strays, end: Tick) -> Vec<u64> {
        let mut taken = Vec::new();
        for release in releases.all() {
            while release.head(strays) < end {
                taken.push(release.take(strays).0);
            }
        }
        taken
    }

    /// Each worker reaches one route only, and the whole rate moves from one to the other.
    #[test]
    fn what_was_due_on_a_route_that_is_asked_no_more_is_due_elsewhere() {
        for dispatch in [Dispatch::Pool, Dispatch::Pinned] {
            let options = EngineOptions {
                connections: 2,
                pacing: Pacing::Open {
                    rate_per_s: 1000.0,
                    arrival: Arrival::Fixed,
                },
                dispatch,
                ..EngineOptions::default()
            };
            let (before, after) = (routes([1, 0]), routes([0, 1]));
            let hands = deal(2, &before, 2);
            let mut all = hands
                .iter()
                .map(|hand| Releases::new(&options, &before, hand, 2));
            let (mut old, mut new) = (all.next().unwrap(), all.next().unwrap());
            let [mut of_old, mut of_new] = [Strays::default(), Strays::default()];
            old.begin(Tick(0));
            new.begin(Tick(0));
            assert!(old.carry() && !new.carry());
            let mut taken = due(&mut old, &mut of_old, Tick(10 * MS));
            assert_eq!(taken.len(), 10);
            assert!(due(&mut new, &mut of_new, Tick(50 * MS)).is_empty());
            let adrift = Adrift::default();
            let begun = Some((Tick(0), Tick(50 * MS)));
            for (releases, hand) in [(&mut old, &hands[0]), (&mut new, &hands[1])] {
                let left = releases.share_anew(&options, &after, hand, 2, begun);
                adrift.add(left);
            }
            assert!(!old.carry() && new.carry() && adrift.any());
            assert!(due(&mut old, &mut of_old, Tick(100 * MS)).is_empty());
            of_new.add(adrift.take());
            taken.extend(due(&mut new, &mut of_new, Tick(100 * MS)));
            // The second route is half a period behind the first.
            let first = (0..50).map(|n| n * MS);
            let second = (50..100).map(|n| n * MS + MS / 2);
            assert_eq!(taken, first.chain(second).collect::<Vec<_>>());
            assert!(!adrift.any());
        }
    }

    #[test]
    fn shares_of_the_rate_are_not_those_of_the_connections() {
        assert_eq!(rate_share(&routes([3, 1]), 0), 0.75);
        assert_eq!(rate_share(&routes([1, 0]), 1), 0.0);
        // Nobody knows where anything can be asked.
        assert_eq!(rate_share(&routes([0, 0]), 1), 0.5);
        let mut listening = routes([1, 1]);
        listening[0].paced = false;
        assert_eq!(rate_share(&listening, 0), 0.0);
        assert_eq!(rate_share(&listening, 1), 1.0);
    }
}
