//! memtier_benchmark, in the binary protocol. Not in Debian; built from its repository.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, number_after, on_path};
use super::super::{KEY_BYTES, KEYS, VALUE_BYTES};

/// memtier_benchmark.
pub(crate) struct Memtier;

/// The first key's number: all have as many digits, so all keys are of one length.
const FIRST_KEY: u32 = 10_000_000;

impl Memtier {
    fn shaped(&self, job: &Job<'_>) -> Result<Command, String> {
        let digits = FIRST_KEY.to_string().len();
        let prefix = "m".repeat(KEY_BYTES as usize - digits);
        let mut command = Command::new(self.program()?);
        command.args(["-P", "memcache_binary", "--hide-histogram"]);
        command.args(["-s", &job.address.ip().to_string()]);
        command.args(["-p", &job.address.port().to_string()]);
        command.args(["-d", &VALUE_BYTES.to_string(), "--key-prefix", &prefix]);
        command.arg(format!("--key-minimum={FIRST_KEY}"));
        command.arg(format!("--key-maximum={}", FIRST_KEY + KEYS - 1));
        Ok(command)
    }
}

impl Peer for Memtier {
    fn name(&self) -> &'static str {
        "memtier"
    }

    fn program(&self) -> Result<PathBuf, String> {
        on_path("memtier_benchmark")
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        let Job { work, .. } = job;
        let each = work.connections / work.workers;
        if each * work.workers != work.connections {
            return Err("deals the same number of connections to every thread".into());
        }
        let mut command = self.shaped(job)?;
        command.args(["--ratio", "1:9", "--key-pattern", "R:R"]);
        command.args(["-t", &work.workers.to_string(), "-c", &each.to_string()]);
        command.args(["--pipeline", &work.depth.to_string()]);
        command.args(["--test-time", &job.seconds.to_string()]);
        if let Some(rate) = job.rate_per_s {
            // Whole requests per second and connection.
            let one = (rate / f64::from(work.connections)).round().max(1.0) as u64;
            command.arg(format!("--rate-limiting={one}"));
        }
        Ok(command)
    }

    fn prepare(&self, job: &Job<'_>) -> Result<Option<Command>, String> {
        let mut command = self.shaped(job)?;
        command.args(["--ratio", "1:0", "--key-pattern", "P:P"]);
        command.args(["-t", "1", "-c", "1", "-n", "allkeys"]);
        Ok(Some(command))
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        // Its progress, rewritten in place: `… 1 threads:  180123 ops, …`; the last one is the sum.
        let last = written.err.rfind("threads:").map(|at| &written.err[at..]);
        let ops = last.and_then(|text| number_after(text, "threads:"));
        let ops = ops.ok_or("no number of ops in its progress")?;
        Ok(Said::new(ops as u64, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_progress_is_read() {
        let err = "[RUN #1] Launching threads now...\n\
                   [RUN #1 50%,   1 secs]  1 threads:       36172 ops,   36172 (avg:   36172) ops/sec\r\
                   [RUN #1 100%,   2 secs]  0 threads:       72401 ops,   36229 (avg:   36200) ops/sec\r\n\n";
        let written = Written {
            out: String::new(),
            err: err.into(),
        };
        assert_eq!(Memtier.parse(&written).unwrap(), Said::new(72_401, 0));
        let nothing = Written {
            out: String::new(),
            err: "connection refused".into(),
        };
        assert!(Memtier.parse(&nothing).is_err());
    }
}
