//! A goal: a number, its limit, whether it is met.

use serde::Serialize;

use super::stats::Estimate;

/// One line of the table of goals.
#[derive(Debug, Serialize)]
pub(crate) struct GoalRow {
    /// What is wanted.
    pub(crate) goal: String,
    /// At most.
    pub(crate) limit: f64,
    /// Of limit and value; empty for ratios.
    pub(crate) unit: &'static str,
    /// The median, with its interval.
    pub(crate) value: Estimate,
    /// Whether it holds.
    pub(crate) met: bool,
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
            limit,
            unit,
            value,
            met: value.value <= limit,
            notes: Vec::new(),
        }
    }

    /// Met when the whole interval is below `limit`.
    pub(crate) fn wholly_below(goal: impl Into<String>, limit: f64, value: Estimate) -> Self {
        let mut row = Self::at_most(goal, limit, "", value);
        row.met = value.high < limit;
        row
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
        assert!(GoalRow::at_most("a", 0.9, "", value).met);
        assert!(!GoalRow::at_most("a", 0.89, "", value).met);
        assert!(!GoalRow::wholly_below("a", 1.0, value).met);
        assert!(GoalRow::wholly_below("a", 1.02, value).met);
        let unknown = Estimate {
            value: f64::NAN,
            ..value
        };
        assert!(!GoalRow::at_most("a", 1.0, "", unknown).met);
    }
}
