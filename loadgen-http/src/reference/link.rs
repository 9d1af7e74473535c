//! One connection with hyper on it: the socket, the meter of its bytes, the task behind it.
//!
//! The socket is made by the core, so options, local addresses and ports are those of the native
//! client. Bytes are counted where they pass the socket.

use std::cell::Cell;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use loadgen_core::driver::{begin_connect, cause_of};
use loadgen_core::protocol::Cause;
use loadgen_core::workload::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{JoinError, JoinHandle, spawn_local};

use super::prepared::Body;
use super::work::Work;
use crate::stream::Stream;

/// How hyper's task of a connection ended.
pub(super) type Ended = Result<hyper::Result<()>, JoinError>;

/// An established connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sender: SendRequest<Body>,
    pub(super) driver: JoinHandle<hyper::Result<()>>,
    received: Rc<Cell<u64>>,
    /// Requests put on it.
    pub(super) served: u64,
    /// Replies that came whole.
    pub(super) replies: u64,
}

impl Link {
    /// Connects to `endpoint` within `limit` and shakes hands with nobody: HTTP/1.1 needs none.
    pub(super) async fn open(
        work: &Rc<Work>,
        endpoint: &Endpoint,
        number: u64,
        limit: Duration,
    ) -> Result<Self, Cause> {
        let connecting = connect(work, endpoint, number);
        let stream = match tokio::time::timeout(limit, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Cause::Timeout),
        };
        let received = Rc::new(Cell::new(0));
        let meter = Meter {
            stream,
            work: Rc::clone(work),
            received: Rc::clone(&received),
        };
        // Nothing is sent or received here, so nothing can fail.
        let (sender, connection) = handshake(TokioIo::new(meter))
            .await
            .map_err(|_| Cause::Os(0))?;
        Ok(Self {
            sender,
            driver: spawn_local(connection),
            received,
            served: 0,
            replies: 0,
        })
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn connect(work: &Work, endpoint: &Endpoint, number: u64) -> Result<Stream, Cause> {
    let os = |e: io::Error| cause_of(&e);
    let step = u64::from(work.seat.options.connections);
    let sockets = &work.seat.options.sockets;
    let (socket, at_once) = begin_connect(sockets, endpoint, number, step)?;
    match endpoint {
        Endpoint::Tcp(_) => {
            let stream = TcpStream::from_std(socket.into()).map_err(os)?;
            if !at_once {
                stream.writable().await.map_err(os)?;
                if let Some(error) = stream.take_error().map_err(os)? {
                    return Err(cause_of(&error));
                }
            }
            Ok(Stream::Tcp(stream))
        }
        Endpoint::Unix(_) => {
            let stream = UnixStream::from_std(socket.into()).map_err(os)?;
            Ok(Stream::Unix(stream))
        }
    }
}

/// A socket whose bytes are counted.
#[derive(Debug)]
struct Meter {
    stream: Stream,
    work: Rc<Work>,
    received: Rc<Cell<u64>>,
}

impl Meter {
    /// Whoever polls this socket works, whatever comes of it.
    fn stream(&mut self) -> Pin<&mut Stream> {
        self.work.timer.worked();
        Pin::new(&mut self.stream)
    }

    fn wrote(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = sent {
            self.work.recorder.borrow_mut().wrote(bytes as u64);
        }
        sent
    }
}

impl AsyncRead for Meter {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = this.stream().poll_read(cx, buf);
        let bytes = (buf.filled().len() - before) as u64;
        if bytes > 0 {
            this.received.set(this.received.get() + bytes);
            this.work.received(bytes);
        }
        read
    }
}

impl AsyncWrite for Meter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.stream().poll_write(cx, buf);
        this.wrote(sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.stream().poll_write_vectored(cx, bufs);
        this.wrote(sent)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
