//! What the fetch sessions of one worker and its workload share.
//!
//! It belongs to one thread. Lists of claims are kept to be used again: a fetch allocates nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use loadgen_core::time::Tick;
use serde_json::{Map, Value, json};

use super::ConsumeRules;
use super::cursors::Claim;
use crate::tables;
use crate::walk::Counts;

/// What is in flight on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Fetches.
    pub fetches: u32,
    /// One of them asks for nothing that is there: the broker holds its reply back, and all behind it.
    pub waits: bool,
}

/// Counts that core has no place for, and what each fetch in flight reads.
#[derive(Debug)]
pub struct Local {
    /// What the run goes by.
    pub rules: Arc<ConsumeRules>,
    claims: RefCell<Vec<Vec<Claim>>>,
    /// By the place: the connection a fetch is on, and whether it may wait for records to come.
    lanes: RefCell<Vec<(u32, bool)>>,
    /// By connection: fetches in flight, and whether one of them may wait.
    lines: RefCell<Vec<Line>>,
    free: RefCell<Vec<u32>>,
    sums: Cell<Sums>,
    errors: RefCell<BTreeMap<i16, u64>>,
    /// Partition and offset of batches that nobody can decode, and what is wrong.
    undecodable: RefCell<BTreeMap<(i32, i64), String>>,
    /// The version of Fetch that is spoken.
    pub version: Cell<i16>,
    /// When the last fetch was sent: what this worker knows of time.
    pub now: Cell<Tick>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    batches: u64,
    batch_bytes: u64,
    partial_bytes: u64,
    cut_off: u64,
    aborted_records: u64,
    control_batches: u64,
    missing_offsets: u64,
    inexact_records: u64,
    empty_partitions: u64,
    records_bytes: u64,
    unread_offsets: u64,
    throttled: u64,
    throttle_ms: u64,
    jumps: u64,
    jumped_offsets: u64,
    given_up: u64,
    records: u64,
    stamped_records: u64,
}

impl Local {
    /// For one worker.
    #[must_use]
    pub fn shared(rules: Arc<ConsumeRules>) -> Rc<Self> {
        Rc::new(Self {
            rules,
            claims: RefCell::default(),
            lanes: RefCell::default(),
            lines: RefCell::default(),
            free: RefCell::default(),
            sums: Cell::default(),
            errors: RefCell::default(),
            undecodable: RefCell::default(),
            version: Cell::new(0),
            now: Cell::new(Tick(0)),
        })
    }

    fn sum(&self, add: impl FnOnce(&mut Sums)) {
        let mut sums = self.sums.get();
        add(&mut sums);
        self.sums.set(sums);
    }

    /// Fills a list with `fill` and keeps it; its place, unless nothing was filled in.
    pub fn keep(&self, fill: impl FnOnce(&mut Vec<Claim>)) -> Option<u32> {
        let mut claims = self.claims.borrow_mut();
        let at = self.free.borrow_mut().pop().unwrap_or_else(|| {
            claims.push(Vec::new());
            (claims.len() - 1) as u32
        });
        let list = &mut claims[at as usize];
        list.clear();
        fill(list);
        if list.is_empty() {
            self.free.borrow_mut().push(at);
            return None;
        }
        Some(at)
    }

    /// What is in flight on connection `conn`.
    #[must_use]
    pub fn line(&self, conn: u32) -> Line {
        let lines = self.lines.borrow();
        lines.get(conn as usize).copied().unwrap_or_default()
    }

    /// The fetch at `place` goes out on `conn`.
    pub fn sent(&self, place: u32, conn: u32, waits: bool) {
        let (place, at) = (place as usize, conn as usize);
        let mut lanes = self.lanes.borrow_mut();
        if lanes.len() <= place {
            lanes.resize(place + 1, (0, false));
        }
        lanes[place] = (conn, waits);
        let mut lines = self.lines.borrow_mut();
        if lines.len() <= at {
            lines.resize(at + 1, Line::default());
        }
        lines[at].fetches += 1;
        lines[at].waits |= waits;
    }

