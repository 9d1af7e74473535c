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

/// How a run is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Instrument {
    /// A window in the middle of it, by the target's own counter.
    Window,
    /// A long run less a short one, whole processes both: for generators that take seconds to be as
    /// fast as they get, and targets that do not count what is read.
    Difference,
}

/// What is asked of both sides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Work {
    /// Its name on the command line.
    pub(crate) name: String,
    /// Application bytes that a request moves, in either direction.
    pub(crate) payload_bytes: u64,
    /// Requests in flight on a connection.
    pub(crate) depth: u32,
    /// Connections in total.
    pub(crate) connections: u32,
    /// Threads of the generator, each on a core of its own.
    pub(crate) workers: u32,
    /// What makes a request due.
    pub(crate) load: Load,
    /// How its runs are measured.
    pub(crate) instrument: Instrument,
}

impl Work {
    /// A work of one worker, named by what it is: `1k-c100-d16`. `size` is how the protocol calls
    /// its payload; it must differ from those of other protocols.
    pub(crate) fn new(
        size: &str,
        payload_bytes: u64,
        connections: u32,
        depth: u32,
        load: Load,
    ) -> Self {
        let depth_part = if depth == 1 {
            String::new()
        } else {
            format!("-d{depth}")
        };
        let load_part = match load {
            Load::Closed => "",
            Load::Share(_) => "-rate",
            Load::Follow => "-follow",
        };
        Self {
            name: format!("{size}-c{connections}{depth_part}{load_part}"),
            payload_bytes,
            depth,
            connections,
            workers: 1,
            load,
            instrument: Instrument::Window,
        }
    }

    /// The same for two workers.
    pub(crate) fn two_workers(mut self) -> Self {
        self.workers = 2;
        self.name.push_str("-t2");
        self
    }
}

/// One run of one peer.
pub(crate) struct Job<'a> {
    /// What is asked.
    pub(crate) work: &'a Work,
    /// Requests per second in total; `None`: closed loop.
    pub(crate) rate_per_s: Option<f64>,
    /// How long it lasts, s, warm-up too.
    pub(crate) seconds: u64,
    /// What the long run said, of which this is the short one; only of [`Instrument::Difference`].
    /// For peers that cannot stop by time.
    pub(crate) long: Option<&'a Said>,
    /// Where the target is.
    pub(crate) address: SocketAddr,
    /// What to ask it for, in the protocol's own words; empty where all works ask for the same.
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

    /// The load, in the flags of `loadgen`.
    pub(crate) fn load_of_ours(&self, command: &mut Command) {
        command.args(["-t", &self.work.workers.to_string()]);
        command.args(["-c", &self.work.connections.to_string()]);
        command.args(["--depth", &self.work.depth.to_string()]);
        command.args(["-d", &format!("{}s", self.seconds)]);
        if let Some(rate) = self.rate_per_s {
            command.args(["-R", &rate.to_string()]);
        }
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
    /// On standard error.
    pub(crate) err: String,
}

/// What a peer says it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Replies; records of Kafka.
    pub(crate) requests: u64,
    /// Bytes, as it counts them (with or without heads); 0 where it does not say.
    pub(crate) bytes: u64,
    /// How often it did all of its work; 1 of those that know no such thing.
    pub(crate) passes: u64,
    /// A results document of ours.
    pub(crate) document: Option<Value>,
}

impl Said {
    /// Replies and bytes only.
    pub(crate) fn new(requests: u64, bytes: u64) -> Self {
        Self {
            requests,
            bytes,
            passes: 1,
            document: None,
        }
    }

    /// What `loadgen … --json` says.
    pub(crate) fn of_ours(written: &Written) -> Result<Self, String> {
        let document: Value = serde_json::from_str(&written.out)
            .map_err(|error| format!("no results document: {error}"))?;
        let total = |name: &str| document["totals"][name].as_u64();
        Ok(Self {
            requests: total("completed").ok_or("no totals.completed in the document")?,
            bytes: total("wire_rx_bytes").unwrap_or(0),
            passes: 1,
            document: Some(document),
        })
    }

    /// What a floor says: one line of JSON.
    pub(crate) fn of_floor(written: &Written) -> Result<Self, String> {
        let line: Value = serde_json::from_str(written.out.trim())
            .map_err(|error| format!("no line of JSON: {error}"))?;
        let number = |name: &str| line[name].as_u64().ok_or(format!("no {name} in {line}"));
        Ok(Self::new(number("requests")?, number("bytes")?))
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

    /// Whether it takes long to be as fast as it gets; see [`super::run::Timing::slow_s`].
    fn slow(&self) -> bool {
        false
    }

    /// What must have run to its end before, such as a prefill: nothing of it is measured.
    fn prepare(&self, _job: &Job<'_>) -> Result<Option<Command>, String> {
        Ok(None)
    }

    /// What it says it did.
    fn parse(&self, written: &Written) -> Result<Said, String>;
}

/// What a target counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Requests, without the questions asked here.
    pub(crate) requests: u64,
    /// Of those, misses; 0 where it does not tell them apart.
    pub(crate) misses: u64,
    /// Connections open now, without the one asking.
    pub(crate) connections: u64,
}

/// A count that no generator makes, since some time before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Requests that the target has.
    Requests(u64),
    /// Bytes that came to the generators, heads of packets too: never less than was received.
    Bytes(u64),
}

/// Where a target is started, and how large.
pub(crate) struct Setup<'a> {
    /// Cores and network.
    pub(crate) lane: &'a Lane,
    /// Ours, where the target needs it.
    pub(crate) program: &'a Path,
    /// Payload of a topic that is read, bytes (Kafka only).
    pub(crate) topic_bytes: u64,
}

/// A running target, stopped when dropped.
pub(crate) trait Target {
    /// What it is, with its version.
    fn name(&self) -> String;

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// What to ask it for, see [`Job::resource`].
    fn resource(&self, _work: &Work) -> String {
        String::new()
    }

    /// Makes what a work needs be there, and forgets what runs before have left, so that all begin
    /// with the same.
    fn ready(&mut self, _work: &Work) -> Result<(), String> {
        Ok(())
    }

    /// What can be held against what a generator says it did; only of [`Instrument::Difference`].
    fn witness(&mut self, _work: &Work) -> Result<Witness, String> {
        Err("it has no witness".into())
    }

    /// What it has counted: the one clock and counter that all peers are measured by; only of
    /// [`Instrument::Window`].
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
    fn start(&self, setup: &Setup<'_>) -> Result<Box<dyn Target>, String>;
}

/// This program, whose loops of its own are peers too.
pub(crate) fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this program: {error}"))
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

/// What a peer wrote on standard output, for tests.
#[cfg(test)]
pub(crate) fn written(out: &str) -> Written {
    Written {
        out: out.into(),
        err: String::new(),
    }
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
    fn totals_of_ours_are_read() {
        let out = r#"{"totals":{"completed":7,"wire_rx_bytes":70}}"#;
        let said = Said::of_ours(&written(out)).unwrap();
        assert_eq!((said.requests, said.bytes), (7, 70));
        assert!(Said::of_ours(&written("Error: refused")).is_err());
        let said = Said::of_floor(&written("{\"requests\":3,\"bytes\":30}\n")).unwrap();
        assert_eq!(said, Said::new(3, 30));
        assert!(Said::of_floor(&written("{}")).is_err());
    }

    #[test]
    fn a_missing_program_is_named() {
        let missing = on_path("no-such-program").unwrap_err();
        assert!(missing.contains("no-such-program"));
        assert!(on_path("sh").is_ok());
    }
}
