//! `loadgen memcache`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written};
use super::super::{KEY_BYTES, KEYS, VALUE_BYTES};

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

    fn shaped(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("memcache").arg(job.address.to_string());
        command.args(["--json", "--quiet", "--ratio", "1:9"]);
        command.args(["--key-size", &KEY_BYTES.to_string()]);
        command.args(["--value-size", &VALUE_BYTES.to_string()]);
        command.args(["--keys", &KEYS.to_string()]);
        command
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
        let mut command = self.shaped(job);
        job.load_of_ours(&mut command);
        Ok(command)
    }

    fn prepare(&self, job: &Job<'_>) -> Result<Option<Command>, String> {
        // The keys are the same in every run, so one run can set them for the next.
        let mut command = self.shaped(job);
        command.args(["--prefill", "-t", "1", "-c", "1", "-n", "1"]);
        Ok(Some(command))
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        Said::of_ours(written)
    }
}
