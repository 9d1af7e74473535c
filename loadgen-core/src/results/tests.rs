//! The document as a whole: its numbers, its schema, its verdict.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::record::sum_histogram;
use crate::time::Tick;

/// Checks `document` against the schema, and that it survives JSON.
fn assert_valid(document: &Document) {
    let value = serde_json::to_value(document).unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| format!("{}: {e}", e.instance_path))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let back: Document = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(back).unwrap(), value);
}

fn docs(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "docs", path]
        .iter()
        .collect()
}

/// `UPDATE=1 cargo test -p loadgen-core schema` writes it anew.
#[test]
fn the_committed_schema_is_that_of_the_types() {
    let path = docs("schema/loadgen.result-1.json");
    let mut text = serde_json::to_string_pretty(&schema()).unwrap();
    text.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "run with UPDATE=1 and commit the schema");
}

#[test]
fn every_finding_is_explained_and_every_field_described() {
    let methodology = std::fs::read_to_string(docs("methodology.md")).unwrap();
    for core in findings::Core::ALL {
        let code = format!("`{}`", core.code());
        assert!(
            methodology.contains(&code),
            "{code} is not in methodology.md"
        );
    }
    let results = std::fs::read_to_string(docs("results.md")).unwrap();
    let schema = schema();
    let mut types: Vec<&Value> = schema["$defs"].as_object().unwrap().values().collect();
    types.push(&schema);
    for fields in types.iter().filter_map(|t| t["properties"].as_object()) {
        for name in fields.keys() {
            assert!(
                results.contains(&format!("`{name}`")),
                "{name} is not in results.md"
            );
        }
    }
}

#[test]
fn samples_are_valid() {
    assert_valid(&sample::document(false));
    assert_valid(&sample::document(true));
}

#[test]
fn a_closed_loop_adds_up() {
    let document = sample::document(false);
    let (s, totals) = (&document.summary, &document.totals);
    assert_eq!(totals.sent, totals.completed);
    assert_eq!(
        totals.payload_rx_bytes,
        Some(totals.completed * sample::PAYLOAD_BYTES)
    );
    assert_eq!(
        totals.wire_tx_bytes,
        Some(totals.sent * sample::WIRE_TX_BYTES)
    );
    // 4 connections, 2.99 ms a request on average.
    let rate = s.rate.achieved_per_s.unwrap();
    assert!((rate - 4.0 / 0.002_99).abs() < 3.0, "{rate}");
    assert_eq!(rate, s.requests.completed as f64 / 2.0);
    assert_eq!(s.rate.offered_per_s, None);
    assert_eq!(s.rate.error_ratio, Some(0.0));
    assert_eq!(s.response_time, s.service_time);
    assert_eq!(s.schedule_lag, Latency::default());
    assert_eq!(s.response_time.min_ns.map(|ns| ns / 1_000_000), Some(1));
    let mb = s.payload.rx_mb_per_s.unwrap();
    assert!((mb - rate * 1024.0 / 1e6).abs() < 1e-9);
    assert!((s.payload.rx_mib_per_s.unwrap() - rate / 1024.0).abs() < 1e-9);
    assert!((s.wire.rx_gbit_per_s.unwrap() - rate * 1200.0 * 8.0 / 1e9).abs() < 1e-9);
    let row = &document.operations[0];
    assert_eq!(
        (row.op.as_str(), row.status.as_str(), row.outcome.as_str()),
        ("GET", "200", "ok")
    );
    assert_eq!(
        (row.count, row.total_count),
        (s.requests.completed, totals.completed)
    );
    assert_eq!(document.targets.len(), 1);
    assert_eq!(document.targets[0].completed, totals.completed);
    let per_interval: u64 = document.intervals.iter().map(|i| i.completed).sum();
    assert_eq!(
        (document.intervals.len(), per_interval),
        (4, s.requests.completed)
    );
    let ends: Vec<f64> = document.intervals.iter().map(|i| i.t_s).collect();
    assert_eq!(ends, [0.5, 1.0, 1.5, 2.0]);
    assert_eq!(document.verdict.regime.as_deref(), Some("target"));
    assert_eq!(
        (document.verdict.valid, document.verdict.exit_code),
        (true, exit::OK)
    );
}

#[test]
fn an_open_loop_adds_up() {
    let document = sample::document(true);
    let s = &document.summary;
    assert_eq!(s.rate.offered_per_s, Some(sample::RATE_PER_S));
    assert_eq!(document.plan.arrival.as_deref(), Some("fixed"));
    assert_eq!(s.schedule_lag.count, s.response_time.count);
    let lag = s.schedule_lag.p50_ns.unwrap();
    assert!(lag.abs_diff(sample::LAG_NS) <= 10);
    let added = s.response_time.mean_ns.unwrap() - s.service_time.mean_ns.unwrap();
    assert!((added - sample::LAG_NS as f64).abs() < 2000.0, "{added}");
    assert_eq!(document.verdict.regime.as_deref(), Some("schedule"));
}

