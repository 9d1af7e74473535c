//! What was counted of writing and of each reader, and whether the two agree.
//!
//! Every record that was acknowledged is read once by every reader; what is unknown may be read or
//! not. Where that does not hold there is a finding; no number is ever changed for it.

use serde_json::{Value, json};

use super::EndToEndRules;
use crate::{fetch, produce};

/// What a reader read.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// Records of this run.
    ours: u64,
    /// Records that others wrote.
    others: u64,
}

/// What all workers counted, and what there is to find in it.
#[must_use]
pub(super) fn sum(workers: &[Value], rules: &EndToEndRules) -> Value {
    let of_write: Vec<Value> = workers.iter().map(|w| w["write"].clone()).collect();
    let mut write = produce::local::sum(&of_write, &rules.write);
    let mut findings = taken(&mut write, "findings");
    let mut readers = Vec::new();
    for (at, reader) in rules.readers.iter().enumerate() {
        let of_reader: Vec<Value> = workers.iter().map(|w| w["readers"][at].clone()).collect();
        let mut read = fetch::local::sum(&of_reader, reader);
        merge(&mut findings, taken(&mut read, "findings"));
        readers.push(read["consume"].take());
    }
    let read: Vec<Read> = readers.iter().map(of_reader).collect();
    let produce = write["produce"].take();
    let count = |name: &str| produce[name].as_u64().unwrap_or(0);
    let (acked, unknown) = (count("acked_records"), count("unknown_records"));
    findings.extend(differences(acked, unknown, &read));
    let rows = read.iter().zip(1_u64..).map(|(read, reader)| {
        json!({"reader": reader, "records": read.ours, "records_of_others": read.others})
    });
    let rows: Value = rows.collect();
    json!({
        "end_to_end": {
            "fan_out": readers.len(),
            "acked_records": acked,
            "unknown_records": unknown,
            "readers": rows,
        },
        "produce": produce,
        "readers": readers,
        "findings": findings,
    })
}

fn taken(of: &mut Value, name: &str) -> Vec<Value> {
    match of[name].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

fn of_reader(consume: &Value) -> Read {
    let count = |name: &str| consume[name].as_u64().unwrap_or(0);
    let ours = count("stamped_records");
    Read {
        ours,
        others: count("records").saturating_sub(ours),
    }
}

/// Several may find the same: it is said once, of all of them.
fn merge(into: &mut Vec<Value>, more: Vec<Value>) {
    for finding in more {
        let same = into
            .iter_mut()
            .find(|known| known["code"] == finding["code"]);
        match same {
            Some(known) => {
                let actual = |of: &Value| of["actual"].as_f64().unwrap_or(0.0);
                known["actual"] = json!(actual(known) + actual(&finding));
            }
            None => into.push(finding),
        }
    }
}

/// What does not agree.
fn differences(acked: u64, unknown: u64, readers: &[Read]) -> Vec<Value> {
    let least = readers.iter().map(|read| read.ours).min().unwrap_or(0);
    let most = readers.iter().map(|read| read.ours).max().unwrap_or(0);
    let others = readers.iter().map(|read| read.others).max().unwrap_or(0);
    let mut findings = Vec::new();
    let mut find = |code: &str, weight: &str, [actual, limit]: [u64; 2], hint: &str| {
        findings.push(json!({
            "code": format!("kafka.{code}"),
            "weight": weight,
            "actual": actual as f64,
            "limit": limit as f64,
            "unit": "records",
            "hint": hint,
        }));
    };
    if least < acked {
        find(
            "unread_records",
            "invalid",
            [least, acked],
            "a reader read fewer records of this run than were acknowledged: the slowest of them are \
             not in the end-to-end times; give readers longer with --drain, or look for what keeps \
             them from reading: a target that keeps nothing of what is written, for one",
        );
    }
    let limit = acked.saturating_add(unknown);
    if most > limit {
        find(
            "records_read_twice",
            "invalid",
            [most, limit],
            "a reader read more records of this run than can have been written: brokers or this \
             program count wrong, please report it",
        );
    }
    if others > 0 {
        find(
            "records_of_others",
            "note",
            [others, 0],
            "a reader read records that this run did not write: others write to the topic; their \
             records count as read and are not in the end-to-end times",
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_what_was_acknowledged_and_perhaps_what_is_unknown() {
        let codes = |acked, unknown, readers: &[(u64, u64)]| -> Vec<String> {
            let read = |&(ours, others): &(u64, u64)| Read { ours, others };
            let readers: Vec<Read> = readers.iter().map(read).collect();
            let found = differences(acked, unknown, &readers);
            let code = |f: &Value| f["code"].as_str().unwrap().to_owned();
            found.iter().map(code).collect()
        };
        let none: [String; 0] = [];
        assert_eq!(codes(100, 0, &[(100, 0), (100, 0)]), none);
        assert_eq!(
            codes(100, 0, &[(100, 0), (99, 0)]),
            ["kafka.unread_records"]
        );
        assert_eq!(codes(100, 10, &[(110, 0), (100, 0)]), none);
        assert_eq!(codes(100, 10, &[(111, 0)]), ["kafka.records_read_twice"]);
        assert_eq!(codes(100, 0, &[(100, 3)]), ["kafka.records_of_others"]);
    }

    #[test]
    fn what_several_found_is_said_once() {
        let finding = |code: &str, actual: f64| json!({"code": code, "actual": actual});
        let mut all = vec![finding("a", 1.0)];
        merge(&mut all, vec![finding("b", 2.0), finding("a", 3.0)]);
        assert_eq!(all, [finding("a", 4.0), finding("b", 2.0)]);
    }
}
