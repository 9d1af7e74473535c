//! Our counts against the cluster's log: where the two differ there is a finding.
//!
//! Pure functions of the document and of the offsets the cluster said before and after. They must
//! never change a number of ours.

use loadgen_core::results::{Document, Finding, Operation, Weight, judge};
use serde_json::{Value, json};

use crate::produce::local::maybe_written;
use crate::spec::Acks;
use crate::tables::name_of;

/// The log end of one partition, before the first request and after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Kafka's number of the partition.
    pub partition: i32,
    /// The offset behind the last record before the run.
    pub before: i64,
    /// And after it.
    pub after: i64,
}

/// What a run that wrote can be held against.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// When a batch was acknowledged.
    pub acks: Acks,
    /// Records of a batch, at the most.
    pub batch_records: u64,
    /// What the partitions grew by; an error is why nobody knows.
    pub growth: Result<&'a [Growth], &'a str>,
}

/// The status of what no acknowledgement was asked for.
const UNACKED: &str = "unacked";

/// Holds acknowledged records against the growth of the log: acked ≤ growth ≤ acked + unknown. The
/// numbers go into `protocol_details.reconciliation`, the findings into the document, which is
/// judged anew.
pub fn written(document: &mut Document, writing: &Writing<'_>) {
    let acked = units(document, |row| row.op == "produce" && row.status == "ok");
    let unknown = unknown(document, writing);
    let grown = writing.growth.ok().map(sum);
    let partition = |growth: &Growth| json!({"partition": growth.partition, "before": growth.before, "after": growth.after});
    put(
        document,
        "reconciliation",
        json!({
            "error": writing.growth.err(),
            "acked_records": acked,
            "unknown_records_max": unknown,
            "growth_records": grown,
            "partitions": writing.growth.unwrap_or_default().iter().map(partition).collect::<Vec<_>>(),
        }),
    );
    if unknown > 0 {
        document.findings.push(finding(
            "unknown_records",
            Weight::Note,
            [unknown as f64, 0.0],
            "records",
            "so many records at the most were sent and never acknowledged: they may be in the log or not",
        ));
    }
    match (grown, writing.growth) {
        (Some(grown), _) => {
            let found = growth_findings(writing, acked, unknown, grown);
            document.findings.extend(found);
            let unacked = units(document, |row| row.status == UNACKED);
            document.findings.extend(unacked_finding(unacked, grown));
        }
        (None, Err(why)) => document.findings.push(finding(
            "not_reconciled",
            Weight::Note,
            [1.0, 0.0],
            "topics",
            &format!("our counts could not be held against the log: {why}"),
        )),
        (None, Ok(_)) => {}
    }
    judge(document);
}

/// Records that were acknowledged, or written to a connection where nobody acknowledges any: what the
/// log should have grown by.
#[must_use]
pub fn expected(document: &Document) -> u64 {
    units(document, |row| {
        row.op == "produce" && (row.status == "ok" || row.status == UNACKED)
    })
}

/// Without acknowledgements a broker says that it refuses a batch by closing the connection, and no
/// reply tells an error.
fn unacked_finding(unacked: u64, grown: i64) -> Option<Finding> {
    let missing = grown < i64::try_from(unacked).unwrap_or(i64::MAX);
    let weight = if grown > 0 {
        Weight::Doubt
    } else {
        Weight::Invalid
    };
    missing.then(|| {
        finding(
            "unacked_records_missing",
            weight,
            [grown as f64, unacked as f64],
            "records",
            "the log grew by fewer records than were written to connections: with --acks 0 a broker \
             refuses a batch by closing the connection, and what was under way on it is gone; --acks 1 \
             shows why",
        )
    })
}

