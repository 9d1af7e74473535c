//! The recorder against hand-counted runs.

use std::borrow::Cow;
use std::sync::Arc;

use super::*;
use crate::protocol::{Outcome, Status};

fn tables() -> Tables {
    let status = |name, outcome| Status {
        name: Cow::Borrowed(name),
        outcome,
    };
    Tables {
        protocol: "toy",
        ops: vec![Cow::Borrowed("get"), Cow::Borrowed("put")],
        statuses: vec![
            status("ok", Outcome::Ok),
            status("miss", Outcome::Empty),
            status("refused", Outcome::Error),
        ],
        causes: &[],
        apart: &[],
        written: 0,
    }
}

fn window() -> Window {
    Window {
        epoch: Tick(1000),
        begin: Tick(2000),
        end: Tick(4000),
        interval_ns: 1000,
    }
}

fn answer(status: u16, intended: u64, sent: u64, last: u64) -> Answer {
    Answer {
        op: 1,
        status,
        units: 2,
        payload_rx_bytes: Some(10),
        intended: Tick(intended),
        sent: Tick(sent),
        first: Tick(last - 1),
        last: Tick(last),
        origin: None,
    }
}

fn collect(exchange: &Exchange, workers: usize, open_loop: bool) -> Aggregate {
    let mut sum = Aggregate::new(workers, 1000, open_loop);
    while let Some(set) = exchange.full.pop() {
        sum.add(&set);
    }
    sum.finish();
    sum
}

#[test]
fn latency_goes_by_intended_and_rate_by_completion() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, true, &tables(), window(), Arc::clone(&exchange));
    rec.connected(300, Tick(400));
    // Warm-up, ends in the window: counts in the rate, not in latency.
    rec.sent(Tick(1500), Tick(1500));
    rec.answered(&answer(0, 1500, 1500, 2100), false);
    // In the window, in two different intervals.
    rec.sent(Tick(2200), Tick(2250));
    rec.answered(&answer(0, 2200, 2250, 2900), false);
    rec.sent(Tick(3000), Tick(3000));
    rec.answered(&answer(1, 3000, 3000, 3400), false);
    rec.sent(Tick(3900), Tick(3950));
    rec.sent(Tick(3990), Tick(3990));
    rec.sent(Tick(3995), Tick(3995));
    // Intended in the window, ends in the drain: counts in latency, not in the rate.
    rec.answered(&answer(0, 3900, 3950, 4700), false);
    // Failed, unanswered and unsent ones count at their age.
    rec.failed(Tick(3990), Tick(3990), Tick(4500), Tick(5990));
    rec.unanswered(Tick(3995), Tick(3995), Tick::NEVER, Tick(6000));
    rec.unsent(Tick(3999), Tick(6000));
    rec.unsent(Tick(4001), Tick(6000));
    let _ = rec.finish(Tick(6000));

    let sum = collect(&exchange, 1, true);
    assert_eq!(sum.total.sent, 6);
    assert_eq!(sum.total.completed, 4);
    assert_eq!((sum.total.failed, sum.total.failed_late), (1, 1));
    assert_eq!(sum.total.unanswered, 1);
    assert_eq!(sum.total.unsent, 2);
    assert_eq!(sum.total.unsent_intended, 1);
    assert_eq!(sum.total.intended, 6);
    assert_eq!(sum.window.completed, 3);
    assert_eq!(sum.window.units, 6);
    assert_eq!(sum.window.sent, 5);
    assert_eq!(sum.response.answered.len(), 3);
    assert_eq!(sum.response.censored.len(), 3);
    assert_eq!(sum.response.answered.max(), 800);
    assert_eq!(sum.service.as_ref().unwrap().answered.max(), 750);
    assert_eq!(sum.lag.answered.len(), 5);
    assert_eq!(sum.lag.censored.len(), 1);
    assert_eq!(sum.connect.answered.len(), 1);
    // One failed with its reply half here, one had no byte of it, one was never sent.
    assert_eq!(sum.first_byte.answered.len(), 4);
    assert_eq!(sum.first_byte.censored.len(), 1);
    assert_eq!(sum.first_byte.censored.max(), 2005);
    let row = &sum.rows[&(1, 0)];
    assert_eq!((row.count, row.total_count, row.total_units), (2, 3, 6));
    assert_eq!(sum.rows[&(1, 1)].response.max(), 400);
    let completed: Vec<u64> = sum.intervals.iter().map(|i| i.counts.completed).collect();
    assert_eq!(completed, [2, 1]);
    assert_eq!(sum.intervals[0].response_ns.unwrap()[2], 700);
    assert_eq!(sum.workers()[0].rates_per_s, [2e6, 1e6]);
}

