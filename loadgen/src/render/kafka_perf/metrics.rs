//! `--print-metrics`: our numbers under the names of the Java client's metrics.
//!
//! Only what is the same there and here has a line: a name that promises another number is left out.

use std::fmt::Write;

use loadgen_core::results::Document;

use super::super::java::fixed;
use super::{KafkaProducerPerf, times_of, units, window};

/// A name and a value; `None`: nobody knows.
pub(super) type Metric = (String, Option<f64>);

/// What both clients have. Rates are of the measured window, totals of the whole run.
fn common(document: &Document, group: &str, tags: &str) -> Vec<Metric> {
    let (totals, connections) = (&document.totals, &document.connections);
    let (start_ns, end_ns) = window(document);
    let seconds = (end_ns - start_ns) as f64 / 1e9;
    let per_s = |count: Option<u64>| count.filter(|_| seconds > 0.0).map(|n| n as f64 / seconds);
    let whole = |count: u64| Some(count as f64);
    let wire = &document.summary.wire;
    let requests = &document.summary.requests;
    let closed = connections.lost + connections.closed_by_target + connections.closed_by_us;
    [
        ("connection-close-total", whole(closed)),
        ("connection-count", whole(connections.alive_at_end)),
        ("connection-creation-total", whole(connections.opened)),
        ("incoming-byte-rate", per_s(wire.rx_bytes)),
        (
            "incoming-byte-total",
            totals.wire_rx_bytes.map(|n| n as f64),
        ),
        ("outgoing-byte-rate", per_s(wire.tx_bytes)),
        (
            "outgoing-byte-total",
            totals.wire_tx_bytes.map(|n| n as f64),
        ),
        ("request-rate", per_s(Some(requests.sent))),
        ("request-total", whole(totals.sent)),
        ("response-rate", per_s(Some(requests.completed))),
        ("response-total", whole(totals.completed)),
    ]
    .map(|(name, value)| (format!("{group}:{name}:{tags}"), value))
    .into()
}

pub(super) fn consumer_metrics(document: &Document, client_id: &str) -> Vec<Metric> {
    let tags = format!("{{client-id={client_id}}}");
    let mut all = common(document, "consumer-metrics", &tags);
    // Java's are all fetches, those that waited at the end of a log too: here an op of their own.
    let fetched = |op: &str| matches!(op, "fetch" | "wait");
    let rows = document.operations.iter().filter(|row| fetched(&row.op));
    let fetches: u64 = rows.map(|row| row.total_count).sum();
    let times = times_of(document, |row| fetched(&row.op));
    let times = times.as_ref();
    let records = units(document, "ok");
    let ours = [
        ("fetch-latency-avg", times.map(|t| t.mean() / 1e6)),
        ("fetch-latency-max", times.map(|t| t.max() as f64 / 1e6)),
        ("fetch-total", Some(fetches as f64)),
        ("records-consumed-rate", document.summary.rate.units_per_s),
        ("records-consumed-total", Some(records as f64)),
        (
            "records-per-request-avg",
            (fetches > 0).then(|| records as f64 / fetches as f64),
        ),
    ];
    let group = "consumer-fetch-manager-metrics";
    all.extend(ours.map(|(name, value)| (format!("{group}:{name}:{tags}"), value)));
    all
}

pub(super) fn producer_metrics(document: &Document, asked: &KafkaProducerPerf) -> Vec<Metric> {
    let tags = format!("{{client-id={}}}", asked.client_id);
    let mut all = common(document, "producer-metrics", &tags);
    let times = &document.summary.service_time;
    let rows = document.operations.iter();
    let refused = rows
        .filter(|row| row.outcome == "error")
        .map(|row| row.total_units);
    let records = (units(document, "ok") + units(document, "unacked")) as f64;
    let requests = document.totals.completed as f64;
    let rate = document.summary.rate.units_per_s;
    let ours = [
        ("record-error-total", Some(refused.sum::<u64>() as f64)),
        ("record-send-rate", rate),
        ("record-send-total", Some(records)),
        (
            "records-per-request-avg",
            (requests > 0.0).then(|| records / requests),
        ),
        ("request-latency-avg", times.mean_ns.map(|ns| ns / 1e6)),
        (
            "request-latency-max",
            times.max_ns.map(|ns| ns as f64 / 1e6),
        ),
    ];
    all.extend(ours.map(|(name, value)| (format!("producer-metrics:{name}:{tags}"), value)));
    let tags = format!("{{client-id={}, topic={}}}", asked.client_id, asked.topic);
    let ours = [
        ("record-send-rate", rate),
        ("record-send-total", Some(records)),
    ];
    all.extend(ours.map(|(name, value)| (format!("producer-topic-metrics:{name}:{tags}"), value)));
    all
}

/// `ToolsUtils.printMetrics`: in order of their names, values in one column; `NaN` is unknown there
/// too.
pub(super) fn table(mut metrics: Vec<Metric>) -> String {
    metrics.sort_by(|(one, _), (other, _)| one.cmp(other));
    let width = metrics
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let mut out = format!("\n{:<width$}   Value\n", "Metric Name");
    for (name, value) in metrics {
        let value = fixed(value.unwrap_or(f64::NAN), 3);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<width$} : {value}");
    }
    out
}
