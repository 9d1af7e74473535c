//! ab (Apache): one thread, HTTP/1.0 with keep-alive.

use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, number_after};

/// ab.
pub(crate) struct Ab;

/// No target of ours answers so many in a second; ab reserves memory for each request it may send.
const REQUESTS_PER_S_MAX: u64 = 200_000;

impl Peer for Ab {
    fn name(&self) -> &'static str {
        "ab"
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        job.depth_one_only()?;
        if job.work.workers != 1 {
            return Err("has one thread".into());
        }
        let mut command = Command::new(self.program()?);
        command.args(["-q", "-k", "-c", &job.work.connections.to_string()]);
        command.args(["-t", &job.seconds.to_string()]);
        // After -t, which sets a limit of its own.
        command.args(["-n", &(job.seconds * REQUESTS_PER_S_MAX).to_string()]);
        command.arg(super::url(job));
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let number = |label: &str| number_after(&written.out, label);
        let requests = number("Complete requests:").ok_or("no complete requests in its report")?;
        let bytes = number("Total transferred:").unwrap_or(0.0);
        Ok(Said::new(requests as u64, bytes as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::model::written;
    use super::*;

    #[test]
    fn its_report_is_read() {
        let out = "Complete requests:      5000\nFailed requests:        0\nTotal transferred:      \
                   6350000 bytes\n";
        let said = Ab.parse(&written(out)).unwrap();
        assert_eq!(said, Said::new(5000, 6_350_000));
    }
}
