//! Every trap of HTTP/1.1 framing that is known to catch load generators, one test a row.
//!
//! Each reply is read whole, cut at every byte, and byte by byte, with discards done at once and
//! piece by piece: the verdict must be the same, and it must be the right one.

#[path = "support/replay.rs"]
mod replay;

use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::replay::however_cut;
use loadgen_http::wire::Wrong;
use loadgen_http::wire::chunked::CHUNK_LINE_BYTES_MAX;
use loadgen_http::wire::head::{FIELDS_MAX, HEAD_BYTES_MAX};
use replay::Seen;

/// What happens after the last byte.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Close,
    Open,
}
use After::{Close, Open};

/// The verdict on `bytes` for these methods in flight, the same however they are cut.
fn verdict(methods: &[&str], limited: bool, bytes: &[u8], after: After) -> Vec<Seen> {
    let conn = |skips| replay::connection(methods, limited, skips);
    replay::named(however_cut(conn, bytes, after == Close))
}

fn get(bytes: &[u8], after: After) -> Vec<Seen> {
    verdict(&["GET"], false, bytes, after)
}

fn text(reply: &str) -> Vec<u8> {
    reply.replace('\n', "\r\n").into_bytes()
}

/// A reply after which the connection is used again.
fn kept(reply: &str, status: u16, payload: u64) {
    let bytes = text(reply);
    let wanted = [Seen::Reply(status, payload, bytes.len() as u64, false)];
    assert_eq!(get(&bytes, Open), wanted, "{reply:?}");
    assert_eq!(get(&bytes, Close), wanted, "{reply:?}");
}

/// A reply after which the connection is closed.
fn closing(reply: &str, status: u16, payload: u64, after: After) {
    let bytes = text(reply);
    let wanted = [Seen::Reply(status, payload, bytes.len() as u64, true)];
    assert_eq!(get(&bytes, after), wanted, "{reply:?}");
}

fn fault(wrong: Wrong) -> Vec<Seen> {
    vec![Seen::Fault(Phase::Decode, Cause::Protocol(wrong as u8))]
}

/// A reply that is refused.
fn refused(reply: &str, wrong: Wrong) {
    assert_eq!(get(&text(reply), Open), fault(wrong), "{reply:?}");
}

// --- Where a body ends: RFC 9112 6.3, rule by rule ---

#[test]
fn a_reply_to_head_has_no_body() {
    for framing in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "X: y",
        "Content-Length: x",
    ] {
        let bytes = text(&format!("HTTP/1.1 200 OK\n{framing}\n\n"));
        let len = bytes.len() as u64;
        let seen = verdict(&["HEAD"], false, &bytes, Open);
        assert_eq!(seen, [Seen::Reply(200, 0, len, false)], "{framing}");
        let two = [
            bytes.clone(),
            text("HTTP/1.1 404 N\nContent-Length: 1\n\nx"),
        ]
        .concat();
        let seen = verdict(&["HEAD", "GET"], false, &two, Open);
        let second = Seen::Reply(404, 1, two.len() as u64, false);
        assert_eq!(seen, [Seen::Reply(200, 0, len, false), second], "{framing}");
    }
}

#[test]
fn replies_204_and_304_have_no_body_whatever_they_say() {
    kept("HTTP/1.1 204 No Content\n\n", 204, 0);
    kept("HTTP/1.1 204 No Content\nContent-Length: 5\n\n", 204, 0);
    kept("HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", 304, 0);
    kept(
        "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked\n\n",
        304,
        0,
    );
}

#[test]
fn interim_replies_are_not_counted() {
    kept(
        "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        200,
        2,
    );
    let hints = "HTTP/1.1 103 Early Hints\nLink: x\nContent-Length: 9\nConnection: close\n\n";
    kept(&format!("{}HTTP/1.1 204 x\n\n", hints.repeat(3)), 204, 0);
    assert_eq!(get(&text(hints), Close), [Seen::Truncated]);
    assert_eq!(get(&text(hints), Open), [Seen::Waiting]);
}

#[test]
fn an_upgrade_nobody_asked_for_is_a_fault() {
    refused(
        "HTTP/1.1 101 Switching Protocols\nUpgrade: h2c\n\n",
        Wrong::UnexpectedUpgrade,
    );
}

#[test]
fn transfer_encoding_beats_content_length_and_closes() {
    let both = "HTTP/1.1 200 OK\nContent-Length: 99\nTransfer-Encoding: chunked\n\n2\nab\n0\n\n";
    closing(both, 200, 2, Open);
    let bad = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: x\n\n0\n\n";
    closing(bad, 200, 0, Open);
}

