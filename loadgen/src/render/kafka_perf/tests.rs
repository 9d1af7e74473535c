//! Reports against what the tools printed, byte for byte.

use super::*;

fn consumer(detailed: bool) -> KafkaConsumerPerf {
    KafkaConsumerPerf {
        words: KafkaWords::Records,
        detailed,
        hide_header: false,
        metrics: false,
        date: JavaDate::parse(JavaDate::DEFAULT).unwrap(),
        zone: TimeZone::UTC,
        records: 20_000,
        idle: Duration::from_millis(1500),
        silent: false,
        client_id: "perf-consumer-client".to_owned(),
    }
}

fn producer(value_bytes: u32) -> KafkaProducerPerf {
    KafkaProducerPerf {
        value_bytes,
        metrics: false,
        client_id: "perf-producer-client".to_owned(),
        topic: "t".to_owned(),
    }
}

fn row(t_ms: u64, units: u64, value_bytes: u64) -> Interval {
    Interval {
        t_s: t_ms as f64 / 1e3,
        duration_ns: 0,
        completed: units,
        failed: 0,
        units,
        error_units: 0,
        payload_rx_bytes: Some(units * value_bytes),
        payload_tx_bytes: 0,
        censored: 0,
        mean_ns: None,
        p50_ns: None,
        p99_ns: None,
        max_ns: None,
    }
}

/// `kafka-consumer-perf-test.sh … --show-detailed-stats --reporting-interval 10` of 4.2.0 over
/// 20,000 records of 1000 bytes, from the second line on, where no group is joined any more.
#[test]
fn detailed_lines_are_the_tools() {
    let asked = consumer(true);
    let header = "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                  rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n";
    assert_eq!(kafka_consumer_header(&asked), header);
    // 08:09:10:858, when the tool printed its first line: 1 record.
    let begin_unix_ns = 1_795_594_150_858 * 1_000_000;
    let mut windows = KafkaWindows::new(Duration::from_millis(10));
    windows.units = 1;
    windows.rx_bytes = 1000;
    let mut out = String::new();
    for (t_ms, units) in [
        (9, 1000),
        (18, 1000),
        (28, 2048),
        (71, 48),
        (87, 2048),
        (90, 0),
        (97, 0),
        (100, 2048),
        (105, 7),
    ] {
        if let Some(window) = windows.push(&row(t_ms, units, 1000)) {
            out.push_str(&windows.consumer_line(&window, begin_unix_ns, &asked));
        }
    }
    let expected = "\
2026-11-25 08:09:10:876, 0, 1.9083, 105.9638, 2001, 111111.1111, 0, 18, 105.9638, 111111.1111
2026-11-25 08:09:10:886, 0, 3.8614, 195.3125, 4049, 204800.0000, 0, 10, 195.3125, 204800.0000
2026-11-25 08:09:10:929, 0, 3.9072, 1.0646, 4097, 1116.2791, 0, 43, 1.0646, 1116.2791
2026-11-25 08:09:10:945, 0, 5.8603, 122.0703, 6145, 128000.0000, 0, 16, 122.0703, 128000.0000
2026-11-25 08:09:10:958, 0, 7.8135, 150.2404, 8193, 157538.4615, 0, 13, 150.2404, 157538.4615
";
    assert_eq!(out, expected);
}

/// The line of 3.9.1 and 4.2.0 for 5 s at 2000 records of 100 bytes per second.
#[test]
fn windows_of_the_producer_are_the_tools() {
    let mut windows = KafkaWindows::new(Duration::from_secs(5));
    let mut lines = String::new();
    for (t_ms, units, mean_ms, max_ms) in [
        (1000, 2000, 20.0, 380),
        (2000, 2000, 1.0, 5),
        (3000, 2004, 0.25, 5),
        (4000, 2000, 0.1, 5),
        (5002, 2000, 0.1, 5),
        (6000, 1996, 9.0, 900),
    ] {
        let row = Interval {
            mean_ns: Some(mean_ms * 1e6),
            max_ns: Some(max_ms * 1_000_000),
            ..row(t_ms, units, 0)
        };
        if let Some(window) = windows.push(&row) {
            lines.push_str(&kafka_producer_line(&window, &producer(100)));
        }
    }
    let expected = "10004 records sent, 2000.0 records/sec (0.19 MB/sec), 4.3 ms avg latency, \
                    380.0 ms max latency.\n";
    assert_eq!(lines, expected);
}

