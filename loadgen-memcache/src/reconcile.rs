//! Our counts against the servers' own: what they say goes into the document, and where the two
//! differ there is a finding.
//!
//! A pure function of the document and of what the servers said before and after. It must never
//! change a number of ours.

use loadgen_core::results::{Document, Finding, Operation, Weight, judge};
use loadgen_core::workload::Endpoint;
use serde_json::{Map, Value, json};

use crate::spec::{MemcacheSpec, SizeRange, Sizes};
use crate::stats::ServerStats;
use crate::target::ITEM_OVERHEAD_BYTES;

/// What one server said; an error is why it said nothing.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its address.
    pub endpoint: Endpoint,
    /// Before the first request, prefill too.
    pub before: Result<ServerStats, String>,
    /// After the last.
    pub after: Result<ServerStats, String>,
}

/// Counters that grow, kept as what the run added to them.
const DELTAS: [&str; 22] = [
    "cmd_get",
    "cmd_set",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "get_expired",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "evictions",
    "conn_yields",
    "bytes_read",
    "bytes_written",
    "total_items",
    "total_connections",
    "rejected_connections",
    "listen_disabled_num",
];

/// Numbers that say how things stand, kept before and after.
const GAUGES: [&str; 4] = ["curr_items", "bytes", "limit_maxbytes", "curr_connections"];

/// Settings that shape what was measured: memory, threads, requests for each wake-up, limits.
const SETTINGS: [&str; 5] = [
    "maxbytes",
    "num_threads",
    "reqs_per_event",
    "maxconns",
    "item_size_max",
];

/// What a server must have counted, by our rows.
struct Check {
    counter: &'static str,
    is_part: fn(&Operation) -> bool,
}

fn is_one_of(row: &Operation, ops: &[&str], statuses: &[&str]) -> bool {
    ops.contains(&row.op.as_str()) && statuses.contains(&row.status.as_str())
}

const GETS: [&str; 2] = ["get", "multiget"];
const TOUCHES: [&str; 2] = ["gat", "touch"];
const SETS: [&str; 4] = ["set", "multiset", "add", "replace"];

/// A value that is not what was written is a hit for the server.
const HIT: [&str; 2] = ["ok", "mismatch"];
const MISS: [&str; 1] = ["not_found"];
/// A store counts once its value has come whole, whatever then becomes of it; where there was no
/// room for it, it never came.
const CAME: [&str; 4] = ["ok", "not_found", "exists", "not_stored"];

const CHECKS: [Check; 9] = [
    Check {
        counter: "cmd_get",
        is_part: |row| is_one_of(row, &GETS, &HIT) || is_one_of(row, &GETS, &MISS),
    },
    Check {
        counter: "get_hits",
        is_part: |row| is_one_of(row, &GETS, &HIT),
    },
    Check {
        counter: "get_misses",
        is_part: |row| is_one_of(row, &GETS, &MISS),
    },
    Check {
        counter: "cmd_set",
        is_part: |row| is_one_of(row, &SETS, &CAME),
    },
    Check {
        counter: "cmd_touch",
        is_part: |row| is_one_of(row, &TOUCHES, &HIT) || is_one_of(row, &TOUCHES, &MISS),
    },
    Check {
        counter: "touch_hits",
        is_part: |row| is_one_of(row, &TOUCHES, &HIT),
    },
    Check {
        counter: "touch_misses",
        is_part: |row| is_one_of(row, &TOUCHES, &MISS),
    },
    Check {
        counter: "delete_hits",
        is_part: |row| is_one_of(row, &["delete"], &HIT),
    },
    Check {
        counter: "delete_misses",
        is_part: |row| is_one_of(row, &["delete"], &MISS),
    },
];

/// What `items` items of `spec` need on a server, bytes: keys, values and what memcached keeps
/// with each, without what its slabs waste.
#[must_use]
pub fn memory_bytes(spec: &MemcacheSpec, items: u64) -> u64 {
    let mean = |sizes: &Sizes| {
        let weights: f64 = sizes.0.iter().map(|r| f64::from(r.weight)).sum();
        let middle = |r: &SizeRange| (f64::from(r.min_bytes) + f64::from(r.max_bytes)) / 2.0;
        let sum: f64 = sizes
            .0
            .iter()
            .map(|r| middle(r) * f64::from(r.weight))
            .sum();
        sum / weights.max(1.0)
    };
    let item = mean(&spec.key_bytes) + mean(&spec.value_bytes) + ITEM_OVERHEAD_BYTES as f64;
    (items as f64 * item) as u64
}

/// Puts what the servers said under `targets[].server`, adds the findings, and judges anew.
/// `prefill_bytes` is what the prefilled keys need on each server, at the least.
pub fn reconcile(document: &mut Document, witnesses: &[Witness], prefill_bytes: Option<u64>) {
    for target in &mut document.targets {
        let mut of = witnesses.iter();
        let witness = of.find(|w| w.endpoint.to_string() == target.address);
        target.server = witness.map_or(Value::Null, server);
    }
    let found = findings(document, witnesses, prefill_bytes);
    document.findings.extend(found);
    judge(document);
}

