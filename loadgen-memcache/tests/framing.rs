//! Every reply a session can get, good and bad, one test a kind.
//!
//! Each is read whole, cut at every byte, and byte by byte, with discards done at once and piece by
//! piece: the verdict must be the same, and it must be the right one.

#[path = "support/wire.rs"]
mod wire;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Cause, Phase, Then};
use loadgen_core::replay::{Replay, Seen, Skips, however_cut};
use loadgen_memcache::session::Request;
use loadgen_memcache::tables::{self, MISMATCH, MISS, MULTIGET, MULTISET, OK, Row};
use loadgen_memcache::wire::{HEADER_BYTES, Wrong, opcode, reply as text};
use loadgen_memcache::{MemcacheSession, MemcacheSpec, Op};
use wire::{connection, key, reply, scenario, spec};

/// Flags of a value.
const FLAGS: &[u8] = &[0; 4];

/// The verdict on `bytes`, the same however they are cut and whether the target closes then.
fn verdict(spec: &MemcacheSpec, requests: fn() -> Vec<Request>, bytes: &[u8]) -> Vec<Seen> {
    let scenario = scenario(spec);
    let conn =
        |skips: Skips| -> Replay<MemcacheSession> { connection(&scenario, requests(), skips) };
    let open = however_cut(conn, bytes, false);
    let closed = however_cut(conn, bytes, true);
    if open.last() != Some(&Seen::Waiting) {
        assert_eq!(open, closed);
    }
    open
}

fn answered(status: Row, units: u32, payload: u64, at: usize) -> Seen {
    with_rows(status, units, &[], payload, at)
}

fn with_rows(status: Row, units: u32, rows: &[(u8, Row, u32)], payload: u64, at: usize) -> Seen {
    Seen::Reply {
        status,
        units,
        rows: rows.to_vec(),
        payload_rx_bytes: Some(payload),
        at: at as u64,
        then: Then::Reuse,
    }
}

fn fault(wrong: Wrong) -> Seen {
    Seen::Fault(Phase::Decode, Cause::Protocol(wrong as u8))
}

fn hit(code: u8, opaque: u32, value: &[u8]) -> Vec<u8> {
    reply(code, 0, opaque, [FLAGS, b"", value])
}

fn miss(opaque: u32) -> Vec<u8> {
    reply(opcode::GET, 1, opaque, [b"", b"", b"Not found"])
}

fn noop(opaque: u32) -> Vec<u8> {
    reply(opcode::NOOP, 0, opaque, [b"", b"", b""])
}

fn one_get() -> Vec<Request> {
    vec![Request::One(Op::Get, key(0))]
}

fn three_gets() -> Vec<Request> {
    (0..3).map(|i| Request::One(Op::Get, key(i))).collect()
}

/// Ten keys: opaques 0 to 9, and 10 of the NOOP.
fn multiget() -> Vec<Request> {
    vec![Request::Batch(Op::Get, (0..10).map(key).collect())]
}

fn multiset() -> Vec<Request> {
    vec![Request::Batch(Op::Set, (0..10).map(key).collect())]
}

// --- Single requests ---

#[test]
fn a_value_is_payload_and_the_text_of_a_miss_is_not() {
    let bytes = hit(opcode::GET, 0, b"value");
    let seen = verdict(&spec(), one_get, &bytes);
    assert_eq!(seen, [answered(OK, 1, 5, HEADER_BYTES + 9)]);
    let seen = verdict(&spec(), one_get, &miss(0));
    assert_eq!(seen, [answered(MISS, 1, 0, HEADER_BYTES + 9)]);
    let empty = verdict(&spec(), one_get, &hit(opcode::GET, 0, b""));
    assert_eq!(empty, [answered(OK, 1, 0, HEADER_BYTES + 4)]);
}

