//! The flags of the consumer as scripts write them, and what the tool refuses, in its words.

use super::*;

fn typed(line: &str) -> Result<Typed, Refusal> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    read(&words)
}

#[track_caller]
fn asked(line: &str) -> Ask {
    match typed(&format!("--bootstrap-server b:1 --topic t {line}")) {
        Ok(Typed::Run(ask)) => *ask,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_the_tools() {
    let ask = asked("--num-records 5");
    assert_eq!(ask.spec.records, Some(5));
    assert_eq!(
        (ask.spec.from, ask.spec.until),
        (From::Earliest, Until::Follow)
    );
    assert_eq!(ask.spec.partition_max_bytes, 1_048_576);
    assert_eq!(ask.spec.fetch_max_bytes, 52_428_800);
    assert_eq!((ask.spec.min_bytes, ask.spec.max_wait_ms), (1, 500));
    assert_eq!(ask.spec.cluster.client_id, "perf-consumer-client");
    assert_eq!(ask.client.receive_buffer_bytes, Some(2_097_152));
    assert_eq!((ask.threads, ask.idle), (1, Duration::from_secs(10)));
    assert_eq!(ask.interval, Duration::from_secs(5));
    assert!(!ask.detailed && !ask.hide_header && !ask.metrics);
    assert_eq!(
        (ask.words, ask.notes),
        (KafkaWords::Records, Vec::<String>::new())
    );
}

#[test]
fn old_names_and_new_names_mean_the_same() {
    let new = asked("--num-records 9 --command-config /dev/null --hide-header");
    let old = typed(
        "-broker-list=b:1 -topic t --messages=9 --consumer.config /dev/null --hide-header surplus",
    );
    let Ok(Typed::Run(old)) = old else {
        panic!("{old:?}");
    };
    assert_eq!(old.spec, new.spec);
    assert_eq!(
        (old.words, new.words),
        (KafkaWords::Messages, KafkaWords::Records)
    );
    let notes = old.notes.join("\n");
    for hint in ["--num-records", "--command-config", "--bootstrap-server"] {
        assert!(notes.contains(hint), "{notes}");
    }
}

#[test]
fn every_flag_has_its_effect() {
    let ask = asked(
        "--messages 9 --group g --fetch-size 7 --fetch-max-bytes 99 --from-latest \
         --socket-buffer-size -1 --threads 4 --num-fetch-threads 2 --print-metrics \
         --show-detailed-stats --timeout 250 --reporting-interval 10 --date-format yyyy \
         --hide-header --json=f",
    );
    assert_eq!(
        (ask.spec.partition_max_bytes, ask.spec.fetch_max_bytes),
        (7, 99)
    );
    assert_eq!(ask.spec.from, From::Latest);
    assert_eq!(ask.client.receive_buffer_bytes, None);
    assert_eq!((ask.threads, ask.idle), (4, Duration::from_millis(250)));
    assert_eq!(ask.interval, Duration::from_millis(10));
    assert!(ask.detailed && ask.hide_header && ask.metrics);
    assert_eq!(ask.json, Some("f".into()));
    assert_eq!(
        asked("--messages 1 --timeout --hide-header").idle,
        Duration::from_secs(10)
    );
}

#[test]
fn settings_come_from_the_file_and_then_from_the_command_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "fetch.min.bytes=100\nisolation.level=read_committed\nclient.id=f\n\
                max.partition.fetch.bytes=5\nmax.poll.records=1\n";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().display();
    let ask = asked(&format!(
        "--num-records 1 --command-config {path} --command-property client.id=c \
         --command-property fetch.max.wait.ms=20 --command-property fetch.max.bytes=1000"
    ));
    assert_eq!((ask.spec.min_bytes, ask.spec.max_wait_ms), (100, 20));
    assert_eq!(ask.spec.fetch_max_bytes, 1000);
    assert_eq!(ask.spec.isolation, Isolation::ReadCommitted);
    assert_eq!(ask.spec.cluster.client_id, "c");
    assert_eq!(ask.spec.partition_max_bytes, 1_048_576);
    let notes = ask.notes.join("\n");
    assert!(
        notes.contains("max.partition.fetch.bytes=5 has no effect"),
        "{notes}"
    );
    assert!(
        notes.contains("no meaning here: max.poll.records"),
        "{notes}"
    );
}

/// Lines as kafka-consumer-perf-test of 4.2.0 said them; the others are ours.
#[test]
fn refusals_are_the_tools() {
    let all = "--bootstrap-server b:1 --topic t --num-records 5";
    let with = |more: &str| format!("{all} {more}");
    for (line, usage, said) in [
        (String::new(), true, ""),
        (with("--help"), true, ""),
        (
            with("--unknown"),
            true,
            "unknown is not a recognized option",
        ),
        (
            "--bootstrap-server b:1 --topic t".to_owned(),
            true,
            "Exactly one of the following arguments is required: [messages], [num-records]",
        ),
        (
            with("--messages 5"),
            true,
            "Exactly one of the following arguments is required: [messages], [num-records]",
        ),
        (
            "--bootstrap-server b:1 --num-records 5".to_owned(),
            true,
            "Exactly one of the following arguments is required: [topic], [include]",
        ),
        (
            "--topic t --num-records 5".to_owned(),
            true,
            "Missing required argument \"[bootstrap-server]\"",
        ),
        (
            with("--command-config a --consumer.config b"),
            true,
            "Option \"[consumer.config]\" can't be used with option \"[command-config]\"",
        ),
        (
            with("--topic u"),
            false,
            "Found multiple arguments for option topic, but you asked for only one",
        ),
        (
            with("--fetch-size 1M"),
            false,
            "Cannot parse argument '1M' of option fetch-size",
        ),
        (
            with("--reporting-interval 0"),
            false,
            "Reporting interval must be greater than 0.",
        ),
        (
            with("--date-format b"),
            false,
            "Illegal pattern character 'b'",
        ),
        (
            "--bootstrap-server b:1 --topic t --messages 0".to_owned(),
            false,
            "0 records are below the limit of 1",
        ),
    ] {
        let refusal = typed(&line).unwrap_err();
        assert_eq!(
            (refusal.line.as_str(), refusal.usage),
            (said, usage),
            "{line}"
        );
    }
}

#[test]
fn what_cannot_be_had_is_refused() {
    let with = |more: &str| format!("--bootstrap-server b:1 --topic t --num-records 5 {more}");
    for (line, said) in [
        (with("--threads 0"), "--threads"),
        (
            with("--command-config /no/such"),
            "--command-config /no/such: ",
        ),
        (
            with("--command-property isolation.level=x"),
            "isolation.level=x",
        ),
        (with("--command-property security.protocol=SSL"), "TLS"),
        (with("--fetch-size 0"), "--fetch-size"),
        (
            "--bootstrap-server b:1 --include t.* --messages 5".to_owned(),
            "--include t.*",
        ),
    ] {
        let refusal = typed(&line).unwrap_err();
        assert!(refusal.line.contains(said), "{line}: {}", refusal.line);
    }
    assert_eq!(typed(&with("--version")), Ok(Typed::Version));
}

#[test]
fn every_flag_is_in_the_help() {
    for flag in FLAGS {
        let known = USAGE.contains(&format!("--{}", flag.name));
        assert!(known || flag.name == "new-consumer", "--{}", flag.name);
    }
}