    fn came_back(&self, place: u32) {
        let lanes = self.lanes.borrow();
        let Some((conn, waits)) = lanes.get(place as usize) else {
            return;
        };
        if let Some(line) = self.lines.borrow_mut().get_mut(*conn as usize) {
            line.fetches = line.fetches.saturating_sub(1);
            line.waits &= !waits;
        }
    }

    /// What the fetch at `place` reads.
    pub fn with<T>(&self, place: u32, look: impl FnOnce(&[Claim]) -> T) -> T {
        let claims = self.claims.borrow();
        look(claims.get(place as usize).map_or(&[], Vec::as_slice))
    }

    /// The fetch at `place` is over, and each of its claims has been seen to.
    pub fn over(&self, place: u32) {
        self.came_back(place);
        self.clear(place);
    }

    /// The fetch at `place` is gone with its connection: its claims are free again.
    pub fn lost(&self, place: u32) {
        self.came_back(place);
        self.drop_kept(place);
    }

    /// A list that was kept is not sent: its claims are free again.
    pub fn drop_kept(&self, place: u32) {
        self.with(place, |claims| {
            for claim in claims {
                self.rules.cursors.release(claim);
            }
        });
        self.clear(place);
    }

    fn clear(&self, place: u32) {
        if let Some(list) = self.claims.borrow_mut().get_mut(place as usize) {
            list.clear();
        }
        self.free.borrow_mut().push(place);
    }

    /// A partition's part of a reply: `bytes` of batches, and what was seen in them.
    pub fn counted(&self, bytes: u32, counts: &Counts) {
        self.sum(|s| {
            s.records_bytes += u64::from(bytes);
            s.records += counts.records;
            s.batches += counts.batches;
            s.batch_bytes += counts.batch_bytes;
            s.partial_bytes += counts.partial_bytes;
            s.aborted_records += counts.aborted_records;
            s.control_batches += counts.control_batches;
            s.missing_offsets += counts.missing_offsets;
            s.inexact_records += counts.inexact_records;
            s.empty_partitions += u64::from(bytes == 0);
        });
    }

    /// So many records had a stamp of this run.
    pub fn stamped(&self, records: u64) {
        self.sum(|s| s.stamped_records += records);
    }

    /// The broker wanted nothing for so long.
    pub fn throttled(&self, ms: u64) {
        self.sum(|s| {
            s.throttled += 1;
            s.throttle_ms += ms;
        });
    }

    /// Reading went on `offsets` further, because the log begins there now.
    #[cold]
    pub fn jumped(&self, offsets: u64) {
        self.sum(|s| {
            s.jumps += 1;
            s.jumped_offsets += offsets;
        });
    }

    /// Nothing ever came from so many offsets below the end.
    #[cold]
    pub fn unread(&self, offsets: u64) {
        self.sum(|s| s.unread_offsets += offsets);
    }

    /// A piece of a batch was all that came of a partition.
    #[cold]
    pub fn cut_off(&self) {
        self.sum(|s| s.cut_off += 1);
    }

    /// A partition cannot be read any more.
    #[cold]
    pub fn gave_up(&self) {
        self.sum(|s| s.given_up += 1);
    }

    /// The batch at `offset` of the partition at position `at` came again and again and is wrong.
    #[cold]
    pub fn undecodable(&self, at: usize, offset: i64, wrong: &str) {
        let index = self.rules.topic.partitions[at].index;
        let mut all = self.undecodable.borrow_mut();
        all.insert((index, offset), wrong.to_owned());
    }

    /// A partition, or a whole reply, was answered with an error.
    #[cold]
    pub fn error(&self, code: i16) {
        *self.errors.borrow_mut().entry(code).or_default() += 1;
    }

