//! `loadgen kafka consume` and `produce`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written};
use super::super::{Doing, FETCH_BYTES, Task, resource};

/// The release binary of this checkout.
pub(crate) struct Ours {
    program: PathBuf,
}

impl Ours {
    /// The program.
    pub(crate) fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
        }
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "loadgen"
    }

    fn program(&self) -> Result<PathBuf, String> {
        Ok(self.program.clone())
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        let task = Task::of(job.work)?;
        let mut command = Command::new(&self.program);
        command.args(["kafka", if task.reads() { "consume" } else { "produce" }]);
        command.arg(job.address.to_string());
        command.args(["--topic", resource(job)?.0, "--json", "--quiet"]);
        job.load_of_ours(&mut command);
        match task.doing {
            Doing::Produce => {
                command.args(["--record-size", &task.shape.record_bytes.to_string()]);
                command.args(["--batch-bytes", &task.shape.batch_bytes.to_string()]);
                command.args(["--acks", "1"]);
            }
            Doing::Consume | Doing::ConsumeRecords => {
                command.args(["--replay", "--fetch-size", &FETCH_BYTES.to_string()]);
                let headers = task.doing == Doing::Consume;
                command.args(["--verify", if headers { "headers" } else { "records" }]);
            }
        }
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let mut said = Said::of_ours(written)?;
        let document = said.document.as_ref();
        let rows = document.and_then(|document| document["operations"].as_array());
        let good = |row: &&serde_json::Value| row["outcome"] == "ok";
        let units = rows.into_iter().flatten().filter(good);
        said.requests = units.filter_map(|row| row["total_units"].as_u64()).sum();
        // Bytes on the wire, where a record's payload is meant here.
        said.bytes = 0;
        Ok(said)
    }
}
