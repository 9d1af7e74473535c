//! A stand-in for the engine: feeds a session a target's bytes in pieces and tells what it saw.
//!
//! It keeps unread bytes, honours discards (those already received first) and ends the stream, as
//! `loadgen_core::protocol` says the engine does. It checks on the way what a session must never
//! do. The fuzz target uses it too.

use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Cause, Fault, Input, Phase, Session, Tally, Then, Ticket};
use loadgen_core::time::Tick;
use loadgen_http::HttpSession;
use loadgen_http::wire::request::Template;

/// What became of one request, or of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A reply: its code, its payload, the wire bytes up to its end, whether the connection closes.
    Reply(u16, u64, u64, bool),
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
pub(crate) enum Skips {
    /// It calls the session again when all is discarded.
    Whole,
    /// It calls the session after every piece.
    Piecewise,
}

/// A connection under test.
pub(crate) struct Replay {
    session: HttpSession,
    tickets: Vec<Ticket>,
    next: usize,
    skips: Skips,
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

impl Replay {
    /// A connection with these requests in flight, by method; the last of them says so when
    /// `limited`.
    pub(crate) fn new(methods: &[&str], limited: bool, skips: Skips) -> Self {
        let template = |method: &&str| Template::new(method, "/", &[], None);
        let templates: Arc<[Template]> = methods.iter().map(template).collect();
        let limit = limited.then_some(methods.len() as u64);
        let mut session = HttpSession::new(templates, limit);
        let mut out = Outbox::default();
        let tickets = (0..methods.len() as u32)
            .map(|request| session.encode(request, Tick(0), &mut out))
            .collect();
        Self {
            session,
            tickets,
            next: 0,
            skips,
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

    /// Bytes come.
    pub(crate) fn receive(&mut self, mut piece: &[u8]) {
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
    pub(crate) fn finish(mut self, end: bool) -> Vec<Seen> {
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
            let progress = match self.session.decode(ticket, input, &mut Tally::default()) {
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
                let payload = reply.payload_rx_bytes.expect("HTTP knows its payload");
                let closes = reply.then == Then::Close;
                self.seen
                    .push(Seen::Reply(100 + reply.status, payload, self.at, closes));
                self.next += 1;
                self.begun = !self.unread.is_empty();
                self.promised = 0;
                self.over = closes;
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

/// What is seen of `bytes` when they come in pieces, cut at these places.
pub(crate) fn replay(mut conn: Replay, bytes: &[u8], cuts: &[usize], end: bool) -> Vec<Seen> {
    let mut from = 0;
    for &cut in cuts {
        let cut = cut.clamp(from, bytes.len());
        conn.receive(&bytes[from..cut]);
        from = cut;
    }
    conn.receive(&bytes[from..]);
    conn.finish(end)
}