#[test]
fn chunked_that_is_not_last_runs_until_close() {
    closing(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked, gzip\n\n0\n\n!",
        200,
        6,
        Close,
    );
    closing(
        "HTTP/1.1 200 OK\nTransfer-Encoding: identity\nContent-Length: 1\n\nabc",
        200,
        3,
        Close,
    );
    kept(
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n1\nz\n0\n\n",
        200,
        1,
    );
    refused(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked;x=y\n\n",
        Wrong::BadTransferEncoding,
    );
}

#[test]
fn content_lengths_agree_or_are_a_fault() {
    kept(
        "HTTP/1.1 200 OK\nContent-Length: 3, 3\nContent-Length: 3\n\nabc",
        200,
        3,
    );
    for value in [
        "3\nContent-Length: 4",
        "3, 4",
        "-3",
        "+3",
        "0x3",
        "3 3",
        "",
        "3,",
    ] {
        let reply = format!("HTTP/1.1 200 OK\nContent-Length: {value}\n\nabc");
        refused(&reply, Wrong::BadContentLength);
    }
    let huge = "HTTP/1.1 200 OK\nContent-Length: 18446744073709551615\n\n";
    refused(huge, Wrong::BadContentLength);
    let large = text("HTTP/1.1 200 OK\nContent-Length: 9223372036854775807\n\nabc");
    assert_eq!(get(&large, Close), [Seen::Truncated]);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    closing("HTTP/1.1 200 OK\n\nabc", 200, 3, Close);
    closing("HTTP/1.1 200 OK\n\n", 200, 0, Close);
    closing(
        "HTTP/1.0 200 OK\nConnection: keep-alive\n\nabc",
        200,
        3,
        Close,
    );
    assert_eq!(get(&text("HTTP/1.1 200 OK\n\nabc"), Open), [Seen::Waiting]);
}

#[test]
fn an_early_end_is_no_success() {
    for reply in [
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nabcd",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabcd",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n0\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n0\nX: y\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\n",
        "HTTP/1.1 2",
        "H",
    ] {
        assert_eq!(get(&text(reply), Close), [Seen::Truncated], "{reply:?}");
        assert_eq!(get(&text(reply), Open), [Seen::Waiting], "{reply:?}");
    }
    assert_eq!(get(b"", Close), [Seen::ClosedBeforeReply]);
    assert_eq!(get(b"", Open), [Seen::Waiting]);
}

// --- Chunks: RFC 9112 7.1 ---

#[test]
fn chunk_extensions_are_ignored_and_trailers_read_over() {
    let head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    kept(
        &format!("{head}3;a;b=\"c;d\"\nabc\nA \nnine bytes\n0;last\nX: y\nZ: \n\n"),
        200,
        13,
    );
    let lines = "X: y\n".repeat(FIELDS_MAX);
    kept(&format!("{head}0\n{lines}\n"), 200, 0);
    refused(&format!("{head}0\n{lines}X: y\n\n"), Wrong::TooManyTrailers);
    let long = format!("{head}0\nX: {}\n\n", "y".repeat(HEAD_BYTES_MAX));
    refused(&long, Wrong::TrailersTooLarge);
}

#[test]
fn broken_chunks_are_faults() {
    let head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for chunk in [
        "\n",
        "g\n",
        "-1\n",
        "0x1\na\n",
        "1\nab\n",
        "10000000000000000\n",
        "1 x\na\n",
    ] {
        refused(&format!("{head}{chunk}"), Wrong::BadChunk);
    }
    let line = "e".repeat(CHUNK_LINE_BYTES_MAX as usize);
    refused(&format!("{head}1;{line}\n"), Wrong::BadChunk);
    for bare in [
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1;x\na\r\n0\r\n\r\n",
    ] {
        let bytes = [text(head), bare.as_bytes().to_vec()].concat();
        assert_eq!(get(&bytes, Open), fault(Wrong::BadChunk), "{bare:?}");
    }
}

#[test]
fn a_body_that_looks_like_framing_is_not_read() {
    kept(
        "HTTP/1.1 200 OK\nContent-Length: 21\n\nHTTP/1.1 500 No\n\n\n",
        200,
        19 + 2,
    );
}

// --- Connections: RFC 9112 9 ---

#[test]
fn connection_close_is_a_member_of_a_list() {
    for value in [
        "close",
        "Close",
        "foo, CLOSE ,bar",
        "keep-alive, close",
        "x\nConnection: close",
    ] {
        let reply = format!("HTTP/1.1 200 OK\nConnection: {value}\nContent-Length: 1\n\nx");
        closing(&reply, 200, 1, Open);
    }
    for value in ["closed", "keep-alive", "not-close", ""] {
        let reply = format!("HTTP/1.1 200 OK\nConnection: {value}\nContent-Length: 1\n\nx");
        kept(&reply, 200, 1);
    }
}