fn server(witness: &Witness) -> Value {
    let nothing = ServerStats::default();
    let before = witness.before.as_ref().unwrap_or(&nothing);
    let after = witness.after.as_ref().unwrap_or(&nothing);
    let known = if witness.after.is_ok() { after } else { before };
    let error = witness
        .before
        .as_ref()
        .err()
        .or(witness.after.as_ref().err());
    let rows = |names: &[&str], of: &dyn Fn(&str) -> Option<u64>| -> Map<String, Value> {
        let row = |name: &&str| ((*name).to_owned(), json!(of(name)));
        names.iter().map(row).collect()
    };
    json!({
        "error": error,
        "version": known.counters.get("version"),
        "restarted": restarted(witness),
        "settings": rows(&SETTINGS, &|name| known.setting(name)),
        "evicts": known.settings.get("evictions").map(|on| on == "on"),
        "before": rows(&GAUGES, &|name| before.count(name)),
        "after": rows(&GAUGES, &|name| after.count(name)),
        "delta": rows(&DELTAS, &|name| delta(witness, name)),
    })
}

/// What the run added to a counter; `None` where that is not known.
fn delta(witness: &Witness, counter: &str) -> Option<u64> {
    let before = witness.before.as_ref().ok()?.count(counter)?;
    let after = witness.after.as_ref().ok()?.count(counter)?;
    if restarted(witness)? {
        return None;
    }
    after.checked_sub(before)
}

/// Whether the server counts from 0 since; `None`: not known.
fn restarted(witness: &Witness) -> Option<bool> {
    let (before, after) = (witness.before.as_ref().ok()?, witness.after.as_ref().ok()?);
    let pids = [before, after].map(|stats| stats.counters.get("pid"));
    let went_back = |name| before.count(name) > after.count(name);
    Some(pids[0] != pids[1] || went_back("uptime") || went_back("total_connections"))
}

/// The sum over the servers; `None` when one of them did not say.
fn sum(witnesses: &[Witness], counter: &str) -> Option<u64> {
    witnesses.iter().map(|w| delta(w, counter)).sum()
}

fn findings(
    document: &Document,
    witnesses: &[Witness],
    prefill_bytes: Option<u64>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(unasked(witnesses));
    found.extend(restarts(witnesses));
    found.extend(mismatches(document, witnesses));
    let counted = |counter: &str| sum(witnesses, counter).filter(|n| *n > 0);
    if let Some(evictions) = counted("evictions") {
        found.push(finding(
            "evictions",
            Weight::Doubt,
            [evictions as f64, 0.0],
            "items",
            "the servers dropped items to make room, so hits and the bytes that came back depend \
             on their memory: give memcached a larger -m, or ask for fewer or smaller keys",
        ));
    }
    if let Some(yields) = counted("conn_yields") {
        found.push(finding(
            "conn_yields",
            Weight::Note,
            [yields as f64, 0.0],
            "times",
            "the servers let a connection wait after as many requests as -R allows for one \
             wake-up (20 by default): deep pipelines and batches are slowed by that, raise -R",
        ));
    }
    found.extend(over_memory(witnesses, prefill_bytes));
    found
}

fn unasked(witnesses: &[Witness]) -> Option<Finding> {
    let silent = |w: &&Witness| w.before.is_err() || w.after.is_err();
    let why = witnesses.iter().find(silent)?;
    let why = why.before.as_ref().err().or(why.after.as_ref().err())?;
    let count = witnesses.iter().filter(silent).count();
    Some(finding(
        "not_reconciled",
        Weight::Note,
        [count as f64, 0.0],
        "servers",
        &format!("our counts could not be held against the servers': {why}"),
    ))
}

fn restarts(witnesses: &[Witness]) -> Option<Finding> {
    let count = witnesses
        .iter()
        .filter(|w| restarted(w) == Some(true))
        .count();
    (count > 0).then(|| {
        finding(
            "server_restarted",
            Weight::Doubt,
            [count as f64, 0.0],
            "servers",
            "a server was started anew during the run: its items and its counts are lost",
        )
    })
}

