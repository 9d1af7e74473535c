//! The threads of a target: who listens, who serves, who is woken.
//!
//! Each worker waits on an epoll instance of its own. Worker 0 accepts as well and deals the
//! connections. No wake-up may be lost: who is about to wait says so before it looks a last time.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use socket2::Socket;

use super::conn::{Conn, Fate, SCRATCH, Visit};
use super::{Service, local_of};

/// Events taken at once.
const EVENTS: usize = 256;

/// The pause after an error of `accept`, such as no descriptor left.
const PAUSE: Duration = Duration::from_millis(10);

/// Numbers of descriptors in an epoll instance; connections come behind.
const BELL: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONN: u64 = 2;

/// What all threads of a target share.
#[derive(Debug)]
pub(super) struct Common<S> {
    pub(super) service: S,
    pub(super) hall: Hall,
    pub(super) over: AtomicBool,
}

impl<S> Common<S> {
    pub(super) fn new(hall: Hall, service: S) -> Self {
        Self {
            service,
            hall,
            over: AtomicBool::new(false),
        }
    }
}

/// What a service may know of the threads that run it: who is there, and how to wake them.
#[derive(Clone, Debug)]
pub struct Hall(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hatches: Vec<Hatch>,
    /// Connections that are open now.
    open: AtomicUsize,
}

impl Hall {
    /// That of `workers` threads.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(super) fn new(workers: usize) -> io::Result<Self> {
        let hatches = (0..workers).map(|_| Hatch::new());
        Ok(Self(Arc::new(Inner {
            hatches: hatches.collect::<io::Result<_>>()?,
            open: AtomicUsize::new(0),
        })))
    }

    /// Something came that held requests wait for: they are looked at again. To be called after
    /// the change can be seen; costs a look at each thread's number when nothing is held.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        for hatch in &self.0.hatches {
            if hatch.held.load(Ordering::SeqCst) > 0 {
                hatch.ring();
            }
        }
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(super) fn ring_all(&self) {
        self.0.hatches.iter().for_each(Hatch::ring);
    }

    fn left(&self, connections: usize) {
        self.0.open.fetch_sub(connections, Ordering::Relaxed);
    }
}

/// Where a worker is handed its connections.
#[derive(Debug)]
struct Hatch {
    dealt: Mutex<Vec<Socket>>,
    bell: OwnedFd,
    /// Requests that wait for the bell.
    held: AtomicUsize,
}