#[test]
fn every_op_and_every_error_has_its_row() {
    type Case = (Op, u8, fn() -> Vec<Request>);
    let cases: [Case; 7] = [
        (Op::Set, opcode::SET, || vec![Request::One(Op::Set, key(0))]),
        (Op::Add, opcode::ADD, || vec![Request::One(Op::Add, key(0))]),
        (Op::Replace, opcode::REPLACE, || {
            vec![Request::One(Op::Replace, key(0))]
        }),
        (Op::Delete, opcode::DELETE, || {
            vec![Request::One(Op::Delete, key(0))]
        }),
        (Op::Touch, opcode::TOUCH, || {
            vec![Request::One(Op::Touch, key(0))]
        }),
        (Op::Incr, opcode::INCREMENT, || {
            vec![Request::One(Op::Incr, key(0))]
        }),
        (Op::Gat, opcode::GAT, || vec![Request::One(Op::Gat, key(0))]),
    ];
    for (op, code, requests) in cases {
        for status in [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x20, 0x81, 0x82, 0x99] {
            let bytes = reply(code, status, 0, [b"", b"", b"no such luck"]);
            let seen = verdict(&spec(), requests, &bytes);
            let wanted = answered(tables::row(status), 1, 0, bytes.len());
            assert_eq!(seen, [wanted], "{op:?} {status:#x}");
        }
        let (body, payload): ([&[u8]; 3], u64) = match op {
            Op::Incr => ([b"", b"", &[0; 8]], 8),
            Op::Gat => ([FLAGS, b"", b"xyz"], 3),
            _ => ([b"", b"", b""], 0),
        };
        let bytes = reply(code, 0, 0, body);
        let seen = verdict(&spec(), requests, &bytes);
        assert_eq!(seen, [answered(OK, 1, payload, bytes.len())], "{op:?}");
    }
}

#[test]
fn pipelined_replies_are_told_apart() {
    let bytes = [
        hit(opcode::GET, 0, b"a"),
        miss(1),
        hit(opcode::GET, 2, b"ccc"),
    ]
    .concat();
    let wanted = [
        answered(OK, 1, 1, 29),
        answered(MISS, 1, 0, 29 + 33),
        answered(OK, 1, 3, 29 + 33 + 31),
    ];
    assert_eq!(verdict(&spec(), three_gets, &bytes), wanted);
}

#[test]
fn another_opaque_than_the_due_one_is_a_fault() {
    let first = hit(opcode::GET, 0, b"a");
    let good = answered(OK, 1, 1, 29);
    for (second, what) in [(0, "repeated"), (2, "out of order"), (77, "of nobody")] {
        let bytes = [first.clone(), hit(opcode::GET, second, b"b")].concat();
        let wanted = [good.clone(), fault(Wrong::UnexpectedOpaque)];
        assert_eq!(verdict(&spec(), three_gets, &bytes), wanted, "{what}");
    }
}

#[test]
fn another_opcode_than_the_sent_one_is_a_fault() {
    for code in [opcode::GETQ, opcode::SET, opcode::NOOP, 0xff] {
        let bytes = reply(code, 1, 0, [b"", b"", b""]);
        let seen = verdict(&spec(), one_get, &bytes);
        assert_eq!(seen, [fault(Wrong::UnexpectedOpcode)], "{code:#x}");
    }
}

#[test]
fn a_reply_that_never_ends_is_no_reply() {
    let bytes = hit(opcode::GET, 0, b"value");
    let scenario = scenario(&spec());
    let conn = |skips| connection(&scenario, one_get(), skips);
    for cut in [1, 23, 24, bytes.len() - 1] {
        assert_eq!(however_cut(conn, &bytes[..cut], false), [Seen::Waiting]);
        assert_eq!(however_cut(conn, &bytes[..cut], true), [Seen::Truncated]);
    }
    assert_eq!(however_cut(conn, b"", true), [Seen::ClosedBeforeReply]);
}

#[test]
fn bytes_that_are_no_reply_are_faults() {
    for (bytes, wrong) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], Wrong::BadMagic),
        (b"VALUE k 0 5\r\n", Wrong::BadMagic),
        (b"ERROR\r\n", Wrong::BadMagic),
        (&[0x80; 24], Wrong::BadMagic),
        (text::TOO_MANY, Wrong::TooManyConnections),
    ] {
        let seen = verdict(&spec(), one_get, bytes);
        assert_eq!(seen, [fault(wrong)], "{}", bytes.escape_ascii());
    }
    // In the stream, where a reply should begin, too.
    let bytes = [&hit(opcode::GET, 0, b"a")[..], text::TOO_MANY, b"\r\n"].concat();
    let wanted = [answered(OK, 1, 1, 29), fault(Wrong::TooManyConnections)];
    assert_eq!(verdict(&spec(), three_gets, &bytes), wanted);
}