    /// The counts, for [`sum`].
    #[must_use]
    pub fn details(&self) -> Value {
        let s = self.sums.get();
        let errors = self.errors.borrow();
        let rows = errors.iter().map(|(code, count)| json!([code, count]));
        let undecodable = self.undecodable.borrow();
        let batches = undecodable.iter().map(|((partition, offset), wrong)| {
            json!({"partition": partition, "offset": offset, "wrong": wrong})
        });
        json!({
            "version": self.version.get(),
            "records_bytes": s.records_bytes,
            "batches": s.batches,
            "batch_bytes": s.batch_bytes,
            "partial_bytes": s.partial_bytes,
            "cut_off": s.cut_off,
            "empty_partitions": s.empty_partitions,
            "aborted_records": s.aborted_records,
            "control_batches": s.control_batches,
            "missing_offsets": s.missing_offsets,
            "inexact_records": s.inexact_records,
            "throttled": s.throttled,
            "throttle_ms": s.throttle_ms,
            "jumps": s.jumps,
            "jumped_offsets": s.jumped_offsets,
            "unread_offsets": s.unread_offsets,
            "given_up": s.given_up,
            "records": s.records,
            "stamped_records": s.stamped_records,
            "errors": rows.collect::<Value>(),
            "undecodable": batches.collect::<Value>(),
        })
    }
}

/// Code, weight, the count it looks at, unit, hint.
const FINDINGS: [(&str, &str, &str, &str, &str); 10] = [
    (
        "kafka.partition_errors",
        "doubt",
        "partition_errors",
        "partitions",
        "brokers answered for partitions with errors; protocol_details.consume.errors counts them by \
         code",
    ),
    (
        "kafka.given_up",
        "invalid",
        "given_up",
        "partitions",
        "reading there ended before the end: the log was cut below the offset to read at, or a batch is \
         too large for a reply or cannot be decoded, or the broker does not let us read, or nobody led \
         the partition, or it was refused, for a minute; protocol_details.consume.errors has the codes",
    ),
    (
        "kafka.stuck_partitions",
        "doubt",
        "stuck_partitions",
        "partitions",
        "when the run ended, nobody led these partitions, or whoever did refused: they were not read, or \
         not read further",
    ),
    (
        "kafka.unknown_leaders",
        "doubt",
        "unknown_leaders",
        "partitions",
        "these are led by brokers that were not in the cluster when the run began: no connection goes \
         there",
    ),
    (
        "kafka.cut_off",
        "doubt",
        "cut_off",
        "partitions",
        "the broker sent the beginning of a batch and nothing else: a reply may not be as large as the \
         batch (--fetch-size, --fetch-max-bytes)",
    ),
    (
        "kafka.unread_offsets",
        "doubt",
        "unread_offsets",
        "offsets",
        "nothing came from the last offsets below the end, however often they were asked for: a log \
         compacted up to its end, or a broker too slow to read them",
    ),
    (
        "kafka.offset_gap",
        "doubt",
        "jumped_offsets",
        "offsets",
        "the log begins later than where reading was: retention was faster than this run",
    ),
    (
        "kafka.missing_offsets",
        "note",
        "missing_offsets",
        "offsets",
        "batches that came have offsets between them that nothing has: a compacted topic, or markers \
         that were cleaned; in any other topic, records are missing",
    ),
    (
        "kafka.inexact_records",
        "doubt",
        "inexact_records",
        "records",
        "reading began inside batches with holes, where only --verify records can tell how many records \
         there are",
    ),
    (
        "kafka.throttled",
        "doubt",
        "throttle_ms",
        "ms",
        "brokers held replies back to keep a quota (consumer_byte_rate, request_percentage)",
    ),
];

