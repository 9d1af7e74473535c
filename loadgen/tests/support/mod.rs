//! What the tests on real servers share: the servers, the runs, the lock on the machine.
//!
//! Every fixture listens on a loopback port of its own, keeps its files in a temporary directory
//! and is stopped by its process id when it is dropped. A server that is not installed fails the
//! test; nothing here may skip in silence.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod capture;
pub(crate) mod daemon;
pub(crate) mod httpd;
pub(crate) mod kafka;
pub(crate) mod memcached;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod others;
pub(crate) mod path;
pub(crate) mod raw;
pub(crate) mod run;
pub(crate) mod target;

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

/// Held by a test that loads the machine: such tests run one after another, over all binaries.
#[derive(Debug)]
#[must_use]
pub(crate) struct Machine {
    _lock: File,
}

/// Waits until no other test loads the machine.
pub(crate) fn machine() -> Machine {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine.lock");
    let lock = File::create(path).expect("a lock file in the build directory");
    lock.lock().expect("the lock");
    Machine { _lock: lock }
}

/// A loopback port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("its address").port()
}

/// `program`, as root: with sudo when we are not.
pub(crate) fn privileged(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Before a command line: its threads go before whatever else this machine is doing (real-time
/// priority). For the tests that compare times; counts do not need it. Where the machine refuses
/// it is left out, and such a test then needs the machine to be quiet.
pub(crate) fn first() -> Vec<&'static str> {
    let mut chrt = privileged("chrt");
    let allowed = chrt.args(["--fifo", "10", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("no real-time priority here: times are compared as the scheduler gives them");
        return vec!["env"];
    }
    if rustix::process::geteuid().is_root() {
        vec!["chrt", "--fifo", "10"]
    } else {
        vec!["sudo", "-n", "chrt", "--fifo", "10"]
    }
}

/// When the files of the fixtures were last changed, and the same for `If-Modified-Since`.
pub(crate) const MODIFIED_UNIX_S: u64 = 1_700_000_000;
pub(crate) const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// Writes a file of the fixtures, with its date.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) {
    use std::time::{Duration, UNIX_EPOCH};
    std::fs::write(path, bytes).expect("a file in the temporary directory");
    let file = File::options().append(true).open(path).expect("the same");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_UNIX_S))
        .expect("its date");
}

/// Bodies the servers have.
pub(crate) const KB: u64 = 1024;
pub(crate) const MB: u64 = 1024 * 1024;
