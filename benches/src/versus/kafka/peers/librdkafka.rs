//! librdkafka: a loop of this program's own, which is there when it was built with the feature of
//! that name.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, this_program};
use super::super::{FETCH_BYTES, PARTITIONS, Task, resource};

/// librdkafka.
pub(crate) struct Librdkafka;

impl Peer for Librdkafka {
    fn name(&self) -> &'static str {
        "librdkafka"
    }

    fn program(&self) -> Result<PathBuf, String> {
        if !cfg!(feature = "librdkafka") {
            return Err("this program was built without --features librdkafka".into());
        }
        this_program()
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        let task = Task::of(job.work)?;
        let mut command = Command::new(self.program()?);
        let direction = if task.reads() { "consume" } else { "produce" };
        command.args(["librdkafka", direction]);
        command.args(["--addr", &job.address.to_string()]);
        command.args(["--topic", resource(job)?.0]);
        command.args(["--partitions", &PARTITIONS.to_string()]);
        command.args(["--record-size", &task.shape.record_bytes.to_string()]);
        command.args(["-d", &job.seconds.to_string()]);
        let setting = if task.reads() {
            format!("fetch.message.max.bytes={FETCH_BYTES}")
        } else {
            format!("batch.size={}", task.shape.batch_bytes)
        };
        command.args(["-X", &setting]);
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let mut said = Said::of_floor(written)?;
        // Its settings belong into the report.
        said.document = serde_json::from_str(written.out.trim()).ok();
        Ok(said)
    }
}
