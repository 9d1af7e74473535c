//! Where replies are broken: between hyper and the socket.
//!
//! hyper cannot misbehave, so its bytes are cut, replaced or followed by others here. The service
//! arms a fault for the reply it is about to give; every other byte passes as it is. With more
//! than one request in flight on a connection, the fault may meet the reply before.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::behaviour::Fault;
use super::stats::{Counters, add};
use crate::stream::Stream;

/// What [`Fault::Garbage`] sends: no HTTP/1 status line begins so.
const GARBAGE: &[u8] = b"\x16\x03\x01 this is not HTTP\r\n\r\n";

/// What [`Fault::Surplus`] sends behind a reply.
const SURPLUS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsurplus";

const HEAD_END: &[u8] = b"\r\n\r\n";

/// What the service and the socket of one connection share.
#[derive(Debug, Default)]
pub(super) struct Conn {
    /// Requests served.
    pub(super) served: Cell<u64>,
    /// When the request was received whose whole reply is about to leave.
    answering: Cell<Option<Instant>>,
    script: RefCell<Option<Script>>,
}

impl Conn {
    /// The next reply, whose body is `body_bytes` long, meets `fault`.
    pub(super) fn arm(&self, fault: Fault, body_bytes: u64) {
        *self.script.borrow_mut() = Some(Script::new(fault, body_bytes));
    }

    /// A whole reply to what was received at `received` is on its way to the socket.
    pub(super) fn answer(&self, received: Instant) {
        self.answering.set(Some(received));
    }
}

#[derive(Debug)]
struct Script {
    fault: Fault,
    /// How much of [`HEAD_END`] has passed.
    matched: usize,
    /// Body bytes that may still pass.
    body_left: u64,
    /// How much of our own bytes has been written.
    own: usize,
}

impl Script {
    fn new(fault: Fault, body_bytes: u64) -> Self {
        let body_left = match fault {
            Fault::Truncate => body_bytes / 2,
            Fault::Surplus => body_bytes,
            _ => 0,
        };
        Self {
            fault,
            matched: 0,
            body_left,
            own: 0,
        }
    }

    /// Whether nothing of the reply may pass any more.
    fn exhausted(&self) -> bool {
        match self.fault {
            Fault::ResetAfterHead | Fault::Truncate | Fault::Surplus => {
                self.matched == HEAD_END.len() && self.body_left == 0
            }
            Fault::ResetBeforeHead | Fault::Garbage | Fault::CloseBeforeReply | Fault::Hang => true,
        }
    }

    /// How many bytes of `buf` may pass.
    fn allowed(&self, buf: &[u8]) -> usize {
        let (head, ended) = scan(self.matched, buf);
        let body = (buf.len() - head) as u64;
        if ended == HEAD_END.len() {
            head + body.min(self.body_left) as usize
        } else {
            head
        }
    }

    /// These bytes have passed.
    fn passed(&mut self, bytes: &[u8]) {
        let (head, matched) = scan(self.matched, bytes);
        self.matched = matched;
        self.body_left -= (bytes.len() - head) as u64;
    }
}

/// How many bytes of `buf` belong to the head, and how much of its end is matched after them.
fn scan(mut matched: usize, buf: &[u8]) -> (usize, usize) {
    for (at, &byte) in buf.iter().enumerate() {
        if matched == HEAD_END.len() {
            return (at, matched);
        }
        matched = match byte {
            b if b == HEAD_END[matched] => matched + 1,
            b'\r' => 1,
            _ => 0,
        };
    }
    (buf.len(), matched)
}

/// A connection of the target: counts bytes and breaks what it was asked to.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    conn: Rc<Conn>,
    counters: Arc<Counters>,
}

impl Wire {
    pub(super) fn new(stream: Stream, conn: Rc<Conn>, counters: Arc<Counters>) -> Self {
        add(&counters.connections_accepted, 1);
        add(&counters.connections_open, 1);
        Self {
            stream,
            conn,
            counters,
        }
    }

