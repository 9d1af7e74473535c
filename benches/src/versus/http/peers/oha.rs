//! oha: tokio and hyper. Not in Debian; `cargo install oha`.

use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written};

/// oha 1.9 and later.
pub(crate) struct Oha;

impl Peer for Oha {
    fn name(&self) -> &'static str {
        "oha"
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.depth_one_only()?;
        let mut command = Command::new(self.program()?);
        command.args(["--no-tui", "--output-format", "json"]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["-z", &format!("{}s", job.seconds)]);
        if let Some(rate) = job.rate_per_s {
            command.args(["-q", &(rate.round() as u64).to_string()]);
        }
        command.arg(super::url(job));
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let report: serde_json::Value = serde_json::from_str(&written.out)
            .map_err(|error| format!("no report in JSON: {error}"))?;
        let codes = report["statusCodeDistribution"].as_object();
        let codes = codes.ok_or("no statusCodeDistribution in its report")?;
        let requests = codes.values().filter_map(serde_json::Value::as_u64).sum();
        let bytes = report["summary"]["totalData"].as_u64().unwrap_or(0);
        Ok(Said::new(requests, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::model::written;
    use super::*;

    #[test]
    fn its_report_is_read() {
        let out = r#"{"summary":{"totalData":30},"statusCodeDistribution":{"200":2,"404":1}}"#;
        let said = Oha.parse(&written(out)).unwrap();
        assert_eq!(said, Said::new(3, 30));
    }
}
