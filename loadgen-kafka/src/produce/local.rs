//! What the produce sessions of one worker and its workload share, and what all workers counted.
//!
//! It belongs to one thread. Nothing here may be needed to read a reply.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};

use super::ProduceRules;
use crate::tables;

/// Counts that core has no place for.
#[derive(Debug)]
pub struct Local {
    /// What the run goes by.
    pub rules: Arc<ProduceRules>,
    /// The version of Produce that is spoken.
    pub version: Cell<i16>,
    append_times: Cell<u64>,
    throttled: Cell<u64>,
    throttle_ms: Cell<u64>,
    errors: RefCell<BTreeMap<i16, (u64, Option<String>)>>,
}

impl Local {
    /// For one worker.
    #[must_use]
    pub fn shared(rules: Arc<ProduceRules>) -> Rc<Self> {
        Rc::new(Self {
            rules,
            version: Cell::new(0),
            append_times: Cell::new(0),
            throttled: Cell::new(0),
            throttle_ms: Cell::new(0),
            errors: RefCell::default(),
        })
    }

    /// A batch is in the log; `appended`: the broker says when.
    pub fn acked(&self, appended: bool) {
        self.append_times
            .set(self.append_times.get() + u64::from(appended));
    }

    /// A batch was refused.
    #[cold]
    pub fn refused(&self, code: i16, message: Option<&str>) {
        let mut errors = self.errors.borrow_mut();
        let row = errors.entry(code).or_default();
        row.0 += 1;
        if row.1.is_none() {
            row.1 = message.map(|message| message.escape_debug().to_string());
        }
    }

    /// The broker wanted nothing for so long.
    pub fn throttled(&self, ms: u64) {
        self.throttled.set(self.throttled.get() + 1);
        self.throttle_ms.set(self.throttle_ms.get() + ms);
    }

    /// The counts, for [`sum`].
    #[must_use]
    pub fn details(&self) -> Value {
        let errors = self.errors.borrow();
        let rows = errors.iter();
        let rows = rows.map(|(code, (count, message))| json!([code, count, message]));
        json!({
            "version": self.version.get(),
            "append_times": self.append_times.get(),
            "throttled": self.throttled.get(),
            "throttle_ms": self.throttle_ms.get(),
            "errors": rows.collect::<Value>(),
        })
    }
}

/// What all workers counted, and what there is to find in it.
#[must_use]
pub fn sum(workers: &[Value], rules: &ProduceRules) -> Value {
    let count = |name: &str| -> u64 { workers.iter().filter_map(|w| w[name].as_u64()).sum() };
    let mut errors: BTreeMap<i64, (u64, Value)> = BTreeMap::new();
    for row in workers
        .iter()
        .filter_map(|w| w["errors"].as_array())
        .flatten()
    {
        if let Some((code, count)) = row[0].as_i64().zip(row[1].as_u64()) {
            let entry = errors.entry(code).or_default();
            entry.0 += count;
            if entry.1.is_null() {
                entry.1 = row[2].clone();
            }
        }
    }
    let name = |code: i64| tables::name_of(i16::try_from(code).unwrap_or(-1));
    let rows: Vec<Value> = errors
        .iter()
        .map(|(code, (count, message))| {
            json!({"code": code, "name": name(*code), "count": count, "message": message})
        })
        .collect();
    let versions = workers.iter().filter_map(|w| w["version"].as_i64());
    let mut findings = Vec::new();
    if count("throttle_ms") > 0 {
        findings.push(json!({
            "code": "kafka.throttled",
            "weight": "doubt",
            "actual": count("throttle_ms") as f64,
            "limit": 0.0,
            "unit": "ms",
            "hint": "brokers held replies back to keep a quota (producer_byte_rate, request_percentage)",
        }));
    }
    json!({
        "produce": {
            "produce_version": versions.max(),
            "batch_records": rules.template(false).records,
            "batch_bytes": rules.template(false).batch_bytes(),
            "log_append_time_batches": count("append_times"),
            "throttled": count("throttled"),
            "throttle_ms": count("throttle_ms"),
            "leader_moves": rules.topic.moves(),
            "errors": rows,
            "partitions": rules.rows(),
        },
        "findings": findings,
    })
}
