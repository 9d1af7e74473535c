//! The generator itself was in the way.
//!
//! Detectors only: nothing here may decide what a finding does to the verdict.

use super::{Rule, Seen, is_open, window_s};
use crate::results::document::{Document, Weight};

pub(super) const GENERATOR_LIMIT: Rule = Rule {
    code: "generator_limit",
    weight: Weight::Invalid,
    detect: limit,
    hint: "the generator ran out of file descriptors or local ports, so the load is not the plan's: \
           raise `ulimit -n` or net.ipv4.ip_local_port_range, or add --bind-ip addresses",
};

fn limit(document: &Document) -> Option<Seen> {
    let rows = document.errors.iter().filter(|row| is_own(&row.cause));
    Seen::any(rows.map(|row| row.count).sum(), "failures")
}

/// Whether a cause is a limit of the generator's own machine.
pub(super) fn is_own(cause: &str) -> bool {
    matches!(cause, "fd_limit" | "no_local_port")
}

pub(super) const GENERATOR_CPU_BOUND: Rule = Rule {
    code: "generator_cpu_bound",
    weight: Weight::Doubt,
    detect: cpu_bound,
    hint: "the busiest worker had no CPU time left: the rate is the generator's limit, not the \
           target's; give it more --workers and CPUs, or ask for less",
};

/// From here on a worker counts as full: what is left are wake-ups too short to work in.
pub(in crate::results) const BUSY_LIMIT: f64 = 0.95;

fn cpu_bound(document: &Document) -> Option<Seen> {
    let busy = document.summary.efficiency.generator_busy_ratio?;
    (busy >= BUSY_LIMIT).then(|| Seen {
        actual: Some(busy),
        limit: Some(BUSY_LIMIT),
        unit: Some("ratio"),
        // A closed loop that saturates is what it says; a schedule that cannot be kept is not.
        heavier: is_open(document).then_some(Weight::Invalid),
    })
}

pub(super) const GENERATOR_DELAY: Rule = Rule {
    code: "generator_delay",
    weight: Weight::Doubt,
    detect: delay,
    hint: "replies waited in the generator before they were read, so a good part of the service \
           time is ours: fewer connections per worker, or more workers",
};

fn delay(document: &Document) -> Option<Seen> {
    let p99_ns = document.summary.generator_delay.p99_ns?;
    let p50_ns = document.summary.service_time.p50_ns?;
    Seen::above(p99_ns as f64 / 1e6, p50_ns as f64 / 4e6, "ms")
}

pub(super) const RUN_QUEUE_WAIT: Rule = Rule {
    code: "run_queue_wait",
    weight: Weight::Doubt,
    detect: run_queue,
    hint: "a worker was ready to run and another thread had its CPU for so long that the 99th \
           percentile may be ours: keep other work off its CPU (--cpus), or check the CPU quota",
};

/// 1 % of the window is enough to be the whole 99th percentile.
const RUN_QUEUE_PERCENT: f64 = 1.0;

fn run_queue(document: &Document) -> Option<Seen> {
    let waits = document.workers.iter().filter_map(|w| w.run_queue_wait_ns);
    let longest_s = waits.max()? as f64 / 1e9;
    let window_s = window_s(document);
    if window_s == 0.0 {
        return None;
    }
    Seen::above(longest_s / window_s * 100.0, RUN_QUEUE_PERCENT, "%")
}

pub(super) const MORE_WORKERS_THAN_CPUS: Rule = Rule {
    code: "more_workers_than_cpus",
    weight: Weight::Doubt,
    detect: more_workers,
    hint: "workers share CPUs and delay each other: use at most one worker per CPU this process \
           may use",
};

fn more_workers(document: &Document) -> Option<Seen> {
    let plan = &document.plan;
    if plan.allowed_cpus.is_empty() {
        return None;
    }
    let allowed = plan.allowed_cpus.len() as f64;
    // A part of a CPU can be used by one worker, as by default it is.
    let quota = plan.cpu_quota.map(|quota| quota.ceil().max(1.0));
    let limit = quota.map_or(allowed, |quota| quota.min(allowed));
    Seen::above(f64::from(plan.workers), limit, "workers")
}

pub(super) const NOT_PINNED: Rule = Rule {
    code: "not_pinned",
    weight: Weight::Note,
    detect: not_pinned,
    hint: "workers were not pinned to CPUs, so the scheduler may move them in mid-run; refusals \
           are listed under hosts",
};

fn not_pinned(document: &Document) -> Option<Seen> {
    let free = document.workers.iter().filter(|w| w.cpu.is_none()).count();
    Seen::any(free as u64, "workers")
}

pub(super) const DISCARD_COPIED: Rule = Rule {
    code: "discard_copied",
    weight: Weight::Note,
    detect: discard_copied,
    hint: "the kernel copied bodies that were to be discarded (unix sockets and sockmap do), so \
           efficiency is lower than it would be over plain TCP",
};

fn discard_copied(document: &Document) -> Option<Seen> {
    (document.connections.discard.as_deref() == Some("copy")).then(Seen::default)
}
