//! wrk: pipelining by a script, as its own repository shows; no schedule.

use std::path::Path;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, number_after};

/// wrk 4.
pub(crate) struct Wrk;

impl Peer for Wrk {
    fn name(&self) -> &'static str {
        "wrk"
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        let mut command = Command::new(self.program()?);
        shape(&mut command, job)?;
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        report(&written.out)
    }
}

/// The flags that wrk and wrk2 share.
pub(super) fn shape(command: &mut Command, job: &Job<'_>) -> Result<(), String> {
    command.arg(format!("-t{}", job.work.workers));
    command.arg(format!("-c{}", job.work.connections));
    command.arg(format!("-d{}s", job.seconds));
    if job.work.depth > 1 {
        let script = pipeline(job.dir, job.work.depth);
        command.arg("-s");
        command.arg(script.map_err(|error| format!("its script: {error}"))?);
    }
    command.arg(super::url(job));
    Ok(())
}

/// A script that makes each request `depth` requests.
fn pipeline(dir: &Path, depth: u32) -> std::io::Result<std::path::PathBuf> {
    let path = dir.join("pipeline.lua");
    let script = format!(
        "local batch\n\
         init = function(args) batch = string.rep(wrk.format(), {depth}) end\n\
         request = function() return batch end\n"
    );
    std::fs::write(&path, script)?;
    Ok(path)
}

/// The line `N requests in T, B read`.
pub(super) fn report(out: &str) -> Result<Said, String> {
    let line = out
        .lines()
        .find(|line| line.contains(" requests in "))
        .ok_or("no line with its requests in its report")?;
    let requests = number_after(line, "").ok_or("no number of requests in its report")?;
    let read = line.rsplit(", ").next().unwrap_or_default();
    let digits = read.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = read.split_at(digits.unwrap_or(read.len()));
    let scale = match unit.chars().next() {
        Some('K') => 1024.0,
        Some('M') => 1024.0 * 1024.0,
        Some('G') => 1024.0 * 1024.0 * 1024.0,
        Some('T') => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    let bytes = number.parse::<f64>().unwrap_or(0.0) * scale;
    Ok(Said::new(requests as u64, bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let out = "Running 1s test @ http://127.0.0.1/\n  1 threads and 10 connections\n  \
                   12345 requests in 1.10s, 2.50MB read\nRequests/sec:  11222.7\n";
        let said = report(out).unwrap();
        assert_eq!(said, Said::new(12_345, 2_621_440));
        assert!(report("unable to connect").is_err());
    }
}
