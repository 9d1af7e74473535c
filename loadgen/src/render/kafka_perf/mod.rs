//! The reports of kafka-consumer-perf-test and kafka-producer-perf-test, for the programs that
//! scrape them.
//!
//! Columns, units and roundings are the tools': MB is 2^20 bytes of keys and values, times are
//! milliseconds. The numbers are right where theirs are not: no group is joined, so
//! `rebalance.time.ms` is 0, and no latency is sampled. Nothing here may be made nicer.

mod metrics;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use loadgen_core::results::{Document, Interval, Operation, row_histogram};

use super::java::{JavaDate, fixed};
use metrics::{consumer_metrics, producer_metrics, table};

/// How a version of the tool calls what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaWords {
    /// Up to 4.1.
    Messages,
    /// Since 4.2 (KIP-1147).
    Records,
}

/// What was asked of the consumer's report.
#[derive(Clone, Debug)]
pub struct KafkaConsumerPerf {
    /// What is read is called so.
    pub words: KafkaWords,
    /// A line each interval and none at the end.
    pub detailed: bool,
    /// No header.
    pub hide_header: bool,
    /// Metrics at the end.
    pub metrics: bool,
    /// How times are written.
    pub date: JavaDate,
    /// The clock they are read from.
    pub zone: TimeZone,
    /// How many records were asked for.
    pub records: u64,
    /// The longest time without one.
    pub idle: Duration,
    /// The run ended because nothing came for so long.
    pub silent: bool,
    /// `client.id`, which metrics are tagged with.
    pub client_id: String,
}

/// What was asked of the producer's report.
#[derive(Clone, Debug)]
pub struct KafkaProducerPerf {
    /// Bytes of a value: all have it.
    pub value_bytes: u32,
    /// Metrics at the end.
    pub metrics: bool,
    /// `client.id`, which metrics are tagged with.
    pub client_id: String,
    /// The topic, likewise.
    pub topic: String,
}

const MIB: f64 = 1_048_576.0;

/// The header of the consumer, in front of a run.
#[must_use]
pub fn kafka_consumer_header(asked: &KafkaConsumerPerf) -> String {
    if asked.hide_header {
        return String::new();
    }
    let first = if asked.detailed {
        "time, threadId"
    } else {
        "start.time, end.time"
    };
    format!(
        "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
         fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n"
    )
}

/// An interval of the report: as many of the run's intervals as it takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaWindow {
    begin_ns: u64,
    end_ns: u64,
    units: u64,
    rx_bytes: u64,
    completed: u64,
    total_ns: f64,
    max_ns: u64,
}

impl KafkaWindow {
    fn span_ms(&self) -> u64 {
        ms(self.end_ns) - ms(self.begin_ns)
    }
}

/// Puts the intervals of a run together to those of the report. Like the tools it ends one only when
/// something came in it, and leaves the last one out unless it is whole.
#[derive(Clone, Debug)]
pub struct KafkaWindows {
    length: Duration,
    open: KafkaWindow,
    units: u64,
    rx_bytes: u64,
}

impl KafkaWindows {
    /// For a report every `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            open: KafkaWindow::default(),
            units: 0,
            rx_bytes: 0,
        }
    }

    /// Adds the next interval of the run; a window of the report when one is whole.
    pub fn push(&mut self, row: &Interval) -> Option<KafkaWindow> {
        let open = &mut self.open;
        open.end_ns = (row.t_s * 1e9).round() as u64;
        // The tools count what came or was taken; what was refused is neither.
        open.units += row.units.saturating_sub(row.error_units);
        open.rx_bytes += row.payload_rx_bytes.unwrap_or(0);
        open.completed += row.completed;
        open.total_ns += row.mean_ns.unwrap_or(0.0) * row.completed as f64;
        open.max_ns = open.max_ns.max(row.max_ns.unwrap_or(0));
        // A nanosecond may be lost where seconds are written as a double.
        let span = Duration::from_nanos(open.end_ns - open.begin_ns + 1);
        if span < self.length || open.units == 0 {
            return None;
        }
        self.units += open.units;
        self.rx_bytes += open.rx_bytes;
        let next = KafkaWindow {
            begin_ns: open.end_ns,
            ..KafkaWindow::default()
        };
        Some(std::mem::replace(open, next))
    }

    /// `--show-detailed-stats`: the line of the window that was the last to come out of
    /// [`KafkaWindows::push`]. `begin_unix_ns`: when the measured window began.
    #[must_use]
    pub fn consumer_line(
        &self,
        window: &KafkaWindow,
        begin_unix_ns: u64,
        asked: &KafkaConsumerPerf,
    ) -> String {
        let time = asked
            .date
            .format(unix_ms(begin_unix_ns + window.end_ns), &asked.zone);
        let elapsed_ms = window.span_ms();
        let (mib, all_mib) = (window.rx_bytes as f64 / MIB, self.rx_bytes as f64 / MIB);
        let per_s = |amount: f64| 1000.0 * amount / elapsed_ms as f64;
        let [mib_per_s, records_per_s] = [mib, window.units as f64].map(|a| fixed(per_s(a), 4));
        format!(
            "{time}, 0, {}, {mib_per_s}, {}, {records_per_s}, 0, {elapsed_ms}, {mib_per_s}, \
             {records_per_s}\n",
            fixed(all_mib, 4),
            self.units
        )
    }
}

