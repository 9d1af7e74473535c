//! Reasons to doubt the numbers: core's closed list.
//!
//! Every finding is one variant of [`Core`], one rule beside its detector, one section of
//! docs/methodology.md and one test. Detectors see the document and nothing else, so that a stored
//! document can be judged again.

mod generator;
mod load;
mod run;
mod target;

pub(super) use generator::BUSY_LIMIT;

use super::document::{Document, Finding, Weight};

/// Core's findings, the gravest first within a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// A worker could not work to the end.
    WorkerBroken,
    /// No connection could be made.
    TargetUnreachable,
    /// Connections were made, and not one good reply came.
    AllFailed,
    /// No request completed in the window.
    NothingMeasured,
    /// A run by count ended by itself before its count.
    CountNotReached,
    /// The generator ran out of file descriptors or local ports.
    GeneratorLimit,
    /// The busiest worker had no CPU time left.
    GeneratorCpuBound,
    /// Fewer requests ended than the schedule released.
    RateNotMet,
    /// Requests failed or were answered with an error.
    Errors,
    /// The run ended before its plan said.
    Interrupted,
    /// Requests went out late.
    ScheduleLag,
    /// The worker came late to replies that were there.
    GeneratorDelay,
    /// Another thread had the worker's CPU.
    RunQueueWait,
    /// More workers than CPUs to run them.
    MoreWorkersThanCpus,
    /// Connections × depth is not rate × time in system.
    LittlesLaw,
    /// Connections ended against our will.
    ConnectionsLost,
    /// Some attempts to connect failed.
    ConnectFailures,
    /// Requests were still in flight when the run was over.
    Unanswered,
    /// Requests were due in the window and never sent.
    Unsent,
    /// Times beyond the range of the histograms.
    Clamped,
    /// The generator was built without optimisation.
    DebugBuild,
    /// Too little was measured for the far percentiles.
    ShortWindow,
    /// No request had a reply: times end when the socket took it.
    TimesUntilWritten,
    /// Workers ran wherever the scheduler put them.
    NotPinned,
    /// The kernel copied what was to be discarded.
    DiscardCopied,
    /// Segments had to be sent again.
    Retransmits,
}

impl Core {
    /// The whole list.
    pub const ALL: [Self; 26] = [
        Self::WorkerBroken,
        Self::TargetUnreachable,
        Self::AllFailed,
        Self::NothingMeasured,
        Self::CountNotReached,
        Self::GeneratorLimit,
        Self::GeneratorCpuBound,
        Self::RateNotMet,
        Self::Errors,
        Self::Interrupted,
        Self::ScheduleLag,
        Self::GeneratorDelay,
        Self::RunQueueWait,
        Self::MoreWorkersThanCpus,
        Self::LittlesLaw,
        Self::ConnectionsLost,
        Self::ConnectFailures,
        Self::Unanswered,
        Self::Unsent,
        Self::Clamped,
        Self::DebugBuild,
        Self::ShortWindow,
        Self::TimesUntilWritten,
        Self::NotPinned,
        Self::DiscardCopied,
        Self::Retransmits,
    ];

    const fn rule(self) -> Rule {
        match self {
            Self::WorkerBroken => run::WORKER_BROKEN,
            Self::TargetUnreachable => target::TARGET_UNREACHABLE,
            Self::AllFailed => target::ALL_FAILED,
            Self::NothingMeasured => run::NOTHING_MEASURED,
            Self::CountNotReached => run::COUNT_NOT_REACHED,
            Self::GeneratorLimit => generator::GENERATOR_LIMIT,
            Self::GeneratorCpuBound => generator::GENERATOR_CPU_BOUND,
            Self::RateNotMet => load::RATE_NOT_MET,
            Self::Errors => target::ERRORS,
            Self::Interrupted => run::INTERRUPTED,
            Self::ScheduleLag => load::SCHEDULE_LAG,
            Self::GeneratorDelay => generator::GENERATOR_DELAY,
            Self::RunQueueWait => generator::RUN_QUEUE_WAIT,
            Self::MoreWorkersThanCpus => generator::MORE_WORKERS_THAN_CPUS,
            Self::LittlesLaw => load::LITTLES_LAW,
            Self::ConnectionsLost => target::CONNECTIONS_LOST,
            Self::ConnectFailures => target::CONNECT_FAILURES,
            Self::Unanswered => load::UNANSWERED,
            Self::Unsent => load::UNSENT,
            Self::Clamped => run::CLAMPED,
            Self::DebugBuild => run::DEBUG_BUILD,
            Self::ShortWindow => run::SHORT_WINDOW,
            Self::TimesUntilWritten => run::TIMES_UNTIL_WRITTEN,
            Self::NotPinned => generator::NOT_PINNED,
            Self::DiscardCopied => generator::DISCARD_COPIED,
            Self::Retransmits => target::RETRANSMITS,
        }
    }

    /// The name in the document.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.rule().code
    }

    /// Whether `document` shows it.
    #[must_use]
    pub fn find(self, document: &Document) -> Option<Finding> {
        let rule = self.rule();
        let seen = (rule.detect)(document)?;
        Some(Finding {
            code: rule.code.to_owned(),
            weight: seen.heavier.unwrap_or(rule.weight),
            actual: seen.actual,
            limit: seen.limit,
            unit: seen.unit.map(str::to_owned),
            hint: rule.hint.to_owned(),
        })
    }
}

/// What makes a finding.
struct Rule {
    code: &'static str,
    weight: Weight,
    detect: fn(&Document) -> Option<Seen>,
    hint: &'static str,
}

/// What a detector saw.
#[derive(Debug, Default)]
struct Seen {
    actual: Option<f64>,
    limit: Option<f64>,
    unit: Option<&'static str>,
    /// Heavier than the rule's weight: the same thing, in a place where it decides.
    heavier: Option<Weight>,
}

impl Seen {
    /// `actual`, when it is above `limit`.
    fn above(actual: f64, limit: f64, unit: &'static str) -> Option<Self> {
        (actual > limit).then_some(Self {
            actual: Some(actual),
            limit: Some(limit),
            unit: Some(unit),
            heavier: None,
        })
    }

    /// As it is, when there are any.
    fn any(count: u64, unit: &'static str) -> Option<Self> {
        Self::above(count as f64, 0.0, unit)
    }

    fn heavier(mut self, weight: Option<Weight>) -> Self {
        self.heavier = weight;
        self
    }
}

/// Core's findings in `document`, the heaviest first.
#[must_use]
pub fn find(document: &Document) -> Vec<Finding> {
    let found = Core::ALL.iter().filter_map(|core| core.find(document));
    let mut found: Vec<Finding> = found.collect();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    found
}

/// Length of the measured window, seconds; 0 when there was none.
fn window_s(document: &Document) -> f64 {
    let measure = document.phases.iter().find(|p| p.name == "measure");
    measure.map_or(0.0, |p| p.duration_ns as f64 / 1e9)
}

fn is_open(document: &Document) -> bool {
    document.loop_ == "open"
}

#[cfg(test)]
mod tests;
