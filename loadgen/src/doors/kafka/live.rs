//! What the tools do while they run: a line each interval, and an end when nothing comes any more.
//!
//! Pure: rows and times come as arguments. It must not change what is measured, only how long.

use std::time::{Duration, Instant};

use loadgen::render::{KafkaWindow, KafkaWindows};
use loadgen_core::results::Interval;

/// An interval of the run, of which those of the report are made; the silence at the end is
/// measured as finely.
const STEP: Duration = Duration::from_secs(1);
/// No finer than this.
const STEP_MIN: Duration = Duration::from_millis(10);

/// The length of the run's intervals for a report every `interval`: a whole part of it.
pub(super) fn step(interval: Duration) -> Duration {
    let parts = interval.as_nanos().div_ceil(STEP.as_nanos()).max(1);
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    (interval / parts).max(STEP_MIN)
}

/// Looks at a run.
#[derive(Debug)]
pub(super) struct Live {
    windows: KafkaWindows,
    idle: Option<Duration>,
    last: Option<Instant>,
}

impl Live {
    /// With a report every `interval`; `idle`: the longest time without a record.
    pub(super) fn new(interval: Duration, idle: Option<Duration>) -> Self {
        Self {
            windows: KafkaWindows::new(interval.max(STEP_MIN)),
            idle,
            last: None,
        }
    }

    /// Takes the intervals that were finished since the last look at `now`, and hands each window
    /// of the report to `each`. Whether it was silent for too long; the first look begins the
    /// silence.
    pub(super) fn look(
        &mut self,
        rows: &[Interval],
        now: Instant,
        mut each: impl FnMut(&KafkaWindows, &KafkaWindow),
    ) -> bool {
        let last = self.last.get_or_insert(now);
        for row in rows {
            if row.units > 0 {
                *last = now;
            }
            if let Some(window) = self.windows.push(row) {
                each(&self.windows, &window);
            }
        }
        let silence = now.saturating_duration_since(*last);
        self.idle.is_some_and(|idle| silence > idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, units: u64) -> Interval {
        Interval {
            t_s,
            duration_ns: 0,
            completed: units,
            failed: 0,
            units,
            payload_rx_bytes: Some(units),
            payload_tx_bytes: 0,
            censored: 0,
            mean_ns: None,
            p50_ns: None,
            p99_ns: None,
            max_ns: None,
        }
    }

    #[test]
    fn intervals_of_a_run_are_whole_parts_of_those_of_the_report() {
        for (report_ms, step_ms) in [(5000, 1000), (1000, 1000), (1500, 750), (10, 10), (1, 10)] {
            let step = step(Duration::from_millis(report_ms));
            assert_eq!(step, Duration::from_millis(step_ms), "{report_ms}");
        }
    }

    #[test]
    fn a_run_ends_when_nothing_came_for_too_long() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let idle = Duration::from_millis(1500);
        let mut live = Live::new(Duration::from_secs(2), Some(idle));
        let mut lines = 0;
        let mut look = |rows: &[Interval], ms| live.look(rows, at(ms), |_, _| lines += 1);
        assert!(!look(&[], 0));
        assert!(!look(&[row(1.0, 5)], 1010));
        assert!(!look(&[row(2.0, 0)], 2010));
        assert!(!look(&[], 2510));
        assert!(look(&[], 2520));
        assert_eq!(lines, 1);
        let mut patient = Live::new(Duration::from_secs(2), None);
        assert!(!patient.look(&[], at(0), |_, _| {}));
        assert!(!patient.look(&[], at(1_000_000), |_, _| {}));
    }
}
