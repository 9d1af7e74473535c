//! The goals of Kafka: every shape read and written, all generators in turn.
//!
//! None is met by default: what could not be measured is absent, with the reason.

use super::super::compare::{
    Bench, CPU_PER_GB, Column, Comparison, GB_RATE, Side, TIME_PER_GB, USER_PER_GB,
};
use super::super::goal::GoalRow;
use super::super::model::{Peer, Work};
use super::super::render::{Absent, Series};
use super::peers::{floor::Floor, java::Java, librdkafka::Librdkafka};
use super::{Doing, SHAPES, Shape, Task};

/// Ours ÷ theirs of generator CPU per GB, at most: the Java tool, librdkafka.
const fn limits(doing: Doing, shape: Shape) -> Option<(f64, f64)> {
    match (doing, shape.record_bytes, shape.batch_bytes) {
        (Doing::ConsumeRecords, _, _) => None,
        (Doing::Produce, _, _) => Some((0.10, 0.33)),
        (Doing::Consume, 1_000_000, _) => Some((0.08, 0.35)),
        (Doing::Consume, _, 16_384) => Some((0.20, 0.50)),
        (Doing::Consume, _, _) => Some((0.10, 0.33)),
    }
}

/// Measures them all.
pub(crate) fn measure(bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
    for reads in [true, false] {
        for shape in SHAPES {
            let doing: &[Doing] = if reads {
                &[Doing::Consume, Doing::ConsumeRecords]
            } else {
                &[Doing::Produce]
            };
            let tasks: Vec<Task> = doing.iter().map(|&doing| Task { doing, shape }).collect();
            of_shape(bench, ours, series, &tasks);
        }
    }
}

/// All of a shape in turn: ours at each of its tasks, and every peer once, as they know one only.
fn of_shape(bench: &mut Bench, ours: &dyn Peer, series: &mut Series, tasks: &[Task]) {
    let works: Vec<Work> = tasks.iter().map(|task| task.work()).collect();
    let Some(first) = works.first().filter(|work| bench.only.work(&work.name)) else {
        return;
    };
    eprintln!("goal: {}", first.name);
    let all: [&dyn Peer; 3] = [&Floor, &Librdkafka, &Java];
    let mut peers = Vec::new();
    for peer in all.into_iter().filter(|peer| bench.only.peer(peer.name())) {
        match peer.program() {
            Ok(_) => peers.push(peer),
            Err(reason) => absent(series, first, peer, reason),
        }
    }
    let our_sides = works.iter().map(|work| Side { peer: ours, work });
    let theirs = peers.iter().map(|&peer| Side { peer, work: first });
    let sides: Vec<Side<'_>> = our_sides.chain(theirs).collect();
    let mut columns = bench.rounds(&sides);
    let others = columns.split_off(works.len());
    let mut found = Vec::new();
    for (peer, column) in peers.into_iter().zip(others) {
        match column {
            Ok(column) => found.push(column),
            Err(reason) => absent(series, first, peer, reason),
        }
    }
    for ((task, work), column) in tasks.iter().zip(&works).zip(columns) {
        match column {
            Ok(column) => rows(series, *task, &column, &found),
            Err(reason) => absent(series, work, ours, reason),
        }
    }
}

fn absent(series: &mut Series, work: &Work, peer: &dyn Peer, reason: String) {
    eprintln!("  not measured: {reason}");
    let what = format!("goal: {} with {}", work.name, peer.name());
    series.absent.push(Absent { what, reason });
}

/// The rows of a task: CPU against each peer, and throughput where CPU has a limit.
fn rows(series: &mut Series, task: Task, ours: &Column, others: &[Column]) {
    let what = sentence(task);
    for other in others {
        let made = Comparison {
            ours: ours.clone(),
            other: other.clone(),
            other_first: false,
        };
        let peer = other.peer;
        let goal = format!("{what}: generator CPU per GB ÷ {peer}");
        let ratio = made.ratio(CPU_PER_GB);
        let limit = limits(task.doing, task.shape).and_then(|(java, librdkafka)| match peer {
            "java" => Some(java),
            "librdkafka" => Some(librdkafka),
            _ => None,
        });
        let row = match limit {
            Some(limit) => GoalRow::at_most(goal, limit, "", ratio),
            None => GoalRow::reported(goal, "", ratio),
        };
        let mut row = row.note(absolute(&made));
        row.notes.extend(settings(other));
        series.goals.push(row);
        if limit.is_some() {
            let goal = format!("{what}: time per GB ÷ {peer} (throughput not below theirs)");
            let ratio = made.ratio(TIME_PER_GB);
            series.goals.push(GoalRow::at_most(goal, 1.0, "", ratio));
        }
        series.comparisons.push(made);
    }
}

fn sentence(task: Task) -> String {
    let doing = match task.doing {
        Doing::Consume => "consume at headers",
        Doing::ConsumeRecords => "consume at records",
        Doing::Produce => "produce, acks=1",
    };
    let shape = match task.shape.name {
        "1k-b128k" => "1 KB in 128 KiB batches",
        "1k-b16k" => "1 KB in 16 KiB batches",
        _ => "1 MB",
    };
    format!("Kafka {doing}, {shape}")
}

/// What the ratio is made of.
fn absolute(made: &Comparison) -> String {
    let text = |column: &Column| {
        let [cpu, user, rate] =
            [CPU_PER_GB, USER_PER_GB, GB_RATE].map(|figure| column.spread(figure).median);
        let system = cpu - user;
        format!("{cpu:.3} s/GB (user {user:.3}, system {system:.3}) at {rate:.2} GB/s")
    };
    let (ours, other) = (text(&made.ours), text(&made.other));
    format!("{ours}; {} {other}", made.other.peer)
}

/// The settings of a peer that says them.
fn settings(column: &Column) -> Option<String> {
    let document = column.runs.first()?.document.as_ref()?;
    let settings = document["settings"].as_array()?;
    let words: Vec<&str> = settings.iter().filter_map(|word| word.as_str()).collect();
    // Where it listens is of no interest to anybody.
    let words = words.iter().filter(|word| !word.starts_with("bootstrap"));
    let words: Vec<&str> = words.copied().collect();
    let version = document["librdkafka"].as_str().unwrap_or_default();
    Some(format!("librdkafka {version}: {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_table() {
        let of = |doing| SHAPES.map(|shape| limits(doing, shape));
        assert_eq!(
            of(Doing::Consume),
            [Some((0.10, 0.33)), Some((0.20, 0.50)), Some((0.08, 0.35))]
        );
        assert_eq!(of(Doing::Produce), [Some((0.10, 0.33)); 3]);
        assert_eq!(of(Doing::ConsumeRecords), [None; 3]);
    }
}
