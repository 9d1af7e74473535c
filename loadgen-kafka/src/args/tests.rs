//! What is typed, and what it asks for.

use std::time::Duration;

use clap::{CommandFactory as _, Parser};

use super::*;
use crate::plan::NewTopic;
use crate::spec::{
    Acks, ConsumeSpec, Depth, EndToEndSpec, From, Isolation, Partitioner, ProduceSpec, RecordSpec,
    Until,
};
use crate::wire::batch::Codec;

#[derive(Parser)]
struct Reader {
    #[command(flatten)]
    args: ConsumeArgs,
}

#[derive(Parser)]
struct Writer {
    #[command(flatten)]
    args: ProduceArgs,
    #[command(flatten)]
    create: CreateArgs,
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    std::iter::once("x").chain(line.split_whitespace())
}

fn consume(line: &str) -> Result<ConsumeSpec, String> {
    let typed = Reader::try_parse_from(words(line)).map_err(|error| error.to_string())?;
    let spec = typed.args.spec(Some(9), Some("from-outside"));
    spec.map_err(|error| error.to_string())
}

fn produce(line: &str) -> Result<ProduceSpec, String> {
    let typed = Writer::try_parse_from(words(line)).map_err(|error| error.to_string())?;
    let spec = typed.args.spec(7, Duration::from_secs(10), None);
    spec.map_err(|error| error.to_string())
}

#[derive(Parser)]
struct Both {
    #[command(flatten)]
    args: EndToEndArgs,
}

fn both(line: &str) -> EndToEndSpec {
    let typed = Both::try_parse_from(words(line)).map_err(|error| error.to_string());
    let spec = typed.unwrap().args.spec(7, Duration::from_secs(10), None);
    spec.unwrap()
}

#[test]
fn writing_and_reading_at_once_is_of_single_records_unless_told_otherwise() {
    let spec = both("h --topic t");
    assert_eq!((spec.fan_out, spec.write.records.batch_bytes), (1, 61));
    let read = spec.read;
    assert_eq!((read.from, read.until), (From::Latest, Until::Follow));
    assert_eq!((read.depth, read.records), (Depth::Records, None));
    let spec = both(
        "h --topic t --partitions 2,4 --fan-out 5 --batch-bytes 16Ki --max-wait 20ms --min-bytes 9 \
         --fetch-size 64Ki --fetch-max-bytes 1Mi --acks 1",
    );
    let (write, read) = (spec.write, spec.read);
    assert_eq!((spec.fan_out, write.records.batch_bytes), (5, 16 << 10));
    assert_eq!(
        (&write.partitions, &read.partitions),
        (&vec![2, 4], &vec![2, 4])
    );
    assert_eq!((read.max_wait_ms, read.min_bytes), (20, 9));
    assert_eq!(
        (read.partition_max_bytes, read.fetch_max_bytes),
        (64 << 10, 1 << 20)
    );
    assert_eq!(write.acks, Acks::Leader);
}

fn created(line: &str) -> Option<NewTopic> {
    Writer::try_parse_from(words(line))
        .unwrap()
        .create
        .topic("t")
}

