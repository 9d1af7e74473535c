//! The goals of HTTP, measured one after the other.
//!
//! Each says what it compares; none is met by default: what could not be measured is absent, with
//! the reason.

use super::super::compare::{
    Bench, CPU_PER_GB, CPU_PER_REQUEST, MACHINE_PER_GB, Side, THREAD_PER_REQUEST,
};
use super::super::goal::{self, GoalRow, Step};
use super::super::model::{Load, Peer};
use super::super::render::Series;
use super::super::run::Run;
use super::peers::{floor::Floor, wrk::Wrk};
use super::{KB, MB, work};

/// Every goal of the table.
const STEPS: [Step; 8] = [
    ("1 KB against the floor", small_floor),
    ("1 KB against wrk", small_wrk),
    ("depth 16 against depth 1", depth),
    ("1 MB against wrk", large_wrk),
    ("10,000 connections against the floor", many_floor),
    ("memory", memory),
    ("open loop", open_loop),
    ("two workers against one", two_workers),
];

/// Measures them all.
pub(crate) fn measure(bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
    goal::measure(&STEPS, bench, ours, series);
}

fn small_floor(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let made = bench.against(ours, &Floor, &work(KB, 100, 1, Load::Closed))?;
    let ratio = made.ratio(CPU_PER_REQUEST);
    let goal = "HTTP 1 KB, depth 1, 100 connections: generator CPU per request ÷ floor";
    series.goals.push(GoalRow::at_most(goal, 1.07, "", ratio));
    series.comparisons.push(made);
    Ok(())
}

fn small_wrk(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let made = bench.against(ours, &Wrk, &work(KB, 100, 1, Load::Closed))?;
    let ratio = made.ratio(CPU_PER_REQUEST);
    let goal = "the same ÷ wrk, whole interval (aim: 0.83)";
    series.goals.push(GoalRow::wholly_below(goal, 1.0, ratio));
    series.comparisons.push(made);
    Ok(())
}

fn depth(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let (deep, flat) = (
        work(KB, 100, 16, Load::Closed),
        work(KB, 100, 1, Load::Closed),
    );
    let side = |work| Side { peer: ours, work };
    let made = bench.compare(side(&deep), side(&flat))?;
    let ratio = made.ratio(CPU_PER_REQUEST);
    let goal = "HTTP 1 KB, depth 16: generator CPU per request ÷ our own depth 1";
    series.goals.push(GoalRow::at_most(goal, 0.6, "", ratio));
    series.comparisons.push(made);
    Ok(())
}

fn large_wrk(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let made = bench.against(ours, &Wrk, &work(MB, 32, 1, Load::Follow))?;
    let cpu = made.ratio(CPU_PER_GB);
    let machine = made.ratio(MACHINE_PER_GB);
    let goal = "HTTP 1 MB, 32 connections, equal rate: generator CPU per GB ÷ wrk";
    let note = "wrk has no schedule: ours is offered what wrk reached just before";
    let row = GoalRow::at_most(goal, 0.30, "", cpu).note(note);
    series.goals.push(row);
    let goal = "the same: whole-machine CPU per GB ÷ wrk";
    series.goals.push(GoalRow::at_most(goal, 1.0, "", machine));
    series.comparisons.push(made);
    Ok(())
}

fn many_floor(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let made = bench.against(ours, &Floor, &work(KB, 10_000, 1, Load::Closed))?;
    let ratio = made.ratio(CPU_PER_REQUEST);
    let goal = "HTTP 1 KB, 10,000 connections: generator CPU per request ÷ floor";
    series.goals.push(GoalRow::at_most(goal, 1.1, "", ratio));
    series.comparisons.push(made);
    Ok(())
}

fn memory(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    for (connections, limit_mb) in [(64, 12.0), (10_000, 40.0)] {
        let work = work(KB, connections, 1, Load::Closed).two_workers();
        let side = Side {
            peer: ours,
            work: &work,
        };
        let value = bench.solo(side, None)?.estimate(|run| run.peak_mb);
        let goal = format!("peak resident memory, {connections} connections, two workers");
        series
            .goals
            .push(GoalRow::at_most(goal, limit_mb, "MB", value));
    }
    Ok(())
}

fn open_loop(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let work = work(KB, 100, 1, Load::Closed);
    let side = Side {
        peer: ours,
        work: &work,
    };
    let closed = bench.once(side, None)?;
    let half = 0.5 * closed.requests_per_s / closed.cpu_cores.min(1.0);
    let rate = half.min(0.8 * closed.requests_per_s).round();
    let column = bench.solo(side, Some(rate))?;
    let lag = |run: &Run| number(run, &["summary", "schedule_lag", "p99_ns"]) / 1e3;
    let error = |run: &Run| {
        let of = |name| number(run, &["summary", "rate", name]);
        let off = |name| (of(name) / rate - 1.0).abs() * 100.0;
        off("offered_per_s").max(off("achieved_per_s"))
    };
    let core = closed.requests_per_s / closed.cpu_cores.min(1.0);
    let note = format!(
        "at {rate} requests/s, {:.0} % of what one core of ours would do ({core:.0}/s)",
        rate / core * 100.0
    );
    let goal = "open loop at half of one core's capacity: schedule lag p99";
    let lag = column.estimate(lag);
    let row = GoalRow::at_most(goal, 50.0, "µs", lag).note(note);
    series.goals.push(row);
    let goal = "the same: offered and achieved rate, the larger error";
    let error = column.estimate(error);
    series.goals.push(GoalRow::at_most(goal, 0.1, "%", error));
    Ok(())
}

fn two_workers(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let one = work(KB, 100, 1, Load::Closed);
    let two = one.clone().two_workers();
    let side = |work| Side { peer: ours, work };
    let made = bench.compare(side(&two), side(&one))?;
    let ratio = made.ratio(THREAD_PER_REQUEST);
    let goal = "two workers ÷ one: thread CPU per request";
    let mut row = GoalRow::at_most(goal, 1.05, "", ratio);
    if bench.lane.shares(2) {
        row = row.note("too few cores: the second worker shares the target's");
    }
    series.goals.push(row);
    series.comparisons.push(made);
    Ok(())
}

/// A number of our own document; NaN where it is not there.
fn number(run: &Run, path: &[&str]) -> f64 {
    let document = run.document.as_ref();
    let found = document.and_then(|d| path.iter().try_fold(d, |at, name| at.get(name)));
    found
        .and_then(serde_json::Value::as_f64)
        .unwrap_or(f64::NAN)
}