#[test]
fn http_1_0_closes_unless_it_says_keep_alive() {
    closing("HTTP/1.0 200 OK\nContent-Length: 1\n\nx", 200, 1, Open);
    kept(
        "HTTP/1.0 200 OK\nConnection: Keep-Alive\nContent-Length: 1\n\nx",
        200,
        1,
    );
    let coded =
        "HTTP/1.0 200 OK\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n";
    closing(coded, 200, 1, Open);
}

#[test]
fn the_last_request_closes_even_where_the_target_would_not() {
    let one = text("HTTP/1.1 200 OK\nContent-Length: 1\n\nx");
    let (len, two) = (one.len() as u64, one.repeat(2));
    let wanted = [
        Seen::Reply(200, 1, len, false),
        Seen::Reply(200, 1, 2 * len, true),
    ];
    assert_eq!(verdict(&["GET", "GET"], true, &two, Open), wanted);
}

#[test]
fn replies_come_in_order_and_those_after_a_close_are_not_read() {
    let first = text("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n");
    let second = text("HTTP/1.1 503 Busy\nConnection: close\nContent-Length: 2\n\nno");
    let third = text("HTTP/1.1 200 OK\nContent-Length: 0\n\n");
    let seen = verdict(
        &["GET"; 3],
        false,
        &[first.clone(), second.clone(), third].concat(),
        Open,
    );
    let len = first.len() as u64;
    let wanted = [
        Seen::Reply(200, 1, len, false),
        Seen::Reply(503, 2, len + second.len() as u64, true),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn the_end_between_replies_is_only_a_failure_of_what_is_outstanding() {
    let one = text("HTTP/1.1 200 OK\nContent-Length: 1\n\nx");
    let reply = Seen::Reply(200, 1, one.len() as u64, false);
    assert_eq!(get(&one, Close), std::slice::from_ref(&reply));
    let seen = verdict(&["GET", "GET"], false, &one, Close);
    assert_eq!(seen, [reply, Seen::ClosedBeforeReply]);
}

#[test]
fn surplus_bytes_are_unsolicited() {
    let one = text("HTTP/1.1 200 OK\nContent-Length: 1\n\nx");
    for surplus in ["y", "\r\n", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let bytes = [one.clone(), surplus.as_bytes().to_vec()].concat();
        let wanted = [
            Seen::Reply(200, 1, one.len() as u64, false),
            Seen::Fault(Phase::Decode, Cause::Unsolicited),
        ];
        assert_eq!(get(&bytes, Open), wanted, "{surplus:?}");
    }
}

#[test]
fn a_reply_may_come_before_the_body_it_answers_has_left() {
    // The session does not wait for its own bytes: a 413 in the middle of an upload is the reply,
    // and its close stops the upload.
    let reply = text("HTTP/1.1 413 Too Large\nConnection: close\nContent-Length: 2\n\nno");
    let wanted = [Seen::Reply(413, 2, reply.len() as u64, true)];
    assert_eq!(verdict(&["POST"], false, &reply, Open), wanted);
}

// --- Syntax: RFC 9112 2, 4, 5 ---

#[test]
fn folded_lines_are_one_field() {
    kept(
        "HTTP/1.1 200 OK\nX: a\n b\n\tc\nContent-Length:\n  3\n\nabc",
        200,
        3,
    );
    kept(
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip,\n chunked\n\n1\nx\n0\n\n",
        200,
        1,
    );
    refused("HTTP/1.1 200 OK\n X: y\n\n", Wrong::BadHeader);
}

#[test]
fn a_bare_line_feed_ends_a_line_and_a_bare_carriage_return_does_not() {
    for head in [
        "HTTP/1.1 200 OK\nContent-Length: 1\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n",
    ] {
        let bytes = [head, "x"].concat().into_bytes();
        let wanted = [Seen::Reply(200, 1, bytes.len() as u64, false)];
        assert_eq!(get(&bytes, Open), wanted, "{head:?}");
    }
    let bare = b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 1\r\n\r\nx";
    assert_eq!(get(bare, Open), fault(Wrong::BadHeader));
}

#[test]
fn blanks_before_the_colon_are_read_over() {
    kept("HTTP/1.1 200 OK\nContent-Length : 1\n\nx", 200, 1);
    refused("HTTP/1.1 200 OK\nContent Length: 1\n\nx", Wrong::BadHeader);
    refused("HTTP/1.1 200 OK\nContent-Length\n\nx", Wrong::BadHeader);
    refused("HTTP/1.1 200 OK\n: 1\n\nx", Wrong::BadHeader);
}

#[test]
fn the_reason_may_be_empty_or_missing() {
    kept("HTTP/1.1 200 \nContent-Length: 1\n\nx", 200, 1);
    kept("HTTP/1.1 200\nContent-Length: 1\n\nx", 200, 1);
}

#[test]
fn empty_lines_before_a_reply_are_read_over() {
    kept("\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, 1);
    let many = vec![b'\n'; HEAD_BYTES_MAX + 1];
    assert_eq!(get(&many, Open), fault(Wrong::HeadTooLarge));
}

#[test]
fn a_status_line_has_three_digits_and_a_class() {
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
    ] {
        refused(
            &format!("{line}\nContent-Length: 0\n\n"),
            Wrong::BadStatusLine,
        );
    }
    kept("HTTP/1.1 599 x\nContent-Length: 0\n\n", 599, 0);
}

#[test]
fn other_protocols_are_faults() {
    for bytes in [
        b"<html>hello</html>".as_slice(),
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80",
        b"\x15\x03\x01\0\x02\x02\x46",
        b"\r\rHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_eq!(get(bytes, Open), fault(Wrong::NotHttp1), "{bytes:?}");
    }
}

#[test]
fn the_head_is_bounded_in_size_and_count() {
    let many = |count: usize| format!("HTTP/1.1 204 x\n{}\n", "A: b\n".repeat(count));
    kept(&many(FIELDS_MAX), 204, 0);
    refused(&many(FIELDS_MAX + 1), Wrong::TooManyHeaders);
    let head = |len: usize| {
        let start = "HTTP/1.1 204 x\r\nA: ";
        format!("{start}{}\r\n\r\n", "a".repeat(len - start.len() - 4)).into_bytes()
    };
    let full = [Seen::Reply(204, 0, HEAD_BYTES_MAX as u64, false)];
    assert_eq!(get(&head(HEAD_BYTES_MAX), Open), full);
    assert_eq!(
        get(&head(HEAD_BYTES_MAX + 1), Open),
        fault(Wrong::HeadTooLarge)
    );
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'A'; HEAD_BYTES_MAX]].concat();
    assert_eq!(get(&endless, Open), fault(Wrong::HeadTooLarge));
}