#[test]
fn clap_accepts_the_definitions_and_every_flag_states_its_default() {
    for command in [Reader::command(), Writer::command(), Both::command()] {
        command.clone().debug_assert();
        for arg in command.get_arguments() {
            if arg.get_id() == "help" || arg.is_required_set() {
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let stated = help.contains("[default: ") || !arg.get_default_values().is_empty();
            assert!(
                stated,
                "--{} does not say its default: {help}",
                arg.get_id()
            );
        }
    }
}

#[test]
fn the_defaults_of_reading() {
    let wanted = ConsumeSpec {
        cluster: ClusterSpec {
            bootstrap: vec!["h".into()],
            sasl: None,
            client_id: "loadgen".into(),
        },
        topic: "t".into(),
        partitions: Vec::new(),
        from: From::Earliest,
        until: Until::End,
        records: Some(9),
        partition_max_bytes: 1 << 20,
        fetch_max_bytes: 50 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
        isolation: Isolation::ReadUncommitted,
        depth: Depth::Headers,
        seeded_record_bytes: None,
    };
    assert_eq!(consume("h --topic t"), Ok(wanted));
}

#[test]
fn flags_of_reading_reach_their_fields() {
    let all = consume(
        "a:1,b c:3 --topic t --partitions 0,3-5 --from 77 --replay --verify crc --isolation \
         read_committed --fetch-size 2Mi --fetch-max-bytes 8Mi --min-bytes 64Ki --max-wait 20ms \
         --record-bytes 1000 --client-id me",
    );
    let all = all.unwrap();
    assert_eq!(all.cluster.bootstrap, ["a:1", "b", "c:3"]);
    assert_eq!(all.partitions, [0, 3, 4, 5]);
    assert_eq!((all.from, all.until), (From::Offset(77), Until::Replay));
    assert_eq!(
        (all.depth, all.isolation),
        (Depth::Crc, Isolation::ReadCommitted)
    );
    assert_eq!(
        (
            all.partition_max_bytes,
            all.fetch_max_bytes,
            all.min_bytes,
            all.max_wait_ms
        ),
        (2 << 20, 8 << 20, 64 << 10, 20)
    );
    assert_eq!(all.seeded_record_bytes, Some(1000));
    assert_eq!(all.cluster.client_id, "me");
    let until = |line: &str| consume(&format!("h --topic t {line}")).unwrap().until;
    assert_eq!(until("--until follow"), Until::Follow);
    assert_eq!(until("--until replay"), Until::Replay);
    let depth = |line: &str| consume(&format!("h --topic t {line}")).unwrap().depth;
    assert_eq!(depth("--verify none"), Depth::None);
    assert_eq!(depth("--verify records"), Depth::Records);
}

#[test]
fn the_defaults_of_writing() {
    let wanted = ProduceSpec {
        cluster: ClusterSpec {
            bootstrap: vec!["h".into()],
            sasl: None,
            client_id: "loadgen".into(),
        },
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
        seed: 7,
    };
    assert_eq!(produce("h --topic t"), Ok(wanted));
}

#[test]
fn flags_of_writing_reach_their_fields() {
    let all = produce(
        "h --topic t --partitions 1 --record-size 1Mi --key-size 8 --header a=b=16 --header c=0 \
         --batch-bytes 16Ki --codec zstd --acks 0 --ack-timeout 3s --partitioner sticky:100",
    );
    let all = all.unwrap();
    assert_eq!(all.partitions, [1]);
    let records = all.records;
    assert_eq!((records.value_bytes, records.key_bytes), (1 << 20, Some(8)));
    assert_eq!(
        records.headers,
        [("a=b".to_owned(), 16), ("c".to_owned(), 0)]
    );
    assert_eq!(
        (records.batch_bytes, records.codec),
        (16 << 10, Codec::Zstd)
    );
    assert_eq!((all.acks, all.timeout_ms), (Acks::None, 3000));
    assert_eq!(all.partitioner, Partitioner::Sticky { batches: 100 });
    let acks = |line: &str| produce(&format!("h --topic t {line}")).unwrap().acks;
    assert_eq!(
        (acks("--acks 1"), acks("--acks all")),
        (Acks::Leader, Acks::All)
    );
    assert_eq!(acks("--acks=-1"), Acks::All);
    let keyed = produce("h --topic t --partitioner key").unwrap();
    assert_eq!(keyed.partitioner, Partitioner::ByKey);
}

#[test]
fn a_topic_is_created_on_request_only() {
    assert_eq!(created("h --topic t"), None);
    let plain = NewTopic {
        name: "t".into(),
        partitions: None,
        replication: None,
        settings: Vec::new(),
    };
    assert_eq!(created("h --topic t --create"), Some(plain));
    let all = created(
        "h --topic t --create --partitions-count 4 --replication-factor 3 --topic-config a=b=c",
    );
    let all = all.unwrap();
    assert_eq!((all.partitions, all.replication), (Some(4), Some(3)));
    assert_eq!(all.settings, [("a".to_owned(), "b=c".to_owned())]);
}

#[test]
fn a_password_is_typed_or_in_a_file_or_outside() {
    let password = |line: &str| {
        let who = consume(&format!("h --topic t {line}"))?.cluster.sasl;
        who.map(|who| (who.mechanism, who.user, who.password))
            .ok_or_else(|| "nobody".to_owned())
    };
    let who = |mechanism, password: &str| Ok((mechanism, "u".to_owned(), password.to_owned()));
    assert_eq!(password("--sasl PLAIN:u:p:q"), who(Mechanism::Plain, "p:q"));
    let outside = who(Mechanism::ScramSha512, "from-outside");
    assert_eq!(password("--sasl scram-sha-512:u"), outside);
    let folder = std::env::temp_dir().join(format!("loadgen-kafka-{}", std::process::id()));
    std::fs::write(&folder, "of-the-file\nand more\n").unwrap();
    let file = format!("--sasl-password-file {}", folder.display());
    let of_file = password(&format!("--sasl SCRAM-SHA-256:u {file}"));
    assert_eq!(of_file, who(Mechanism::ScramSha256, "of-the-file"));
    let twice = password(&format!("--sasl PLAIN:u:p {file}")).unwrap_err();
    std::fs::remove_file(&folder).unwrap();
    assert!(twice.contains("one of them"), "{twice}");
    let missing = password("--sasl PLAIN:u --sasl-password-file /no/such").unwrap_err();
    assert!(missing.contains("/no/such"), "{missing}");
    let nowhere = produce("h --topic t --sasl PLAIN:u").unwrap_err();
    assert!(nowhere.contains(PASSWORD), "{nowhere}");
    let typo = produce("h --topic t --sasl PLIAN:u:secret").unwrap_err();
    assert!(!typo.contains("secret") && typo.contains("PLAIN"), "{typo}");
    let typed = Reader::try_parse_from(words("h --topic t --sasl PLAIN:u:secret")).unwrap();
    assert!(!format!("{:?}", typed.args).contains("secret"));
}

#[test]
fn what_is_no_value_is_refused_by_name() {
    for (line, parts) in [
        ("--topic t", ["HOST:PORT", ""]),
        ("h", ["--topic", ""]),
        ("h --topic t --partitions 1-", ["--partitions", "\"\""]),
        ("h --topic t --partitions -1", ["-1", ""]),
        ("h --topic t --partitions 5-2", ["--partitions", "5-2"]),
        (
            "h --topic t --partitions 0-2000000000",
            ["--partitions", "100000"],
        ),
        (
            "h --topic t --partitions 0-60000,0-60000",
            ["--partitions", "100000"],
        ),
        ("h --topic t --from nowhere", ["--from", "nowhere"]),
        ("h --topic t --until midnight", ["--until", "midnight"]),
        ("h --topic t --until end --replay", ["--replay", "--until"]),
        ("h --topic t --verify all", ["--verify", "records"]),
        (
            "h --topic t --fetch-size 4Gi",
            ["--fetch-size", "2147483647"],
        ),
        ("h --topic t --max-wait 1.5ms", ["--max-wait", "1.5ms"]),
        ("h --topic t --max-wait 5x", ["--max-wait", "5x"]),
        ("h --topic t --sasl-password-file x", ["--sasl", ""]),
    ] {
        let text = consume(line).unwrap_err();
        for part in parts {
            assert!(text.contains(part), "{line}: {text}");
        }
    }
    for (line, parts) in [
        ("h --topic t --codec lzo", ["--codec", "lz4"]),
        ("h --topic t --acks 2", ["--acks", "all"]),
        ("h --topic t --header x", ["--header", "NAME=BYTES"]),
        ("h --topic t --header x=y", ["--header", "y"]),
        (
            "h --topic t --partitioner sticky",
            ["--partitioner", "sticky:100"],
        ),
        (
            "h --topic t --partitioner sticky:0",
            ["--partitioner", "limit of 1"],
        ),
        (
            "h --topic t --partitioner sticky:5G",
            ["--partitioner", "4294967295"],
        ),
        ("h --topic t --ack-timeout 10us", ["--ack-timeout", "10µs"]),
        ("h --topic t --partitions-count 4", ["--create", ""]),
        (
            "h --topic t --create --replication 0",
            ["--replication", "limit of 1"],
        ),
        (
            "h --topic t --create --topic-config x",
            ["--topic-config", "NAME=VALUE"],
        ),
        ("h --topic t --sasl hunter2", ["--sasl", "SCRAM-SHA-256"]),
        ("h --topic t --sasl PLAIN", ["--sasl", "user is missing"]),
    ] {
        let text = produce(line).unwrap_err();
        for part in parts {
            assert!(text.contains(part), "{line}: {text}");
        }
    }
}
