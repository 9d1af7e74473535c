//! wrk2: wrk with a rate, and only with one. Found as `wrk2`; Debian has no package of it.

use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written};
use super::wrk;

/// wrk2.
pub(crate) struct Wrk2;

impl Peer for Wrk2 {
    fn name(&self) -> &'static str {
        "wrk2"
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        let rate = job.rate_per_s.ok_or("has no closed loop, only a rate")?;
        let mut command = Command::new(self.program()?);
        command.arg(format!("-R{}", rate.round() as u64));
        wrk::shape(&mut command, job)?;
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        wrk::report(&written.out)
    }
}
