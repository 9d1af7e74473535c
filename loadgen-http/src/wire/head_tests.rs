//! Reply heads, tried: every row of the table of traps that lies in a head.

use super::*;

fn read(head: &str) -> Result<Head, Wrong> {
    let bytes = head.as_bytes();
    let end = find_end(bytes, 0).map_err(|error| error.wrong)?.unwrap();
    assert_eq!(end, bytes.len(), "{head:?}");
    parse(bytes, false).map_err(|error| error.wrong)
}

fn framed(fields: &str) -> (Body, bool) {
    let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
    (head.body, head.persistent)
}

#[test]
fn the_end_is_found_from_anywhere() {
    for head in ["A\r\nB\r\n\r\n", "A\nB\n\n", "A\r\nB\n\r\n", "A\nB\r\n\n"] {
        let rest = format!("{head}X\r\n\r\n");
        let mut from = 0;
        for seen in 0..head.len() {
            assert_eq!(
                find_end(&head.as_bytes()[..seen], from),
                Ok(None),
                "{head:?} {seen}"
            );
            from = seen.saturating_sub(2);
        }
        assert_eq!(
            find_end(rest.as_bytes(), from),
            Ok(Some(head.len())),
            "{head:?}"
        );
    }
}

#[test]
fn a_head_is_bounded() {
    let head = |len: usize| {
        let mut head = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        head.resize(len - 4, b'a');
        head.extend_from_slice(b"\r\n\r\n");
        head
    };
    assert_eq!(find_end(&head(HEAD_BYTES_MAX), 0), Ok(Some(HEAD_BYTES_MAX)));
    let wrong = |bytes: &[u8]| find_end(bytes, 0).map_err(|error| error.wrong);
    assert_eq!(wrong(&head(HEAD_BYTES_MAX + 1)), Err(Wrong::HeadTooLarge));
    assert_eq!(
        wrong(&head(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX]),
        Err(Wrong::HeadTooLarge)
    );
    assert_eq!(wrong(&head(HEAD_BYTES_MAX)[..HEAD_BYTES_MAX - 1]), Ok(None));
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(read(&many(FIELDS_MAX)).is_ok());
    assert_eq!(read(&many(FIELDS_MAX + 1)), Err(Wrong::TooManyHeaders));
}

#[test]
fn status_lines() {
    for (line, status) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 404 ", 404),
        ("HTTP/1.1 599", 599),
        ("HTTP/1.9 100 a b\tc é", 100),
    ] {
        assert_eq!(
            read(&format!("{line}\r\n\r\n")).map(|head| head.status),
            Ok(status),
            "{line}"
        );
    }
    for line in [
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.10 200 OK",
        "HTTP/1. 200 OK",
        "HTTP/1.x 200 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1",
    ] {
        assert_eq!(
            read(&format!("{line}\r\n\r\n")),
            Err(Wrong::BadStatusLine),
            "{line:?}"
        );
    }
}

#[test]
fn the_start_is_refused_at_its_first_wrong_byte() {
    for ok in ["", "H", "HTTP/1.", "HTTP/1.1 200", "\r"] {
        assert!(check_start(ok.as_bytes()).is_ok(), "{ok:?}");
    }
    for wrong in ["h", "HTTP/2", "HTTP/0.9 200", "<html>", "\rH", "ICY 200 OK"] {
        let error = check_start(wrong.as_bytes()).unwrap_err();
        assert_eq!(error.wrong, Wrong::NotHttp1, "{wrong:?}");
    }
    let h2 = check_start(b"\0\0\x12\x04\0\0\0\0\0").unwrap_err();
    assert!(
        h2.detail.ends_with("(it looks like HTTP/2)"),
        "{}",
        h2.detail
    );
    let tls = check_start(b"\x15\x03\x01\0\x02\x02\x46").unwrap_err();
    assert!(
        tls.detail.ends_with("(it looks like TLS)"),
        "{}",
        tls.detail
    );
}

#[test]
fn lengths() {
    assert_eq!(framed("Content-Length: 5\r\n"), (Body::Length(5), true));
    assert_eq!(framed("content-LENGTH:\t5 \r\n"), (Body::Length(5), true));
    assert_eq!(framed("Content-Length:0\r\n"), (Body::None, true));
    assert_eq!(
        framed("Content-Length: 5, 05\r\nContent-Length: 5\r\n"),
        (Body::Length(5), true)
    );
    assert_eq!(framed("Content-Length:\r\n 5\r\n"), (Body::Length(5), true));
    assert_eq!(framed("Content-Length : 5\r\n"), (Body::Length(5), true));
    assert_eq!(framed("XContent-Length: 5\r\n"), (Body::UntilClose, false));
    let max = format!("Content-Length: {LENGTH_MAX}\r\n");
    assert_eq!(framed(&max), (Body::Length(LENGTH_MAX), true));
    for value in [
        "",
        "5,",
        ",5",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "5, 6",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
        "5\x0c",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n");
        assert_eq!(read(&head), Err(Wrong::BadContentLength), "{value:?}");
    }
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
    let detail = parse(two.as_bytes(), false).unwrap_err().detail;
    assert!(detail.ends_with("\" 6\""), "{detail}");
    assert_eq!(
        parse(two.as_bytes(), true).map(|head| head.body),
        Ok(Body::None)
    );
}