/// The tool counts what was acknowledged, in its lines as in its last one.
#[test]
fn refused_records_are_in_no_line_of_the_producer() {
    let mut windows = KafkaWindows::new(Duration::from_secs(1));
    let refused = |t_ms, units, error_units| Interval {
        error_units,
        ..row(t_ms, units, 0)
    };
    assert_eq!(windows.push(&refused(1000, 2000, 2000)), None);
    let window = windows.push(&refused(2000, 2000, 500)).unwrap();
    let line = kafka_producer_line(&window, &producer(100));
    assert!(
        line.starts_with("1500 records sent, 750.0 records/sec"),
        "{line}"
    );
}

/// Replies of which every other is a refusal, and slow: the latencies are those of the others.
#[test]
fn refusals_are_in_no_latency_of_the_last_line() {
    let mut outcome = loadgen_core::results::sample::outcome(false);
    let times = |ns: u64| {
        let mut times = loadgen_core::record::sum_histogram();
        times.record_n(ns, 100).unwrap();
        times
    };
    for (status, ns) in [(0, 3_000_000), (1, 900_000_000)] {
        let mut row = outcome.sum.rows[&(0, 0)].clone();
        row.response = times(ns);
        outcome.sum.response.answered = times(ns);
        outcome.sum.rows.insert((0, status), row);
    }
    let tables = std::sync::Arc::make_mut(&mut outcome.tables);
    tables.statuses[0].name = "ok".into();
    tables.statuses[1].name = "MESSAGE_TOO_LARGE".into();
    let document = loadgen_core::results::assemble(outcome);
    let line = kafka_producer_end(&document, &producer(10));
    let latencies = line.split_once("MB/sec), ").unwrap().1;
    let expected = "3.00 ms avg latency, 3.00 ms max latency, 3 ms 50th, 3 ms 95th, 3 ms 99th, \
                    3 ms 99.9th.\n";
    assert_eq!(latencies, expected);
}

