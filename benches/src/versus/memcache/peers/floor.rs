//! The floor: our own minimal loop, run as a process like every other peer.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, this_program};

/// The floor `memcache`.
pub(crate) struct Floor;

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn program(&self) -> Result<PathBuf, String> {
        this_program()
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        if job.work.workers != 1 {
            return Err("has one thread".into());
        }
        let mut command = Command::new(self.program()?);
        command.args(["floor", "memcache"]);
        command.args(["--addr", &job.address.to_string()]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["-d", &job.seconds.to_string()]);
        command.args(["--depth", &job.work.depth.to_string()]);
        Ok(command)
    }

    fn prepare(&self, job: &Job<'_>) -> Result<Option<Command>, String> {
        let mut command = Command::new(self.program()?);
        command.args(["floor", "memcache-fill"]);
        command.args(["--addr", &job.address.to_string()]);
        Ok(Some(command))
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        Said::of_floor(written)
    }
}
