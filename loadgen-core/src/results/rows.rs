//! The arrays of the document: one row per thing.
//!
//! Sums and names only; nothing here may judge.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::distribution::{blob, of_histogram};
use super::document::*;
use super::interval::Interval;
use super::outcome::Machine;
use crate::engine::{ConnectionCounts, WorkerEnd};
use crate::host::cpus::format_list;
use crate::protocol::Tables;
use crate::record::{Aggregate, ErrorTable, IntervalSum, WorkerSum, sum_histogram};
use crate::time::Tick;
use crate::workload::Route;

/// The names of a row: its op, its status, and what that means.
fn names(tables: &Tables, (op, status): (u8, u16)) -> (String, String, String) {
    let op = tables.ops.get(usize::from(op));
    let status = tables.statuses.get(usize::from(status));
    let or_unknown = |name: Option<&str>| name.unwrap_or("unknown").to_owned();
    (
        or_unknown(op.map(AsRef::as_ref)),
        or_unknown(status.map(|s| s.name.as_ref())),
        or_unknown(status.map(|s| s.outcome.name())),
    )
}

pub(super) fn operations(sum: &Aggregate, tables: &Tables) -> Vec<Operation> {
    sum.rows
        .iter()
        .map(|(&key, row)| {
            let (op, status, outcome) = names(tables, key);
            Operation {
                op,
                status,
                outcome,
                count: row.count,
                units: row.units,
                total_count: row.total_count,
                total_units: row.total_units,
                response_time: of_histogram(&row.response, row.clamped),
                apart: row.apart,
            }
        })
        .collect()
}

pub(super) fn errors(table: ErrorTable, tables: &Tables) -> Vec<ErrorRow> {
    table
        .into_rows()
        .into_iter()
        .map(|entry| ErrorRow {
            phase: entry.phase.name().to_owned(),
            cause: entry.cause.name(tables),
            count: entry.count,
            first_at_ns: entry.first_at.0,
            sample: entry.sample,
        })
        .collect()
}

pub(super) fn connections(workers: &[WorkerEnd]) -> Connections {
    let mut counts = ConnectionCounts::default();
    let mut rtt = sum_histogram();
    let (mut retransmits, mut samples) = (0, 0);
    for worker in workers {
        counts.add(&worker.counts);
        for info in &worker.tcp {
            rtt.saturating_record(info.rtt_ns);
            retransmits += info.retransmits;
            samples += 1;
        }
    }
    let first = |of: fn(&WorkerEnd) -> Option<u64>| workers.iter().find_map(of);
    let discarded = || workers.iter().filter_map(|w| w.driver.discarded_in_kernel);
    // One worker that had to copy spoils the figure for all.
    let discard = if discarded().any(|in_kernel| !in_kernel) {
        Some("copy")
    } else {
        discarded().next().map(|_| "kernel")
    };
    Connections {
        opened: counts.opened,
        connect_failures: counts.connect_failures,
        lost: counts.lost,
        closed_by_target: counts.closed_by_target,
        closed_by_us: counts.closed_by_us,
        alive_at_end: counts.alive_at_end,
        retransmits: (samples > 0).then_some(retransmits),
        tcp_info_samples: samples,
        rtt_ns: of_histogram(&rtt, 0),
        receive_buffer_bytes: first(|w| w.buffers.receive),
        send_buffer_bytes: first(|w| w.buffers.send),
        window_clamp_bytes: first(|w| w.buffers.window_clamp),
        discard: discard.map(str::to_owned),
    }
}

/// One row per route and address, those never used too.
pub(super) fn targets(workers: &[WorkerEnd], routes: &[(Route, u32)]) -> Vec<Target> {
    let mut rows: Vec<Target> = Vec::new();
    let mut add = |route: String, address: String, opened, completed, failed| {
        let same = |row: &&mut Target| row.route == route && row.address == address;
        if let Some(row) = rows.iter_mut().find(same) {
            row.opened += opened;
            row.completed += completed;
            row.failed += failed;
        } else {
            rows.push(Target {
                address,
                route,
                opened,
                completed,
                failed,
                server: Value::Null,
            });
        }
    };
    for (route, _) in routes {
        for endpoint in &route.endpoints {
            add(route.name.clone(), endpoint.to_string(), 0, 0, 0);
        }
    }
    for counts in workers.iter().flat_map(|w| &w.endpoints) {
        let route = match routes.get(counts.route) {
            Some((route, _)) => route.name.clone(),
            None => format!("route {}", counts.route),
        };
        let address = counts.endpoint.to_string();
        add(
            route,
            address,
            counts.opened,
            counts.completed,
            counts.failed,
        );
    }
    rows
}

pub(super) fn hosts(machine: &Machine) -> Vec<Host> {
    let provenance = match &machine.provenance {
        Value::Null => json!({}),
        known => known.clone(),
    };
    vec![Host {
        role: "generator".to_owned(),
        name: machine.name.clone(),
        cpu_set: format_list(&machine.allowed_cpus),
        window_ns: machine.cpu_window_ns,
        cpu: machine.cpu.clone(),
        nic: Vec::new(),
        refusals: machine.refusals.clone(),
        provenance,
    }]
}

