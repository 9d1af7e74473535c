//! What is typed, and what it asks for.

use clap::{CommandFactory as _, Parser};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    memcache: MemcacheArgs,
}

fn typed(line: &str) -> Result<MemcacheArgs, clap::Error> {
    let words = std::iter::once("x").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.memcache)
}

fn spec(line: &str) -> MemcacheSpec {
    let typed = typed(line).unwrap_or_else(|error| panic!("{error}"));
    typed.spec(None, 7).unwrap()
}

fn range(min_bytes: u32, max_bytes: u32, weight: u32) -> SizeRange {
    SizeRange {
        min_bytes,
        max_bytes,
        weight,
    }
}

#[test]
fn clap_accepts_the_definition_and_every_flag_states_its_default() {
    let command = Cli::command();
    command.clone().debug_assert();
    for arg in command.get_arguments().filter(|arg| arg.get_id() != "help") {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let stated = help.contains("[default: ") || !arg.get_default_values().is_empty();
        assert!(
            stated,
            "--{} does not say its default: {help}",
            arg.get_id()
        );
    }
}

#[test]
fn the_defaults_are_those_of_the_library() {
    let mut wanted = MemcacheSpec::default();
    (wanted.servers, wanted.seed) = (vec!["h".into()], 7);
    assert_eq!(format!("{:?}", spec("h")), format!("{wanted:?}"));
}

#[test]
fn flags_reach_their_fields() {
    let all = spec(
        "a b:2 --op-mix get=8,set=1,incr=1 --op-order fixed --key-size 16-32 \
         --value-size 64:3,1Ki-2Ki:1 --key-prefix p- --keys 1M --key-space per-connection \
         --popularity zipf:0.99 --placement hashed --multiget 100 --multiset 5 --expiry 1m \
         --on-miss-set --prefill=10 --sasl u:p:q --verify --return-keys",
    );
    assert_eq!(all.servers, ["a", "b:2"]);
    assert_eq!(all.ops, [(Op::Get, 8), (Op::Set, 1), (Op::Incr, 1)]);
    assert_eq!(
        (all.mix, all.key_bytes),
        (Mix::Rotation, Sizes::range(16, 32))
    );
    assert_eq!(all.value_bytes.0, [range(64, 64, 3), range(1024, 2048, 1)]);
    assert_eq!((all.key_prefix.as_str(), all.keys), ("p-", 1_000_000));
    assert_eq!(all.key_space, KeySpace::PerConnection);
    assert_eq!(all.popularity, Popularity::Zipf(0.99));
    assert_eq!(
        (all.placement, all.multiget, all.multiset),
        (Placement::Hashed, 100, 5)
    );
    assert_eq!((all.expiry_s, all.prefill), (60, Prefill::First(10)));
    assert!(all.set_on_miss && all.return_keys);
    let who = all.sasl.unwrap();
    assert_eq!((who.user.as_str(), who.password.as_str()), ("u", "p:q"));
    assert_eq!((all.verify, all.seed), (1.0, 7));
    assert_eq!(spec("h --verify=0.5").verify, 0.5);
    assert_eq!(spec("h --prefill").prefill, Prefill::All);
    assert_eq!(spec("h --ratio 3:7").ops, [(Op::Set, 3), (Op::Get, 7)]);
    let hot = Popularity::Hot {
        keys: 0.1,
        requests: 0.9,
    };
    assert_eq!(spec("h --popularity hot:0.1:0.9").popularity, hot);
}

#[test]
fn servers_may_come_from_the_environment() {
    let servers = |line: &str, environment| {
        let spec = typed(line).unwrap().spec(environment, 1).unwrap();
        spec.servers
    };
    assert_eq!(servers("", Some("a:1, b:2,")), ["a:1", "b:2"]);
    assert_eq!(servers("c", Some("a:1")), ["c"]);
    assert!(servers("--unix-socket /x", Some("a:1")).is_empty());
    assert!(servers("", None).is_empty());
}

#[test]
fn what_is_no_value_is_refused_by_name() {
    for (line, part) in [
        ("h --ratio 1", "SET:GET"),
        ("h --ratio 1:x", "\"x\""),
        ("h --op-mix get", "OP=WEIGHT"),
        ("h --op-mix fetch=1", "touch"),
        ("h --ratio 1:1 --op-mix get=1", "--ratio"),
        ("h --key-size 1-", "\"\""),
        ("h --value-size 5G", "4294967295"),
        ("h --popularity zipf", "zipf:0.99"),
        ("h --popularity hot:a:b", "\"a\""),
        ("h --sasl secret", "USER:PASS"),
        ("h --unix-socket /x", "--unix-socket"),
        ("h --keys 0", "limit of 1"),
        ("h --prefill=0", "limit of 1"),
    ] {
        let text = typed(line).unwrap_err().to_string();
        assert!(text.contains(part), "{line}: {text}");
    }
    let refused = typed("h --sasl secret").unwrap_err().to_string();
    let half = typed("h --expiry 1500ms")
        .unwrap()
        .spec(None, 1)
        .unwrap_err();
    assert!(half.to_string().contains("whole seconds"));
    assert!(refused.contains("colon"));
}
