//! From what a run left behind to the document.
//!
//! Counters become rates here, once, over the real length of the window. What is not known stays
//! `None`: a division by nothing must never become a number.

use super::distribution::of_times;
use super::document::*;
use super::outcome::Outcome;
use super::rfc3339::rfc3339;
use super::rows;
use crate::pace::Pacing;
use crate::record::{Aggregate, Counts, ErrorTable};
use crate::stop::Stop;
use crate::time::{Tick, nanos};

/// The document of a finished run, with its findings, requirements and verdict.
#[must_use]
pub fn assemble(mut outcome: Outcome) -> Document {
    let errors = take_errors(&mut outcome);
    let findings = take_findings(&mut outcome);
    let span = Span::of(&outcome);
    let tables = &outcome.tables;
    let mut document = Document {
        schema: SCHEMA.to_owned(),
        run_id: format!("{:016x}-{:x}", outcome.start_unix_ns, std::process::id()),
        status: outcome.status,
        interrupted: outcome.interrupted,
        tool: tool(),
        started_at: rfc3339(outcome.start_unix_ns),
        start_unix_ns: outcome.start_unix_ns,
        labels: outcome.caption.labels.clone(),
        protocol: tables.protocol.to_owned(),
        client: outcome.client.to_owned(),
        loop_: loop_name(outcome.options.pacing).to_owned(),
        command: outcome.caption.command.clone(),
        plan: plan(&outcome),
        phases: span.phases(),
        verdict: Verdict {
            valid: false,
            regime: None,
            exit_code: 0,
        },
        findings,
        requirements: requirements(&outcome.caption.requirements),
        totals: totals(&outcome.sum, outcome.options.stop),
        summary: summary(&outcome, span),
        operations: rows::operations(&outcome.sum, tables),
        errors: rows::errors(errors, tables),
        connections: rows::connections(&outcome.workers),
        targets: rows::targets(&outcome.workers, &outcome.routes),
        hosts: rows::hosts(&outcome.machine),
        workers: rows::workers(&outcome.workers, outcome.sum.workers()),
        intervals: rows::intervals(&outcome.sum, span.begin),
        protocol_details: outcome.protocol_details.clone(),
        histograms: rows::histograms(&outcome.sum, tables),
    };
    super::judge(&mut document);
    document
}

/// The ticks of a run, put in order: one that never came is where the next one is.
#[derive(Clone, Copy, Debug)]
struct Span {
    epoch: Tick,
    begin: Tick,
    end: Tick,
    over: Tick,
}

impl Span {
    fn of(outcome: &Outcome) -> Self {
        let over = outcome.over;
        let end = outcome.window.end.min(over);
        let begin = outcome.window.begin.min(over);
        Self {
            epoch: outcome.window.epoch.min(begin),
            begin,
            end: end.max(begin),
            over,
        }
    }

    fn window_ns(self) -> u64 {
        self.end.since(self.begin)
    }

    fn phases(self) -> Vec<PhaseRow> {
        let rows = [
            ("connect", Tick(0), self.epoch),
            ("warmup", self.epoch, self.begin),
            ("measure", self.begin, self.end),
            ("drain", self.end, self.over),
        ];
        rows.into_iter()
            .filter(|(_, from, to)| to > from)
            .map(|(name, from, to)| PhaseRow {
                name: name.to_owned(),
                start_ns: from.0,
                duration_ns: to.since(from),
            })
            .collect()
    }
}

fn take_errors(outcome: &mut Outcome) -> ErrorTable {
    let mut all = ErrorTable::default();
    for worker in &mut outcome.workers {
        all.merge(std::mem::take(&mut worker.errors));
    }
    all
}

/// What the protocol found: `findings` of its details, with codes of its own name. It needs no
/// line of core, and core judges it like its own.
fn take_findings(outcome: &mut Outcome) -> Vec<Finding> {
    let prefix = format!("{}.", outcome.tables.protocol);
    let details = outcome.protocol_details.as_object_mut();
    let found = details.and_then(|d| d.shift_remove("findings"));
    let found: Option<Vec<Finding>> = found.and_then(|f| serde_json::from_value(f).ok());
    let mut found = found.unwrap_or_default();
    found.retain(|finding| finding.code.starts_with(&prefix));
    found
}

fn tool() -> Tool {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: option_env!("LOADGEN_GIT").map(str::to_owned),
        profile: profile.to_owned(),
    }
}

