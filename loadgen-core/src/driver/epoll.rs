//! The driver for real sockets: edge-triggered epoll.
//!
//! A socket is registered once and never modified. One receive a readable event is the rule: a
//! receive that returned less than was asked for has emptied the socket, and the next edge tells
//! of more. Nothing here may allocate on the way of a request.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::Socket;

use super::sleep::{Sleeper, TIMER_ID};
use super::sockets::{SocketOptions, begin_connect, cause_of};
use super::sys::{self, EpollEvent};
use super::{Buffers, CpuUsed, Driver, DriverStats, Event, Received, Sent, Slot, TcpInfo};
use crate::buffer::Outbox;
use crate::protocol::Cause;
use crate::time::{Clock, Tick};
use crate::workload::Endpoint;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// A precise wait sleeps until this long before its end, then turns: `epoll_pwait2` oversleeps
/// 25–39 µs.
const SPIN_NS: u64 = 50_000;
/// Where discarded bytes would go if the kernel copied them.
const SCRATCH_BYTES: usize = 1024 * 1024;
/// One wake-up for this much, where it is worth a system call to say so.
const LOW_WATER_BYTES: u32 = 256 * 1024;
/// Below this the low-water mark is not worth its system calls.
const LOW_WATER_FROM_BYTES: u64 = 128 * 1024;
/// Written in front of the scratch buffer: a kernel that copies changes it.
const SENTINEL: [u8; 16] = *b"\xa5loadgen probe\x5a\x3c";

/// One connection.
#[derive(Debug, Default)]
struct Conn {
    socket: Option<Socket>,
    fd: RawFd,
    /// Events of an earlier connection in the same slot carry an earlier generation.
    generation: u32,
    connecting: bool,
    /// The peer has closed its side: read on to the end.
    hangup: bool,
    /// In `again`.
    queued: bool,
    skip: u64,
    low_water: u32,
    /// Nothing came since the last sweep.
    quiet: bool,
    unsent: Outbox,
    unsent_done: usize,
}

/// Sockets of one worker.
#[derive(Debug)]
pub struct Epoll {
    clock: Clock,
    epoll: OwnedFd,
    events: Vec<EpollEvent>,
    next_event: usize,
    conns: Vec<Conn>,
    /// Slots that are readable by our own knowledge.
    again: VecDeque<Slot>,
    /// Events that no system call will bring.
    made: VecDeque<(Slot, Event)>,
    scratch: Vec<u8>,
    options: SocketOptions,
    /// The worker's first connection and how many there are in the run: local ports are dealt by
    /// both.
    first: u64,
    step: u64,
    sleeper: Sleeper,
    spin_ns: u64,
    low_water: bool,
    in_kernel: Option<bool>,
}

impl Epoll {
    /// A driver for the calling thread, whose timer slack is set to 1 ns. `first` is the run-wide
    /// number of its slot 0, `total` the number of connections of the run.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance.
    pub fn new(
        clock: Clock,
        options: SocketOptions,
        first: u64,
        total: u64,
    ) -> std::io::Result<Self> {
        let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?;
        let sleeper = Sleeper::new(epoll.as_fd())?;
        sys::set_timer_slack_ns(1);
        let mut driver = Self {
            clock,
            epoll,
            events: Vec::with_capacity(EVENTS),
            next_event: 0,
            conns: Vec::new(),
            again: VecDeque::new(),
            made: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
            options,
            first,
            step: total.max(1),
            sleeper,
            spin_ns: 0,
            low_water: true,
            in_kernel: None,
        };
        driver.scratch[..SENTINEL.len()].copy_from_slice(&SENTINEL);
        Ok(driver)
    }

