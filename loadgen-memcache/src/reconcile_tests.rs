//! What agrees, what differs, and what a document says of it.

use loadgen_core::results::{Latency, Target, sample};

use loadgen_core::workload::Endpoint;

use super::*;

/// What a server says: pid 1, all counters 0 but those that are named.
fn stats(numbers: &[(&str, u64)]) -> ServerStats {
    let zeros = DELTAS.iter().chain(&GAUGES).map(|name| (*name, 0));
    let rows = zeros.chain([("pid", 1), ("uptime", 1)]);
    let all = rows.chain(numbers.iter().copied());
    ServerStats {
        counters: all
            .map(|(name, n)| (name.to_owned(), n.to_string()))
            .collect(),
        settings: [("maxbytes".to_owned(), "67108864".to_owned())].into(),
        asked_bytes: 0,
    }
}

fn witness(port: u16, before: &[(&str, u64)], after: &[(&str, u64)]) -> Witness {
    Witness {
        endpoints: vec![Endpoint::Tcp(([127, 0, 0, 1], port).into())],
        before: Ok(stats(before)),
        after: Ok(stats(after)),
        prefill_bytes: None,
    }
}

fn row(op: &str, status: &str, units: u64) -> Operation {
    Operation {
        op: op.to_owned(),
        status: status.to_owned(),
        outcome: "ok".to_owned(),
        count: units,
        units,
        total_count: units,
        total_units: units,
        apart: false,
        response_time: Latency::default(),
    }
}

/// 90 GETs with 80 hits, 10 SETs, over two servers.
fn document() -> Document {
    let mut document = sample::document(false);
    document.operations = vec![
        row("get", "ok", 40),
        row("get", "mismatch", 10),
        row("multiget", "ok", 30),
        row("get", "not_found", 10),
        row("set", "ok", 9),
        row("add", "exists", 1),
        row("set", "too_large", 77),
    ];
    document.connections.opened = 4;
    document.targets = [1, 2]
        .map(|port| Target {
            address: format!("127.0.0.1:{port}"),
            route: String::new(),
            opened: 2,
            completed: 0,
            failed: 0,
            server: Value::Null,
        })
        .into();
    document
}

const FIRST: [(&str, u64); 5] = [
    ("cmd_get", 40),
    ("get_hits", 40),
    ("cmd_set", 5),
    ("total_connections", 3),
    ("conn_yields", 2),
];
const SECOND: [(&str, u64); 5] = [
    ("cmd_get", 50),
    ("get_hits", 40),
    ("get_misses", 10),
    ("cmd_set", 5),
    ("total_connections", 3),
];

fn codes(document: &Document) -> Vec<(&str, Weight)> {
    let ours = document.findings.iter();
    let ours = ours.filter(|f| f.code.starts_with("memcache."));
    ours.map(|f| (f.code.as_str(), f.weight)).collect()
}

#[test]
fn counts_that_agree_are_no_finding_and_the_servers_are_in_the_document() {
    let mut document = document();
    let witnesses = [witness(1, &[], &FIRST), witness(2, &[], &SECOND)];
    reconcile(&mut document, &witnesses);
    assert_eq!(codes(&document), [("memcache.conn_yields", Weight::Note)]);
    let server = &document.targets[1].server;
    assert_eq!(server["delta"]["get_misses"], 10);
    assert_eq!(server["settings"]["maxbytes"], 67_108_864);
    assert_eq!(server["settings"]["num_threads"], Value::Null);
    assert_eq!(server["before"]["curr_items"], 0);
    assert_eq!(server["error"], Value::Null);
}

#[test]
fn sums_that_agree_hide_no_server_that_does_not() {
    let mut document = document();
    document.operations = vec![
        row("get", "ok", 80),
        row("get", "not_found", 10),
        row("set", "ok", 10),
    ];
    let run = |each: [u64; 2]| {
        let mut document = document.clone();
        for (target, completed) in document.targets.iter_mut().zip(each) {
            target.completed = completed;
        }
        let witnesses = [witness(1, &[], &FIRST[..4]), witness(2, &[], &SECOND)];
        reconcile(&mut document, &witnesses);
        document
    };
    assert_eq!(codes(&run([45, 55])), []);
    let dealt_anew = run([44, 56]);
    assert_eq!(
        codes(&dealt_anew),
        [("memcache.server_mismatch", Weight::Invalid)]
    );
    let finding = dealt_anew.findings.last().unwrap();
    assert_eq!((finding.actual, finding.limit), (Some(44.0), Some(45.0)));
}

#[test]
fn sockets_that_listen_are_no_other_clients() {
    let alone = |inter: Option<&str>, connections: u64| {
        let mut witness = witness(1, &[("curr_connections", connections)], &[]);
        for said in [&mut witness.before, &mut witness.after] {
            let settings = &mut said.as_mut().unwrap().settings;
            settings.extend(inter.map(|inter| ("inter".to_owned(), inter.to_owned())));
        }
        !has_others(&document(), &[witness])
    };
    assert!(alone(Some("NULL"), 2) && !alone(Some("NULL"), 3));
    assert!(alone(Some("10.0.0.1"), 1) && !alone(Some("10.0.0.1"), 2));
    assert!(alone(Some("10.0.0.1,10.0.0.2"), 2) && !alone(None, 2));
}

