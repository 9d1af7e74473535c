//! Runs in turn: ours, the peer, ours, the peer; and what the pairs say.
//!
//! Both sides of a pair stand next to each other in time, so what the machine does to one it does
//! to the other: the ratio is taken within pairs, never between medians.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::difference;
use super::lane::Lane;
use super::model::{Instrument, Job, Load, Peer, Target, Work};
use super::run::{Run, Timing, run};
use super::stats::{Estimate, Spread, estimate, spread};

/// A number of a run.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) of: fn(&Run) -> f64,
}

/// CPU time of the generator per request.
pub(crate) const CPU_PER_REQUEST: Figure = Figure {
    name: "generator CPU, µs/request",
    of: |run| run.cpu_us_per_request,
};
/// CPU time of the generator per payload.
pub(crate) const CPU_PER_GB: Figure = Figure {
    name: "generator CPU, s/GB",
    of: |run| run.cpu_s_per_gb,
};
/// The same over the whole run, as `wait4` says.
pub(crate) const RUSAGE_PER_REQUEST: Figure = Figure {
    name: "whole run (rusage), µs/request",
    of: |run| run.rusage_us_per_request,
};
/// CPU time of the machine per request.
pub(crate) const MACHINE_PER_REQUEST: Figure = Figure {
    name: "machine CPU, µs/request",
    of: |run| run.machine_us_per_request,
};
/// CPU time of the machine per payload.
pub(crate) const MACHINE_PER_GB: Figure = Figure {
    name: "machine CPU, s/GB",
    of: |run| run.machine_s_per_gb,
};
/// Throughput.
pub(crate) const RATE: Figure = Figure {
    name: "requests/s",
    of: |run| run.requests_per_s,
};
/// CPU time of the generator in user mode per payload.
pub(crate) const USER_PER_GB: Figure = Figure {
    name: "user, s/GB",
    of: |run| run.user_s_per_gb,
};
/// And in the kernel.
pub(crate) const SYSTEM_PER_GB: Figure = Figure {
    name: "system, s/GB",
    of: |run| run.cpu_s_per_gb - run.user_s_per_gb,
};
/// Payload throughput.
pub(crate) const GB_RATE: Figure = Figure {
    name: "GB/s",
    of: |run| run.gb_per_s,
};
/// The time a payload takes: the inverse of throughput.
pub(crate) const TIME_PER_GB: Figure = Figure {
    name: "s/GB",
    of: |run| 1.0 / run.gb_per_s,
};
/// Memory.
pub(crate) const PEAK: Figure = Figure {
    name: "peak memory, MB",
    of: |run| run.peak_mb,
};
/// CPU time of the workers' threads alone, spinning taken out, from our own document.
pub(crate) const THREAD_PER_REQUEST: Figure = Figure {
    name: "thread CPU, µs/request",
    of: |run| run.document.as_ref().map_or(f64::NAN, thread_us),
};

fn thread_us(document: &Value) -> f64 {
    let rows = document["workers"].as_array();
    let sum = |of: fn(&Value) -> Option<f64>| -> f64 {
        let rows = rows.into_iter().flatten();
        rows.map(|row| of(row).unwrap_or(f64::NAN)).sum()
    };
    let cpu_ns = sum(|row| {
        let field = |name: &str| row[name].as_f64();
        Some(field("cpu_user_ns")? + field("cpu_system_ns")? - field("spin_ns")?)
    });
    cpu_ns / 1e3 / sum(|row| row["completed"].as_f64())
}

/// A generator and what it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    /// The generator.
    pub(crate) peer: &'a dyn Peer,
    /// Its work.
    pub(crate) work: &'a Work,
}

