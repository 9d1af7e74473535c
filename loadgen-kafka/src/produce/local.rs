//! What the produce sessions of one worker and its workload share, and what all workers counted.
//!
//! It belongs to one thread. Nothing here may be needed to read a reply.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use loadgen_core::time::Tick;
use loadgen_core::workload::RouteId;
use serde_json::{Value, json};

use super::ProduceRules;
use crate::cluster::Partition;
use crate::spec::Acks;
use crate::tables;

/// Codes after which a batch may be in the log all the same: the broker had it, and replicas or time
/// were missing (`REQUEST_TIMED_OUT`, `NOT_ENOUGH_REPLICAS_AFTER_APPEND`, `UNKNOWN_SERVER_ERROR`).
/// Where all replicas are waited for, also those that say that the partition is not led here
/// (`UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER`, `KAFKA_STORAGE_ERROR`): a leader appends
/// first, and one that loses the partition while it waits answers with them (`DelayedProduce.scala`).
#[must_use]
pub const fn maybe_written(acks: Acks) -> &'static [i16] {
    match acks {
        Acks::All => &[7, 20, -1, 3, 6, 56],
        Acks::None | Acks::Leader => &[7, 20, -1],
    }
}

/// Records, by what became of them. What is in none of the last three is unknown.
#[derive(Debug, Default)]
struct Records {
    sent: Cell<u64>,
    /// In the log, says the broker.
    acked: Cell<u64>,
    /// Not in the log, says the broker.
    refused: Cell<u64>,
    /// Written to a connection; no answer was asked for.
    unacked: Cell<u64>,
}

/// What was acknowledged of a partition.
#[derive(Clone, Copy, Debug)]
struct Written {
    records: u64,
    /// The offset of the last batch's first record, and the one behind its last.
    last: Option<(i64, i64)>,
}

/// Counts that core has no place for.
#[derive(Debug)]
pub struct Local {
    /// What the run goes by.
    pub rules: Arc<ProduceRules>,
    /// When a request was sent last: what the worker knows of time.
    pub now: Cell<Tick>,
    version: Cell<i16>,
    records: Records,
    append_times: Cell<u64>,
    throttled: Cell<u64>,
    throttle_ms: Cell<u64>,
    written: RefCell<Vec<Written>>,
    /// By code: how many, and the first message.
    errors: RefCell<BTreeMap<i16, (u64, Option<String>)>>,
    /// Partitions that were refused, by whom, and until when others are written to instead.
    held: RefCell<Vec<(u32, RouteId, Tick)>>,
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

impl Local {
    /// For one worker.
    #[must_use]
    pub fn shared(rules: Arc<ProduceRules>) -> Rc<Self> {
        let none = Written {
            records: 0,
            last: None,
        };
        Rc::new(Self {
            written: RefCell::new(vec![none; rules.topic.partitions.len()]),
            rules,
            now: Cell::new(Tick(0)),
            version: Cell::new(0),
            records: Records::default(),
            append_times: Cell::new(0),
            throttled: Cell::new(0),
            throttle_ms: Cell::new(0),
            errors: RefCell::default(),
            held: RefCell::default(),
        })
    }

    /// A connection speaks this version of Produce.
    pub(super) fn speaks(&self, version: i16) {
        self.version.set(self.version.get().max(version));
    }

    /// So many records are on their way.
    #[inline]
    pub(super) fn sent(&self, records: u32, answered: bool, at: Tick) {
        self.now.set(at);
        add(&self.records.sent, records.into());
        if answered {
            self.rules.sent();
        } else {
            add(&self.records.unacked, records.into());
        }
    }

    /// A batch is in the log from `base_offset` on; `appended`: the broker says when.
    #[inline]
    pub(super) fn acked(&self, position: usize, records: u32, base_offset: i64, appended: bool) {
        add(&self.records.acked, records.into());
        add(&self.append_times, appended.into());
        let next_offset = base_offset.saturating_add(records.into());
        if let Some(written) = self.written.borrow_mut().get_mut(position) {
            written.records += u64::from(records);
            // Of several connections, answers come in any order.
            if written.last.is_none_or(|(base, _)| base < base_offset) {
                written.last = Some((base_offset, next_offset));
            }
        }
        self.rules.acked(position, next_offset);
    }

    /// A batch was answered with an error.
    #[cold]
    pub(super) fn refused(&self, records: u32, code: i16, message: Option<&str>) {
        if !maybe_written(self.rules.acks).contains(&code) {
            add(&self.records.refused, records.into());
        }
        let mut errors = self.errors.borrow_mut();
        let row = errors.entry(code).or_default();
        row.0 += 1;
        if row.1.is_none() {
            row.1 = message.map(|message| message.escape_debug().to_string());
        }
        self.rules.ended(1);
    }