#[test]
fn a_prefill_that_was_refused_says_how_often_and_why() {
    let rows = [row("set", "ok", 90), row("set", "out_of_memory", 7)];
    assert!(prefill_refused(&rows[..1]).is_none());
    let found = prefill_refused(&rows).unwrap();
    assert_eq!((found.actual, found.weight), (Some(7.0), Weight::Invalid));
    assert!(format!("{found:?}").contains("out_of_memory"));
}

#[test]
fn a_difference_is_invalid_and_with_others_around_a_doubt() {
    let mut more = SECOND;
    more[1].1 += 1;
    let run = |before: &[(&str, u64)], extra_connections: u64| {
        let mut document = document();
        let mut after = more.to_vec();
        after[4].1 += extra_connections;
        let witnesses = [witness(1, &[], &FIRST[..4]), witness(2, before, &after)];
        reconcile(&mut document, &witnesses);
        document
    };
    let alone = run(&[], 0);
    assert_eq!(
        codes(&alone),
        [("memcache.count_mismatch", Weight::Invalid)]
    );
    assert!(!alone.verdict.valid);
    let finding = alone.findings.iter().find(|f| f.code.contains("mismatch"));
    let finding = finding.unwrap();
    assert_eq!((finding.actual, finding.limit), (Some(80.0), Some(81.0)));
    assert_eq!(finding.unit.as_deref(), Some("get_hits"));
    for together in [run(&[], 1), run(&[("curr_connections", 2)], 0)] {
        assert_eq!(
            codes(&together),
            [("memcache.count_mismatch", Weight::Doubt)]
        );
    }
}

#[test]
fn what_failed_here_may_have_been_served_there() {
    let mut document = document();
    document.totals.failed = 2;
    let mut more = SECOND;
    (more[0].1, more[1].1) = (52, 42);
    let witnesses = [witness(1, &[], &FIRST[..4]), witness(2, &[], &more)];
    reconcile(&mut document, &witnesses);
    assert_eq!(codes(&document), []);
    more[0].1 = 49;
    document.findings.clear();
    let witnesses = [witness(1, &[], &FIRST[..4]), witness(2, &[], &more)];
    reconcile(&mut document, &witnesses);
    assert_eq!(codes(&document).len(), 1, "fewer than were answered");
}

#[test]
fn a_restart_and_silence_are_said_and_nothing_is_compared() {
    let mut document = document();
    let again = witness(1, &[("total_connections", 9)], &FIRST);
    let mut silent = witness(2, &[], &SECOND);
    silent.after = Err("stats of 127.0.0.1:2: connection refused".to_owned());
    reconcile(&mut document, &[again, silent]);
    let expected = [
        ("memcache.server_restarted", Weight::Doubt),
        ("memcache.not_reconciled", Weight::Note),
    ];
    assert_eq!(codes(&document), expected);
    assert_eq!(document.targets[0].server["restarted"], true);
    assert_eq!(document.targets[0].server["delta"]["cmd_get"], Value::Null);
    let error = document.targets[1].server["error"].as_str().unwrap();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn memory_is_keys_values_and_headers() {
    let spec = MemcacheSpec {
        value_bytes: Sizes(vec![
            SizeRange {
                min_bytes: 0,
                max_bytes: 200,
                weight: 3,
            },
            SizeRange {
                min_bytes: 500,
                max_bytes: 500,
                weight: 1,
            },
        ]),
        ..MemcacheSpec::default()
    };
    assert_eq!(memory_bytes(&spec, 10), 10 * (64 + 200 + 56));
}

#[test]
fn evictions_and_too_little_memory_are_found() {
    let mut document = document();
    let memory = [("limit_maxbytes", 1000)];
    let mut first = FIRST.to_vec();
    first[4] = ("evictions", 7);
    let mut witnesses = [witness(1, &memory, &first), witness(2, &memory, &SECOND)];
    witnesses[0].prefill_bytes = Some(1001);
    reconcile(&mut document, &witnesses);
    let expected = [
        ("memcache.evictions", Weight::Doubt),
        ("memcache.prefill_over_memory", Weight::Doubt),
    ];
    assert_eq!(codes(&document), expected);
    let mut enough = self::document();
    witnesses[1].prefill_bytes = Some(1000);
    reconcile(&mut enough, &witnesses[1..]);
    assert!(
        codes(&enough)
            .iter()
            .all(|(code, _)| !code.contains("prefill"))
    );
}

#[test]
fn a_server_with_two_addresses_is_counted_once() {
    let mut document = document();
    let both = [
        ("cmd_get", 90),
        ("get_hits", 80),
        ("get_misses", 10),
        ("cmd_set", 10),
    ];
    let mut one = witness(1, &[], &both);
    one.endpoints.extend(witness(2, &[], &[]).endpoints);
    reconcile(&mut document, &[one]);
    assert_eq!(codes(&document), [("memcache.same_server", Weight::Note)]);
    let [first, second] = [0, 1].map(|at| &document.targets[at].server);
    assert_eq!(first["delta"]["cmd_get"], 90);
    assert_eq!(first["same_as"], Value::Null);
    // A sum over the rows is right.
    assert_eq!(second["same_as"], "127.0.0.1:1");
    assert_eq!(second["delta"]["cmd_get"], Value::Null);
    assert_eq!(second["restarted"], Value::Null);
    let keys = |server: &Value| {
        server
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(first), keys(second));
}
