//! Lost connections, on the echo: every request is accounted for, at its age.

use std::time::Duration;

use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::stop::Stop;
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::echo::{Echo, EchoPeer, reply};
use crate::harness::{Frames, MS, by_count, histogram, run};

#[test]
fn a_timeout_closes_and_its_neighbours_are_collateral() {
    // Number 8 is never answered; 9, 10 and 11 are behind it on the same connection.
    let peer = EchoPeer::new(|n, _| (n != 8).then_some(MS));
    let ran = run(&Echo::default(), peer, by_count(40, 1, 4), |_| {});
    let total = ran.sum.total;
    assert_eq!((total.sent, total.completed, total.failed), (40, 36, 4));
    assert_eq!(
        ran.errors(Phase::Decode, Cause::Protocol(0)),
        1,
        "9 came where 8 was due"
    );
    assert_eq!(ran.errors(Phase::Wait, Cause::Collateral), 3);

    let peer = EchoPeer::new(|n, _| (n < 8).then_some(MS));
    let mut options = by_count(12, 1, 4);
    options.timeout = Duration::from_millis(80);
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (8, 4));
    assert_eq!(ran.errors(Phase::Wait, Cause::Timeout), 1);
    assert_eq!(ran.errors(Phase::Wait, Cause::Collateral), 3);
    let censored = &ran.sum.response.censored;
    assert_eq!(censored.len(), 4);
    // Found at the first sweep after the deadline: a sweep every timeout/8.
    assert!(
        censored.min() >= 79 * MS && censored.max() <= 91 * MS,
        "{}",
        censored.max()
    );
    assert_eq!(ran.end.counts.lost, 1);
}

/// Misbehaves at request `at`, once.
struct Rude {
    at: u32,
    deed: fn(u32) -> Vec<Action>,
    done: bool,
    frames: Frames,
    refuse_ns: u64,
    refused: u64,
    up_again: Tick,
}

impl Rude {
    fn new(at: u32, deed: fn(u32) -> Vec<Action>) -> Self {
        let frames = Frames::default();
        Self {
            at,
            deed,
            done: false,
            frames,
            refuse_ns: 1000,
            refused: 0,
            up_again: Tick(0),
        }
    }
}

impl Peer for Rude {
    fn connect(&mut self, _id: u64, _endpoint: &Endpoint, at: Tick) -> Accept {
        if self.done && at < self.up_again {
            self.refused += 1;
            assert!(self.refused < 30, "a hot loop of connects");
            return Accept::Refuse(self.refuse_ns);
        }
        Accept::After(1000)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        for frame in self.frames.take(id, bytes, 4) {
            let number = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            if number == self.at && !self.done {
                self.done = true;
                for action in (self.deed)(number) {
                    script.add(2 * MS, action);
                }
                return;
            }
            script.add(MS, Action::Bytes(reply(number, 0)));
        }
    }
}

fn rude(deed: fn(u32) -> Vec<Action>) -> crate::harness::Ran {
    let ran = run(
        &Echo::default(),
        Rude::new(10, deed),
        by_count(50, 2, 1),
        |_| {},
    );
    let total = ran.sum.total;
    assert_eq!(total.sent, 50);
    assert_eq!(total.completed + total.failed, 50);
    ran
}

