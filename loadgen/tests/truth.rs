//! Whether the numbers are true: runs against targets whose delays are known, compared with the
//! target's own histogram and with the law the delays were drawn from.
//!
//! These tests load the machine and need it for themselves; they must never be made to pass by
//! widening a limit that the issue states.

mod support;

use hdrhistogram::Histogram;
use loadgen_core::results::{Document, Latency};
use support::nginx::Nginx;
use support::others::Others;
use support::run::{Ran, loadgen, under};
use support::target::{Target, histogram};
use support::{first, machine};

/// Offered rate of the runs on laws, per second.
const RATE: f64 = 5_000.0;
/// Their length, seconds: 105,000 samples each.
const LENGTH_S: f64 = 21.0;

/// A field of a row of the summary.
type Field = fn(&Latency) -> Option<u64>;

/// Quantiles that are compared, and the fields of the document that tell them.
const QUANTILES: [(f64, Field); 3] = [
    (0.5, |l| l.p50_ns),
    (0.99, |l| l.p99_ns),
    (0.999, |l| l.p999_ns),
];

/// A run that goes before whatever else this machine is doing.
#[track_caller]
fn run(args: &[&str]) -> Ran {
    under(&first(), args)
}

/// The histogram of the whole run under `name`.
#[track_caller]
fn blob(document: &Document, name: &str) -> Histogram<u64> {
    let mut blobs = document.histograms.iter();
    let found = blobs.find(|b| b.name == name && b.op.is_none() && b.status.is_none());
    histogram(&found.unwrap_or_else(|| panic!("no histogram {name}")).data)
}

/// Of two numbers, how far apart they are, by the first.
fn off(actual: f64, expected: f64) -> f64 {
    (actual - expected).abs() / expected
}

/// How often a run on a busy machine may be tried again.
const TRIES: u32 = 5;

/// A machine of which others took more than this share proves nothing either way.
const FOREIGN_MAX: f64 = 0.03;

/// Open loop at half of what the connections can carry, on `law`, whose quantiles are `expected`
/// (ns) and whose mean is `mean_s`.
///
/// Between the target's stamp and ours lie two threads' wake-ups. On a machine that is busy with
/// other work these take as long as that work pleases, so a run that disagrees is tried again, but
/// only when others demonstrably had the CPUs; on a quiet machine it fails at once.
#[track_caller]
fn law_is_seen(law: &str, mean_s: f64, expected: fn(f64) -> f64) {
    let _machine = machine();
    for _ in 0..TRIES {
        let target = Target::start(&["--delay", law]);
        // Twice as many connections as are busy on average: half of capacity.
        let connections = (2.0 * RATE * mean_s).ceil().to_string();
        let (rate, length) = (RATE.to_string(), format!("{LENGTH_S}s"));
        let url = target.url("/bytes/1024");
        let args = [
            "http",
            "-c",
            &connections,
            "-t",
            "1",
            "-R",
            &rate,
            "-d",
            &length,
            "--json",
            &url,
        ];
        let others = Others::begin();
        let ran = run(&args);
        let foreign = others.end(ran.cpu + target.cpu());
        let document = ran.complete();
        rate_is_met(&document, RATE);
        let wrong = disagreements(&document, &target.delays(), expected);
        if wrong.is_empty() {
            return;
        }
        assert!(foreign > FOREIGN_MAX, "{wrong:?}");
        eprintln!(
            "others had {:.0} % of the machine: {wrong:?}",
            foreign * 100.0
        );
    }
    panic!("the machine was too busy to compare times, {TRIES} times");
}

/// What our service times say, and the delays that were `given` or the law does not.
#[track_caller]
fn disagreements(
    document: &Document,
    given: &Histogram<u64>,
    expected: fn(f64) -> f64,
) -> Vec<String> {
    let latency = &document.summary.service_time;
    assert!(latency.count >= 100_000, "{latency:?}");
    assert_eq!(latency.censored, 0);
    assert_eq!(given.len(), document.totals.completed);
    let service = blob(document, "service_time");
    assert_eq!(service.len(), latency.count);
    let mut wrong = Vec::new();
    for (quantile, field) in QUANTILES {
        let ours = field(latency).expect("known") as f64;
        let theirs = given.value_at_quantile(quantile) as f64;
        let law = expected(quantile);
        let facts = format!("p{quantile}: {law:.0} ns by law, {theirs} given, {ours} measured");
        eprintln!("{facts}");
        let mut limit = (0.02 * theirs).max(100_000.0);
        let mut of_law = 0.05 * law;
        if quantile > 0.99 {
            // One in a thousand: on a virtual machine the CPUs themselves stand still that often,
            // the generator's as well as the target's. How long, the same run says: by so much
            // releases were late here, and delays longer than drawn there.
            let late = document.summary.schedule_lag.p999_ns;
            limit += late.expect("a schedule") as f64;
            of_law += limit + (theirs - law).max(0.0);
        }
        if (ours - theirs).abs() > limit || (ours - law).abs() > of_law {
            wrong.push(facts);
        }
        let from_blob = service.value_at_quantile(quantile) as f64;
        assert!(
            off(ours, from_blob) < 0.002,
            "summary {ours}, histogram {from_blob}"
        );
    }
    wrong
}

