//! The floor: our own minimal loops, run as a process like every other peer.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, this_program};

/// Which loop follows from the work.
pub(crate) struct Floor;

/// From this body on a reply is large.
const LARGE_BYTES: u64 = 128 * 1024;

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn program(&self) -> Result<PathBuf, String> {
        this_program()
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        let large = job.work.payload_bytes >= LARGE_BYTES;
        let floor = match (large, job.work.depth) {
            (true, 1) => "bulk-lowat",
            (true, _) => return Err("has no loop for large replies with depth".into()),
            (false, 1) => "http-small",
            (false, _) => {
                job.closed_only()?;
                "batches"
            }
        };
        if job.work.workers != 1 {
            return Err("has one thread".into());
        }
        let mut command = Command::new(self.program()?);
        command.args(["floor", floor, "--path", job.resource]);
        command.args(["--addr", &job.address.to_string()]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["-d", &job.seconds.to_string()]);
        command.args(["--depth", &job.work.depth.to_string()]);
        if let Some(rate) = job.rate_per_s {
            command.args(["--rate", &rate.to_string()]);
        }
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        Said::of_floor(written)
    }
}
