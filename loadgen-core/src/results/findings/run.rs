//! The run itself was too short, cut short, or not what it should be.
//!
//! Detectors only: nothing here may decide what a finding does to the verdict.

use super::target::{all_failed, unreachable};
use super::{Rule, Seen, window_s};
use crate::results::document::{Document, RunStatus, Weight};

pub(super) const WORKER_BROKEN: Rule = Rule {
    code: "worker_broken",
    weight: Weight::Invalid,
    detect: worker_broken,
    hint: "a worker could not work to the end; the workers table says why, and a panic is a bug of \
           loadgen's: please report it",
};

fn worker_broken(document: &Document) -> Option<Seen> {
    let broken = document.workers.iter().filter(|w| w.broken.is_some());
    Seen::any(broken.count() as u64, "workers")
}

pub(super) const NOTHING_MEASURED: Rule = Rule {
    code: "nothing_measured",
    weight: Weight::Invalid,
    detect: nothing_measured,
    hint: "no request completed in the measured window: make it longer than a request takes, or \
           shorten the warm-up",
};

fn nothing_measured(document: &Document) -> Option<Seen> {
    let explained = unreachable(document).or_else(|| all_failed(document));
    let completed = document.summary.requests.completed;
    (completed == 0 && explained.is_none()).then_some(Seen {
        actual: Some(0.0),
        limit: Some(1.0),
        unit: Some("requests"),
        heavier: None,
    })
}

pub(super) const COUNT_NOT_REACHED: Rule = Rule {
    code: "count_not_reached",
    weight: Weight::Invalid,
    detect: count_not_reached,
    hint: "the run was to send a number of requests and ended by itself before that: nothing was \
           left to send them on, or nothing left to ask; the workers table says who gave up",
};

/// A run that was ended from outside has its own finding, and one without a target another.
fn count_not_reached(document: &Document) -> Option<Seen> {
    let planned = document.plan.requests?;
    if document.interrupted || unreachable(document).is_some() {
        return None;
    }
    let sent = planned.saturating_sub(document.totals.unsent);
    (sent < planned).then_some(Seen {
        actual: Some(sent as f64),
        limit: Some(planned as f64),
        unit: Some("requests"),
        heavier: None,
    })
}

pub(super) const INTERRUPTED: Rule = Rule {
    code: "interrupted",
    weight: Weight::Doubt,
    detect: interrupted,
    hint: "the run ended before its plan said: the numbers are those of the part that took place",
};

fn interrupted(document: &Document) -> Option<Seen> {
    (document.interrupted || document.status == RunStatus::Partial).then(Seen::default)
}

pub(super) const CLAMPED: Rule = Rule {
    code: "clamped",
    weight: Weight::Doubt,
    detect: clamped,
    hint: "times above one hour are beyond the histograms' range and count as one hour",
};

fn clamped(document: &Document) -> Option<Seen> {
    let s = &document.summary;
    let kinds = [
        &s.response_time,
        &s.service_time,
        &s.time_to_first_byte,
        &s.schedule_lag,
        &s.connect_time,
        &s.generator_delay,
        &s.end_to_end,
    ];
    let most = kinds.iter().map(|latency| latency.clamped).max();
    Seen::any(most.unwrap_or(0), "values")
}

pub(super) const DEBUG_BUILD: Rule = Rule {
    code: "debug_build",
    weight: Weight::Doubt,
    detect: debug_build,
    hint: "this loadgen was built without optimisation: rates and generator CPU are those of a \
           debug build; build with --release",
};

fn debug_build(document: &Document) -> Option<Seen> {
    (document.tool.profile != "release").then(Seen::default)
}

pub(super) const SHORT_WINDOW: Rule = Rule {
    code: "short_window",
    weight: Weight::Note,
    detect: short_window,
    hint: "the window is shorter than a second or holds fewer than 1000 requests: p99.9 is then a \
           single request, and the mean leans on how the run began",
};

const SHORTEST_S: f64 = 1.0;
const FEWEST: u64 = 1000;

fn short_window(document: &Document) -> Option<Seen> {
    let times = &document.summary.response_time;
    let (window_s, samples) = (window_s(document), times.count + times.censored);
    let below = |actual, limit, unit| Seen {
        actual: Some(actual),
        limit: Some(limit),
        unit: Some(unit),
        heavier: None,
    };
    if window_s < SHORTEST_S {
        Some(below(window_s, SHORTEST_S, "s"))
    } else {
        (samples < FEWEST).then(|| below(samples as f64, FEWEST as f64, "requests"))
    }
}

pub(super) const TIMES_UNTIL_WRITTEN: Rule = Rule {
    code: "times_until_written",
    weight: Weight::Note,
    detect: times_until_written,
    hint: "no request has a reply: response and service time end when the socket took it, which is \
           no latency of the target",
};

fn times_until_written(document: &Document) -> Option<Seen> {
    let s = &document.summary;
    let came = s.time_to_first_byte.count;
    Seen::any(s.response_time.count, "requests").filter(|_| came == 0)
}
