//! The target as a raw socket sees it: every path, every fault, every delay.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn start(change: impl FnOnce(&mut TargetOptions)) -> TargetHandle {
    let mut options = TargetOptions::default();
    change(&mut options);
    Target::start(options).unwrap()
}

fn connect(target: &TargetHandle) -> TcpStream {
    let stream = TcpStream::connect(target.socket_addr().unwrap()).unwrap();
    // Only so that a failure of the test does not hang.
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn ask(stream: &mut impl Write, method: &str, path: &str) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads until the head is complete; gives it and what came behind it.
fn head(stream: &mut impl Read) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).unwrap().to_lowercase(), rest);
        }
        let mut buf = [0; 4096];
        let n = stream.read(&mut buf).unwrap();
        assert!(n > 0, "closed within the head: {bytes:?}");
        bytes.extend_from_slice(&buf[..n]);
    }
}

/// One exchange whose reply has a length.
fn get(stream: &mut (impl Read + Write), path: &str) -> (String, Vec<u8>) {
    ask(stream, "GET", path);
    let (head, mut body) = head(stream);
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let have = body.len();
    body.resize(length.max(have), 0);
    stream.read_exact(&mut body[have..]).unwrap();
    assert_eq!(body.len(), length, "bytes behind the reply");
    (head, body)
}

/// Sends one request on a new connection and reads to the end, whatever that is.
fn to_the_end(target: &TargetHandle, path: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = connect(target);
    ask(&mut stream, "GET", path);
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    (bytes, end.err().map(|e| e.kind()))
}

#[test]
fn bodies_with_a_length_share_a_connection() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    for bytes in [0, 1, 1024, 1 << 20, (1 << 20) + 1, 5_000_000] {
        let (head, body) = get(&mut stream, &format!("/bytes/{bytes}"));
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert_eq!(body.len(), bytes);
    }
    assert_eq!(get(&mut stream, "/").1.len(), 1024);
    assert!(get(&mut stream, "/what").0.starts_with("http/1.1 404 "));
    let (head, body) = get(&mut stream, "/bytes/many");
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("\"many\""));
    let stats = target.stop();
    assert_eq!((stats.requests, stats.replies), (9, 9));
    assert_eq!((stats.connections_accepted, stats.connections_open), (1, 0));
    assert_eq!(stats.delay.count, 9);
}

#[test]
fn the_counters_are_those_of_the_wire() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    ask(&mut stream, "GET", "/bytes/1000");
    let (head, mut body) = head(&mut stream);
    let have = body.len();
    body.resize(1000, 0);
    stream.read_exact(&mut body[have..]).unwrap();
    let (_, json) = get(&mut stream, "/stats");
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["requests"], 1);
    assert_eq!(json["payload_tx_bytes"], 1000);
    assert_eq!(json["wire_tx_bytes"], head.len() + 1000);
    assert_eq!(json["delay"]["count"], 1);
    assert_eq!(json["delay"]["encoding"], "hdr-v2-deflate-base64");
}

#[test]
fn replies_without_a_body_have_none() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    ask(&mut stream, "HEAD", "/bytes/5000");
    let (text, rest) = head(&mut stream);
    assert!(text.contains("content-length: 5000\r\n"), "{text}");
    assert!(rest.is_empty());
    for code in [204, 304] {
        ask(&mut stream, "GET", &format!("/status/{code}"));
        let (text, rest) = head(&mut stream);
        assert!(text.starts_with(&format!("http/1.1 {code} ")), "{text}");
        assert!(rest.is_empty());
    }
    // Were a byte of a body on its way, this would not be a reply.
    assert_eq!(get(&mut stream, "/status/503").1, b"status 503\n");
    assert_eq!(target.stats().payload_tx_bytes, 11);
}

