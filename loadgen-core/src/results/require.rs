//! `--require`: what must be true of a run for it to pass.
//!
//! A requirement holds only when the document proves it. What is not known, what is only a lower
//! bound, and what an empty or broken-off run did not get to see, proves nothing. Of a broken-off run
//! only counters that can but grow are certain, from below.

use super::document::{Document, Latency, Requests, Requirement, RunStatus, Summary};
use super::paths::{numeric_paths, value_at};
use crate::record::HIGHEST_NS;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Longer spellings first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// A requirement, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// As typed.
    pub text: String,
    /// A numeric path of `summary`.
    pub path: String,
    /// The comparison.
    pub operator: Operator,
    /// In the unit of the field.
    pub value: f64,
}

/// Reads `PATH OP VALUE`, for example `response_time.p99<2ms`.
///
/// PATH is a numeric path of `summary`, `_ns` at its end may be left out. VALUE takes `ns`, `us`,
/// `ms`, `s` for times (without a unit: ns), `%` for ratios, and `k`, `M`, `G`, `Ki`, `Mi`, `Gi`
/// for everything else.
///
/// # Errors
/// One sentence that says what was not understood, and which paths are near.
pub fn parse(text: &str) -> Result<Expr, String> {
    let at = text.find(['<', '>', '=', '!']);
    let split = at.and_then(|at| {
        let (path, rest) = text.split_at(at);
        let known = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        Some((path.trim(), known.1, rest[known.0.len()..].trim()))
    });
    let Some((typed, operator, value)) = split else {
        return Err(format!(
            "{text:?} is not PATH OP VALUE with OP one of < <= > >= == !="
        ));
    };
    let path = resolve(typed)?;
    let value = number(value, &path).map_err(|why| format!("{text:?}: {why}"))?;
    Ok(Expr {
        text: text.to_owned(),
        path,
        operator,
        value,
    })
}

fn resolve(typed: &str) -> Result<String, String> {
    let paths = numeric_paths();
    let with_unit = format!("{typed}_ns");
    if let Some(path) = paths.iter().find(|p| **p == typed || **p == with_unit) {
        return Ok(path.clone());
    }
    let mut near: Vec<&String> = paths.iter().collect();
    near.sort_by_key(|path| {
        distance(typed, path).min(distance(typed, path.strip_suffix("_ns").unwrap_or(path)))
    });
    let near: Vec<&str> = near.into_iter().take(3).map(String::as_str).collect();
    Err(format!(
        "{typed:?} is no numeric path of summary; near are {}",
        near.join(", ")
    ))
}

/// Levenshtein's: letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn number(text: &str, path: &str) -> Result<f64, String> {
    let units: &[(&str, f64)] = if path.ends_with("_ns") {
        &[
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
        ]
    } else if path.ends_with("ratio") {
        &[("%", 0.01)]
    } else {
        &[
            ("Ki", 1024.0),
            ("Mi", 1_048_576.0),
            ("Gi", 1_073_741_824.0),
            ("k", 1e3),
            ("M", 1e6),
            ("G", 1e9),
        ]
    };
    let known = units.iter().find(|(unit, _)| text.ends_with(unit));
    let (digits, unit) = match known {
        Some((name, unit)) => (&text[..text.len() - name.len()], *unit),
        None => (text, 1.0),
    };
    let parsed = digits.trim().parse::<f64>().ok().filter(|v| v.is_finite());
    parsed.map(|v| v * unit).ok_or_else(|| {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        format!(
            "{text:?} is not a number for {path}, with one of {} or no unit",
            names.join(" ")
        )
    })
}

/// Whether `document` proves `expr`.
#[must_use]
pub fn check(expr: &Expr, document: &Document) -> Requirement {
    let actual = value_at(document, &expr.path).as_f64();
    let ok = actual.is_some_and(|actual| {
        Proof::of(document, &expr.path, actual).shows(expr.operator, expr.value)
    });
    Requirement {
        expr: expr.text.clone(),
        actual,
        ok,
    }
}

/// What is certain of a value: it lies between the two, both included.
#[derive(Clone, Copy, Debug)]
struct Proof {
    low: f64,
    high: f64,
}