impl Side<'_> {
    /// Why it cannot do its work at all, asked before anything is run.
    fn refuses(self, scheduled: bool, target: &dyn Target) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let job = Job {
            work: self.work,
            rate_per_s: scheduled.then_some(1.0),
            seconds: 1,
            long: None,
            address: target.address(),
            resource: &target.resource(self.work),
            dir: dir.path(),
        };
        let name = self.peer.name();
        let refused = self.peer.command(&job).err();
        refused.map_or(Ok(()), |why| Err(format!("{name} {why}")))
    }
}

/// All runs of one side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    /// The generator.
    pub(crate) peer: &'static str,
    /// Its work.
    pub(crate) work: Work,
    /// Its runs, in order.
    pub(crate) runs: Vec<Run>,
}

impl Column {
    fn new(side: Side<'_>) -> Self {
        Self {
            peer: side.peer.name(),
            work: side.work.clone(),
            runs: Vec::new(),
        }
    }

    /// Median and spread of a figure.
    pub(crate) fn spread(&self, figure: Figure) -> Spread {
        spread(&self.values(figure))
    }

    fn values(&self, figure: Figure) -> Vec<f64> {
        self.runs.iter().map(figure.of).collect()
    }

    /// The median of any number of its runs, with its interval.
    pub(crate) fn estimate(&self, of: impl Fn(&Run) -> f64) -> Estimate {
        estimate(&self.runs.iter().map(of).collect::<Vec<_>>())
    }
}

/// Ours and another side, pair by pair.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Ours.
    pub(crate) ours: Column,
    /// The other.
    pub(crate) other: Column,
    /// The order of a pair.
    pub(crate) other_first: bool,
}

impl Comparison {
    /// Ours ÷ the other, within pairs.
    pub(crate) fn ratio(&self, figure: Figure) -> Estimate {
        let (ours, other) = (self.ours.values(figure), self.other.values(figure));
        let ratios: Vec<f64> = ours.iter().zip(&other).map(|(a, b)| a / b).collect();
        estimate(&ratios)
    }
}

/// What was asked for by name; nothing named is everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Only {
    /// Works.
    pub(crate) works: Vec<String>,
    /// Peers.
    pub(crate) peers: Vec<String>,
}

impl Only {
    /// Whether this work is.
    pub(crate) fn work(&self, name: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|one| one == name)
    }

    /// Whether this peer is.
    pub(crate) fn peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|one| one == name)
    }
}

/// Everything that stays the same over a series of runs.
pub(crate) struct Bench {
    /// Cores and network.
    pub(crate) lane: Lane,
    /// The target.
    pub(crate) target: Box<dyn Target>,
    /// Lengths.
    pub(crate) timing: Timing,
    /// Pairs of runs.
    pub(crate) pairs: usize,
    /// What of it is wanted.
    pub(crate) only: Only,
    closed_rates: HashMap<String, f64>,
}

impl Bench {
    /// A series on `lane` against `target`.
    pub(crate) fn new(lane: Lane, target: Box<dyn Target>, timing: Timing, pairs: usize) -> Self {
        Self {
            lane,
            target,
            timing,
            pairs,
            only: Only::default(),
            closed_rates: HashMap::new(),
        }
    }

    /// One run.
    pub(crate) fn once(&mut self, side: Side<'_>, rate_per_s: Option<f64>) -> Result<Run, String> {
        let (target, name) = (&mut *self.target, side.peer.name());
        let (peer, work, timing, lane) = (side.peer, side.work, self.timing, &self.lane);
        let made = match (work.instrument, rate_per_s) {
            (Instrument::Window, rate) => run(peer, work, rate, timing, target, lane),
            (Instrument::Difference, None) => difference::run(peer, work, timing, target, lane),
            (Instrument::Difference, Some(_)) => {
                Err("the difference of two runs is taken in a closed loop only".into())
            }
        };
        let run = made.map_err(|why| format!("{name}: {why}"))?;
        if work.instrument == Instrument::Difference {
            eprintln!(
                "  {:<24} {}",
                difference::label(side),
                difference::line(&run)
            );
            return Ok(run);
        }
        eprintln!(
            "  {name:<14} {:>9.0} req/s {:>8.3} µs/req  machine {:>8.3} µs/req  {:>6.1} MB{}",
            run.requests_per_s,
            run.cpu_us_per_request,
            run.machine_us_per_request,
            run.peak_mb,
            run.notes
                .iter()
                .fold(String::new(), |all, n| all + "  ! " + n),
        );
        Ok(run)
    }

