//! A run before the run, such as a prefill: what it did belongs to the whole, not to the window.
//!
//! Its counts go into everything that is of the whole run, so that those equal the target's own
//! counters; rates and times stay those of the measured window. Pure.

use loadgen_core::results::{
    Document, ErrorRow, Latency, Operation, PhaseRow, RunStatus, Summary, Target, judge,
};

/// Puts `prelude` before `document`, as the phase `name`.
pub(crate) fn put_before(document: &mut Document, prelude: &Document, name: &str) {
    let gap_ns = document.start_unix_ns.saturating_sub(prelude.start_unix_ns);
    let mut phases = vec![phase(prelude, name)];
    phases.extend(document.phases.iter().map(|row| PhaseRow {
        start_ns: row.start_ns + gap_ns,
        ..row.clone()
    }));
    document.phases = phases;
    document.start_unix_ns = prelude.start_unix_ns;
    document.started_at.clone_from(&prelude.started_at);
    add_totals(document, prelude);
    for row in &prelude.operations {
        add_operation(&mut document.operations, row);
    }
    for row in &mut document.errors {
        row.first_at_ns += gap_ns;
    }
    for row in &prelude.errors {
        add_error(&mut document.errors, row);
    }
    for row in &prelude.targets {
        add_target(&mut document.targets, row);
    }
    let (whole, part) = (&mut document.connections, &prelude.connections);
    whole.opened += part.opened;
    whole.connect_failures += part.connect_failures;
    whole.lost += part.lost;
    whole.closed_by_target += part.closed_by_target;
    whole.closed_by_us += part.closed_by_us;
    judge(document);
}

/// A prelude that did not get through: its document, in which nothing was measured.
pub(crate) fn alone(mut prelude: Document, name: &str) -> Document {
    prelude.phases = vec![phase(&prelude, name)];
    prelude.summary = Summary::default();
    prelude.intervals.clear();
    prelude.histograms.clear();
    for row in &mut prelude.operations {
        *row = unmeasured(row);
    }
    prelude.status = RunStatus::Failed;
    judge(&mut prelude);
    prelude
}

/// All of a run as one phase.
fn phase(run: &Document, name: &str) -> PhaseRow {
    let ends = run.phases.iter().map(|row| row.start_ns + row.duration_ns);
    PhaseRow {
        name: name.to_owned(),
        start_ns: 0,
        duration_ns: ends.max().unwrap_or(0),
    }
}

fn add_totals(document: &mut Document, prelude: &Document) {
    let (whole, part) = (&mut document.totals, &prelude.totals);
    whole.sent += part.sent;
    whole.completed += part.completed;
    whole.failed += part.failed;
    whole.unanswered += part.unanswered;
    whole.unsent += part.unsent;
    let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
    whole.payload_rx_bytes = sum(whole.payload_rx_bytes, part.payload_rx_bytes);
    whole.payload_tx_bytes = sum(whole.payload_tx_bytes, part.payload_tx_bytes);
    whole.wire_rx_bytes = sum(whole.wire_rx_bytes, part.wire_rx_bytes);
    whole.wire_tx_bytes = sum(whole.wire_tx_bytes, part.wire_tx_bytes);
}

fn add_operation(rows: &mut Vec<Operation>, row: &Operation) {
    let known = rows
        .iter_mut()
        .find(|other| other.op == row.op && other.status == row.status);
    match known {
        Some(known) => {
            known.total_count += row.total_count;
            known.total_units += row.total_units;
        }
        None => rows.push(unmeasured(row)),
    }
}

/// A row of the whole run, of which nothing is in the window.
fn unmeasured(row: &Operation) -> Operation {
    Operation {
        count: 0,
        units: 0,
        response_time: Latency::default(),
        ..row.clone()
    }
}

fn add_error(rows: &mut Vec<ErrorRow>, row: &ErrorRow) {
    let known = rows
        .iter_mut()
        .find(|other| other.phase == row.phase && other.cause == row.cause);
    match known {
        // The prelude's came first.
        Some(known) => {
            *known = ErrorRow {
                count: known.count + row.count,
                ..row.clone()
            };
        }
        None => rows.push(row.clone()),
    }
}

fn add_target(rows: &mut Vec<Target>, row: &Target) {
    let known = rows
        .iter_mut()
        .find(|other| other.route == row.route && other.address == row.address);
    match known {
        Some(known) => {
            known.opened += row.opened;
            known.completed += row.completed;
            known.failed += row.failed;
        }
        None => rows.push(row.clone()),
    }
}

#[cfg(test)]
mod tests {
    use loadgen_core::results::sample;

    use super::*;

    #[test]
    fn totals_are_of_both_and_the_window_is_of_the_second() {
        let mut document = sample::document(false);
        let (alone, summary) = (document.clone(), document.summary.clone());
        let mut prelude = sample::document(false);
        prelude.operations[0].op = "other".to_owned();
        document.start_unix_ns += 5_000_000_000;
        put_before(&mut document, &prelude, "prefill");
        assert_eq!(document.totals.completed, 2 * alone.totals.completed);
        assert_eq!(
            document.totals.wire_tx_bytes,
            alone.totals.wire_tx_bytes.map(|bytes| bytes * 2)
        );
        let replies: u64 = document.operations.iter().map(|o| o.total_count).sum();
        assert_eq!(replies, document.totals.completed);
        let by_target: u64 = document.targets.iter().map(|t| t.completed).sum();
        assert_eq!(by_target, document.totals.completed);
        let other = document
            .operations
            .iter()
            .find(|o| o.op == "other")
            .unwrap();
        assert_eq!((other.count, other.response_time.count), (0, 0));
        assert!(other.total_count > 0);
        assert_eq!(document.summary.requests, summary.requests);
        assert_eq!(document.phases[0].name, "prefill");
        assert_eq!(document.phases[0].start_ns, 0);
        assert_eq!(
            document.phases[1].start_ns,
            alone.phases[0].start_ns + 5_000_000_000
        );
        assert_eq!(document.start_unix_ns, prelude.start_unix_ns);
    }

    #[test]
    fn a_prelude_alone_measured_nothing() {
        let prelude = sample::document(false);
        let completed = prelude.totals.completed;
        let document = alone(prelude, "prefill");
        assert_eq!(document.totals.completed, completed);
        assert_eq!(document.summary.requests.completed, 0);
        assert_eq!(document.summary.rate.achieved_per_s, None);
        assert_eq!(document.phases.len(), 1);
        let codes: Vec<_> = document.findings.iter().map(|f| f.code.as_str()).collect();
        assert!(codes.contains(&"nothing_measured"), "{codes:?}");
        assert!(!document.verdict.valid);
    }
}
