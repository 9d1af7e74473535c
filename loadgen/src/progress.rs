//! The live line on a terminal: how far the run is, and how it goes.
//!
//! Only on stderr, only where that is a terminal, and never with `--quiet`. It has no colours, so
//! NO_COLOR has nothing to switch off. Nothing here may touch the run.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use loadgen_core::run::Snapshot;

use loadgen::render::units::{number, time};

/// Redraws a second: enough to look alive, few enough to cost nothing.
const HZ: u8 = 5;

/// The line, where there is one.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A line on a terminal, nothing elsewhere.
    pub(crate) fn new(quiet: bool) -> Self {
        let wanted = !quiet && std::io::stderr().is_terminal();
        let bar = wanted.then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(HZ);
            let style = ProgressStyle::with_template("{bar:20} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(STEPS), target)
                .with_style(style.progress_chars("=> "))
        });
        Self { bar }
    }

    /// Shows how far the run is.
    pub(crate) fn show(&self, snapshot: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_position(step(snapshot));
            bar.set_message(line(snapshot));
        }
    }

    /// Takes the line away: the report stands alone.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Resolution of the bar.
const STEPS: u64 = 1000;

fn step(snapshot: &Snapshot) -> u64 {
    let share = match (snapshot.requests, snapshot.planned) {
        (Some(requests), _) => taken(snapshot) as f64 / requests.max(1) as f64,
        (None, Some(planned)) => snapshot.elapsed.as_secs_f64() / planned.as_secs_f64(),
        (None, None) => 0.0,
    };
    // A share of 0/0 is NaN, which becomes 0.
    (share.clamp(0.0, 1.0) * STEPS as f64) as u64
}

/// How far a run by count is: completions are known once an interval only.
fn taken(snapshot: &Snapshot) -> u64 {
    snapshot.taken.unwrap_or(snapshot.completed)
}

fn line(snapshot: &Snapshot) -> String {
    let mut parts = vec![extent(snapshot)];
    if let Some(rate) = snapshot.rate_per_s {
        parts.push(format!("{} requests/s", number(rate)));
    }
    if let Some(bytes) = snapshot.payload_rx_bytes_per_s {
        parts.push(format!("{}B/s", number(bytes)));
    }
    if let (Some(p50_ns), Some(p99_ns)) = (snapshot.p50_ns, snapshot.p99_ns) {
        let (p50, p99) = (time(p50_ns as f64), time(p99_ns as f64));
        parts.push(format!("p50 {p50}, p99 {p99}"));
    }
    if snapshot.failed > 0 {
        parts.push(format!("{} failed", number(snapshot.failed as f64)));
    }
    parts.join(", ")
}

fn extent(snapshot: &Snapshot) -> String {
    let seconds = |time: Duration| format!("{:.0} s", time.as_secs_f64());
    let phase = snapshot.phase;
    let elapsed = seconds(snapshot.elapsed);
    match (snapshot.requests, snapshot.planned) {
        (Some(requests), _) => {
            let (done, all) = (taken(snapshot) as f64, requests as f64);
            format!("{phase} {} of {}", number(done), number(all))
        }
        (None, Some(planned)) => format!("{phase} {elapsed} of {}", seconds(planned)),
        (None, None) => format!("{phase} {elapsed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            phase: "measure",
            elapsed: Duration::from_secs(3),
            planned: Some(Duration::from_secs(10)),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_line_says_what_is_known_and_no_more() {
        assert_eq!(line(&snapshot()), "measure 3 s of 10 s");
        let busy = Snapshot {
            rate_per_s: Some(45_120.0),
            payload_rx_bytes_per_s: Some(46.2e6),
            p50_ns: Some(88_000),
            p99_ns: Some(250_400),
            failed: 3,
            ..snapshot()
        };
        assert_eq!(
            line(&busy),
            "measure 3 s of 10 s, 45.1 k requests/s, 46.2 MB/s, p50 88 µs, p99 250 µs, 3 failed"
        );
        let counted = Snapshot {
            completed: 1000,
            taken: Some(1500),
            requests: Some(6000),
            planned: None,
            ..snapshot()
        };
        assert_eq!(line(&counted), "measure 1500 of 6000");
    }

    #[test]
    fn the_bar_follows_the_plan() {
        let counted = Snapshot {
            taken: Some(1500),
            requests: Some(6000),
            ..snapshot()
        };
        assert_eq!(step(&counted), 250);
        assert_eq!(step(&snapshot()), 300);
        let over = Snapshot {
            elapsed: Duration::from_secs(99),
            ..snapshot()
        };
        assert_eq!(step(&over), STEPS);
        let zero = Snapshot {
            elapsed: Duration::ZERO,
            planned: Some(Duration::ZERO),
            ..snapshot()
        };
        assert_eq!(step(&zero), 0);
    }
}
