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
        command.args(["-t", &job.work.workers.to_string()]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["--depth", &job.work.depth.to_string()]);
        command.args(["-d", &format!("{}s", job.seconds)]);
        if let Some(rate) = job.rate_per_s {
            command.args(["-R", &rate.to_string()]);
        }
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let document: serde_json::Value = serde_json::from_str(&written.out)
            .map_err(|error| format!("no results document: {error}"))?;
        let total = |name: &str| document["totals"][name].as_u64();
        Ok(Said {
            requests: total("completed").ok_or("no totals.completed in the document")?,
            bytes: total("wire_rx_bytes").unwrap_or(0),
            document: Some(document),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let out = r#"{"totals":{"completed":7,"wire_rx_bytes":70}}"#.to_owned();
        let ours = Ours::native(Path::new("x"));
        let said = ours.parse(&Written { out }).unwrap();
        assert_eq!((said.requests, said.bytes), (7, 70));
        let out = "Error: refused".to_owned();
        assert!(ours.parse(&Written { out }).is_err());
    }
}
