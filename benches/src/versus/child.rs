//! A generator's process: started in its place, asked about from outside, never left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen_core::host::cpus::parse_list;
use rustix::process::{Pid, Signal, kill_process};

use super::lane::Lane;
use super::model::{Written, number_after};
use crate::stop;
use crate::sys::{self, Usage};

/// A child that is killed when it is forgotten.
pub(crate) struct Running {
    child: Child,
    ended: Option<(i32, Usage)>,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts `command` on the lane's side for generators; `name` tells its files in `dir` apart.
    pub(crate) fn start(
        mut command: Command,
        workers: u32,
        lane: &Lane,
        dir: &Path,
        name: &str,
    ) -> Result<Self, String> {
        sys::place(
            &mut command,
            lane.client_cpus(workers),
            lane.client_namespace(),
        );
        Self::spawn(command, dir, name)
    }

    /// Starts `command` wherever it was placed.
    pub(crate) fn spawn(mut command: Command, dir: &Path, name: &str) -> Result<Self, String> {
        let out = dir.join(format!("{name}.out"));
        let err = dir.join(format!("{name}.err"));
        let file = |path: &Path| {
            File::create(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        command.stdin(Stdio::null());
        command.stdout(file(&out)?).stderr(file(&err)?);
        let child = command.spawn().map_err(|error| error.to_string())?;
        Ok(Self {
            child,
            ended: None,
            out,
            err,
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<(i32, Usage)>, String> {
        if self.ended.is_none() {
            self.ended = sys::reap(self.pid()).map_err(|error| format!("wait4: {error}"))?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, at_most: Duration) -> Result<(i32, Usage), String> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            if Instant::now() >= until {
                return Err("did not end".into());
            }
            stop::sleep(Duration::from_millis(10))?;
        }
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> Written {
        let read = |path: &Path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Written {
            out: read(&self.out),
            err: read(&self.err),
        }
    }

    /// `why`, and the last line it wrote to standard error.
    pub(crate) fn explained(&self, why: &str) -> String {
        let written = self.written();
        let last = written.err.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map_or(String::new(), |line| format!(" (it said: {})", line.trim()));
        format!("{why}{last}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            let _ = kill_process(pid, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Peak resident memory since exec. `wait4` would say the parent's, from before the exec.
pub(crate) fn peak_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    number_after(&status, "VmHWM:").map(|kib| kib * 1024.0 / 1e6)
}

/// The CPUs outside `cpus` that a thread of `pid` may run on. Some generators pin their threads
/// themselves, to whatever CPUs they like.
pub(crate) fn astray(pid: u32, cpus: &[u32]) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut outside = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let list = status.lines().find_map(allowed_list);
        let allowed = parse_list(list.unwrap_or_default()).unwrap_or_default();
        outside.extend(allowed.into_iter().filter(|cpu| !cpus.contains(cpu)));
    }
    outside.sort_unstable();
    outside.dedup();
    outside
}

fn allowed_list(line: &str) -> Option<&str> {
    line.strip_prefix("Cpus_allowed_list:").map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_core::host::Allowed;

    #[test]
    fn threads_outside_their_place_are_seen() {
        let own = std::process::id();
        let cpus = Allowed::read().cpus;
        assert!(astray(own, &cpus).is_empty());
        assert_eq!(astray(own, &cpus[1..]), cpus[..1]);
        assert_eq!(allowed_list("Cpus_allowed_list:\t0-1"), Some("0-1"));
        assert_eq!(allowed_list("Cpus_allowed:\t3"), None);
    }
}