    /// Several runs of one side.
    pub(crate) fn solo(&mut self, side: Side<'_>, rate: Option<f64>) -> Result<Column, String> {
        let mut column = Column::new(side);
        for _ in 0..self.pairs {
            column.runs.push(self.once(side, rate)?);
        }
        Ok(column)
    }

    /// Pairs of runs.
    pub(crate) fn compare(
        &mut self,
        ours: Side<'_>,
        other: Side<'_>,
    ) -> Result<Comparison, String> {
        let scheduled = matches!(ours.work.load, Load::Share(_));
        other.refuses(scheduled, &*self.target)?;
        let rate = match ours.work.load {
            Load::Closed | Load::Follow => None,
            Load::Share(share) => Some(share * self.closed_rate(ours)?),
        };
        let other_first = ours.work.load == Load::Follow;
        let mut made = Comparison {
            ours: Column::new(ours),
            other: Column::new(other),
            other_first,
        };
        for _ in 0..self.pairs {
            if other_first {
                let led = self.once(other, None)?;
                let follow = Some(led.requests_per_s);
                made.ours.runs.push(self.once(ours, follow)?);
                made.other.runs.push(led);
            } else {
                made.ours.runs.push(self.once(ours, rate)?);
                made.other.runs.push(self.once(other, rate)?);
            }
        }
        Ok(made)
    }

    /// One run of each side in turn, again and again: the columns, in the order of `sides`. A side
    /// that cannot be measured does not stop the others.
    pub(crate) fn rounds(&mut self, sides: &[Side<'_>]) -> Vec<Result<Column, String>> {
        let mut columns: Vec<_> = sides.iter().map(|s| Ok(Column::new(*s))).collect();
        for _ in 0..self.pairs {
            for (side, column) in sides.iter().zip(&mut columns) {
                let Ok(runs) = column.as_mut().map(|column: &mut Column| &mut column.runs) else {
                    continue;
                };
                match self.once(*side, None) {
                    Ok(run) => runs.push(run),
                    Err(why) => *column = Err(why),
                }
            }
        }
        columns
    }

    /// Ours and a peer on the same work.
    pub(crate) fn against(
        &mut self,
        ours: &dyn Peer,
        peer: &dyn Peer,
        work: &Work,
    ) -> Result<Comparison, String> {
        peer.program()?;
        self.compare(Side { peer: ours, work }, Side { peer, work })
    }

    /// The same lane with another target, for as long as `with` takes.
    pub(crate) fn at<T>(
        &mut self,
        target: Box<dyn Target>,
        with: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let own = std::mem::replace(&mut self.target, target);
        let made = with(self);
        self.target = own;
        made
    }

    /// What `side` reaches in a closed loop; measured once.
    pub(crate) fn closed_rate(&mut self, side: Side<'_>) -> Result<f64, String> {
        if let Some(rate) = self.closed_rates.get(&side.work.name) {
            return Ok(*rate);
        }
        let rate = self.once(side, None)?.requests_per_s;
        self.closed_rates.insert(side.work.name.clone(), rate);
        Ok(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_time_leaves_spinning_out() {
        let row = serde_json::json!({"cpu_user_ns": 3000, "cpu_system_ns": 5000, "spin_ns": 2000,
            "completed": 3});
        let document = serde_json::json!({"workers": [row, row]});
        assert_eq!(thread_us(&document), 2.0);
        assert!(thread_us(&serde_json::json!({"workers": [{"completed": 3}]})).is_nan());
    }
}
