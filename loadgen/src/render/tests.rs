//! Renderings of fixed documents against golden files.
//!
//! `UPDATE=1 cargo test -p loadgen render` writes the files anew.

use std::path::PathBuf;
use std::sync::Arc;

use loadgen_core::protocol::{Cause, Phase, Tables};
use loadgen_core::results::{Document, Outcome, assemble, judge, numeric_paths, sample};
use loadgen_core::time::Tick;
use serde_json::json;

use super::*;

/// The sample as an HTTP run.
fn http(open_loop: bool) -> Outcome {
    let mut outcome = sample::outcome(open_loop);
    outcome.tables = Arc::new(Tables {
        protocol: "http",
        ..sample::tables()
    });
    outcome.protocol_plan = json!({"urls": ["http://127.0.0.1:8080/1k"]});
    outcome.routes[0].0.name = "http://127.0.0.1:8080".to_owned();
    outcome
}

fn finished(outcome: Outcome) -> Document {
    let mut document = assemble(outcome);
    document.run_id = "0de0b6b3b2230cc0-1".to_owned();
    document.tool.version = "0.0.0".to_owned();
    document.tool.git = None;
    document.tool.profile = "release".to_owned();
    judge(&mut document);
    document
}

pub(super) fn healthy() -> Document {
    finished(http(false))
}

/// An open loop in which 20 requests timed out, 5 were never sent and some replies were errors.
fn troubled() -> Document {
    let mut outcome = http(true);
    let sum = &mut outcome.sum;
    for age_ns in 100..120 {
        let age_ns = age_ns * 1_000_000;
        sum.response.censored.record(age_ns).unwrap();
        let service = sum.service.as_mut().unwrap();
        service.censored.record(age_ns - 10_000).unwrap();
        sum.first_byte.censored.record(age_ns - 10_000).unwrap();
    }
    sum.response.censored.record_n(2_000_000_000, 5).unwrap();
    sum.lag.censored.record_n(2_000_000_000, 5).unwrap();
    for counts in [&mut sum.window, &mut sum.total] {
        counts.failed = 20;
        counts.error_replies = 7;
    }
    (sum.total.unsent, sum.total.unsent_intended) = (5, 5);
    let good = sum.rows[&(0, 0)].clone();
    let bad = sum.rows.entry((0, 1)).or_insert(good);
    (bad.count, bad.total_count, bad.units, bad.total_units) = (7, 7, 7, 7);
    let worker = &mut outcome.workers[1];
    for n in 0..20 {
        let detail = || "no reply within 100 ms".to_owned();
        let at = Tick(1_500_000_000 + n);
        worker.errors.add(Phase::Wait, Cause::Timeout, at, detail);
    }
    let detail = || "connection refused".to_owned();
    worker
        .errors
        .add(Phase::Connect, Cause::Refused, Tick(9), detail);
    worker.counts.lost = 20;
    worker.counts.connect_failures = 1;
    outcome.caption.requirements = vec![
        "response_time.p99<2ms".to_owned(),
        "requests.completed>100".to_owned(),
    ];
    finished(outcome)
}

fn golden(name: &str, actual: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/render/golden", name]
        .iter()
        .collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: look, then run with UPDATE=1");
}

#[test]
fn text_reports() {
    let style = Style::default();
    golden("healthy.txt", &text(&healthy(), &style));
    golden("troubled.txt", &text(&troubled(), &style));
}

#[test]
fn the_text_report_fits_on_a_screen_and_says_lower_bound() {
    let report = text(&troubled(), &Style::default());
    assert!(
        report.lines().count() <= 45,
        "{} lines",
        report.lines().count()
    );
    for line in report.lines() {
        assert!(line.chars().count() <= 100, "too long: {line}");
    }
    assert!(report.contains("≥"));
    assert!(!text(&healthy(), &Style::default()).contains("≥"));
}

#[test]
fn colours_only_when_asked() {
    let plain = text(&troubled(), &Style::default());
    assert!(!plain.contains('\u{1b}'));
    let colored = Style {
        color: true,
        ..Style::default()
    };
    let colored = text(&troubled(), &colored);
    assert!(colored.contains("\u{1b}[31m"));
    let mut stripped = String::new();
    let mut escape = false;
    for letter in colored.chars() {
        match letter {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            letter => stripped.push(letter),
        }
    }
    assert_eq!(stripped, plain, "colour must not change the layout");
}

#[test]
fn unusual_percentiles_come_from_the_blob() {
    let style = Style {
        percentiles: vec![10.0, 99.0],
        ..Style::default()
    };
    let report = text(&healthy(), &style);
    let row = report.lines().find(|l| l.contains("= service")).unwrap();
    // Service times are even from 2 to 4 ms.
    assert!(row.contains("2.18 ms") && row.contains("3.96 ms"), "{row}");
}

#[test]
fn an_empty_run_is_unknown_and_not_zero() {
    let mut outcome = http(false);
    outcome.sum = loadgen_core::record::Aggregate::new(2, 1, false);
    outcome.window = loadgen_core::record::Window::unknown(1);
    let document = finished(outcome);
    let report = text(&document, &Style::default());
    assert!(report.contains("nothing measured"), "{report}");
    assert!(report.contains("– ± –"), "{report}");
    let report = wrk(&document, &Wrk::default());
    assert!(
        report.contains("  0 requests in 0.00us, 0.00B read\n"),
        "{report}"
    );
    assert!(report.contains("-nan%"), "{report}");
    assert!(
        !report.contains("NaN") && !report.contains("inf"),
        "{report}"
    );
}

#[test]
fn wrk_reports() {
    let latency = Wrk {
        latency: true,
        ..Wrk::default()
    };
    golden("healthy.wrk.txt", &wrk(&healthy(), &latency));
    golden("troubled.wrk.txt", &wrk(&troubled(), &Wrk::default()));
    let two = Wrk {
        dialect: WrkDialect::Wrk2,
        latency: true,
        uncorrected: true,
        url: Some("http://example.test/".to_owned()),
    };
    golden("troubled.wrk2.txt", &wrk(&troubled(), &two));
}

#[test]
fn json_is_the_document() {
    let document = healthy();
    let back: Document = serde_json::from_str(&json(&document, &Style::default())).unwrap();
    assert_eq!(
        serde_json::to_value(back).unwrap(),
        serde_json::to_value(document).unwrap()
    );
}

#[test]
fn csv_has_a_column_for_every_path() {
    let mut document = healthy();
    document.labels[0].value = "a, \"b\"".to_owned();
    let table = csv(&document, &Style::default());
    let lines: Vec<&str> = table.split("\r\n").collect();
    assert_eq!((lines.len(), lines[2]), (3, ""));
    let names: Vec<&str> = lines[0].split(',').collect();
    assert_eq!(names[..4], ["schema", "run_id", "protocol", "client"]);
    assert_eq!(names[7..], numeric_paths());
    assert!(lines[1].contains("\"cni=a, \"\"b\"\"\""));
    let unquoted = lines[1].replace("\"cni=a, \"\"b\"\"\"", "x");
    let cells: Vec<&str> = unquoted.split(',').collect();
    assert_eq!(cells.len(), names.len());
    let at = |name: &str| cells[names.iter().position(|n| *n == name).unwrap()];
    assert_eq!(at("rate.offered_per_s"), "");
    let completed = document.summary.requests.completed.to_string();
    assert_eq!(at("requests.completed"), completed);
}
