//! What an embedded target needs besides its protocol: threads, sockets, counters.
//!
//! A [`Service`] says what is answered, bytes in and bytes out; a [`Server`] owns the rest. One
//! thread accepts and deals the connections round-robin: with few of them a hash (`SO_REUSEPORT`)
//! would load the threads unevenly, and a truth test would measure that. Nothing here may know a
//! protocol, and an error of `accept` must never turn the loop hot.

mod conn;
mod counters;
mod send;
#[cfg(test)]
mod tests;
mod worker;

pub use counters::{Counters, Stats};
pub use worker::Hall;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::buffer::Outbox;
use crate::workload::Endpoint;
use worker::{Common, Worker};

/// Connections the kernel keeps for us (`listen(2)`); it cuts the number to its own limit.
const BACKLOG: i32 = 4096;

/// What becomes of the next bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request, or a part of one, is done with. The session is not asked again before `discard`
    /// more bytes came and went, unseen.
    Ate {
        /// Bytes of the input. 0 with nothing to discard is a step within the session, not an end.
        bytes: usize,
        /// Bytes behind them that nobody needs.
        discard: u64,
    },
    /// More bytes are needed than there are.
    Short,
    /// The request is answered later: the session is asked again with it when a bell rings
    /// ([`Hall::ring`]), and then, at the latest.
    Hold(Instant),
    /// The connection ends once everything is written.
    Close,
}

/// What a target answers. One value serves all threads.
pub trait Service: Send + Sync + Sized + 'static {
    /// The state of one connection. Dropped when it ends.
    type Session;
    /// What the target says of itself.
    type Stats;

    /// A connection came to thread `worker`; `local` is the address it came to, `open` how many
    /// there were before it.
    ///
    /// # Errors
    /// What the peer is told, best effort, before it is closed.
    fn open(
        &self,
        worker: usize,
        local: Option<SocketAddr>,
        open: usize,
    ) -> Result<Self::Session, &'static [u8]>;

    /// Serves the first request of `input`; replies go to `out`.
    fn step(
        &self,
        worker: usize,
        session: &mut Self::Session,
        input: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Step;

    /// So many bytes came and went on the sockets of thread `worker`.
    fn moved(&self, worker: usize, received: u64, sent: u64);

    /// What was counted so far.
    fn stats(&self) -> Self::Stats;
}

/// A running target. It stops when it is dropped.
#[derive(Debug)]
pub struct Server<S: Service> {
    endpoint: Endpoint,
    common: Arc<Common<S>>,
    threads: Vec<JoinHandle<()>>,
}

impl<S: Service> Server<S> {
    /// Listens at `listen` (port 0: any free one) and serves on `workers` threads, at least one.
    /// `service` is given what it may know of them.
    ///
    /// # Errors
    /// When the address cannot be bound, or the system has no thread or descriptor left.
    pub fn start(
        listen: &Endpoint,
        workers: usize,
        service: impl FnOnce(Hall) -> S,
    ) -> io::Result<Self> {
        let listener = bind(listen)
            .map_err(|e| io::Error::new(e.kind(), format!("listen on {listen}: {e}")))?;
        // A port that was 0 is known now.
        let bound = listener.local_addr()?.as_socket();
        let hall = Hall::new(workers.max(1))?;
        let common = Arc::new(Common::new(hall.clone(), service(hall)));
        let mut server = Self {
            endpoint: bound.map_or_else(|| listen.clone(), Endpoint::Tcp),
            common: Arc::clone(&common),
            threads: Vec::new(),
        };
        let mut listener = Some(listener);
        for number in 0..workers.max(1) {
            let worker = Worker::new(number, Arc::clone(&common), listener.take())?;
            let thread = std::thread::Builder::new()
                .name(format!("target-{number}"))
                .spawn(move || worker.run())?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Where it listens, with the port it got. A TCP address prints as `127.0.0.1:9092`.
    #[must_use]
    pub fn address(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same as a socket address; `None` for a unix socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.endpoint {
            Endpoint::Tcp(address) => Some(address),
            Endpoint::Unix(_) => None,
        }
    }

    /// What it has counted so far.
    #[must_use]
    pub fn stats(&self) -> S::Stats {
        self.common.service.stats()
    }

    /// Closes every connection, ends every thread and says what was counted.
    pub fn stop(mut self) -> S::Stats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        self.common.over.store(true, Ordering::Release);
        self.common.hall.ring_all();
        let had_threads = !self.threads.is_empty();
        for thread in self.threads.drain(..) {
            // A panic of a worker was reported by the panic hook.
            let _ = thread.join();
        }
        if let Endpoint::Unix(path) = &self.endpoint
            && had_threads
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl<S: Service> Drop for Server<S> {
    fn drop(&mut self) {
        self.end();
    }
}

/// A socket that listens at `endpoint`, non-blocking.
///
/// # Errors
/// Those of `socket`, `bind` and `listen`.
fn bind(endpoint: &Endpoint) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = match endpoint {
        Endpoint::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), kind, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&(*address).into())?;
            socket
        }
        Endpoint::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, kind, None)?;
            socket.bind(&SockAddr::unix(path)?)?;
            socket
        }
    };
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The address of our end of `socket`; `None` where it has none, as unix sockets.
fn local_of(socket: &Socket) -> Option<SocketAddr> {
    rustix::net::getsockname(socket.as_fd())
        .ok()
        .and_then(|address| SocketAddr::try_from(address).ok())
}