fn document(text: &str) -> Document {
    let mut all = serde_json::to_value(crate::render::tests::healthy()).unwrap();
    let more: serde_json::Value = serde_json::from_str(text).unwrap();
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn operation(status: &str, count: u64, units: u64) -> serde_json::Value {
    let latency = loadgen_core::results::Latency::default();
    serde_json::json!({"op": "fetch", "status": status, "outcome": "ok", "count": count,
        "units": units, "total_count": count, "total_units": units,
        "response_time": latency, "apart": false})
}

fn read(records: u64, start_ms: u64, elapsed_ms: u64) -> Document {
    let totals = serde_json::json!({"sent": 9, "completed": 9, "failed": 0, "unanswered": 0,
        "unsent": 0, "payload_rx_bytes": records * 1000, "payload_tx_bytes": null,
        "wire_rx_bytes": 20_976_020, "wire_tx_bytes": 2580});
    let text = serde_json::json!({
        "start_unix_ns": start_ms * 1_000_000 - 5,
        "phases": [{"name": "measure", "start_ns": 5, "duration_ns": elapsed_ms * 1_000_000}],
        "totals": totals, "operations": [operation("ok", 8, records), operation("empty", 3, 0)],
    });
    document(&text.to_string())
}

/// As 4.2.0 printed them; its rebalance.time.ms taken out, and what depends on it.
#[test]
fn the_consumers_last_line_is_the_tools() {
    let mut asked = consumer(false);
    assert!(kafka_consumer_header(&asked).starts_with("start.time, end.time, data."));
    asked.hide_header = true;
    assert_eq!(kafka_consumer_header(&asked), "");
    let out = kafka_consumer_end(&read(20_000, 1_795_594_148_401, 623), &asked);
    let expected = "2026-11-25 08:09:08:401, 2026-11-25 08:09:09:024, 19.0735, 30.6155, 20000, \
                    32102.7287, 0, 623, 30.6155, 32102.7287\n";
    assert_eq!(out, expected);
    // Nothing came until --timeout.
    asked.silent = true;
    let out = kafka_consumer_end(&read(0, 1_795_594_155_642, 1561), &asked);
    let expected = "WARNING: Exiting before consuming the expected number of records: timeout \
                    (1500 ms) exceeded. You can use the --timeout option to increase the \
                    timeout.\n2026-11-25 08:09:15:642, 2026-11-25 08:09:17:203, 0.0000, 0.0000, \
                    0, 0.0000, 0, 1561, 0.0000, 0.0000\n";
    assert_eq!(out, expected);
    // It was ended by somebody else.
    asked.silent = false;
    let out = kafka_consumer_end(&read(0, 1_795_594_155_642, 1561), &asked);
    assert!(!out.contains("WARNING"), "{out}");
    asked.silent = true;
    asked.words = KafkaWords::Messages;
    let old = kafka_consumer_end(&read(0, 1, 0), &asked);
    assert!(old.contains("number of messages: timeout"), "{old}");
    // As in Java: 0 of nothing is no number.
    assert!(
        old.ends_with("0.0000, NaN, 0, NaN, 0, 0, NaN, NaN\n"),
        "{old}"
    );
    asked.detailed = true;
    assert_eq!(kafka_consumer_end(&read(20_000, 9, 9), &asked), "");
}

#[test]
fn the_producers_last_line_is_the_tools() {
    let mut document = read(0, 1, 500);
    document.histograms.clear();
    let out = kafka_producer_end(&document, &producer(10));
    let expected = "0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg latency, \
                    0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th.\n";
    assert_eq!(out, expected);
    // The sample's times are not ours; its counts are.
    let out = kafka_producer_end(&read(20_000, 1, 1700), &producer(1000));
    let begin = "20000 records sent, 11764.705882 records/sec (11.22 MB/sec), ";
    assert!(out.starts_with(begin), "{out}");
    let shape = out.strip_prefix(begin).unwrap();
    let words: Vec<&str> = shape.split_whitespace().collect();
    let expected = [
        "ms avg latency,",
        "ms max latency,",
        "ms 50th,",
        "ms 95th,",
        "ms 99th,",
        "ms 99.9th.",
    ];
    let seen: Vec<String> = words
        .split(|word| word.parse::<f64>().is_ok())
        .filter(|part| !part.is_empty())
        .map(|part| part.join(" "))
        .collect();
    assert_eq!(seen, expected);
}

/// Names, order and columns as `--print-metrics` of 4.2.0 has them.
#[test]
fn metrics_stand_where_javas_do() {
    let mut asked = consumer(false);
    asked.metrics = true;
    let out = kafka_consumer_end(&read(18_432, 1, 1000), &asked);
    let table = out.split_once("\n\n").expect("an empty line in front").1;
    let lines: Vec<&str> = table.lines().collect();
    let width = "consumer-fetch-manager-metrics:records-per-request-avg:\
                 {client-id=perf-consumer-client}"
        .len();
    assert_eq!(lines[0], format!("{:<width$}   Value", "Metric Name"));
    let line = |name: &str, value: &str| {
        let tags = "{client-id=perf-consumer-client}";
        format!("{:<width$} : {value}", format!("{name}:{tags}"))
    };
    for expected in [
        line(
            "consumer-fetch-manager-metrics:records-consumed-total",
            "18432.000",
        ),
        line("consumer-fetch-manager-metrics:fetch-total", "11.000"),
        line("consumer-metrics:incoming-byte-total", "20976020.000"),
        line("consumer-metrics:outgoing-byte-total", "2580.000"),
    ] {
        assert!(lines.contains(&expected.as_str()), "{expected}\n{table}");
    }
    assert!(lines[1..].is_sorted());
}

/// Fetches that waited are fetches to Java, in counts as in times.
#[test]
fn metrics_of_fetches_are_of_those_that_waited_too() {
    let mut outcome = loadgen_core::results::sample::outcome(false);
    for (op, ns) in [(0, 2_000_000), (1, 500_000_000)] {
        let mut row = outcome.sum.rows[&(0, 0)].clone();
        row.response.clear();
        row.response.record(ns).unwrap();
        (row.total_count, row.total_units) = (1, 10);
        outcome.sum.rows.insert((op, 0), row);
    }
    let tables = std::sync::Arc::make_mut(&mut outcome.tables);
    tables.ops = vec!["fetch".into(), "wait".into()];
    tables.statuses[0].name = "ok".into();
    let mut asked = consumer(true);
    asked.metrics = true;
    let out = kafka_consumer_end(&loadgen_core::results::assemble(outcome), &asked);
    let value = |name: &str| {
        let line = out.lines().find(|line| line.contains(name)).unwrap();
        let value = line.rsplit_once(" : ").unwrap().1;
        value.parse::<f64>().unwrap()
    };
    assert_eq!(value(":fetch-total:"), 2.0);
    assert_eq!(value(":records-per-request-avg:"), 10.0);
    assert!((value(":fetch-latency-max:") - 500.0).abs() < 1.0);
    assert!((value(":fetch-latency-avg:") - 251.0).abs() < 1.0);
}
