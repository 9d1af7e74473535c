//! A report as Markdown; the JSON is the report itself.
//!
//! A pure function of the report.

use std::fmt::Write as _;

use serde::Serialize;

use super::compare::{
    CPU_PER_GB, CPU_PER_REQUEST, Comparison, Figure, GB_RATE, MACHINE_PER_GB, MACHINE_PER_REQUEST,
    PEAK, RATE, RUSAGE_PER_REQUEST, SYSTEM_PER_GB, USER_PER_GB,
};
use super::goal::GoalRow;
use super::lane::Link;
use super::machine::Machine;
use super::model::Instrument;
use super::run::Timing;
use super::stats::{self, Estimate, Spread};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Always `loadgen.versus/1`.
    pub(crate) schema: &'static str,
    /// Where and when.
    pub(crate) machine: Machine,
    /// Lengths of a run.
    pub(crate) timing: Timing,
    /// Pairs of each comparison.
    pub(crate) pairs: usize,
    /// One for each link.
    pub(crate) series: Vec<Series>,
}

/// What was measured on one link.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    /// The link.
    pub(crate) link: Link,
    /// The protocol.
    pub(crate) protocol: &'static str,
    /// The target; `None`: it could not be started, and `absent` says why.
    pub(crate) target: Option<String>,
    /// The comparisons.
    pub(crate) comparisons: Vec<Comparison>,
    /// Goals, when they were asked for.
    pub(crate) goals: Vec<GoalRow>,
    /// What was not measured.
    pub(crate) absent: Vec<Absent>,
}

/// Something that could not be measured, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Absent {
    /// A peer, a work of a peer, a link.
    pub(crate) what: String,
    /// One sentence.
    pub(crate) reason: String,
}

/// From this payload on, CPU is given per GB.
const LARGE_BYTES: u64 = 128 * 1024;

/// The report for people.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let timing = report.timing;
    let estimate = stats::estimate(&vec![1.0; report.pairs]);
    let _ = writeln!(
        text,
        "{}.\n\n{} pairs of runs, {} s measured after {} s of warm-up (of Kafka: a run of both lengths \
         less one of the second, {} s for the long run of a Java tool); medians (smallest–largest); \
         ratios are ours ÷ theirs within pairs, with the distribution-free interval of their \
         median ({:.1} % at this number of pairs{}).",
        report.machine.sentence(),
        report.pairs,
        timing.measure_s,
        timing.warmup_s,
        timing.slow_s,
        estimate.confidence * 100.0,
        if estimate.confidence < 0.95 {
            "; six pairs make 95 %"
        } else {
            ""
        },
    );
    for series in &report.series {
        let link = match series.link {
            Link::Loopback => "loopback",
            Link::Veth => "veth pair, MTU 1500",
        };
        let target = series.target.as_deref().unwrap_or("no target");
        let _ = writeln!(text, "\n### {} over {link}, {target}", series.protocol);
        goals(&mut text, &series.goals);
        comparisons(&mut text, &series.comparisons);
        for absent in &series.absent {
            let _ = writeln!(text, "\nNot measured: {}: {}.", absent.what, absent.reason);
        }
    }
    text
}

fn goals(text: &mut String, rows: &[GoalRow]) {
    if rows.is_empty() {
        return;
    }
    text.push_str("\n| goal | limit | value [interval] | met |\n| --- | --: | --: | --- |\n");
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let limit = row.limit.map_or("–".to_owned(), |limit| {
            format!("{limit} {}", row.unit).trim_end().to_owned()
        });
        let value = format!("{} {}", estimate(&row.value), row.unit);
        let value = value.trim_end();
        let _ = writeln!(text, "| {} | {limit} | {value} | {met} |", row.goal);
        for note in &row.notes {
            let _ = writeln!(text, "| — {note} | | | |");
        }
    }
}

/// The cells of a row.
type Cells = Box<dyn Fn(&Comparison) -> Vec<String>>;

/// Columns of a table of comparisons, after the peer's name: heads, and the cells of a row.
struct Layout {
    heads: String,
    cells: Cells,
}

