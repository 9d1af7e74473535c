//! The targets: memcached of one thread, or our own embedded one, each on the target's core.
//!
//! Both count what they served in `stats`, which is asked from where the generators are: in a veth
//! pair nobody else reaches them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen_core::workload::Endpoint;
use loadgen_memcache::stats::ServerStats;
use rustix::process::{Pid, Signal, kill_process};

use super::super::lane::{Lane, free_address, inside};
use super::super::model::{Served, Target, Work, on_path};
use crate::sys;

/// Memory for items, MiB: what a run of memaslap sets stays there.
const MEMORY_MIB: &str = "1024";
/// Connections at a time.
const CONNECTIONS_MAX: &str = "16384";
/// How long an answer may take: it waits behind every connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// `flush_all` in the binary protocol (protocol_binary.h): opcode 8, nothing else.
const FLUSH: [u8; 24] = {
    let mut header = [0; 24];
    header[0] = 0x80;
    header[1] = 0x08;
    header
};

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    name: String,
    address: SocketAddr,
    /// Where the generators are, when it is not here.
    namespace: Option<OwnedFd>,
    /// What it says is open when nobody but the one asking is there.
    idle_connections: u64,
}

impl Server {
    /// Debian's memcached. `-R` is as high as it goes, so that a deep pipeline is not sent to the
    /// back of the queue after 20 requests.
    pub(crate) fn memcached(lane: &Lane) -> Result<Self, String> {
        let program = on_path("memcached")?;
        let mut command = Command::new(&program);
        command.args(["-t", "1", "-R", "1000000", "-m", MEMORY_MIB]);
        command.args(["-c", CONNECTIONS_MAX, "-b", "16384", "-U", "0"]);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "root"]);
        }
        let address = free_address(lane)?;
        command.args(["-l", &address.ip().to_string()]);
        command.args(["-p", &address.port().to_string()]);
        Self::start(command, version(&program), address, lane)
    }

    /// `loadgen serve memcache` of one worker.
    pub(crate) fn embedded(lane: &Lane, program: &Path) -> Result<Self, String> {
        let address = free_address(lane)?;
        let mut command = Command::new(program);
        command.args(["serve", "memcache", "--listen", &address.to_string()]);
        command.args(["--workers", "1", "--connections-max", CONNECTIONS_MAX]);
        command.args(["--memory-mib", MEMORY_MIB]);
        Self::start(command, "loadgen serve memcache".into(), address, lane)
    }

    fn start(
        mut command: Command,
        name: String,
        address: SocketAddr,
        lane: &Lane,
    ) -> Result<Self, String> {
        let namespace = lane.own_client_namespace()?;
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        sys::place(&mut command, lane.target_cpus(), lane.target_namespace());
        let child = command.spawn();
        let mut server = Self {
            child: child.map_err(|error| format!("{name}: {error}"))?,
            name,
            address,
            namespace,
            idle_connections: 0,
        };
        let until = Instant::now() + PATIENCE;
        loop {
            match server.stats() {
                Ok(stats) => {
                    server.idle_connections = count(&stats, "curr_connections")?;
                    return Ok(server);
                }
                Err(why) if Instant::now() >= until => return Err(why),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Runs `ask` where the generators are.
    fn there<T: Send>(&self, ask: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        inside(self.namespace.as_ref(), ask)
    }

    fn stats(&self) -> Result<ServerStats, String> {
        let endpoint = Endpoint::Tcp(self.address);
        self.there(|| ServerStats::ask(&endpoint, None, PATIENCE))
    }
}

impl Target for Server {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn ready(&mut self, _work: &Work) -> Result<(), String> {
        let flushed = self.there(|| {
            let flush = || -> std::io::Result<[u8; 24]> {
                let mut socket = TcpStream::connect_timeout(&self.address, PATIENCE)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.write_all(&FLUSH)?;
                let mut reply = [0; 24];
                socket.read_exact(&mut reply)?;
                Ok(reply)
            };
            flush().map_err(|error| format!("flush_all: {error}"))
        })?;
        // Magic, opcode, then a status of 0.
        let good = flushed[..2] == [0x81, 0x08] && flushed[6..8] == [0, 0];
        good.then_some(())
            .ok_or_else(|| format!("flush_all: refused with {flushed:02x?}"))
    }

    fn served(&mut self) -> Result<Served, String> {
        let stats = self.stats()?;
        let open = count(&stats, "curr_connections")?;
        Ok(Served {
            requests: count(&stats, "cmd_get")? + count(&stats, "cmd_set")?,
            misses: count(&stats, "get_misses")?,
            connections: open.saturating_sub(self.idle_connections),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn count(stats: &ServerStats, name: &str) -> Result<u64, String> {
    let found = stats.count(name);
    found.ok_or_else(|| format!("its stats have no number {name}"))
}

/// `memcached 1.6.18`, as it says itself.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("-V").output();
    let said = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    let said = said.unwrap_or_default();
    if said.is_empty() {
        "memcached".into()
    } else {
        said
    }
}
