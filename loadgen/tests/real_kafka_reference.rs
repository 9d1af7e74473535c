//! `--client librdkafka`: the same work, the same counts, the same document as the native client.
//!
//! Kafka's own tool says how many records there are.

mod support;

use support::kafka::ours::{kafka, units};
use support::kafka::{Version, shared};
use support::run::loadgen;

#[test]
fn both_clients_read_and_write_the_same() {
    let broker = shared(Version::V4_2);
    let at = broker.bootstrap();
    let cases = [
        ("none", "1", 20_001_u64, 1000),
        ("zstd", "all", 5_000, 300),
        ("none", "0", 3_000, 100),
        ("none", "1", 23, 1_000_000),
    ];
    for (codec, acks, records, bytes) in cases {
        let topic = format!("both-{codec}-{acks}-{bytes}");
        broker.create(&topic, 4, &[]);
        let mut expected = 0;
        for client in ["native", "librdkafka"] {
            let (ran, document) = kafka(&format!(
                "produce {at} --topic {topic} -n {records} --record-size {bytes} --key-size 8 \
                 --codec {codec} --acks {acks} --client {client}"
            ));
            let facts = format!("{client} {topic}: {} {:?}", ran.stderr, document.findings);
            assert_eq!(ran.code, Some(0), "{facts}");
            let status = if acks == "0" { "unacked" } else { "ok" };
            assert_eq!(units(&document, status), records, "{facts}");
            let payload = records * (bytes + 8);
            assert_eq!(document.totals.payload_tx_bytes, Some(payload), "{facts}");
            expected += records;
            let ends: i64 = broker.ends(&topic).iter().sum();
            assert_eq!(ends.unsigned_abs(), expected, "{facts}");
        }
        for client in ["native", "librdkafka"] {
            let (ran, document) = kafka(&format!(
                "consume {at} --topic {topic} --verify records --client {client}"
            ));
            let facts = format!("{client} {topic}: {} {:?}", ran.stderr, document.findings);
            assert_eq!(ran.code, Some(0), "{facts}");
            assert_eq!(units(&document, "ok"), expected, "{facts}");
            let payload = Some(expected * (bytes + 8));
            assert_eq!(document.totals.payload_rx_bytes, payload, "{facts}");
        }
    }
}

#[test]
fn what_librdkafka_cannot_do_is_refused_and_its_settings_are_in_the_document() {
    let broker = shared(Version::V4_2);
    let (at, topic) = (broker.bootstrap(), "refused");
    broker.create(topic, 1, &[]);
    let (_, document) = kafka(&format!(
        "produce {at} --topic {topic} -n 100 --client librdkafka"
    ));
    let plan = serde_json::to_value(&document.plan).expect("JSON");
    let client = &plan["kafka"]["client"];
    assert_eq!(client["name"], "librdkafka");
    assert_eq!(client["settings"]["acks"], "-1");
    assert!(
        client["version"]
            .as_str()
            .is_some_and(|v| v.starts_with("2."))
    );
    for (words, flag) in [
        ("produce -R 100 -n 100", "-R"),
        ("consume -R 100", "-R"),
        ("consume --depth 2", "--depth"),
        ("consume --verify none --replay", "--verify none"),
        ("produce -n 1 --bind-ip 127.0.0.1", "--bind-ip"),
    ] {
        let (verb, flags) = words.split_once(' ').expect("two words");
        let line = format!("kafka {verb} {at} --topic {topic} {flags} --client librdkafka");
        let ran = loadgen(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ran.code, Some(2), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(flag), "{words}: {}", ran.stderr);
    }
}
