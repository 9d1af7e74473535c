//! Requirements against every numeric path, and against all that must not prove them.

use super::*;
use crate::results::sample;

fn holds(text: &str, document: &Document) -> bool {
    check(&parse(text).unwrap(), document).ok
}

/// A sample with a number in every field of `summary`.
fn known() -> Document {
    let mut document = sample::document(true);
    // HTTP carries no such stamp.
    document.summary.end_to_end = document.summary.response_time.clone();
    for latency in latencies(&mut document.summary) {
        latency.censored_from_ns = latency.max_ns.map(|ns| ns * 2);
    }
    document
}

fn latencies(summary: &mut Summary) -> [&mut Latency; 7] {
    [
        &mut summary.response_time,
        &mut summary.service_time,
        &mut summary.time_to_first_byte,
        &mut summary.schedule_lag,
        &mut summary.connect_time,
        &mut summary.generator_delay,
        &mut summary.end_to_end,
    ]
}

#[test]
fn every_numeric_path_can_be_required() {
    let document = known();
    let paths = numeric_paths();
    assert!(paths.len() > 80, "{} paths", paths.len());
    for path in paths {
        let actual = value_at(&document, &path);
        let actual = actual
            .as_f64()
            .unwrap_or_else(|| panic!("{path} is {actual}"));
        let deviates = path.ends_with("stddev_ns") || path.ends_with("mean_ns");
        // Where an age is open-ended, so are mean and deviation.
        assert_eq!(
            holds(&format!("{path}<={}", actual * 2.0 + 1.0), &document),
            !deviates
        );
        assert!(!holds(&format!("{path}<{actual}"), &document), "{path}");
        assert!(!holds(&format!("{path}>{actual}"), &document), "{path}");
        if !path.ends_with("stddev_ns") {
            assert!(
                holds(&format!("{path}>={}", actual * 0.9 - 1.0), &document),
                "{path}"
            );
        }
        if !path.ends_with("_ns") {
            assert!(holds(&format!("{path}=={actual}"), &document), "{path}");
            assert!(!holds(&format!("{path}!={actual}"), &document), "{path}");
        }
        if let Some(short) = path.strip_suffix("_ns") {
            assert_eq!(parse(&format!("{short}<1")).unwrap().path, path);
        }
    }
}

#[test]
fn without_censored_requests_mean_and_deviation_are_proven() {
    let document = sample::document(false);
    assert!(holds("response_time.mean < 4ms", &document));
    assert!(holds("response_time.stddev < 4ms", &document));
    assert!(holds("response_time.min >= 1.99ms", &document));
    assert!(holds("response_time.p99 != 1s", &document));
}

/// At a second a cell is a millisecond wide: deviations within it look like none.
#[test]
fn a_deviation_is_known_to_a_cell_of_the_largest_value() {
    let mut document = sample::document(false);
    let time = &mut document.summary.response_time;
    time.max_ns = Some(1_000_000_000);
    time.stddev_ns = Some(0.0);
    assert!(!holds("response_time.stddev < 100us", &document));
    assert!(!holds("response_time.stddev == 0", &document));
    assert!(holds("response_time.stddev < 1ms", &document));
    assert!(holds("response_time.stddev >= 0", &document));
}

#[test]
fn units_are_those_of_the_field() {
    let value = |text: &str| parse(text).unwrap().value;
    assert_eq!(value("response_time.p99<2ms"), 2e6);
    assert_eq!(value("response_time.p99_ns < 2 us"), 2e3);
    assert_eq!(value("response_time.p999<2µs"), 2e3);
    assert_eq!(value("service_time.max<=1.5s"), 1.5e9);
    assert_eq!(value("service_time.max<=7ns"), 7.0);
    assert_eq!(value("service_time.max<=7"), 7.0);
    assert_eq!(value("rate.error_ratio<1%"), 0.01);
    assert_eq!(value("rate.achieved_per_s>=50k"), 50e3);
    assert_eq!(value("payload.rx_bytes>1Gi"), 1_073_741_824.0);
    assert_eq!(value("wire.rx_bytes>2M"), 2e6);
    assert_eq!(
        parse("requests.failed==0").unwrap().operator,
        Operator::Equal
    );
    assert_eq!(
        parse("requests.failed!=0").unwrap().operator,
        Operator::NotEqual
    );
}

#[test]
fn nonsense_gets_one_sentence() {
    let error = |text: &str| parse(text).unwrap_err();
    let no_operator = error("response_time.p99");
    assert_eq!(
        no_operator,
        "\"response_time.p99\" is not PATH OP VALUE with OP one of < <= > >= == !="
    );
    assert!(error("requests.failed=0").contains("is not PATH OP VALUE"));
    let near = error("respons_time.p99<1");
    assert!(near.contains("near are response_time.p99_ns"), "{near}");
    let wrong_unit = error("rate.achieved_per_s>5ms");
    assert!(
        wrong_unit.contains("one of Ki Mi Gi k M G or no unit"),
        "{wrong_unit}"
    );
    assert!(error("response_time.p99<fast").contains("\"fast\" is not a number"));
    assert!(error("response_time.p99<inf").contains("\"inf\" is not a number"));
    assert!(error("response_time.p99<").contains("\"\" is not a number"));
    assert!(error("").contains("is not PATH OP VALUE"));
}