/// A request without a reply is over when it is written: no byte of a reply has a time.
#[test]
fn what_nobody_answers_has_no_time_to_first_byte() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, true, &tables(), window(), Arc::clone(&exchange));
    rec.sent(Tick(2200), Tick(2250));
    let written = Answer {
        first: Tick::NEVER,
        ..answer(0, 2200, 2250, 2300)
    };
    rec.answered(&written, false);
    let _ = rec.finish(Tick(6000));
    let sum = collect(&exchange, 1, true);
    assert_eq!(sum.response.answered.len(), 1);
    assert_eq!(sum.first_byte.answered.len(), 0);
    assert_eq!(sum.first_byte.censored.len(), 0);
}

#[test]
fn what_never_came_counts_at_its_age() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, false, &tables(), window(), Arc::clone(&exchange));
    rec.connected(300, Tick(400));
    rec.unconnected(900, Tick(900));
    for n in 0..10 {
        let sent = Tick(2500 + n);
        rec.sent(sent, sent);
        rec.failed(sent, sent, Tick::NEVER, sent.after(700));
    }
    let _ = rec.finish(Tick(6000));
    let sum = collect(&exchange, 1, false);
    assert_eq!(
        (sum.connect.answered.max(), sum.connect.censored.min()),
        (300, 900)
    );
    // The interval in which they end does not look quick.
    let stalled = &sum.intervals[1];
    assert_eq!((stalled.counts.failed, stalled.censored), (10, 10));
    assert_eq!(stalled.response_ns, Some([700; 3]));
    assert!(sum.first_byte.answered.is_empty());
    assert_eq!(sum.first_byte.censored.len(), 10);
    assert_eq!(sum.first_byte.censored.min(), 700);
    assert_eq!(
        (sum.total.failed, sum.total.failed_late),
        (10, 0),
        "in the window"
    );
}

#[test]
fn a_unit_that_was_refused_is_an_error_of_its_own() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, false, &tables(), window(), Arc::clone(&exchange));
    rec.sent(Tick(2100), Tick(2100));
    rec.answered(&answer(0, 2100, 2100, 2200), false);
    rec.units(1, 2, 97);
    rec.units(1, 1, 1);
    rec.sent(Tick(2200), Tick(2200));
    rec.answered(&answer(2, 2200, 2200, 2300), true);
    let _ = rec.finish(Tick(6000));
    let total = collect(&exchange, 1, false).total;
    assert_eq!((total.units, total.error_units), (102, 99));
    assert_eq!((total.completed, total.error_replies), (2, 1));
}

/// Many at once are what they are one by one, and more than a cell holds are none the fewer.
#[test]
fn unsent_requests_are_counted_in_bulk() {
    let schedule = |rate_per_s| {
        let part = crate::pace::Part {
            index: 0,
            of: 1,
            phase: 0.0,
        };
        crate::pace::Schedule::new(crate::pace::Arrival::Fixed, rate_per_s, part, 1, Tick(1000))
    };
    let window = Window {
        epoch: Tick(1000),
        begin: Tick(1_000_000),
        end: Tick(20_000_000_000),
        interval_ns: 100_000_000_000,
    };
    let over = Tick(21_000_000_000);
    let count = |rate_per_s: f64, bulk: bool| {
        let exchange = Arc::new(Exchange::default());
        let mut rec = Recorder::new(0, true, &tables(), window, Arc::clone(&exchange));
        rec.turn(window.end);
        schedule(rate_per_s).take_before(window.end, |due| {
            if bulk {
                rec.unsent_evenly(&due, over);
            } else {
                (0..due.count).for_each(|n| rec.unsent(due.at(n), over));
            }
        });
        let _ = rec.finish(over);
        collect(&exchange, 1, true)
    };
    let (bulk, single) = (count(1e4, true), count(1e4, false));
    assert_eq!(bulk.total, single.total);
    assert_eq!(bulk.lag.censored, single.lag.censored);
    assert_eq!(bulk.response.censored, single.response.censored);
    let many = count(1e9, true);
    assert_eq!(many.total.unsent, 20_000_000_000 - 1000);
    assert_eq!(many.total.unsent_intended, 20_000_000_000 - 1_000_000);
    assert_eq!(many.response.censored.len(), many.total.unsent_intended);
    assert_eq!(
        many.lag.censored.min(),
        1_000_000_001_u64 & !((1 << 19) - 1)
    );
}