#[test]
fn lengths_that_cannot_be_are_faults() {
    let mut too_long = hit(opcode::GET, 0, b"");
    too_long[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut no_flags = reply(opcode::GET, 0, 0, [b"", b"", b"value"]);
    for bytes in [&too_long, &no_flags] {
        assert_eq!(verdict(&spec(), one_get, bytes), [fault(Wrong::BadLength)]);
    }
    // Extras beyond the body.
    no_flags[4] = 6;
    let seen = verdict(&spec(), one_get, &no_flags);
    assert_eq!(seen, [fault(Wrong::BadLength)]);
}

#[test]
fn bytes_behind_the_last_reply_answer_nothing() {
    for behind in [&miss(1)[..], text::TOO_MANY, b"E", b"\x81"] {
        let bytes = [&miss(0)[..], behind].concat();
        let wanted = [
            answered(MISS, 1, 0, 33),
            Seen::Fault(Phase::Decode, Cause::Unsolicited),
        ];
        assert_eq!(verdict(&spec(), one_get, &bytes), wanted);
    }
}

// --- Batches ---

#[test]
fn what_a_batch_passes_over_is_a_miss() {
    for present in [
        &[][..],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        &[0],
        &[9],
        &[3, 4, 8],
        &[0, 9],
    ] {
        let mut bytes = Vec::new();
        for at in present {
            bytes.extend(hit(opcode::GETQ, *at, b"12345"));
        }
        bytes.extend(noop(10));
        let hits = present.len() as u32;
        let payload = 5 * u64::from(hits);
        let wanted = match hits {
            0 => answered(MISS, 10, 0, bytes.len()),
            10 => answered(OK, 10, payload, bytes.len()),
            _ => with_rows(
                OK,
                hits,
                &[(MULTIGET, MISS, 10 - hits)],
                payload,
                bytes.len(),
            ),
        };
        assert_eq!(verdict(&spec(), multiget, &bytes), [wanted], "{present:?}");
    }
}

#[test]
fn a_repeated_or_out_of_order_or_foreign_opaque_ends_a_batch() {
    for opaques in [&[3, 3][..], &[3, 2], &[0, 5, 4], &[10], &[11], &[u32::MAX]] {
        let mut bytes = Vec::new();
        for opaque in opaques {
            bytes.extend(hit(opcode::GETQ, *opaque, b"x"));
        }
        bytes.extend(noop(10));
        let seen = verdict(&spec(), multiget, &bytes);
        assert_eq!(seen, [fault(Wrong::UnexpectedOpaque)], "{opaques:?}");
    }
    for opaque in [0, 9, 11] {
        let seen = verdict(&spec(), multiget, &noop(opaque));
        assert_eq!(seen, [fault(Wrong::UnexpectedOpaque)], "NOOP {opaque}");
    }
}

#[test]
fn what_a_batch_of_sets_passes_over_is_done() {
    let wanted = [answered(OK, 10, 0, HEADER_BYTES)];
    assert_eq!(verdict(&spec(), multiset, &noop(10)), wanted);
    let refused = |opaque, status| reply(opcode::SETQ, status, opaque, [b"", b"", b"too bad"]);
    let bytes = [refused(2, 0x82), refused(3, 0x82), refused(7, 3), noop(10)].concat();
    // The gravest row is the reply's own, so that a batch with a failure is an error.
    let rows = [(MULTISET, OK, 7), (MULTISET, tables::row(0x82), 2)];
    let wanted = [with_rows(3, 1, &rows, 0, bytes.len())];
    assert_eq!(verdict(&spec(), multiset, &bytes), wanted);
}

#[test]
fn a_batch_without_its_noop_is_not_over() {
    let bytes = hit(opcode::GETQ, 9, b"x");
    assert_eq!(verdict(&spec(), multiget, &bytes), [Seen::Waiting]);
}

#[test]
fn batches_and_single_requests_share_the_numbers() {
    let requests = || [multiget(), one_get(), multiset(), one_get()].concat_all();
    let bytes = [
        hit(opcode::GETQ, 4, b"ab"),
        noop(10),
        hit(opcode::GET, 11, b"abc"),
        noop(22),
        miss(23),
    ]
    .concat();
    let wanted = [
        with_rows(OK, 1, &[(MULTIGET, MISS, 9)], 2, 30 + 24),
        answered(OK, 1, 3, 54 + 31),
        answered(OK, 10, 0, 85 + 24),
        answered(MISS, 1, 0, 109 + 33),
    ];
    assert_eq!(verdict(&spec(), requests, &bytes), wanted);
}

/// `concat` for requests, which cannot be cloned.
trait ConcatAll {
    fn concat_all(self) -> Vec<Request>;
}

impl<const N: usize> ConcatAll for [Vec<Request>; N] {
    fn concat_all(self) -> Vec<Request> {
        self.into_iter().flatten().collect()
    }
}

// --- Values that are looked at ---

fn value_of(spec: &MemcacheSpec, index: u64, value_bytes: u32) -> Vec<u8> {
    let mut out = Outbox::default();
    let objects = scenario(spec).memcache_plan().objects();
    objects.put_value(key(index), value_bytes, &mut out);
    out.flatten()
}

fn verifying() -> MemcacheSpec {
    MemcacheSpec {
        verify: 1.0,
        ..spec()
    }
}

#[test]
fn a_megabyte_is_counted_and_compared_without_being_kept() {
    for spec in [spec(), verifying()] {
        let value = value_of(&spec, 0, 1 << 20);
        let bytes = hit(opcode::GET, 0, &value);
        let seen = verdict(&spec, one_get, &bytes);
        assert_eq!(seen, [answered(OK, 1, 1 << 20, bytes.len())]);
    }
}

#[test]
fn a_changed_value_is_a_mismatch_only_where_it_is_compared() {
    for size in [5, 12, 300] {
        let spec = verifying();
        let mut value = value_of(&spec, 0, size);
        let good = hit(opcode::GET, 0, &value);
        let at = good.len();
        let payload = u64::from(size);
        assert_eq!(
            verdict(&spec, one_get, &good),
            [answered(OK, 1, payload, at)]
        );
        if let Some(last) = value.last_mut() {
            *last ^= 1;
        }
        let bad = hit(opcode::GET, 0, &value);
        let wanted = [answered(MISMATCH, 1, payload, at)];
        assert_eq!(verdict(&spec, one_get, &bad), wanted, "{size}");
        let blind = self::spec();
        assert_eq!(
            verdict(&blind, one_get, &bad),
            [answered(OK, 1, payload, at)]
        );
    }
}

#[test]
fn in_a_batch_each_value_is_held_against_its_own_key() {
    let spec = verifying();
    let value = |index| value_of(&spec, index, 40);
    let bytes = [
        hit(opcode::GETQ, 2, &value(2)),
        hit(opcode::GETQ, 5, &value(6)),
        hit(opcode::GETQ, 9, &value(9)),
        noop(10),
    ]
    .concat();
    let rows = [(MULTIGET, OK, 2), (MULTIGET, MISS, 7)];
    let wanted = [with_rows(MISMATCH, 1, &rows, 120, bytes.len())];
    assert_eq!(verdict(&spec, multiget, &bytes), wanted);
}

#[test]
fn a_key_that_comes_back_must_be_the_one_that_was_asked_for() {
    let spec = MemcacheSpec {
        return_keys: true,
        ..spec()
    };
    let objects = scenario(&spec).memcache_plan().objects();
    let name = |index| objects.name(key(index));
    let with_key = |code, opaque, name: &str| {
        let body = [FLAGS, name.as_bytes(), b"value"];
        reply(code, 0, opaque, body)
    };
    let good = with_key(opcode::GETK, 0, &name(0));
    let seen = verdict(&spec, one_get, &good);
    assert_eq!(seen, [answered(OK, 1, 5, good.len())]);
    for other in [name(1), name(0)[..63].to_owned()] {
        let bytes = with_key(opcode::GETK, 0, &other);
        let seen = verdict(&spec, one_get, &bytes);
        assert_eq!(seen, [fault(Wrong::UnexpectedKey)], "{other}");
    }
    let bytes = [
        with_key(opcode::GETKQ, 3, &name(3)),
        with_key(opcode::GETKQ, 4, &name(4)),
        noop(10),
    ]
    .concat();
    let wanted = [with_rows(OK, 2, &[(MULTIGET, MISS, 8)], 10, bytes.len())];
    assert_eq!(verdict(&spec, multiget, &bytes), wanted);
    // memcached answers a GETK that misses with the key for a body.
    let miss = reply(opcode::GETK, 1, 0, [b"", name(0).as_bytes(), b""]);
    let seen = verdict(&spec, one_get, &miss);
    assert_eq!(seen, [answered(MISS, 1, 0, miss.len())]);
}
