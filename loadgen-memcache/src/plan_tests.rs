//! What is planned, and what is refused.

use super::*;
use crate::spec::{Credentials, SizeRange};

fn spec() -> MemcacheSpec {
    MemcacheSpec {
        servers: vec!["127.0.0.1:11211".into()],
        ..MemcacheSpec::default()
    }
}

fn refused(change: impl FnOnce(&mut MemcacheSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    match MemcachePlan::new(spec) {
        Err(PlanError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_are_routes_with_their_default_port() {
    let mut spec = spec();
    spec.servers = vec!["127.0.0.1".into(), "[::1]:7".into()];
    let plan = MemcachePlan::new(spec).unwrap();
    let names: Vec<&str> = plan.routes().iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:11211", "[::1]:7"]);
    assert_eq!(plan.routes()[0].endpoints[0].to_string(), "127.0.0.1:11211");
    assert_eq!(plan.prefill_keys(), None);

    let unix = MemcacheSpec {
        unix_socket: Some("/run/m.sock".into()),
        ..MemcacheSpec::default()
    };
    let plan = MemcachePlan::new(unix).unwrap();
    assert_eq!(plan.routes()[0].name, "unix:/run/m.sock");
}

#[test]
fn each_address_of_a_name_is_a_server_of_its_own() {
    let mut spec = spec();
    spec.servers = vec!["cache".into(), "127.0.0.1:7".into()];
    let addresses = |host: &str, port| {
        let last = if host == "cache" { 1..3 } else { 1..2 };
        let address = |n| Endpoint::Tcp(([10, 0, 0, n], port).into());
        Ok(last.map(address).collect())
    };
    let routes = routes_by(&spec, addresses).unwrap();
    let names: Vec<&str> = routes.iter().map(|r| r.name.as_str()).collect();
    let expected = [
        "cache:11211 (10.0.0.1:11211)",
        "cache:11211 (10.0.0.2:11211)",
    ];
    assert_eq!(names, [expected[0], expected[1], "127.0.0.1:7"]);
    assert!(routes.iter().all(|route| route.endpoints.len() == 1));
    spec.servers.push("cache".into());
    let twice = routes_by(&spec, addresses).unwrap_err();
    assert!(twice.to_string().contains("give each server once"));
}

#[test]
fn a_name_without_an_address_is_no_usage_error() {
    let mut spec = spec();
    spec.servers = vec!["no-such-host.invalid".into()];
    let error = MemcachePlan::new(spec).unwrap_err();
    assert!(matches!(error, PlanError::Target(_)));
    assert!(error.to_string().contains("no-such-host.invalid"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a refusal")]
fn every_refusal_names_its_flag_and_the_value() {
    type Change = fn(&mut MemcacheSpec);
    let cases: &[(Change, [&str; 2])] = &[
        (|s| s.servers.clear(), ["1 to 1024", "not 0"]),
        (
            |s| s.servers.push("127.0.0.1".into()),
            ["127.0.0.1", "once"],
        ),
        (|s| s.servers[0] = "h:0".into(), ["h:0", "65535"]),
        (
            |s| s.unix_socket = Some("/x".into()),
            ["--unix-socket", "exclude"],
        ),
        (|s| s.ops.clear(), ["--op-mix", "nothing to ask"]),
        (
            |s| s.ops = vec![(Op::Get, 0)],
            ["--op-mix", "nothing to ask"],
        ),
        (
            |s| s.ops = vec![(Op::Get, 1), (Op::Get, 2)],
            ["get", "twice"],
        ),
        (|s| s.ops[0].1 = 100_001, ["set=100001", "100000"]),
        (|s| s.keys = 0, ["--keys", "not 0"]),
        (|s| s.keys = KEYS_MAX + 1, ["--keys", "1099511627776"]),
        (|s| s.key_bytes = Sizes::fixed(251), ["--key-size", "251"]),
        (
            |s| s.key_bytes = Sizes::fixed(3),
            ["3 bytes", "4 bytes are needed"],
        ),
        (|s| s.key_prefix = "a b".into(), ["--key-prefix", "' '"]),
        (|s| s.key_prefix = "x".repeat(61), ["--key-size", "65"]),
        (
            |s| s.value_bytes = Sizes::range(9, 8),
            ["--value-size", "9-8"],
        ),
        (|s| s.value_bytes = Sizes(vec![]), ["--value-size", "not 0"]),
        (
            |s| s.value_bytes = Sizes::fixed(u32::MAX),
            ["--value-size", "4294967295"],
        ),
        (
            |s| s.value_bytes.0[0].weight = 0,
            ["--value-size", "weight"],
        ),
        (|s| s.popularity = Popularity::Zipf(0.0), ["zipf", "not 0"]),
        (
            |s| s.popularity = Popularity::Zipf(f64::NAN),
            ["zipf", "NaN"],
        ),
        (
            |s| {
                s.popularity = Popularity::Hot {
                    keys: 1.0,
                    requests: 0.5,
                }
            },
            ["keys", "not 1"],
        ),
        (|s| s.multiget = 0, ["--multiget", "not 0"]),
        (
            |s| (s.multiset, s.ops) = (2, vec![(Op::Get, 1)]),
            ["--multiset 2", "set"],
        ),
        (
            |s| (s.set_on_miss, s.ops) = (true, vec![(Op::Set, 1)]),
            ["--on-miss-set", "read"],
        ),
        (|s| s.expiry_s = 2_592_001, ["--expiry", "2592000"]),
        (|s| s.verify = 1.5, ["--verify", "1.5"]),
        (|s| s.verify_expiry = true, ["expiry", "nothing expires"]),
        (
            |s| (s.verify_expiry, s.expiry_s) = (true, 9),
            ["expiry", "window"],
        ),
        (
            |s| s.prefill = Prefill::First(10_001),
            ["--prefill=10001", "10000"],
        ),
        (
            |s| {
                s.placement = Placement::Hashed;
                s.key_space = KeySpace::PerConnection;
            },
            ["--placement", "shared"],
        ),
        (
            |s| {
                s.key_space = KeySpace::Window { overwrite: 0.0 };
                s.popularity = Popularity::Sequential;
            },
            ["--popularity", "window"],
        ),
        (
            |s| {
                s.sasl = Some(Credentials {
                    user: "u".into(),
                    password: String::new(),
                });
            },
            ["--sasl", "password"],
        ),
    ];
    for (change, parts) in cases {
        let text = refused(*change);
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
}

#[test]
fn memaslaps_smallest_key_holds_connection_and_number() {
    let mut window = spec();
    window.key_space = KeySpace::Window { overwrite: 0.0 };
    window.key_bytes = Sizes::fixed(16);
    assert!(MemcachePlan::new(window).is_ok());
}

#[test]
fn hashed_servers_share_as_their_keys_do() {
    let mut hashed = spec();
    hashed.servers = (1..=4).map(|port| format!("127.0.0.1:{port}")).collect();
    hashed.placement = Placement::Hashed;
    let plan = MemcachePlan::new(hashed.clone()).unwrap();
    let weights: Vec<u32> = plan.routes().iter().map(|r| r.weight).collect();
    assert_eq!(weights.iter().sum::<u32>(), 65_536);
    assert!(
        weights.iter().all(|w| (15_000..18_000).contains(w)),
        "{weights:?}"
    );
    // With one popular key, its server gets most.
    hashed.popularity = Popularity::Zipf(3.0);
    let plan = MemcachePlan::new(hashed.clone()).unwrap();
    let most = plan.routes().iter().map(|r| r.weight).max().unwrap();
    assert!(most > 50_000, "{most}");
    hashed.popularity = Popularity::Uniform;
    hashed.keys = 1;
    let error = MemcachePlan::new(hashed).unwrap_err().to_string();
    assert!(error.contains("--keys 1"), "{error}");
}

#[test]
fn the_document_tells_the_plan_and_no_password() {
    let mut all = spec();
    all.sasl = Some(Credentials {
        user: "u".into(),
        password: "hunter2".into(),
    });
    all.popularity = Popularity::Zipf(0.99);
    all.value_bytes.0.push(SizeRange {
        min_bytes: 1,
        max_bytes: 9,
        weight: 3,
    });
    let document = MemcachePlan::new(all).unwrap().document();
    assert_eq!(document["sasl"], true);
    assert!(!document.to_string().contains("hunter2"));
    assert_eq!(document["popularity"], "zipf:0.99");
    assert_eq!(document["value_sizes"][1]["max_bytes"], 9);
    assert_eq!(document["ops"][0], json!({"op": "set", "weight": 1}));
    assert!(document["prefill_keys"].is_null());
}