#[test]
fn chunks_have_the_asked_size() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    for (path, sizes) in [
        ("/chunked/10?chunk=4", vec![4, 4, 2]),
        ("/chunked/0", vec![]),
        ("/chunked/20000", vec![16384, 3616]),
    ] {
        ask(&mut stream, "GET", path);
        let (text, mut body) = head(&mut stream);
        assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
        while !body.ends_with(b"0\r\n\r\n") {
            let mut buf = [0; 4096];
            let n = stream.read(&mut buf).unwrap();
            assert!(n > 0);
            body.extend_from_slice(&buf[..n]);
        }
        let mut rest = &body[..];
        let mut got = Vec::new();
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
            let size = std::str::from_utf8(&rest[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[end + 2 + size + 2..];
            if size == 0 {
                break;
            }
            got.push(size);
        }
        assert!(rest.is_empty());
        assert_eq!(got, sizes, "{path}");
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let target = start(|_| {});
    let (bytes, error) = to_the_end(&target, "/close/3000000");
    assert_eq!(error, None);
    let (head, body) = head(&mut &bytes[..]);
    assert!(!head.contains("content-length"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    let head_bytes = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(!body.is_empty());
    assert_eq!(bytes.len() - head_bytes, 3_000_000);
}

#[test]
fn echo_counts_the_body() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    let body = vec![b'x'; 300_000];
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let (_, reply) = head(&mut stream);
    assert_eq!(reply, b"300000\n");
    assert_eq!(target.stats().payload_rx_bytes, 300_000);
}

#[test]
fn the_keep_alive_limit_closes_and_says_so() {
    let target = start(|o| o.keepalive_requests = Some(3));
    let mut stream = connect(&target);
    assert!(!get(&mut stream, "/").0.contains("connection: close"));
    assert!(!get(&mut stream, "/").0.contains("connection: close"));
    assert!(get(&mut stream, "/").0.contains("connection: close"));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn resets_come_before_and_after_the_head() {
    let target = start(|_| {});
    let (bytes, error) = to_the_end(&target, "/fault/reset-before-head");
    assert_eq!((bytes.len(), error), (0, Some(ErrorKind::ConnectionReset)));
    let (bytes, error) = to_the_end(&target, "/fault/reset-after-head");
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    assert!(bytes.ends_with(b"\r\n\r\n"));
    assert_eq!(bytes.windows(4).filter(|w| w == b"\r\n\r\n").count(), 1);
    let stats = target.stop();
    assert_eq!((stats.requests, stats.replies, stats.faults), (2, 0, 2));
}

#[test]
fn a_truncated_body_is_half_of_what_was_announced() {
    let target = start(|_| {});
    for announced in [10, 3_000_000] {
        let (bytes, error) = to_the_end(&target, &format!("/fault/truncate?bytes={announced}"));
        assert_eq!(error, None);
        let (head, _) = head(&mut &bytes[..]);
        assert!(head.contains(&format!("content-length: {announced}\r\n")));
        assert_eq!(bytes.len() - head.len(), announced / 2);
    }
}

#[test]
fn garbage_and_silence_and_surplus() {
    let target = start(|_| {});
    let (bytes, error) = to_the_end(&target, "/fault/garbage");
    assert_eq!(error, None);
    assert!(bytes.starts_with(b"\x16\x03\x01"));
    let (bytes, error) = to_the_end(&target, "/fault/close-before-reply");
    assert_eq!((bytes.len(), error), (0, None));

    let mut stream = connect(&target);
    ask(&mut stream, "GET", "/fault/surplus?bytes=5");
    let (_, mut body) = head(&mut stream);
    while !body.ends_with(b"\r\n\r\nsurplus") {
        let mut buf = [0; 100];
        let n = stream.read(&mut buf).unwrap();
        body.extend_from_slice(&buf[..n]);
    }
    assert!(body.starts_with(b"01234HTTP/1.1 200 OK\r\n"));
    assert_eq!(get(&mut stream, "/bytes/3").1, b"012");

    ask(&mut stream, "GET", "/fault/hang");
    stream.set_read_timeout(Some(50 * MS)).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let stats = target.stop();
    assert_eq!((stats.requests, stats.replies, stats.faults), (5, 2, 4));
}

#[test]
fn every_nth_request_breaks() {
    let target = start(|o| {
        o.reset_every = Some(3);
        o.truncate_every = Some(4);
    });
    let broken: Vec<usize> = (1..=8)
        .filter(|_| {
            let mut stream = connect(&target);
            ask(&mut stream, "GET", "/bytes/100");
            let mut bytes = Vec::new();
            stream.set_read_timeout(Some(20 * MS)).unwrap();
            let end = stream.read_to_end(&mut bytes);
            // A whole reply leaves the connection open, so the read times out.
            end.map_err(|e| e.kind()) != Err(ErrorKind::WouldBlock)
        })
        .collect();
    assert_eq!(broken, [3, 4, 6, 8]);
}

#[test]
fn the_histogram_of_delays_is_honest() {
    let target = start(|_| {});
    let mut stream = connect(&target);
    let mut seen = Vec::new();
    for _ in 0..200 {
        let before = Instant::now();
        get(&mut stream, "/bytes/10?delay=fixed:5ms");
        seen.push(before.elapsed());
    }
    seen.sort_unstable();
    let delay = target.stats().delay;
    assert_eq!(delay.count, 200);
    // A cell of the histogram is at most 0.1 % wide.
    assert!(delay.min_ns >= 4_995_000, "{} ns", delay.min_ns);
    assert!(
        delay.p50_ns.abs_diff(5_000_000) < 300_000,
        "p50 {} ns",
        delay.p50_ns
    );
    // What the client saw can only be longer, but for the width of a cell.
    assert!(seen[100].as_nanos() as u64 + 5_000 >= delay.p50_ns);
}

#[test]
fn a_thousand_delays_at_once() {
    let target = start(|o| o.workers = 2);
    let mut streams: Vec<TcpStream> = (0..1000).map(|_| connect(&target)).collect();
    let before = Instant::now();
    for stream in &mut streams {
        ask(stream, "GET", "/bytes/1?delay=fixed:300ms");
    }
    for stream in &mut streams {
        head(stream);
    }
    let took = before.elapsed();
    assert!(
        took >= 300 * MS && took < Duration::from_secs(5),
        "{took:?}"
    );
    let stats = target.stats();
    assert_eq!((stats.replies, stats.connections_accepted), (1000, 1000));
    // A cell of the histogram is at most 0.1 % wide.
    assert!(stats.delay.min_ns >= 299_700_000);
}

#[test]
fn a_stall_holds_every_reply_back() {
    let target = start(|o| o.stall = Some("100ms/200ms".parse().unwrap()));
    let mut stream = connect(&target);
    let first = Instant::now();
    get(&mut stream, "/bytes/1");
    assert!(first.elapsed() < 100 * MS);
    // Would leave 150 ms after the first; then in the stall from 200 to 300 ms.
    get(&mut stream, "/bytes/1?delay=fixed:150ms");
    assert!(first.elapsed() >= 150 * MS);
    get(&mut stream, "/bytes/1?delay=fixed:100ms");
    assert!(first.elapsed() >= 300 * MS, "{:?}", first.elapsed());
}

#[test]
fn it_serves_a_unix_socket_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target.sock");
    let target = start(|o| {
        o.listen = Endpoint::Unix(path.clone());
        o.workers = 2;
    });
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(get(&mut stream, "/bytes/77").1.len(), 77);
    }
    assert_eq!(
        target.address().to_string(),
        format!("unix:{}", path.display())
    );
    drop(target);
    assert!(!path.exists());
}

#[test]
fn a_busy_address_is_named() {
    let target = start(|_| {});
    let listen = target.address().clone();
    let again = TargetOptions {
        listen: listen.clone(),
        ..TargetOptions::default()
    };
    let error = Target::start(again).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

#[test]
fn it_stops_at_once_whatever_is_pending() {
    let target = start(|o| o.workers = 2);
    let mut stream = connect(&target);
    get(&mut stream, "/bytes/1");
    ask(&mut stream, "GET", "/bytes/1?delay=fixed:60m");
    let before = Instant::now();
    drop(target);
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
}
