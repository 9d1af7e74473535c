//! The floor of large replies: copied, thrown away in the kernel, or that with fewer wake-ups.

use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::time::Instant;

use super::Task;
use super::http::Ask;
use super::http_small::release;
use crate::sys;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Copied into one buffer, again and again.
    Copy,
    /// `MSG_TRUNC`.
    Trunc,
    /// `MSG_TRUNC` and `SO_RCVLOWAT`.
    TruncLowat,
}

/// A wake-up is worth so many bytes.
const LOW_WATER: usize = 256 * 1024;
/// So long at most until the clock is looked at again, ns.
const LOOK_NS: u64 = 50_000_000;

struct Conn {
    fd: RawFd,
    left: usize,
    low_water: usize,
}

/// Runs until the end and counts the replies.
pub(super) fn run(mut task: Task<'_>, ask: &Ask, mode: Mode) -> io::Result<u64> {
    let reply_bytes = ask.reply_bytes;
    let request = &ask.request;
    let mut idle = task.net.fds();
    let fresh = |fd: &RawFd| Conn {
        fd: *fd,
        left: reply_bytes,
        low_water: 1,
    };
    let mut conns: Vec<Conn> = idle.iter().map(fresh).collect();
    // Discarding touches no page of it, so it may hold a whole reply.
    let buffer_bytes = if mode == Mode::Copy {
        task.buffer_bytes
    } else {
        reply_bytes
    };
    let mut buffer = vec![0; buffer_bytes];
    if task.pace.is_none() {
        for fd in idle.drain(..) {
            sys::send(fd, request)?;
        }
    }
    let mut replies = 0;
    let (epoll, events) = task.net.waiter();
    loop {
        let now = Instant::now();
        if now >= task.until {
            return Ok(replies);
        }
        let timeout_ns = match &mut task.pace {
            None => LOOK_NS,
            Some(pace) => release(pace, now, &mut idle, |fd| sys::send(fd, request))?,
        };
        let count = sys::wait(epoll, events, Some(timeout_ns))?;
        for event in &events[..count] {
            let conn = &mut conns[event.u64 as usize];
            if !take(conn, mode, &mut buffer)? {
                continue;
            }
            conn.left = reply_bytes;
            replies += 1;
            low_water(conn, mode)?;
            if task.pace.is_some() {
                idle.push(conn.fd);
            } else {
                sys::send(conn.fd, request)?;
            }
        }
    }
}

/// Takes what is there; whether the reply is whole.
fn take(conn: &mut Conn, mode: Mode, buffer: &mut [u8]) -> io::Result<bool> {
    loop {
        let want = conn.left.min(buffer.len());
        let into = &mut buffer[..want];
        let took = if mode == Mode::Copy {
            sys::receive(conn.fd, into)
        } else {
            sys::discard(conn.fd, into)
        };
        match took {
            Ok(0) => return Err(io::Error::other("closed by the target")),
            Ok(bytes) => conn.left -= bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if conn.left == 0 {
            return Ok(true);
        }
        if took.is_ok_and(|bytes| bytes < want) {
            low_water(conn, mode)?;
            return Ok(false);
        }
    }
}

/// Asks to be woken up for as much as is worth it. The kernel looks again at what is there.
fn low_water(conn: &mut Conn, mode: Mode) -> io::Result<()> {
    let wanted = conn.left.min(LOW_WATER);
    if mode == Mode::TruncLowat && wanted != conn.low_water {
        sys::set_low_water(conn.fd, wanted)?;
        conn.low_water = wanted;
    }
    Ok(())
}
