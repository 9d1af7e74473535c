//! How a worker sleeps: until an event, or until a point in time.
//!
//! A wait with a timeout programs a timer in the kernel and takes it back when an event comes first,
//! which it nearly always does. So coarse waits, those for sweeps and ends, have one `timerfd` that is
//! armed once and left alone until it fires; only waits that must be precise bring their own
//! timeout. Nothing here may look at sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::sys::{self, EpollEvent};
use crate::time::Tick;

/// The timer's id among the events.
pub(super) const TIMER_ID: u64 = u64::MAX;

/// Sleeps on an epoll instance.
#[derive(Debug)]
pub(super) struct Sleeper {
    timer: OwnedFd,
    /// When the timer fires; [`Tick::NEVER`] before it was armed.
    armed: Tick,
    /// Whether `epoll_pwait2` is there.
    pwait2: bool,
}

impl Sleeper {
    /// For this instance. The kernel is asked once: filtered or missing, `epoll_pwait2` fails with
    /// anything but a timeout.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(super) fn new(epoll: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = rustix::time::TimerfdFlags::CLOEXEC | rustix::time::TimerfdFlags::NONBLOCK;
        let clock = rustix::time::TimerfdClockId::Monotonic;
        let timer = rustix::time::timerfd_create(clock, flags)?;
        // Edge-triggered: it need not be read.
        let interest = (libc::EPOLLIN | libc::EPOLLET) as u32;
        sys::watch(epoll, timer.as_raw_fd(), interest, TIMER_ID)?;
        let mut one = [EpollEvent { events: 0, u64: 0 }];
        Ok(Self {
            timer,
            armed: Tick::NEVER,
            pwait2: sys::wait_ns(epoll, &mut one, 0).is_ok(),
        })
    }

    /// The name in the document.
    pub(super) fn name(&self) -> &'static str {
        if self.pwait2 {
            "epoll_pwait2"
        } else {
            "timerfd"
        }
    }

    /// Without `epoll_pwait2`, as where it is filtered.
    #[cfg(test)]
    pub(super) fn without_pwait2(&mut self) {
        self.pwait2 = false;
    }

    /// Sleeps until `until`, as exactly as the kernel can.
    pub(super) fn precise(
        &mut self,
        epoll: BorrowedFd<'_>,
        events: &mut [EpollEvent],
        now: Tick,
        until: Tick,
    ) -> io::Result<usize> {
        if self.pwait2 {
            return sys::wait_ns(epoll, events, sys::until_ns(now, until));
        }
        self.arm(now, until)?;
        sys::wait_ms(epoll, events, -1)
    }

    /// Sleeps until `until` at the latest; it may wake up earlier with nothing, at a time that was
    /// asked for before.
    #[inline]
    pub(super) fn coarse(
        &mut self,
        epoll: BorrowedFd<'_>,
        events: &mut [EpollEvent],
        now: Tick,
        until: Tick,
    ) -> io::Result<usize> {
        if self.armed <= now || self.armed > until {
            self.arm(now, until)?;
        }
        sys::wait_ms(epoll, events, -1)
    }

    fn arm(&mut self, now: Tick, until: Tick) -> io::Result<()> {
        let left_ns = sys::until_ns(now, until);
        sys::arm_timer(self.timer.as_fd(), left_ns)?;
        self.armed = now.after(left_ns);
        Ok(())
    }
}
