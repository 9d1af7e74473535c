//! A server process of a test: started, waited for, stopped by its process id.
//!
//! It must never end a process it did not start.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Option<Child>,
}

impl Daemon {
    /// Starts `command` and waits until somebody listens on `port`.
    #[track_caller]
    pub(crate) fn start(command: Command, port: u16) -> Self {
        Self::start_within(command, port, PATIENCE)
    }

    /// The same, with more patience than most servers need.
    #[track_caller]
    pub(crate) fn start_within(mut command: Command, port: u16, patience: Duration) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("{name} is needed for this test: {e}"));
        let mut daemon = Self {
            name,
            child: Some(child),
        };
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = daemon.child().try_wait().expect("its state");
            assert!(ended.is_none(), "{} ended at once: {ended:?}", daemon.name);
            assert!(
                since.elapsed() < patience,
                "{} does not listen",
                daemon.name
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("not stopped yet")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("not stopped yet").id()
    }

    /// Sends `signal` and goes on: for those that do not end it.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the signal is delivered");
    }

    /// Sends `signal` and waits until it is gone.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the signal is delivered");
        let since = Instant::now();
        while child.try_wait().expect("its state").is_none() {
            if since.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} does not end on signal {signal:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The polite way first: servers with workers take them along only then.
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let since = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if since.elapsed() > Duration::from_secs(5) {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