fn loop_name(pacing: Pacing) -> &'static str {
    match pacing {
        Pacing::Closed => "closed",
        Pacing::Open { .. } => "open",
    }
}

fn requirements(texts: &[String]) -> Vec<Requirement> {
    texts
        .iter()
        .map(|expr| Requirement {
            expr: expr.clone(),
            actual: None,
            ok: false,
        })
        .collect()
}

fn plan(outcome: &Outcome) -> Plan {
    let options = &outcome.options;
    let (rate_per_s, arrival) = match options.pacing {
        Pacing::Closed => (None, None),
        Pacing::Open {
            rate_per_s,
            arrival,
        } => (Some(rate_per_s), Some(arrival.name().to_owned())),
    };
    let (duration_ns, requests) = (options.stop.duration().map(nanos), options.stop.requests());
    let waiting = outcome.workers.iter().map(|w| w.waiting);
    let waiting = waiting.into_iter().find(|w| !w.is_empty());
    let name = outcome.tables.protocol.to_owned();
    Plan {
        workers: u32::try_from(outcome.workers.len()).unwrap_or(u32::MAX),
        cpus: outcome.machine.cpus.clone(),
        allowed_cpus: outcome.machine.allowed_cpus.clone(),
        cpu_quota: outcome.machine.cpu_quota,
        connections: options.connections,
        depth: options.depth,
        rate_per_s,
        arrival,
        dispatch: options.dispatch.name().to_owned(),
        duration_ns,
        requests,
        warmup_ns: nanos(options.warmup),
        timeout_ns: nanos(options.timeout),
        connect_timeout_ns: nanos(options.connect_timeout),
        interval_ns: nanos(options.interval),
        requests_per_connection: outcome.requests_per_connection,
        seed: options.seed,
        driver: outcome.driver.to_owned(),
        waiting: waiting.unwrap_or("never waited").to_owned(),
        bind_ips: strings(&options.sockets.bind_ips),
        source_ports: options.sockets.source_ports.map(|range| range.to_string()),
        routes: outcome
            .routes
            .iter()
            .map(|(route, connections)| RouteRow {
                name: route.name.clone(),
                addresses: strings(&route.endpoints),
                weight: route.weight,
                paced: route.paced,
                connections: *connections,
            })
            .collect(),
        strict: outcome.caption.strict,
        protocol: [(name, outcome.protocol_plan.clone())]
            .into_iter()
            .collect(),
    }
}

fn strings<T: ToString>(of: &[T]) -> Vec<String> {
    of.iter().map(T::to_string).collect()
}

fn totals(sum: &Aggregate, stop: Stop) -> Totals {
    let total = &sum.total;
    let unsent = match stop {
        Stop::After(_) | Stop::Exhausted => total.unsent,
        // The plan is the schedule: what was not sent of it, due or not, was left out.
        Stop::Requests(requests) => requests.saturating_sub(total.sent_paced()),
    };
    Totals {
        sent: total.sent,
        completed: total.completed,
        failed: total.failed,
        unanswered: total.unanswered,
        unsent,
        payload_rx_bytes: (!total.payload_rx_unknown).then_some(total.payload_rx_bytes),
        payload_tx_bytes: Some(total.payload_tx_bytes),
        wire_rx_bytes: Some(total.wire_rx_bytes),
        wire_tx_bytes: Some(total.wire_tx_bytes),
    }
}