impl Layout {
    fn of(one: &Comparison) -> Self {
        let work = &one.ours.work;
        match work.instrument {
            Instrument::Difference => Self::difference(),
            Instrument::Window if work.payload_bytes >= LARGE_BYTES => {
                Self::window(CPU_PER_GB, MACHINE_PER_GB)
            }
            Instrument::Window => Self::window(CPU_PER_REQUEST, MACHINE_PER_REQUEST),
        }
    }

    fn window(cpu: Figure, machine: Figure) -> Self {
        let heads = format!(
            "{} ours | theirs | ratio [interval] | {} ratio | {} ratio | {} ours | theirs | \
             {} ours | theirs",
            cpu.name, RUSAGE_PER_REQUEST.name, machine.name, RATE.name, PEAK.name,
        );
        let cells = move |one: &Comparison| {
            vec![
                range(&one.ours.spread(cpu)),
                range(&one.other.spread(cpu)),
                estimate(&one.ratio(cpu)),
                estimate(&one.ratio(RUSAGE_PER_REQUEST)),
                estimate(&one.ratio(machine)),
                medians(one, RATE),
                medians(one, PEAK),
            ]
        };
        Self {
            heads,
            cells: Box::new(cells),
        }
    }

    fn difference() -> Self {
        let figures = [USER_PER_GB, SYSTEM_PER_GB, MACHINE_PER_GB, GB_RATE, PEAK];
        let heads = figures.map(|figure| format!("{} ours | theirs", figure.name));
        let heads = format!(
            "{} ours | theirs | ratio [interval] | {} | {} ratio",
            CPU_PER_GB.name,
            heads.join(" | "),
            MACHINE_PER_GB.name,
        );
        let cells = move |one: &Comparison| {
            let mut cells = vec![
                range(&one.ours.spread(CPU_PER_GB)),
                range(&one.other.spread(CPU_PER_GB)),
                estimate(&one.ratio(CPU_PER_GB)),
            ];
            cells.extend(figures.map(|figure| medians(one, figure)));
            cells.push(estimate(&one.ratio(MACHINE_PER_GB)));
            cells
        };
        Self {
            heads,
            cells: Box::new(cells),
        }
    }
}

fn comparisons(text: &mut String, all: &[Comparison]) {
    let mut last = "";
    for one in all {
        let layout = Layout::of(one);
        if one.ours.work.name != last {
            last = &one.ours.work.name;
            let columns = layout.heads.matches(" | ").count() + 1;
            let _ = writeln!(
                text,
                "\n**{last}**\n\n| peer | {} | |\n| --- |{} --- |",
                layout.heads,
                " --: |".repeat(columns),
            );
        }
        row(text, one, &layout);
    }
}

fn row(text: &mut String, one: &Comparison, layout: &Layout) {
    let mut notes: Vec<String> = Vec::new();
    for (whose, column) in [("ours", &one.ours), (one.other.peer, &one.other)] {
        for note in column.runs.iter().flat_map(|run| &run.notes) {
            let note = format!("{whose}: {note}");
            if !notes.contains(&note) && notes.len() < 3 {
                notes.push(note);
            }
        }
    }
    let name = if one.other.work.name == one.ours.work.name {
        one.other.peer.to_owned()
    } else {
        format!("{} {}", one.other.peer, one.other.work.name)
    };
    let cells = (layout.cells)(one).join(" | ");
    let _ = writeln!(text, "| {name} | {cells} | {} |", notes.join("; "));
}

fn medians(one: &Comparison, figure: Figure) -> String {
    let (ours, other) = (one.ours.spread(figure), one.other.spread(figure));
    format!("{} | {}", number(ours.median), number(other.median))
}

fn range(spread: &Spread) -> String {
    format!(
        "{} ({}–{})",
        number(spread.median),
        number(spread.min),
        number(spread.max)
    )
}

fn estimate(of: &Estimate) -> String {
    let (value, low, high) = (number(of.value), number(of.low), number(of.high));
    format!("{value} [{low}, {high}]")
}

/// Three digits that mean something, more for large numbers.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".into();
    }
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(number(123_456.7), "123457");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(4.4), "4.40");
        assert_eq!(number(0.0567), "0.057");
        assert_eq!(number(f64::NAN), "?");
    }
}
