//! The system calls of the drivers that no safe wrapper offers.
//!
//! The only `unsafe` code of the project. Each function is one call
//! with its arguments checked; nothing here may decide anything.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::{Buffers, TcpInfo};
use crate::time::Tick;

pub(super) use libc::epoll_event as EpollEvent;

/// `EPOLLIN`, `EPOLLOUT`, `EPOLLRDHUP`, edge-triggered: registered once, never changed.
pub(super) const INTEREST: u32 =
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `epoll_ctl(2)`: watches `fd` for `events`.
pub(super) fn watch(epoll: BorrowedFd<'_>, fd: RawFd, events: u32, id: u64) -> io::Result<()> {
    let mut event = EpollEvent { events, u64: id };
    // SAFETY: `event` outlives the call; the kernel checks both descriptors.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
    Ok(())
}

/// `epoll_pwait2(2)` with a timeout in ns. By number: the C library's wrapper is younger than the
/// kernels this runs on.
pub(super) fn wait_ns(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    timeout_ns: u64,
) -> io::Result<usize> {
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: `events` is writable for its whole length, `timeout` is read only, no signal mask.
    let result = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX),
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    check_len(result as isize)
}

/// `epoll_wait(2)`; −1 waits without end, 0 only looks.
pub(super) fn wait_ms(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    timeout_ms: i32,
) -> io::Result<usize> {
    let length = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `events` is writable for `length` entries.
    let result =
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), length, timeout_ms) };
    Ok(check(result)? as usize)
}

/// `recv(2)` without any flag.
#[inline]
pub(super) fn receive(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is writable for its whole length.
    check_len(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) })
}

/// `recv(2)` with `MSG_TRUNC`: TCP throws the bytes away (tcp(7)); other sockets may copy them,
/// so the scratch buffer is real.
#[inline]
pub(super) fn discard(fd: RawFd, scratch: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_TRUNC;
    // SAFETY: `scratch` is writable for its whole length, should the kernel copy after all.
    check_len(unsafe { libc::recv(fd, scratch.as_mut_ptr().cast(), scratch.len(), flags) })
}

/// `send(2)` without a signal; `more`: another piece follows at once.
#[inline]
pub(super) fn send(fd: RawFd, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: `bytes` is readable for its whole length.
    check_len(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// `sendfile(2)` from `offset` of `file`.
pub(super) fn send_file(
    fd: RawFd,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = offset as libc::off_t;
    // SAFETY: `offset` outlives the call; the kernel checks both descriptors.
    check_len(unsafe { libc::sendfile(fd, file.as_raw_fd(), &raw mut offset, count) })
}

fn set_int(fd: RawFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a live int of `length` bytes.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) })?;
    Ok(())
}

fn get_int(fd: RawFd, level: i32, name: i32) -> Option<u64> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` and `length` are live and of the size said.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value as u64)
}

/// `SO_RCVLOWAT` (socket(7)): how many bytes make the socket readable.
pub(super) fn set_low_water(fd: RawFd, bytes: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_int(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value)
}

/// `IP_BIND_ADDRESS_NO_PORT` (ip(7)): the port is chosen at `connect()`.
pub(super) fn bind_address_no_port(socket: &socket2::Socket) -> io::Result<()> {
    set_int(
        socket.as_raw_fd(),
        libc::SOL_IP,
        libc::IP_BIND_ADDRESS_NO_PORT,
        1,
    )
}

/// The buffers the kernel gave a socket.
pub(super) fn buffers(fd: RawFd) -> Buffers {
    Buffers {
        receive: get_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF),
        send: get_int(fd, libc::SOL_SOCKET, libc::SO_SNDBUF),
        window_clamp: get_int(fd, libc::SOL_TCP, libc::TCP_WINDOW_CLAMP),
    }
}

/// `TCP_INFO` (tcp(7)); `None` where the socket is no TCP one.
pub(super) fn tcp_info(fd: RawFd) -> Option<TcpInfo> {
    // SAFETY: tcp_info is plain integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` and `length` are live and of the size said; a shorter answer leaves zeros.
    let result = unsafe {
        let place = (&raw mut info).cast();
        libc::getsockopt(fd, libc::SOL_TCP, libc::TCP_INFO, place, &raw mut length)
    };
    (result == 0).then(|| TcpInfo {
        rtt_ns: u64::from(info.tcpi_rtt) * 1000,
        retransmits: u64::from(info.tcpi_total_retrans),
    })
}

/// `PR_SET_TIMERSLACK` (prctl(2)) for the calling thread: its sleeps are rounded up by this much.
pub(super) fn set_timer_slack_ns(ns: u64) -> bool {
    // SAFETY: the call takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, ns, 0, 0, 0) == 0 }
}

/// Arms a `timerfd` (timerfd_settime(2)) `ns` from now.
pub(super) fn arm_timer(fd: BorrowedFd<'_>, ns: u64) -> io::Result<()> {
    let ns = ns.max(1);
    let spec = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: (ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        },
    };
    // SAFETY: `spec` is live; no old value is asked for.
    check(unsafe {
        libc::timerfd_settime(fd.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut())
    })?;
    Ok(())
}

/// Nanoseconds from `now` to `until`, capped at a minute so that no timespec overflows.
pub(super) fn until_ns(now: Tick, until: Tick) -> u64 {
    until.since(now).min(60_000_000_000)
}

/// `getrusage(2)` of the calling thread: user and system time, ns.
pub(super) fn thread_cpu_ns() -> Option<(u64, u64)> {
    // SAFETY: rusage is plain integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is live and writable.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    (result == 0).then(|| (ns(usage.ru_utime), ns(usage.ru_stime)))
}
