//! A goal: a number, its limit, whether it is met.

use serde::Serialize;

use super::compare::Bench;
use super::model::Peer;
use super::render::{Absent, Series};
use super::stats::Estimate;

/// Something to measure, and how: it adds its rows, or says why it cannot.
pub(crate) type Step = (
    &'static str,
    fn(&mut Series, &mut Bench, &dyn Peer) -> Result<(), String>,
);

/// Measures one after the other. What cannot be measured is absent, with the reason.
pub(crate) fn measure(steps: &[Step], bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
    for (what, step) in steps {
        eprintln!("goal: {what}");
        if let Err(reason) = step(series, bench, ours) {
            eprintln!("  not measured: {reason}");
            let what = format!("goal: {what}");
            series.absent.push(Absent { what, reason });
        }
    }
}

/// One line of the table of goals.
#[derive(Debug, Serialize)]
pub(crate) struct GoalRow {
    /// What is wanted.
    pub(crate) goal: String,
    /// At most; `None`: a number that is only reported.
    pub(crate) limit: Option<f64>,
    /// Of limit and value; empty for ratios.
    pub(crate) unit: &'static str,
    /// The median, with its interval.
    pub(crate) value: Estimate,
    /// Whether it holds, where there is a limit.
    pub(crate) met: Option<bool>,
    /// What a reader must know to judge it.
    pub(crate) notes: Vec<String>,
}

impl GoalRow {
    /// Met when the median is at most `limit`.
    pub(crate) fn at_most(
        goal: impl Into<String>,
        limit: f64,
        unit: &'static str,
        value: Estimate,
    ) -> Self {
        Self {
            goal: goal.into(),
            limit: Some(limit),
            unit,
            value,
            met: Some(value.value <= limit),
            notes: Vec::new(),
        }
    }

    /// Met when the whole interval is below `limit`.
    pub(crate) fn wholly_below(goal: impl Into<String>, limit: f64, value: Estimate) -> Self {
        let mut row = Self::at_most(goal, limit, "", value);
        row.met = Some(value.high < limit);
        row
    }

    /// A number without a limit.
    pub(crate) fn reported(goal: impl Into<String>, unit: &'static str, value: Estimate) -> Self {
        Self {
            limit: None,
            met: None,
            ..Self::at_most(goal, f64::NAN, unit, value)
        }
    }

    /// Adds a note.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_or_not() {
        let value = Estimate {
            value: 0.9,
            low: 0.8,
            high: 1.01,
            confidence: 0.98,
        };
        let met = |limit| GoalRow::at_most("a", limit, "", value).met;
        assert_eq!((met(0.9), met(0.89)), (Some(true), Some(false)));
        let met = |limit| GoalRow::wholly_below("a", limit, value).met;
        assert_eq!((met(1.0), met(1.02)), (Some(false), Some(true)));
        assert_eq!(GoalRow::reported("a", "", value).met, None);
        let unknown = Estimate {
            value: f64::NAN,
            ..value
        };
        assert_eq!(GoalRow::at_most("a", 1.0, "", unknown).met, Some(false));
    }
}
