//! A stand-in for the engine, for tests and fuzz targets of a session: feeds it a target's bytes in
//! pieces and tells what it saw.
//!
//! It keeps unread bytes, honours discards (those already received first) and ends the stream, as
//! [`crate::protocol`] says the engine does. It panics on what a session must never do, so it must
//! never be part of a program: the feature `replay` is for tests.

use std::fmt::Debug;

use crate::protocol::{Cause, Fault, Input, Phase, Reply, Session, Tally, Then, Ticket};

/// What became of one request, or of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A reply.
    Reply {
        /// A position in the table of statuses.
        status: u16,
        /// Units with this status.
        units: u32,
        /// Further rows: op, status, units.
        rows: Vec<(u8, u16, u32)>,
        /// Application bytes.
        payload_rx_bytes: Option<u64>,
        /// Wire bytes up to its end, from the beginning of the stream.
        at: u64,
        /// What the connection does then.
        then: Then,
    },
    /// The session gave up.
    Fault(Phase, Cause),
    /// The target closed in the middle of a reply.
    Truncated,
    /// The target closed before anything of it.
    ClosedBeforeReply,
    /// The target left the reply unfinished and the connection open.
    Waiting,
}

/// How the engine treats a discard that is only partly done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skips {
    /// It calls the session again when all is discarded.
    Whole,
    /// It calls the session after every piece.
    Piecewise,
}

/// A connection under test, with requests in flight.
#[derive(Debug)]
pub struct Replay<S> {
    session: S,
    tickets: Vec<Ticket>,
    next: usize,
    skips: Skips,
    tally: Tally,
    unread: Vec<u8>,
    /// Bytes still to be discarded; `u64::MAX`: all.
    skip: u64,
    skipped: u64,
    /// Wire bytes done with, and up to where the session promised they are the reply's.
    at: u64,
    promised: u64,
    /// Something of the current reply came.
    begun: bool,
    seen: Vec<Seen>,
    over: bool,
}

impl<S: Session> Replay<S> {
    /// A connection whose `session` has encoded the requests of `tickets`.
    pub fn new(session: S, tickets: Vec<Ticket>, skips: Skips) -> Self {
        Self {
            session,
            tickets,
            next: 0,
            skips,
            tally: Tally::default(),
            unread: Vec::new(),
            skip: 0,
            skipped: 0,
            at: 0,
            promised: 0,
            begun: false,
            seen: Vec::new(),
            over: false,
        }
    }

    /// What is seen of `bytes` when they come in pieces, cut at these places, in ascending order.
    /// `end`: the target closes then.
    #[must_use]
    pub fn run(mut self, bytes: &[u8], cuts: &[usize], end: bool) -> Vec<Seen> {
        let mut from = 0;
        for &cut in cuts {
            let cut = cut.clamp(from, bytes.len());
            self.receive(&bytes[from..cut]);
            from = cut;
        }
        self.receive(&bytes[from..]);
        self.finish(end)
    }

    /// Bytes come.
    pub fn receive(&mut self, mut piece: &[u8]) {
        if self.over || piece.is_empty() {
            return;
        }
        self.begun = true;
        if self.skip > 0 {
            let count = self.skip.min(piece.len() as u64);
            self.discarded(count);
            piece = &piece[count as usize..];
            if self.skip > 0 && self.skips == Skips::Whole {
                return;
            }
        }
        self.unread.extend_from_slice(piece);
        self.decode(false);
    }

    /// The target closes, or leaves it at that.
    #[must_use]
    pub fn finish(mut self, end: bool) -> Vec<Seen> {
        if end && !self.over {
            self.decode(true);
        }
        if !self.over && self.next < self.tickets.len() {
            self.seen.push(match (end, self.begun) {
                (false, _) => Seen::Waiting,
                (true, true) => Seen::Truncated,
                (true, false) => Seen::ClosedBeforeReply,
            });
        }
        self.seen
    }

    fn discarded(&mut self, count: u64) {
        if self.skip != u64::MAX {
            self.skip -= count;
        }
        self.skipped += count;
        self.at += count;
    }

