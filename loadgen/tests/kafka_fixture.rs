//! The brokers of the tests, before anything is tested against them: they start, serve, lose a
//! broker, and Kafka's own tools agree about what is in them.
//!
//! No client of ours takes part.

mod support;

use support::kafka::{Kafka, Perf, Step, USER, Version, shared};
use support::machine;

/// Records of all kinds: what was written, what is visible, what the tools count.
#[test]
fn a_broker_of_every_version_keeps_what_is_written() {
    for version in Version::ALL {
        let kafka = shared(version);
        let topic = "kinds";
        kafka.create(topic, 2, &[]);
        let put = |partition, count, key, value_bytes, headers| Step::Put {
            partition,
            count,
            key,
            value_bytes,
            headers,
        };
        let plain = [
            put(0, 10, None, Some(100), 0),
            put(0, 3, Some("key-#"), None, 0),
            put(1, 5, Some("k"), Some(0), 2),
        ];
        assert_eq!(kafka.write(topic, &["compression.type=lz4"], &plain), 18);
        assert_eq!(kafka.ends(topic), [13, 5], "{version:?}");
        // 3 keys have two digits each behind `key-`.
        let payload_bytes = 10 * 100 + 3 * 6 + 5;
        let seen = kafka.consumer_perf(topic, 18, &[]);
        let mib = Perf::mib_of(payload_bytes);
        assert_eq!(seen, Perf { mib, records: 18 }, "{version:?}");

        let transactions = [
            Step::Begin,
            put(1, 4, None, Some(10), 0),
            Step::Abort,
            Step::Begin,
            put(1, 2, None, Some(10), 0),
            Step::Commit,
        ];
        let id = format!("transactional.id={topic}");
        assert_eq!(kafka.write(topic, &[&id], &transactions), 6);
        // The markers have offsets too.
        assert_eq!(kafka.ends(topic), [13, 5 + 4 + 1 + 2 + 1], "{version:?}");
        let count = |isolation: &str| {
            let isolation = format!("isolation.level={isolation}");
            let args = ["-C", "-t", topic, "-p", "1", "-o", "beginning", "-e"];
            let args = [&args[..], &["-X", &isolation, "-f", "%o "]].concat();
            kafka.kcat(&args, "").expect_ok().split_whitespace().count()
        };
        assert_eq!(count("read_uncommitted"), 5 + 4 + 2, "{version:?}");
        assert_eq!(count("read_committed"), 5 + 2, "{version:?}");
        kafka.forget(topic, 0, 7);
        assert_eq!(kafka.starts(topic), [7, 0], "{version:?}");
    }
}

#[test]
fn users_are_known_by_all_three_mechanisms_and_strangers_by_none() {
    for version in Version::ALL {
        let kafka = shared(version);
        let (name, password) = USER;
        // Java's client: kcat's of Debian speaks a SCRAM that brokers of 4.x refuse.
        for (mechanism, module, password, expected) in [
            ("PLAIN", "plain.PlainLoginModule", password, true),
            ("SCRAM-SHA-256", "scram.ScramLoginModule", password, true),
            ("SCRAM-SHA-512", "scram.ScramLoginModule", password, true),
            ("SCRAM-SHA-512", "scram.ScramLoginModule", "wrong", false),
        ] {
            let path = kafka.dir().join("client.properties");
            let text = format!(
                "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n\
                 sasl.jaas.config=org.apache.kafka.common.security.{module} required \
                 username=\"{name}\" password=\"{password}\";\n"
            );
            std::fs::write(&path, text).expect("a file");
            let path = path.to_str().expect("a plain path");
            let address = kafka.sasl_address(1);
            let args = ["--list", "--bootstrap-server", &address];
            let args = [&args[..], &["--command-config", path]].concat();
            let told = kafka.tool("org.apache.kafka.tools.TopicCommand", &args);
            let ok = told.code == Some(0);
            assert_eq!(ok, expected, "{version:?} {mechanism} {told:?}");
        }
    }
}

/// Three brokers: a leader dies, another takes over, nothing acknowledged is gone; one is frozen
/// and thawed.
#[test]
fn leaders_move_when_a_broker_dies_and_it_may_come_back() {
    let _machine = machine();
    let mut kafka = Kafka::three(Version::V4_2);
    kafka.place(
        "moved",
        &[&[2, 3, 1], &[3, 2, 1]],
        &["min.insync.replicas=1"],
    );
    assert_eq!(kafka.leaders("moved"), [2, 3]);
    kafka.producer_perf("moved", 1_000, 1_000, &["acks=all"]);
    let before: i64 = kafka.ends("moved").iter().sum();
    assert_eq!(before, 1_000);
    kafka.kill(2);
    kafka.await_leaders("moved", &[3, 3]);
    assert_eq!(kafka.ends("moved").iter().sum::<i64>(), before);
    kafka.again(2);
    kafka.freeze(3);
    let frozen = std::fs::read_to_string(format!("/proc/{}/stat", kafka.pid(3)));
    assert!(
        frozen.expect("it is there").contains(") T "),
        "it is not stopped"
    );
    kafka.thaw(3);
    let seen = kafka.consumer_perf("moved", 1_000, &[]);
    assert_eq!(seen.records, 1_000);
}
