//! The floor of small replies with several requests in flight on each connection.
//!
//! For every reply that has come whole one request follows, all of them in one send.

use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::time::Instant;

use super::Task;
use super::http::Ask;
use crate::sys;

/// So long at most until the clock is looked at again, ns.
const LOOK_NS: u64 = 50_000_000;

/// Runs until the end and counts the replies.
pub(super) fn run(task: Task<'_>, ask: &Ask) -> io::Result<u64> {
    let Task {
        net, depth, until, ..
    } = task;
    let fds = net.fds();
    let one = ask.request.len();
    let batch = ask.request.repeat(depth);
    let reply_bytes = ask.reply_bytes;
    let mut got = vec![0_usize; fds.len()];
    for &fd in &fds {
        send(fd, &batch)?;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut replies = 0;
    let (epoll, events) = net.waiter();
    while Instant::now() < until {
        let count = sys::wait(epoll, events, Some(LOOK_NS))?;
        for event in &events[..count] {
            let id = event.u64 as usize;
            loop {
                let bytes = match sys::receive(fds[id], &mut buffer) {
                    Ok(0) => return Err(io::Error::other("closed by the target")),
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                got[id] += bytes;
                let whole = got[id] / reply_bytes;
                got[id] %= reply_bytes;
                replies += whole as u64;
                if whole > 0 {
                    send(fds[id], &batch[..whole * one])?;
                }
                if bytes < buffer.len() {
                    break;
                }
            }
        }
    }
    Ok(replies)
}

/// A batch is far smaller than a socket's buffer; should it not fit, the floor has no place for
/// the rest.
#[inline]
pub(super) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    let sent = sys::send(fd, bytes)?;
    if sent == bytes.len() {
        return Ok(());
    }
    let all = bytes.len();
    Err(io::Error::other(format!(
        "{sent} of {all} bytes fit into the socket: choose a smaller --depth"
    )))
}