    fn decode(&mut self, end: bool) {
        while !self.over {
            let Some(ticket) = self.tickets.get_mut(self.next) else {
                return self.surplus();
            };
            let input = Input {
                bytes: &self.unread,
                skipped: std::mem::take(&mut self.skipped),
                end,
            };
            let progress = match self.session.decode(ticket, input, &mut self.tally) {
                Ok(progress) => progress,
                Err(fault) => return self.fault(&fault),
            };
            assert!(
                progress.eaten <= self.unread.len(),
                "eaten beyond the input"
            );
            self.unread.drain(..progress.eaten);
            self.at += progress.eaten as u64;
            if let Some(reply) = progress.done {
                assert_eq!(progress.discard, 0, "a complete reply discards nothing");
                assert!(self.at >= self.promised, "discarded beyond the reply");
                self.reply(&reply);
            } else if progress.discard > 0 {
                assert!(
                    self.unread.is_empty(),
                    "what was received is eaten, not discarded"
                );
                self.skip = progress.discard;
                if progress.discard != u64::MAX {
                    self.promised = self.at + progress.discard;
                }
                return;
            } else if progress.eaten == 0 {
                return;
            }
        }
    }

    fn reply(&mut self, reply: &Reply<S::Feedback>) {
        self.seen.push(Seen::Reply {
            status: reply.status,
            units: reply.units,
            rows: self.tally.drain().collect(),
            payload_rx_bytes: reply.payload_rx_bytes,
            at: self.at,
            then: reply.then,
        });
        self.next += 1;
        self.begun = !self.unread.is_empty();
        self.promised = 0;
        self.over = reply.then == Then::Close;
    }

    fn fault(&mut self, fault: &Fault) {
        assert!(!fault.detail.is_empty(), "a fault says why");
        self.seen.push(Seen::Fault(fault.phase, fault.cause));
        self.over = true;
    }

    fn surplus(&mut self) {
        if !self.unread.is_empty() {
            let fault = self.session.unsolicited(&self.unread);
            self.fault(&fault);
        }
    }
}

/// What `connection` makes of `bytes`, found to be the same however they come: whole, cut at every
/// place, byte by byte, with discards done at once and piece by piece. Of long streams only the
/// places near the ends are tried.
///
/// # Panics
/// When they are not the same.
pub fn however_cut<S: Session>(
    connection: impl Fn(Skips) -> Replay<S>,
    bytes: &[u8],
    end: bool,
) -> Vec<Seen> {
    same_however_cut(bytes.len(), |cuts, skips| {
        connection(skips).run(bytes, cuts, end)
    })
}

/// The same of whatever `read` makes of a stream of `length` bytes that comes in pieces, cut at these
/// places.
///
/// # Panics
/// When it is not the same.
pub fn same_however_cut<T: PartialEq + Debug>(
    length: usize,
    read: impl Fn(&[usize], Skips) -> T,
) -> T {
    const SHORT: usize = 8192;
    let whole = read(&[], Skips::Whole);
    for skips in [Skips::Whole, Skips::Piecewise] {
        // A long stream is the same byte again between its ends.
        let near = |cut: &usize| length < SHORT || *cut < 64 || *cut + 64 > length;
        for cut in (0..=length).filter(near) {
            assert_eq!(read(&[cut], skips), whole, "{skips:?}, cut at {cut}");
        }
        if length < SHORT {
            let cuts: Vec<usize> = (0..length).collect();
            assert_eq!(read(&cuts, skips), whole, "{skips:?}, byte by byte");
        }
    }
    whole
}

/// For fuzz targets: `read` as in [`same_however_cut`], but of all places only `cuts` are tried, and
/// byte by byte where the stream is short.
///
/// # Panics
/// When it is not the same.
pub fn same_if_cut<T: PartialEq + Debug>(
    length: usize,
    cuts: &[usize],
    read: impl Fn(&[usize], Skips) -> T,
) {
    const SHORT: usize = 512;
    let whole = read(&[], Skips::Whole);
    for skips in [Skips::Whole, Skips::Piecewise] {
        assert_eq!(read(cuts, skips), whole);
    }
    if length <= SHORT {
        let each: Vec<usize> = (0..length).collect();
        assert_eq!(read(&each, Skips::Piecewise), whole);
    }
}
