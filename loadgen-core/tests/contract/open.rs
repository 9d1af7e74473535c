//! Open loop on the echo: what is due, what is late, and the arithmetic of a stall.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loadgen_core::engine::EngineOptions;
use loadgen_core::pace::{Arrival, Dispatch, Pacing};
use loadgen_core::stop::Stop;
use loadgen_core::time::Tick;

use crate::echo::{Echo, EchoPeer};
use crate::harness::{MS, by_count, histogram, run};

fn open(rate_per_s: f64, arrival: Arrival, connections: u32, seconds: u64) -> EngineOptions {
    EngineOptions {
        pacing: Pacing::Open {
            rate_per_s,
            arrival,
        },
        stop: Stop::After(Duration::from_secs(seconds)),
        timeout: Duration::from_secs(5),
        ..by_count(1, connections, 1)
    }
}

#[test]
fn with_room_to_spare_every_request_leaves_on_time() {
    let peer = EchoPeer::new(|_, _| Some(2 * MS));
    let ran = run(
        &Echo::default(),
        peer,
        open(1000.0, Arrival::Fixed, 10, 2),
        |_| {},
    );
    assert_eq!((ran.sum.total.sent, ran.sum.window.completed), (2000, 1998));
    assert_eq!(ran.sum.lag.answered, histogram([0; 2000]));
    assert_eq!(ran.sum.response.answered, histogram([2 * MS; 2000]));
    assert_eq!(ran.sum.service.unwrap().answered, histogram([2 * MS; 2000]));
}

#[test]
fn a_stall_shows_in_response_time_and_not_in_service_time() {
    // 1000/s over one connection; the target stands still from 500 ms to 600 ms, otherwise it
    // answers in 100 µs.
    let start = Tick(1000);
    let stalled = move |_: u32, at: Tick| {
        let into = at.since(start);
        let end = 600 * MS;
        Some(if (500 * MS..end).contains(&into) {
            end - into + MS / 10
        } else {
            MS / 10
        })
    };
    let ran = run(
        &Echo::default(),
        EchoPeer::new(stalled),
        open(1000.0, Arrival::Fixed, 1, 1),
        |_| {},
    );
    assert_eq!((ran.sum.total.sent, ran.sum.total.completed), (1000, 1000));
    // The backlog: request 500 waits out the stall, those behind it leave one after the other.
    let mut free = 0;
    let (mut response, mut service, mut lag) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..1000_u64 {
        let intended = n * MS;
        let sent = intended.max(free);
        let took = stalled(0, Tick(1000 + sent)).unwrap();
        free = sent + took;
        response.push(free - intended);
        service.push(took);
        lag.push(sent - intended);
    }
    assert_eq!(ran.sum.response.answered, histogram(response));
    assert_eq!(
        ran.sum.service.as_ref().unwrap().answered,
        histogram(service)
    );
    assert_eq!(ran.sum.lag.answered, histogram(lag));
    assert!(ran.sum.response.answered.value_at_quantile(0.95) > 50 * MS);
    assert!(
        ran.sum
            .service
            .as_ref()
            .unwrap()
            .answered
            .value_at_quantile(0.99)
            < MS
    );
}

#[test]
fn an_overloaded_target_leaves_requests_unsent_and_they_are_counted() {
    let peer = EchoPeer::new(|_, _| Some(10 * MS));
    let ran = run(
        &Echo::default(),
        peer,
        open(1000.0, Arrival::Fixed, 2, 1),
        |_| {},
    );
    let total = ran.sum.total;
    assert_eq!(total.sent, 200);
    assert_eq!(total.sent + total.unsent, 1000);
    assert_eq!(
        ran.sum.response.answered.len() + ran.sum.response.censored.len(),
        1000
    );
    assert_eq!(ran.sum.lag.censored.len(), total.unsent);
}

#[test]
fn pinned_users_wait_for_their_own_connection_and_a_pool_does_not() {
    let slow_first = |n: u32, _: Tick| Some(if n == 0 { 500 * MS } else { MS });
    let mut options = open(100.0, Arrival::Fixed, 10, 1);
    let pool = run(
        &Echo::default(),
        EchoPeer::new(slow_first),
        options.clone(),
        |_| {},
    );
    assert_eq!(pool.sum.lag.answered, histogram([0; 100]));

    options.dispatch = Dispatch::Pinned;
    let pinned = run(&Echo::default(), EchoPeer::new(slow_first), options, |_| {});
    assert_eq!(pinned.sum.total.sent, 100);
    // Requests 10, 20, 30, 40 belong to the busy connection: due at 100 … 400 ms, sent one after
    // the other from 500 ms on. Request 50 is due just then and waits for them.
    let late = [400, 301, 202, 103, 4].map(|ms| ms * MS);
    let expected = histogram(late.into_iter().chain([0; 95]));
    assert_eq!(pinned.sum.lag.answered, expected);
}

#[test]
fn poisson_arrivals_reach_the_target_with_exponential_gaps() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let peer = EchoPeer::new(move |_, at: Tick| {
        log.borrow_mut().push(at.0);
        Some(MS)
    });
    let rate_per_s = 5_000.0;
    let ran = run(
        &Echo::default(),
        peer,
        open(rate_per_s, Arrival::Poisson, 100, 10),
        |_| {},
    );
    assert_eq!(ran.sum.lag.answered.max(), 0, "no request was late");
    let ticks = seen.borrow();
    let mut gaps: Vec<f64> = ticks.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    assert!((n - 50_000.0).abs() < 5.0 * 50_000_f64.sqrt(), "{n}");
    let distance = gaps.iter().enumerate().fold(0.0_f64, |distance, (i, gap)| {
        let law = 1.0 - (-gap * rate_per_s / 1e9).exp();
        let (low, high) = (
            (law - i as f64 / n).abs(),
            (law - (i as f64 + 1.0) / n).abs(),
        );
        distance.max(low).max(high)
    });
    // The 1 % point of the Kolmogorov–Smirnov statistic.
    assert!(distance < 1.63 / n.sqrt(), "distance {distance}");
}

#[test]
fn a_run_by_count_sends_exactly_that_many_however_late() {
    let peer = EchoPeer::new(|_, _| Some(10 * MS));
    let mut options = open(1000.0, Arrival::Fixed, 1, 1);
    options.stop = Stop::Requests(100);
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert_eq!(
        (
            ran.sum.total.sent,
            ran.sum.total.completed,
            ran.sum.total.unsent
        ),
        (100, 100, 0)
    );
    assert_eq!(ran.sum.response.answered.max() / MS, 10 + 99 * 9);
}

#[test]
fn a_worker_with_nothing_left_to_send_only_waits() {
    // Idle connections and a schedule that goes on: on a virtual clock, looking again and again
    // would never end.
    let peer = EchoPeer::new(|_, _| Some(50 * MS));
    let mut options = open(1000.0, Arrival::Fixed, 100, 1);
    options.stop = Stop::Requests(20);
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert_eq!((ran.sum.total.sent, ran.sum.total.completed), (20, 20));
    assert_eq!(ran.sum.lag.answered, histogram([0; 20]));
}
