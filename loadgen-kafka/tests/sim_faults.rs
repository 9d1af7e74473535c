//! Whole runs over the sim driver against clusters where something is wrong: batches that cannot be
//! decoded, leaders that are not there, connections that break.
//!
//! No record may be counted twice, and none may be missing in silence.

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/reading.rs"]
mod reading;

use std::sync::Arc;
use std::time::Duration;

use loadgen_core::engine::Simulated;
use loadgen_core::run::start_client;
use loadgen_core::stop::Stop;
use loadgen_kafka::sim::Happening;
use loadgen_kafka::spec::{Depth, Until};
use reading::{Setup, all_of, consumed, findings, nothing_failed, records};

#[test]
fn a_batch_that_no_reply_has_room_for_ends_the_run_with_what_was_read() {
    for depth in [Depth::None, Depth::Headers, Depth::Records] {
        let mut setup = Setup::new(2, 1000);
        // A batch has more than 1000 bytes; below that not even its header is whole.
        for bytes in [700, 30] {
            (setup.cuts_first, setup.partition_max_bytes) = (true, bytes);
            setup.depth = depth;
            setup.until = if depth == Depth::None {
                Until::Replay
            } else {
                Until::End
            };
            let document = setup.run();
            assert_eq!(records(&document), 0);
            assert_eq!(consumed(&document)["given_up"], 2);
            assert_eq!(consumed(&document)["cut_off"], 80);
            // A pause after each: a leader that has just changed may be behind.
            let measured = document.phases.iter().find(|row| row.name == "measure");
            let ms = measured.map_or(0, |row| row.duration_ns / 1_000_000);
            assert!((1_900..2_500).contains(&ms), "{ms}");
            assert_eq!(findings(&document), ["kafka.given_up", "kafka.cut_off"]);
        }
    }
}

#[test]
fn a_batch_that_cannot_be_decoded_stops_its_partition_and_no_other() {
    for (connections, in_flight) in [(2, 1), (2, 3), (6, 1)] {
        let mut setup = Setup::new(8, 1000);
        (setup.connections, setup.in_flight) = (connections, in_flight);
        setup.partition_max_bytes = 3000;
        setup.depth = Depth::Crc;
        setup.happenings = vec![(0, Happening::Rot(2, 515))];
        // Only so that a run that never ends fails.
        setup.stop = Stop::After(Duration::from_secs(60));
        let document = setup.run();
        let consumed = consumed(&document);
        let rows = consumed["partitions"].as_array().unwrap();
        for row in rows.iter().filter(|row| row["partition"] != 2) {
            assert_eq!(row["records"], 1000, "{row}");
        }
        // Up to the fetch that the batch came with.
        let next = rows[2]["next_offset"].as_i64().unwrap();
        assert!((490..=510).contains(&next), "{next}");
        assert_eq!(consumed["given_up"], 1);
        let batch = &consumed["undecodable"][0];
        assert_eq!(
            (&batch["partition"], &batch["offset"]),
            (&2.into(), &510.into())
        );
        let found = findings(&document);
        assert!(found.contains(&"kafka.given_up".to_owned()), "{found:?}");
        let finding = document
            .findings
            .iter()
            .find(|f| f.code == "kafka.undecodable");
        let hint = &finding.expect("a finding").hint;
        assert!(
            hint.contains("partition 2, in the batch at offset 510: "),
            "{hint}"
        );
        assert_ne!(document.verdict.exit_code, 0);
        let causes = document
            .errors
            .iter()
            .filter(|error| error.cause.ends_with("crc_mismatch"));
        assert_eq!(causes.map(|error| error.count).sum::<u64>(), 3);
    }
}

#[test]
fn a_batch_that_was_wrong_once_is_read_the_next_time() {
    let mut setup = Setup::new(4, 1000);
    setup.depth = Depth::Crc;
    setup.partition_max_bytes = 3000;
    setup.happenings = vec![(0, Happening::Rot(2, 515)), (56, Happening::Heal)];
    setup.stop = Stop::After(Duration::from_secs(60));
    let document = setup.run();
    all_of(&setup, &document);
    assert!(!document.errors.is_empty());
    assert_eq!(consumed(&document)["given_up"], 0);
}

