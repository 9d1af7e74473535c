//! Every finding in both directions: absent from a good run, present in the one that has it.

use super::*;
use crate::results::document::{ErrorRow, RunStatus};
use crate::results::sample;

fn error(phase: &str, cause: &str) -> ErrorRow {
    ErrorRow {
        phase: phase.to_owned(),
        cause: cause.to_owned(),
        count: 3,
        first_at_ns: 0,
        sample: String::new(),
    }
}

/// Makes `d` show `core` and, where possible, nothing else.
fn spoil(d: &mut Document, core: Core) {
    let s = &mut d.summary;
    match core {
        Core::WorkerBroken => d.workers[1].broken = Some("panicked".to_owned()),
        Core::TargetUnreachable => {
            (d.connections.opened, d.connections.connect_failures) = (0, 7);
            d.errors.push(error("connect", "refused"));
        }
        Core::AllFailed => d.operations[0].outcome = "error".to_owned(),
        Core::NothingMeasured => s.requests.completed = 0,
        Core::CountNotReached => (d.plan.requests, d.totals.unsent) = (Some(9_000), 1),
        Core::GeneratorLimit => d.errors.push(error("connect", "fd_limit")),
        Core::GeneratorCpuBound => s.efficiency.generator_busy_ratio = Some(0.95),
        Core::RateNotMet => s.rate.achieved_per_s = s.rate.achieved_per_s.map(|rate| rate * 0.98),
        Core::Errors => d.totals.failed = 1,
        Core::Interrupted => d.status = RunStatus::Partial,
        Core::ScheduleLag => s.schedule_lag.p99_ns = Some(310_000),
        Core::GeneratorDelay => s.generator_delay.p99_ns = Some(800_000),
        Core::RunQueueWait => d.workers[0].run_queue_wait_ns = Some(21_000_000),
        Core::MoreWorkersThanCpus => d.plan.cpu_quota = Some(1.0),
        Core::LittlesLaw => s.response_time.mean_ns = Some(2_600_000.0),
        Core::ConnectionsLost => d.connections.lost = 1,
        Core::ConnectFailures => d.connections.connect_failures = 1,
        Core::Unanswered => d.totals.unanswered = 1,
        Core::Unsent => s.requests.unsent = 1,
        Core::Clamped => s.schedule_lag.clamped = 1,
        Core::DebugBuild => d.tool.profile = "debug".to_owned(),
        Core::ShortWindow => s.response_time.count = 999,
        Core::TimesUntilWritten => s.time_to_first_byte.count = 0,
        Core::NotPinned => d.workers[0].cpu = None,
        Core::DiscardCopied => d.connections.discard = Some("copy".to_owned()),
        Core::Retransmits => d.connections.retransmits = Some(1),
    }
}

fn weight(core: Core) -> Weight {
    match core {
        Core::WorkerBroken
        | Core::TargetUnreachable
        | Core::AllFailed
        | Core::NothingMeasured
        | Core::CountNotReached
        | Core::GeneratorLimit
        | Core::RateNotMet => Weight::Invalid,
        Core::ShortWindow
        | Core::TimesUntilWritten
        | Core::NotPinned
        | Core::DiscardCopied
        | Core::Retransmits => Weight::Note,
        _ => Weight::Doubt,
    }
}

fn with(core: Core) -> Document {
    let open = matches!(core, Core::RateNotMet | Core::ScheduleLag | Core::Unsent);
    let mut document = sample::document(open);
    spoil(&mut document, core);
    document
}