fn mismatches(document: &Document, witnesses: &[Witness]) -> Vec<Finding> {
    let others = has_others(document, witnesses);
    let weight = if others {
        Weight::Doubt
    } else {
        Weight::Invalid
    };
    let about = if others {
        "other clients were connected, which may explain it"
    } else {
        "no other client was seen: the server or this program counts wrong, please report it"
    };
    let lost = lost_units(document);
    let mismatch = |check: &Check| {
        let rows = document
            .operations
            .iter()
            .filter(|row| (check.is_part)(row));
        let ours: u64 = rows.map(|row| row.total_units).sum();
        let theirs = sum(witnesses, check.counter)?;
        // A request that failed on our side may have been served all the same.
        let agrees = (ours..=ours.saturating_add(lost)).contains(&theirs);
        (!agrees).then(|| {
            let counter = check.counter;
            finding(
                "count_mismatch",
                weight,
                [ours as f64, theirs as f64],
                counter,
                &format!("{counter} is {ours} here and {theirs} on the servers: {about}"),
            )
        })
    };
    CHECKS.iter().filter_map(mismatch).collect()
}

/// Units of requests whose replies never came, at the most.
fn lost_units(document: &Document) -> u64 {
    let totals = &document.totals;
    let units = |row: &Operation| row.total_units.div_ceil(row.total_count.max(1));
    let largest = document.operations.iter().map(units).max().unwrap_or(1);
    (totals.failed + totals.unanswered).saturating_mul(largest.max(1))
}

/// Whether anybody else used the servers: more connections than ours and the one that asks.
fn has_others(document: &Document, witnesses: &[Witness]) -> bool {
    let ours = document.connections.opened + witnesses.len() as u64;
    let opened = sum(witnesses, "total_connections");
    let were_there = |w: &Witness| {
        let before = w.before.as_ref().ok();
        before.and_then(|stats| stats.count("curr_connections")) > Some(1)
    };
    opened.is_some_and(|opened| opened > ours) || witnesses.iter().any(were_there)
}

fn over_memory(witnesses: &[Witness], prefill_bytes: Option<u64>) -> Option<Finding> {
    let needed = prefill_bytes?;
    let limit = |w: &Witness| w.before.as_ref().ok()?.count("limit_maxbytes");
    // 0: the server has no limit of its own.
    let least = witnesses
        .iter()
        .filter_map(limit)
        .filter(|n| *n > 0)
        .min()?;
    (needed > least).then(|| {
        finding(
            "prefill_over_memory",
            Weight::Doubt,
            [needed as f64, least as f64],
            "bytes",
            "the prefilled keys and values need more memory than a server has, so not all of them \
             can be hits: give memcached a larger -m, or ask for fewer or smaller keys",
        )
    })
}

fn finding(
    code: &str,
    weight: Weight,
    [actual, limit]: [f64; 2],
    unit: &str,
    hint: &str,
) -> Finding {
    Finding {
        code: format!("memcache.{code}"),
        weight,
        actual: Some(actual),
        limit: Some(limit),
        unit: Some(unit.to_owned()),
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use loadgen_core::results::{Latency, Target, sample};

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
        }
    }

    fn witness(port: u16, before: &[(&str, u64)], after: &[(&str, u64)]) -> Witness {
        Witness {
            endpoint: Endpoint::Tcp(([127, 0, 0, 1], port).into()),
            before: Ok(stats(before)),
            after: Ok(stats(after)),
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
        reconcile(&mut document, &witnesses, None);
        assert_eq!(codes(&document), [("memcache.conn_yields", Weight::Note)]);
        let server = &document.targets[1].server;
        assert_eq!(server["delta"]["get_misses"], 10);
        assert_eq!(server["settings"]["maxbytes"], 67_108_864);
        assert_eq!(server["settings"]["num_threads"], Value::Null);
        assert_eq!(server["before"]["curr_items"], 0);
        assert_eq!(server["error"], Value::Null);
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
            reconcile(&mut document, &witnesses, None);
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
        reconcile(&mut document, &witnesses, None);
        assert_eq!(codes(&document), []);
        more[0].1 = 49;
        document.findings.clear();
        let witnesses = [witness(1, &[], &FIRST[..4]), witness(2, &[], &more)];
        reconcile(&mut document, &witnesses, None);
        assert_eq!(codes(&document).len(), 1, "fewer than were answered");
    }

    #[test]
    fn a_restart_and_silence_are_said_and_nothing_is_compared() {
        let mut document = document();
        let again = witness(1, &[("total_connections", 9)], &FIRST);
        let mut silent = witness(2, &[], &SECOND);
        silent.after = Err("stats of 127.0.0.1:2: connection refused".to_owned());
        reconcile(&mut document, &[again, silent], None);
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
        let witnesses = [witness(1, &memory, &first), witness(2, &memory, &SECOND)];
        reconcile(&mut document, &witnesses, Some(1001));
        let expected = [
            ("memcache.evictions", Weight::Doubt),
            ("memcache.prefill_over_memory", Weight::Doubt),
        ];
        assert_eq!(codes(&document), expected);
        let mut enough = self::document();
        reconcile(&mut enough, &witnesses[1..], Some(1000));
        assert!(
            codes(&enough)
                .iter()
                .all(|(code, _)| !code.contains("prefill"))
        );
    }
}
