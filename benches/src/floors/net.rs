//! The connections of a floor, of whatever protocol.
//!
//! Set-up only: nothing of this runs while a floor is measured.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::sys::{self, EpollEvent};

/// Events taken in one turn.
const EVENTS: usize = 256;
/// How long a target may take for one step of the set-up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connected, non-blocking, watched.
pub(crate) struct Connections {
    epoll: OwnedFd,
    sockets: Vec<TcpStream>,
    events: Vec<EpollEvent>,
}

impl Connections {
    /// Makes `count` connections.
    pub(crate) fn open(addr: SocketAddr, count: usize) -> io::Result<Self> {
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
        })
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

/// A blocking connection with a limit to its patience.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&addr, PATIENCE)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}
