//! How connections go, and what becomes of the requests on them.
//!
//! Every request in flight on a lost connection is counted as failed, at its age, with a phase and
//! a cause. Nothing is sent again in silence.

use super::conn::{Loss, State};
use super::worker::Worker;
use crate::driver::{Driver, Slot};
use crate::protocol::{Cause, Fault, Phase};
use crate::time::{Tick, nanos};
use crate::workload::Workload;

impl<W: Workload, D: Driver> Worker<W, D> {
    /// The bytes were not what the protocol allows.
    pub(super) fn fault(&mut self, slot: Slot, fault: Fault) {
        let Fault {
            phase,
            cause,
            detail,
        } = fault;
        self.lose(
            slot,
            &Loss {
                phase,
                cause,
                others: Cause::Collateral,
                detail,
            },
        );
    }

    /// The operating system says the connection is broken.
    pub(super) fn broken(&mut self, slot: Slot, phase: Phase, cause: Cause) {
        let conn = &self.conns[slot];
        let waits = conn.flight.front().is_none_or(|f| f.first == Tick::NEVER);
        let phase = match (conn.state, phase) {
            (State::Handshake, _) => Phase::Handshake,
            (_, Phase::Read) if waits => Phase::Wait,
            (_, phase) => phase,
        };
        let detail = self.describe(slot, "broke");
        self.lose(
            slot,
            &Loss {
                phase,
                cause,
                others: cause,
                detail,
            },
        );
    }

    /// The target closed with requests in flight.
    pub(super) fn closed_early(&mut self, slot: Slot, phase: Phase, cause: Cause) {
        let detail = self.describe(slot, "was closed by the target");
        self.lose(
            slot,
            &Loss {
                phase,
                cause,
                others: Cause::ClosedBeforeReply,
                detail,
            },
        );
    }

    /// The target closed and nothing was in flight: its good right.
    pub(super) fn closed_idle(&mut self, slot: Slot, now: Tick) {
        self.counts.closed_by_target += 1;
        self.close_now(slot, false);
        self.come_back(slot, now);
    }

    /// A reply announced that the target closes; requests behind it will not be answered.
    pub(super) fn closed_by_reply(&mut self, slot: Slot, now: Tick) {
        let behind = self.conns[slot].flight.len() + self.conns[slot].unflushed.len();
        if behind > 0 {
            let detail = format!(
                "{} announced to close with {behind} requests behind its reply",
                self.endpoints[self.conns[slot].endpoint].endpoint
            );
            let cause = Cause::ClosedBeforeReply;
            self.fail_all(
                slot,
                &Loss {
                    phase: Phase::Wait,
                    cause,
                    others: cause,
                    detail,
                },
                now,
            );
        }
        if self.conns[slot].retiring {
            self.counts.closed_by_us += 1;
        } else {
            self.counts.closed_by_target += 1;
        }
        self.close_now(slot, false);
        self.come_back(slot, now);
    }

    /// A part of a reply that must be seen whole is larger than the receive buffer.
    pub(super) fn too_large(&mut self, slot: Slot, limit: usize) {
        let detail = format!("a part of a reply that must be seen whole exceeds {limit} bytes");
        let (cause, others) = (Cause::TooLarge, Cause::Collateral);
        self.lose(
            slot,
            &Loss {
                phase: Phase::Decode,
                cause,
                others,
                detail,
            },
        );
    }

    fn describe(&self, slot: Slot, what: &str) -> String {
        let conn = &self.conns[slot];
        let endpoint = &self.endpoints[conn.endpoint].endpoint;
        let (behind, replies) = (conn.flight.len(), conn.replies);
        format!(
            "the connection to {endpoint} {what} with {behind} in flight after {replies} replies"
        )
    }

    /// Gives the connection up: its requests fail, and it comes back later.
    fn lose(&mut self, slot: Slot, loss: &Loss) {
        let now = self.driver.now();
        if self.conns[slot].state == State::Handshake {
            self.counts.connect_failures += 1;
        } else {
            self.counts.lost += 1;
        }
        if !self.fail_all(slot, loss, now) {
            self.recorder
                .error(loss.phase, loss.cause, now, || loss.detail.clone());
        }
        self.close_now(slot, true);
        self.tried(slot);
        self.come_back(slot, now);
    }

    /// Fails everything in flight on `slot`; says whether there was anything.
    fn fail_all(&mut self, slot: Slot, loss: &Loss, now: Tick) -> bool {
        let conn = &mut self.conns[slot];
        let mut failed = 0;
        let mut tickets = Vec::with_capacity(conn.flight.len());
        if let Some(pending) = conn.pending.take() {
            self.recorder
                .failed(pending.intended, pending.sent, Tick::NEVER, now);
            self.recorder
                .error(loss.phase, loss.cause, now, || loss.detail.clone());
            failed += 1;
        }
        for flight in conn.flight.drain(..).chain(conn.unflushed.drain(..)) {
            self.recorder
                .failed(flight.intended, flight.sent, flight.first, now);
            let (phase, cause) = if failed == 0 {
                (loss.phase, loss.cause)
            } else {
                (Phase::Wait, loss.others)
            };
            self.recorder
                .error(phase, cause, now, || loss.detail.clone());
            failed += 1;
            tickets.push(flight.ticket);
        }
        self.in_flight -= failed;
        self.endpoints[conn.endpoint].failed += failed;
        if !tickets.is_empty() {
            self.workload
                .lost(conn.dealt.route, conn.dealt.number, &tickets);
        }
        failed > 0
    }

    /// Whether anything on `slot` has taken too long. In-flight order is deadline order, so the
    /// oldest is enough.
    pub(super) fn check_timeout(&mut self, slot: Slot, now: Tick) {
        let timeout_ns = nanos(self.options.timeout);
        let connect_ns = nanos(self.options.connect_timeout);
        let conn = &self.conns[slot];
        let late =
            |since: Tick, limit_ns: u64| since != Tick::NEVER && now.since(since) >= limit_ns;
        let pending_late = conn
            .pending
            .as_ref()
            .is_some_and(|p| late(p.sent, timeout_ns));
        match conn.state {
            State::Connecting if pending_late || late(conn.since, connect_ns) => {
                self.driver.close(slot, true);
                self.connect_failed(slot, Cause::Timeout);
            }
            State::Handshake if pending_late || late(conn.since, connect_ns) => {
                let detail = self.describe(slot, "did not finish its handshake in time");
                self.lose(slot, &timed_out(Phase::Handshake, detail));
            }
            State::Ready => {
                let oldest = conn.flight.front().or(conn.unflushed.first());
                let Some(oldest) = oldest.filter(|f| late(f.sent, timeout_ns)) else {
                    return;
                };
                let phase = if oldest.first == Tick::NEVER {
                    Phase::Wait
                } else {
                    Phase::Read
                };
                let age_ms = now.since(oldest.sent) / 1_000_000;
                let detail = format!(
                    "no whole reply from {} within {} ms (the oldest request is {age_ms} ms old)",
                    self.endpoints[conn.endpoint].endpoint,
                    timeout_ns / 1_000_000,
                );
                self.lose(slot, &timed_out(phase, detail));
            }
            _ => {}
        }
    }
}

fn timed_out(phase: Phase, detail: String) -> Loss {
    Loss {
        phase,
        cause: Cause::Timeout,
        others: Cause::Collateral,
        detail,
    }
}