    /// Takes events from the kernel: what `wait` brings. Interrupted, it has brought nothing.
    #[inline]
    fn fill(
        &mut self,
        wait: impl FnOnce(&mut Sleeper, BorrowedFd<'_>, &mut [EpollEvent]) -> std::io::Result<usize>,
    ) {
        self.events.resize(EVENTS, EpollEvent { events: 0, u64: 0 });
        let count = wait(&mut self.sleeper, self.epoll.as_fd(), &mut self.events).unwrap_or(0);
        self.events.truncate(count);
        // The timer alone is nothing that happened.
        if let [only] = self.events[..]
            && only.u64 == TIMER_ID
        {
            self.events.clear();
        }
        self.next_event = 0;
    }

    fn poll(&mut self) {
        self.fill(|_, epoll, events| sys::wait_ms(epoll, events, 0));
    }

    fn spin(&mut self, until: Tick) {
        let start = self.clock.now();
        let end = loop {
            self.poll();
            let now = self.clock.now();
            if !self.events.is_empty() || now >= until {
                break now;
            }
            std::hint::spin_loop();
        };
        // What lies behind the planned end was not spent turning: another thread had the CPU. The
        // thread's own CPU clock would say it exactly, for two system calls more each time.
        self.spin_ns += end.min(until).since(start);
    }

    fn queue(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot];
        if !conn.queued {
            conn.queued = true;
            self.again.push_back(slot);
        }
    }

    /// What an epoll event means for its connection, if it still is the same one.
    fn translate(&mut self, event: EpollEvent) -> Option<(Slot, Event)> {
        let (id, flags) = (event.u64, event.events as i32);
        if id == TIMER_ID {
            return None;
        }
        let slot = (id & u64::from(u32::MAX)) as Slot;
        let conn = self.conns.get_mut(slot)?;
        if conn.socket.is_none() || u64::from(conn.generation) != id >> 32 {
            return None;
        }
        let readable = flags & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
        if conn.connecting {
            return self.connected(slot, flags, readable & libc::EPOLLIN != 0);
        }
        if flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0 {
            conn.hangup = true;
        }
        if flags & libc::EPOLLOUT != 0 && !conn.unsent.is_empty() {
            let flushed = match write_on(conn) {
                Ok(true) => Some((slot, Event::Flushed)),
                Ok(false) => None,
                Err(e) => Some((slot, Event::WriteFailed(cause_of(&e)))),
            };
            if flushed.is_some() {
                if readable != 0 {
                    self.queue(slot);
                }
                return flushed;
            }
        }
        (readable != 0).then_some((slot, Event::Readable))
    }

    fn connected(&mut self, slot: Slot, flags: i32, readable: bool) -> Option<(Slot, Event)> {
        let conn = &mut self.conns[slot];
        let error = conn
            .socket
            .as_ref()
            .and_then(|s| s.take_error().ok().flatten());
        if let Some(error) = error {
            self.close(slot, false);
            return Some((slot, Event::ConnectFailed(cause_of(&error))));
        }
        if flags & (libc::EPOLLOUT | libc::EPOLLIN) == 0 {
            return None;
        }
        conn.connecting = false;
        if flags & (libc::EPOLLRDHUP | libc::EPOLLHUP) != 0 {
            conn.hangup = true;
        }
        if readable || conn.hangup {
            self.queue(slot);
        }
        Some((slot, Event::Connected))
    }

    /// Sets the low-water mark to what the next wait on `slot` is worth.
    fn adjust_low_water(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot];
        let worth = self.low_water && conn.skip != u64::MAX && conn.skip >= LOW_WATER_FROM_BYTES;
        let wanted = if worth {
            u32::try_from(conn.skip)
                .unwrap_or(u32::MAX)
                .min(LOW_WATER_BYTES)
        } else {
            1
        };
        if wanted == conn.low_water {
            return;
        }
        match sys::set_low_water(conn.fd, wanted) {
            Ok(()) => conn.low_water = wanted,
            // A socket that cannot do it (a unix socket) is asked only once.
            Err(_) => self.low_water = false,
        }
    }

    fn receive_skipped(&mut self, slot: Slot) -> Received {
        let conn = &mut self.conns[slot];
        let want = conn.skip.min(SCRATCH_BYTES as u64) as usize;
        match sys::discard(conn.fd, &mut self.scratch[..want]) {
            Ok(0) => Received::End,
            Ok(count) => {
                if conn.skip != u64::MAX {
                    conn.skip -= count as u64;
                }
                if count >= SENTINEL.len() {
                    self.look_at_sentinel();
                }
                self.after_skipping(slot, count == want);
                Received::Skipped(count as u64)
            }
            Err(e) => failed(&e),
        }
    }

    fn after_skipping(&mut self, slot: Slot, full: bool) {
        let conn = &self.conns[slot];
        if conn.skip == 0 {
            // 1 before every head, or time to first byte lies.
            self.adjust_low_water(slot);
        } else if full {
            self.queue(slot);
        } else {
            self.adjust_low_water(slot);
        }
        if self.conns[slot].hangup {
            self.queue(slot);
        }
    }

    fn look_at_sentinel(&mut self) {
        let place = &mut self.scratch[..SENTINEL.len()];
        let untouched = *place == SENTINEL;
        if !untouched {
            place.copy_from_slice(&SENTINEL);
        }
        self.in_kernel = Some(self.in_kernel.unwrap_or(true) && untouched);
    }
}

