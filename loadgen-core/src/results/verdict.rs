//! What a document stands for: valid or not, what limited the run, and the exit code.
//!
//! Computed from the document alone, so that a stored one can be judged again.

use super::document::{Document, Verdict, Weight};
use super::findings::{BUSY_LIMIT, Core};

/// The exit codes of every `loadgen` command that makes load.
pub mod exit {
    /// Fine.
    pub const OK: u8 = 0;
    /// A `--require` said no.
    pub const REQUIREMENT: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The target is unreachable, or every reply was bad.
    pub const TARGET: u8 = 3;
    /// The environment refuses what was asked for explicitly.
    pub const ENVIRONMENT: u8 = 4;
    /// Output could not be written.
    pub const OUTPUT: u8 = 5;
    /// A finding invalidates the numbers.
    pub const INVALID: u8 = 6;
    /// A bug of ours.
    pub const BUG: u8 = 70;
    /// Interrupted; the partial result is written and marked.
    pub const INTERRUPTED: u8 = 130;
}

/// The verdict on `document`, by its findings and requirements as they are.
///
/// When several codes hold, it is the first of 70, 130, 3, 6, 1.
#[must_use]
pub fn verdict(document: &Document) -> Verdict {
    let has = |core: Core| document.findings.iter().any(|f| f.code == core.code());
    let limit = if document.plan.strict {
        Weight::Doubt
    } else {
        Weight::Invalid
    };
    let valid = document.findings.iter().all(|f| f.weight < limit);
    let required = document.requirements.iter().all(|r| r.ok);
    let exit_code = if has(Core::WorkerBroken) {
        exit::BUG
    } else if document.interrupted {
        exit::INTERRUPTED
    } else if has(Core::TargetUnreachable) || has(Core::AllFailed) {
        exit::TARGET
    } else if !valid {
        exit::INVALID
    } else if !required {
        exit::REQUIREMENT
    } else {
        exit::OK
    };
    Verdict {
        valid,
        regime: regime(document, has(Core::RateNotMet)).map(str::to_owned),
        exit_code,
    }
}

/// What limited the run. An open loop that fell behind with an idle generator is not decided: it
/// may be the target, or too few connections.
fn regime(document: &Document, rate_not_met: bool) -> Option<&'static str> {
    if document.summary.requests.completed == 0 {
        return None;
    }
    let busy = document.summary.efficiency.generator_busy_ratio;
    if busy.is_some_and(|ratio| ratio >= BUSY_LIMIT) {
        return Some("generator");
    }
    if document.loop_ == "open" {
        return (!rate_not_met).then_some("schedule");
    }
    busy.map(|_| "target")
}
