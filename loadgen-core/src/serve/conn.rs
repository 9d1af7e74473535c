//! One socket of a target: its buffers and how they move.
//!
//! Both buffers are bounded: input by what a session asks for before it says no, output by a limit
//! above which nothing more is served until the client has read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::Socket;

use super::send::Sent;
use super::{Service, Step};
use crate::buffer::Outbox;

/// Room for a receive.
const RECEIVE: usize = 64 * 1024;

/// Replies that wait for the client, above which no further request is served.
const OUTPUT_MAX: usize = 256 * 1024;

/// A buffer that grew beyond this for one large item is given back.
const KEEP: usize = 1024 * 1024;

/// Bytes nobody needs are thrown away in the kernel from so many on; fewer come along with what is
/// received next.
const DISCARD: u64 = 32 * 1024;

/// The most that one call throws away.
pub(super) const SCRATCH: usize = 1024 * 1024;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its client.
    Open,
    /// Its request is answered later: see [`Step::Hold`].
    Held(Instant),
    /// It is over.
    Closed,
}

/// What a connection needs of its thread for one look at it.
pub(super) struct Visit<'a, S> {
    pub(super) service: &'a S,
    pub(super) worker: usize,
    pub(super) now: Instant,
    /// Where bytes go that nobody needs; [`SCRATCH`] of it.
    pub(super) scratch: &'a mut [u8],
    /// The client was seen to close, so its end is there to be read.
    pub(super) hang_up: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn<T> {
    socket: Socket,
    session: T,
    input: Vec<u8>,
    /// Bytes of `input` that are done with.
    eaten: usize,
    /// Bytes behind `input` that nobody needs.
    skip: u64,
    output: Outbox,
    /// Bytes of `output`, and how far it is written.
    pending: usize,
    sent: Sent,
    /// What the last step said, when it asked for nothing to eat.
    verdict: Step,
    /// The client sends nothing more.
    ended: bool,
}

impl<T> Conn<T> {
    pub(super) fn new(socket: Socket, session: T) -> Self {
        Self {
            socket,
            session,
            input: Vec::with_capacity(RECEIVE),
            eaten: 0,
            skip: 0,
            output: Outbox::default(),
            pending: 0,
            sent: Sent::default(),
            verdict: Step::Short,
            ended: false,
        }
    }

    /// Does all that can be done now. Events are edges, so nothing may be left over.
    pub(super) fn work<S: Service<Session = T>>(&mut self, visit: &mut Visit<'_, S>) -> Fate {
        let mut drained = false;
        loop {
            let more = self.serve(visit);
            let Ok(flushed) = self.write(visit) else {
                return Fate::Closed;
            };
            if !flushed {
                return Fate::Open;
            }
            match self.verdict {
                Step::Close => return Fate::Closed,
                Step::Hold(until) if !visit.hang_up => return Fate::Held(until),
                // A client that is gone waits for nothing.
                Step::Hold(_) if self.ended => return Fate::Closed,
                _ if more => continue,
                _ if self.ended => return Fate::Closed,
                _ => {}
            }
            // A receive that left room took all there was: what comes later is an edge of its own.
            if drained && !visit.hang_up {
                return Fate::Open;
            }
            match self.read(visit) {
                Ok((0, _)) => self.ended = true,
                Ok((received, room)) => drained = received < room,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.waiting(),
                Err(_) => return Fate::Closed,
            }
        }
    }

    fn waiting(&self) -> Fate {
        match self.verdict {
            Step::Hold(until) => Fate::Held(until),
            _ => Fate::Open,
        }
    }

    /// Serves what is there; whether it stopped because of its output and not for want of input.
    fn serve<S: Service<Session = T>>(&mut self, visit: &Visit<'_, S>) -> bool {
        if self.verdict == Step::Close {
            return false;
        }
        self.verdict = Step::Short;
        while self.pending < OUTPUT_MAX {
            let there = self.input.len() - self.eaten;
            let skipped = self.skip.min(there as u64);
            self.eaten += skipped as usize;
            self.skip -= skipped;
            let mut step = Step::Short;
            if self.skip == 0 {
                let before = Fill::of(&self.output);
                let input = &self.input[self.eaten..];
                let (session, out) = (&mut self.session, &mut self.output);
                step = visit
                    .service
                    .step(visit.worker, session, input, visit.now, out);
                self.pending += before.grown(&self.output);
            }
            let Step::Ate { bytes, discard } = step else {
                self.verdict = step;
                self.compact();
                return false;
            };
            self.eaten = (self.eaten + bytes).min(self.input.len());
            self.skip = discard;
        }
        true
    }

    /// What is left needs more bytes, and those have to find room.
    fn compact(&mut self) {
        self.input.drain(..self.eaten);
        self.eaten = 0;
        if self.input.is_empty() && self.input.capacity() > KEEP {
            self.input = Vec::with_capacity(RECEIVE);
        }
    }

    /// Whether everything is written.
    fn write<S: Service<Session = T>>(&mut self, visit: &Visit<'_, S>) -> io::Result<bool> {
        while !self.sent.is_all(&self.output) {
            match self.sent.send(self.socket.as_fd(), &self.output) {
                Ok(sent) => visit.service.moved(visit.worker, 0, sent as u64),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        self.output.clear();
        self.pending = 0;
        self.sent = Sent::default();
        if self.output.copied_mut().capacity() > KEEP {
            self.output = Outbox::default();
        }
        Ok(true)
    }

    /// Bytes received, and the room there was.
    fn read<S: Service<Session = T>>(
        &mut self,
        visit: &mut Visit<'_, S>,
    ) -> io::Result<(usize, usize)> {
        let in_kernel = self.skip >= DISCARD && self.input.is_empty();
        let room = if in_kernel {
            self.skip.min(visit.scratch.len() as u64) as usize
        } else {
            self.input.reserve(RECEIVE);
            self.input.capacity() - self.input.len()
        };
        loop {
            let received = if in_kernel {
                recv(&self.socket, &mut visit.scratch[..room], RecvFlags::TRUNC)
                    .map(|(_, received)| received)
            } else {
                let spare = rustix::buffer::spare_capacity(&mut self.input);
                recv(&self.socket, spare, RecvFlags::empty()).map(|(_, received)| received)
            };
            match received {
                Ok(received) => {
                    if in_kernel {
                        self.skip -= (received as u64).min(self.skip);
                    }
                    visit.service.moved(visit.worker, received as u64, 0);
                    return Ok((received, room));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How full an outbox is, so that what was added need not be counted from its start.
#[derive(Clone, Copy)]
struct Fill {
    copied: usize,
    inserts: usize,
}

impl Fill {
    fn of(out: &Outbox) -> Self {
        Self {
            copied: out.copied().len(),
            inserts: out.inserts().len(),
        }
    }

    /// Bytes added since.
    fn grown(self, out: &Outbox) -> usize {
        let added = out.inserts().get(self.inserts..).unwrap_or_default();
        let regions: usize = added.iter().map(|i| i.region.bytes().len()).sum();
        out.copied().len().saturating_sub(self.copied) + regions
    }
}

impl<T> AsFd for Conn<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