impl Hatch {
    fn new() -> io::Result<Self> {
        Ok(Self {
            dealt: Mutex::default(),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            held: AtomicUsize::new(0),
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
pub(super) struct Worker<S: Service> {
    number: usize,
    common: Arc<Common<S>>,
    epoll: OwnedFd,
    listener: Option<Socket>,
}

/// Its connections. Sessions need not be able to leave the thread.
#[derive(Debug)]
struct Desk<S: Service> {
    conns: HashMap<u64, Conn<S::Session>>,
    /// Those whose request is answered later, and when at the latest.
    held: HashMap<u64, Instant>,
    next_id: u64,
    next_hand: usize,
    scratch: Vec<u8>,
}

impl<S: Service> Worker<S> {
    pub(super) fn new(
        number: usize,
        common: Arc<Common<S>>,
        listener: Option<Socket>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = &common.hall.0.hatches[number].bell;
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
        })
    }

    pub(super) fn run(self) {
        let mut desk = Desk {
            conns: HashMap::new(),
            held: HashMap::new(),
            next_id: FIRST_CONN,
            next_hand: 0,
            scratch: vec![0; SCRATCH],
        };
        let mut events = Vec::with_capacity(EVENTS);
        while !self.common.over.load(Ordering::Acquire) {
            events.clear();
            let timeout = desk.patience(Instant::now());
            let spare = rustix::buffer::spare_capacity(&mut events);
            // Interrupted: look again.
            if epoll::wait(&self.epoll, spare, timeout.as_ref()).is_err() {
                continue;
            }
            let mut rung = false;
            for event in &events {
                match event.data.u64() {
                    BELL => {
                        rung = true;
                        for socket in self.hatch().take() {
                            self.adopt(&mut desk, socket);
                        }
                    }
                    LISTENER => self.accept(&mut desk),
                    id => self.work(&mut desk, id, event.flags),
                }
            }
            for id in desk.due(rung, Instant::now()) {
                self.work(&mut desk, id, EventFlags::empty());
            }
        }
        self.common.hall.left(desk.conns.len());
    }

    fn hatch(&self) -> &Hatch {
        &self.common.hall.0.hatches[self.number]
    }

    fn accept(&self, desk: &mut Desk<S>) {
        while let Some(listener) = &self.listener {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return std::thread::sleep(PAUSE),
            };
            let hatches = &self.common.hall.0.hatches;
            let hand = desk.next_hand % hatches.len();
            desk.next_hand += 1;
            if hand == self.number {
                self.adopt(desk, socket);
            } else {
                hatches[hand].give(socket);
            }
        }
    }

    fn adopt(&self, desk: &mut Desk<S>, socket: Socket) {
        // Unix sockets have no such option.
        let _ = socket.set_tcp_nodelay(true);
        let open = self.common.hall.0.open.fetch_add(1, Ordering::Relaxed);
        let local = local_of(&socket);
        let session = match self.common.service.open(self.number, local, open) {
            Ok(session) => session,
            Err(text) => {
                self.common.hall.left(1);
                let _ = (&socket).write(text);
                return;
            }
        };
        let id = desk.next_id;
        desk.next_id += 1;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let watched = socket.set_nonblocking(true).and_then(|()| {
            let data = EventData::new_u64(id);
            Ok(epoll::add(&self.epoll, &socket, data, flags)?)
        });
        if watched.is_err() {
            // Closed: the peer sees it.
            self.common.hall.left(1);
            return;
        }
        desk.conns.insert(id, Conn::new(socket, session));
    }

    fn work(&self, desk: &mut Desk<S>, id: u64, flags: EventFlags) {
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let was_held = desk.held.remove(&id).is_some();
        let mut fate = self.look(desk, id, flags.intersects(gone));
        if let Some(Fate::Held(until)) = fate {
            desk.held.insert(id, until);
            self.count_held(desk);
            if was_held {
                return;
            }
            // What came before the number was seen rang no bell.
            fence(Ordering::SeqCst);
            fate = self.look(desk, id, false);
            if let Some(Fate::Held(until)) = fate {
                desk.held.insert(id, until);
                return;
            }
            desk.held.remove(&id);
            self.count_held(desk);
        } else if was_held {
            self.count_held(desk);
        }
        if fate == Some(Fate::Closed)
            && let Some(conn) = desk.conns.remove(&id)
        {
            let _ = epoll::delete(&self.epoll, conn.as_fd());
            self.common.hall.left(1);
        }
    }

    fn look(&self, desk: &mut Desk<S>, id: u64, hang_up: bool) -> Option<Fate> {
        let conn = desk.conns.get_mut(&id)?;
        Some(conn.work(&mut Visit {
            service: &self.common.service,
            worker: self.number,
            now: Instant::now(),
            scratch: &mut desk.scratch,
            hang_up,
        }))
    }

    fn count_held(&self, desk: &Desk<S>) {
        self.hatch().held.store(desk.held.len(), Ordering::SeqCst);
    }
}

impl<S: Service> Desk<S> {
    /// How long nothing is due; `None`: for ever.
    fn patience(&self, now: Instant) -> Option<Timespec> {
        let first = self.held.values().min()?;
        Timespec::try_from(first.saturating_duration_since(now)).ok()
    }

    /// Held requests to look at.
    fn due(&self, rung: bool, now: Instant) -> Vec<u64> {
        let held = self.held.iter();
        held.filter(|(_, until)| rung || **until <= now)
            .map(|(id, _)| *id)
            .collect()
    }
}
