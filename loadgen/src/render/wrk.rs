//! The report of wrk and wrk2, for the programs that scrape it.
//!
//! Widths, units and roundings are theirs: times step from us to ms at 850 us, to s at 1 s, to m
//! at 51 s; rates step by 1000, bytes by 1024, both at 0.85 of the next unit. Nothing here may be
//! made nicer.

use std::fmt::Write;

use hdrhistogram::Histogram;
use loadgen_core::record::sum_histogram;
use loadgen_core::results::{Document, WorkerRow, histogram};

/// Which of the two is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WrkDialect {
    /// wrk 4: latency is service time.
    #[default]
    Wrk,
    /// wrk2: latency is response time; calibration lines and the whole spectrum.
    Wrk2,
}

/// What was asked of the report.
#[derive(Clone, Debug, Default)]
pub struct Wrk {
    /// Whose report.
    pub dialect: WrkDialect,
    /// `--latency`: the distribution too.
    pub latency: bool,
    /// wrk2's `-U`: the distribution of service time too.
    pub uncorrected: bool,
    /// The URL of the first line; `None`: the first of the plan.
    pub url: Option<String>,
}

const RULE: &str = "----------------------------------------------------------";

/// The report block, newline at its end.
#[must_use]
pub fn wrk(document: &Document, options: &Wrk) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, document, options);
    out
}

fn write_report(out: &mut String, document: &Document, options: &Wrk) -> std::fmt::Result {
    let plan = &document.plan;
    let measured_ns = measured_ns(document);
    let planned_s = plan.duration_ns.unwrap_or(measured_ns) as f64 / 1e9;
    let url = options.url.clone().unwrap_or_else(|| first_url(document));
    writeln!(out, "Running {} test @ {url}", seconds(planned_s, 0))?;
    let (threads, connections) = (plan.workers, plan.connections);
    writeln!(out, "  {threads} threads and {connections} connections")?;
    let two = options.dialect == WrkDialect::Wrk2;
    let name = if two { "response_time" } else { "service_time" };
    let latency = Micros::of(document, name);
    if two {
        let mean_ms = latency.mean() / 1e3;
        let interval_ms = plan.interval_ns / 1_000_000;
        for _ in 0..threads {
            write!(out, "  Thread calibration: mean lat.: {mean_ms:.3}ms")?;
            writeln!(out, ", rate sampling interval: {interval_ms}ms")?;
        }
    }
    let (avg, stdev, max, within) = ("Avg", "Stdev", "Max", "+/- Stdev");
    writeln!(out, "  Thread Stats{avg:>6}{stdev:>11}{max:>8}{within:>12}")?;
    write_stats(out, "Latency", latency.stats(), micros)?;
    write_stats(out, "Req/Sec", rates(document), metric)?;
    if options.latency && two {
        write_spectrum(out, &latency, "Recorded Latency")?;
        writeln!(out, "{RULE}")?;
    } else if options.latency {
        writeln!(out, "  Latency Distribution")?;
        for percent in [50.0, 75.0, 90.0, 99.0] {
            let value = padded(&micros(latency.at(percent)), 10);
            writeln!(out, "{percent:>7.0}%{value}")?;
        }
    }
    if options.uncorrected && two {
        let about = "Uncorrected Latency (measured without taking delayed starts into account)";
        writeln!(out)?;
        write_spectrum(out, &Micros::of(document, "service_time"), about)?;
        writeln!(out, "{RULE}")?;
    }
    write_totals(out, document, measured_ns)
}