fn growth_findings(writing: &Writing<'_>, acked: u64, unknown: u64, grown: i64) -> Option<Finding> {
    if grown < i64::try_from(acked).unwrap_or(i64::MAX) {
        // A leader alone may acknowledge what its followers never get.
        let weight = match writing.acks {
            Acks::All => Weight::Invalid,
            Acks::None | Acks::Leader => Weight::Doubt,
        };
        return Some(finding(
            "acked_records_missing",
            weight,
            [grown as f64, acked as f64],
            "records",
            "the log grew by fewer records than were acknowledged: a leader was lost before its \
             followers had them (--acks all and min.insync.replicas keep them), or the topic was made \
             anew",
        ));
    }
    let most = acked.saturating_add(unknown);
    (grown.unsigned_abs() > most).then(|| {
        finding(
            "more_records_than_sent",
            Weight::Doubt,
            [grown as f64, most as f64],
            "records",
            "the log grew by more records than this run can have written: other producers write to \
             the topic, or transactions are marked in it",
        )
    })
}

/// Records that were sent and that nobody answered for, at the most. Where the sessions counted them,
/// they know; otherwise whatever failed may have been a whole batch.
fn unknown(document: &Document, writing: &Writing<'_>) -> u64 {
    let produce = &document.protocol_details["produce"];
    let count = |name: &str| produce[name].as_u64();
    if let Some((unknown, unacked)) = count("unknown_records").zip(count("unacked_records")) {
        return unknown.saturating_add(unacked);
    }
    let batch_records = writing.batch_records;
    let names: Vec<String> = maybe_written(writing.acks)
        .iter()
        .map(|code| name_of(*code))
        .collect();
    let maybe = |row: &Operation| row.status == UNACKED || names.contains(&row.status);
    let of_rows = document
        .operations
        .iter()
        .filter(|row| row.op == "produce" && maybe(row));
    let of_rows: u64 = of_rows
        .map(|row| match row.status.as_str() {
            UNACKED => row.total_units,
            _ => row.total_count.saturating_mul(batch_records),
        })
        .sum();
    let unanswered = document.totals.failed + document.totals.unanswered;
    of_rows.saturating_add(unanswered.saturating_mul(batch_records))
}

/// Holds the records of a run that read each offset once against the offsets it went over, of the
/// `offsets` there were to read when it was planned. What was counted must fit into what was gone
/// over; offsets without a record are a note.
pub fn read_to_end(document: &mut Document, offsets: u64) {
    let records = units(document, |row| row.status == "ok");
    let consume = &document.protocol_details["consume"];
    let count = |name: &str| consume[name].as_u64().unwrap_or(0);
    // No units, and so in no row.
    let aborted = count("aborted_records");
    let inexact = count("inexact_records");
    // What came and is no record, and what retention took away before it could be read.
    let others = count("control_batches") + count("missing_offsets") + count("jumped_offsets");
    let passed = passed(consume);
    put(
        document,
        "reconciliation",
        json!({
            "offsets": offsets,
            "passed_offsets": passed,
            "records": records,
            "aborted_records": aborted,
        }),
    );
    let Some(passed) = passed else {
        judge(document);
        return;
    };
    let seen = records.saturating_add(aborted).saturating_add(others);
    if seen > passed && inexact == 0 {
        document.findings.push(finding(
            "count_mismatch",
            Weight::Invalid,
            [seen as f64, passed as f64],
            "offsets",
            "more records were counted than there are offsets where they were read: the broker or this \
             program counts wrong, please report it",
        ));
    }
    let without = passed.saturating_sub(records + aborted);
    if without > 0 {
        document.findings.push(finding(
            "offsets_without_record",
            Weight::Note,
            [without as f64, 0.0],
            "offsets",
            "so many of the offsets that were gone over have no record: the log was compacted or cut, or \
             they are markers of transactions",
        ));
    }
    judge(document);
}

/// Offsets between where reading began and where it is, over all partitions; `None` where it went
/// over some of them more than once.
fn passed(consume: &Value) -> Option<u64> {
    let of_partition = |row: &Value| {
        let (start, position) = (row["start_offset"].as_i64()?, row["position"].as_i64()?);
        u64::try_from(position - start).ok()
    };
    consume["partitions"]
        .as_array()?
        .iter()
        .map(of_partition)
        .sum()
}

fn units(document: &Document, is_part: impl Fn(&Operation) -> bool) -> u64 {
    let rows = document.operations.iter().filter(|row| is_part(row));
    rows.map(|row| row.total_units).sum()
}

fn sum(growth: &[Growth]) -> i64 {
    growth.iter().map(|one| one.after - one.before).sum()
}

