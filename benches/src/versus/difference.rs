//! One run by the difference of two: a long one and a short one, from start to end both, and what
//! the long one did and used more.
//!
//! What both have goes out: start, compilation while running, joining a group, what is in flight at
//! the end. All sides are measured by the same instruments: `wait4`, `/proc/stat`, a clock from the
//! start of the process to its end; what was done is what the generator says, held against what the
//! target has or what crossed the network.

use std::time::{Duration, Instant};

use loadgen_core::host::CpuSample;
use loadgen_core::host::cpus::format_list;

use super::child::{Running, astray, peak_mb};
use super::compare::Side;
use super::lane::Lane;
use super::machine::busy_s;
use super::model::{Job, Peer, Said, Target, Witness, Work};
use super::run::{Run, Timing, prepare};
use crate::stop;
use crate::sys::Usage;

/// Longer than asked a run may take, at most: a pass that has begun is finished.
const PATIENCE: Duration = Duration::from_secs(120);
/// A look at the process now and then, for its memory and its threads.
const LOOK: Duration = Duration::from_millis(500);
/// More than was said may have come, as it was in flight when the run ended; but no more than this.
const IN_FLIGHT_S: f64 = 1.0;

/// A process from start to end.
struct Whole {
    said: Said,
    usage: Usage,
    machine_s: f64,
    wall_s: f64,
    peak_mb: f64,
    witness: (Witness, Witness),
    status: i32,
    outside: Vec<u32>,
}

/// Runs `peer` twice.
pub(crate) fn run(
    peer: &dyn Peer,
    work: &Work,
    timing: Timing,
    target: &mut dyn Target,
    lane: &Lane,
) -> Result<Run, String> {
    let short_s = timing.warmup_s.max(1.0);
    let long_s = if peer.slow() {
        timing.slow_s
    } else {
        short_s + timing.measure_s
    };
    let long = whole(peer, work, (long_s, None), target, lane)?;
    let short = whole(peer, work, (short_s, Some(&long.said)), target, lane)?;
    figures(work, long, &short, lane.client_cpus(work.workers))
}

fn whole(
    peer: &dyn Peer,
    work: &Work,
    (seconds, long): (f64, Option<&Said>),
    target: &mut dyn Target,
    lane: &Lane,
) -> Result<Whole, String> {
    stop::check()?;
    target.ready(work)?;
    let dir = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let job = Job {
        work,
        rate_per_s: None,
        seconds: seconds.ceil() as u64,
        long,
        address: target.address(),
        resource: &target.resource(work),
        dir: dir.path(),
    };
    let command = peer.command(&job)?;
    prepare(peer, &job, lane)?;
    let before = target.witness(work)?;
    let machine = CpuSample::read().ok_or("no /proc/stat")?;
    let start = Instant::now();
    let mut running = Running::start(command, work.workers, lane, dir.path(), "run")?;
    let at_most = Duration::from_secs(job.seconds) + PATIENCE;
    let ended = to_end(&mut running, at_most, lane.client_cpus(work.workers));
    let wall_s = start.elapsed().as_secs_f64();
    let used = CpuSample::read().ok_or("no /proc/stat")?.since(&machine);
    let ((status, usage), peak_mb, outside) = ended.map_err(|why| running.explained(&why))?;
    let after = target.witness(work)?;
    let said = peer.parse(&running.written());
    let said = said.map_err(|why| running.explained(&why))?;
    Ok(Whole {
        said,
        usage,
        machine_s: busy_s(&used),
        wall_s,
        peak_mb,
        witness: (before, after),
        status,
        outside,
    })
}

type Ended = ((i32, Usage), f64, Vec<u32>);

/// Waits for the end, with a look at memory and threads every now and then.
fn to_end(running: &mut Running, at_most: Duration, cpus: &[u32]) -> Result<Ended, String> {
    let until = Instant::now() + at_most;
    let (mut peak, mut outside) = (0.0_f64, Vec::new());
    let mut next = Instant::now() + LOOK;
    loop {
        if let Some(ended) = running.ended()? {
            return Ok((ended, peak, outside));
        }
        let now = Instant::now();
        if now >= until {
            return Err("did not end".into());
        }
        if now >= next {
            next = now + LOOK;
            peak = peak_mb(running.pid()).unwrap_or(0.0).max(peak);
            if outside.is_empty() {
                outside = astray(running.pid(), cpus);
            }
        }
        stop::sleep(Duration::from_millis(1))?;
    }
}

fn figures(work: &Work, long: Whole, short: &Whole, cpus: &[u32]) -> Result<Run, String> {
    let requests = long.said.requests as f64 - short.said.requests as f64;
    let wall_s = long.wall_s - short.wall_s;
    if requests <= 0.0 || wall_s <= 0.0 {
        return Err(format!(
            "the long run did {} in {:.2} s, the short one {} in {:.2} s: there is no difference",
            long.said.requests, long.wall_s, short.said.requests, short.wall_s
        ));
    }
    let gb = requests * work.payload_bytes as f64 / 1e9;
    let user_s = long.usage.user_s - short.usage.user_s;
    let cpu_s = user_s + long.usage.system_s - short.usage.system_s;
    let machine_s = long.machine_s - short.machine_s;
    let each_us = |seconds: f64| seconds * 1e6 / requests;
    let whole_us = |seconds: f64| seconds * 1e6 / long.said.requests as f64;
    let mut run = Run {
        requests_per_s: requests / wall_s,
        cpu_us_per_request: each_us(cpu_s),
        cpu_s_per_gb: cpu_s / gb,
        user_s_per_gb: user_s / gb,
        gb_per_s: gb / wall_s,
        machine_us_per_request: each_us(machine_s),
        machine_s_per_gb: machine_s / gb,
        cpu_cores: cpu_s / wall_s,
        peak_mb: long.peak_mb,
        rusage_us_per_request: whole_us(long.usage.user_s + long.usage.system_s),
        rusage_user_us_per_request: whole_us(long.usage.user_s),
        said_requests: long.said.requests,
        said_bytes: long.said.bytes,
        served_requests: 0,
        notes: Vec::new(),
        document: None,
    };
    for whole in [&long, short] {
        check(&mut run, whole, work);
        if !whole.outside.is_empty() && run.notes.is_empty() {
            let (outside, cpus) = (format_list(&whole.outside), format_list(cpus));
            run.notes
                .push(format!("threads on CPUs {outside}, not only {cpus}"));
        }
    }
    run.document = long.said.document;
    for status in [long.status, short.status] {
        if status != 0 {
            run.notes.push(run.ending(status));
        }
    }
    Ok(run)
}

