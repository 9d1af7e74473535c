//! One run of one generator: placed, warmed up, measured from outside, ended.
//!
//! All sides are measured by the same instruments: the kernel's CPU clock of the process, the
//! target's own counter, `/proc/stat`. What a generator says of itself is only checked.

use std::time::{Duration, Instant};

use loadgen_core::host::CpuSample;
use loadgen_core::host::cpus::format_list;
use serde::Serialize;
use serde_json::Value;

use super::child::{Running, astray, peak_mb};
use super::lane::Lane;
use super::machine::busy_s;
use super::model::{Job, Peer, Served, Target, Work};
use crate::stop;
use crate::sys::{self, Usage};

/// How long a preparation may take.
const PREPARE_AT_MOST: Duration = Duration::from_secs(60);

/// How long the parts of a run are.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Timing {
    /// Load before the window, s; longer until all connections are there.
    pub(crate) warmup_s: f64,
    /// The window, s.
    pub(crate) measure_s: f64,
    /// A long run of a generator that takes seconds to be as fast as it gets, s, where the
    /// difference of two runs is taken.
    pub(crate) slow_s: f64,
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
    /// Of that, in user mode; unknown of a window.
    pub(crate) user_s_per_gb: f64,
    /// 10^9 payload bytes per second.
    pub(crate) gb_per_s: f64,
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
    /// Requests of the whole run as the target counted; 0 where it does not.
    pub(crate) served_requests: u64,
    /// Reasons to look twice.
    pub(crate) notes: Vec<String>,
    /// Its results document, where it writes one.
    #[serde(skip)]
    pub(crate) document: Option<Value>,
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
    stop::check()?;
    let dir = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    target.ready(work)?;
    let resource = target.resource(work);
    let job = Job {
        work,
        rate_per_s,
        seconds: timing.job_s(work),
        long: None,
        address: target.address(),
        resource: &resource,
        dir: dir.path(),
    };
    let command = peer.command(&job)?;
    prepare(peer, &job, lane)?;
    let before = quiet(target)?;
    let mut running = Running::start(command, work.workers, lane, dir.path(), "run")?;
    let cpus = lane.client_cpus(work.workers);
    let measured = measure(&mut running, work, timing, target, cpus).and_then(|window| {
        let (status, usage) = running.wait(Duration::from_secs(job.seconds + 30))?;
        Ok((window, status, usage))
    });
    let (window, status, usage) = measured.map_err(|why| running.explained(&why))?;
    let after = quiet(target)?;
    let said = peer.parse(&running.written());
    let said = said.map_err(|why| running.explained(&why))?;
    let mut run = window.figures(work);
    run.whole(said.requests, after.requests - before.requests, usage);
    run.said_bytes = said.bytes;
    run.document = said.document;
    if status != 0 {
        run.notes.push(run.ending(status));
    }
    let misses = after.misses - before.misses;
    if misses > 0 {
        run.notes.push(format!("{misses} requests missed"));
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

/// Runs what must be there before, to its end.
pub(crate) fn prepare(peer: &dyn Peer, job: &Job<'_>, lane: &Lane) -> Result<(), String> {
    let Some(command) = peer.prepare(job)? else {
        return Ok(());
    };
    let mut running = Running::start(command, 1, lane, job.dir, "prepare")?;
    let ended = running.wait(PREPARE_AT_MOST);
    match ended {
        Ok((0, _)) => Ok(()),
        Ok((status, _)) => {
            let code = status >> 8;
            Err(running.explained(&format!("its preparation ended with exit code {code}")))
        }
        Err(why) => Err(running.explained(&format!("its preparation {why}"))),
    }
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
        stop::sleep(Duration::from_millis(20))?;
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
    cpus: &[u32],
) -> Result<Window, String> {
    let start = Instant::now();
    let seconds = |s: f64| Duration::from_secs_f64(s);
    let mut notes = Vec::new();
    stop::sleep(seconds(timing.warmup_s))?;
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
        stop::sleep(Duration::from_millis(50))?;
    }
    let begin = Sample::take(running, target)?;
    stop::sleep(seconds(timing.measure_s))?;
    // Before the question to the target, during which the run may end.
    let peak_mb = peak_mb(running.pid()).ok_or("ended before the window did")?;
    let outside = astray(running.pid(), cpus);
    if !outside.is_empty() {
        let (outside, cpus) = (format_list(&outside), format_list(cpus));
        notes.push(format!("threads on CPUs {outside}, not only {cpus}"));
    }
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
            user_s_per_gb: f64::NAN,
            gb_per_s: gb / window_s,
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
    pub(crate) fn ending(&self, status: i32) -> String {
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
