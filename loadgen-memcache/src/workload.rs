//! What one worker asks: ops by their mix, keys by their popularity.
//!
//! Everything is a function of the plan, the seed and the replies; it must never depend on time.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loadgen_core::workload::{Next, Random, RouteId, Workload};
use serde_json::Value;

use crate::local::Local;
use crate::mix::{Blend, writes};
use crate::objects::Key;
use crate::popularity::Law;
use crate::rules::Rules;
use crate::session::{MemcacheSession, Missed, Request};
use crate::spec::{KeySpace, Op, Placement};

/// What all workers ask by: constants, made from the plan.
#[derive(Debug)]
pub struct Script {
    /// What sessions go by.
    pub rules: Arc<Rules>,
    /// The ops.
    pub blend: Blend,
    /// The keys of a space.
    pub law: Law,
    /// Whose the keys are.
    pub key_space: KeySpace,
    /// Where they are.
    pub placement: Placement,
    /// Servers.
    pub routes: usize,
    /// Keys of a GET.
    pub multiget: u32,
    /// Values of a SET.
    pub multiset: u32,
    /// Keys of each window that were written before the run.
    pub written: u64,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// Draws for a key of a given server, at most; it is found after a few.
const DRAWS_MAX: u32 = 1 << 20;

/// The server of `routes` that has `key`.
#[must_use]
#[inline]
pub fn server_of(key: Key, routes: usize) -> RouteId {
    // Not the hash itself: lengths and expiry are drawn from that.
    let hash = Random::new(key.hash().rotate_left(32)).next_u64();
    ((u128::from(hash) * routes as u128) >> 64) as RouteId
}

/// Where one connection is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    turn: usize,
    /// Keys its window has had.
    written: u64,
    /// SETs, and those among them that reused a key.
    sets: u64,
    overwritten: u64,
    cursors: Cursors,
}

/// Where a sequential walk is: reads and writes walk by themselves, or each would see only the
/// keys that the mix leaves it.
type Cursors = [u64; 2];

/// The keys that a prefill writes, for all workers: each key is taken once.
#[derive(Debug)]
pub struct PrefillList {
    routes: Vec<PrefillRoute>,
}

/// Those of one server.
#[derive(Debug)]
struct PrefillRoute {
    /// The next one that nobody has taken.
    next: AtomicU64,
    /// How many there are to go through.
    count: u64,
    /// Key spaces of connections: the number of the first, and the keys of each. `None`: one
    /// space for all.
    spaces: Option<(u32, u64)>,
}

impl PrefillList {
    /// `keys` keys of one space on every server.
    #[must_use]
    pub fn shared(routes: usize, keys: u64) -> Self {
        let route = |_| PrefillRoute {
            next: AtomicU64::new(0),
            count: keys,
            spaces: None,
        };
        Self {
            routes: (0..routes).map(route).collect(),
        }
    }

    /// `keys` keys of each connection; `shares`: how many connections each server has.
    #[must_use]
    pub fn of_connections(shares: &[u32], keys: u64) -> Self {
        let mut first = 0;
        let route = |share: &u32| {
            let spaces = Some((first, keys));
            first += share;
            PrefillRoute {
                next: AtomicU64::new(0),
                count: u64::from(*share) * keys,
                spaces,
            }
        };
        Self {
            routes: shares.iter().map(route).collect(),
        }
    }

    fn take(&self, route: RouteId, script: &Script) -> Option<Key> {
        let list = self.routes.get(route)?;
        loop {
            let at = list.next.fetch_add(1, Ordering::Relaxed);
            if at >= list.count {
                return None;
            }
            let key = match list.spaces {
                Some((first, keys)) => Key::new(first + (at / keys) as u32, at % keys),
                None => Key::new(0, at),
            };
            if script.placement == Placement::Own || server_of(key, script.routes) == route {
                return Some(key);
            }
        }
    }

    fn is_over(&self, route: RouteId) -> bool {
        let list = self.routes.get(route);
        list.is_none_or(|list| list.next.load(Ordering::Relaxed) >= list.count)
    }
}

/// What one worker asks.
#[derive(Debug)]
pub struct MemcacheWorkload {
    script: Arc<Script>,
    local: Rc<Local>,
    prefill: Option<Arc<PrefillList>>,
    random: Random,
    workers: usize,
    /// By connection: of all connections, a worker has every so-many-th.
    places: Vec<Place>,
    /// By route, for keys that all connections share.
    cursors: Vec<Cursors>,
    /// The routes this worker has connections to.
    opened: Vec<bool>,
}

impl MemcacheWorkload {
    /// The work of `worker` of `workers`; with a list, only to write its keys.
    #[must_use]
    pub fn new(
        script: Arc<Script>,
        prefill: Option<Arc<PrefillList>>,
        worker: usize,
        workers: usize,
    ) -> Self {
        let workers = workers.max(1);
        // Sequential walks of the workers begin evenly apart.
        let begin = script.law.keys() / workers as u64 * worker as u64;
        Self {
            local: Local::shared(),
            prefill,
            random: Random::new(Random::new(script.seed ^ (worker as u64) << 32).next_u64()),
            workers,
            places: Vec::new(),
            cursors: vec![[begin; 2]; script.routes],
            opened: vec![false; script.routes],
            script,
        }
    }