fn failed(error: &std::io::Error) -> Received {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Received::Nothing,
        _ => Received::Failed(cause_of(error)),
    }
}

/// Sends on what is kept. Says whether everything went out.
fn write_on(conn: &mut Conn) -> std::io::Result<bool> {
    let total = conn.unsent.len();
    while conn.unsent_done < total {
        let wrote = match write_piece(conn.fd, &conn.unsent, conn.unsent_done) {
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => return Ok(false),
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => continue,
            other => other?,
        };
        conn.unsent_done += wrote;
    }
    conn.unsent.clear();
    conn.unsent_done = 0;
    Ok(true)
}

/// One system call for the piece that begins `done` bytes into `out`.
fn write_piece(fd: RawFd, out: &Outbox, done: usize) -> std::io::Result<usize> {
    let (mut at, mut copied) = (0, 0);
    for insert in out.inserts() {
        let gap = insert.after - copied;
        if done < at + gap {
            return sys::send(fd, &out.copied()[copied + (done - at)..insert.after], true);
        }
        at += gap;
        copied = insert.after;
        let length = insert.region.bytes().len();
        if done < at + length {
            let from = done - at;
            return match insert.region.file() {
                Some((file, offset)) => {
                    sys::send_file(fd, file, offset + from as u64, length - from)
                }
                None => sys::send(fd, &insert.region.bytes()[from..], true),
            };
        }
        at += length;
    }
    sys::send(fd, &out.copied()[copied + (done - at)..], false)
}

impl Driver for Epoll {
    #[inline]
    fn now(&self) -> Tick {
        self.clock.now()
    }

