//! h2load (nghttp2) in HTTP/1.1: real pipelining, and a rate for each connection.

use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, number_after};

/// h2load.
pub(crate) struct H2load;

impl Peer for H2load {
    fn name(&self) -> &'static str {
        "h2load"
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        let mut command = Command::new(self.program()?);
        command.args(["--h1", "-t", &job.work.workers.to_string()]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["-m", &job.work.depth.to_string()]);
        command.args(["-D", &job.seconds.to_string()]);
        if let Some(rate) = job.rate_per_s {
            let each = rate / f64::from(job.work.connections);
            command.args(["--rps", &each.to_string()]);
        }
        command.arg(super::url(job));
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        // requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
        let line = |label: &str| written.out.lines().find(|line| line.starts_with(label));
        let requests = line("requests:").ok_or("no line of requests in its report")?;
        let done = requests
            .split(", ")
            .find_map(|part| part.strip_suffix(" done")?.parse().ok());
        // traffic: 1.21MB (1267000) total, …
        let bytes = line("traffic:").and_then(|line| number_after(line, "("));
        let done: u64 = done.ok_or("no requests done in its report")?;
        Ok(Said::new(done, bytes.unwrap_or(0.0) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::model::written;
    use super::*;

    #[test]
    fn its_report_is_read() {
        let out = "finished in 1.00s, 1000.00 req/s, 1.21MB/s\nrequests: 1010 total, 1005 started, \
                   1000 done, 1000 succeeded, 10 failed, 10 errored, 0 timeout\nstatus codes: 1000 \
                   2xx, 0 3xx, 0 4xx, 0 5xx\ntraffic: 1.21MB (1267000) total, 0B (0) headers\n";
        let said = H2load.parse(&written(out)).unwrap();
        assert_eq!(said, Said::new(1000, 1_267_000));
    }
}
