//! How bytes and time reach a worker: `epoll` for real, `sim` for tests.
//!
//! A driver owns sockets and the clock, and knows nothing of requests. It is completion-shaped:
//! the engine waits, asks for what has happened, and receives into its own buffer. A driver must
//! never allocate for each event, and never block anywhere but in [`Driver::wait`].

pub mod epoll;
pub mod sim;
mod sleep;
mod sockets;
mod sys;

pub use sockets::{PortRange, SocketOptions, begin_connect, cause_of};

use crate::buffer::Outbox;
use crate::protocol::Cause;
use crate::time::Tick;
use crate::workload::Endpoint;

/// A connection's place in a driver; the engine chooses it, from 0.
pub type Slot = usize;

/// What has happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection asked for is there.
    Connected,
    /// It is not, and its slot is free.
    ConnectFailed(Cause),
    /// [`Driver::receive`] has something.
    Readable,
    /// What [`Driver::send`] kept has gone out.
    Flushed,
    /// What it kept cannot go out any more.
    WriteFailed(Cause),
}

/// What [`Driver::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, in the buffer.
    Bytes(usize),
    /// So many bytes of those that were to be discarded.
    Skipped(u64),
    /// Nothing after all.
    Nothing,
    /// The target closed: nothing will come.
    End,
    /// The connection is broken.
    Failed(Cause),
}

/// What became of [`Driver::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Everything is with the kernel.
    All,
    /// The rest is kept; [`Event::Flushed`] follows. The connection takes nothing before that.
    Kept,
    /// The connection is broken.
    Failed(Cause),
}

/// What the kernel knows of a connection (`tcp(7)`, `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time, ns.
    pub rtt_ns: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

/// What the kernel made of a connection's buffers, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// `SO_RCVBUF`.
    pub receive: Option<u64>,
    /// `SO_SNDBUF`.
    pub send: Option<u64>,
    /// `TCP_WINDOW_CLAMP`.
    pub window_clamp: Option<u64>,
}

/// CPU time of one thread (`getrusage(2)`, `RUSAGE_THREAD`; `/proc/thread-self/schedstat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsed {
    /// In user mode, ns.
    pub user_ns: u64,
    /// In the kernel, ns.
    pub system_ns: u64,
    /// Runnable while another thread had the CPU, ns; `None` where the kernel does not say.
    pub run_queue_wait_ns: Option<u64>,
}

impl CpuUsed {
    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let wait = self.run_queue_wait_ns.zip(earlier.run_queue_wait_ns);
        Self {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            run_queue_wait_ns: wait.map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// CPU time of the calling thread so far; `None` where the kernel does not say.
#[must_use]
pub fn thread_cpu() -> Option<CpuUsed> {
    let (user_ns, system_ns) = sys::thread_cpu_ns()?;
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let wait = schedstat.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Some(CpuUsed {
        user_ns,
        system_ns,
        run_queue_wait_ns: wait,
    })
}

/// What a driver knows of itself at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Time spent turning until a release, ns; never more than was planned for it.
    pub spin_ns: u64,
    /// Whether bodies were discarded: `Some(true)` in the kernel, `Some(false)` by copying.
    pub discarded_in_kernel: Option<bool>,
}

/// Sockets and time for one worker.
pub trait Driver {
    /// The time.
    fn now(&self) -> Tick;

    /// How it waits, for the document.
    fn waiting(&self) -> &'static str;

    /// Blocks until something happens or until `until`. `precise`: a request is due then, so the
    /// last stretch is worth spinning. Returns when it woke up.
    fn wait(&mut self, until: Tick, precise: bool) -> Tick;

    /// The next thing that has happened, in no particular order between connections. `None`: ask
    /// again after [`Driver::wait`].
    fn next(&mut self) -> Option<(Slot, Event)>;

    /// Takes bytes of a readable connection into `into`, or discards them when
    /// [`Driver::discard`] asked for it. One piece a call; what is left makes the slot readable
    /// again by itself.
    fn receive(&mut self, slot: Slot, into: &mut [u8]) -> Received;

    /// More is expected on `slot` though its last piece was just what was asked for: it becomes
    /// readable again by itself.
    fn look_again(&mut self, slot: Slot);

    /// Begins to connect `slot`, its `serial`-th attempt. The answer is an event,
    /// unless it fails at once.
    ///
    /// # Errors
    /// The cause, when no socket could be made or bound.
    fn connect(&mut self, slot: Slot, endpoint: &Endpoint, serial: u64) -> Result<(), Cause>;

    /// Sends what is in `out` and empties it.
    fn send(&mut self, slot: Slot, out: &mut Outbox) -> Sent;

    /// The next `bytes` received on `slot` are not needed. `u64::MAX`: all until the end.
    fn discard(&mut self, slot: Slot, bytes: u64);

    /// Closes `slot`. `reset`: with a reset, so that nothing lingers.
    fn close(&mut self, slot: Slot, reset: bool);

    /// Bytes of [`Driver::send`] on `slot` that are still kept.
    fn unsent_bytes(&self, _slot: Slot) -> u64 {
        0
    }

    /// What the kernel knows of the connection in `slot`.
    fn tcp_info(&self, _slot: Slot) -> Option<TcpInfo> {
        None
    }

    /// The buffers of the connection in `slot`.
    fn buffers(&self, _slot: Slot) -> Buffers {
        Buffers::default()
    }

    /// What the calling thread has used so far.
    fn cpu(&self) -> Option<CpuUsed> {
        None
    }

    /// A look now and then at connections that were quiet for long.
    fn sweep(&mut self) {}

    /// What it knows of itself.
    fn stats(&self) -> DriverStats {
        DriverStats::default()
    }
}
