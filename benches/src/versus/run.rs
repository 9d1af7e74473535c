//! One run of one generator: placed, warmed up, measured from outside, ended.
//!
//! All sides are measured by the same instruments: the kernel's CPU clock of the process, the
//! target's own counter, `/proc/stat`. What a generator says of itself is only checked.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use loadgen_core::host::CpuSample;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;

use super::lane::Lane;
use super::machine::busy_s;
use super::model::{Job, Peer, Served, Target, Work, Written};
use crate::sys::{self, Usage};

/// How long the parts of a run are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Timing {
    /// Load before the window, s; longer until all connections are there.
    pub(crate) warmup_s: f64,
    /// The window, s.
    pub(crate) measure_s: f64,
}

impl Timing {
    /// How long connections may take, s.
    fn connecting_s(work: &Work) -> f64 {
        0.5 + f64::from(work.connections) / 2500.0
    }

    /// How long the questions to the target may take, s: each waits behind every connection.
    fn asking_s(work: &Work) -> f64 {
        0.5 + f64::from(work.connections) / 5000.0
    }

    /// How long the generator is asked to run, s. What is left over at the end is not measured.
    fn job_s(self, work: &Work) -> u64 {
        let around_s = Self::connecting_s(work) + Self::asking_s(work);
        (self.warmup_s + around_s + self.measure_s).ceil() as u64
    }
}

/// What one run came to. Per request and per GB are over the window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Requests the target counted per second of the window.
    pub(crate) requests_per_s: f64,
    /// CPU time of the generator per request, µs.
    pub(crate) cpu_us_per_request: f64,
    /// CPU time of the generator per 10^9 payload bytes, s.
    pub(crate) cpu_s_per_gb: f64,
    /// CPU time of the whole machine per request, µs.
    pub(crate) machine_us_per_request: f64,
    /// CPU time of the whole machine per 10^9 payload bytes, s.
    pub(crate) machine_s_per_gb: f64,
    /// CPU time of the generator ÷ the window.
    pub(crate) cpu_cores: f64,
    /// Peak resident memory (`VmHWM`), MB of 10^6.
    pub(crate) peak_mb: f64,
    /// User and system time of the whole run, start and connecting too (`wait4`), per request, µs.
    pub(crate) rusage_us_per_request: f64,
    /// Of that, in user mode.
    pub(crate) rusage_user_us_per_request: f64,
    /// Requests of the whole run as the generator said.
    pub(crate) said_requests: u64,
    /// Bytes as it said; some count heads, some do not.
    pub(crate) said_bytes: u64,
    /// Requests of the whole run as the target counted.
    pub(crate) served_requests: u64,
    /// Reasons to look twice.
    pub(crate) notes: Vec<String>,
    /// Its results document, where it writes one.
    #[serde(skip)]
    pub(crate) document: Option<Value>,
}

/// A child that is killed when it is forgotten.
struct Running {
    child: Child,
    ended: Option<(i32, Usage)>,
}

