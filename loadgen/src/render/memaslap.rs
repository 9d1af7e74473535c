//! The report of memaslap, for the programs that scrape it.
//!
//! Lines, their order and their roundings are memaslap's; the numbers are right: operations count
//! when they are answered, and a miss is a miss in the binary protocol too. Times are of the
//! document's histograms, so `Log2 Dist` is as precise as those (three digits). Nothing here may
//! be made nicer.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use loadgen_core::record::sum_histogram;
use loadgen_core::results::{Document, Operation, decode};

/// What was asked of the run and of the report.
#[derive(Clone, Debug)]
pub struct Memaslap {
    /// The servers, as typed.
    pub servers: String,
    /// Worker threads.
    pub threads: u32,
    /// Connections.
    pub concurrency: u32,
    /// Operations to do; `None`: as many as fit into `duration`.
    pub operations: Option<u64>,
    /// How long to run.
    pub duration: Duration,
    /// Keys in the window of a connection.
    pub window: u64,
    /// The shares of SET and GET.
    pub shares: [f64; 2],
    /// `-S`: the latency blocks.
    pub latency: bool,
    /// `-v`: the share of the values that are compared, and the lines of it.
    pub verify: Option<f64>,
    /// `-e`: the lines of the expiry.
    pub expiry: bool,
}

/// The lines that memaslap prints before a run.
#[must_use]
pub fn memaslap_plan(asked: &Memaslap) -> String {
    let length = match asked.operations {
        Some(operations) => format!("execute number: {operations}"),
        None => format!("run time: {}s", asked.duration.as_secs()),
    };
    let [set, get] = asked.shares;
    format!(
        "servers: {}\nthreads count: {}\nconcurrency: {}\n{length}\nwindows size: {}k\n\
         set proportion: set_prop={set:.2}\nget proportion: get_prop={get:.2}\n",
        asked.servers,
        asked.threads,
        asked.concurrency,
        asked.window / 1024,
    )
}

/// The report behind a run.
#[must_use]
pub fn memaslap(document: &Document, asked: &Memaslap) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, document, asked);
    out
}

/// What the document's rows call reads and writes.
const GETS: [&str; 2] = ["get", "multiget"];
const SETS: [&str; 2] = ["set", "multiset"];

fn write_report(out: &mut String, document: &Document, asked: &Memaslap) -> std::fmt::Result {
    if asked.latency {
        let [mut get, set] = [&GETS, &SETS].map(|ops| micros(document, ops));
        write_times(out, "Get", &get)?;
        write_times(out, "Set", &set)?;
        // Both have the same shape, so nothing is lost.
        let _ = get.add(&set);
        write_times(out, "Total", &get)?;
    }
    let cmd_get = units(document, &GETS, |_| true);
    let cmd_set = units(document, &SETS, |_| true);
    let misses = units(document, &GETS, |row| row.status == "not_found");
    writeln!(
        out,
        "cmd_get: {cmd_get}\ncmd_set: {cmd_set}\nget_misses: {misses}"
    )?;
    let detail = |name: &str| document.protocol_details[name].as_u64().unwrap_or(0);
    if let Some(share) = asked.verify {
        // A miss has no value to compare, and so is not drawn: the share of them is as many.
        writeln!(out, "verify_misses: {:.0}", misses as f64 * share)?;
        writeln!(out, "verify_failed: {}", detail("mismatched"))?;
    }
    if asked.expiry {
        writeln!(out, "expired_get: {}", detail("expired_hits"))?;
        writeln!(out, "unexpired_unget: {}", detail("early_misses"))?;
    }
    let (totals, summary) = (&document.totals, &document.summary);
    writeln!(out, "written_bytes: {}", totals.wire_tx_bytes.unwrap_or(0))?;
    writeln!(out, "read_bytes: {}", totals.wire_rx_bytes.unwrap_or(0))?;
    writeln!(out, "object_bytes: {}", detail("object_tx_bytes"))?;
    let measure = document.phases.iter().find(|p| p.name == "measure");
    let seconds = measure.map_or(0.0, |p| p.duration_ns as f64 / 1e9);
    let wire = summary.wire.tx_bytes.unwrap_or(0) + summary.wire.rx_bytes.unwrap_or(0);
    let net = match seconds > 0.0 {
        true => wire as f64 / 1_048_576.0 / seconds,
        false => 0.0,
    };
    let tps = summary.rate.units_per_s.unwrap_or(0.0);
    writeln!(
        out,
        "\nRun time: {seconds:.1}s Ops: {} TPS: {tps:.0} Net_rate: {net:.1}M/s",
        cmd_get + cmd_set
    )
}

