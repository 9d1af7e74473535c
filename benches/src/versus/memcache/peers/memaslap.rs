//! memaslap, which Debian installs as `memcaslap`.
//!
//! It needs no prefill: each connection asks for what it has set itself. It has no warm-up either,
//! and counts an operation when it is sent. Given one CPU it stays there with one thread; given
//! more, it pins its threads to CPUs 0, 1, … whichever those are.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, number_after, on_path};
use super::super::{KEY_BYTES, VALUE_BYTES};

/// memaslap.
pub(crate) struct Memaslap;

impl Peer for Memaslap {
    fn name(&self) -> &'static str {
        "memaslap"
    }

    fn program(&self) -> Result<PathBuf, String> {
        let debian = on_path("memcaslap");
        debian.or_else(|_| on_path("memaslap").map_err(|why| why + ", nor memcaslap"))
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        job.depth_one_only()?;
        if job.work.workers != 1 {
            return Err("pins several threads to CPUs 0, 1, … wherever it was placed".into());
        }
        // Without -F it would read, or write, a file in somebody's home.
        let config = job.dir.join("memaslap.cnf");
        std::fs::write(&config, config_text()).map_err(|error| format!("its -F: {error}"))?;
        let mut command = Command::new(self.program()?);
        command.args(["-B", "-T", "1", "-s", &job.address.to_string()]);
        command.args(["-c", &job.work.connections.to_string()]);
        command.args(["-t", &format!("{}s", job.seconds)]);
        command.arg("-F").arg(config);
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        // Run time: 2.0s Ops: 29627 TPS: 14806 Net_rate: 16.1M/s
        let ops = number_after(&written.out, "Ops:").ok_or("no Ops: in its report")?;
        let bytes = number_after(&written.out, "read_bytes:").unwrap_or(0.0);
        Ok(Said::new(ops as u64, bytes as u64))
    }
}

/// Sizes with their shares, and ops with theirs: 0 is SET, 1 is GET.
fn config_text() -> String {
    format!(
        "key\n{KEY_BYTES} {KEY_BYTES} 1\nvalue\n{VALUE_BYTES} {VALUE_BYTES} 1\n\
         cmd\n0 0.1\n1 0.9\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::super::model::written;
    use super::*;

    #[test]
    fn its_report_is_read() {
        let out = "set proportion: set_prop=0.10\ncmd_get: 26632\ncmd_set: 2995\nget_misses: 0\n\
                   written_bytes: 5685160\nread_bytes: 28028612\nobject_bytes: 3258560\n\n\
                   Run time: 2.0s Ops: 29627 TPS: 14806 Net_rate: 16.1M/s\n";
        let said = Memaslap.parse(&written(out)).unwrap();
        assert_eq!(said, Said::new(29_627, 28_028_612));
        assert!(Memaslap.parse(&written("")).is_err());
    }

    #[test]
    fn its_file_is_one_that_our_own_reader_understands() {
        let file = loadgen_memcache::memaslap::Config::parse(&config_text());
        assert!(file.is_ok(), "{file:?}");
    }
}