    /// Requests were lost with their connection: so many that had an answer to come, and so many
    /// records that had none.
    #[cold]
    pub(super) fn lost(&self, answered: u64, unacked_records: u64) {
        self.rules.ended(answered);
        let unacked = &self.records.unacked;
        unacked.set(unacked.get().saturating_sub(unacked_records));
    }

    /// The broker wanted nothing for so long.
    pub(super) fn throttled(&self, ms: u64) {
        add(&self.throttled, 1);
        add(&self.throttle_ms, ms);
    }

    /// Until then, others than this partition are written to on this route.
    #[cold]
    pub(super) fn hold(&self, partition: u32, route: RouteId, until: Tick) {
        let mut held = self.held.borrow_mut();
        held.retain(|(other, ..)| *other != partition);
        held.push((partition, route, until));
    }

    /// Whether this partition is held on this route. A new leader has refused nothing.
    #[inline]
    pub(super) fn holds(&self, partition: u32, route: RouteId) -> bool {
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return false;
        }
        let now = self.now.get();
        held.retain(|(_, _, until)| *until > now);
        held.iter()
            .any(|held| (held.0, held.1) == (partition, route))
    }

    /// The counts, for [`sum`].
    #[must_use]
    pub fn details(&self) -> Value {
        let errors = self.errors.borrow();
        let rows = errors.iter();
        let rows = rows.map(|(code, (count, message))| json!([code, count, message]));
        let written = self.written.borrow();
        let partition = |written: &Written| {
            let (base, next) = written.last.unzip();
            json!([written.records, base, next])
        };
        json!({
            "version": self.version.get(),
            "sent_records": self.records.sent.get(),
            "acked_records": self.records.acked.get(),
            "refused_records": self.records.refused.get(),
            "unacked_records": self.records.unacked.get(),
            "append_times": self.append_times.get(),
            "throttled": self.throttled.get(),
            "throttle_ms": self.throttle_ms.get(),
            "errors": rows.collect::<Value>(),
            "partitions": written.iter().map(partition).collect::<Value>(),
        })
    }
}

/// What all workers counted, and what there is to find in it.
#[must_use]
pub fn sum(workers: &[Value], rules: &ProduceRules) -> Value {
    let count = |name: &str| -> u64 { workers.iter().filter_map(|w| w[name].as_u64()).sum() };
    let versions = workers.iter().filter_map(|w| w["version"].as_i64());
    let version = versions.max().filter(|version| *version > 0);
    let (sent, acked) = (count("sent_records"), count("acked_records"));
    let (refused, unacked) = (count("refused_records"), count("unacked_records"));
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
            "produce_version": version,
            "batch_records": rules.batch_records(),
            "batch_bytes": rules.batch_bytes(),
            "sent_records": sent,
            "acked_records": acked,
            "refused_records": refused,
            "unacked_records": unacked,
            // An answer never came, or left it open.
            "unknown_records": sent.saturating_sub(acked + refused + unacked),
            "log_append_time_batches": count("append_times"),
            "throttled": count("throttled"),
            "throttle_ms": count("throttle_ms"),
            "leader_moves": rules.topic.moves(),
            "errors": errors(workers),
            "partitions": partitions(workers, rules),
        },
        "findings": findings,
    })
}

fn errors(workers: &[Value]) -> Value {
    let mut errors: BTreeMap<i64, (u64, Value)> = BTreeMap::new();
    let rows = workers.iter().filter_map(|w| w["errors"].as_array());
    for row in rows.flatten() {
        if let Some((code, count)) = row[0].as_i64().zip(row[1].as_u64()) {
            let entry = errors.entry(code).or_default();
            entry.0 += count;
            if entry.1.is_null() {
                entry.1 = row[2].clone();
            }
        }
    }
    let name = |code: i64| tables::name_of(i16::try_from(code).unwrap_or(-1));
    let rows = errors.iter().map(|(code, (count, message))| {
        json!({"code": code, "name": name(*code), "count": count, "message": message})
    });
    rows.collect()
}

fn partitions(workers: &[Value], rules: &ProduceRules) -> Value {
    let row = |(at, partition): (usize, &Partition)| {
        let of_workers = || workers.iter().map(move |w| &w["partitions"][at]);
        let acked: u64 = of_workers().filter_map(|row| row[0].as_u64()).sum();
        json!({
            "partition": partition.index,
            "acked_records": acked,
            "last_base_offset": of_workers().filter_map(|row| row[1].as_i64()).max(),
            "next_offset": of_workers().filter_map(|row| row[2].as_i64()).max(),
        })
    };
    let partitions = rules.topic.partitions.iter().enumerate();
    partitions.map(row).collect()
}