fn units(document: &Document, ops: &[&str], wanted: impl Fn(&Operation) -> bool) -> u64 {
    let rows = document.operations.iter();
    let rows = rows.filter(|row| ops.contains(&row.op.as_str()) && wanted(row));
    rows.map(|row| row.total_units).sum()
}

/// Response times of some ops, of every status, in microseconds.
fn micros(document: &Document, ops: &[&str]) -> Histogram<u64> {
    let mut sum = sum_histogram();
    for blob in &document.histograms {
        let is_one = blob.op.as_deref().is_some_and(|op| ops.contains(&op));
        let Some(nanos) = is_one.then(|| decode(blob).ok()).flatten() else {
            continue;
        };
        for step in nanos.iter_recorded() {
            let value = step.value_iterated_to() / 1000;
            sum.saturating_record_n(value, step.count_since_last_iteration());
        }
    }
    sum
}

fn write_times(out: &mut String, name: &str, times: &Histogram<u64>) -> std::fmt::Result {
    if times.is_empty() {
        return Ok(());
    }
    let events = times.len() as f64;
    let (mut logs, mut slots) = (0.0, [0_u64; 65]);
    for step in times.iter_recorded() {
        let (value, count) = (step.value_iterated_to(), step.count_at_value());
        // Like memaslap's: 0 µs adds nothing.
        logs += (value.max(1) as f64).ln() * count as f64;
        slots[slot(value)] += count;
    }
    writeln!(out, "{name} Statistics ({} events)", times.len())?;
    writeln!(out, "   Min:  {:>8}", times.min())?;
    writeln!(out, "   Max:  {:>8}", times.max())?;
    writeln!(out, "   Avg:  {:>8.0}", times.mean().floor())?;
    writeln!(out, "   Geo:  {:>8.2}", (logs / events).exp())?;
    if times.len() > 1 {
        let sample = (events / (events - 1.0)).sqrt();
        writeln!(out, "   Std:  {:>8.2}", times.stdev() * sample)?;
    }
    write!(out, "   Log2 Dist:")?;
    let last = slots.iter().rposition(|count| *count > 0).unwrap_or(0);
    // Rows of four, from the first that is not empty; memaslap keeps the last whole row too.
    let rows = (0..=last.saturating_sub(4)).step_by(4);
    let first = rows
        .into_iter()
        .find(|i| slots[*i..*i + 4].iter().any(|c| *c > 0));
    for (i, count) in slots
        .iter()
        .enumerate()
        .take(last + 1)
        .skip(first.unwrap_or(0))
    {
        if i.is_multiple_of(4) {
            write!(out, "\n      {i:>2}:")?;
        }
        write!(out, "   {count:>6}")?;
    }
    writeln!(out, "\n")
}

/// The least n with 2^n µs at or above the time.
fn slot(micros: u64) -> usize {
    (u64::BITS - micros.saturating_sub(1).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_ends_at_a_power_of_two() {
        let slots = [0, 1, 2, 3, 4, 5, 64, 65, 128, u64::MAX].map(slot);
        assert_eq!(slots, [0, 0, 1, 2, 2, 3, 6, 7, 7, 64]);
    }

    /// Widths and rows as memaslap 1.1.4 prints them; the sums by hand.
    #[test]
    fn a_block_looks_as_memaslaps() {
        let mut times = sum_histogram();
        for (value, count) in [(17, 3), (100, 5), (611, 2)] {
            times.record_n(value, count).unwrap();
        }
        let mut out = String::new();
        write_times(&mut out, "Set", &times).unwrap();
        let expected = "\
Set Statistics (10 events)
   Min:        17
   Max:       611
   Avg:       177
   Geo:     84.40
   Std:    231.70
   Log2 Dist:
       4:        0        3        0        5
       8:        0        0        2

";
        assert_eq!(out, expected);
        let mut nothing = String::new();
        write_times(&mut nothing, "Set", &sum_histogram()).unwrap();
        assert_eq!(nothing, "");
    }

    #[test]
    fn the_plan_is_said_as_memaslap_says_it() {
        let asked = Memaslap {
            servers: "127.0.0.1:21311".to_owned(),
            threads: 1,
            concurrency: 16,
            operations: Some(10_000),
            duration: Duration::from_secs(600),
            window: 10_240,
            shares: [0.1, 0.9],
            latency: false,
            verify: None,
            expiry: false,
        };
        let lines = "servers: 127.0.0.1:21311\nthreads count: 1\nconcurrency: 16\n\
                     execute number: 10000\nwindows size: 10k\n\
                     set proportion: set_prop=0.10\nget proportion: get_prop=0.90\n";
        assert_eq!(memaslap_plan(&asked), lines);
        let timed = Memaslap {
            operations: None,
            ..asked
        };
        assert!(memaslap_plan(&timed).contains("run time: 600s\n"));
    }
}