/// What adds up as it is.
const COUNTS: [&str; 16] = [
    "records_bytes",
    "batches",
    "batch_bytes",
    "partial_bytes",
    "cut_off",
    "empty_partitions",
    "aborted_records",
    "control_batches",
    "missing_offsets",
    "inexact_records",
    "throttled",
    "throttle_ms",
    "jumps",
    "jumped_offsets",
    "unread_offsets",
    "given_up",
];

/// How often each code came.
fn errors(workers: &[Value]) -> BTreeMap<i64, u64> {
    let mut errors = BTreeMap::new();
    let rows = workers.iter().filter_map(|w| w["errors"].as_array());
    for row in rows.flatten() {
        if let Some((code, count)) = row[0].as_i64().zip(row[1].as_u64()) {
            *errors.entry(code).or_default() += count;
        }
    }
    errors
}

/// What all workers counted, and what there is to find in it.
#[must_use]
pub fn sum(workers: &[Value], rules: &ConsumeRules) -> Value {
    let count = |name: &str| -> u64 { workers.iter().filter_map(|w| w[name].as_u64()).sum() };
    let errors = errors(workers);
    let partition_errors: u64 = errors.values().sum();
    let stuck = rules.cursors.stuck(&rules.topic) as u64;
    let strangers = rules.topic.led_by_strangers() as u64;
    let mut findings = Vec::new();
    for (code, weight, name, unit, hint) in FINDINGS {
        let actual = match name {
            "partition_errors" => partition_errors,
            "stuck_partitions" => stuck,
            "unknown_leaders" => strangers,
            name => count(name),
        };
        if actual > 0 {
            findings.push(json!({
                "code": code,
                "weight": weight,
                "actual": actual as f64,
                "limit": 0.0,
                "unit": unit,
                "hint": hint,
            }));
        }
    }
    let undecodable = undecodable(workers);
    findings.extend(undecodable_finding(&undecodable));
    let name = |code: i64| tables::name_of(i16::try_from(code).unwrap_or(-1));
    let error_rows: Vec<Value> = errors
        .iter()
        .map(|(code, count)| json!({"code": code, "name": name(*code), "count": count}))
        .collect();
    let mut all = Map::new();
    let versions = workers.iter().filter_map(|w| w["version"].as_i64());
    all.insert("fetch_version".into(), json!(versions.max()));
    for name in COUNTS {
        all.insert(name.into(), json!(count(name)));
    }
    if rules.mark.is_some() {
        for name in ["records", "stamped_records"] {
            all.insert(name.into(), json!(count(name)));
        }
    }
    all.insert("stuck_partitions".into(), json!(stuck));
    all.insert("unknown_leaders".into(), json!(strangers));
    all.insert("leader_moves".into(), json!(rules.topic.moves()));
    all.insert("errors".into(), json!(error_rows));
    all.insert("undecodable".into(), json!(undecodable));
    all.insert("partitions".into(), rules.cursors.rows(&rules.topic));
    json!({"consume": all, "findings": findings})
}

/// Batches that nobody could decode, each once: in a replay several cursors come by.
fn undecodable(workers: &[Value]) -> Vec<Value> {
    let rows = workers.iter().filter_map(|w| w["undecodable"].as_array());
    let place = |row: &&Value| (row["partition"].as_i64(), row["offset"].as_i64());
    let each: BTreeMap<_, _> = rows.flatten().map(|row| (place(&row), row)).collect();
    each.into_values().cloned().collect()
}

fn undecodable_finding(batches: &[Value]) -> Option<Value> {
    let first = batches.first()?;
    Some(json!({
        "code": "kafka.undecodable",
        "weight": "invalid",
        "actual": batches.len() as f64,
        "limit": 0.0,
        "unit": "batches",
        "hint": format!(
            "the log has what cannot be decoded, however often it comes, and its partitions were not \
             read further; the first is in partition {}, in the batch at offset {}: {}; \
             protocol_details.consume.undecodable has all",
            first["partition"],
            first["offset"],
            first["wrong"].as_str().unwrap_or_default(),
        ),
    }))
}
