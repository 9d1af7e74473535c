//! HTTP/1.1 side by side: nginx as the target, 1 KB and 1 MB, and every HTTP generator at hand.

mod goals;
mod nginx;
mod peers;

use std::path::Path;

use super::compare::Bench;
use super::model::{Load, Peer, Protocol, Setup, Target, Work};
use super::render::Series;

/// 1 KB of the tables.
pub(crate) const KB: u64 = 1024;
/// 1 MB of the tables.
pub(crate) const MB: u64 = 1024 * 1024;

/// The row of [`super::PROTOCOLS`].
pub(crate) struct Http;

/// A work, named by what it is: `1k-c100-d16`.
pub(crate) fn work(payload_bytes: u64, connections: u32, depth: u32, load: Load) -> Work {
    let size = if payload_bytes == MB { "1m" } else { "1k" };
    Work::new(size, payload_bytes, connections, depth, load)
}

impl Protocol for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn works(&self) -> Vec<Work> {
        let mut works = Vec::new();
        for depth in [1, 16] {
            for connections in [1, 10, 100, 1000, 10_000] {
                works.push(work(KB, connections, depth, Load::Closed));
            }
        }
        for connections in [1, 10, 32, 100, 1000] {
            works.push(work(MB, connections, 1, Load::Closed));
        }
        works.push(work(MB, 10, 16, Load::Closed));
        // Equal offered rate: at half of what a closed loop reaches.
        works.push(work(KB, 100, 1, Load::Share(0.5)));
        works.push(work(MB, 32, 1, Load::Share(0.5)));
        works.push(work(KB, 100, 1, Load::Follow));
        works.push(work(MB, 32, 1, Load::Follow));
        works
    }

    fn ours(&self, program: &Path) -> Box<dyn Peer> {
        Box::new(peers::ours::Ours::native(program))
    }

    fn peers(&self, program: &Path) -> Vec<Box<dyn Peer>> {
        vec![
            Box::new(peers::floor::Floor),
            Box::new(peers::wrk::Wrk),
            Box::new(peers::wrk2::Wrk2),
            Box::new(peers::h2load::H2load),
            Box::new(peers::ab::Ab),
            Box::new(peers::oha::Oha),
            Box::new(peers::ours::Ours::hyper(program)),
        ]
    }

    fn goals(&self, bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
        goals::measure(bench, ours, series);
    }

    fn start(&self, setup: &Setup<'_>) -> Result<Box<dyn Target>, String> {
        Ok(Box::new(nginx::Nginx::start(setup.lane)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_has_a_name_of_its_own() {
        let mut names: Vec<String> = Http.works().into_iter().map(|w| w.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"1k-c100-d16".to_owned()));
        assert!(names.contains(&"1m-c32-follow".to_owned()));
    }
}