#[test]
fn efficiency_leaves_spinning_out() {
    let document = sample::document(false);
    let e = &document.summary.efficiency;
    // Worker 0: 30 + 80 − 10 ms, worker 1: 30 + 100 − 10 ms, of 2000.
    assert_eq!(e.generator_busy_ratio, Some(0.06));
    let completed = document.summary.requests.completed as f64;
    assert_eq!(e.generator_cpu_us_per_request, Some(220_000.0 / completed));
    let gb = completed * 1024.0 / 1e9;
    assert!((e.generator_cpu_s_per_gb.unwrap() - 0.22 / gb).abs() < 1e-9);
    // 0.22 s in 2 s are 11 % of a CPU.
    let mb_per_s = document.summary.payload.rx_mb_per_s.unwrap();
    assert!((e.payload_mb_per_s_per_cpu_percent.unwrap() - mb_per_s / 11.0).abs() < 1e-9);
    // What was sent is payload too, with or without any that came.
    for (rx_bytes, tx_bytes) in [(0, 4_000_000_000), (1_000_000_000, 3_000_000_000)] {
        let mut outcome = sample::outcome(false);
        outcome.sum.window.payload_rx_bytes = rx_bytes;
        outcome.sum.window.payload_tx_bytes = tx_bytes;
        let e = assemble(outcome).summary.efficiency;
        let per_gb = 0.22 / ((rx_bytes + tx_bytes) as f64 / 1e9);
        assert!((e.generator_cpu_s_per_gb.unwrap() - per_gb).abs() < 1e-9);
        let per_percent = (rx_bytes + tx_bytes) as f64 / 1e6 / 22.0;
        assert!((e.payload_mb_per_s_per_cpu_percent.unwrap() - per_percent).abs() < 1e-6);
    }
    let mut outcome = sample::outcome(false);
    outcome.workers[0].cpu_used = None;
    let efficiency = assemble(outcome).summary.efficiency;
    assert_eq!(efficiency.generator_busy_ratio, None);
    assert_eq!(efficiency.generator_cpu_us_per_request, None);
}

#[test]
fn blobs_hold_what_the_summary_says() {
    let document = sample::document(true);
    let all = histogram(&document, "service_time").unwrap();
    assert_eq!(
        Some(all.value_at_quantile(0.99)),
        document.summary.service_time.p99_ns
    );
    let names: Vec<&str> = document
        .histograms
        .iter()
        .map(|b| b.name.as_str())
        .collect();
    let expected = [
        "response_time",
        "service_time",
        "time_to_first_byte",
        "schedule_lag",
        "connect_time",
        "generator_delay",
        "response_time",
    ];
    assert_eq!(names, expected);
    assert_eq!(document.histograms[6].op.as_deref(), Some("GET"));
    let closed = sample::document(false);
    assert!(closed.histograms.iter().all(|b| b.name != "service_time"));
    assert_eq!(
        histogram(&closed, "service_time"),
        histogram(&closed, "response_time")
    );
    assert_eq!(histogram(&closed, "schedule_lag"), None);
    let mut merged = sum_histogram();
    let rows = closed.histograms.iter().filter(|b| b.op.is_some());
    rows.for_each(|b| merged.add(decode(b).unwrap()).unwrap());
    assert_eq!(Some(merged), histogram(&closed, "response_time"));
}

#[test]
fn phases_that_never_happened_are_left_out() {
    let names = |document: &Document| -> Vec<String> {
        document.phases.iter().map(|p| p.name.clone()).collect()
    };
    let whole = sample::document(false);
    assert_eq!(names(&whole), ["connect", "warmup", "measure", "drain"]);
    assert_eq!(whole.phases[2].duration_ns, 2_000_000_000);
    let mut outcome = sample::outcome(false);
    outcome.window = crate::record::Window::unknown(1);
    outcome.over = Tick(5_000_000);
    outcome.status = RunStatus::Failed;
    let never = assemble(outcome);
    assert_eq!(names(&never), ["connect"]);
    assert_eq!(never.phases[0].duration_ns, 5_000_000);
    assert_eq!(never.summary.rate.achieved_per_s, None);
    assert_valid(&never);
    let mut outcome = sample::outcome(false);
    outcome.over = Tick(500_000_000);
    assert_eq!(names(&assemble(outcome)), ["connect", "warmup"]);
}

#[test]
fn each_exit_code_and_their_order() {
    let code = |document: &mut Document| {
        judge(document);
        document.verdict.exit_code
    };
    let mut document = sample::document(false);
    document.requirements = vec![Requirement {
        expr: "response_time.p99<1us".to_owned(),
        actual: None,
        ok: true,
    }];
    assert_eq!(code(&mut document), exit::REQUIREMENT);
    assert!(document.requirements[0].actual.is_some());
    assert!(document.verdict.valid);
    document.summary.rate.error_ratio = Some(0.5);
    assert_eq!(code(&mut document), exit::INVALID);
    assert!(!document.verdict.valid);
    document.operations[0].outcome = "error".to_owned();
    assert_eq!(code(&mut document), exit::TARGET);
    document.interrupted = true;
    assert_eq!(code(&mut document), exit::INTERRUPTED);
    document.workers[0].broken = Some("panicked".to_owned());
    assert_eq!(code(&mut document), exit::BUG);
    assert_valid(&document);
}

