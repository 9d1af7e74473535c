//! Runs of the real binary, and what they left behind.
//!
//! Every document is checked against the schema and against its own sums before a test sees it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen_core::results::{Document, judge, schema};
use serde_json::Value;

/// How long a run may take at the most, planned length included.
const PATIENCE: Duration = Duration::from_secs(150);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_loadgen");

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// CPU time of the whole process, user and system.
    pub(crate) cpu: Duration,
    /// How long it ran.
    pub(crate) elapsed: Duration,
    /// Most memory it ever had resident, as seen every few milliseconds.
    pub(crate) resident_peak_bytes: u64,
}

/// Runs `loadgen ARGS` to its end.
#[track_caller]
pub(crate) fn loadgen(args: &[&str]) -> Ran {
    under(&[], args)
}

/// Runs `PREFIX… loadgen ARGS` to its end. A prefix that replaces itself (prlimit, unshare) leaves
/// the measures of the process right.
#[track_caller]
pub(crate) fn under(prefix: &[&str], args: &[&str]) -> Ran {
    start(prefix, args).finish()
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    since: Instant,
    what: String,
    stdout: std::thread::JoinHandle<String>,
    stderr: std::thread::JoinHandle<String>,
}

/// Starts `PREFIX… loadgen ARGS`.
#[track_caller]
pub(crate) fn start(prefix: &[&str], args: &[&str]) -> Running {
    let words: Vec<&str> = prefix.iter().copied().chain([BINARY]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(args);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let since = Instant::now();
    let spawned = command.spawn();
    let mut child = spawned.unwrap_or_else(|e| panic!("{} is needed: {e}", words[0]));
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    Running {
        child,
        since,
        what: format!("{words:?} {args:?}"),
        stdout,
        stderr,
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time it used so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time(self.child.id())
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        let pid = self.child.id();
        let mut resident_peak_bytes = 0;
        // A process that ended and was not waited for still tells its CPU time.
        while !is_over(pid) {
            resident_peak_bytes = resident_bytes(pid).unwrap_or(0).max(resident_peak_bytes);
            if self.since.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("{} did not end in {PATIENCE:?}", self.what);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let elapsed = self.since.elapsed();
        let cpu = cpu_time(pid);
        let status = self.child.wait().expect("its status");
        Ran {
            code: status.code(),
            stdout: self.stdout.join().expect("its output"),
            stderr: self.stderr.join().expect("its errors"),
            cpu,
            elapsed,
            resident_peak_bytes,
        }
    }
}

/// The fields of `/proc/PID/stat` after the name, which may hold spaces (proc(5)).
fn stat(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().map(str::to_owned).collect()
}

fn is_over(pid: u32) -> bool {
    stat(pid).first().is_none_or(|state| state == "Z")
}

/// CPU time of a process so far, user and system.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let fields = stat(pid);
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    let sum = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    // USER_HZ is 100 on every Linux there is.
    Duration::from_millis(sum * 10)
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

impl Ran {
    /// The document on stdout, checked.
    #[track_caller]
    pub(crate) fn document(&self) -> Document {
        let parsed = serde_json::from_str(&self.stdout);
        let value: Value = parsed.unwrap_or_else(|e| {
            panic!(
                "no document on stdout ({e}); exit code {:?}\nstdout: {}\nstderr: {}",
                self.code, self.stdout, self.stderr
            )
        });
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "not as the schema says: {wrong:?}");
        let document: Document = serde_json::from_value(value).expect("the types of the schema");
        check(&document);
        let promised = i32::from(document.verdict.exit_code);
        assert_eq!(self.code, Some(promised), "exit code; {}", self.stderr);
        document
    }

    /// The document of a run that went well.
    #[track_caller]
    pub(crate) fn complete(&self) -> Document {
        assert_eq!(self.code, Some(0), "exit code; {}", self.stderr);
        let document = self.document();
        let totals = &document.totals;
        assert_eq!(totals.failed, 0, "{:?}", document.errors);
        assert_eq!(totals.unanswered, 0);
        document
    }
}

/// What holds for every document.
#[track_caller]
fn check(document: &Document) {
    let totals = &document.totals;
    let ended = totals.completed + totals.failed + totals.unanswered;
    assert_eq!(totals.sent, ended, "{totals:?}");
    let replies: u64 = document.operations.iter().map(|o| o.total_count).sum();
    assert_eq!(replies, totals.completed, "operations add up to the totals");
    let by_target: u64 = document.targets.iter().map(|t| t.completed).sum();
    assert_eq!(by_target, totals.completed, "targets add up to the totals");
    // Findings, answers and verdict are functions of the rest.
    let mut again = document.clone();
    judge(&mut again);
    let codes = |d: &Document| {
        d.findings
            .iter()
            .map(|f| f.code.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&again), codes(document));
    assert_eq!(again.verdict.exit_code, document.verdict.exit_code);
}
