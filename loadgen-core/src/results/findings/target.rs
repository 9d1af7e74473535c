//! The target or the way to it misbehaved.
//!
//! Detectors only: nothing here may decide what a finding does to the verdict.

use super::generator::is_own;
use super::{Rule, Seen};
use crate::results::document::{Document, Operation, Weight};

pub(super) const TARGET_UNREACHABLE: Rule = Rule {
    code: "target_unreachable",
    weight: Weight::Invalid,
    detect: unreachable,
    hint: "not one connection could be made: check the address, the port and what is in between; \
           the errors table says why",
};

pub(super) fn unreachable(document: &Document) -> Option<Seen> {
    let connections = &document.connections;
    let mut connects = document.errors.iter().filter(|row| row.phase == "connect");
    let theirs = connects.any(|row| !is_own(&row.cause));
    if connections.opened > 0 || !theirs {
        return None;
    }
    Seen::any(connections.connect_failures, "attempts")
}

pub(super) const ALL_FAILED: Rule = Rule {
    code: "all_failed",
    weight: Weight::Invalid,
    detect: all_failed,
    hint: "not one good reply came: every request failed or was answered with an error, so the \
           numbers measure the failure; the errors and operations tables say which",
};

pub(super) fn all_failed(document: &Document) -> Option<Seen> {
    let totals = &document.totals;
    let bad_or_none = totals
        .sent
        .max(document.errors.iter().map(|row| row.count).sum());
    let good = document.totals.completed > 0 && bad_share(document) < 1.0;
    if good || document.connections.opened == 0 {
        return None;
    }
    Seen::any(bad_or_none, "requests")
}

pub(super) const ERRORS: Rule = Rule {
    code: "errors",
    weight: Weight::Doubt,
    detect: errors,
    hint: "requests failed or were answered with an error; an error is often quicker than an \
           answer, so rates and times of the good ones are not those of a healthy target",
};

/// From here on the numbers are rather those of errors.
const ERRORS_INVALID: f64 = 0.1;

/// The part of the replies that were errors: by reply or by unit, whichever is more, as
/// `rate.error_ratio` has it. A batch may be answered well and have all its keys refused.
fn bad_share(document: &Document) -> f64 {
    let rows = &document.operations;
    let sum = |of: fn(&Operation) -> u64| rows.iter().map(of).sum::<u64>();
    let replies = sum(|row| row.total_count);
    let units = sum(|row| row.total_units).max(replies);
    let bad_replies = sum(|row| bad_of(row, row.total_count));
    let bad_units = sum(|row| bad_of(row, row.total_units));
    let of = |bad: u64, all: u64| bad as f64 / all.max(1) as f64;
    of(bad_replies, replies).max(of(bad_units, units))
}

fn bad_of(row: &Operation, count: u64) -> u64 {
    if row.outcome == "error" { count } else { 0 }
}

/// The window's ratio or the whole run's, whichever is worse: a failure in the warm-up or the
/// drain is a failure.
fn errors(document: &Document) -> Option<Seen> {
    let totals = &document.totals;
    let ended = totals.completed + totals.failed;
    let bad = totals.failed as f64 + totals.completed as f64 * bad_share(document);
    let whole = bad / ended.max(1) as f64;
    let ratio = document.summary.rate.error_ratio.unwrap_or(0.0).max(whole);
    let heavier = (ratio > ERRORS_INVALID).then_some(Weight::Invalid);
    Seen::above(ratio, 0.0, "ratio").map(|seen| seen.heavier(heavier))
}

pub(super) const CONNECTIONS_LOST: Rule = Rule {
    code: "connections_lost",
    weight: Weight::Doubt,
    detect: connections_lost,
    hint: "connections ended against our will (reset, timeout, closed with requests in flight) and \
           were made anew: part of the run had fewer connections than planned",
};

fn connections_lost(document: &Document) -> Option<Seen> {
    Seen::any(document.connections.lost, "connections")
}

pub(super) const CONNECT_FAILURES: Rule = Rule {
    code: "connect_failures",
    weight: Weight::Doubt,
    detect: connect_failures,
    hint: "attempts to connect failed: the target's accept queue, a limit or a filter; part of the \
           run had fewer connections than planned",
};

fn connect_failures(document: &Document) -> Option<Seen> {
    Seen::any(document.connections.connect_failures, "attempts")
}

pub(super) const RETRANSMITS: Rule = Rule {
    code: "retransmits",
    weight: Weight::Note,
    detect: retransmits,
    hint: "segments we sent were lost or late on the way and sent again; expect steps in the tail \
           (200 ms is the kernel's shortest timeout)",
};

fn retransmits(document: &Document) -> Option<Seen> {
    Seen::any(document.connections.retransmits?, "segments")
}
