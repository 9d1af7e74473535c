//! Tests of the module beside it.

use super::*;
use crate::plan::MemcachePlan;
use crate::scenario::MemcacheScenario;
use crate::spec::{KeySpace, MemcacheSpec};
use crate::wire::HEADER_BYTES;
use crate::wire::header::REPLY;
use crate::wire::reply::TOO_MANY;
use loadgen_core::workload::{Scenario as _, Workload as _};

const S: u64 = 1_000_000_000;

fn session(change: impl FnOnce(&mut MemcacheSpec)) -> MemcacheSession {
    let mut spec = MemcacheSpec {
        servers: vec!["127.0.0.1:1".into()],
        ..MemcacheSpec::default()
    };
    change(&mut spec);
    let scenario = MemcacheScenario::new(MemcachePlan::new(spec).unwrap());
    scenario.workload(0, 1).open(0, 0)
}

fn key(index: u64) -> Key {
    Key::new(0, index)
}

fn reply(opcode: u8, status: u16, opaque: u32, extras: &[u8], value: &[u8]) -> Vec<u8> {
    let header = Header {
        magic: REPLY,
        opcode,
        key_bytes: 0,
        extras_bytes: extras.len() as u8,
        status,
        body_bytes: (extras.len() + value.len()) as u32,
        opaque,
    };
    [&header.encode(), extras, value].concat()
}

/// Sends `request` at `at` and gives the reply that `bytes` are.
fn exchange(
    session: &mut MemcacheSession,
    request: Request,
    at: Tick,
    bytes: &[u8],
) -> Reply<Missed> {
    let mut ticket = session.encode(request, at, &mut Outbox::default());
    let input = Input {
        bytes,
        skipped: 0,
        end: false,
    };
    let progress = session.decode(&mut ticket, input, &mut Tally::default());
    progress.unwrap().done.expect("a whole reply")
}

#[test]
fn numbers_wrap_in_the_middle_of_a_batch() {
    let mut session = session(|_| ());
    session.opaque = u32::MAX - 1;
    let bytes = [
        reply(opcode::GETQ, 0, u32::MAX, &[0; 4], b"ab"),
        reply(opcode::GETQ, 0, 1, &[0; 4], b"c"),
        reply(opcode::NOOP, 0, 3, &[], b""),
    ]
    .concat();
    let batch = Request::Batch(Op::Get, (0..5).map(key).collect());
    let reply = exchange(&mut session, batch, Tick(0), &bytes);
    assert_eq!((reply.status, reply.units), (OK, 2));
    assert_eq!(reply.payload_rx_bytes, Some(3));
    assert_eq!(session.opaque, 4);
}

#[test]
fn misses_are_told_by_key_and_only_where_asked() {
    let miss = reply(opcode::GET, MISS, 0, &[], b"Not found");
    let get = |session: &mut MemcacheSession| {
        exchange(session, Request::One(Op::Get, key(7)), Tick(0), &miss).feedback
    };
    assert_eq!(get(&mut session(|_| ())), None);
    let mut telling = session(|spec| spec.set_on_miss = true);
    assert_eq!(get(&mut telling), Some(Missed::One(key(7))));
    // Of a batch, those that were passed over.
    let bytes = [
        reply(opcode::GETQ, 0, 2, &[0; 4], b"x"),
        reply(opcode::NOOP, 0, 5, &[], b""),
    ]
    .concat();
    let batch = Request::Batch(Op::Get, [10, 11, 12, 13].map(key).into());
    let reply = exchange(&mut telling, batch, Tick(0), &bytes);
    assert_eq!(
        reply.feedback,
        Some(Missed::Many([10, 12, 13].map(key).into()))
    );
    // A SET of a key that is not there is no miss.
    let bytes = self::reply(opcode::SET, MISS, 6, &[], b"Not found");
    let reply = exchange(&mut telling, Request::One(Op::Set, key(1)), Tick(0), &bytes);
    assert_eq!(reply.feedback, None);
}