#[test]
fn a_lower_bound_proves_no_less() {
    let mut document = sample::document(false);
    let p99 = document.summary.response_time.p99_ns.unwrap();
    let wide = format!("response_time.p99 < {}", p99 * 10);
    assert!(holds(&wide, &document));
    document.summary.response_time.censored = 1;
    document.summary.response_time.censored_from_ns = Some(p99);
    assert!(!holds(&wide, &document));
    assert!(!holds(&format!("response_time.p99 == {p99}"), &document));
    assert!(!holds(
        &format!("response_time.p99 != {}", p99 * 10),
        &document
    ));
    assert!(holds("response_time.p99 > 1ms", &document));
    assert!(!holds("response_time.mean < 1s", &document));
    // Below the smallest age nothing is open.
    let p50 = document.summary.response_time.p50_ns.unwrap();
    assert!(holds(&format!("response_time.p50 <= {p50}"), &document));
    document.summary.response_time.censored_from_ns = None;
    document.summary.response_time.clamped = 1;
    document.summary.response_time.max_ns = Some(HIGHEST_NS);
    assert!(!holds("response_time.max < 9000s", &document));
}

#[test]
fn a_hanging_target_does_not_prove_a_quick_first_byte() {
    let mut outcome = sample::outcome(false);
    let count = outcome.sum.first_byte.answered.len();
    for times in [&mut outcome.sum.first_byte, &mut outcome.sum.connect] {
        times.censored.record_n(5_000_000_000, count).unwrap();
    }
    let document = crate::results::assemble(outcome);
    for path in ["time_to_first_byte", "connect_time"] {
        assert!(!holds(&format!("{path}.p99 < 3600s"), &document), "{path}");
        assert!(holds(&format!("{path}.p99 > 4s"), &document), "{path}");
        let all = crate::results::histogram(&document, path).unwrap();
        assert!(all.max() > 4_900_000_000, "{path}");
    }
}

#[test]
fn a_target_that_hangs_does_not_prove_a_small_error_ratio() {
    let healthy = sample::document(false);
    let completed = healthy.summary.requests.completed;
    assert!(holds("rate.error_ratio == 0", &healthy));
    let open: [fn(&mut Requests, u64); 3] = [
        |r, n| r.failed_late = n,
        |r, n| r.unanswered = n,
        |r, n| r.unsent = n,
    ];
    for set in open {
        let mut document = healthy.clone();
        set(&mut document.summary.requests, completed);
        assert!(!holds("rate.error_ratio < 49%", &document));
        assert!(holds("rate.error_ratio < 51%", &document));
        assert!(!holds("rate.error_ratio == 0", &document));
        assert!(holds("rate.error_ratio >= 0", &document));
    }
    // What failed in the window is in the ratio already.
    let mut document = healthy;
    document.summary.requests.failed = 1;
    document.summary.response_time.censored = 1;
    document.summary.rate.error_ratio = Some(1.0 / (completed + 1) as f64);
    assert!(holds("rate.error_ratio < 0.2%", &document));
}

#[test]
fn the_unknown_proves_nothing() {
    let document = sample::document(false);
    assert!(document.summary.rate.offered_per_s.is_none());
    for operator in ["<", "<=", ">", ">=", "==", "!="] {
        let answer = check(
            &parse(&format!("rate.offered_per_s{operator}0")).unwrap(),
            &document,
        );
        assert!(!answer.ok && answer.actual.is_none());
    }
}

/// What came of it so far can only become more; rates and times can become anything.
#[test]
fn a_partial_run_proves_counters_from_below_and_nothing_else() {
    let mut document = known();
    document.status = RunStatus::Partial;
    let mut proven = Vec::new();
    for path in numeric_paths() {
        let actual = value_at(&document, &path).as_f64().unwrap();
        assert!(
            !holds(&format!("{path}<={}", actual * 2.0 + 1.0), &document),
            "{path}"
        );
        if holds(&format!("{path}>={}", actual * 0.9 - 1.0), &document) {
            proven.push(path);
        }
    }
    let (counts, others): (Vec<&String>, _) = proven.iter().partition(|p| p.ends_with(".count"));
    assert_eq!(counts.len(), 7);
    let mut others: Vec<&String> = others;
    others.sort();
    let expected = [
        "payload.rx_bytes",
        "payload.tx_bytes",
        "requests.completed",
        "requests.failed",
        "requests.sent",
        "wire.rx_bytes",
        "wire.tx_bytes",
    ];
    assert_eq!(others, expected);
}

#[test]
fn a_partial_or_empty_run_proves_no_upper_bound() {
    let mut document = sample::document(false);
    assert!(holds("requests.failed == 0", &document));
    assert!(holds("response_time.p99 < 1s", &document));
    document.status = RunStatus::Partial;
    assert!(!holds("requests.failed == 0", &document));
    assert!(!holds("response_time.p99 < 1s", &document));
    assert!(holds("requests.completed > 100", &document));
    document.status = RunStatus::Complete;
    document.summary.requests.completed = 0;
    assert!(!holds("requests.failed == 0", &document));
    assert!(!holds("requests.failed < 1", &document));
}
