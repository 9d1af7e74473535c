//! The target's threads: who listens, who serves, how it ends.
//!
//! One listener deals accepted connections over the workers round-robin: with few connections a
//! hash (`SO_REUSEPORT`) would load them unevenly, and a truth test would measure that. An error
//! of `accept` must never turn the loop hot.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use loadgen_core::workload::Endpoint;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::TargetOptions;
use super::service::{self, Shared};
use super::stats::Stats;
use super::wire::{Conn, Wire};
use crate::stream::Stream;
use crate::timer::{self, Timer};

/// Connections the kernel keeps for us (`listen(2)`); it cuts the number to its own limit.
const BACKLOG: i32 = 4096;

/// Accepted connections a worker has not looked at yet.
const DEALT_MAX: usize = 1024;

/// The pause after an error of `accept`, such as no descriptor left.
const PAUSE: Duration = Duration::from_millis(10);

/// The embedded target.
#[derive(Clone, Copy, Debug)]
pub struct Target;

impl Target {
    /// Starts a target. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound, or the system has no thread or descriptor left.
    pub fn start(options: TargetOptions) -> io::Result<TargetHandle> {
        let listening = Listening::bind(&options.listen)?;
        let endpoint = listening.endpoint(&options.listen)?;
        let workers = options.workers.max(1);
        let shared = Arc::new(Shared::new(options));
        let (over, ended) = watch::channel(false);
        let mut handle = TargetHandle {
            endpoint,
            shared: Arc::clone(&shared),
            over,
            threads: Vec::new(),
        };
        let mut dealers = Vec::new();
        // The last one spawned is worker 0, which deals: it needs all the others.
        for worker in (0..workers).rev() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (dealer, dealt) = mpsc::channel(DEALT_MAX);
            let accept = if worker == 0 {
                let dealers = std::mem::take(&mut dealers);
                Some((listening.clone_for(&runtime)?, dealers))
            } else {
                dealers.push(dealer);
                None
            };
            let part = Part {
                shared: Arc::clone(&shared),
                ended: ended.clone(),
                dealt,
                accept,
                alarm: {
                    // Not block_on: the caller may be inside a runtime of its own.
                    let _inside = runtime.enter();
                    timer::alarm()?
                },
            };
            let thread = std::thread::Builder::new()
                .name(format!("target-{worker}"))
                .spawn(move || work(&runtime, part))?;
            handle.threads.push(thread);
        }
        Ok(handle)
    }
}

/// A running target. It stops when it is dropped.
#[derive(Debug)]
pub struct TargetHandle {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    over: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl TargetHandle {
    /// Where it listens, with the port it got. A TCP address prints as `127.0.0.1:8080`.
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
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// Closes every connection, ends every thread and says what was counted.
    pub fn stop(mut self) -> Stats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        self.over.send_replace(true);
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

impl Drop for TargetHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// A bound socket that listens.
#[derive(Debug)]
enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The same within a runtime.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("listen on {endpoint}: {e}"));
        match endpoint {
            Endpoint::Tcp(address) => tcp(*address).map(Self::Tcp).map_err(named),
            Endpoint::Unix(path) => unix(path).map(Self::Unix).map_err(named),
        }
    }

    fn endpoint(&self, asked: &Endpoint) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            Self::Unix(_) => Ok(asked.clone()),
        }
    }

    fn clone_for(&self, runtime: &Runtime) -> io::Result<Listener> {
        let _inside = runtime.enter();
        match self {
            Self::Tcp(l) => TcpListener::from_std(l.try_clone()?).map(Listener::Tcp),
            Self::Unix(l) => UnixListener::from_std(l.try_clone()?).map(Listener::Unix),
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &PathBuf) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A connection on its way to its worker, in no runtime.
#[derive(Debug)]
enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    fn into_stream(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(s) => TcpStream::from_std(s).map(Stream::Tcp),
            Self::Unix(s) => UnixStream::from_std(s).map(Stream::Unix),
        }
    }

    fn of(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(s) => s.into_std().map(Self::Tcp),
            Stream::Unix(s) => s.into_std().map(Self::Unix),
        }
    }
}

type Accept = (Listener, Vec<mpsc::Sender<Accepted>>);

/// What one worker gets.
#[derive(Debug)]
struct Part {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
    dealt: mpsc::Receiver<Accepted>,
    accept: Option<Accept>,
    alarm: AsyncFd<OwnedFd>,
}

fn work(runtime: &Runtime, part: Part) {
    let Part {
        shared,
        mut ended,
        mut dealt,
        accept,
        alarm,
    } = part;
    let local = LocalSet::new();
    let timer = Rc::new(Timer::new(alarm));
    let running = Rc::clone(&timer);
    local.spawn_local(async move { running.run().await });
    if let Some((listener, dealers)) = accept {
        let (shared, timer) = (Arc::clone(&shared), Rc::clone(&timer));
        local.spawn_local(deal(listener, dealers, shared, timer));
    }
    local.spawn_local(async move {
        while let Some(accepted) = dealt.recv().await {
            // A socket that cannot be registered is closed: the peer sees it.
            if let Ok(stream) = accepted.into_stream() {
                let (shared, timer) = (Arc::clone(&shared), Rc::clone(&timer));
                tokio::task::spawn_local(connection(stream, shared, timer));
            }
        }
    });
    // An error means that the handle is gone: it is over as well.
    let _ = local.block_on(runtime, ended.wait_for(|over| *over));
}

async fn deal(
    listener: Listener,
    dealers: Vec<mpsc::Sender<Accepted>>,
    shared: Arc<Shared>,
    timer: Rc<Timer>,
) {
    let mut number = 0;
    loop {
        let accepted = match &listener {
            Listener::Tcp(l) => l.accept().await.map(|(s, _)| Stream::Tcp(s)),
            Listener::Unix(l) => l.accept().await.map(|(s, _)| Stream::Unix(s)),
        };
        let Ok(stream) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Stream::Tcp(tcp) = &stream {
            let _ = tcp.set_nodelay(true);
        }
        let hand = number % (dealers.len() + 1);
        number += 1;
        if hand == 0 {
            let (shared, timer) = (Arc::clone(&shared), Rc::clone(&timer));
            tokio::task::spawn_local(connection(stream, shared, timer));
        } else if let Ok(accepted) = Accepted::of(stream) {
            let _ = dealers[hand - 1].send(accepted).await;
        }
    }
}

async fn connection(stream: Stream, shared: Arc<Shared>, timer: Rc<Timer>) {
    let conn = Rc::new(Conn::default());
    let wire = Wire::new(stream, Rc::clone(&conn), Arc::clone(&shared.counters));
    let service = service_fn(move |request| {
        let (shared, timer) = (Arc::clone(&shared), Rc::clone(&timer));
        service::serve(shared, timer, Rc::clone(&conn), request)
    });
    // What went wrong with a connection is seen, and counted, by its client.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(wire), service)
        .await;
}
