//! What bytes bring about: replies, their stamps, and what comes after them.
//!
//! One receive a readable event; everything it holds is decoded before the next one. Replies of one
//! receive share its stamp.

use super::conn::State;
use super::worker::Worker;
use crate::driver::{Driver, Received, Slot};
use crate::protocol::{Cause, Input, Phase, Reply, Session, Then};
use crate::record::Answer;
use crate::time::Tick;
use crate::workload::{Feedback, Workload};

/// From this much on, bytes nobody needs are left to the driver; fewer are cheaper received and
/// passed over.
const DISCARD_FROM_BYTES: u64 = 16 * 1024;
/// After a large reply, or a large part of one, only so much is received until the next head is
/// known: the rest need not be copied.
const HEAD_BYTES: usize = 4 * 1024;

/// What became of a connection while its bytes were processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It is as it was.
    Open,
    /// It is gone.
    Gone,
}

impl<W: Workload, D: Driver> Worker<W, D> {
    pub(super) fn readable(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot];
        if !matches!(conn.state, State::Handshake | State::Ready) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let kept = conn.tail.len();
        if kept < buffer.len() {
            buffer[..kept].copy_from_slice(&conn.tail);
            let head_only = conn.large && conn.skip == 0 && kept < HEAD_BYTES;
            let until = if head_only { HEAD_BYTES } else { buffer.len() };
            let received = self.driver.receive(slot, &mut buffer[kept..until]);
            self.received(slot, received, &buffer, kept);
        } else {
            self.too_large(slot, kept);
        }
        self.buffer = buffer;
    }

    fn received(&mut self, slot: Slot, received: Received, buffer: &[u8], kept: usize) {
        let now = self.driver.now();
        let delay_ns = now.since(self.woke);
        match received {
            Received::Nothing => {}
            Received::Bytes(count) => {
                self.recorder.received(count as u64, delay_ns, now);
                let bytes = &buffer[..kept + count];
                if self.conns[slot].state == State::Handshake {
                    self.shake(slot, bytes, now);
                } else {
                    self.receive_more(slot, bytes, now);
                }
            }
            Received::Skipped(count) => {
                self.recorder.received(count, delay_ns, now);
                let conn = &mut self.conns[slot];
                conn.skipped += count;
                if conn.skip != u64::MAX {
                    conn.skip -= count.min(conn.skip);
                }
                if conn.skip == 0 && self.process(slot, &[], false, now) == Flow::Open {
                    let conn = &self.conns[slot];
                    // Just what was asked for came: replies behind it may be there already. To
                    // what is sent from here on there will be an event.
                    if !conn.flight.is_empty() && conn.skip == 0 {
                        self.driver.look_again(slot);
                    }
                    self.settle(slot, now);
                }
            }
            Received::End => self.ended(slot, &buffer[..kept], now),
            Received::Failed(cause) => self.broken(slot, Phase::Read, cause),
        }
    }

    /// `bytes` is all that was received on `slot` and not understood yet.
    pub(super) fn receive_more(&mut self, slot: Slot, bytes: &[u8], now: Tick) {
        if self.process(slot, bytes, false, now) == Flow::Open {
            self.settle(slot, now);
        }
    }

    /// After anything that may have emptied the flight of `slot` or made room in it.
    #[inline]
    pub(super) fn settle(&mut self, slot: Slot, now: Tick) {
        let conn = &self.conns[slot];
        if conn.retiring
            && conn.flight.is_empty()
            && conn.unflushed.is_empty()
            && conn.state == State::Ready
        {
            self.counts.closed_by_us += 1;
            self.close_now(slot, false);
            // It did what it was for, even when that was nothing.
            self.conns[slot].replies = self.conns[slot].replies.max(1);
            self.come_back(slot, now);
        } else {
            self.changed(slot, now);
        }
    }

    /// Decodes `bytes`; keeps what is left of them.
    fn process(&mut self, slot: Slot, bytes: &[u8], end: bool, now: Tick) -> Flow {
        let mut at = 0;
        loop {
            let conn = &mut self.conns[slot];
            if conn.skip > 0 {
                let count = conn.skip.min((bytes.len() - at) as u64);
                at += count as usize;
                conn.skipped += count;
                if conn.skip != u64::MAX {
                    conn.skip -= count;
                }
                if conn.skip > 0 && !end {
                    break;
                }
            }
            let Some(flight) = conn.flight.front_mut() else {
                break;
            };
            if at == bytes.len() && conn.skipped == 0 && !end {
                break;
            }
            if flight.first == Tick::NEVER && at < bytes.len() {
                flight.first = now;
            }
            let input = Input {
                bytes: &bytes[at..],
                skipped: conn.skipped,
                end,
            };
            conn.skipped = 0;
            let Some(session) = &mut conn.session else {
                break;
            };
            let progress = match session.decode(&mut flight.ticket, input, &mut self.tally) {
                Ok(progress) => progress,
                Err(fault) => {
                    self.tally.clear();
                    self.fault(slot, fault);
                    return Flow::Gone;
                }
            };
            at += progress.eaten.min(bytes.len() - at);
            if progress.done.is_none() {
                self.tally.clear();
            }
            if let Some(reply) = progress.done {
                conn.skip = 0;
                if self.complete(slot, reply, now) == Flow::Gone {
                    return Flow::Gone;
                }
            } else if progress.discard > 0 && !(end && at == bytes.len()) {
                conn.skip = progress.discard;
                if progress.discard >= DISCARD_FROM_BYTES {
                    // What comes behind it in the same reply is a head again.
                    (conn.discarded, conn.large) = (true, true);
                }
            } else {
                break;
            }
        }
        self.keep(slot, &bytes[at..])
    }

    /// What was not understood waits for more; with nothing in flight it answers nothing.
    fn keep(&mut self, slot: Slot, rest: &[u8]) -> Flow {
        let conn = &mut self.conns[slot];
        if conn.skip >= DISCARD_FROM_BYTES && self.options.discard {
            self.driver.discard(slot, conn.skip);
        }
        conn.tail.clear();
        if conn.flight.is_empty() && !rest.is_empty() {
            let fault = conn
                .session
                .as_mut()
                .map(|session| session.unsolicited(rest));
            if let Some(fault) = fault {
                self.fault(slot, fault);
            }
            return Flow::Gone;
        }
        conn.tail.extend_from_slice(rest);
        Flow::Open
    }

    /// The oldest request in flight is answered.
    fn complete(&mut self, slot: Slot, reply: Reply<Feedback<W>>, now: Tick) -> Flow {
        let conn = &mut self.conns[slot];
        let Some(flight) = conn.flight.pop_front() else {
            return Flow::Open;
        };
        conn.replies += 1;
        conn.large = std::mem::take(&mut conn.discarded);
        conn.idle_ns = 0;
        self.in_flight -= 1;
        self.endpoints[conn.endpoint].completed += 1;
        let answer = Answer {
            op: flight.ticket.op,
            status: reply.status,
            units: reply.units,
            payload_rx_bytes: reply.payload_rx_bytes,
            intended: flight.intended,
            sent: flight.sent,
            first: flight.first.min(now),
            last: now,
            origin: reply.origin,
        };
        let error = self
            .is_error
            .get(usize::from(reply.status))
            .copied()
            .unwrap_or(false);
        self.recorder.answered(&answer, error);
        let mut all_units = u64::from(reply.units);
        if !self.tally.is_empty() {
            for (op, status, units) in self.tally.drain() {
                self.recorder.units(op, status, units);
                all_units += u64::from(units);
            }
            for origin in self.tally.drain_origins() {
                self.recorder.arrived(origin, now);
            }
        }
        if !conn.paced {
            self.recorder.unpaced(all_units);
        }
        if let Some(feedback) = reply.feedback {
            let dealt = conn.dealt;
            let owed = self.workload.feedback(dealt.route, dealt.number, feedback);
            self.owed += u64::from(owed.is_some());
            conn.owed.extend(owed);
        }
        match reply.then {
            Then::Reuse => Flow::Open,
            Then::Close => {
                self.closed_by_reply(slot, now);
                Flow::Gone
            }
            Then::Pause(pause) => {
                let until = conn.paused_until.max(now + pause);
                conn.paused_until = until;
                self.set_timer(slot, until);
                Flow::Open
            }
        }
    }

    /// The target closed; `kept` was not understood so far.
    fn ended(&mut self, slot: Slot, kept: &[u8], now: Tick) {
        if self.conns[slot].state == State::Handshake {
            self.closed_early(slot, Phase::Handshake, Cause::ClosedBeforeReply);
            return;
        }
        if self.process(slot, kept, true, now) == Flow::Gone {
            return;
        }
        let conn = &self.conns[slot];
        match conn.flight.front() {
            Some(oldest) if oldest.first == Tick::NEVER => {
                self.closed_early(slot, Phase::Wait, Cause::ClosedBeforeReply);
            }
            Some(_) => self.closed_early(slot, Phase::Read, Cause::Truncated),
            None if conn.unflushed.is_empty() => self.closed_idle(slot, now),
            None => self.closed_early(slot, Phase::Write, Cause::Reset),
        }
    }
}