fn write_totals(out: &mut String, document: &Document, measured_ns: u64) -> std::fmt::Result {
    let completed = document.summary.requests.completed;
    let bytes = document.summary.wire.rx_bytes.unwrap_or(0) as f64;
    let runtime = micros(measured_ns as f64 / 1e3);
    let read = binary(bytes);
    writeln!(out, "  {completed} requests in {runtime}, {read}B read")?;
    let errors = socket_errors(document);
    if errors.iter().any(|count| *count > 0) {
        let [connect, read, write, timeout] = errors;
        write!(out, "  Socket errors: connect {connect}, read {read}")?;
        writeln!(out, ", write {write}, timeout {timeout}")?;
    }
    let bad = bad_replies(document);
    if bad > 0 {
        writeln!(out, "  Non-2xx or 3xx responses: {bad}")?;
    }
    let per_s = |amount: f64| {
        if measured_ns == 0 {
            0.0
        } else {
            amount * 1e9 / measured_ns as f64
        }
    };
    writeln!(out, "Requests/sec: {:>9.2}", per_s(completed as f64))?;
    writeln!(out, "Transfer/sec: {:>10}B", binary(per_s(bytes)))
}

fn measured_ns(document: &Document) -> u64 {
    let measure = document.phases.iter().find(|p| p.name == "measure");
    measure.map_or(0, |p| p.duration_ns)
}

/// The first URL of the protocol's plan, or the first route.
fn first_url(document: &Document) -> String {
    let plan = document.plan.protocol.get(&document.protocol);
    let first = plan.and_then(|p| p.get("urls")?.get(0));
    let text = first.and_then(|u| u.as_str().or_else(|| u.get("url")?.as_str()));
    let route = || document.plan.routes.first().map(|r| r.name.clone());
    text.map(str::to_owned).or_else(route).unwrap_or_default()
}

/// wrk's four classes: connect, read, write, timeout.
fn socket_errors(document: &Document) -> [u64; 4] {
    let mut counts = [0; 4];
    for row in &document.errors {
        let class = match (row.phase.as_str(), row.cause.as_str()) {
            ("connect", _) => 0,
            (_, "timeout") => 3,
            ("write", _) => 2,
            _ => 1,
        };
        counts[class] += row.count;
    }
    counts
}

/// Statuses above 399; a status that is no number is bad when its outcome is.
fn bad_replies(document: &Document) -> u64 {
    let rows = document.operations.iter();
    let bad = rows.filter(|row| match row.status.parse::<u16>() {
        Ok(code) => code > 399,
        Err(_) => row.outcome == "error",
    });
    bad.map(|row| row.count).sum()
}

/// Mean, deviation, maximum, per cent within one deviation; `None` in the last: nothing there.
#[derive(Clone, Copy)]
struct Stats {
    mean: f64,
    stdev: f64,
    max: f64,
    within_percent: Option<f64>,
}

fn write_stats(
    out: &mut String,
    name: &str,
    stats: Stats,
    format: fn(f64) -> String,
) -> std::fmt::Result {
    let mean = padded(&format(stats.mean), 8);
    let stdev = padded(&format(stats.stdev), 10);
    let max = padded(&format(stats.max), 9);
    write!(out, "    {name:<10}{mean}{stdev}{max}")?;
    match stats.within_percent {
        Some(percent) => writeln!(out, "{percent:>8.2}%"),
        // What C prints for 0/0, and what scrapers have learnt to expect.
        None => writeln!(out, "{:>8}%", "-nan"),
    }
}

/// Over the intervals of all workers, as far as the rows of the workers tell.
fn rates(document: &Document) -> Stats {
    let window_s = measured_ns(document) as f64 / 1e9;
    let whole = |w: &WorkerRow| w.completed as f64 / window_s.max(f64::MIN_POSITIVE);
    // Mean, deviation, maximum and part within, per worker; without a whole interval the window
    // is one.
    let rows: Vec<[f64; 4]> = document
        .workers
        .iter()
        .map(|w| {
            let mean = w.rate_mean_per_s.unwrap_or_else(|| whole(w));
            let max = w.rate_max_per_s.unwrap_or_else(|| whole(w));
            let within = w.rate_within_stddev_percent.unwrap_or(100.0);
            [mean, w.rate_stddev_per_s.unwrap_or(0.0), max, within]
        })
        .collect();
    let average =
        |of: &dyn Fn(&[f64; 4]) -> f64| rows.iter().map(of).sum::<f64>() / rows.len().max(1) as f64;
    let mean = average(&|row| row[0]);
    let square = average(&|row| row[1].powi(2) + row[0].powi(2));
    Stats {
        mean,
        stdev: (square - mean.powi(2)).max(0.0).sqrt(),
        max: rows.iter().map(|row| row[2]).fold(0.0, f64::max),
        within_percent: (mean > 0.0).then(|| average(&|row| row[3])),
    }
}

