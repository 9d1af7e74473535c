//! The connections of a floor, and how large its replies are.
//!
//! Set-up only: nothing of this runs while a floor is measured.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::sys::{self, EpollEvent};

/// Events taken in one turn.
const EVENTS: usize = 256;

/// Connected, non-blocking, watched.
pub(crate) struct Connections {
    epoll: OwnedFd,
    sockets: Vec<TcpStream>,
    events: Vec<EpollEvent>,
    /// One request.
    pub(crate) request: Vec<u8>,
    /// One reply, head and body.
    pub(crate) reply_bytes: usize,
}

impl Connections {
    /// Learns the size of the reply to a GET of `path`, then makes `count` connections.
    pub(crate) fn open(addr: SocketAddr, path: &str, count: usize) -> io::Result<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let reply_bytes = learn(&mut connect(addr)?, &request)?;
        let epoll = sys::epoll()?;
        let mut sockets = Vec::with_capacity(count);
        for id in 0..count {
            let socket = connect(addr)?;
            socket.set_nonblocking(true)?;
            sys::watch(epoll.as_fd(), socket.as_raw_fd(), id as u64)?;
            sockets.push(socket);
        }
        Ok(Self {
            epoll,
            sockets,
            events: vec![EpollEvent { events: 0, u64: 0 }; EVENTS],
            request,
            reply_bytes,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Their descriptors.
    pub(crate) fn fds(&self) -> Vec<RawFd> {
        self.sockets.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// The two things a loop waits with, to be borrowed apart from the rest.
    pub(crate) fn waiter(&mut self) -> (BorrowedFd<'_>, &mut [EpollEvent]) {
        (self.epoll.as_fd(), &mut self.events)
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Asks once and reads one reply. All further ones must be as long.
fn learn(socket: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(request)?;
    let mut reply = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = socket.read(&mut piece)?;
        reply.extend_from_slice(&piece[..count]);
        if let Some(bytes) = size(&reply)? {
            return Ok(bytes);
        }
        if count == 0 {
            return Err(io::Error::other("closed before its first reply was whole"));
        }
    }
}

/// Head and body of the reply that `bytes` begin with, once its head has come.
fn size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        let first = head.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("not a 200: {first:?}")));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let known = name.eq_ignore_ascii_case("content-length");
        known.then(|| value.trim().parse::<usize>().ok())?
    });
    let body = length.ok_or_else(|| io::Error::other("a reply without Content-Length"))?;
    Ok(Some(end + 4 + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_as_long_as_its_head_says() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxx";
        assert_eq!(size(reply).unwrap(), Some(reply.len() + 8));
        assert_eq!(size(&reply[..20]).unwrap(), None);
        assert!(size(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n").is_err());
        assert!(size(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n").is_err());
    }
}