#[test]
fn a_content_coding_says_nothing_about_framing() {
    kept(
        "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\n\n\x1f!\x08",
        200,
        3,
    );
}

#[test]
fn redirects_are_replies() {
    kept(
        "HTTP/1.1 302 Found\nLocation: http://elsewhere/\nContent-Length: 0\n\n",
        302,
        0,
    );
}

// --- What makes it fast must not make it wrong ---

#[test]
fn a_head_that_was_seen_before_means_the_same_only_if_it_is_the_same() {
    let dated = |date: &str, rest: &str| {
        text(&format!(
            "HTTP/1.1 200 OK\nDate: {date}\nContent-Length: {rest}"
        ))
    };
    let one = dated("Thu, 01 Jan 1970 00:00:00 GMT", "2\n\nab");
    let two = dated("Thu, 01 Jan 1970 00:00:01 GMT", "2\n\nab");
    let three = dated("Thu, 01 Jan 1970 00:00:01 GMT", "3\n\nabc");
    // As long as a date, and in its place a line end and another length.
    let four = dated("x\nContent-Length: 4\nX: 3456", "3\n\nabc");
    assert_eq!(three.len(), four.len());
    let all = [one.clone(), two, three.clone(), four].concat();
    let first = one.len() as u64;
    let wanted = [
        Seen::Reply(200, 2, first, false),
        Seen::Reply(200, 2, 2 * first, false),
        Seen::Reply(200, 3, 2 * first + three.len() as u64, false),
        Seen::Fault(
            Phase::Decode,
            Cause::Protocol(Wrong::BadContentLength as u8),
        ),
    ];
    assert_eq!(verdict(&["GET"; 4], false, &all, Open), wanted);
    // The same head answers GET with a body and HEAD without.
    let head = text("HTTP/1.1 200 OK\nContent-Length: 2\n\n");
    let bytes = [
        head.clone(),
        b"ab".to_vec(),
        head.clone(),
        head.clone(),
        b"ab".to_vec(),
    ]
    .concat();
    let len = head.len() as u64;
    let wanted = [
        Seen::Reply(200, 2, len + 2, false),
        Seen::Reply(200, 0, 2 * len + 2, false),
        Seen::Reply(200, 2, 3 * len + 4, false),
    ];
    assert_eq!(
        verdict(&["GET", "HEAD", "GET"], false, &bytes, Open),
        wanted
    );
}