/// The line of the producer for a window.
#[must_use]
pub fn kafka_producer_line(window: &KafkaWindow, asked: &KafkaProducerPerf) -> String {
    let elapsed_ms = window.span_ms() as f64;
    let records = window.units as f64;
    let mib = records * f64::from(asked.value_bytes) / MIB;
    format!(
        "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.\n",
        window.units,
        fixed(1000.0 * records / elapsed_ms, 1),
        fixed(1000.0 * mib / elapsed_ms, 2),
        fixed(window.total_ns / 1e6 / window.completed as f64, 1),
        fixed(window.max_ns as f64 / 1e6, 1),
    )
}

/// What follows a run of the consumer.
#[must_use]
pub fn kafka_consumer_end(document: &Document, asked: &KafkaConsumerPerf) -> String {
    let mut out = String::new();
    let records = units(document, "ok");
    if asked.silent && records < asked.records {
        let words = match asked.words {
            KafkaWords::Messages => "messages",
            KafkaWords::Records => "records",
        };
        out.push_str(&format!(
            "WARNING: Exiting before consuming the expected number of {words}: timeout ({} ms) \
             exceeded. You can use the --timeout option to increase the timeout.\n",
            asked.idle.as_millis()
        ));
    }
    if !asked.detailed {
        out.push_str(&consumer_total(document, asked, records));
    }
    if asked.metrics {
        out.push_str(&table(consumer_metrics(document, &asked.client_id)));
    }
    out
}

fn consumer_total(document: &Document, asked: &KafkaConsumerPerf, records: u64) -> String {
    let (start_ns, end_ns) = window(document);
    let [start, end] = [start_ns, end_ns].map(|ns| asked.date.format(unix_ms(ns), &asked.zone));
    let mib = document.totals.payload_rx_bytes.unwrap_or(0) as f64 / MIB;
    let elapsed_ms = ms(end_ns) - ms(start_ns);
    let per_s = |amount: f64| fixed(amount / (elapsed_ms as f64 / 1000.0), 4);
    let [mib_per_s, records_per_s] = [mib, records as f64].map(per_s);
    format!(
        "{start}, {end}, {}, {mib_per_s}, {records}, {records_per_s}, 0, {elapsed_ms}, {mib_per_s}, \
         {records_per_s}\n",
        fixed(mib, 4)
    )
}

/// What follows a run of the producer.
#[must_use]
pub fn kafka_producer_end(document: &Document, asked: &KafkaProducerPerf) -> String {
    let (start_ns, end_ns) = window(document);
    let elapsed_ms = (ms(end_ns) - ms(start_ns)) as f64;
    // Without acknowledgements the tool counts what it handed to the socket.
    let records = units(document, "ok") + units(document, "unacked");
    let mib = records as f64 * f64::from(asked.value_bytes) / MIB;
    let times = times_of(document, |row| {
        matches!(row.status.as_str(), "ok" | "unacked")
    });
    let mut out = format!(
        "{records} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency",
        fixed(1000.0 * records as f64 / elapsed_ms, 6),
        fixed(1000.0 * mib / elapsed_ms, 2),
        fixed(
            times
                .as_ref()
                .filter(|t| !t.is_empty())
                .map_or(f64::NAN, |t| t.mean() / 1e6),
            2
        ),
        fixed(times.as_ref().map_or(0.0, |t| t.max() as f64 / 1e6), 2),
    );
    for (percent, name) in [
        (50.0, "50th"),
        (95.0, "95th"),
        (99.0, "99th"),
        (99.9, "99.9th"),
    ] {
        let at = |times: &Histogram<u64>| times.value_at_percentile(percent) as f64 / 1e6;
        let whole_ms = fixed(times.as_ref().map_or(0.0, at), 0);
        // Writing to a string cannot fail.
        let _ = write!(out, ", {whole_ms} ms {name}");
    }
    out.push_str(".\n");
    if asked.metrics {
        out.push_str(&table(producer_metrics(document, asked)));
    }
    out
}

/// Begin and end of the measured window, nanoseconds since 1970.
fn window(document: &Document) -> (u64, u64) {
    let measure = document.phases.iter().find(|phase| phase.name == "measure");
    let (start, length) = measure.map_or((0, 0), |phase| (phase.start_ns, phase.duration_ns));
    let begin = document.start_unix_ns + start;
    (begin, begin + length)
}

/// Records of the whole run in replies of a status.
fn units(document: &Document, status: &str) -> u64 {
    let rows = document
        .operations
        .iter()
        .filter(|row| row.status == status);
    rows.map(|row| row.total_units).sum()
}

/// Response times of the replies of some rows: those of refusals are no latency of a record.
fn times_of(document: &Document, of: impl Fn(&Operation) -> bool) -> Option<Histogram<u64>> {
    let rows = document.operations.iter().filter(|row| of(row));
    let mut all: Option<Histogram<u64>> = None;
    for times in rows.filter_map(|row| row_histogram(document, &row.op, &row.status)) {
        match &mut all {
            // One range and precision: they always fit.
            Some(all) => all.add(times).ok()?,
            None => all = Some(times),
        }
    }
    all
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

fn unix_ms(ns: u64) -> i64 {
    i64::try_from(ms(ns)).unwrap_or(i64::MAX)
}