#[test]
fn a_good_run_has_no_finding() {
    for open_loop in [false, true] {
        let found = find(&sample::document(open_loop));
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn each_fault_has_its_finding_and_mostly_only_that() {
    for core in Core::ALL {
        let document = with(core);
        let found = find(&document);
        let mine = found.iter().find(|f| f.code == core.code());
        let mine = mine.unwrap_or_else(|| panic!("{core:?} not found"));
        assert_eq!(mine.weight, weight(core), "{core:?}");
        assert!(
            mine.hint.len() > 40 && !mine.hint.contains("  "),
            "{core:?}"
        );
        let others: Vec<&str> = found
            .iter()
            .map(|f| f.code.as_str())
            .filter(|code| *code != core.code())
            .collect();
        let expected: &[&str] = match core {
            Core::TargetUnreachable => &["connect_failures"],
            Core::AllFailed => &["errors"],
            _ => &[],
        };
        assert_eq!(others, expected, "{core:?}");
    }
}

#[test]
fn codes_are_unique() {
    let mut codes: Vec<&str> = Core::ALL.iter().map(|c| c.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Core::ALL.len());
}

#[test]
fn a_part_of_a_cpu_is_room_for_a_worker() {
    let mut document = sample::document(false);
    document.plan.cpu_quota = Some(1.5);
    assert!(Core::MoreWorkersThanCpus.find(&document).is_none());
    document.plan.workers = 3;
    let finding = Core::MoreWorkersThanCpus.find(&document).unwrap();
    assert_eq!(finding.limit, Some(2.0));
    (document.plan.cpu_quota, document.plan.workers) = (Some(0.5), 1);
    assert!(Core::MoreWorkersThanCpus.find(&document).is_none());
}

#[test]
fn a_full_generator_weighs_more_in_an_open_loop() {
    let mut document = sample::document(true);
    document.summary.efficiency.generator_busy_ratio = Some(0.96);
    let finding = Core::GeneratorCpuBound.find(&document).unwrap();
    assert_eq!(finding.weight, Weight::Invalid);
}

#[test]
fn many_errors_weigh_more_than_few() {
    let mut document = sample::document(false);
    document.summary.rate.error_ratio = Some(0.1);
    assert_eq!(Core::Errors.find(&document).unwrap().weight, Weight::Doubt);
    document.summary.rate.error_ratio = Some(0.11);
    assert_eq!(
        Core::Errors.find(&document).unwrap().weight,
        Weight::Invalid
    );
}

/// A batch that was answered well, and all whose keys were refused.
#[test]
fn refused_keys_of_a_batch_are_errors() {
    let mut document = sample::document(false);
    let mut refused = document.operations[0].clone();
    refused.outcome = "error".to_owned();
    (refused.count, refused.total_count) = (0, 0);
    let row = &mut document.operations[0];
    (row.units, row.total_units) = (0, 0);
    refused.total_units = row.total_count * 100;
    document.operations.push(refused);
    assert!(Core::AllFailed.find(&document).is_some());
    // One key in a hundred came.
    let row = &mut document.operations[0];
    row.total_units = row.total_count;
    document.operations[1].total_units = row.total_count * 99;
    assert!(Core::AllFailed.find(&document).is_none());
    let errors = Core::Errors.find(&document).unwrap();
    assert_eq!(
        (errors.weight, errors.actual),
        (Weight::Invalid, Some(0.99))
    );
    // A request refused as a whole carries no unit, and hides behind no batch either.
    document.operations[1].total_units = 0;
    document.operations[1].total_count = document.operations[0].total_count;
    document.operations[0].total_units *= 100;
    assert_eq!(Core::Errors.find(&document).unwrap().actual, Some(0.5));
}

#[test]
fn own_limits_are_not_an_unreachable_target() {
    let mut document = sample::document(false);
    document.connections.opened = 0;
    document.connections.connect_failures = 4;
    document.errors.push(error("connect", "no_local_port"));
    assert!(Core::TargetUnreachable.find(&document).is_none());
    assert!(Core::GeneratorLimit.find(&document).is_some());
}

#[test]
fn a_handshake_that_never_works_is_all_failed() {
    let mut document = sample::document(false);
    document.operations.clear();
    document.totals = crate::results::Totals::default();
    assert!(Core::AllFailed.find(&document).is_none());
    document.errors.push(error("handshake", "reset"));
    assert!(Core::AllFailed.find(&document).is_some());
}

#[test]
fn a_count_that_was_not_reached_is_explained_once() {
    let mut document = with(Core::CountNotReached);
    document.interrupted = true;
    assert!(Core::CountNotReached.find(&document).is_none());
    document.interrupted = false;
    spoil(&mut document, Core::TargetUnreachable);
    assert!(Core::CountNotReached.find(&document).is_none());
    // Of a run by time, what was due and never sent is another matter.
    let mut document = with(Core::CountNotReached);
    document.plan.requests = None;
    assert!(Core::CountNotReached.find(&document).is_none());
}

/// What is in flight when the window ends is no shortfall; a backlog is.
#[test]
fn a_short_open_loop_with_slow_replies_met_its_rate() {
    let mut document = sample::document(true);
    let rate = &mut document.summary.rate;
    rate.achieved_per_s = rate.achieved_per_s.map(|rate| rate * 0.95);
    assert!(Core::RateNotMet.find(&document).is_some());
    document.summary.service_time.mean_ns = Some(100e6);
    document.plan.connections = 100;
    assert!(Core::RateNotMet.find(&document).is_none());
    // With four connections there cannot be so many in flight.
    document.plan.connections = 4;
    assert!(Core::RateNotMet.find(&document).is_some());
}

/// By count the last reply ends the window, which says nothing about the rate; a backlog does.
#[test]
fn a_count_with_slow_replies_met_its_rate() {
    let mut document = sample::document(true);
    document.plan.requests = Some(document.totals.sent);
    assert!(Core::RateNotMet.find(&document).is_none());
    let add_s = |document: &mut Document, seconds: u64| {
        let measure = document.phases.iter_mut().find(|p| p.name == "measure");
        measure.unwrap().duration_ns += seconds * 1_000_000_000;
    };
    // 1600 requests in 2 s, and replies that took up to 5 s.
    document.summary.service_time.max_ns = Some(5_000_000_000);
    add_s(&mut document, 5);
    assert!(Core::RateNotMet.find(&document).is_none());
    // No reply took so long that the window had to be 2 s longer still.
    add_s(&mut document, 2);
    let late = Core::RateNotMet.find(&document).unwrap().actual.unwrap();
    assert!((49.0..51.0).contains(&late), "{late} %");
}

#[test]
fn littles_law_forgives_what_is_counted_elsewhere() {
    let mut document = with(Core::LittlesLaw);
    document.connections.closed_by_us = 1;
    assert!(Core::LittlesLaw.find(&document).is_none());
    // But nothing explains more requests in flight than there is room for.
    document.summary.response_time.mean_ns = Some(3_500_000.0);
    assert!(Core::LittlesLaw.find(&document).is_some());
}

/// Long polls beside quick requests: each kind is in flight for as long as it takes.
#[test]
fn littles_law_weighs_what_is_apart_by_its_own_mean() {
    let mut document = with(Core::LittlesLaw);
    let places = f64::from(document.plan.connections) * f64::from(document.plan.depth);
    let seen = Core::LittlesLaw.find(&document).unwrap().actual.unwrap();
    let window_ns = document
        .phases
        .iter()
        .find(|p| p.name == "measure")
        .unwrap()
        .duration_ns;
    let row = &mut document.operations[0];
    (row.apart, row.count) = (true, 1);
    // What is missing to a full house, in one long wait.
    let usual_ns = document.summary.response_time.mean_ns.unwrap();
    let mean_ns = (places - seen) * window_ns as f64 + usual_ns;
    row.response_time.mean_ns = Some(mean_ns);
    assert!(Core::LittlesLaw.find(&document).is_none());
}
