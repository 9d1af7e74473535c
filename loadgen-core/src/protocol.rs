//! The contract between the engine and a protocol's session.
//!
//! A session is a value: bytes in, bytes out. It must never read a clock, open a socket, start a
//! thread or hold a lock; what it needs of time comes as an argument. Nothing here names a
//! protocol.

use std::borrow::Cow;
use std::time::Duration;

use crate::buffer::Outbox;
use crate::time::Tick;

/// What a reply means for the person who counts it. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The target did what was asked.
    Ok,
    /// The target answered well, and there was nothing there: a miss, an empty fetch.
    Empty,
    /// The target answered that it did not do what was asked.
    Error,
}

impl Outcome {
    /// The name in the results document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Error => "error",
        }
    }
}

/// One status a reply can have: the name of its row, and what it means.
#[derive(Clone, Debug)]
pub struct Status {
    /// The name in the results document.
    pub name: Cow<'static, str>,
    /// What it means.
    pub outcome: Outcome,
}

/// Where in the life of a request something went wrong. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Making a socket and connecting it.
    Connect,
    /// The protocol's own greeting, before the first request.
    Handshake,
    /// Sending a request.
    Write,
    /// Nothing of the reply had come.
    Wait,
    /// The reply had begun.
    Read,
    /// The bytes came and were not what the protocol allows.
    Decode,
}

impl Phase {
    /// The name in the results document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Write => "write",
            Self::Wait => "wait",
            Self::Read => "read",
            Self::Decode => "decode",
        }
    }
}

/// Why it went wrong. Core's causes are a closed set; a protocol adds its own closed table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// `ECONNREFUSED`.
    Refused,
    /// `EHOSTUNREACH`, `ENETUNREACH`, `EACCES`, `EPERM` on connect: no way there.
    Unreachable,
    /// No answer within the timeout.
    Timeout,
    /// `ECONNRESET`, `EPIPE`, `ECONNABORTED`.
    Reset,
    /// The target closed before anything of the reply came.
    ClosedBeforeReply,
    /// The target closed in the middle of a reply.
    Truncated,
    /// A neighbour on the same connection failed, this request with it.
    Collateral,
    /// `EMFILE`, `ENFILE`: no file descriptor left in the generator.
    FdLimit,
    /// `EADDRNOTAVAIL`, `EADDRINUSE`: no local port or address left in the generator.
    NoLocalPort,
    /// Bytes came that answer no request.
    Unsolicited,
    /// A part of a reply that must be seen whole is larger than the receive buffer.
    TooLarge,
    /// Another error of the operating system.
    Os(i32),
    /// An entry of the protocol's own table ([`Tables::causes`]).
    Protocol(u8),
}

impl Cause {
    /// The name in the results document; a protocol's causes come from `tables`.
    #[must_use]
    pub fn name(self, tables: &Tables) -> String {
        let name = match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::ClosedBeforeReply => "closed_before_reply",
            Self::Truncated => "truncated",
            Self::Collateral => "collateral",
            Self::FdLimit => "fd_limit",
            Self::NoLocalPort => "no_local_port",
            Self::Unsolicited => "unsolicited",
            Self::TooLarge => "too_large",
            Self::Os(errno) => return format!("os_{errno}"),
            Self::Protocol(id) => {
                let row = tables
                    .causes
                    .get(usize::from(id))
                    .copied()
                    .unwrap_or("unknown");
                return format!("{}.{row}", tables.protocol);
            }
        };
        name.to_owned()
    }
}

/// A protocol's closed tables. Numbers in tickets and replies are positions in them.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The protocol's name: the prefix of its causes and findings, and `protocol` in the document.
    pub protocol: &'static str,
    /// The names of the ops.
    pub ops: Vec<Cow<'static, str>>,
    /// The statuses.
    pub statuses: Vec<Status>,
    /// The names of the causes, without the prefix.
    pub causes: &'static [&'static str],
    /// Ops whose times say how long the target was asked to wait, not how fast it is, and those of
    /// routes that are not paced: positions in `ops`. They have rows of their own and stay out of the
    /// summary's distributions.
    pub apart: &'static [u8],
    /// The status of a request that no reply answers: it is complete when it is written.
    pub written: u16,
}

/// Why a session gave up on its connection. The engine closes it and fails what is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
    /// One sentence with the limit and the actual value. Made on the failure path only.
    pub detail: String,
}

/// What the engine keeps of a request while it is in flight; made by [`Session::encode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The op: a position in [`Tables::ops`].
    pub op: u8,
    /// How many units of work it asks for (keys of a batch, records).
    pub units: u32,
    /// Whether a reply will come. Without one, the request is complete when it is written.
    pub answered: bool,
    /// Payload bytes the request carries.
    pub payload_tx_bytes: u64,
    /// Whatever the session needs to read the reply: an id, a flag, a count.
    pub tag: u64,
}

