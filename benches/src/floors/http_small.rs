//! The floor of small replies: one request in flight on each connection.

use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::time::Instant;

use super::Task;
use super::http::Ask;
use super::pace::Pace;
use crate::sys;

/// So long at most until the clock is looked at again, ns.
const LOOK_NS: u64 = 50_000_000;

/// Runs until the end and counts the replies.
pub(super) fn run(mut task: Task<'_>, ask: &Ask) -> io::Result<u64> {
    let fds = task.net.fds();
    let request = &ask.request;
    let reply_bytes = ask.reply_bytes;
    let mut got = vec![0_usize; fds.len()];
    let mut idle: Vec<RawFd> = fds.clone();
    if task.pace.is_none() {
        for fd in idle.drain(..) {
            sys::send(fd, request)?;
        }
    }
    let mut buffer = vec![0; 64 * 1024];
    if reply_bytes > buffer.len() {
        let most = buffer.len();
        return Err(io::Error::other(format!(
            "a reply of {reply_bytes} bytes is not small: at most {most}, or a bulk floor"
        )));
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
            let id = event.u64 as usize;
            let fd = fds[id];
            match sys::receive(fd, &mut buffer) {
                Ok(0) => return Err(io::Error::other("closed by the target")),
                Ok(bytes) => got[id] += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if got[id] == reply_bytes {
                got[id] = 0;
                replies += 1;
                if task.pace.is_some() {
                    idle.push(fd);
                } else {
                    sys::send(fd, request)?;
                }
            }
        }
    }
}

/// Sends what is due on idle connections; how long to wait then, ns.
pub(super) fn release(
    pace: &mut Pace,
    now: Instant,
    idle: &mut Vec<RawFd>,
    mut send: impl FnMut(RawFd) -> io::Result<usize>,
) -> io::Result<u64> {
    while !idle.is_empty() && pace.take(now) {
        if let Some(fd) = idle.pop() {
            send(fd)?;
        }
    }
    let due_ns = if idle.is_empty() {
        LOOK_NS
    } else {
        pace.next_ns(now)
    };
    Ok(due_ns.min(LOOK_NS))
}