/// A histogram of microseconds, as wrk2's. Ours reaches further than its 24 hours, and has the
/// same cells up to there.
struct Micros(Histogram<u64>);

/// The shape of a histogram from 1 us to 24 h with 3 digits, as wrk2 prints it.
const SHAPE: [u32; 2] = [27, 2048];

impl Micros {
    fn of(document: &Document, name: &str) -> Self {
        let mut micros = sum_histogram();
        if let Some(nanos) = histogram(document, name) {
            for step in nanos.iter_recorded() {
                let value = step.value_iterated_to() / 1000;
                micros.saturating_record_n(value, step.count_since_last_iteration());
            }
        }
        Self(micros)
    }

    fn mean(&self) -> f64 {
        if self.0.is_empty() {
            0.0
        } else {
            self.0.mean()
        }
    }

    fn at(&self, percent: f64) -> f64 {
        self.0.value_at_quantile(percent / 100.0) as f64
    }

    /// The lower edge of the last cell, as in the C library's `hdr_max`.
    fn max(&self) -> f64 {
        self.0.lowest_equivalent(self.0.max()) as f64
    }

    fn stats(&self) -> Stats {
        if self.0.is_empty() {
            return Stats {
                mean: 0.0,
                stdev: 0.0,
                max: 0.0,
                within_percent: None,
            };
        }
        let (mean, stdev) = (self.0.mean(), self.0.stdev());
        let near = self.0.iter_recorded().filter(|step| {
            let value = self.0.median_equivalent(step.value_iterated_to()) as f64;
            (value - mean).abs() <= stdev
        });
        let near: u64 = near.map(|step| step.count_at_value()).sum();
        Stats {
            mean,
            stdev,
            max: self.max(),
            within_percent: Some(near as f64 * 100.0 / self.0.len() as f64),
        }
    }
}

fn write_spectrum(out: &mut String, latency: &Micros, about: &str) -> std::fmt::Result {
    let all = &latency.0;
    writeln!(out, "  Latency Distribution (HdrHistogram - {about})")?;
    for percent in [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0] {
        let value = padded(&micros(latency.at(percent)), 10);
        writeln!(out, "{percent:>7.3}%{value}")?;
    }
    writeln!(out, "\n  Detailed Percentile spectrum:")?;
    let (value, percentile, total) = ("Value", "Percentile", "TotalCount");
    let inverse = "1/(1-Percentile)";
    writeln!(
        out,
        "{value:>12} {percentile:>12} {total:>12} {inverse:>12}\n"
    )?;
    let mut seen = 0;
    for step in all.iter_quantiles(5) {
        seen += step.count_since_last_iteration();
        let value_ms = all.highest_equivalent(step.value_iterated_to()) as f64 / 1e3;
        let quantile = step.quantile_iterated_to();
        let inverse = 1.0 / (1.0 - quantile);
        writeln!(
            out,
            "{value_ms:>12.3} {quantile:>12.6} {seen:>12} {inverse:>12.2}"
        )?;
    }
    let (mean, stdev) = (latency.mean() / 1e3, latency.stats().stdev / 1e3);
    writeln!(
        out,
        "#[Mean    = {mean:>12.3}, StdDeviation   = {stdev:>12.3}]"
    )?;
    let (max, count) = (latency.max() / 1e3, all.len());
    writeln!(
        out,
        "#[Max     = {max:>12.3}, Total count    = {count:>12}]"
    )?;
    let [buckets, sub_buckets] = SHAPE;
    writeln!(
        out,
        "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]"
    )
}

