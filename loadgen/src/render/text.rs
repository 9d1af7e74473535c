//! The report for people: one screen, aligned, the numbers that matter first.
//!
//! Must never say more than the document does: a lower bound carries its "≥", the unknown is "–".

use std::fmt::Write;

use anstyle::{AnsiColor, Style as Paint};
use loadgen_core::results::require::parse;
use loadgen_core::results::{Document, Finding, Latency, RunStatus, Weight, histogram};

use super::Style;
use super::units::{count, cut, digits, number, right, time};

/// Rows of each table at most: the report is one screen, the document has the rest.
const ROWS: usize = 4;
/// Findings, the heaviest, that are explained; the others are named.
const HINTS: usize = 3;
const WIDTH: usize = 100;

/// The report of `document`.
#[must_use]
pub fn text(document: &Document, style: &Style) -> String {
    let mut report = Report {
        out: String::new(),
        document,
        style,
    };
    // Writing to a string cannot fail.
    let _ = report.write();
    report.out
}

struct Report<'a> {
    out: String,
    document: &'a Document,
    style: &'a Style,
}

impl Report<'_> {
    fn write(&mut self) -> std::fmt::Result {
        self.title()?;
        self.rates()?;
        self.latency()?;
        self.operations()?;
        self.connections()?;
        self.efficiency()?;
        self.errors()?;
        self.findings()?;
        self.requirements()?;
        self.verdict()
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.style.color {
            format!("{paint}{text}{paint:#}")
        } else {
            text.to_owned()
        }
    }

    fn head(&self, text: &str) -> String {
        self.paint(Paint::new().bold(), text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint(Paint::new().dimmed(), text)
    }

    fn title(&mut self) -> std::fmt::Result {
        let d = self.document;
        let plan = &d.plan;
        let routes: Vec<&str> = plan.routes.iter().map(|r| r.name.as_str()).collect();
        let protocol = self.head(&d.protocol);
        let to = self.head(&cut(&routes.join(" "), WIDTH - 20));
        writeln!(self.out, "{protocol} → {to}")?;
        let mut parts = vec![
            match plan.rate_per_s {
                Some(rate) => {
                    let arrival = plan.arrival.as_deref().unwrap_or("fixed");
                    format!("open loop at {}/s, {arrival}", number(rate))
                }
                None => "closed loop".to_owned(),
            },
            plural(u64::from(plan.connections), "connection"),
            format!("depth {}", plan.depth),
            plural(u64::from(plan.workers), "worker"),
        ];
        if d.client != "native" {
            parts.push(format!("client {}", d.client));
        }
        let length = |name: &str| {
            let phase = d.phases.iter().find(|p| p.name == name)?;
            Some(time(phase.duration_ns as f64))
        };
        if let Some(warmup) = length("warmup") {
            parts.push(format!("{warmup} warm-up"));
        }
        parts.push(match length("measure") {
            Some(measured) => format!("{measured} measured"),
            None => "nothing measured".to_owned(),
        });
        let line = self.dim(&parts.join(" · "));
        writeln!(self.out, "  {line}\n")
    }

    fn rates(&mut self) -> std::fmt::Result {
        let s = &self.document.summary;
        let rate = known(s.rate.achieved_per_s, number);
        let rate = self.head(&right(&rate, 9));
        write!(self.out, "  requests {rate}/s")?;
        if let Some(offered) = s.rate.offered_per_s {
            write!(self.out, " of {}/s offered", number(offered))?;
        }
        let (completed, failed) = (count(s.requests.completed), count(s.requests.failed));
        write!(self.out, "   {completed} completed, {failed} failed")?;
        for (n, what) in [
            (s.requests.unanswered, "unanswered"),
            (s.requests.unsent, "unsent"),
        ] {
            if n > 0 {
                write!(self.out, ", {} {what}", count(n))?;
            }
        }
        writeln!(self.out)?;
        if s.rate.units_per_s != s.rate.achieved_per_s {
            let units = right(&known(s.rate.units_per_s, number), 9);
            writeln!(self.out, "  units    {units}/s")?;
        }
        let (p, w) = (&s.payload, &s.wire);
        let rows = [
            ("received", p.rx_mb_per_s, p.rx_mib_per_s, w.rx_gbit_per_s),
            ("sent    ", p.tx_mb_per_s, p.tx_mib_per_s, w.tx_gbit_per_s),
        ];
        for (name, mb, mib, gbit) in rows {
            let mb = right(&known(mb, digits), 9);
            let (mib, wire) = (known(mib, digits), known(gbit, bits));
            write!(self.out, "  {name} {mb} MB/s = {mib} MiB/s payload")?;
            writeln!(self.out, ", {wire} on the wire")?;
        }
        writeln!(self.out)
    }

    fn latency(&mut self) -> std::fmt::Result {
        let s = &self.document.summary;
        let mut line = format!("  {:<20}", "latency");
        for percent in &self.style.percentiles {
            line += &right(&format!("p{percent}"), 11);
        }
        line += &right("max", 11);
        line += "   mean ± stddev";
        let line = self.head(&line);
        writeln!(self.out, "{line}")?;
        let open = self.document.loop_ == "open";
        let service = if open {
            "service time"
        } else {
            "response = service"
        };
        let rows = [
            ("response time", "response_time", &s.response_time, open),
            (service, "service_time", &s.service_time, true),
            (
                "time to first byte",
                "time_to_first_byte",
                &s.time_to_first_byte,
                true,
            ),
            ("schedule lag", "schedule_lag", &s.schedule_lag, open),
            (
                "generator delay",
                "generator_delay",
                &s.generator_delay,
                true,
            ),
            ("connect time", "connect_time", &s.connect_time, true),
            (
                "end to end",
                "end_to_end",
                &s.end_to_end,
                s.end_to_end.count > 0,
            ),
        ];
        let mut open_ends = false;
        for (title, name, latency, shown) in rows {
            if shown {
                self.latency_row(title, name, latency)?;
                open_ends |= latency.censored > 0;
            }
        }
        if open_ends {
            let censored = s.response_time.censored;
            let line = format!(
                "≥: a lower bound; what did not come ({} without a reply) counts at its age",
                plural(censored, "request")
            );
            let line = self.dim(&line);
            writeln!(self.out, "  {line}")?;
        }
        writeln!(self.out)
    }

    fn latency_row(&mut self, title: &str, name: &str, latency: &Latency) -> std::fmt::Result {
        write!(self.out, "  {title:<20}")?;
        for percent in &self.style.percentiles {
            let value = percentile(self.document, name, latency, *percent);
            let cell = right(&bounded(latency, value), 11);
            write!(self.out, "{cell}")?;
        }
        let max = right(&bounded(latency, latency.max_ns), 11);
        let mean = known(latency.mean_ns, time);
        if latency.censored > 0 {
            // Over open ends the mean is a lower bound, and the deviation is anything.
            return writeln!(self.out, "{max}   ≥{mean}");
        }
        let stddev = known(latency.stddev_ns, time);
        writeln!(self.out, "{max}   {mean} ± {stddev}")
    }

    fn operations(&mut self) -> std::fmt::Result {
        let rows = &self.document.operations;
        if rows.len() < 2 && rows.iter().all(|row| row.outcome == "ok") {
            return Ok(());
        }
        let line = self.head(&format!(
            "  {:<32}{:>12}{:>11}{:>11}",
            "replies", "count", "p50", "p99"
        ));
        writeln!(self.out, "{line}")?;
        for row in rows.iter().take(ROWS) {
            let name = cut(&format!("{} {} ({})", row.op, row.status, row.outcome), 31);
            let total = count(row.count);
            let p50 = right(&known_ns(row.response_time.p50_ns), 11);
            let p99 = right(&known_ns(row.response_time.p99_ns), 11);
            writeln!(self.out, "  {name:<32}{total:>12}{p50}{p99}")?;
        }
        self.more(rows.len())?;
        writeln!(self.out)
    }

    fn connections(&mut self) -> std::fmt::Result {
        let c = &self.document.connections;
        let mut parts = vec![format!("{} opened", count(c.opened))];
        let counts = [
            (c.connect_failures, "failed"),
            (c.lost, "lost"),
            (c.closed_by_target, "closed by target"),
            (c.closed_by_us, "closed by us"),
        ];
        for (n, what) in counts {
            if n > 0 {
                parts.push(format!("{} {what}", count(n)));
            }
        }
        if let Some(retransmits) = c.retransmits {
            parts.push(plural(retransmits, "retransmit"));
        }
        if let Some(rtt) = c.rtt_ns.p50_ns {
            parts.push(format!("RTT {}", time(rtt as f64)));
        }
        writeln!(self.out, "  connections  {}", parts.join(", "))
    }

    fn efficiency(&mut self) -> std::fmt::Result {
        let e = &self.document.summary.efficiency;
        let Some(cpu_us) = e.generator_cpu_us_per_request else {
            return writeln!(self.out, "  efficiency   not known\n");
        };
        write!(
            self.out,
            "  efficiency   {} µs CPU per request",
            digits(cpu_us)
        )?;
        if let Some(cpu_s) = e.generator_cpu_s_per_gb {
            write!(self.out, ", {} CPU s per GB", digits(cpu_s))?;
        }
        if let Some(busy) = e.generator_busy_ratio {
            write!(self.out, ", busiest worker {} %", digits(busy * 100.0))?;
        }
        writeln!(self.out, "\n")
    }

    fn errors(&mut self) -> std::fmt::Result {
        let rows = &self.document.errors;
        if rows.is_empty() {
            return Ok(());
        }
        let line = self.head(&format!(
            "  {:<32}{:>12}   {}",
            "errors, whole run", "count", "first"
        ));
        writeln!(self.out, "{line}")?;
        for row in rows.iter().take(ROWS) {
            let name = cut(&format!("{}: {}", row.phase, row.cause), 31);
            let (total, at) = (count(row.count), time(row.first_at_ns as f64));
            let sample = cut(&row.sample, WIDTH - 62);
            writeln!(self.out, "  {name:<32}{total:>12}   at {at}: {sample}")?;
        }
        self.more(rows.len())?;
        writeln!(self.out)
    }

    fn findings(&mut self) -> std::fmt::Result {
        let findings = &self.document.findings;
        for (index, finding) in findings.iter().enumerate() {
            self.finding(finding, index < HINTS)?;
        }
        if findings.is_empty() {
            Ok(())
        } else {
            writeln!(self.out)
        }
    }

    fn finding(&mut self, finding: &Finding, explained: bool) -> std::fmt::Result {
        let (name, color) = match finding.weight {
            Weight::Note => ("note", AnsiColor::Cyan),
            Weight::Doubt => ("doubt", AnsiColor::Yellow),
            Weight::Invalid => ("invalid", AnsiColor::Red),
        };
        let mark = self.paint(color.on_default().bold(), &format!("{name:<8}"));
        let mut line = self.head(&finding.code);
        if let (Some(actual), Some(unit)) = (finding.actual, &finding.unit) {
            let limit = finding.limit.filter(|limit| *limit != 0.0);
            write!(line, ": {}", with_unit(actual, unit))?;
            if let Some(limit) = limit {
                write!(line, " (limit {})", with_unit(limit, unit))?;
            }
        }
        writeln!(self.out, "  {mark} {line}")?;
        let rows = if explained { 3 } else { 0 };
        for row in wrapped(&finding.hint, WIDTH - 11).iter().take(rows) {
            let row = self.dim(row);
            writeln!(self.out, "           {row}")?;
        }
        Ok(())
    }

    fn requirements(&mut self) -> std::fmt::Result {
        for requirement in self.document.requirements.iter().take(ROWS) {
            let (answer, color) = if requirement.ok {
                ("yes", AnsiColor::Green)
            } else {
                ("no", AnsiColor::Red)
            };
            let answer = self.paint(color.on_default().bold(), &format!("{answer:<8}"));
            let expr = &requirement.expr;
            let of_time = parse(expr).is_ok_and(|e| e.path.ends_with("_ns"));
            let actual = known(requirement.actual, if of_time { time } else { plain });
            writeln!(self.out, "  {answer} {expr}   (actual {actual})")?;
        }
        self.more(self.document.requirements.len())
    }

    fn verdict(&mut self) -> std::fmt::Result {
        let d = self.document;
        let verdict = &d.verdict;
        let (word, color) = if verdict.valid {
            ("valid", AnsiColor::Green)
        } else {
            ("not valid", AnsiColor::Red)
        };
        let mut line = self.paint(color.on_default().bold(), word);
        line += match d.status {
            RunStatus::Complete => "",
            RunStatus::Partial => ", partial",
            RunStatus::Failed => ", failed",
        };
        if let Some(regime) = &verdict.regime {
            write!(line, ", limited by the {regime}")?;
        }
        let doubts = d.findings.iter().filter(|f| f.weight == Weight::Doubt);
        match doubts.count() as u64 {
            0 => {}
            n => write!(line, ", {}", plural(n, "doubt"))?,
        }
        writeln!(self.out, "  {line}")
    }

    fn more(&mut self, rows: usize) -> std::fmt::Result {
        if rows <= ROWS {
            return Ok(());
        }
        let line = self.dim(&format!("and {} more in the document", rows - ROWS));
        writeln!(self.out, "  {line}")
    }
}