impl Running {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    fn ended(&mut self) -> Result<Option<(i32, Usage)>, String> {
        if self.ended.is_none() {
            self.ended = sys::reap(self.pid()).map_err(|error| format!("wait4: {error}"))?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    fn wait(&mut self, at_most: Duration) -> Result<(i32, Usage), String> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            if Instant::now() >= until {
                return Err("did not end".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            let _ = kill_process(pid, Signal::KILL);
            let _ = self.wait(Duration::from_secs(5));
        }
    }
}

struct Sample {
    at: Instant,
    cpu_ns: u64,
    machine: CpuSample,
    served: u64,
}

impl Sample {
    fn take(running: &mut Running, target: &mut dyn Target) -> Result<Self, String> {
        if running.ended()?.is_some() {
            return Err("ended before the window did".into());
        }
        // The slow question first: the other readings then stand close together.
        let served = target.served()?.requests;
        let cpu_ns = sys::process_cpu_ns(running.pid()).map_err(|e| format!("CPU clock: {e}"))?;
        let machine = CpuSample::read().ok_or("no /proc/stat")?;
        let at = Instant::now();
        Ok(Self {
            at,
            cpu_ns,
            machine,
            served,
        })
    }
}

/// Runs `peer` once. `rate_per_s`: offered; `None`: closed loop.
pub(crate) fn run(
    peer: &dyn Peer,
    work: &Work,
    rate_per_s: Option<f64>,
    timing: Timing,
    target: &mut dyn Target,
    lane: &Lane,
) -> Result<Run, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let resource = target.resource(work);
    let job = Job {
        work,
        rate_per_s,
        seconds: timing.job_s(work),
        address: target.address(),
        resource: &resource,
        dir: dir.path(),
    };
    let mut command = peer.command(&job)?;
    let before = quiet(target)?;
    let file = |name: &str| {
        let path = dir.path().join(name);
        File::create(path).map_err(|error| format!("{name}: {error}"))
    };
    command.stdin(Stdio::null());
    command.stdout(file("stdout")?).stderr(file("stderr")?);
    let cpus = lane.client_cpus(work.workers);
    sys::place(&mut command, cpus, lane.client_namespace());
    let child = command.spawn().map_err(|error| error.to_string())?;
    let mut running = Running { child, ended: None };
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let measured = measure(&mut running, work, timing, target).and_then(|window| {
        let (status, usage) = running.wait(Duration::from_secs(job.seconds + 30))?;
        Ok((window, status, usage))
    });
    let said_to_err = || {
        let text = read("stderr");
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        last.map_or(String::new(), |line| format!(" (it said: {})", line.trim()))
    };
    let (window, status, usage) = measured.map_err(|why| why + &said_to_err())?;
    let after = quiet(target)?;
    let said = peer
        .parse(&Written {
            out: read("stdout"),
        })
        .map_err(|why| why + &said_to_err())?;
    let mut run = window.figures(work);
    run.whole(said.requests, after.requests - before.requests, usage);
    run.said_bytes = said.bytes;
    run.document = said.document;
    if status != 0 {
        run.notes.push(run.ending(status));
    }
    // In flight when it ended, and the one that the floor learns from.
    let slack = u64::from(work.connections) * u64::from(work.depth) + 1;
    if run.said_requests.abs_diff(run.served_requests) > slack {
        run.notes.push(format!(
            "said {} requests, the target counted {}",
            run.said_requests, run.served_requests
        ));
    }
    Ok(run)
}

/// Waits until the connections of the run before are gone.
fn quiet(target: &mut dyn Target) -> Result<Served, String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let served = target.served()?;
        if served.connections == 0 {
            return Ok(served);
        }
        if Instant::now() >= until {
            let open = served.connections;
            return Err(format!("{open} connections of the run before stay open"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Window {
    begin: Sample,
    end: Sample,
    peak_mb: f64,
    notes: Vec<String>,
}

fn measure(
    running: &mut Running,
    work: &Work,
    timing: Timing,
    target: &mut dyn Target,
) -> Result<Window, String> {
    let start = Instant::now();
    let seconds = |s: f64| Duration::from_secs_f64(s);
    let mut notes = Vec::new();
    std::thread::sleep(seconds(timing.warmup_s));
    loop {
        let open = target.served()?.connections;
        if open >= u64::from(work.connections) {
            break;
        }
        if start.elapsed() >= seconds(timing.warmup_s + Timing::connecting_s(work)) {
            let wanted = work.connections;
            notes.push(format!("{open} of {wanted} connections after the warm-up"));
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let begin = Sample::take(running, target)?;
    std::thread::sleep(seconds(timing.measure_s));
    // Before the question to the target, during which the run may end.
    let peak_mb = peak_mb(running.pid()).ok_or("ended before the window did")?;
    let end = Sample::take(running, target)?;
    Ok(Window {
        begin,
        end,
        peak_mb,
        notes,
    })
}

impl Window {
    fn figures(self, work: &Work) -> Run {
        let window_s = self.end.at.duration_since(self.begin.at).as_secs_f64();
        let requests = (self.end.served - self.begin.served) as f64;
        let gb = requests * work.payload_bytes as f64 / 1e9;
        let cpu_s = (self.end.cpu_ns - self.begin.cpu_ns) as f64 / 1e9;
        let machine_s = busy_s(&self.end.machine.since(&self.begin.machine));
        Run {
            requests_per_s: requests / window_s,
            cpu_us_per_request: cpu_s * 1e6 / requests,
            cpu_s_per_gb: cpu_s / gb,
            machine_us_per_request: machine_s * 1e6 / requests,
            machine_s_per_gb: machine_s / gb,
            cpu_cores: cpu_s / window_s,
            peak_mb: self.peak_mb,
            rusage_us_per_request: 0.0,
            rusage_user_us_per_request: 0.0,
            said_requests: 0,
            said_bytes: 0,
            served_requests: 0,
            notes: self.notes,
            document: None,
        }
    }
}

impl Run {
    /// Adds what is known of the whole run.
    fn whole(&mut self, said: u64, served: u64, usage: Usage) {
        self.said_requests = said;
        self.served_requests = served;
        let each_us = |seconds: f64| seconds * 1e6 / served as f64;
        self.rusage_us_per_request = each_us(usage.user_s + usage.system_s);
        self.rusage_user_us_per_request = each_us(usage.user_s);
    }
}

impl Run {
    /// What a wait status other than 0 means, with the findings that led to it.
    fn ending(&self, status: i32) -> String {
        if status & 0x7f != 0 {
            return format!("ended by signal {}", status & 0x7f);
        }
        let findings = self
            .document
            .as_ref()
            .and_then(|d| d["findings"].as_array());
        let invalid = |f: &&Value| f["weight"] == "invalid";
        let codes = findings.into_iter().flatten().filter(invalid);
        let codes: Vec<&str> = codes.filter_map(|f| f["code"].as_str()).collect();
        format!("exit code {} {}", status >> 8, codes.join(" "))
    }
}

/// Peak resident memory since exec. `wait4` would say the parent's, from before the exec.
fn peak_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    super::model::number_after(&status, "VmHWM:").map(|kib| kib * 1024.0 / 1e6)
}
