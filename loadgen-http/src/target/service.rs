//! What the target answers: paths, queries and the delay before a reply.
//!
//! Sizes and faults are read from the path and the query, so that one running target serves every
//! scenario. A reply of N bytes must never cost N bytes of memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::TargetOptions;
use super::behaviour::{Fault, Law};
use super::stats::{Counters, add};
use super::wire::Conn;
use crate::timer::Timer;

/// The prepared bytes that all bodies are made of; also the largest chunk.
const BLOCK_BYTES: usize = 1 << 20;

/// The largest body, bytes.
const BODY_MAX: u64 = 1 << 40;

/// The default size of a chunk, bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// What all connections of a target share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: TargetOptions,
    pub(super) counters: Arc<Counters>,
    block: Bytes,
    first: OnceLock<Instant>,
}

impl Shared {
    pub(super) fn new(options: TargetOptions) -> Self {
        let block: Vec<u8> = (0..BLOCK_BYTES)
            .map(|i| b"0123456789abcdef"[i % 16])
            .collect();
        Self {
            options,
            counters: Arc::default(),
            block: block.into(),
            first: OnceLock::new(),
        }
    }
}

/// The body of a reply: pieces of a shared block.
#[derive(Debug)]
pub(super) struct Payload {
    block: Bytes,
    left: u64,
    frame_bytes: usize,
    length_known: bool,
}

impl Payload {
    fn of(block: Bytes, length: u64) -> Self {
        Self {
            frame_bytes: block.len(),
            block,
            left: length,
            length_known: true,
        }
    }

    fn text(text: String) -> Self {
        let length = text.len() as u64;
        Self::of(text.into(), length)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let length = this.left.min(this.frame_bytes as u64) as usize;
        this.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(this.block.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.length_known && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.length_known {
            SizeHint::with_exact(self.left)
        } else {
            SizeHint::default()
        }
    }
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Bytes(u64),
    Chunked(u64, usize),
    CloseDelimited(u64),
    Status(StatusCode),
    Echo,
    Stats,
}

/// A request as its path and query say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wish {
    ask: Ask,
    delay: Option<Law>,
    fault: Option<Fault>,
}

/// What is wrong with a request, in one sentence.
type Refusal = (StatusCode, String);

fn bad(text: String) -> Refusal {
    (StatusCode::BAD_REQUEST, text)
}

fn size(text: &str, limit: u64) -> Result<u64, Refusal> {
    match text.parse() {
        Ok(bytes) if bytes <= limit => Ok(bytes),
        _ => Err(bad(format!(
            "{text:?} is not a number of bytes from 0 to {limit}"
        ))),
    }
}

fn read(path: &str, query: &str) -> Result<Wish, Refusal> {
    let mut parts = path.splitn(3, '/').skip(1);
    let (name, value) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mut wish = Wish {
        ask: match name {
            "" => Ask::Bytes(1024),
            "bytes" => Ask::Bytes(size(value, BODY_MAX)?),
            "chunked" => Ask::Chunked(size(value, BODY_MAX)?, CHUNK_BYTES),
            "close" => Ask::CloseDelimited(size(value, BODY_MAX)?),
            "status" => Ask::Status(status(value)?),
            "echo" => Ask::Echo,
            "stats" => Ask::Stats,
            "fault" => Ask::Bytes(1024),
            _ => return Err((StatusCode::NOT_FOUND, format!("nothing at {path:?}"))),
        },
        delay: None,
        fault: None,
    };
    if name == "fault" {
        wish.fault = Some(value.parse().map_err(bad)?);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (key, &mut wish.ask) {
            ("delay", _) => wish.delay = Some(value.parse().map_err(bad)?),
            ("fault", _) => wish.fault = Some(value.parse().map_err(bad)?),
            ("bytes", Ask::Bytes(bytes)) => *bytes = size(value, BODY_MAX)?,
            ("chunk", Ask::Chunked(_, chunk)) => {
                *chunk = size(value, BLOCK_BYTES as u64)?.max(1) as usize;
            }
            _ => return Err(bad(format!("{key:?} means nothing at {path:?}"))),
        }
    }
    if wish.fault == Some(Fault::Surplus)
        && matches!(wish.ask, Ask::Chunked(..) | Ask::CloseDelimited(_))
    {
        return Err(bad(format!("surplus needs a length, {path:?} has none")));
    }
    Ok(wish)
}

fn status(text: &str) -> Result<StatusCode, Refusal> {
    let code = text.parse().ok().filter(|code| (200..=999).contains(code));
    code.and_then(|code: u16| StatusCode::from_u16(code).ok())
        .ok_or_else(|| bad(format!("{text:?} is not a final status from 200 to 999")))
}

