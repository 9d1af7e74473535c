//! `loadgen kafka` beside the brokers of a test, and what its document counted.
//!
//! Nothing here may judge: how many there should be is the tests' business.

use loadgen_core::results::Document;

use crate::support::run::{Ran, loadgen};

/// The words of `loadgen kafka WORDS --json -t 1`.
pub(crate) fn command(words: &str) -> Vec<&str> {
    let own = ["--json", "-t", "1"];
    ["kafka"]
        .into_iter()
        .chain(words.split_whitespace())
        .chain(own)
        .collect()
}

/// Runs them.
#[track_caller]
pub(crate) fn kafka(words: &str) -> (Ran, Document) {
    let ran = loadgen(&command(words));
    let document = ran.document();
    (ran, document)
}

/// Units of the whole run with this status.
pub(crate) fn units(document: &Document, status: &str) -> u64 {
    let rows = document.operations.iter();
    let rows = rows.filter(|row| row.status == status);
    rows.map(|row| row.total_units).sum()
}