fn finding(
    code: &str,
    weight: Weight,
    [actual, limit]: [f64; 2],
    unit: &str,
    hint: &str,
) -> Finding {
    Finding {
        code: format!("kafka.{code}"),
        weight,
        actual: Some(actual),
        limit: Some(limit),
        unit: Some(unit.to_owned()),
        hint: hint.to_owned(),
    }
}

/// Puts `value` under `protocol_details`, whatever the workers said.
pub fn put(document: &mut Document, key: &str, value: Value) {
    if !document.protocol_details.is_object() {
        document.protocol_details = json!({});
    }
    document.protocol_details[key] = value;
}

#[cfg(test)]
mod tests {
    use loadgen_core::results::{Latency, sample};

    use super::*;

    fn row(op: &str, status: &str, count: u64, units: u64) -> Operation {
        Operation {
            op: op.to_owned(),
            status: status.to_owned(),
            outcome: "ok".to_owned(),
            count,
            units,
            total_count: count,
            total_units: units,
            apart: false,
            response_time: Latency::default(),
        }
    }

    /// 1000 records acknowledged in batches of 100.
    fn wrote(rows: &[Operation], failed: u64) -> Document {
        let mut document = sample::document(false);
        document.findings.clear();
        document.operations = vec![row("produce", "ok", 10, 1000)];
        document.operations.extend_from_slice(rows);
        (document.totals.failed, document.totals.unanswered) = (failed, 0);
        document
    }

    fn codes(
        mut document: Document,
        acks: Acks,
        growth: Result<&[Growth], &str>,
    ) -> Vec<(String, Weight)> {
        let writing = Writing {
            acks,
            batch_records: 100,
            growth,
        };
        written(&mut document, &writing);
        let ours = document.findings.into_iter();
        let ours = ours.filter(|f| f.code.starts_with("kafka."));
        ours.map(|f| (f.code, f.weight)).collect()
    }

    fn grew(by: [i64; 2]) -> [Growth; 2] {
        [0, 1].map(|at| Growth {
            partition: at as i32,
            before: 7,
            after: 7 + by[at],
        })
    }

    fn code(code: &str, weight: Weight) -> Vec<(String, Weight)> {
        vec![(format!("kafka.{code}"), weight)]
    }

    #[test]
    fn what_was_acknowledged_is_in_the_log() {
        let exact = grew([400, 600]);
        assert_eq!(codes(wrote(&[], 0), Acks::All, Ok(&exact)), []);
        let short = grew([400, 599]);
        let missing = |weight| code("acked_records_missing", weight);
        assert_eq!(
            codes(wrote(&[], 0), Acks::All, Ok(&short)),
            missing(Weight::Invalid)
        );
        assert_eq!(
            codes(wrote(&[], 0), Acks::Leader, Ok(&short)),
            missing(Weight::Doubt)
        );
        let long = grew([401, 600]);
        let more = code("more_records_than_sent", Weight::Doubt);
        assert_eq!(codes(wrote(&[], 0), Acks::All, Ok(&long)), more);
    }

    #[test]
    fn what_nobody_answered_for_may_be_in_the_log_or_not() {
        let unknown = code("unknown_records", Weight::Note);
        for by in [1000, 1001, 1100] {
            let growth = grew([0, by]);
            assert_eq!(
                codes(wrote(&[], 1), Acks::All, Ok(&growth)),
                unknown,
                "{by}"
            );
        }
        let more = grew([0, 1101]);
        assert_eq!(codes(wrote(&[], 1), Acks::All, Ok(&more)).len(), 2);
        let timed_out = row("produce", "request_timed_out", 2, 0);
        let growth = grew([0, 1200]);
        assert_eq!(
            codes(wrote(&[timed_out], 0), Acks::All, Ok(&growth)),
            unknown
        );
        let refused = row("produce", "message_too_large", 2, 0);
        let growth = grew([0, 1000]);
        assert_eq!(codes(wrote(&[refused], 0), Acks::All, Ok(&growth)), []);
        let moved = row("produce", "not_leader_or_follower", 2, 0);
        let growth = grew([0, 1200]);
        assert_eq!(
            codes(
                wrote(std::slice::from_ref(&moved), 0),
                Acks::All,
                Ok(&growth)
            ),
            unknown,
            "appended, and then the leader moved"
        );
        let more = code("more_records_than_sent", Weight::Doubt);
        assert_eq!(codes(wrote(&[moved], 0), Acks::Leader, Ok(&growth)), more);
        let unacked = row("produce", "unacked", 3, 250);
        let growth = grew([1000, 250]);
        assert_eq!(
            codes(wrote(&[unacked], 0), Acks::None, Ok(&growth)),
            unknown
        );
    }

