//! Where target and generator run: which cores, and what network lies between them.
//!
//! A veth pair is made of two namespaces of our own and removed with them; nothing else of the
//! machine is changed.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use loadgen_core::host::Allowed;
use serde::Serialize;

use crate::sys;

/// The network between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Link {
    /// The loopback interface, MTU 65536
    Loopback,
    /// A veth pair with MTU 1500 between two network namespaces; needs root
    Veth,
}

/// Cores and network of one series of runs.
pub(crate) struct Lane {
    /// The IP address of the target.
    pub(crate) address: &'static str,
    cpus: Vec<u32>,
    pair: Option<Pair>,
}

impl Lane {
    /// Finds the cores and makes the network.
    pub(crate) fn make(link: Link) -> Result<Self, String> {
        let cpus = Allowed::read().cpus;
        if cpus.len() < 2 {
            let found = cpus.len();
            return Err(format!("needs 2 cores, one each; may use {found}"));
        }
        let pair = match link {
            Link::Loopback => None,
            Link::Veth => Some(Pair::make().map_err(|why| format!("no veth pair: {why}"))?),
        };
        let address = pair.as_ref().map_or("127.0.0.1", |_| TARGET_IP);
        Ok(Self {
            address,
            cpus,
            pair,
        })
    }

    /// The target's core.
    pub(crate) fn target_cpus(&self) -> &[u32] {
        &self.cpus[..1]
    }

    /// The generator's cores. Where there are not enough, the target's core is shared.
    pub(crate) fn client_cpus(&self, workers: u32) -> &[u32] {
        let workers = workers as usize;
        let own = &self.cpus[1..];
        if workers <= own.len() {
            &own[..workers]
        } else {
            &self.cpus
        }
    }

    /// Whether a generator with so many workers shares the target's core.
    pub(crate) fn shares(&self, workers: u32) -> bool {
        workers as usize >= self.cpus.len()
    }

    /// The target's network namespace, when it is not ours.
    pub(crate) fn target_namespace(&self) -> Option<BorrowedFd<'_>> {
        self.pair.as_ref().map(|pair| pair.target.file.as_fd())
    }

    /// The generator's, to be kept beside the lane; `None`: ours.
    pub(crate) fn own_client_namespace(&self) -> Result<Option<OwnedFd>, String> {
        let own = self.client_namespace().map(|fd| fd.try_clone_to_owned());
        own.transpose()
            .map_err(|error| format!("namespace: {error}"))
    }

    /// The generator's.
    pub(crate) fn client_namespace(&self) -> Option<BorrowedFd<'_>> {
        self.pair.as_ref().map(|pair| pair.client.file.as_fd())
    }
}

/// Runs `ask` in a network namespace; `None`: in ours.
pub(crate) fn inside<T: Send>(
    namespace: Option<&OwnedFd>,
    ask: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let Some(namespace) = namespace else {
        return ask();
    };
    let there = || {
        sys::enter(namespace).map_err(|error| format!("namespace: {error}"))?;
        ask()
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(there).join();
        asked.map_err(|_| "the thread that asks ended".to_owned())?
    })
}

/// A free port of the target's address, looked for here: in a fresh namespace every port is free.
pub(crate) fn free_address(lane: &Lane) -> Result<SocketAddr, String> {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))?
        .port();
    let address = format!("{}:{port}", lane.address);
    address
        .parse()
        .map_err(|error| format!("{address}: {error}"))
}

const CLIENT_IP: &str = "10.213.7.1";
const TARGET_IP: &str = "10.213.7.2";

/// Two namespaces with a cable between them.
struct Pair {
    client: Namespace,
    target: Namespace,
}

impl Pair {
    fn make() -> Result<Self, String> {
        let id = std::process::id();
        let client = Namespace::make(format!("lgb{id}c"))?;
        let target = Namespace::make(format!("lgb{id}t"))?;
        let (c, t) = (client.name.as_str(), target.name.as_str());
        ip(&[
            "-n", c, "link", "add", "lgb", "mtu", "1500", "type", "veth", "peer", "name", "lgb",
            "mtu", "1500", "netns", t,
        ])?;
        for (name, address) in [(c, CLIENT_IP), (t, TARGET_IP)] {
            let with_mask = format!("{address}/24");
            ip(&["-n", name, "addr", "add", &with_mask, "dev", "lgb"])?;
            ip(&["-n", name, "link", "set", "lgb", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        // 10,000 connections a run leave as many ports in TIME_WAIT; loopback reuses them by
        // default, other links must be told.
        for (key, value) in [("ip_local_port_range", "1024 65535"), ("tcp_tw_reuse", "1")] {
            let script = format!("echo {value} > /proc/sys/net/ipv4/{key}");
            ip(&["netns", "exec", c, "sh", "-c", &script])?;
        }
        Ok(Self { client, target })
    }
}

/// A network namespace, deleted when dropped.
struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    fn make(name: String) -> Result<Self, String> {
        ip(&["netns", "add", &name])?;
        let open = |dir: &str| File::open(Path::new(dir).join(&name));
        match open("/run/netns").or_else(|_| open("/var/run/netns")) {
            Ok(file) => Ok(Self { name, file }),
            Err(error) => {
                let _ = ip(&["netns", "del", &name]);
                Err(format!("namespace {name}: {error}"))
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let program = super::model::on_path("ip")?;
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it said nothing").to_owned();
    Err(format!("ip {}: {said}", args.join(" ")))
}
