//! The embedded targets as processes of their own: `loadgen serve …`.
//!
//! Its numbers are read over HTTP by hand, so that nothing under test stands between.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use super::daemon::Daemon;
use super::run::{BINARY, cpu_time};
use super::{first, free_port};

/// A running target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    daemon: Daemon,
}

impl Target {
    /// `loadgen serve http ARGS`, on a port of its own.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::serve("http", args)
    }

    /// `loadgen serve PROTOCOL ARGS`, likewise.
    #[track_caller]
    pub(crate) fn serve(protocol: &str, args: &[&str]) -> Self {
        let port = free_port();
        let prefix = first();
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]);
        command.args([BINARY, "serve", protocol, "--listen"]);
        command.arg(format!("127.0.0.1:{port}")).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon::start(command, port);
        Self { port, daemon }
    }

    /// CPU time it used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time(self.daemon.pid())
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it counted so far.
    #[track_caller]
    pub(crate) fn stats(&self) -> Value {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a target");
        let ask = "GET /stats HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).expect("it listens");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers");
        let body = reply.split_once("\r\n\r\n").map(|(_, body)| body);
        serde_json::from_str(body.expect("a body")).expect("JSON")
    }

    /// The delays it really gave, ns.
    #[track_caller]
    pub(crate) fn delays(&self) -> Histogram<u64> {
        let stats = self.stats();
        let blob = stats["delay"]["data"].as_str().expect("a blob").to_owned();
        histogram(&blob)
    }
}

/// A histogram from its blob (`hdr-v2-deflate-base64`).
#[track_caller]
pub(crate) fn histogram(blob: &str) -> Histogram<u64> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(blob);
    let bytes = bytes.expect("base64");
    let mut deserializer = Deserializer::new();
    deserializer
        .deserialize(&mut &bytes[..])
        .expect("HdrHistogram V2")
}
