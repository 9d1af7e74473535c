//! memcached side by side: one memcached of one thread, keys of 64 and values of 1024 bytes, one
//! SET to nine GETs, and every memcached generator at hand.
//!
//! What is asked for is set beforehand by each generator itself, in a run of its own that nobody
//! measures; memaslap asks only for what it has just set.

mod goals;
mod peers;
mod server;

use std::path::Path;

use super::compare::Bench;
use super::model::{Load, Peer, Protocol, Setup, Target, Work};
use super::render::Series;

/// Bytes of a key.
const KEY_BYTES: u32 = 64;
/// Bytes of a value.
const VALUE_BYTES: u32 = 1024;
/// Keys that are shared by all connections, where a generator has such a thing.
const KEYS: u32 = 10_000;

/// The row of [`super::PROTOCOLS`].
pub(crate) struct Memcache;

/// A work, named by what it is: `1set9get-c64-d32`.
fn work(connections: u32, depth: u32, load: Load) -> Work {
    let value_bytes = u64::from(VALUE_BYTES);
    Work::new("1set9get", value_bytes, connections, depth, load)
}

impl Protocol for Memcache {
    fn name(&self) -> &'static str {
        "memcache"
    }

    fn works(&self) -> Vec<Work> {
        vec![
            work(1, 1, Load::Closed),
            work(64, 1, Load::Closed),
            work(1000, 1, Load::Closed),
            work(64, 32, Load::Closed),
            // Equal offered rate.
            work(64, 1, Load::Share(0.5)),
            work(64, 1, Load::Follow),
        ]
    }

    fn ours(&self, program: &Path) -> Box<dyn Peer> {
        Box::new(peers::ours::Ours::new(program))
    }

    fn peers(&self, _program: &Path) -> Vec<Box<dyn Peer>> {
        vec![
            Box::new(peers::floor::Floor),
            Box::new(peers::memaslap::Memaslap),
            Box::new(peers::memtier::Memtier),
        ]
    }

    fn goals(&self, bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
        goals::measure(bench, ours, series);
    }

    fn start(&self, setup: &Setup<'_>) -> Result<Box<dyn Target>, String> {
        Ok(Box::new(server::Server::memcached(setup.lane)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_has_a_name_of_its_own() {
        let mut names: Vec<String> = Memcache.works().into_iter().map(|w| w.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"1set9get-c64-d32".to_owned()));
    }
}