/// Right-aligned by the number: the unit stands in the last two places.
fn padded(text: &str, width: usize) -> String {
    let letter = |back: usize| {
        let at = text.len().checked_sub(back);
        at.is_some_and(|at| text.as_bytes()[at].is_ascii_alphabetic())
    };
    let pad = 2 - usize::from(letter(1)) - usize::from(letter(2));
    let width = width - pad;
    format!("{text:>width$.width$}{}", &"  "[..pad])
}

fn scaled(value: f64, base: f64, first: &str, units: &[&str], decimals: usize) -> String {
    let (mut value, mut unit) = (value, first);
    for next in units {
        if value < base * 0.85 {
            break;
        }
        value /= base;
        unit = next;
    }
    format!("{value:.decimals$}{unit}")
}

fn seconds(value: f64, decimals: usize) -> String {
    scaled(value, 60.0, "s", &["m"], decimals)
}

fn micros(value: f64) -> String {
    if value >= 1e6 {
        seconds(value / 1e6, 2)
    } else {
        scaled(value, 1000.0, "us", &["ms"], 2)
    }
}

fn metric(value: f64) -> String {
    scaled(value, 1000.0, "", &["k", "M", "G", "T"], 2)
}

fn binary(value: f64) -> String {
    scaled(value, 1024.0, "", &["K", "M", "G", "T"], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_step_where_wrks_do() {
        assert_eq!(micros(0.0), "0.00us");
        assert_eq!(micros(849.0), "849.00us");
        assert_eq!(micros(850.0), "0.85ms");
        assert_eq!(micros(999_999.0), "1000.00ms");
        assert_eq!(micros(1e6), "1.00s");
        assert_eq!(micros(50_990_000.0), "50.99s");
        assert_eq!(micros(51e6), "0.85m");
        assert_eq!(micros(180e6), "3.00m");
        assert_eq!(seconds(10.0, 0), "10s");
        assert_eq!(seconds(100.0, 0), "2m");
        assert_eq!(metric(46.19), "46.19");
        assert_eq!(metric(850.0), "0.85k");
        assert_eq!(metric(6010.0), "6.01k");
        assert_eq!(binary(110_838.0), "108.24K");
        assert_eq!(binary(0.0), "0.00");
    }

    #[test]
    fn the_shape_is_that_of_a_histogram_of_a_day() {
        let day_us = 24 * 3600 * 1_000_000;
        let made = Histogram::<u64>::new_with_bounds(1, day_us, 3).unwrap();
        assert_eq!(u32::from(made.buckets()), SHAPE[0]);
    }

    /// Rows as wrk 4.1 and wrk2 print them.
    #[test]
    fn rows_are_wrks_byte_for_byte() {
        let row = |name, [mean, stdev, max]: [f64; 3], within_percent, format| {
            let mut out = String::new();
            let stats = Stats {
                mean,
                stdev,
                max,
                within_percent,
            };
            write_stats(&mut out, name, stats, format).unwrap();
            out
        };
        let latency = [42_460.0, 8_000.0, 47_990.0];
        assert_eq!(
            row("Latency", latency, Some(95.88), micros),
            "    Latency    42.46ms    8.00ms  47.99ms   95.88%\n"
        );
        assert_eq!(
            row("Req/Sec", [46.19, 8.65, 60.0], Some(76.19), metric),
            "    Req/Sec    46.19      8.65    60.00     76.19%\n"
        );
        assert_eq!(
            row("Req/Sec", [6010.0, 26.18, 6130.0], Some(87.06), metric),
            "    Req/Sec     6.01k    26.18     6.13k    87.06%\n"
        );
        assert_eq!(
            row("Latency", [19.86e6, 5.69e6, 29.66e6], Some(57.32), micros),
            "    Latency    19.86s     5.69s   29.66s    57.32%\n"
        );
        assert_eq!(
            row("Latency", [0.0; 3], None, micros),
            "    Latency     0.00us    0.00us   0.00us    -nan%\n"
        );
        assert_eq!(
            row("Req/Sec", [0.0; 3], None, metric),
            "    Req/Sec     0.00      0.00     0.00      -nan%\n"
        );
    }
}