/// What has been received: handed to [`Session::decode`].
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The unread bytes, from the first one not yet eaten.
    pub bytes: &'a [u8],
    /// Bytes that were discarded on the session's wish since the last call: all it asked for, or
    /// fewer when `end` is set. They came *before* `bytes`.
    pub skipped: u64,
    /// The target closed: nothing comes after `bytes`.
    pub end: bool,
}

/// What a connection does after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It takes the next request.
    Reuse,
    /// It is closed and opened anew; requests behind this reply fail as `closed_before_reply`.
    Close,
    /// It takes no request for this long: the target asked for it.
    Pause(Duration),
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<F> {
    /// A position in [`Tables::statuses`].
    pub status: u16,
    /// Units it answers with this status.
    pub units: u32,
    /// Application bytes it carried; `None` where the depth of looking cannot know them.
    pub payload_rx_bytes: Option<u64>,
    /// When the answered thing was first made, on the run's clock: end-to-end latency.
    pub origin: Option<Tick>,
    /// What the connection does now.
    pub then: Then,
    /// Handed to the workload at once.
    pub feedback: Option<F>,
}

/// How far [`Session::decode`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<F> {
    /// Bytes of the input that are done with.
    pub eaten: usize,
    /// After the eaten bytes, so many belong to this reply and need not be seen. `u64::MAX`:
    /// everything until the target closes. The engine discards them (those already received
    /// first), then calls again with [`Input::skipped`].
    pub discard: u64,
    /// The reply, when it is complete. `discard` is then 0.
    pub done: Option<Reply<F>>,
}

impl<F> Progress<F> {
    /// `eaten` bytes are done with, more are needed.
    #[must_use]
    pub const fn more(eaten: usize) -> Self {
        Self {
            eaten,
            discard: 0,
            done: None,
        }
    }

    /// `eaten` bytes are done with, the next `discard` need not be seen.
    #[must_use]
    pub const fn discard(eaten: usize, discard: u64) -> Self {
        Self {
            eaten,
            discard,
            done: None,
        }
    }
}

/// How far [`Session::handshake`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// More bytes are needed; so many were eaten.
    More {
        /// Bytes of the input that are done with.
        eaten: usize,
    },
    /// Requests may be sent; so many bytes were eaten.
    Done {
        /// Bytes of the input that are done with.
        eaten: usize,
    },
}

/// Further rows of one reply: a batch whose keys end differently has one row per status. They are
/// added in the call that completes the reply; what is added in any other is forgotten, so that
/// rows of a broken reply are never counted.
#[derive(Debug, Default)]
pub struct Tally {
    rows: Vec<(u8, u16, u32)>,
    origins: Vec<Tick>,
}

impl Tally {
    /// Counts `units` of `op` that ended with `status`, beside the reply's own row.
    pub fn add(&mut self, op: u8, status: u16, units: u32) {
        self.rows.push((op, status, units));
    }

    /// A thing in this reply was first made at `at`, on the run's clock: one sample of end-to-end
    /// latency, beside that of [`Reply::origin`].
    pub fn origin(&mut self, at: Tick) {
        self.origins.push(at);
    }

    /// The origins since the last drain.
    pub fn drain_origins(&mut self) -> impl Iterator<Item = Tick> + '_ {
        self.origins.drain(..)
    }

    /// The rows since the last drain: op, status, units.
    pub fn drain(&mut self) -> impl Iterator<Item = (u8, u16, u32)> + '_ {
        self.rows.drain(..)
    }

    /// Forgets the rows.
    #[inline]
    pub fn clear(&mut self) {
        self.rows.clear();
        self.origins.clear();
    }

    /// Whether nothing was added.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.origins.is_empty()
    }
}

/// The protocol state of one connection. Replies come in the order of the requests.
pub trait Session {
    /// What the workload asks for.
    type Request;
    /// What a reply tells the workload.
    type Feedback;

    /// Called with no input once connected, then with what came, until it is done. Outside the
    /// measured window.
    ///
    /// # Errors
    /// A [`Fault`] when the target refuses or talks nonsense; the connection is closed.
    fn handshake(&mut self, _input: &[u8], _out: &mut Outbox) -> Result<Handshake, Fault> {
        Ok(Handshake::Done { eaten: 0 })
    }

    /// Appends the bytes of `request`; `at` is when it is sent.
    fn encode(&mut self, request: Self::Request, at: Tick, out: &mut Outbox) -> Ticket;

    /// Reads on in the reply to the oldest request that is answered.
    ///
    /// Called again while it makes progress; must give the same verdict however the bytes are cut.
    /// With [`Input::end`] and neither a reply nor a fault, the engine counts the request as
    /// `truncated` or `closed_before_reply`.
    ///
    /// # Errors
    /// A [`Fault`] when the bytes are not what the protocol allows; the connection is closed.
    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<Self::Feedback>, Fault>;

    /// Bytes came while no request was in flight: what to call it. The connection is closed.
    fn unsolicited(&mut self, input: &[u8]) -> Fault {
        Fault {
            phase: Phase::Decode,
            cause: Cause::Unsolicited,
            detail: format!("{} bytes came that answer no request", input.len()),
        }
    }
}
