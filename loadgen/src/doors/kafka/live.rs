//! What the tools do while they run: a line each interval, and an end when nothing comes any more.
//!
//! Pure: rows and times come as arguments. It must not change what is measured, only how long.

use std::time::{Duration, Instant};

use loadgen::render::{KafkaWindow, KafkaWindows};
use loadgen_core::results::Interval;

/// An interval of the run, of which those of the report are made, is no longer than this.
const STEP: Duration = Duration::from_secs(1);
/// No finer than this.
const STEP_MIN: Duration = Duration::from_millis(10);
/// Records are seen when an interval is whole: a silence that ends a run is so many of them, so
/// that one which is late is none.
const STEPS_OF_SILENCE: u32 = 4;

/// The length of the run's intervals for a report every `interval` and a silence of `idle` that
/// ends the run: a whole part of `interval`, where that has so many.
pub(super) fn step(interval: Duration, idle: Option<Duration>) -> Duration {
    let most = idle.map_or(STEP, |idle| STEP.min(idle / STEPS_OF_SILENCE));
    let most = most.max(STEP_MIN);
    let parts = interval.as_nanos().div_ceil(most.as_nanos()).max(1);
    // A report that never comes.
    let part = u32::try_from(parts).map_or(most, |parts| interval / parts);
    part.max(STEP_MIN)
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
            // What is shorter than it can be seen would be a silence in every run.
            idle: idle.map(|idle| idle.max(STEP_MIN * STEPS_OF_SILENCE)),
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
            error_units: 0,
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
            let step = step(Duration::from_millis(report_ms), None);
            assert_eq!(step, Duration::from_millis(step_ms), "{report_ms}");
        }
    }

    #[test]
    fn they_are_short_beside_the_silence_that_ends_it() {
        let forever_ms = i64::MAX as u64;
        for (report_ms, idle_ms, step_ms) in [
            (5000, 10_000, 1000),
            (5000, 500, 125),
            (5000, 3, 10),
            (forever_ms, 10_000, 1000),
            (forever_ms, 500, 125),
        ] {
            let [report, idle] = [report_ms, idle_ms].map(Duration::from_millis);
            let step = step(report, Some(idle));
            assert_eq!(
                step,
                Duration::from_millis(step_ms),
                "{report_ms} {idle_ms}"
            );
        }
    }

    /// Records in every interval, each seen as late as it can be: right before the next.
    #[test]
    fn a_run_with_records_in_every_interval_goes_on_however_short_the_timeout() {
        let begun = Instant::now();
        for idle_ms in [1, 10, 500, 1000, 10_000] {
            let [report, idle] = [5000, idle_ms].map(Duration::from_millis);
            let step = step(report, Some(idle));
            let mut live = Live::new(report, Some(idle));
            assert!(!live.look(&[], begun, |_, _| {}));
            for n in 1..50 {
                let seen = begun + step * n + step * 9 / 10;
                let rows = [row((step * n).as_secs_f64(), 1)];
                assert!(!live.look(&[], seen - step / 20, |_, _| {}), "{idle_ms}");
                assert!(!live.look(&rows, seen, |_, _| {}), "{idle_ms}");
            }
            let quiet = begun + step * 51 + idle + STEP_MIN * STEPS_OF_SILENCE;
            assert!(live.look(&[], quiet, |_, _| {}), "{idle_ms}");
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
