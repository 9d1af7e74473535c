//! The flags of the producer as scripts write them, and what the tool refuses, in its words.

use super::*;

fn typed(line: &str) -> Result<Typed, String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    read(&words)
}

const ALL: &str = "--topic t --num-records 10 --record-size 100 --throughput -1";

#[track_caller]
fn asked(line: &str) -> Ask {
    match typed(line) {
        Ok(Typed::Run(ask)) => *ask,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_the_tools() {
    let ask = asked(&format!("{ALL} --bootstrap-server b:1"));
    assert_eq!((ask.records, ask.rate_per_s), (10, None));
    assert_eq!(ask.spec.records.value_bytes, 100);
    assert_eq!(
        (ask.spec.records.batch_bytes, ask.spec.records.codec),
        (16_384, Codec::None)
    );
    assert_eq!((ask.spec.acks, ask.depth, ask.threads), (Acks::All, 5, 1));
    assert_eq!(ask.spec.cluster.client_id, "perf-producer-client");
    assert_eq!(ask.client.send_buffer_bytes, Some(131_072));
    assert_eq!(ask.spec.timeout_ms, 30_000);
    assert_eq!(ask.interval, Duration::from_secs(5));
    assert!(!ask.metrics && ask.notes.is_empty());
}

#[test]
fn settings_come_from_the_file_and_then_from_the_command_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "bootstrap.servers=f:1\nacks=0\ncompression.type=lz4\nbuffer.memory=1\n";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().display();
    let old = asked(&format!(
        "{ALL} --producer.config {path} --producer-props acks=1 batch.size=200000 \
         max.in.flight.requests.per.connection=2 --print-metrics"
    ));
    assert_eq!(old.spec.cluster.bootstrap, ["f:1"]);
    assert_eq!(
        (old.spec.acks, old.spec.records.codec),
        (Acks::Leader, Codec::Lz4)
    );
    assert_eq!((old.spec.records.batch_bytes, old.depth), (200_000, 2));
    assert!(old.metrics);
    let notes = old.notes.join("\n");
    for hint in [
        "--command-config",
        "--command-property",
        "no meaning here: buffer.memory",
    ] {
        assert!(notes.contains(hint), "{notes}");
    }
    let new = asked(&format!(
        "{ALL} --bootstrap-server b:1 --command-config {path} --command-property acks=-1 \
         --threads 3 --reporting-interval 100 --json=f"
    ));
    assert_eq!(new.spec.cluster.bootstrap, ["b:1"]);
    assert_eq!((new.spec.acks, new.threads), (Acks::All, 3));
    assert_eq!(
        (new.interval, new.json),
        (Duration::from_millis(100), Some("f".into()))
    );
}

/// At a rate, a batch has what comes within `linger.ms`.
#[test]
fn a_rate_makes_smaller_batches() {
    let bytes = |rate: &str, props: &str| {
        let line = format!(
            "--topic t --num-records 9 --record-size 100 --throughput {rate} --producer-props \
             bootstrap.servers=b:1 {props}"
        );
        asked(&line).spec.records.batch_bytes
    };
    // 2 of length, 1, 1, 2, 1, 2 of length, 100, 1.
    let record = 110;
    assert_eq!(bytes("2000", ""), 61 + 10 * record);
    assert_eq!(bytes("2000", "linger.ms=0"), 61 + 2 * record);
    assert_eq!(bytes("0.5", ""), 61 + record);
    assert_eq!(bytes("1000000", ""), 16_384);
    assert_eq!(bytes("-1", "linger.ms=0"), 16_384);
}

/// Behind `kafka-producer-perf-test: error: ` of 4.2.0, which breaks lines; the rest is ours.
#[test]
fn refusals_are_the_tools() {
    let full = format!("{ALL} --bootstrap-server b:1");
    let with = |more: &str| format!("{full} {more}");
    for (line, said) in [
        (
            "--topic t --num-records 10 --record-size 10 --payload-monotonic --throughput -1"
                .to_owned(),
            "argument --payload-monotonic: not allowed with argument --record-size",
        ),
        (
            "--topic t --num-records 10 --throughput -1".to_owned(),
            "one of the arguments --record-size --payload-file --payload-monotonic is required",
        ),
        (
            "--topic t --num-records 10 --record-size 10".to_owned(),
            "argument --throughput is required",
        ),
        (
            with("--num-records 0"),
            "--num-records should be greater than zero.",
        ),
        (
            with("--record-size 0"),
            "--record-size should be greater than zero.",
        ),
        (
            with("--reporting-interval 0"),
            "--reporting-interval should be greater than zero.",
        ),
        (
            with("--num-records 1x"),
            "argument --num-records: could not convert '1x' to Long (For input string: \"1x\")",
        ),
        (
            with("--throughput x"),
            "argument --throughput: could not convert 'x' to Double (For input string: \"x\")",
        ),
        (
            ALL.to_owned(),
            "At least one of --bootstrap-server, --command-property, --producer-props, \
             --producer.config or --command-config must be specified.",
        ),
        (with("--producer-props acks"), "Invalid property: acks"),
        (
            with("--producer-props a=1 --command-property a=1"),
            "--command-property and --producer-props cannot be specified together.",
        ),
    ] {
        assert_eq!(typed(&line), Err(said.to_owned()), "{line}");
    }
}

#[test]
fn what_cannot_be_had_is_refused() {
    let with = |more: &str| format!("{ALL} --bootstrap-server b:1 {more}");
    for (line, said) in [
        (with("--transactional-id x"), "--transactional-id"),
        (
            with("--command-property transactional.id=x"),
            "transactional.id=x",
        ),
        (with("--warmup-records 5"), "--warmup-records 5"),
        (with("--throughput 0"), "--throughput 0"),
        (with("--record-size 1048576"), "max.request.size 1048576"),
        (with("--command-property acks=2"), "acks=2"),
        (
            with("--command-property compression.type=x"),
            "compression.type=x",
        ),
        (
            with("--command-property batch.size=-1"),
            "batch.size: \"-1\"",
        ),
        (with("--command-property security.protocol=SSL"), "TLS"),
        (with("--topic sp@ce"), "--topic"),
    ] {
        let why = typed(&line).unwrap_err();
        assert!(why.contains(said), "{line}: {why}");
    }
    assert_eq!(typed(""), Ok(Typed::Help { bare: true }));
    assert_eq!(typed("-h"), Ok(Typed::Help { bare: false }));
    assert_eq!(typed("--version"), Ok(Typed::Version));
    let payload = "--topic t --num-records 1 --throughput 1 --payload-file f";
    assert!(typed(payload).unwrap_err().contains("--payload-file"));
    assert_eq!(
        asked(&with("--record-size 1000000"))
            .spec
            .records
            .value_bytes,
        1_000_000
    );
    assert_eq!(asked(&with("--warmup-records -2")).records, 10);
}

#[test]
fn every_flag_is_in_the_help() {
    for flag in FLAGS {
        let known = USAGE.contains(&format!("--{}", flag.name));
        let old = matches!(flag.name, "producer-props" | "producer.config");
        assert!(known || old, "--{}", flag.name);
    }
}