#[test]
fn a_silent_worker_still_hands_over_every_interval() {
    let exchange = Arc::new(Exchange::default());
    let tables = tables();
    let unknown = Window::unknown(1000);
    let mut busy = Recorder::new(0, false, &tables, unknown, Arc::clone(&exchange));
    let mut idle = Recorder::new(1, false, &tables, unknown, Arc::clone(&exchange));
    busy.set_window(window(), Tick(500));
    idle.set_window(window(), Tick(500));
    busy.sent(Tick(2500), Tick(2500));
    busy.answered(&answer(0, 2500, 2500, 3500), false);
    let _ = busy.finish(Tick(4100));
    let _ = idle.finish(Tick(4100));
    let sum = collect(&exchange, 2, false);
    assert_eq!(sum.intervals.len(), 2);
    assert_eq!(sum.intervals[1].counts.completed, 1);
    assert_eq!(sum.workers()[1].rates_per_s, [0.0, 0.0]);
    assert!(sum.service.is_none());
}

/// A worker that has nothing left to do holds nothing up: what waits for it would pile up for as
/// long as the others run.
#[test]
fn intervals_do_not_wait_for_a_worker_that_is_gone() {
    let exchange = Arc::new(Exchange::default());
    let tables = tables();
    let long = Window {
        end: Tick(1_000_000),
        ..window()
    };
    let early = Recorder::new(0, false, &tables, long, Arc::clone(&exchange));
    let mut late = Recorder::new(1, false, &tables, long, Arc::clone(&exchange));
    let mut sum = Aggregate::new(2, 1000, false);
    let take = |sum: &mut Aggregate| {
        while let Some(set) = exchange.full.pop() {
            sum.add(&set);
        }
    };
    late.turn(Tick(5000));
    take(&mut sum);
    assert_eq!(sum.intervals.len(), 0, "the other may still be in them");
    let _ = early.finish(Tick(3500));
    take(&mut sum);
    assert_eq!(sum.intervals.len(), 3);
    late.turn(Tick(9000));
    take(&mut sum);
    assert_eq!(sum.intervals.len(), 7);
    assert_eq!(sum.intervals[6].end, Tick(9000));
    let _ = late.finish(Tick(9100));
    take(&mut sum);
    assert_eq!(sum.intervals.len(), 8, "nobody is left");
}

#[test]
fn a_run_without_an_end_keeps_so_many_rows_and_no_more() {
    let exchange = Arc::new(Exchange::default());
    let endless = Window {
        end: Tick::NEVER,
        ..window()
    };
    let mut rec = Recorder::new(0, false, &tables(), endless, Arc::clone(&exchange));
    for n in 0..10 {
        let sent = Tick(2000 + n * 1000);
        rec.sent(sent, sent);
        rec.answered(&answer(0, sent.0, sent.0, sent.0 + 10), false);
    }
    let _ = rec.finish(Tick(12_000));
    let mut sum = Aggregate::new(1, 1000, false);
    sum.intervals_max = 3;
    while let Some(set) = exchange.full.pop() {
        sum.add(&set);
    }
    sum.finish();
    assert_eq!(
        (sum.intervals.len(), sum.workers()[0].rates_per_s.len()),
        (3, 3)
    );
    assert_eq!(sum.latest().unwrap().end, Tick(12_000), "for the live line");
    assert_eq!(sum.window.completed, 10);
}

