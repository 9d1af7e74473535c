//! One socket of the target: its buffers and how they move.
//!
//! Both buffers are bounded: input by the largest request there can be, output by a limit above
//! which nothing more is served until the client has read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::Socket;

use super::serve::{Desk, Session};
use super::stats::Counter;

/// Room for a receive.
const RECEIVE: usize = 64 * 1024;

/// Replies that wait for the client, above which no further request is served.
const OUTPUT_MAX: usize = 256 * 1024;

/// A buffer that grew beyond this for one large item is given back.
const KEEP: usize = 1024 * 1024;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its client.
    Open,
    /// It is over.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    socket: Socket,
    session: Session,
    input: Vec<u8>,
    /// Bytes of `input` that are done with.
    eaten: usize,
    output: Vec<u8>,
    /// Bytes of `output` that are written.
    written: usize,
    /// The client sends nothing more.
    ended: bool,
}

impl Conn {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            session: Session::default(),
            input: Vec::with_capacity(RECEIVE),
            eaten: 0,
            output: Vec::new(),
            written: 0,
            ended: false,
        }
    }

    /// Does all that can be done now. Events are edges, so nothing may be left over; `hang_up`: the
    /// client was seen to close, so its end is there to be read.
    pub(super) fn work(&mut self, desk: Desk<'_>, hang_up: bool) -> Fate {
        let mut drained = false;
        loop {
            self.serve(desk);
            let Ok(flushed) = self.write(desk) else {
                return Fate::Closed;
            };
            if !flushed {
                return Fate::Open;
            }
            if self.session.is_closing() {
                return Fate::Closed;
            }
            if self.has_more_to_serve() {
                continue;
            }
            if self.ended {
                return Fate::Closed;
            }
            // A receive that left room took all there was: what comes later is an edge of its own.
            if drained && !hang_up {
                return Fate::Open;
            }
            match self.read(desk) {
                Ok((0, _)) => self.ended = true,
                Ok((received, room)) => drained = received < room,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Open,
                Err(_) => return Fate::Closed,
            }
        }
    }

    fn serve(&mut self, desk: Desk<'_>) {
        while !self.session.is_closing() && self.output.len() < OUTPUT_MAX {
            let input = &self.input[self.eaten..];
            let step = self.session.step(desk, input, &mut self.output);
            if step == 0 {
                // What is left needs more bytes, and those have to find room.
                self.input.drain(..self.eaten);
                self.eaten = 0;
                if self.input.is_empty() && self.input.capacity() > KEEP {
                    self.input = Vec::with_capacity(RECEIVE);
                }
                return;
            }
            self.eaten += step;
        }
    }

    /// Serving stopped because of its output, not for want of input.
    fn has_more_to_serve(&self) -> bool {
        self.eaten > 0
    }

    /// Whether everything is written.
    fn write(&mut self, desk: Desk<'_>) -> io::Result<bool> {
        while self.written < self.output.len() {
            match send(
                &self.socket,
                &self.output[self.written..],
                SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => {
                    self.written += sent;
                    desk.counters.add(Counter::BytesWritten, sent as u64);
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.written = 0;
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        Ok(true)
    }

    /// Bytes received, and the room there was.
    fn read(&mut self, desk: Desk<'_>) -> io::Result<(usize, usize)> {
        self.input.reserve(RECEIVE);
        let room = self.input.capacity() - self.input.len();
        loop {
            let spare = rustix::buffer::spare_capacity(&mut self.input);
            match recv(&self.socket, spare, RecvFlags::empty()) {
                Ok((received, _)) => {
                    desk.counters.add(Counter::BytesRead, received as u64);
                    return Ok((received, room));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
