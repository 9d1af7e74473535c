//! The target's threads: who listens, who serves, how it ends.
//!
//! Each worker waits on an epoll instance of its own. Worker 0 accepts as well and deals the
//! connections round-robin. An error of `accept` must never turn the loop hot.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use loadgen_core::workload::Endpoint;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use socket2::{Domain, SockAddr, Socket, Type};

use super::TargetOptions;
use super::conn::{Conn, Fate};
use super::serve::{Desk, Shared};
use super::stats::{Counter, Stats};

/// Connections the kernel keeps for us (`listen(2)`); it cuts the number to its own limit.
const BACKLOG: i32 = 4096;

/// Events taken at once.
const EVENTS: usize = 256;

/// The pause after an error of `accept`, such as no descriptor left.
const PAUSE: Duration = Duration::from_millis(10);

/// What a client above the limit is told, before it is closed: in text, as memcached does,
/// whatever the client speaks.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// Numbers of descriptors in an epoll instance; connections come behind.
const BELL: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONN: u64 = 2;

/// The embedded target.
#[derive(Clone, Copy, Debug)]
pub struct Target;

impl Target {
    /// Starts a target. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound, or the system has no thread or descriptor left.
    pub fn start(options: TargetOptions) -> io::Result<TargetHandle> {
        let named = |e: io::Error| {
            let listen = &options.listen;
            io::Error::new(e.kind(), format!("listen on {listen}: {e}"))
        };
        let listener = bind(&options.listen).map_err(named)?;
        let endpoint = endpoint(&listener, &options.listen)?;
        let hatches = (0..options.workers.max(1)).map(|_| Hatch::new());
        let common = Arc::new(Common {
            hatches: hatches.collect::<io::Result<_>>()?,
            shared: Shared::new(options),
            over: AtomicBool::new(false),
        });
        let mut handle = TargetHandle {
            endpoint,
            common: Arc::clone(&common),
            threads: Vec::new(),
        };
        let mut listener = Some(listener);
        for number in 0..common.hatches.len() {
            let worker = Worker::new(number, Arc::clone(&common), listener.take())?;
            let thread = std::thread::Builder::new()
                .name(format!("target-{number}"))
                .spawn(move || worker.run())?;
            handle.threads.push(thread);
        }
        Ok(handle)
    }
}

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

/// Where it really listens: a port that was 0 is known now.
fn endpoint(listener: &Socket, asked: &Endpoint) -> io::Result<Endpoint> {
    let bound = listener.local_addr()?.as_socket();
    Ok(bound.map_or_else(|| asked.clone(), Endpoint::Tcp))
}

/// A running target. It stops when it is dropped.
#[derive(Debug)]
pub struct TargetHandle {
    endpoint: Endpoint,
    common: Arc<Common>,
    threads: Vec<JoinHandle<()>>,
}

impl TargetHandle {
    /// Where it listens, with the port it got. A TCP address prints as `127.0.0.1:11211`.
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
        self.common.shared.stats()
    }

    /// Closes every connection, ends every thread and says what was counted.
    pub fn stop(mut self) -> Stats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        self.common.over.store(true, Ordering::Release);
        self.common.hatches.iter().for_each(Hatch::ring);
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

/// What all threads of a target share.
#[derive(Debug)]
struct Common {
    shared: Shared,
    hatches: Vec<Hatch>,
    over: AtomicBool,
}

/// Where a worker is handed its connections.
#[derive(Debug)]
struct Hatch {
    dealt: Mutex<Vec<Socket>>,
    bell: OwnedFd,
}

impl Hatch {
    fn new() -> io::Result<Self> {
        Ok(Self {
            dealt: Mutex::default(),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    fn ring(&self) {
        // It can only fail when it has been rung 2^64 times without being heard.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn give(&self, socket: Socket) {
        let mut dealt = self.dealt.lock().unwrap_or_else(PoisonError::into_inner);
        dealt.push(socket);
        drop(dealt);
        self.ring();
    }

    fn take(&self) -> Vec<Socket> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        let mut dealt = self.dealt.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *dealt)
    }
}

/// One thread.
#[derive(Debug)]
struct Worker {
    number: usize,
    common: Arc<Common>,
    epoll: OwnedFd,
    listener: Option<Socket>,
    conns: HashMap<u64, Conn>,
    next_id: u64,
    next_hand: usize,
}

impl Worker {
    fn new(number: usize, common: Arc<Common>, listener: Option<Socket>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = &common.hatches[number].bell;
        epoll::add(&epoll, bell, EventData::new_u64(BELL), EventFlags::IN)?;
        if let Some(listener) = &listener {
            let data = EventData::new_u64(LISTENER);
            epoll::add(&epoll, listener, data, EventFlags::IN)?;
        }
        Ok(Self {
            number,
            common,
            epoll,
            listener,
            conns: HashMap::new(),
            next_id: FIRST_CONN,
            next_hand: 0,
        })
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.common.over.load(Ordering::Acquire) {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            // Interrupted: look again.
            if epoll::wait(&self.epoll, spare, None).is_err() {
                continue;
            }
            for event in &events {
                match event.data.u64() {
                    BELL => {
                        for socket in self.common.hatches[self.number].take() {
                            self.adopt(socket);
                        }
                    }
                    LISTENER => self.accept(),
                    id => self.work(id, event.flags),
                }
            }
        }
        let open = self.conns.len();
        self.common
            .shared
            .connections
            .fetch_sub(open, Ordering::Relaxed);
    }

    fn accept(&mut self) {
        let common = Arc::clone(&self.common);
        let counters = &common.shared.counters[self.number];
        while let Some(listener) = &self.listener {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return std::thread::sleep(PAUSE),
            };
            counters.add(Counter::TotalConnections, 1);
            let open = common.shared.connections.fetch_add(1, Ordering::Relaxed);
            if open >= common.shared.options.connections_max {
                common.shared.connections.fetch_sub(1, Ordering::Relaxed);
                counters.add(Counter::RejectedConnections, 1);
                let _ = (&socket).write(TOO_MANY);
                continue;
            }
            let hand = self.next_hand % common.hatches.len();
            self.next_hand += 1;
            if hand == self.number {
                self.adopt(socket);
            } else {
                common.hatches[hand].give(socket);
            }
        }
    }

    fn adopt(&mut self, socket: Socket) {
        // Unix sockets have no such option.
        let _ = socket.set_tcp_nodelay(true);
        let id = self.next_id;
        self.next_id += 1;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let watched = socket.set_nonblocking(true).and_then(|()| {
            Ok(epoll::add(
                &self.epoll,
                &socket,
                EventData::new_u64(id),
                flags,
            )?)
        });
        if watched.is_err() {
            // Closed: the peer sees it.
            self.common
                .shared
                .connections
                .fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.conns.insert(id, Conn::new(socket));
    }

    fn work(&mut self, id: u64, flags: EventFlags) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let shared = &self.common.shared;
        let desk = Desk {
            shared,
            counters: &shared.counters[self.number],
            now: shared.now(),
        };
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if conn.work(desk, flags.intersects(gone)) == Fate::Closed {
            let _ = epoll::delete(&self.epoll, conn.as_fd());
            self.conns.remove(&id);
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
