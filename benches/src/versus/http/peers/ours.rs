//! `loadgen http`, with its own engine or with hyper.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written};

/// The release binary of this checkout.
pub(crate) struct Ours {
    name: &'static str,
    client: &'static str,
    program: PathBuf,
}

impl Ours {
    /// The engine.
    pub(crate) fn native(program: &Path) -> Self {
        Self {
            name: "loadgen",
            client: "native",
            program: program.to_owned(),
        }
    }

    /// The reference client.
    pub(crate) fn hyper(program: &Path) -> Self {
        Self {
            name: "loadgen-hyper",
            client: "hyper",
            program: program.to_owned(),
        }
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn program(&self) -> Result<PathBuf, String> {
        Ok(self.program.clone())
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        if self.client == "hyper" {
            job.depth_one_only()?;
        }
        let mut command = Command::new(&self.program);
        command.arg("http").arg(super::url(job));
        command.args(["--client", self.client, "--json", "--quiet"]);
        job.load_of_ours(&mut command);
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        Said::of_ours(written)
    }
}