fn plural(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

fn with_unit(value: f64, unit: &str) -> String {
    if unit == "ratio" {
        format!("{} %", digits(value * 100.0))
    } else {
        format!("{} {unit}", plain(value))
    }
}

fn known(value: Option<f64>, format: fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), format)
}

fn known_ns(value: Option<u64>) -> String {
    known(value.map(|ns| ns as f64), time)
}

fn bits(gbit_per_s: f64) -> String {
    if gbit_per_s < 1.0 {
        format!("{} Mbit/s", digits(gbit_per_s * 1e3))
    } else {
        format!("{} Gbit/s", digits(gbit_per_s))
    }
}

/// With "≥" from the smallest censored age on.
fn bounded(latency: &Latency, value: Option<u64>) -> String {
    let open = value.zip(latency.censored_from_ns);
    let least = if open.is_some_and(|(ns, from)| ns >= from) {
        "≥"
    } else {
        ""
    };
    format!("{least}{}", known_ns(value))
}

/// From the summary where it has it, from the blob otherwise.
fn percentile(document: &Document, name: &str, latency: &Latency, percent: f64) -> Option<u64> {
    let stored = [
        (50.0, latency.p50_ns),
        (75.0, latency.p75_ns),
        (90.0, latency.p90_ns),
        (95.0, latency.p95_ns),
        (99.0, latency.p99_ns),
        (99.9, latency.p999_ns),
        (99.99, latency.p9999_ns),
        (100.0, latency.max_ns),
    ];
    let found = stored.iter().find(|(p, _)| (p - percent).abs() < 1e-9);
    match found {
        Some((_, value)) => *value,
        None => Some(histogram(document, name)?.value_at_quantile(percent / 100.0)),
    }
}

/// A finding's or requirement's number: whole ones whole, small ones with their digits.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value}")
    } else if value.abs() < 0.01 {
        format!("{value:.2e}")
    } else {
        digits(value)
    }
}

/// Lines of at most `width` letters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            word.clone_into(line);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