fn summary(outcome: &Outcome, span: Span) -> Summary {
    let (sum, window_ns) = (&outcome.sum, span.window_ns());
    let (window, total) = (&sum.window, &sum.total);
    let per_s = |count: u64| ratio(count as f64 * 1e9, window_ns as f64);
    let scaled = |bytes: Option<u64>, unit: f64| bytes.and_then(per_s).map(|rate| rate / unit);
    let payload_rx = (!window.payload_rx_unknown).then_some(window.payload_rx_bytes);
    let payload_tx = Some(window.payload_tx_bytes);
    let (wire_rx, wire_tx) = (Some(window.wire_rx_bytes), Some(window.wire_tx_bytes));
    Summary {
        requests: Requests {
            sent: window.sent,
            completed: window.completed,
            failed: window.failed,
            failed_late: total.failed_late,
            unanswered: total.unanswered_intended,
            unsent: total.unsent_intended,
        },
        rate: Rate {
            offered_per_s: offered_per_s(outcome, window_ns),
            achieved_per_s: per_s(window.completed.saturating_sub(window.completed_unpaced)),
            units_per_s: per_s(window.units.saturating_sub(window.units_unpaced)),
            error_ratio: error_ratio(window),
        },
        payload: Payload {
            rx_bytes: payload_rx,
            tx_bytes: payload_tx,
            rx_mb_per_s: scaled(payload_rx, 1e6),
            rx_mib_per_s: scaled(payload_rx, MIB),
            tx_mb_per_s: scaled(payload_tx, 1e6),
            tx_mib_per_s: scaled(payload_tx, MIB),
        },
        wire: Wire {
            rx_bytes: wire_rx,
            tx_bytes: wire_tx,
            rx_gbit_per_s: scaled(wire_rx, 1e9 / 8.0),
            tx_gbit_per_s: scaled(wire_tx, 1e9 / 8.0),
        },
        response_time: of_times(&sum.response),
        service_time: of_times(sum.service.as_ref().unwrap_or(&sum.response)),
        time_to_first_byte: of_times(&sum.first_byte),
        schedule_lag: of_times(&sum.lag),
        connect_time: of_times(&sum.connect),
        generator_delay: of_times(&sum.delay),
        end_to_end: of_times(&sum.end_to_end),
        efficiency: efficiency(
            outcome,
            window_ns,
            payload_rx.map(|rx| rx + window.payload_tx_bytes),
        ),
    }
}

/// What the schedule released per second. A window by time is as long as the schedule; one by count
/// lasts until the last reply, so that the schedule's own length counts: from its first request to
/// its last.
fn offered_per_s(outcome: &Outcome, window_ns: u64) -> Option<f64> {
    let total = &outcome.sum.total;
    match (outcome.options.pacing, outcome.options.stop) {
        (Pacing::Closed, _) => None,
        (Pacing::Open { .. }, Stop::After(_)) => {
            ratio(total.intended as f64 * 1e9, window_ns as f64)
        }
        (Pacing::Open { .. }, Stop::Requests(_) | Stop::Exhausted) => {
            let (first, last) = total.schedule?;
            let gaps = total.intended.saturating_sub(1);
            ratio(gaps as f64 * 1e9, last.since(first) as f64)
        }
    }
}

/// Of all that ended in the window. Of the replies it is the share of those that are errors or the
/// share of the units that are, whichever is more: neither a batch whose keys were all refused nor
/// a request refused as a whole hides behind the other. A reply without units weighs as one unit.
fn error_ratio(window: &Counts) -> Option<f64> {
    let completed = window.completed as f64;
    let of_replies = ratio(window.error_replies as f64, completed);
    let units = window.units.max(window.completed);
    let of_units = ratio(window.error_units as f64, units as f64);
    let share = of_replies.unwrap_or(0.0).max(of_units.unwrap_or(0.0));
    let failed = window.failed as f64;
    ratio(failed + completed * share, failed + completed)
}

const MIB: f64 = 1_048_576.0;

/// `None` when `of` is nothing.
fn ratio(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of)
}

fn efficiency(outcome: &Outcome, window_ns: u64, payload: Option<u64>) -> Efficiency {
    let busy_ns: Option<Vec<u64>> = outcome.workers.iter().map(rows::busy_ns).collect();
    let Some(busy_ns) = busy_ns.filter(|all| !all.is_empty()) else {
        return Efficiency::default();
    };
    let all_ns = busy_ns.iter().sum::<u64>() as f64;
    let most_ns = busy_ns.iter().copied().max().unwrap_or(0) as f64;
    let completed = outcome.sum.window.completed as f64;
    // Both ways: a run that writes has moved what it sent.
    let moved = payload.filter(|&bytes| bytes > 0).map(|b| b as f64);
    // MB/s over per cent of a CPU: the window's length cancels out.
    let per_percent = moved.and_then(|b| ratio(b / 1e6, all_ns / 1e9 * 100.0));
    Efficiency {
        generator_cpu_us_per_request: ratio(all_ns / 1e3, completed),
        generator_cpu_s_per_gb: moved.and_then(|b| ratio(all_ns / 1e9, b / 1e9)),
        // The CPU clock and ours are read one after the other: a full worker may show 1.0001.
        generator_busy_ratio: ratio(most_ns, window_ns as f64).map(|r| r.min(1.0)),
        payload_mb_per_s_per_cpu_percent: per_percent,
    }
}
