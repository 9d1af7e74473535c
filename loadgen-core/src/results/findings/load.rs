//! The load was not what was planned.
//!
//! Detectors only: nothing here may decide what a finding does to the verdict.

use super::{Rule, Seen, is_open, window_s};
use crate::results::document::{Document, Weight};

pub(super) const RATE_NOT_MET: Rule = Rule {
    code: "rate_not_met",
    weight: Weight::Invalid,
    detect: rate_not_met,
    hint: "fewer requests ended than the schedule released, so a backlog grew and response time \
           depends on the length of the run: ask for a lower --rate, or give more --connections",
};

const SHORTFALL_PERCENT: f64 = 1.0;

/// Some requests are always in flight when the window ends; they are no shortfall. Their number is
/// rate × mean service time (Little), and never more than connections × depth. Service time does
/// not grow with our backlog, so a backlog excuses nothing. Three deviations of a Poisson count
/// are allowed on top.
fn rate_not_met(document: &Document) -> Option<Seen> {
    let summary = &document.summary;
    let offered_per_s = summary.rate.offered_per_s?;
    if document.plan.requests.is_some() {
        return count_was_late(document, offered_per_s);
    }
    let offered = offered_per_s * window_s(document);
    if !is_open(document) || offered <= 0.0 {
        return None;
    }
    // Of paced routes alone: the others answer for nothing that the schedule asked.
    let completed = summary.rate.achieved_per_s.unwrap_or(0.0) * window_s(document);
    let ended = completed + summary.requests.failed as f64;
    let slots = f64::from(document.plan.connections) * f64::from(document.plan.depth);
    let usual = offered_per_s * summary.service_time.mean_ns.unwrap_or(0.0) / 1e9;
    let in_flight = (usual + 3.0 * usual.sqrt()).min(slots);
    let missing_percent = (offered - ended - in_flight) / offered * 100.0;
    Seen::above(missing_percent, SHORTFALL_PERCENT, "%")
}

/// What starting, timers and the last look at the sockets may cost.
const COUNT_SLACK_S: f64 = 0.01;

/// A run by count ends when its last request has ended, so that none is missing; but where a backlog
/// grew, that is long after the schedule's end. The slowest reply is allowed, a backlog is not: what
/// is missing is the part of the requests that the schedule had released and that ended later.
fn count_was_late(document: &Document, offered_per_s: f64) -> Option<Seen> {
    let response = &document.summary.response_time;
    let offered = (response.count + response.censored) as f64;
    let schedule_s = ((offered - 1.0) / offered_per_s).min(asked_s(document, offered - 1.0));
    let slowest_s = document.summary.service_time.max_ns? as f64 / 1e9;
    let late_s = window_s(document) - schedule_s - slowest_s - COUNT_SLACK_S;
    if schedule_s <= 0.0 || late_s <= 0.0 {
        return None;
    }
    let missing_percent = late_s / (schedule_s + late_s) * 100.0;
    Seen::above(missing_percent, SHORTFALL_PERCENT, "%")
}

/// How long the schedule that was asked for may take to release so many requests after its first. What
/// was offered lacks what was due where nobody could be asked, and that others sent instead, later.
/// Each route may be a request behind, and Poisson arrivals three deviations of their count.
fn asked_s(document: &Document, requests: f64) -> f64 {
    let plan = &document.plan;
    let Some(asked_per_s) = plan.rate_per_s else {
        return f64::INFINITY;
    };
    let by_chance = match plan.arrival.as_deref() {
        Some("poisson") => 3.0 * requests.max(0.0).sqrt(),
        _ => 0.0,
    };
    (requests + plan.routes.len() as f64 + by_chance) / asked_per_s
}

pub(super) const SCHEDULE_LAG: Rule = Rule {
    code: "schedule_lag",
    weight: Weight::Doubt,
    detect: schedule_lag,
    hint: "requests went out late, because every connection was busy or the generator was; \
           response time counts that, service time does not: compare the two",
};

const LAG_LIMIT_NS: f64 = 1e6;
/// What the kernel's timers and a scheduling step may cost without being anyone's fault.
const LAG_FLOOR_NS: f64 = 50e3;

fn schedule_lag(document: &Document) -> Option<Seen> {
    if !is_open(document) {
        return None;
    }
    let p99_ns = document.summary.schedule_lag.p99_ns? as f64;
    let p50_ns = document.summary.response_time.p50_ns? as f64;
    let limit_ns = (p50_ns / 10.0).clamp(LAG_FLOOR_NS, LAG_LIMIT_NS);
    Seen::above(p99_ns / 1e6, limit_ns / 1e6, "ms")
}

pub(super) const LITTLES_LAW: Rule = Rule {
    code: "littles_law",
    weight: Weight::Doubt,
    detect: littles_law,
    hint: "rate × mean time in system is not connections × depth: some connections stood idle, \
           were being made anew, or the generator needed long between reply and next request",
};

const LITTLE_PERCENT: f64 = 10.0;
/// So many requests per place in flight, and the two ends of the window no longer matter.
const LITTLE_ROUNDS: f64 = 20.0;

fn littles_law(document: &Document) -> Option<Seen> {
    let (summary, plan) = (&document.summary, &document.plan);
    let places = f64::from(plan.connections) * f64::from(plan.depth);
    let ended = (summary.requests.completed + summary.requests.failed) as f64;
    let window_s = window_s(document);
    if is_open(document) || window_s == 0.0 || ended < places * LITTLE_ROUNDS {
        return None;
    }
    // Who listens to others may have nothing to ask, whatever the depth.
    if plan.routes.iter().any(|route| !route.paced) {
        return None;
    }
    // What is apart has its own mean.
    let apart = document.operations.iter().filter(|row| row.apart);
    let (apart_count, apart_ns) = apart.fold((0.0, 0.0), |(count, ns), row| {
        let of_row = row.count as f64;
        (
            count + of_row,
            ns + of_row * row.response_time.mean_ns.unwrap_or(0.0),
        )
    });
    let usual_ns = match ended - apart_count {
        usual if usual > 0.0 => usual * summary.response_time.mean_ns?,
        _ => 0.0,
    };
    let in_system = (usual_ns + apart_ns) / 1e9 / window_s;
    let connections = &document.connections;
    let churn = connections.lost
        + connections.connect_failures
        + connections.closed_by_target
        + connections.closed_by_us;
    // A connection that is made anew carries nothing meanwhile, and says so in its own counters.
    let low_is_explained = churn > 0 || plan.requests_per_connection.is_some();
    let off_percent = (in_system / places - 1.0) * 100.0;
    let off = off_percent > LITTLE_PERCENT || (off_percent < -LITTLE_PERCENT && !low_is_explained);
    off.then_some(Seen {
        actual: Some(in_system),
        limit: Some(places),
        unit: Some("requests in flight"),
        heavier: None,
    })
}

pub(super) const UNANSWERED: Rule = Rule {
    code: "unanswered",
    weight: Weight::Doubt,
    detect: unanswered,
    hint: "requests were still in flight when the run was over; they count at their age, as lower \
           bounds: give the target longer, or look for replies that never come",
};

fn unanswered(document: &Document) -> Option<Seen> {
    Seen::any(document.totals.unanswered, "requests")
}

pub(super) const UNSENT: Rule = Rule {
    code: "unsent",
    weight: Weight::Doubt,
    detect: unsent,
    hint: "requests were due in the window and never went out, because no connection was free; \
           they count at their age: ask for a lower --rate, or give more --connections",
};

fn unsent(document: &Document) -> Option<Seen> {
    Seen::any(document.summary.requests.unsent, "requests")
}