#[test]
fn expiry_is_checked_with_its_tolerance() {
    let hit = |opaque| reply(opcode::GET, 0, opaque, &[0; 4], b"x");
    let miss = |opaque| reply(opcode::GET, MISS, opaque, &[], b"Not found");
    // Expiry after 60 s; the age at the GET, whether it hits, and what is counted.
    for (age_s, hits, expired, early) in [
        (0, true, 0, 0),
        (54, false, 0, 1),
        (56, false, 0, 0),
        (65, true, 0, 0),
        (66, true, 1, 0),
        (66, false, 0, 0),
    ] {
        let mut session = session(|spec| {
            spec.key_space = KeySpace::Window { overwrite: 0.0 };
            (spec.verify_expiry, spec.expiry_s, spec.keys) = (true, 60, 4);
        });
        let set = reply(opcode::SET, 0, 0, &[], b"");
        exchange(&mut session, Request::One(Op::Set, key(5)), Tick(S), &set);
        let bytes = if hits { hit(1) } else { miss(1) };
        let at = Tick(S + age_s * S);
        exchange(&mut session, Request::One(Op::Get, key(5)), at, &bytes);
        let local = &session.local;
        let counted = (local.expired_hits.get(), local.early_misses.get());
        assert_eq!(counted, (expired, early), "after {age_s} s");
    }
}

#[test]
fn a_key_that_another_took_the_place_of_is_not_judged() {
    let mut session = session(|spec| {
        spec.key_space = KeySpace::Window { overwrite: 0.0 };
        (spec.verify_expiry, spec.expiry_s, spec.keys) = (true, 60, 4);
    });
    for (opaque, index) in [(0, 1), (1, 5)] {
        let set = reply(opcode::SET, 0, opaque, &[], b"");
        exchange(
            &mut session,
            Request::One(Op::Set, key(index)),
            Tick(S),
            &set,
        );
    }
    let miss = reply(opcode::GET, MISS, 2, &[], b"Not found");
    exchange(&mut session, Request::One(Op::Get, key(1)), Tick(S), &miss);
    assert_eq!(session.local.early_misses.get(), 0);
}

#[test]
fn a_share_of_the_values_is_compared() {
    let mut session = session(|spec| spec.verify = 0.25);
    for opaque in 0..100 {
        let bytes = reply(opcode::GET, 0, opaque, &[0; 4], b"something else");
        let get = Request::One(Op::Get, key(0));
        exchange(&mut session, get, Tick(0), &bytes);
    }
    assert_eq!(session.local.verified.get(), 25);
    assert_eq!(session.local.mismatched.get(), 25);
    let sample = session.local.sample.borrow().clone().unwrap();
    assert!(sample.contains("from byte 0 on"), "{sample}");
}

#[test]
fn requests_carry_their_payload_and_their_expiry() {
    let mut session = session(|spec| spec.expiry_s = 60);
    let mut out = Outbox::default();
    let ticket = session.encode(Request::One(Op::Set, key(0)), Tick(0), &mut out);
    assert_eq!((ticket.payload_tx_bytes, ticket.units), (1024, 1));
    assert_eq!(out.len(), HEADER_BYTES + 8 + 64 + 1024);
    assert_eq!(
        out.copied()[HEADER_BYTES..HEADER_BYTES + 8],
        [0, 0, 0, 0, 0, 0, 0, 60]
    );
    out.clear();
    let batch = Request::Batch(Op::Get, (0..3).map(key).collect());
    let ticket = session.encode(batch, Tick(0), &mut out);
    assert_eq!((ticket.payload_tx_bytes, ticket.units), (0, 3));
    assert_eq!(out.len(), 3 * (HEADER_BYTES + 64) + HEADER_BYTES);
    assert_eq!(session.local.object_tx_bytes.get(), 64 + 1024);
}

#[test]
fn bytes_that_answer_nothing_are_shown() {
    let fault = session(|_| ()).unsolicited(TOO_MANY);
    assert_eq!(fault.cause, Cause::Unsolicited);
    assert!(fault.detail.contains("Too many open"), "{}", fault.detail);
}

#[test]
fn the_greeting_is_sent_once_and_eaten_whole() {
    let mut session = session(|_| ());
    let mut out = Outbox::default();
    assert_eq!(
        session.handshake(&[], &mut out),
        Ok(Handshake::More { eaten: 0 })
    );
    let sent: [u8; HEADER_BYTES] = out.flatten().try_into().unwrap();
    let opaque = u32::from_be_bytes(sent[12..16].try_into().unwrap());
    out.clear();
    let bytes = reply(opcode::NOOP, 0, opaque, &[], b"");
    let more = session.handshake(&bytes[..10], &mut out);
    assert_eq!(more, Ok(Handshake::More { eaten: 0 }));
    let done = session.handshake(&bytes, &mut out);
    assert_eq!((done, out.len()), (Ok(Handshake::Done { eaten: 24 }), 0));
    let mut refused = self::session(|_| ());
    assert!(refused.handshake(&[], &mut out).is_ok());
    let fault = refused.handshake(TOO_MANY, &mut out).unwrap_err();
    assert_eq!(fault.phase, Phase::Handshake);
}
