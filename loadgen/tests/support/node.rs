//! Node's own HTTP server, which counts requests and the bytes of its sockets.
//!
//! Its counters are complete only when it is gone, so they are read by [`Node::stop`] only.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::free_port;

/// A running Node.
#[derive(Debug)]
pub(crate) struct Node {
    port: u16,
    dir: TempDir,
    daemon: Daemon,
}

/// What it counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Requests.
    pub(crate) requests: u64,
    /// Connections that carried at least one.
    pub(crate) connections: u64,
    /// Bytes its sockets received.
    pub(crate) rx_bytes: u64,
    /// Bytes its sockets sent.
    pub(crate) tx_bytes: u64,
}

/// Length of the body of `/chunked`, which no head tells.
pub(crate) const CHUNKED_BODY: u64 = 10 * 7_000;

impl Node {
    /// Starts one.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.js");
        let mut command = Command::new("node");
        command.arg(script).arg(port.to_string());
        command.arg(dir.path().join("counted.json"));
        let daemon = Daemon::start(command, port);
        Self { port, dir, daemon }
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Ends it and reads its counters.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Counted {
        self.daemon.stop(Signal::TERM);
        let path: PathBuf = self.dir.path().join("counted.json");
        let text = std::fs::read(path).expect("its counters");
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        let number = |name: &str| value[name].as_u64().expect("a number");
        Counted {
            requests: number("requests"),
            connections: number("connections"),
            rx_bytes: number("rx_bytes"),
            tx_bytes: number("tx_bytes"),
        }
    }
}