#[test]
fn each_way_to_go_has_its_own_class() {
    let ran = rude(|_| vec![Action::Reset]);
    assert_eq!(ran.errors(Phase::Wait, Cause::Reset), 1);
    assert_eq!((ran.end.counts.lost, ran.end.counts.opened), (1, 3));
    assert_eq!(ran.sum.response.censored, histogram([2 * MS]));

    let ran = rude(|n| vec![Action::Bytes(reply(n, 0)[..5].to_vec()), Action::Reset]);
    assert_eq!(ran.errors(Phase::Read, Cause::Reset), 1);

    let ran = rude(|_| vec![Action::End]);
    assert_eq!(ran.errors(Phase::Wait, Cause::ClosedBeforeReply), 1);

    let ran = rude(|n| vec![Action::Bytes(reply(n, 0)[..5].to_vec()), Action::End]);
    assert_eq!(ran.errors(Phase::Read, Cause::Truncated), 1);

    let ran = rude(|n| vec![Action::Bytes(reply(n, 9)[..12].to_vec()), Action::End]);
    assert_eq!(ran.errors(Phase::Read, Cause::Truncated), 1);

    let ran = rude(|_| vec![Action::Bytes(reply(77, 0))]);
    assert_eq!(ran.errors(Phase::Decode, Cause::Protocol(0)), 1);
    assert_eq!(ran.errors[0].sample, "expected 10, got 77");
}

#[test]
fn a_reply_to_nothing_is_unsolicited_and_a_close_between_replies_is_fine() {
    let ran = rude(|n| vec![Action::Bytes([reply(n, 0), reply(n, 0)].concat())]);
    assert_eq!(ran.sum.total.failed, 0);
    assert_eq!(ran.errors(Phase::Decode, Cause::Unsolicited), 1);
    assert_eq!(ran.end.counts.lost, 1);

    let mut options = by_count(30, 1, 1);
    options.pacing = Pacing::Open {
        rate_per_s: 100.0,
        arrival: Arrival::Fixed,
    };
    let peer = Rude::new(10, |n| vec![Action::Bytes(reply(n, 0)), Action::End]);
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (30, 0));
    assert!(ran.errors.is_empty());
    assert_eq!(
        (ran.end.counts.closed_by_target, ran.end.counts.opened),
        (1, 2)
    );
}

#[test]
fn a_target_that_is_down_for_a_while_is_tried_with_backoff() {
    let mut peer = Rude::new(10, |_| vec![Action::Reset]);
    peer.up_again = Tick(2_000 * MS);
    let mut options = by_count(1, 1, 1);
    options.stop = Stop::After(Duration::from_secs(5));
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert_eq!(ran.sum.total.failed, 1);
    let refused = ran.errors(Phase::Connect, Cause::Refused);
    assert!(
        (5..20).contains(&refused),
        "{refused} attempts in two seconds"
    );
    assert_eq!(ran.end.counts.connect_failures, refused);
    assert!(
        ran.sum.total.completed > 1500,
        "it went on: {}",
        ran.sum.total.completed
    );
}

#[test]
fn a_dead_target_ends_the_run_at_once() {
    struct Nobody;
    impl Peer for Nobody {
        fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
            Accept::Refuse(1000)
        }
        fn receive(&mut self, _id: u64, _bytes: &[u8], _at: Tick, _script: &mut Script) {}
    }
    let ran = run(&Echo::default(), Nobody, by_count(100, 10, 1), |_| {});
    assert_eq!((ran.sum.total.sent, ran.sum.total.completed), (0, 0));
    assert_eq!(ran.errors(Phase::Connect, Cause::Refused), 10);

    // With a connection for each request, requests are what fails.
    let echo = Echo {
        per_connection: Some(1),
        ..Echo::default()
    };
    let ran = run(&echo, Nobody, by_count(100, 10, 1), |_| {});
    assert_eq!((ran.sum.total.sent, ran.sum.total.failed), (100, 100));
    assert_eq!(ran.errors(Phase::Connect, Cause::Refused), 100);
}

#[test]
fn a_silent_listener_times_out_as_a_connect() {
    struct Silent;
    impl Peer for Silent {
        fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
            Accept::Never
        }
        fn receive(&mut self, _id: u64, _bytes: &[u8], _at: Tick, _script: &mut Script) {}
    }
    let mut options = by_count(100, 3, 1);
    options.connect_timeout = Duration::from_millis(200);
    let ran = run(&Echo::default(), Silent, options, |_| {});
    assert_eq!(ran.errors(Phase::Connect, Cause::Timeout), 3);
    assert_eq!(ran.sum.total.sent, 0);
}

