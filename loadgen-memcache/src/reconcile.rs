//! Our counts against the servers' own: what they say goes into the document, and where the two
//! differ there is a finding.
//!
//! A pure function of the document and of what the servers said before and after. It must never
//! change a number of ours.

use loadgen_core::results::{Document, Finding, Operation, Weight, judge};
use serde_json::{Map, Value, json};

use crate::spec::{MemcacheSpec, SizeRange, Sizes};
use crate::stats::ServerStats;
use crate::target::ITEM_OVERHEAD_BYTES;
use crate::witness::Witness;

/// Counters that grow, kept as what the run added to them.
pub(crate) const DELTAS: [&str; 22] = [
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
pub fn reconcile(document: &mut Document, witnesses: &[Witness]) {
    // Where each witness has its numbers: at the first of its addresses.
    let mut told: Vec<Option<String>> = vec![None; witnesses.len()];
    let mut again = 0;
    for target in &mut document.targets {
        let is_its = |w: &Witness| w.endpoints.iter().any(|e| e.to_string() == target.address);
        let Some(at) = witnesses.iter().position(is_its) else {
            continue;
        };
        again += u32::from(told[at].is_some());
        target.server = server(&witnesses[at], told[at].as_deref());
        told[at].get_or_insert_with(|| target.address.clone());
    }
    let mut found = findings(document, witnesses);
    found.extend((again > 0).then(|| same_server(again)));
    document.findings.extend(found);
    judge(document);
}

fn same_server(again: u32) -> Finding {
    finding(
        "same_server",
        Weight::Note,
        [f64::from(again), 0.0],
        "targets",
        "some targets are a server that is among them already, by another address or name: what it \
         counted is counted once, and it had the load of all of them",
    )
}

/// What a server said; where that stands under another address already, only which.
fn server(witness: &Witness, same_as: Option<&str>) -> Value {
    let nothing = ServerStats::default();
    let unsaid = Witness {
        endpoints: Vec::new(),
        before: Ok(nothing.clone()),
        after: Ok(nothing.clone()),
        prefill_bytes: None,
    };
    let witness = if same_as.is_some() { &unsaid } else { witness };
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
        "same_as": same_as,
        "error": error,
        "version": known.counters.get("version"),
        "restarted": restarted(witness).filter(|_| same_as.is_none()),
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

fn findings(document: &Document, witnesses: &[Witness]) -> Vec<Finding> {
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
    found.extend(over_memory(witnesses));
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
    let mut found: Vec<Finding> = CHECKS.iter().filter_map(mismatch).collect();
    if found.is_empty() {
        found.extend(elsewhere(document, witnesses, weight));
    }
    found
}

/// Statuses of GET and SET that a server counts, one in `cmd_get` or `cmd_set` for each request.
const COUNTED: [&str; 3] = ["ok", "not_found", "mismatch"];

/// Sums may agree and hide that one server served what was another's: each alone, where a request is
/// one command and every one is counted.
fn elsewhere(document: &Document, witnesses: &[Witness], weight: Weight) -> Option<Finding> {
    let plain = |row: &Operation| {
        ["get", "set"].contains(&row.op.as_str())
            && COUNTED.contains(&row.status.as_str())
            && row.total_units == row.total_count
    };
    if !document.operations.iter().all(plain) {
        return None;
    }
    let differs = |witness: &Witness| {
        let theirs = delta(witness, "cmd_get")? + delta(witness, "cmd_set")?;
        let at = |address: &str| witness.endpoints.iter().any(|e| e.to_string() == address);
        let rows = document.targets.iter().filter(|t| at(&t.address));
        let (ours, lost) = rows.fold((0, 0), |(ours, lost), row| {
            (ours + row.completed, lost + row.failed)
        });
        let lost = lost + document.totals.unanswered;
        let agrees = (ours..=ours + lost).contains(&theirs);
        (!agrees).then(|| {
            (
                witness.endpoints[0].to_string(),
                [ours as f64, theirs as f64],
            )
        })
    };
    let (address, numbers) = witnesses.iter().find_map(differs)?;
    Some(finding(
        "server_mismatch",
        weight,
        numbers,
        "requests",
        &format!(
            "the sums agree, but {address} served another number of requests than it answered here: \
             something between us deals them out anew, or this program counts wrong"
        ),
    ))
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
        before
            .is_some_and(|stats| stats.count("curr_connections") > Some(1 + more_listeners(stats)))
    };
    opened.is_some_and(|opened| opened > ours) || witnesses.iter().any(were_there)
}

/// memcached counts sockets that listen as connections, all but one of them: without `-l` it listens
/// in both families (`-l` is the setting `inter`), with it at each address of a list.
fn more_listeners(stats: &ServerStats) -> u64 {
    match stats.settings.get("inter").map(String::as_str) {
        None => 0,
        Some("NULL") => 1,
        Some(list) => list.matches(',').count() as u64,
    }
}

/// What a server's prefilled keys need, and the memory it has for all items, where that is less.
#[must_use]
pub fn too_little_memory(witness: &Witness) -> Option<[u64; 2]> {
    let needed = witness.prefill_bytes?;
    let limit = witness.before.as_ref().ok()?.count("limit_maxbytes")?;
    // 0: the server has no limit of its own.
    (limit > 0 && needed > limit).then_some([needed, limit])
}

/// SETs of a prefill that were refused: the keys are not there, and what was to be measured is another
/// load. `operations` are the prefill's.
#[must_use]
pub fn prefill_refused(operations: &[Operation]) -> Option<Finding> {
    let refused = operations.iter().filter(|row| row.status != "ok");
    let count: u64 = refused.clone().map(|row| row.total_units).sum();
    let first = refused.max_by_key(|row| row.total_units)?;
    (count > 0).then(|| {
        finding(
            "prefill_refused",
            Weight::Invalid,
            [count as f64, 0.0],
            "keys",
            &format!(
                "the prefill was refused ({}), so nothing was measured: give memcached more memory (-m), \
                 larger items (-I), or ask for fewer or smaller keys",
                first.status
            ),
        )
    })
}

fn over_memory(witnesses: &[Witness]) -> Option<Finding> {
    let short = witnesses.iter().filter_map(too_little_memory);
    let [needed, limit] = short.max_by_key(|[needed, limit]| needed - limit)?;
    Some(finding(
        "prefill_over_memory",
        Weight::Doubt,
        [needed as f64, limit as f64],
        "bytes",
        "the prefilled keys and values need more memory than a server has, so not all of them \
         can be hits: give memcached a larger -m, or ask for fewer or smaller keys",
    ))
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
#[path = "reconcile_tests.rs"]
mod tests;