/// A histogram cell is at most this part of its value wide (3 significant digits).
const CELL: f64 = 1.0 / 1024.0;

impl Proof {
    fn of(document: &Document, path: &str, actual: f64) -> Self {
        let mut proof = Self {
            low: actual,
            high: actual,
        };
        if let Some((latency, field)) = latency_at(&document.summary, path)
            && field.ends_with("_ns")
        {
            proof = Self::of_time(latency, field, actual);
        }
        if path == "rate.error_ratio" {
            proof.high = worst_error_ratio(&document.summary.requests, actual);
        }
        let whole = document.status == RunStatus::Complete;
        if !whole && !only_grows(path) {
            return Self::nothing();
        }
        if !whole || document.summary.requests.completed == 0 {
            // What would have come is not known, and could be more.
            proof.high = f64::INFINITY;
        }
        proof
    }

    fn of_time(latency: &Latency, field: &str, actual: f64) -> Self {
        let cell = actual * CELL;
        let (low, high) = match field {
            "censored_from_ns" | "min_ns" => (actual, actual + cell),
            "mean_ns" => (actual - cell, actual + cell),
            "stddev_ns" => {
                // Each value may be off by the width of its own cell, and so may their deviation.
                let widest = latency.max_ns.unwrap_or(0) as f64 * CELL;
                ((actual - widest).max(0.0), actual + widest)
            }
            // Quantiles and maximum are the upper edge of their cell.
            _ => (actual - cell, actual),
        };
        let from = latency
            .censored_from_ns
            .map_or(f64::INFINITY, |ns| ns as f64);
        let from = if latency.clamped > 0 {
            from.min(HIGHEST_NS as f64)
        } else {
            from
        };
        let bounded = match field {
            "stddev_ns" if from.is_finite() => return Self::nothing(),
            "mean_ns" => from.is_infinite(),
            "censored_from_ns" => true,
            _ => actual < from,
        };
        let high = if bounded { high } else { f64::INFINITY };
        Self { low, high }
    }

    /// With open ends a deviation can be anything, and so can most of a run that was broken off.
    fn nothing() -> Self {
        Self {
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        }
    }

    fn shows(self, operator: Operator, value: f64) -> bool {
        match operator {
            Operator::Less => self.high < value,
            Operator::LessOrEqual => self.high <= value,
            Operator::Greater => self.low > value,
            Operator::GreaterOrEqual => self.low >= value,
            Operator::Equal => self.low == value && self.high == value,
            Operator::NotEqual => self.high < value || self.low > value,
        }
    }
}

/// A target that hangs answers nothing in the window, so nothing fails in it either: all that was
/// asked of it in the window and did not end there may have to be added to the errors.
fn worst_error_ratio(requests: &Requests, actual: f64) -> f64 {
    let ended = (requests.completed + requests.failed) as f64;
    let open = (requests.failed_late + requests.unanswered + requests.unsent) as f64;
    if open == 0.0 {
        return actual;
    }
    (actual * ended + open) / (ended + open)
}

/// Whether the rest of a run could only have added to `path`: counters of what took place. A rate
/// or a percentile of the part that took place may be better than that of the whole; what was in
/// flight when the run was broken off might have been answered.
fn only_grows(path: &str) -> bool {
    matches!(
        path,
        "requests.sent"
            | "requests.completed"
            | "requests.failed"
            | "payload.rx_bytes"
            | "payload.tx_bytes"
            | "wire.rx_bytes"
            | "wire.tx_bytes"
    ) || path.ends_with(".count")
}

fn latency_at<'a>(summary: &'a Summary, path: &'a str) -> Option<(&'a Latency, &'a str)> {
    let (name, field) = path.split_once('.')?;
    let latency = match name {
        "response_time" => &summary.response_time,
        "service_time" => &summary.service_time,
        "time_to_first_byte" => &summary.time_to_first_byte,
        "schedule_lag" => &summary.schedule_lag,
        "connect_time" => &summary.connect_time,
        "generator_delay" => &summary.generator_delay,
        "end_to_end" => &summary.end_to_end,
        _ => return None,
    };
    Some((latency, field))
}

#[cfg(test)]
mod tests;
