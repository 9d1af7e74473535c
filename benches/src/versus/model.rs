//! The words of a side-by-side run: work, job, peer, target, protocol.
//!
//! A protocol is a row of [`super::PROTOCOLS`] with its own directory: a target, its works and one
//! small file for each peer. Nothing here may run anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use serde_json::Value;

use super::compare::Bench;
use super::lane::Lane;
use super::render::Series;

/// What makes the next request due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// The reply before it.
    Closed,
    /// A schedule at this share of what ours reaches in a closed loop: equal offered rate.
    Share(f64),
    /// The peer runs in a closed loop; ours is offered what the peer reached. For peers that have
    /// no schedule.
    Follow,
}

/// What is asked of both sides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Work {
    /// Its name on the command line.
    pub(crate) name: String,
    /// Application bytes of a reply.
    pub(crate) payload_bytes: u64,
    /// Requests in flight on a connection.
    pub(crate) depth: u32,
    /// Connections in total.
    pub(crate) connections: u32,
    /// Threads of the generator, each on a core of its own.
    pub(crate) workers: u32,
    /// What makes a request due.
    pub(crate) load: Load,
}

/// One run of one peer.
pub(crate) struct Job<'a> {
    /// What is asked.
    pub(crate) work: &'a Work,
    /// Requests per second in total; `None`: closed loop.
    pub(crate) rate_per_s: Option<f64>,
    /// How long it lasts, s, warm-up too.
    pub(crate) seconds: u64,
    /// Where the target is.
    pub(crate) address: SocketAddr,
    /// What to ask it for, in the protocol's own words.
    pub(crate) resource: &'a str,
    /// A directory for whatever the peer needs.
    pub(crate) dir: &'a Path,
}

impl Job<'_> {
    /// The refusal of peers without a schedule.
    pub(crate) fn closed_only(&self) -> Result<(), String> {
        let refused = "has no schedule, only a closed loop";
        self.rate_per_s.map_or(Ok(()), |_| Err(refused.into()))
    }

    /// The refusal of peers without pipelining.
    pub(crate) fn depth_one_only(&self) -> Result<(), String> {
        let depth = self.work.depth;
        let refused = || format!("has one request in flight on a connection, not {depth}");
        (depth == 1).then_some(()).ok_or_else(refused)
    }
}

/// What a peer wrote.
pub(crate) struct Written {
    /// On standard output.
    pub(crate) out: String,
}

/// What a peer says it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Replies.
    pub(crate) requests: u64,
    /// Bytes, as it counts them (with or without heads); 0 where it does not say.
    pub(crate) bytes: u64,
    /// A results document of ours.
    pub(crate) document: Option<Value>,
}

impl Said {
    /// Replies and bytes only.
    pub(crate) fn new(requests: u64, bytes: u64) -> Self {
        Self {
            requests,
            bytes,
            document: None,
        }
    }
}

/// A generator.
pub(crate) trait Peer {
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// The program; `Err`: why it is not there.
    fn program(&self) -> Result<PathBuf, String> {
        on_path(self.name())
    }

    /// The command of a job; `Err`: why it cannot do it.
    fn command(&self, job: &Job<'_>) -> Result<Command, String>;

    /// What it says it did.
    fn parse(&self, written: &Written) -> Result<Said, String>;
}

/// What a target counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Requests, without the questions asked here.
    pub(crate) requests: u64,
    /// Connections open now, without the one asking.
    pub(crate) connections: u64,
}

/// A running target, stopped when dropped.
pub(crate) trait Target {
    /// What it is, with its version.
    fn name(&self) -> String;

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// What to ask it for.
    fn resource(&self, work: &Work) -> String;

    /// What it has counted: the one clock and counter that all peers are measured by.
    fn served(&mut self) -> Result<Served, String>;
}

/// A protocol's target, works and peers.
pub(crate) trait Protocol {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Every work it has.
    fn works(&self) -> Vec<Work>;

    /// Ours, given the program.
    fn ours(&self, program: &Path) -> Box<dyn Peer>;

    /// The others.
    fn peers(&self, program: &Path) -> Vec<Box<dyn Peer>>;

    /// Measures its goals into `series`.
    fn goals(&self, bench: &mut Bench, ours: &dyn Peer, series: &mut Series);

    /// Starts the target.
    fn start(&self, lane: &Lane) -> Result<Box<dyn Target>, String>;
}

/// The program `name`, where the search path or the administrator's directories have it.
pub(crate) fn on_path(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = dirs.into_iter().map(|dir| dir.join(name));
    found
        .into_iter()
        .find(|program| program.is_file())
        .ok_or_else(|| format!("no program {name} on PATH"))
}

/// The first number after `label` in `text`, thousands separators left out.
pub(crate) fn number_after(text: &str, label: &str) -> Option<f64> {
    let at = text.find(label)? + label.len();
    let rest = text[at..].trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_after_its_label() {
        assert_eq!(number_after("a: 12 b\nc:   3.5", "a:"), Some(12.0));
        assert_eq!(number_after("a: 12 b\nc:   3.5", "c:"), Some(3.5));
        assert_eq!(number_after("a: x", "a:"), None);
        assert_eq!(number_after("", "a:"), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let missing = on_path("no-such-program").unwrap_err();
        assert!(missing.contains("no-such-program"));
        assert!(on_path("sh").is_ok());
    }
}