/// The schedule released what it was asked for, and it was sent, within 0.1 %.
#[track_caller]
fn rate_is_met(document: &Document, rate: f64) {
    let offered = document.summary.rate.offered_per_s.expect("an open loop");
    assert!(
        off(offered, rate) <= 0.001,
        "offered {offered}, asked {rate}"
    );
    let measure = document.phases.iter().find(|p| p.name == "measure");
    let window_s = measure.expect("a window").duration_ns as f64 / 1e9;
    let sent = document.summary.requests.sent as f64 / window_s;
    assert!(
        off(sent, rate) <= 0.001,
        "sent {sent} per second, asked {rate}"
    );
}

#[test]
fn a_fixed_delay_is_seen() {
    law_is_seen("fixed:20ms", 0.020, |_| 20e6);
}

#[test]
fn an_exponential_delay_is_seen() {
    law_is_seen("exp:20ms", 0.020, |q| -20e6 * (1.0 - q).ln());
}

#[test]
fn a_bimodal_delay_is_seen() {
    let law = |q| if q < 0.9 { 10e6 } else { 50e6 };
    law_is_seen("bimodal:10ms,50ms,0.1", 0.014, law);
}

/// A stall of 100 ms every second. Of those intended in a stall the first waits all of it and the
/// last none: the time above x is (100 ms − x) per stall, a little more because the backlog has to
/// be worked off.
#[test]
fn a_stall_shows_in_response_time_only() {
    const RATE: f64 = 2_000.0;
    const LENGTH_S: f64 = 20.5;
    const STALLS: f64 = 20.0;
    const STALL_MS: f64 = 100.0;
    // 2 % of the 200 requests that become due in a stall.
    const CONNECTIONS: f64 = 0.02 * RATE * STALL_MS / 1e3;
    /// The most of the capacity that the rate may be, for the work-off to be short.
    const LOAD_MAX: f64 = 0.3;

    let _machine = machine();
    let target = Target::start(&["--stall", "100ms/1s"]);
    let (rate, length) = (RATE.to_string(), format!("{LENGTH_S}s"));
    let (connections, url) = (CONNECTIONS.to_string(), target.url("/bytes/1024"));
    let args = [
        "http",
        "-c",
        &connections,
        "-t",
        "1",
        "-R",
        &rate,
        "-d",
        &length,
        "--json",
        &url,
    ];
    let document = run(&args).document();
    let (totals, summary) = (&document.totals, &document.summary);
    assert_eq!(
        (totals.failed, totals.unanswered, totals.unsent),
        (0, 0, 0),
        "{totals:?}"
    );
    assert_eq!(target.stats()["replies"], totals.completed);

    let response = blob(&document, "response_time");
    for quantile in [0.93, 0.95, 0.97, 0.99, 0.995, 0.999] {
        let actual_ms = response.value_at_quantile(quantile) as f64 / 1e6;
        let above_ms = (1.0 - quantile) * LENGTH_S * 1e3 / STALLS;
        let (least, most) = (STALL_MS - above_ms, STALL_MS - above_ms * (1.0 - LOAD_MAX));
        eprintln!("p{quantile}: {actual_ms} ms, by arithmetic {least:.1} to {most:.1} ms");
        assert!(
            (least - 1.0..=most + 2.0).contains(&actual_ms),
            "p{quantile}: {actual_ms} ms, not {least} to {most} ms"
        );
    }
    // Each stall catches one request per connection: 0.2 % of all, out of sight at p99.
    let service = &summary.service_time;
    assert!(service.p99_ns < Some(10_000_000), "{service:?}");
    assert!(service.max_ns > Some(80_000_000), "{service:?}");
    // The difference is the wait for a free connection, and that has its own name.
    let lag = &summary.schedule_lag;
    assert!(lag.p99_ns > Some(80_000_000), "{lag:?}");
    assert!(response.value_at_quantile(0.5) < 2_000_000);
    let codes: Vec<_> = document.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(codes.contains(&"schedule_lag"), "{codes:?}");
}

/// How late we are ourselves at half of what one worker can do.
///
/// Here as the scheduler gives it, for a worker that turns between two releases looks busy to it,
/// and real-time priority is throttled for a busy thread.
#[test]
fn half_of_a_cores_capacity_is_on_time() {
    let _machine = machine();
    let nginx = Nginx::start(1);
    let url = nginx.url("/1k");
    let args = ["http", "-c", "64", "-t", "1", "-d", "3s", "--json", &url];
    let closed = loadgen(&args).complete();
    let capacity = closed.summary.rate.achieved_per_s.expect("a rate");
    let half = (capacity / 2.0).round();
    let rate = half.to_string();
    let args = [
        "http", "-c", "64", "-t", "1", "-R", &rate, "-d", "10s", "--json", &url,
    ];
    let document = loadgen(&args).complete();
    let summary = &document.summary;
    let offered = summary.rate.offered_per_s.expect("an open loop");
    assert!(
        off(offered, half) <= 0.001,
        "offered {offered}, asked {half}"
    );
    let (lag, delay) = (&summary.schedule_lag, &summary.generator_delay);
    eprintln!("capacity {capacity:.0}/s; at half of it:");
    for (name, latency) in [("schedule lag", lag), ("generator delay", delay)] {
        let [p50, p99, p999] = QUANTILES.map(|(_, field)| field(latency).unwrap_or(0));
        eprintln!("{name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns");
        assert!(p50 < 50_000, "{name}: {latency:?}");
    }
}
