//! The goals of memcached, measured one after the other.
//!
//! None is met by default: what could not be measured is absent, with the reason.

use super::super::compare::{Bench, CPU_PER_REQUEST, Comparison, RUSAGE_PER_REQUEST, Side};
use super::super::goal::{self, GoalRow, Step};
use super::super::model::{Load, Peer};
use super::super::render::Series;
use super::peers::{floor::Floor, memaslap::Memaslap};
use super::server::Server;
use super::work;

/// Connections of the table.
const CONNECTIONS: u32 = 64;
/// Its depth, where it has one.
const DEPTH: u32 = 32;

/// Every goal of the table.
const STEPS: [Step; 5] = [
    ("against memaslap", memaslap),
    ("against the floor", floor),
    ("depth 32 against depth 1", depth),
    ("memory", memory),
    ("what one core sends", one_core),
];

/// Measures them all.
pub(crate) fn measure(bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
    goal::measure(&STEPS, bench, ours, series);
}

fn memaslap(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let work = work(CONNECTIONS, 1, Load::Closed);
    let made = bench.against(ours, &Memaslap, &work)?;
    let goal = "memcached 64 B/1 KB, 1:9, depth 1, 64 connections: generator CPU per op ÷ memaslap";
    let window = GoalRow::at_most(goal, 0.95, "", made.ratio(CPU_PER_REQUEST));
    let both = "memaslap's SETs each make a new key, ours are of 10,000 keys; every GET hits";
    series.goals.push(window.note(both).note(absolute(&made)));
    let goal = "the same over the whole run (rusage, nothing taken out)";
    let note = "memaslap has no warm-up of its own: its start, connecting and first SETs are in it, \
                and ours' start and connecting; our keys were set by a run before";
    let whole = GoalRow::at_most(goal, 0.95, "", made.ratio(RUSAGE_PER_REQUEST));
    series.goals.push(whole.note(note));
    series.comparisons.push(made);
    Ok(())
}

fn floor(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    for depth in [1, DEPTH] {
        let made = bench.against(ours, &Floor, &work(CONNECTIONS, depth, Load::Closed))?;
        let goal =
            format!("memcached, depth {depth}, 64 connections: generator CPU per op ÷ floor");
        let row = GoalRow::reported(goal, "", made.ratio(CPU_PER_REQUEST));
        series.goals.push(row.note(absolute(&made)));
        series.comparisons.push(made);
    }
    Ok(())
}

fn depth(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let (deep, flat) = (
        work(CONNECTIONS, DEPTH, Load::Closed),
        work(CONNECTIONS, 1, Load::Closed),
    );
    let side = |work| Side { peer: ours, work };
    let made = bench.compare(side(&deep), side(&flat))?;
    let goal = "memcached, depth 32, 64 connections: generator CPU per op ÷ our own depth 1";
    let row = GoalRow::at_most(goal, 0.45, "", made.ratio(CPU_PER_REQUEST));
    series.goals.push(row.note(absolute(&made)));
    series.comparisons.push(made);
    Ok(())
}

fn memory(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let work = work(CONNECTIONS, 1, Load::Closed).two_workers();
    let side = Side {
        peer: ours,
        work: &work,
    };
    let value = bench.solo(side, None)?.estimate(|run| run.peak_mb);
    let goal = "memcached: peak resident memory, 64 connections, two workers";
    series.goals.push(GoalRow::at_most(goal, 32.0, "MB", value));
    Ok(())
}

/// Against a server that costs less than memcached, so that the generator is what is full.
fn one_core(series: &mut Series, bench: &mut Bench, ours: &dyn Peer) -> Result<(), String> {
    let server = Server::embedded(&bench.lane, &ours.program()?)?;
    bench.at(Box::new(server), |bench| {
        for depth in [1, DEPTH] {
            let work = work(CONNECTIONS, depth, Load::Closed);
            let side = Side {
                peer: ours,
                work: &work,
            };
            let column = bench.solo(side, None)?;
            let goal = format!(
                "against loadgen serve memcache, depth {depth}, 64 connections: ops/s that one \
                 core sends (ops ÷ generator CPU)"
            );
            let value = column.estimate(|run| 1e6 / run.cpu_us_per_request);
            let reached = column.estimate(|run| run.requests_per_s).value;
            let cores = column.estimate(|run| run.cpu_cores).value;
            let note = format!("reached: {reached:.0} ops/s with {cores:.2} cores");
            let row = GoalRow::reported(goal, "ops/s", value).note(note);
            series.goals.push(row);
        }
        Ok(())
    })
}

/// What the ratio is made of.
fn absolute(made: &Comparison) -> String {
    let median = |column: &super::super::compare::Column| column.spread(CPU_PER_REQUEST).median;
    let (ours, other) = (median(&made.ours), median(&made.other));
    let peer = made.other.peer;
    format!("{ours:.2} and {other:.2} µs per op ({peer})")
}