#[test]
fn codings() {
    for (fields, body) in [
        ("Transfer-Encoding: chunked\r\n", Body::Chunked),
        ("transfer-encoding: gzip , Chunked\r\n", Body::Chunked),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            Body::Chunked,
        ),
        ("Transfer-Encoding: gzip,\r\n\tchunked\r\n", Body::Chunked),
        ("Transfer-Encoding: chunked, \r\n", Body::Chunked),
        ("Transfer-Encoding: chunked, gzip\r\n", Body::UntilClose),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            Body::UntilClose,
        ),
        ("Transfer-Encoding: identity\r\n", Body::UntilClose),
        ("Transfer-Encoding: xchunked\r\n", Body::UntilClose),
        (
            "Transfer-Encoding: gzip;q=\"a,chunked\"\r\n",
            Body::UntilClose,
        ),
        ("Transfer-Encoding:\r\n", Body::UntilClose),
        ("X-Transfer-Encoding: chunked\r\n", Body::UntilClose),
    ] {
        assert_eq!(framed(fields), (body, body == Body::Chunked), "{fields:?}");
    }
    assert_eq!(
        framed("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        (Body::Chunked, false)
    );
    assert_eq!(
        framed("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"),
        (Body::Chunked, false)
    );
    let params = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n";
    assert_eq!(read(params), Err(Wrong::BadTransferEncoding));
}

#[test]
fn persistence() {
    let persistent = |version: &str, fields: &str| {
        read(&format!(
            "{version} 200 OK\r\nContent-Length: 1\r\n{fields}\r\n"
        ))
        .unwrap()
        .persistent
    };
    for (fields, new, old) in [
        ("", true, false),
        ("Connection: close\r\n", false, false),
        ("Connection: keep-alive\r\n", true, true),
        ("connection: foo ,CLOSE\r\n", false, false),
        ("Connection: foo\r\nConnection: Keep-Alive\r\n", true, true),
        ("Connection: keep-alive, close\r\n", false, false),
        ("Connection: closed\r\n", true, false),
        ("Connection:\r\n\tclose\r\n", false, false),
        ("Proxy-Connection: close\r\n", true, false),
        ("Connection:\r\n", true, false),
    ] {
        assert_eq!(persistent("HTTP/1.1", fields), new, "1.1 {fields:?}");
        assert_eq!(persistent("HTTP/1.2", fields), new, "1.2 {fields:?}");
        assert_eq!(persistent("HTTP/1.0", fields), old, "1.0 {fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    let old = read(old).unwrap();
    assert_eq!((old.body, old.persistent), (Body::Chunked, false));
}

#[test]
fn what_is_no_field_is_refused() {
    for fields in [
        " A: b\r\n",
        ": b\r\n",
        "A\r\n",
        "A b: c\r\n",
        "A\x01: b\r\n",
        "A: b\rc\r\n",
        "A: b\r\r\n",
        "A: b\0c\r\n",
        "A: b\r\n c\rd\r\n",
        "é: b\r\n",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(read(&head), Err(Wrong::BadHeader), "{fields:?}");
    }
    assert!(read("HTTP/1.1 200 OK\nA:b\nC: \x01é\n d\n\n").is_ok());
}

#[test]
fn the_date_is_found_where_it_is_plain() {
    let date = "Thu, 01 Jan 1970 00:00:00 GMT";
    let at = |field: &str| {
        read(&format!("HTTP/1.1 204 x\r\n{field}\r\n\r\n"))
            .unwrap()
            .date
    };
    assert_eq!(at(&format!("date: {date}")), Some(22));
    assert_eq!(at(&format!("Date:{date}")), None);
    assert_eq!(at(&format!("Date: {date} ")), None);
    assert_eq!(at("Date: Thu, 01 Jan\r\n 1970 00:00:0"), None);
}

/// A second opinion: where httparse reads a head, we read the same status and the same end.
#[test]
fn httparse_agrees() {
    let heads = [
        "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Content-Type: text/html\r\nContent-Length: 615\r\nConnection: keep-alive\r\n\
         ETag: \"5\"\r\nAccept-Ranges: bytes\r\n\r\n",
        "HTTP/1.0 304 Not Modified\r\n\r\n",
        "HTTP/1.1 404\r\nA:b\r\n\r\n",
        "HTTP/1.1 500 \nX: y\n\n",
    ];
    for head in heads {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut theirs = httparse::Response::new(&mut fields);
        let end = theirs.parse(head.as_bytes()).unwrap().unwrap();
        let ours = read(head).unwrap();
        assert_eq!(
            (Some(ours.status), ours.bytes),
            (theirs.code, end),
            "{head:?}"
        );
    }
}
