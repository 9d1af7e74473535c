//! The floor: our own minimal loops, run as a process like every other peer.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, this_program};
use super::super::{Doing, PARTITIONS, Task, WRITES_IN_FLIGHT, resource};

/// The floors `kafka-consume` and `kafka-produce`.
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
        let task = Task::of(job.work)?;
        let floor = match task.doing {
            Doing::Consume | Doing::ConsumeRecords => "kafka-consume",
            Doing::Produce => "kafka-produce",
        };
        let mut command = Command::new(self.program()?);
        command.args(["floor", floor, "-c", "1"]);
        command.args(["--addr", &job.address.to_string()]);
        command.args(["--topic", resource(job)?.0]);
        command.args(["--partitions", &PARTITIONS.to_string()]);
        command.args(["--record-size", &task.shape.record_bytes.to_string()]);
        command.args(["--batch-bytes", &task.shape.batch_bytes.to_string()]);
        command.args(["-d", &job.seconds.to_string()]);
        if task.doing == Doing::Produce {
            command.args(["--depth", &WRITES_IN_FLIGHT.to_string()]);
        }
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        Said::of_floor(written)
    }
}
