//! What makes a worker's requests due: completions, or schedules of routes and connections.
//!
//! Which part of a route's arrivals a worker or a connection gets is decided here, for every client
//! alike, so that the parts always add up to the whole. Nothing here may read a clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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

/// A schedule before its epoch is known.
#[derive(Clone, Copy, Debug)]
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
        if !routes[route].paced {
            return None;
        }
        let weight = |route: &Route| f64::from(route.weight.max(1));
        let paced = routes.iter().filter(|route| route.paced);
        let share = weight(&routes[route]) / paced.map(weight).sum::<f64>();
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
    /// no connection there, where the route is not paced, and in a closed loop.
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

    /// The schedule from `epoch` on.
    #[must_use]
    pub fn schedule(&self, epoch: Tick) -> Schedule {
        Schedule::new(self.arrival, self.rate_per_s, self.part, self.seed, epoch)
    }
}

/// One schedule, of a route or of a pinned connection.
#[derive(Debug)]
pub(super) struct Release {
    blueprint: Blueprint,
    schedule: Option<Schedule>,
    pub(super) idle_until: Tick,
    pub(super) idle_ns: u64,
}

impl Release {
    fn new(blueprint: Blueprint) -> Self {
        Self {
            blueprint,
            schedule: None,
            idle_until: Tick(0),
            idle_ns: 0,
        }
    }

    #[inline]
    pub(super) fn head(&self) -> Tick {
        self.schedule.as_ref().map_or(Tick::NEVER, Schedule::head)
    }

    #[inline]
    pub(super) fn take(&mut self) -> Tick {
        self.schedule.as_mut().map_or(Tick::NEVER, Schedule::take)
    }
}

/// What makes this worker's requests due.
#[derive(Debug)]
pub(super) enum Releases {
    /// A completion on the same connection. So many connections have had their first request.
    Closed { kicked: usize },
    /// The clock, for any connection of the route; `None` where this worker has none.
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
                    Blueprint::new(options, routes, d.route, d.of_route, counts[d.route])
                        .map(Release::new)
                };
                let slots = dealt.iter().map(one).collect();
                Self::Pinned {
                    slots,
                    due: BinaryHeap::new(),
                }
            }
            (Pacing::Open { .. }, Dispatch::Pool) => {
                let one = |route: RouteId| {
                    Blueprint::of_worker(options, routes, dealt, workers, route).map(Release::new)
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
            release.schedule = Some(release.blueprint.schedule(epoch));
        }
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
    pub(super) fn unsent(&mut self, end: Tick, mut each: impl FnMut(Evenly)) {
        let schedules = self.all().filter_map(|release| release.schedule.as_mut());
        for schedule in schedules {
            schedule.take_before(end, &mut each);
        }
    }
}
