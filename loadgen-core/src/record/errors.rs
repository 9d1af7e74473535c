//! Failures by phase and cause, each class with its first moment and one sample.
//!
//! The table must stay small: one row per class, never one per failure.

use crate::protocol::{Cause, Phase};
use crate::time::Tick;

/// One class of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Where.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: Tick,
    /// The first one, in words.
    pub sample: String,
}

/// The failures of one worker, or of a run.
#[derive(Clone, Debug, Default)]
pub struct ErrorTable {
    entries: Vec<ErrorEntry>,
}

impl ErrorTable {
    /// Counts one failure; `detail` is asked for when it is the first of its class.
    pub fn add(&mut self, phase: Phase, cause: Cause, at: Tick, detail: impl FnOnce() -> String) {
        let known = self
            .entries
            .iter_mut()
            .find(|e| e.phase == phase && e.cause == cause);
        if let Some(entry) = known {
            entry.count += 1;
        } else {
            self.entries.push(ErrorEntry {
                phase,
                cause,
                count: 1,
                first_at: at,
                sample: detail(),
            });
        }
    }

    /// Adds another worker's failures; of each class the earlier sample stays.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries {
            let same = |e: &&mut ErrorEntry| e.phase == entry.phase && e.cause == entry.cause;
            match self.entries.iter_mut().find(same) {
                Some(mine) => {
                    mine.count += entry.count;
                    if entry.first_at < mine.first_at {
                        mine.first_at = entry.first_at;
                        mine.sample = entry.sample;
                    }
                }
                None => self.entries.push(entry),
            }
        }
    }

    /// The classes, the earliest first.
    #[must_use]
    pub fn into_rows(mut self) -> Vec<ErrorEntry> {
        self.entries.sort_by_key(|e| (e.first_at, e.phase, e.cause));
        self.entries
    }

    /// The classes so far.
    #[must_use]
    pub fn rows(&self) -> &[ErrorEntry] {
        &self.entries
    }
}