#[test]
fn a_partition_that_nobody_leads_ends_the_run_without_it() {
    let mut setup = Setup::new(4, 1000);
    setup.partition_max_bytes = 3000;
    setup.patience = Duration::ZERO;
    setup.happenings = vec![(10, Happening::Orphan(1))];
    // Only so that a run that never ends fails.
    setup.stop = Stop::After(Duration::from_secs(600));
    let document = setup.run();
    let consumed = consumed(&document);
    assert_eq!(consumed["given_up"], 1);
    assert!(consumed["partitions"][1]["records"].as_u64() < Some(1000));
    assert_eq!(
        records(&document),
        3000 + consumed["partitions"][1]["records"].as_u64().unwrap()
    );
    assert!(findings(&document).contains(&"kafka.given_up".to_owned()));
    assert_ne!(document.verdict.exit_code, 0);
}

#[test]
fn a_partition_that_nobody_leads_is_waited_for_a_while_and_not_passed_over_in_silence() {
    for (seconds, given_up) in [(30, 0), (90, 1)] {
        let mut setup = Setup::new(4, 100);
        setup.until = Until::Follow;
        setup.happenings = vec![(4, Happening::Orphan(0))];
        setup.stop = Stop::After(Duration::from_secs(seconds));
        let document = setup.run();
        assert_eq!(consumed(&document)["given_up"], given_up);
        assert_eq!(consumed(&document)["stuck_partitions"], 1 - given_up);
        let code = ["kafka.stuck_partitions", "kafka.given_up"][given_up];
        let found = findings(&document);
        assert!(found.contains(&code.to_owned()), "{found:?}");
    }
}

#[test]
fn a_leader_that_nobody_knew_is_told() {
    let mut setup = Setup::new(2, 100);
    setup.until = Until::Follow;
    setup.happenings = vec![(4, Happening::Move(0, 9))];
    setup.stop = Stop::After(Duration::from_secs(90));
    let document = setup.run();
    assert_eq!(consumed(&document)["unknown_leaders"], 1);
    assert_eq!(consumed(&document)["given_up"], 1);
    let found = findings(&document);
    assert!(
        found.contains(&"kafka.unknown_leaders".to_owned()),
        "{found:?}"
    );
}

#[test]
fn what_is_refused_for_a_minute_is_given_up() {
    // The topic is deleted; whole replies are refused: with and without somebody who asks.
    for happening in [Happening::Delete, Happening::Refuse(-1)] {
        for watched in [false, true] {
            let mut setup = Setup::new(4, 1000);
            setup.partition_max_bytes = 3000;
            setup.watched = watched;
            setup.happenings = vec![(10, happening)];
            setup.stop = Stop::After(Duration::from_secs(600));
            let document = setup.run();
            assert_eq!(consumed(&document)["given_up"], 4, "{happening:?}");
            assert!(document.errors.is_empty(), "{:?}", document.errors);
            // Once in 50 ms on two connections.
            let sent = document.totals.sent;
            assert!((1000..4000).contains(&sent), "{sent}");
        }
    }
}

#[test]
fn leaders_that_move_cost_nothing_and_repeat_nothing() {
    // 12: the reply names the new leader. 11, 4: somebody has to ask. 4: without epochs.
    for (version, watched) in [(12, false), (12, true), (11, true), (4, true)] {
        let mut setup = Setup::new(10, 1000);
        (setup.version, setup.watched) = (version, watched);
        (setup.connections, setup.in_flight) = (4, 2);
        setup.partition_max_bytes = 2000;
        setup.happenings = (0..40)
            .map(|n| {
                (
                    n * 3,
                    Happening::Move(n as i32 % 10, (n as i32 / 10 + n as i32 % 3) % 2 + 1),
                )
            })
            .collect();
        let document = setup.run();
        all_of(&setup, &document);
        let consumed = consumed(&document);
        assert!(consumed["leader_moves"].as_u64() > Some(5), "{consumed}");
        let names = consumed["errors"].as_array().unwrap().iter();
        let names: Vec<_> = names.filter_map(|row| row["name"].as_str()).collect();
        let of_moves = ["not_leader_or_follower", "fenced_leader_epoch"];
        assert!(names.contains(&of_moves[0]), "{names:?}");
        assert!(
            names.iter().all(|name| of_moves.contains(name)),
            "{names:?}"
        );
        assert_eq!(findings(&document), ["kafka.partition_errors"]);
        assert!(document.errors.is_empty(), "{:?}", document.errors);
    }
}