    #[inline]
    fn key(&mut self, route: RouteId, conn: u32, op: Op) -> Option<Key> {
        let script = &*self.script;
        let walk = usize::from(writes(op));
        let place = self.places.get_mut(conn as usize / self.workers)?;
        match script.key_space {
            KeySpace::Shared => {
                let cursor = &mut self.cursors.get_mut(route)?[walk];
                if script.placement == Placement::Own {
                    return Some(Key::new(0, script.law.next(cursor, &mut self.random)));
                }
                let mut draw = || Key::new(0, script.law.next(cursor, &mut self.random));
                let mut draws = (0..DRAWS_MAX).map(|_| draw());
                draws.find(|key| server_of(*key, script.routes) == route)
            }
            KeySpace::PerConnection => {
                let cursor = &mut place.cursors[walk];
                Some(Key::new(conn, script.law.next(cursor, &mut self.random)))
            }
            KeySpace::Window { overwrite } => {
                let index = if op == Op::Set {
                    place.set(script.law.keys(), overwrite, &mut self.random)
                } else {
                    place.get(script.law.keys(), &mut self.random)
                };
                Some(Key::new(conn, index))
            }
        }
    }

    /// The next op of a connection; in a window that is empty, only a SET makes sense.
    #[inline]
    fn op(&mut self, conn: u32) -> Option<Op> {
        let place = self.places.get_mut(conn as usize / self.workers)?;
        let op = self.script.blend.next(&mut place.turn, &mut self.random)?;
        let windowed = matches!(self.script.key_space, KeySpace::Window { .. });
        Some(if windowed && place.written == 0 {
            Op::Set
        } else {
            op
        })
    }

    fn batch(&mut self, route: RouteId, conn: u32, op: Op, units: u32) -> Option<Request> {
        let mut keys = self.local.list();
        for _ in 0..units {
            keys.push(self.key(route, conn, op)?);
        }
        Some(Request::Batch(op, keys))
    }

    fn next_of_prefill(&self, list: &PrefillList, route: RouteId) -> Next<Request> {
        if let Some(key) = list.take(route, &self.script) {
            return Next::Ready(Request::One(Op::Set, key));
        }
        let mut mine = self
            .opened
            .iter()
            .enumerate()
            .filter(|(_, opened)| **opened);
        if mine.all(|(route, _)| list.is_over(route)) {
            Next::Done
        } else {
            Next::Idle
        }
    }
}

impl Place {
    /// A new key takes the place of the oldest in a window of `keys`; or one in it is reused.
    fn set(&mut self, keys: u64, overwrite: f64, random: &mut Random) -> u64 {
        self.sets += 1;
        if self.written > 0 && (self.overwritten as f64) < self.sets as f64 * overwrite {
            self.overwritten += 1;
            return self.get(keys, random);
        }
        self.written += 1;
        self.written - 1
    }

    /// One of the keys in a window of `keys`, each as likely.
    #[inline]
    fn get(&self, keys: u64, random: &mut Random) -> u64 {
        let live = self.written.min(keys);
        self.written - live + random.below(live)
    }
}

impl Workload for MemcacheWorkload {
    type Session = MemcacheSession;

    fn open(&mut self, route: RouteId, conn: u32) -> MemcacheSession {
        let at = conn as usize / self.workers;
        if self.places.len() <= at {
            let place = Place {
                written: self.script.written,
                ..Place::default()
            };
            self.places.resize(at + 1, place);
        }
        if let Some(opened) = self.opened.get_mut(route) {
            *opened = true;
        }
        MemcacheSession::new(Arc::clone(&self.script.rules), Rc::clone(&self.local))
    }

    #[inline]
    fn next(&mut self, route: RouteId, conn: u32, _n: u64) -> Next<Request> {
        if let Some(list) = &self.prefill {
            return self.next_of_prefill(list, route);
        }
        let Some(op) = self.op(conn) else {
            return Next::Done;
        };
        let units = match op {
            Op::Get => self.script.multiget,
            Op::Set => self.script.multiset,
            _ => 1,
        };
        let request = if units > 1 {
            self.batch(route, conn, op, units)
        } else {
            self.key(route, conn, op).map(|key| Request::One(op, key))
        };
        request.map_or(Next::Idle, Next::Ready)
    }

    /// A miss is followed by a SET of the same key.
    fn feedback(&mut self, _route: RouteId, _conn: u32, missed: Missed) -> Option<Request> {
        Some(match missed {
            Missed::One(key) => Request::One(Op::Set, key),
            Missed::Many(keys) => Request::Batch(Op::Set, keys),
        })
    }

    fn details(&mut self) -> Value {
        self.local.details()
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