    #[test]
    fn what_nobody_acknowledges_is_looked_for_in_the_log() {
        let unknown = ("kafka.unknown_records".to_owned(), Weight::Note);
        for (grown, weight) in [
            (250, None),
            (249, Some(Weight::Doubt)),
            (1, Some(Weight::Doubt)),
            (0, Some(Weight::Invalid)),
        ] {
            let mut document = wrote(&[row("produce", "unacked", 3, 250)], 0);
            document.operations.remove(0);
            assert_eq!(expected(&document), 250);
            let growth = grew([0, grown]);
            let found = codes(document, Acks::None, Ok(&growth));
            let missing = weight.map(|w| ("kafka.unacked_records_missing".to_owned(), w));
            let all: Vec<_> = missing.into_iter().chain([unknown.clone()]).collect();
            assert_eq!(found, all, "{grown}");
        }
    }

    #[test]
    fn a_log_nobody_could_ask_is_a_note() {
        let note = code("not_reconciled", Weight::Note);
        assert_eq!(codes(wrote(&[], 0), Acks::All, Err("gone")), note);
        let mut document = wrote(&[], 0);
        let writing = Writing {
            acks: Acks::All,
            batch_records: 100,
            growth: Err("gone"),
        };
        written(&mut document, &writing);
        let said = &document.protocol_details["reconciliation"];
        assert_eq!(said["error"], "gone");
        assert_eq!(said["acked_records"], 1000);
        assert!(said["growth_records"].is_null());
    }

    /// 950 records and 20 aborted ones, of two partitions that were gone over so far.
    fn read(positions: [i64; 2], counts: Value) -> Document {
        let mut document = sample::document(false);
        document.findings.clear();
        document.operations = vec![row("fetch", "ok", 9, 900), row("wait", "ok", 1, 50)];
        let partition = |position| json!({"start_offset": 5, "position": position});
        let mut consume = counts;
        consume["aborted_records"] = 20.into();
        consume["partitions"] = positions.map(partition).into_iter().collect();
        document.protocol_details = json!({ "consume": consume });
        read_to_end(&mut document, 5000);
        document
    }

    fn ours(document: &Document) -> Vec<(&str, Option<f64>)> {
        let all = document.findings.iter();
        let ours = all.filter(|f| f.code.starts_with("kafka."));
        ours.map(|f| (f.code.as_str(), f.actual)).collect()
    }

    #[test]
    fn what_was_read_fits_into_the_offsets_gone_over() {
        let exact = read([505, 475], json!({}));
        assert_eq!(ours(&exact), []);
        let said = &exact.protocol_details["reconciliation"];
        assert_eq!(
            (&said["records"], &said["passed_offsets"]),
            (&950.into(), &970.into())
        );
        let holes = json!({"control_batches": 2, "missing_offsets": 20, "jumped_offsets": 5});
        let without = ("kafka.offsets_without_record", Some(30.0));
        assert_eq!(ours(&read([505, 505], holes.clone())), [without]);
        let short = read([505, 495], holes.clone());
        assert_eq!(ours(&short)[0], ("kafka.count_mismatch", Some(997.0)));
        assert!(!short.verdict.valid);
        let mut guessed = holes;
        guessed["inexact_records"] = 1.into();
        assert_eq!(ours(&read([505, 495], guessed)).len(), 1);
        // In a replay nothing can be held against anything.
        let mut replay = sample::document(false);
        replay.protocol_details = json!({"consume": {"partitions": [{"position": null}]}});
        read_to_end(&mut replay, 10);
        assert_eq!(ours(&replay), []);
    }
}
