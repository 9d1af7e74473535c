//! What a reply changes of what is asked next, and of what it was counted as.

#[expect(dead_code, reason = "tests/framing.rs uses the rest")]
#[path = "support/wire.rs"]
mod wire;

use loadgen_core::protocol::{Input, Session as _, Tally};
use loadgen_core::replay::{Replay, Seen, Skips};
use loadgen_core::workload::{Next, Workload as _};
use loadgen_kafka::spec::{Isolation, Until};
use loadgen_kafka::tables::{OK, Op};
use loadgen_kafka::wire::batch::Codec;
use wire::{START, Setup, batch, connection, encoded, partition, read, response};

#[test]
fn a_fetch_waits_where_nothing_more_can_be_read() {
    // Up to 103 everything was read; the log ends at 110, and a transaction is open from 103 on.
    for (isolation, op) in [
        (Isolation::ReadUncommitted, Op::Fetch),
        (Isolation::ReadCommitted, Op::Wait),
    ] {
        let setup = Setup {
            isolation,
            until: Until::Follow,
            partitions: &[3],
            ..Setup::new(12)
        };
        let data = partition(3, 0, Some(batch(START, 3, Codec::None)))
            .with_high_watermark(110)
            .with_last_stable_offset(103);
        let bytes = encoded(12, 1, &response(vec![data]));
        let mut conn = connection(&setup);
        let seen = Replay::new(conn.session, conn.tickets, Skips::Whole).run(&bytes, &[], false);
        let [Seen::Reply { status, units, .. }] = seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!((status, units), (OK, 3));
        let Next::Ready(ask) = conn.workload.next(0, 0, 1) else {
            panic!("nothing to ask");
        };
        assert_eq!(ask.op, op);
    }
}

#[test]
fn a_reply_that_brings_nothing_was_waited_for() {
    let one = batch(START, 1, Codec::None);
    for (records, op) in [(None, Op::Wait), (Some(one), Op::Fetch)] {
        let mut conn = connection(&Setup::new(12));
        let bytes = encoded(12, 1, &response(vec![partition(3, 0, records)]));
        let input = Input {
            bytes: &bytes,
            skipped: 0,
            end: false,
        };
        let ticket = &mut conn.tickets[0];
        assert_eq!(ticket.op, Op::Fetch as u8);
        let step = conn.session.decode(ticket, input, &mut Tally::default());
        assert!(step.expect("a reply").done.is_some());
        assert_eq!(ticket.op, op as u8);
    }
}

#[test]
fn what_will_never_be_answered_is_given_up() {
    // No right to read; zstd to a client that cannot know it.
    for error in [29, 76] {
        let setup = Setup::new(4);
        let reply = response(vec![
            partition(3, error, None),
            partition(4, 0, Some(batch(START, 1, Codec::None))),
        ]);
        let bytes = encoded(4, 1, &reply);
        let (_, details) = read(&setup, &bytes, &[], Skips::Whole, false);
        assert_eq!(details["consume"]["given_up"], 1);
        assert_eq!(details["findings"][1]["code"], "kafka.given_up");
        assert_eq!(details["findings"][1]["weight"], "invalid");
    }
}