/// Answers one request. It never fails; faults are armed on `conn`.
pub(super) async fn serve(
    shared: Arc<Shared>,
    timer: Rc<Timer>,
    conn: Rc<Conn>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Infallible> {
    let received = Instant::now();
    let first = *shared.first.get_or_init(|| received);
    let (parts, body) = request.into_parts();
    let wish = read(parts.uri.path(), parts.uri.query().unwrap_or(""));
    if matches!(&wish, Ok(wish) if wish.ask == Ask::Stats) {
        return Ok(stats(&shared));
    }
    let counters = &shared.counters;
    let number = counters.requests.fetch_add(1, Ordering::Relaxed);
    conn.served.set(conn.served.get() + 1);
    let body_rx_bytes = drain(body, counters).await;
    let head_only = parts.method == Method::HEAD;
    let (mut response, delay, fault) = match wish {
        Ok(wish) => {
            let response = reply(&shared, wish.ask, head_only, body_rx_bytes);
            (response, wish.delay, wish.fault)
        }
        Err(refusal) => (refuse(refusal), None, None),
    };
    let options = &shared.options;
    if (options.keepalive_requests).is_some_and(|limit| conn.served.get() >= limit) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let law = delay.unwrap_or(options.delay);
    let due = received + law.draw(options.seed, number);
    timer.wait(release(&shared, first, due)).await;
    let body_bytes = if head_only { 0 } else { response.body().left };
    if let Some(fault) = fault.or_else(|| options.fault_of(number + 1)) {
        add(&counters.faults, 1);
        if fault == Fault::Hang {
            std::future::pending::<()>().await;
        }
        conn.arm(fault, body_bytes);
        if !fault.replies() {
            return Ok(response);
        }
    }
    add(&counters.replies, 1);
    add(&counters.payload_tx_bytes, body_bytes);
    conn.answer(received);
    Ok(response)
}

/// When a reply that is ready at `due` may leave: not in a stall.
fn release(shared: &Shared, first: Instant, due: Instant) -> Instant {
    shared.options.stall.map_or(due, |stall| {
        let ready = due.max(Instant::now());
        first + stall.release(ready.saturating_duration_since(first))
    })
}

async fn drain(mut body: Incoming, counters: &Counters) -> u64 {
    let mut bytes = 0;
    // An error here ends the connection anyway.
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    add(&counters.payload_rx_bytes, bytes);
    bytes
}

fn reply(shared: &Shared, ask: Ask, head_only: bool, body_rx_bytes: u64) -> Response<Payload> {
    let mut response = match ask {
        Ask::Bytes(bytes) => Response::new(Payload::of(shared.block.clone(), bytes)),
        Ask::Chunked(bytes, chunk) => Response::new(Payload {
            frame_bytes: chunk,
            length_known: false,
            ..Payload::of(shared.block.clone(), bytes)
        }),
        Ask::CloseDelimited(bytes) => {
            let mut response = Response::new(Payload {
                length_known: false,
                ..Payload::of(shared.block.clone(), bytes)
            });
            *response.version_mut() = Version::HTTP_10;
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
        Ask::Status(code) => text(code, format!("status {}\n", code.as_u16())),
        Ask::Echo => text(StatusCode::OK, format!("{body_rx_bytes}\n")),
        Ask::Stats => stats(shared),
    };
    if head_only && response.body().length_known {
        // Said here, because hyper does not ask the body of a reply to HEAD.
        let length = HeaderValue::from(response.body().left);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

fn text(code: StatusCode, text: String) -> Response<Payload> {
    // RFC 9110 §6.4.1: no content in replies with these.
    let bodiless = code == StatusCode::NO_CONTENT || code == StatusCode::NOT_MODIFIED;
    let body = Payload::text(if bodiless { String::new() } else { text });
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
}

fn refuse((code, why): Refusal) -> Response<Payload> {
    text(code, why + "\n")
}

fn stats(shared: &Shared) -> Response<Payload> {
    let json = serde_json::to_string(&shared.counters.read());
    let mut response = text(
        StatusCode::OK,
        json.unwrap_or_else(|_| "null".to_owned()) + "\n",
    );
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn paths_and_queries() {
        let wish = |ask| Wish {
            ask,
            delay: None,
            fault: None,
        };
        assert_eq!(read("/", ""), Ok(wish(Ask::Bytes(1024))));
        assert_eq!(read("/bytes/0", ""), Ok(wish(Ask::Bytes(0))));
        assert_eq!(read("/chunked/9", "chunk=4"), Ok(wish(Ask::Chunked(9, 4))));
        assert_eq!(
            read("/bytes/5", "delay=fixed:20ms&fault=truncate"),
            Ok(Wish {
                ask: Ask::Bytes(5),
                delay: Some(Law::Fixed(Duration::from_millis(20))),
                fault: Some(Fault::Truncate),
            })
        );
        assert_eq!(
            read("/fault/garbage", "bytes=7"),
            Ok(Wish {
                ask: Ask::Bytes(7),
                delay: None,
                fault: Some(Fault::Garbage),
            })
        );
    }

    #[test]
    fn bad_requests_are_named() {
        for (path, query, word) in [
            ("/nothing", "", "/nothing"),
            ("/bytes/x", "", "\"x\""),
            ("/bytes/1099511627777", "", "1099511627776"),
            ("/bytes/-1", "", "\"-1\""),
            ("/status/199", "", "\"199\""),
            ("/status/1000", "", "\"1000\""),
            ("/fault/explode", "", "\"explode\""),
            ("/bytes/1", "delay=soon", "\"soon\""),
            ("/bytes/1", "chunk=5", "\"chunk\""),
            ("/chunked/1", "chunk=2000000", "1048576"),
            ("/chunked/1", "fault=surplus", "surplus"),
        ] {
            let (_, error) = read(path, query).unwrap_err();
            assert!(error.contains(word), "{path}?{query}: {error}");
        }
    }
}