    /// Something is about to be handed to the kernel: if a reply begins with it, its delay is over.
    /// Not a moment earlier, so that what this thread is late by is in it.
    fn leaves(&self) {
        if let Some(received) = self.conn.answering.take() {
            self.counters.delayed(received.elapsed());
        }
    }

    fn count(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = sent {
            add(&self.counters.wire_tx_bytes, n as u64);
        }
        sent
    }

    fn write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.leaves();
        let sent = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(sent)
    }

    /// Lets pass what may; `None` when no fault is armed (any more).
    fn broken(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let conn = Rc::clone(&self.conn);
        let mut slot = conn.script.borrow_mut();
        let script = slot.as_mut()?;
        if !script.exhausted() {
            let allowed = script.allowed(buf);
            let sent = self.write(cx, &buf[..allowed]);
            if let Poll::Ready(Ok(n)) = sent {
                script.passed(&buf[..n]);
            }
            return Some(sent);
        }
        match self.finish(cx, script) {
            Poll::Ready(Ok(())) => {
                *slot = None;
                None
            }
            Poll::Ready(Err(e)) => Some(Poll::Ready(Err(e))),
            Poll::Pending => Some(Poll::Pending),
        }
    }

    /// Does what the fault does in the end. An error makes hyper drop the connection.
    fn finish(&mut self, cx: &mut Context<'_>, script: &mut Script) -> Poll<io::Result<()>> {
        let own: &[u8] = match script.fault {
            Fault::Garbage => GARBAGE,
            Fault::Surplus => SURPLUS,
            _ => &[],
        };
        while script.own < own.len() {
            script.own += ready!(self.write(cx, &own[script.own..]))?;
        }
        match script.fault {
            Fault::Surplus => return Poll::Ready(Ok(())),
            Fault::ResetBeforeHead | Fault::ResetAfterHead => self.stream.reset_on_close(),
            _ => {}
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let open = &self.counters.connections_open;
        open.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        add(&this.counters.wire_rx_bytes, n as u64);
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.broken(cx, buf).unwrap_or_else(|| this.write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bufs.iter().find(|buf| !buf.is_empty());
        if let Some(broken) = this.broken(cx, first.map_or(&[], |buf| buf)) {
            return broken;
        }
        this.leaves();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.count(sent)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let conn = Rc::clone(&this.conn);
        let mut slot = conn.script.borrow_mut();
        if let Some(script) = slot.as_mut()
            && script.matched == HEAD_END.len()
            && script.exhausted()
        {
            ready!(this.finish(cx, script))?;
            *slot = None;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_delay_ends_when_the_reply_leaves() {
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let (conn, counters) = (Rc::new(Conn::default()), Arc::new(Counters::default()));
        let mut wire = Wire::new(Stream::Unix(ours), Rc::clone(&conn), Arc::clone(&counters));
        let ago = Instant::now()
            .checked_sub(Duration::from_millis(5))
            .unwrap();
        conn.answer(ago);
        assert_eq!(counters.read().delay.count, 0);
        wire.write_all(b"HTTP/1.1 204 No Content\r\n")
            .await
            .unwrap();
        wire.write_all(b"\r\n").await.unwrap();
        let delay = counters.read().delay;
        assert_eq!(delay.count, 1);
        // A cell of the histogram is at most 0.1 % wide.
        assert!(delay.min_ns >= 4_995_000, "{} ns", delay.min_ns);
    }

    #[test]
    fn a_script_gives_the_same_bytes_however_they_are_cut() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
        let head = reply.len() - 10;
        let expected = [
            (Fault::ResetAfterHead, head),
            (Fault::Truncate, head + 5),
            (Fault::Surplus, reply.len()),
        ];
        for (fault, passes) in expected {
            for piece in 1..=reply.len() {
                let mut script = Script::new(fault, 10);
                let mut passed = 0;
                for buf in reply.chunks(piece) {
                    let allowed = script.allowed(buf);
                    script.passed(&buf[..allowed]);
                    passed += allowed;
                    if script.exhausted() {
                        break;
                    }
                }
                assert_eq!(passed, passes, "{fault:?} in pieces of {piece}");
                assert!(script.exhausted());
            }
        }
    }
}