#[test]
fn a_run_by_count_that_gave_up_is_not_fine() {
    let mut outcome = sample::outcome(false);
    let sent = outcome.sum.total.sent;
    std::sync::Arc::make_mut(&mut outcome.options).stop = crate::stop::Stop::Requests(2 * sent);
    outcome.status = RunStatus::Partial;
    outcome.workers[1].gave_up = true;
    let document = assemble(outcome);
    assert_eq!(document.totals.unsent, sent);
    assert!(document.workers[1].gave_up && !document.workers[0].gave_up);
    let finding = document
        .findings
        .iter()
        .find(|f| f.code == "count_not_reached")
        .unwrap();
    assert_eq!(finding.actual, Some(sent as f64));
    assert_eq!(finding.limit, Some(2.0 * sent as f64));
    assert_eq!(document.verdict.exit_code, exit::INVALID);
    assert_valid(&document);
}

#[test]
fn the_error_ratio_sees_units_and_replies() {
    let ratio = |change: fn(&mut crate::record::Counts)| {
        let mut outcome = sample::outcome(false);
        change(&mut outcome.sum.window);
        assemble(outcome).summary.rate.error_ratio.unwrap()
    };
    // Answered well, and 99 of 100 keys refused.
    let batches = ratio(|w| (w.units, w.error_units) = (w.completed * 100, w.completed * 99));
    assert!((batches - 0.99).abs() < 1e-12, "{batches}");
    // Every fourth request refused as a whole, without a unit.
    let whole = ratio(|w| {
        (w.units, w.error_replies) = (w.completed * 100, w.completed / 4);
        w.completed = w.completed / 4 * 4;
    });
    assert!((whole - 0.25).abs() < 1e-12, "{whole}");
    // Empty replies are no errors because one unit was refused.
    let empty = ratio(|w| (w.units, w.error_units, w.error_replies) = (1, 1, 1));
    assert!(empty < 0.001, "{empty}");
    let failed = ratio(|w| w.failed = w.completed);
    assert_eq!(failed, 0.5);
}

#[test]
fn a_count_in_an_open_loop_offers_its_rate_whatever_the_replies_take() {
    let mut outcome = sample::outcome(true);
    let sent = outcome.sum.total.sent;
    std::sync::Arc::make_mut(&mut outcome.options).stop = crate::stop::Stop::Requests(sent);
    outcome.window.end = Tick(60_000_000_000);
    outcome.over = outcome.window.end;
    let offered = assemble(outcome).summary.rate.offered_per_s.unwrap();
    assert!((offered - sample::RATE_PER_S).abs() < 1e-3, "{offered}");
}

#[test]
fn strict_makes_doubts_invalid() {
    let mut document = sample::document(false);
    document.connections.lost = 1;
    judge(&mut document);
    assert_eq!(
        (document.verdict.valid, document.verdict.exit_code),
        (true, exit::OK)
    );
    document.plan.strict = true;
    judge(&mut document);
    assert_eq!(
        (document.verdict.valid, document.verdict.exit_code),
        (false, exit::INVALID)
    );
    document.connections.lost = 0;
    document.connections.retransmits = Some(9);
    judge(&mut document);
    assert!(document.verdict.valid, "a note stays a note");
}

#[test]
fn a_requirement_that_does_not_parse_is_not_proven() {
    let mut outcome = sample::outcome(false);
    outcome.caption.requirements = vec!["nonsense".to_owned()];
    let document = assemble(outcome);
    assert!(!document.requirements[0].ok);
    assert_eq!(document.verdict.exit_code, exit::REQUIREMENT);
}

#[test]
fn a_protocols_findings_stay_when_judged_again() {
    let finding = Finding {
        code: "toy.evictions".to_owned(),
        weight: Weight::Invalid,
        actual: Some(1.0),
        limit: Some(0.0),
        unit: None,
        hint: "the target threw things away".to_owned(),
    };
    let mut outcome = sample::outcome(false);
    outcome.protocol_details = serde_json::json!({ "hits": 3, "findings": [finding] });
    let mut document = assemble(outcome);
    assert_eq!(document.findings[0].code, "toy.evictions");
    assert_eq!(document.protocol_details, serde_json::json!({ "hits": 3 }));
    judge(&mut document);
    judge(&mut document);
    let kept = document
        .findings
        .iter()
        .filter(|f| f.code == "toy.evictions");
    assert_eq!(kept.count(), 1);
    assert_eq!(document.verdict.exit_code, exit::INVALID);
}