#[test]
fn a_connection_lost_in_mid_reply_loses_no_record_and_repeats_none() {
    for reset in [false, true] {
        for depth in [Depth::Headers, Depth::Records] {
            let mut setup = Setup::new(6, 3000);
            (setup.connections, setup.in_flight) = (4, 2);
            setup.depth = depth;
            setup.partition_max_bytes = 5000;
            setup.happenings = (1..30).map(|n| (n * 4, Happening::Lose(reset))).collect();
            let document = setup.run();
            all_of(&setup, &document);
            let lost: u64 = document.errors.iter().map(|error| error.count).sum();
            assert!(lost >= 29, "{:?}", document.errors);
            assert!(document.connections.opened > 4);
        }
    }
}

#[test]
fn a_log_that_begins_later_is_jumped_into_and_the_gap_is_counted() {
    for tells_range in [false, true] {
        let mut setup = Setup::new(2, 2000);
        setup.partition_max_bytes = 2000;
        setup.happenings = vec![(10, Happening::Trim(1, 507))];
        let topic = setup.topic();
        let scenario = Arc::new(setup.scenario(&topic));
        let (cluster, watched) = (setup.clone(), Arc::clone(&topic));
        let peer = move || {
            let mut peer = cluster.peer(&watched);
            peer.tells_range = tells_range;
            peer
        };
        let client = Arc::new(Simulated(scenario, peer));
        let document = start_client(client, setup.options())
            .expect("a start")
            .join();
        let consumed = consumed(&document);
        let gap = consumed["jumped_offsets"].as_u64().unwrap();
        assert_eq!(consumed["jumps"], 1);
        assert!((1..500).contains(&gap), "{gap}");
        assert_eq!(records(&document), setup.offsets() - gap);
        assert_eq!(consumed["partitions"][0]["records"], 2000);
        assert_eq!(consumed["partitions"][1]["records"], 2000 - gap);
        assert_eq!(consumed["partitions"][1]["next_offset"], 2007);
        let found = findings(&document);
        assert!(found.contains(&"kafka.offset_gap".to_owned()), "{found:?}");
        assert_eq!(consumed["errors"][0]["name"], "offset_out_of_range");
    }
}

#[test]
fn an_end_that_is_not_there_any_more_makes_the_run_invalid() {
    let mut setup = Setup::new(2, 1000);
    setup.partition_max_bytes = 2000;
    // The new leader of partition 1 has lost everything from the first offset on.
    setup.happenings = vec![(6, Happening::Grow(1, -1000))];
    let document = setup.run();
    let consumed = consumed(&document);
    assert_eq!(consumed["partitions"][0]["records"], 1000);
    assert!(consumed["partitions"][1]["records"].as_u64() < Some(1000));
    let found = findings(&document);
    assert!(found.contains(&"kafka.given_up".to_owned()), "{found:?}");
    assert_ne!(document.verdict.exit_code, 0);
}

#[test]
fn a_broker_that_throttles_is_left_alone_for_so_long() {
    let mut setup = Setup::new(2, 2000);
    setup.partition_max_bytes = 2000;
    setup.happenings = vec![(3, Happening::Throttle(250)), (9, Happening::Throttle(40))];
    let document = setup.run();
    nothing_failed(&document);
    all_of(&setup, &document);
    assert_eq!(consumed(&document)["throttled"], 2);
    assert_eq!(consumed(&document)["throttle_ms"], 290);
    assert_eq!(findings(&document), ["kafka.throttled"]);
}

#[test]
fn a_partition_that_is_refused_again_and_again_is_not_asked_for_all_the_time() {
    let mut setup = Setup::new(4, 100);
    setup.until = Until::Follow;
    // Without the watcher nobody learns where it went, and below v12 the reply does not say.
    (setup.version, setup.watched) = (11, false);
    setup.happenings = vec![(4, Happening::Move(0, 2))];
    setup.stop = Stop::After(Duration::from_secs(10));
    let document = setup.run();
    nothing_failed(&document);
    let errors = consumed(&document)["errors"][0]["count"].as_u64().unwrap();
    // Every 50 ms at the most, though the partition beside it is there to be asked for.
    assert!((10..=200).contains(&errors), "{errors}");
    let fetches = document.totals.completed;
    assert!(fetches < 500, "{fetches}");
}