/// CPU time a worker used in the window, spinning taken out.
pub(super) fn busy_ns(worker: &WorkerEnd) -> Option<u64> {
    let used = worker.cpu_used?;
    Some((used.user_ns + used.system_ns).saturating_sub(worker.spin_ns))
}

pub(super) fn workers(ends: &[WorkerEnd], sums: &[WorkerSum]) -> Vec<WorkerRow> {
    let nothing = WorkerSum::default();
    ends.iter()
        .map(|end| {
            let sum = sums.get(end.worker).unwrap_or(&nothing);
            let rate = Spread::of(&sum.rates_per_s);
            WorkerRow {
                worker: u32::try_from(end.worker).unwrap_or(u32::MAX),
                cpu: end.cpu,
                connections: end.connections,
                completed: sum.completed,
                cpu_user_ns: end.cpu_used.map(|cpu| cpu.user_ns),
                cpu_system_ns: end.cpu_used.map(|cpu| cpu.system_ns),
                spin_ns: end.spin_ns,
                run_queue_wait_ns: end.cpu_used.and_then(|cpu| cpu.run_queue_wait_ns),
                rate_mean_per_s: rate.map(|r| r.mean),
                rate_stddev_per_s: rate.map(|r| r.stddev),
                rate_max_per_s: rate.map(|r| r.max),
                rate_within_stddev_percent: rate.map(|r| r.within_percent),
                gave_up: end.gave_up,
                broken: end.broken.clone(),
            }
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    stddev: f64,
    max: f64,
    within_percent: f64,
}

impl Spread {
    /// The deviation is the population's: these are all the intervals there were.
    fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let stddev = variance.sqrt();
        let within = values.iter().filter(|v| (*v - mean).abs() <= stddev);
        Some(Self {
            mean,
            stddev,
            max: values.iter().copied().fold(0.0, f64::max),
            within_percent: within.count() as f64 * 100.0 / n,
        })
    }
}

pub(super) fn intervals(sum: &Aggregate, begin: Tick) -> Vec<Interval> {
    let rows = sum.intervals.iter();
    rows.map(|row| interval(row, begin)).collect()
}

/// One row of the time series; `begin` is that of the window.
pub(crate) fn interval(interval: &IntervalSum, begin: Tick) -> Interval {
    let counts = &interval.counts;
    Interval {
        t_s: interval.end.since(begin) as f64 / 1e9,
        duration_ns: interval.end.since(interval.start),
        completed: counts.completed,
        failed: counts.failed,
        units: counts.units,
        error_units: counts.error_units,
        payload_rx_bytes: (!counts.payload_rx_unknown).then_some(counts.payload_rx_bytes),
        payload_tx_bytes: counts.payload_tx_bytes,
        censored: interval.censored,
        mean_ns: interval.mean_ns,
        p50_ns: interval.response_ns.map(|r| r[0]),
        p99_ns: interval.response_ns.map(|r| r[1]),
        max_ns: interval.response_ns.map(|r| r[2]),
    }
}

/// Every histogram that is not empty. In a closed loop service time is response time, once.
pub(super) fn histograms(sum: &Aggregate, tables: &Tables) -> Vec<HistogramBlob> {
    let service = sum.service.as_ref();
    let whole: [(&str, Option<&Histogram<u64>>); 12] = [
        ("response_time", Some(&sum.response.answered)),
        ("censored", Some(&sum.response.censored)),
        ("service_time", service.map(|s| &s.answered)),
        ("censored_service_time", service.map(|s| &s.censored)),
        ("time_to_first_byte", Some(&sum.first_byte.answered)),
        (
            "censored_time_to_first_byte",
            Some(&sum.first_byte.censored),
        ),
        ("schedule_lag", Some(&sum.lag.answered)),
        ("censored_schedule_lag", Some(&sum.lag.censored)),
        ("connect_time", Some(&sum.connect.answered)),
        ("censored_connect_time", Some(&sum.connect.censored)),
        ("generator_delay", Some(&sum.delay.answered)),
        ("end_to_end", Some(&sum.end_to_end.answered)),
    ];
    let mut blobs: Vec<HistogramBlob> = whole
        .into_iter()
        .filter_map(|(name, histogram)| blob(name, None, histogram?))
        .collect();
    blobs.extend(sum.rows.iter().filter_map(|(&key, row)| {
        let (op, status, _) = names(tables, key);
        blob("response_time", Some((&op, &status)), &row.response)
    }));
    blobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_rates() {
        let spread = Spread::of(&[10.0, 20.0, 30.0, 40.0]).unwrap();
        assert_eq!((spread.mean, spread.max), (25.0, 40.0));
        assert_eq!(spread.stddev, 125_f64.sqrt());
        assert_eq!(spread.within_percent, 50.0);
        assert_eq!(Spread::of(&[]), None);
    }
}