#[test]
fn an_early_end_shortens_the_last_interval() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, false, &tables(), window(), Arc::clone(&exchange));
    rec.sent(Tick(2100), Tick(2100));
    rec.set_window(
        Window {
            end: Tick(2600),
            ..window()
        },
        Tick(2650),
    );
    rec.answered(&answer(0, 2100, 2100, 2700), false);
    let _ = rec.finish(Tick(2800));
    let sum = collect(&exchange, 1, false);
    assert_eq!(sum.window.completed, 0);
    assert_eq!(sum.total.completed, 1);
    assert_eq!(sum.response.answered.len(), 1);
    assert_eq!(sum.intervals.len(), 1);
    assert_eq!(sum.intervals[0].end, Tick(2600));
}

#[test]
fn a_used_set_comes_back_empty() {
    let exchange = Arc::new(Exchange::default());
    let mut rec = Recorder::new(0, true, &tables(), window(), Arc::clone(&exchange));
    rec.sent(Tick(2500), Tick(2600));
    rec.answered(&answer(1, 2500, 2600, 2900), true);
    rec.turn(Tick(3000));
    while let Some(mut set) = exchange.full.pop() {
        set.clear();
        exchange.spare.push(set);
    }
    let _ = rec.finish(Tick(5000));
    let sum = collect(&exchange, 1, true);
    assert_eq!(sum.total, Counts::default());
    assert!(sum.rows.is_empty());
    assert!(sum.response.answered.is_empty());
}

#[test]
fn an_epoch_at_the_origin_loses_nothing() {
    let exchange = Arc::new(Exchange::default());
    let unknown = Window::unknown(1000);
    let mut rec = Recorder::new(0, false, &tables(), unknown, Arc::clone(&exchange));
    let window = Window {
        epoch: Tick(0),
        begin: Tick(0),
        end: Tick(1000),
        interval_ns: 1000,
    };
    rec.set_window(window, Tick(0));
    rec.sent(Tick(0), Tick(0));
    rec.answered(&answer(0, 0, 0, 500), false);
    let _ = rec.finish(Tick(1200));
    let sum = collect(&exchange, 1, false);
    assert_eq!((sum.window.completed, sum.intervals.len()), (1, 1));
}

#[test]
fn an_op_apart_has_its_row_and_nothing_of_the_summary() {
    let exchange = Arc::new(Exchange::default());
    let tables = Tables {
        apart: &[0],
        ..tables()
    };
    let mut recorder = Recorder::new(0, true, &tables, window(), Arc::clone(&exchange));
    for op in [0, 1] {
        recorder.sent(Tick(2000), Tick(2000));
        let took = if op == 0 { 900 } else { 10 };
        let mut answer = answer(0, 2000, 2000, 2000 + took);
        answer.op = op;
        recorder.answered(&answer, false);
    }
    let _ = recorder.finish(Tick(5000));
    let sum = collect(&exchange, 1, true);
    assert_eq!(sum.window.completed, 2);
    assert_eq!(
        (sum.response.answered.len(), sum.response.answered.max()),
        (1, 10)
    );
    assert_eq!(sum.first_byte.answered.len(), 1);
    assert_eq!(sum.service.unwrap().answered.len(), 1);
    let row = &sum.rows[&(0, 0)];
    assert!(row.apart && row.response.max() == 900 && row.count == 1);
    assert!(!sum.rows[&(1, 0)].apart);
    assert_eq!(sum.intervals[0].response_ns, Some([10, 10, 10]));
}

#[test]
fn what_was_made_in_the_window_counts_end_to_end_whenever_it_comes() {
    let exchange = Arc::new(Exchange::default());
    let mut recorder = Recorder::new(0, false, &tables(), window(), Arc::clone(&exchange));
    recorder.turn(Tick(2500));
    for (origin, at) in [(1999, 2500), (2000, 2600), (3999, 4500), (4000, 4500)] {
        recorder.turn(Tick(at));
        recorder.arrived(Tick(origin), Tick(at));
    }
    let _ = recorder.finish(Tick(5000));
    let sum = collect(&exchange, 1, false);
    let times = &sum.end_to_end.answered;
    assert_eq!((times.len(), times.min(), times.max()), (2, 501, 600));
}
