//! What is planned, and what is refused.

use super::*;
use crate::cluster::Broker;
use crate::spec::{
    Acks, ConsumeSpec, Credentials, EndToEndSpec, FetchSpec, From, Isolation, Mechanism,
    Partitioner, ProduceSpec, RecordSpec, Until,
};
use crate::wire::batch::Codec;

fn cluster_spec() -> ClusterSpec {
    ClusterSpec {
        bootstrap: vec!["127.0.0.1:9092".into()],
        sasl: Some(Credentials {
            mechanism: Mechanism::ScramSha256,
            user: "u".into(),
            password: "hunter2".into(),
        }),
        client_id: "loadgen".into(),
    }
}

fn reading() -> ConsumeSpec {
    ConsumeSpec {
        cluster: cluster_spec(),
        topic: "t".into(),
        partitions: Vec::new(),
        from: From::Earliest,
        until: Until::End,
        records: None,
        partition_max_bytes: 1 << 20,
        fetch_max_bytes: 50 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
        isolation: Isolation::ReadUncommitted,
        depth: Depth::Headers,
        seeded_record_bytes: None,
    }
}

fn writing() -> ProduceSpec {
    ProduceSpec {
        cluster: cluster_spec(),
        topic: "t".into(),
        partitions: Vec::new(),
        records: RecordSpec {
            value_bytes: 1000,
            key_bytes: None,
            headers: Vec::new(),
            codec: Codec::None,
            batch_bytes: 128 << 10,
        },
        acks: Acks::All,
        partitioner: Partitioner::RoundRobin,
        timeout_ms: 7500,
        seed: 1,
    }
}