/// Holds what was said against what was seen from outside.
fn check(run: &mut Run, whole: &Whole, work: &Work) {
    let said = &whole.said;
    let payload = said.requests * work.payload_bytes;
    if said.bytes != 0 && said.bytes.abs_diff(payload) > payload / 10_000 {
        let bytes = said.bytes;
        run.notes.push(format!(
            "said {bytes} bytes of payload, its records have {payload}"
        ));
    }
    match whole.witness {
        (Witness::Requests(before), Witness::Requests(after)) => {
            let grown = after - before;
            run.served_requests = run.served_requests.max(grown);
            let in_flight = said.requests as f64 / whole.wall_s * IN_FLIGHT_S;
            if grown < said.requests || (grown - said.requests) as f64 > in_flight {
                run.notes.push(format!(
                    "said {} records, the logs grew by {grown}",
                    said.requests
                ));
            }
        }
        (Witness::Bytes(before), Witness::Bytes(after)) => {
            let came = after.saturating_sub(before);
            if came < payload {
                run.notes.push(format!(
                    "said {payload} bytes of payload, {came} came over the network"
                ));
            }
        }
        _ => run.notes.push("the target changed its witness".into()),
    }
}

/// What a line of progress begins with.
pub(crate) fn label(side: Side<'_>) -> String {
    format!("{} {}", side.peer.name(), side.work.name)
}

/// A run in one line.
pub(crate) fn line(run: &Run) -> String {
    let notes = run.notes.iter();
    format!(
        "{:>7.3} s/GB (user {:.3}, system {:.3})  machine {:>7.3} s/GB  {:>6.3} GB/s  {:>6.1} MB{}",
        run.cpu_s_per_gb,
        run.user_s_per_gb,
        run.cpu_s_per_gb - run.user_s_per_gb,
        run.machine_s_per_gb,
        run.gb_per_s,
        run.peak_mb,
        notes.fold(String::new(), |all, note| all + "  ! " + note),
    )
}

#[cfg(test)]
mod tests {
    use super::super::model::{Instrument, Load};
    use super::*;

    fn whole(records: u64, cpu_s: f64, wall_s: f64, grown: u64) -> Whole {
        Whole {
            said: Said::new(records, records * 1000),
            usage: Usage {
                user_s: cpu_s / 4.0,
                system_s: cpu_s * 0.75,
                max_rss_kib: 0,
            },
            machine_s: 2.0 * cpu_s,
            wall_s,
            peak_mb: 7.0,
            witness: (Witness::Requests(5), Witness::Requests(5 + grown)),
            status: 0,
            outside: Vec::new(),
        }
    }

    fn work() -> Work {
        let mut work = Work::new("x", 1000, 1, 1, Load::Closed);
        work.instrument = Instrument::Difference;
        work
    }

    /// 3 s to start, then 0.5 s of CPU for each GB at 2 GB/s.
    #[test]
    fn what_both_have_goes_out() {
        let long = whole(4_000_000, 3.0 + 2.0, 3.0 + 2.0, 4_000_000);
        let short = whole(1_000_000, 3.0 + 0.5, 3.0 + 0.5, 1_000_000);
        let run = figures(&work(), long, &short, &[1]).unwrap();
        assert!((run.cpu_s_per_gb - 0.5).abs() < 1e-9, "{run:?}");
        assert!((run.user_s_per_gb - 0.125).abs() < 1e-9);
        assert!((run.gb_per_s - 2.0).abs() < 1e-9);
        assert!((run.machine_s_per_gb - 1.0).abs() < 1e-9);
        assert_eq!(run.served_requests, 4_000_000);
        assert!(run.notes.is_empty(), "{:?}", run.notes);
    }

    #[test]
    fn what_was_claimed_is_held_against_what_was_seen() {
        let notes = |long: Whole| {
            let short = whole(1_000_000, 1.0, 1.0, 1_000_000);
            figures(&work(), long, &short, &[1]).unwrap().notes.len()
        };
        assert_eq!(notes(whole(4_000_000, 2.0, 2.0, 3_999_999)), 1);
        assert_eq!(notes(whole(4_000_000, 2.0, 2.0, 4_500_000)), 0);
        assert_eq!(notes(whole(4_000_000, 2.0, 2.0, 7_000_000)), 1);
        let mut claimed = whole(4_000_000, 2.0, 2.0, 0);
        claimed.witness = (Witness::Bytes(0), Witness::Bytes(3_999_999_999));
        assert_eq!(notes(claimed), 1);
        let mut bytes = whole(4_000_000, 2.0, 2.0, 4_000_000);
        bytes.said.bytes -= 500_000;
        assert_eq!(notes(bytes), 1);
        let long = whole(1_000_000, 2.0, 2.0, 1_000_000);
        let same = figures(&work(), long, &whole(1_000_000, 1.0, 1.0, 1_000_000), &[]);
        assert!(same.is_err());
    }
}