    fn waiting(&self) -> &'static str {
        self.sleeper.name()
    }

    fn wait(&mut self, until: Tick, precise: bool) -> Tick {
        let now = self.clock.now();
        if !self.again.is_empty() || !self.made.is_empty() || until <= now {
            self.poll();
            return self.clock.now();
        }
        if !precise {
            self.fill(|sleeper, epoll, events| sleeper.coarse(epoll, events, now, until));
            return self.clock.now();
        }
        if until.since(now) > SPIN_NS {
            let until = until.before(SPIN_NS);
            self.fill(|sleeper, epoll, events| sleeper.precise(epoll, events, now, until));
        }
        if self.next_event >= self.events.len() {
            self.spin(until);
        }
        self.clock.now()
    }

    #[inline]
    fn next(&mut self) -> Option<(Slot, Event)> {
        while let Some(&event) = self.events.get(self.next_event) {
            self.next_event += 1;
            if let Some(translated) = self.translate(event) {
                return Some(translated);
            }
        }
        if let Some(made) = self.made.pop_front() {
            return Some(made);
        }
        let slot = self.again.pop_front()?;
        self.conns[slot].queued = false;
        Some((slot, Event::Readable))
    }

    #[inline]
    fn receive(&mut self, slot: Slot, into: &mut [u8]) -> Received {
        let conn = &mut self.conns[slot];
        if conn.socket.is_none() || conn.connecting {
            return Received::Nothing;
        }
        conn.quiet = false;
        if conn.skip > 0 {
            return self.receive_skipped(slot);
        }
        match sys::receive(conn.fd, into) {
            Ok(0) => Received::End,
            Ok(count) => {
                if count == into.len() || conn.hangup {
                    self.queue(slot);
                }
                Received::Bytes(count)
            }
            Err(e) => failed(&e),
        }
    }

    fn look_again(&mut self, slot: Slot) {
        self.queue(slot);
    }

    fn connect(&mut self, slot: Slot, endpoint: &Endpoint, serial: u64) -> Result<(), Cause> {
        if self.conns.len() <= slot {
            self.conns.resize_with(slot + 1, Conn::default);
        }
        self.close(slot, false);
        let number = self.first + slot as u64 + serial * self.step;
        let (socket, at_once) = begin_connect(&self.options, endpoint, number, self.step)?;
        let conn = &mut self.conns[slot];
        conn.fd = socket.as_raw_fd();
        let id = u64::from(conn.generation) << 32 | slot as u64;
        sys::watch(self.epoll.as_fd(), conn.fd, sys::INTEREST, id).map_err(|e| cause_of(&e))?;
        conn.socket = Some(socket);
        conn.connecting = !at_once;
        conn.low_water = 1;
        if at_once {
            self.made.push_back((slot, Event::Connected));
        }
        Ok(())
    }

    #[inline]
    fn send(&mut self, slot: Slot, out: &mut Outbox) -> Sent {
        let conn = &mut self.conns[slot];
        if conn.socket.is_none() {
            return Sent::Failed(Cause::Reset);
        }
        if conn.unsent.is_empty() && out.inserts().is_empty() {
            match sys::send(conn.fd, out.copied(), false) {
                Ok(count) if count == out.copied().len() => {
                    out.clear();
                    return Sent::All;
                }
                Ok(count) => conn.unsent_done = count,
                Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {}
                Err(e) => return Sent::Failed(cause_of(&e)),
            }
        }
        if conn.unsent.is_empty() {
            std::mem::swap(&mut conn.unsent, out);
        } else {
            conn.unsent.append(out);
        }
        match write_on(conn) {
            Ok(true) => Sent::All,
            Ok(false) => Sent::Kept,
            Err(e) => Sent::Failed(cause_of(&e)),
        }
    }

    fn discard(&mut self, slot: Slot, bytes: u64) {
        self.conns[slot].skip = bytes;
        if !self.conns[slot].queued {
            self.adjust_low_water(slot);
        }
    }

    fn close(&mut self, slot: Slot, reset: bool) {
        let Some(conn) = self.conns.get_mut(slot) else {
            return;
        };
        if let Some(socket) = conn.socket.take()
            && reset
        {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        let (generation, queued) = (conn.generation.wrapping_add(1), conn.queued);
        let mut unsent = std::mem::take(&mut conn.unsent);
        unsent.clear();
        *conn = Conn {
            generation,
            queued,
            unsent,
            ..Conn::default()
        };
    }

    fn unsent_bytes(&self, slot: Slot) -> u64 {
        self.conns
            .get(slot)
            .map_or(0, |c| (c.unsent.len() - c.unsent_done) as u64)
    }

    fn tcp_info(&self, slot: Slot) -> Option<TcpInfo> {
        let conn = self.conns.get(slot)?;
        conn.socket
            .as_ref()
            .and_then(|s| sys::tcp_info(s.as_raw_fd()))
    }

    fn buffers(&self, slot: Slot) -> Buffers {
        let socket = self.conns.get(slot).and_then(|c| c.socket.as_ref());
        socket.map_or_else(Buffers::default, |s| sys::buffers(s.as_raw_fd()))
    }

    fn sweep(&mut self) {
        for slot in 0..self.conns.len() {
            let conn = &mut self.conns[slot];
            let waits = conn.low_water > 1 && conn.quiet;
            conn.quiet = true;
            if waits {
                self.queue(slot);
            }
        }
    }

    fn cpu(&self) -> Option<CpuUsed> {
        super::thread_cpu()
    }

    fn stats(&self) -> DriverStats {
        DriverStats {
            spin_ns: self.spin_ns,
            discarded_in_kernel: self.in_kernel,
        }
    }
}

#[cfg(test)]
#[path = "epoll_tests.rs"]
mod tests;