#[test]
fn a_target_that_never_comes_back_ends_a_run_by_count() {
    let mut peer = Rude::new(10, |_| vec![Action::Reset]);
    peer.up_again = Tick::NEVER;
    let mut options = by_count(1000, 1, 1);
    options.connect_timeout = Duration::from_secs(3);
    let ran = run(&Echo::default(), peer, options, |_| {});
    assert!(ran.end.gave_up);
    assert_eq!((ran.sum.total.completed, ran.sum.total.failed), (10, 1));
}

#[test]
fn what_is_in_flight_at_the_very_end_is_unanswered() {
    let peer = EchoPeer::new(|n, _| (n < 5).then_some(MS));
    let mut options = by_count(1, 3, 1);
    options.stop = Stop::After(Duration::from_millis(50));
    options.timeout = Duration::from_secs(10);
    options.drain = Duration::from_millis(20);
    let ran = run(&Echo::default(), peer, options, |_| {});
    let total = ran.sum.total;
    assert_eq!((total.sent, total.completed, total.unanswered), (8, 5, 3));
    assert_eq!(ran.sum.response.censored.len(), 3);
}

/// Ends every attempt in the call itself.
struct Exhausted {
    attempts: u64,
}

impl Peer for Exhausted {
    fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
        self.attempts += 1;
        Accept::Fail(Cause::FdLimit)
    }
    fn receive(&mut self, _id: u64, _bytes: &[u8], _at: Tick, _script: &mut Script) {}
}

#[test]
fn a_hundred_thousand_connects_that_fail_at_once_need_no_stack() {
    let options = by_count(10, 100_000, 1);
    let ran = run(&Echo::default(), Exhausted { attempts: 0 }, options, |_| {});
    assert_eq!(ran.errors(Phase::Connect, Cause::FdLimit), 100_000);

    let mut options = by_count(1, 100_000, 1);
    options.stop = Stop::After(Duration::from_secs(1));
    options.pacing = Pacing::Open {
        rate_per_s: 100_000.0,
        arrival: Arrival::Fixed,
    };
    let echo = Echo {
        per_connection: Some(1),
        ..Echo::default()
    };
    let ran = run(&echo, Exhausted { attempts: 0 }, options, |_| {});
    assert_eq!(ran.sum.total.sent + ran.sum.total.unsent, 100_000);
    assert_eq!(ran.sum.total.sent, ran.sum.total.failed);
    assert!(ran.sum.total.failed > 50_000);
}

#[test]
fn a_black_hole_is_given_up_after_one_connect_timeout() {
    struct Silent;
    impl Peer for Silent {
        fn connect(&mut self, _id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
            Accept::Never
        }
        fn receive(&mut self, _id: u64, _bytes: &[u8], _at: Tick, _script: &mut Script) {}
    }
    let mut options = by_count(100, 10_000, 1);
    options.connect_timeout = Duration::from_millis(500);
    let ran = run(&Echo::default(), Silent, options, |_| {});
    assert_eq!(ran.sum.total.sent, 0);
    assert!(ran.sum.last_end < Tick(1000 * MS), "{:?}", ran.sum.last_end);
}

#[test]
fn bytes_that_never_left_are_not_counted_as_sent() {
    let peer = EchoPeer::new(|_, _| None);
    let mut options = by_count(1, 2, 1);
    options.stop = Stop::After(Duration::from_millis(300));
    options.timeout = Duration::from_millis(50);
    let ran = run(&Echo::default(), peer, options, |sim| {
        sim.flush_after_ns = 10_000 * MS;
    });
    assert!(ran.sum.total.failed > 2);
    assert_eq!(
        (ran.sum.total.wire_tx_bytes, ran.sum.total.payload_tx_bytes),
        (0, 0)
    );
}