/// Node ids 5 and 3; partitions 2, 0, 1, of which the last has no leader.
fn two_brokers() -> Topic {
    let broker = |node| Broker {
        node,
        name: format!("b{node}:9092"),
    };
    Topic::new(
        "t".into(),
        vec![broker(5), broker(3)],
        &[(2, Some((3, 9))), (0, Some((5, 4))), (1, None)],
    )
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn good_specs_pass() {
    assert_eq!(consume(&reading()), Ok(()));
    assert_eq!(produce(&writing(), Some(1_000_000)), Ok(()));
    let mut replay = reading();
    (replay.until, replay.depth) = (Until::Replay, Depth::None);
    assert_eq!(consume(&replay), Ok(()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a refusal")]
fn every_refusal_of_reading_names_its_flag_and_the_value() {
    type Change = fn(&mut ConsumeSpec);
    let cases: &[(Change, [&str; 2])] = &[
        (|s| s.cluster.bootstrap.clear(), ["1 to 1024", "not 0"]),
        (
            |s| s.cluster.bootstrap.push("h:0".into()),
            ["broker 2 (h:0)", "65535"],
        ),
        (|s| s.cluster.client_id.clear(), ["--client-id", "0"]),
        (
            |s| s.cluster.client_id = "x".repeat(256),
            ["--client-id", "256"],
        ),
        (
            |s| s.cluster.client_id = "a\nb".into(),
            ["--client-id", "'\\n'"],
        ),
        (
            |s| s.cluster.sasl.as_mut().unwrap().password.clear(),
            ["--sasl", "password"],
        ),
        (
            |s| s.cluster.sasl.as_mut().unwrap().user = "a\0".into(),
            ["--sasl", "NUL"],
        ),
        (|s| s.topic.clear(), ["--topic", "0"]),
        (|s| s.topic = "x".repeat(250), ["--topic", "250"]),
        (|s| s.topic = "a b".into(), ["--topic", "' '"]),
        (|s| s.topic = "..".into(), ["--topic", ".."]),
        (|s| s.partitions = vec![1, 1], ["--partitions", "twice"]),
        (|s| s.partitions = vec![-1], ["--partitions", "-1"]),
        (|s| s.partition_max_bytes = 0, ["--fetch-size", "not 0"]),
        (|s| s.fetch_max_bytes = -1, ["--fetch-max-bytes", "-1"]),
        (|s| s.min_bytes = -1, ["--min-bytes", "-1"]),
        (
            |s| s.min_bytes = 51 << 20,
            ["--min-bytes 53477376", "52428800"],
        ),
        (|s| s.max_wait_ms = -1, ["--max-wait", "-1"]),
        (|s| s.from = From::Latest, ["--from latest", "--until end"]),
        (
            |s| (s.from, s.until) = (From::Latest, Until::Replay),
            ["--from latest", "--until replay"],
        ),
        (|s| s.from = From::Offset(-1), ["--from", "-1"]),
        (|s| s.records = Some(0), ["-n 0", "limit of 1"]),
        (|s| s.depth = Depth::None, ["--verify none", "--until end"]),
        (
            |s| (s.depth, s.until, s.records) = (Depth::None, Until::Replay, Some(1)),
            ["--verify none", "-n"],
        ),
        (
            |s| (s.depth, s.seeded_record_bytes) = (Depth::Records, Some(1)),
            ["--record-bytes", "--verify records"],
        ),
        (
            |s| {
                (s.depth, s.until) = (Depth::None, Until::Replay);
                s.seeded_record_bytes = Some(1);
            },
            ["--record-bytes", "--verify none"],
        ),
        (
            |s| s.seeded_record_bytes = Some(u32::MAX),
            ["--record-bytes", "4294967295"],
        ),
    ];
    for (change, parts) in cases {
        let mut spec = reading();
        change(&mut spec);
        match consume(&spec) {
            Err(PlanError::Refused(text)) => says(&text, parts),
            other => panic!("{parts:?}: {other:?}"),
        }
    }
}

#[test]
fn every_refusal_of_writing_names_its_flag_and_the_value() {
    type Change = fn(&mut ProduceSpec);
    let cases: &[(Change, [&str; 2])] = &[
        (|s| s.cluster.bootstrap.clear(), ["1 to 1024", "not 0"]),
        (|s| s.topic = "a/b".into(), ["--topic", "'/'"]),
        (|s| s.partitions = vec![3, 3], ["--partitions", "3"]),
        (
            |s| s.records.value_bytes = u32::MAX,
            ["--record-size", "4294967295"],
        ),
        (
            |s| s.records.key_bytes = Some(u32::MAX),
            ["--key-size", "4294967295"],
        ),
        (|s| s.records.batch_bytes = 60, ["--batch-bytes", "not 60"]),
        (
            |s| s.records.headers = vec![(String::new(), 1)],
            ["--header", "has 0"],
        ),
        (
            |s| s.records.headers = vec![("a".into(), u32::MAX)],
            ["--header a", "4294967295"],
        ),
        (
            |s| s.records.headers = vec![("a".into(), 0); 1001],
            ["--header", "1001"],
        ),
        (
            |s| {
                s.records.value_bytes = RECORD_BYTES_MAX;
                s.records.key_bytes = Some(1);
            },
            ["--key-size", "104857601"],
        ),
        (
            |s| s.partitioner = Partitioner::ByKey,
            ["--partitioner key", "--key-size"],
        ),
        (
            |s| s.partitioner = Partitioner::Sticky { batches: 0 },
            ["sticky:0", "1 batch"],
        ),
        (|s| s.timeout_ms = 0, ["--ack-timeout", "not 0"]),
    ];
    for (change, parts) in cases {
        let mut spec = writing();
        change(&mut spec);
        match produce(&spec, None) {
            Err(PlanError::Refused(text)) => says(&text, parts),
            other => panic!("{parts:?}: {other:?}"),
        }
    }
    let none = produce(&writing(), Some(0)).unwrap_err().to_string();
    says(&none, &["-n 0", "limit of 1"]);
}

fn both() -> EndToEndSpec {
    let fetch = FetchSpec {
        partition_max_bytes: 1 << 20,
        fetch_max_bytes: 50 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
    };
    EndToEndSpec::follow(writing(), fetch, 3)
}

#[test]
fn every_refusal_of_both_at_once_names_its_flag_and_the_reason() {
    assert_eq!(end_to_end(&both(), Some(5)), Ok(()));
    type Change = fn(&mut EndToEndSpec);
    let cases: &[(Change, [&str; 2])] = &[
        (
            |s| s.write.records.codec = Codec::Zstd,
            ["--codec zstd", "compressed"],
        ),
        (
            |s| s.write.records.value_bytes = 15,
            ["--record-size 15", "16 bytes"],
        ),
        (|s| s.write.acks = Acks::None, ["--acks 0", "--acks 1"]),
        (|s| s.fan_out = 0, ["--fan-out", "not 0"]),
        (|s| s.fan_out = 1001, ["1000", "not 1001"]),
        // What either way refuses by itself.
        (|s| s.write.timeout_ms = 0, ["--ack-timeout", "not 0"]),
        (|s| s.read.max_wait_ms = -1, ["--max-wait", "not -1"]),
    ];
    for (change, parts) in cases {
        let mut spec = both();
        change(&mut spec);
        match end_to_end(&spec, None) {
            Err(PlanError::Refused(text)) => says(&text, parts),
            other => panic!("{parts:?}: {other:?}"),
        }
    }
    let mut spec = both();
    (spec.write.records.value_bytes, spec.fan_out) = (16, 1000);
    assert_eq!(end_to_end(&spec, None), Ok(()));
}

#[test]
fn a_new_topic_has_its_limits() {
    let new = |partitions, replication, setting: &str| NewTopic {
        name: "t".into(),
        partitions: Some(partitions),
        replication: Some(replication),
        settings: vec![(setting.into(), "1".into())],
    };
    assert_eq!(topic(&new(4, 3, "retention.ms")), Ok(()));
    for (new, parts) in [
        (new(0, 1, "a"), ["--partitions-count", "not 0"]),
        (new(100_001, 1, "a"), ["--partitions-count", "100001"]),
        (new(1, 32_768, "a"), ["--replication", "32768"]),
        (new(1, 1, ""), ["--topic-config", "no name"]),
    ] {
        says(&topic(&new).unwrap_err().to_string(), &parts);
    }
}

#[test]
fn partitions_are_laid_out_in_ascending_order_with_their_leaders() {
    let all = lay_out(&two_brokers(), &[]).unwrap();
    let indices: Vec<i32> = all.partitions.iter().map(|p| p.index).collect();
    assert_eq!(indices, [0, 1, 2]);
    let leaders: Vec<_> = (0..3).map(|at| all.leader(at)).collect();
    assert_eq!(leaders, [Some(0), None, Some(1)]);
    assert_eq!((all.leader_epoch(0), all.leader_epoch(2)), (4, 9));
    assert_eq!(all.moves(), 0);
    let some = lay_out(&two_brokers(), &[2]).unwrap();
    assert_eq!((some.partitions[0].index, some.leader(0)), (2, Some(1)));
    match lay_out(&two_brokers(), &[0, 3]) {
        Err(PlanError::Target(text)) => says(&text, &["--partitions", "partition 3", "0 to 2"]),
        other => panic!("{other:?}"),
    }
    let nobody = Topic::new("t".into(), Vec::new(), &[(0, None)]);
    says(
        &lay_out(&nobody, &[]).unwrap_err().to_string(),
        &["0 brokers"],
    );
}

fn ranged(spec: &ConsumeSpec, earliest: [i64; 3], latest: [i64; 3]) -> Result<Range, String> {
    let topic = lay_out(&two_brokers(), &[]).unwrap();
    range(spec, &topic, &earliest, &latest).map_err(|error| error.to_string())
}

#[test]
fn reading_begins_and_ends_where_there_are_records() {
    let spec = reading();
    let to_end = ranged(&spec, [5, 7, 0], [10, 7, 100]).unwrap();
    let indices: Vec<i32> = to_end.topic.partitions.iter().map(|p| p.index).collect();
    assert_eq!(indices, [0, 2], "partition 1 has none");
    assert_eq!(
        (to_end.starts.as_slice(), to_end.ends.as_slice()),
        (&[5, 0][..], &[10, 100][..])
    );
    assert_eq!(to_end.offsets(), 105);
    assert_eq!(to_end.topic.leader(1), Some(1));

    let mut follow = reading();
    (follow.from, follow.until) = (From::Latest, Until::Follow);
    let followed = ranged(&follow, [5, 7, 0], [10, 7, 100]).unwrap();
    assert_eq!(
        (followed.starts, followed.ends),
        (vec![10, 7, 100], vec![10, 7, 100])
    );

    let mut from = reading();
    from.from = From::Offset(7);
    let some = ranged(&from, [5, 7, 0], [10, 7, 100]).unwrap();
    assert_eq!(some.starts, [7, 7]);
    from.from = From::Offset(8);
    says(
        &ranged(&from, [5, 7, 0], [10, 7, 100]).unwrap_err(),
        &["--from 8", "partition 1", "from 7 to 7"],
    );
    let nothing = ranged(&spec, [5, 7, 9], [5, 7, 9]).unwrap_err();
    says(&nothing, &["no record", "3 partitions", "--until follow"]);
}

#[test]
fn the_documents_tell_the_plan_and_no_password() {
    let read = consume_document(&reading());
    assert_eq!(read["sasl"], "SCRAM-SHA-256");
    assert_eq!(
        (&read["from"], &read["until"]),
        (&"earliest".into(), &"end".into())
    );
    assert_eq!(read["verify"], "headers");
    assert!(read["record_bytes"].is_null());
    let write = produce_document(&writing(), Some(5));
    assert_eq!(
        (&write["acks"], &write["records"]),
        (&"all".into(), &5.into())
    );
    assert_eq!(write["partitioner"], "round-robin");
    let both = end_to_end_document(&both(), None);
    assert_eq!(
        (&both["fan_out"], &both["acks"]),
        (&3.into(), &"all".into())
    );
    assert_eq!(both["read"]["until"], "follow");
    for document in [read, write, both] {
        assert!(!document.to_string().contains("hunter2"));
    }
}
