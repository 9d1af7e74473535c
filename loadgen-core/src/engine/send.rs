//! What is sent, and on which connection.
//!
//! Closed loop and the two ways of open loop differ only in what makes a request due
//! (`release.rs`). Nothing here may skip a request that is due, or forgive its lateness.

use std::cmp::Reverse;

use super::conn::{Conn, Flight, Pending, State};
use super::deal::Dealt;
use super::release::{Releases, next_idle_ns};
use super::worker::{Stage, Worker};
use crate::driver::{Driver, Sent, Slot};
use crate::protocol::{Cause, Phase, Session};
use crate::record::Answer;
use crate::time::Tick;
use crate::workload::{Next, Request, RouteId, Workload};

/// Connections that get their first request between two looks at the sockets.
const KICK: usize = 64;

/// What a worker finds when it asks for a request.
enum Asked<R> {
    Request(R),
    /// Not now.
    Idle,
    /// Never again.
    Nothing,
}

impl<W: Workload, D: Driver> Worker<W, D> {
    /// The epoch is known.
    pub(super) fn plan_releases(&mut self, epoch: Tick) {
        self.releases.begin(epoch);
        for slot in 0..self.conns.len() {
            self.list(slot, epoch);
            if let Releases::Pinned { slots, due } = &mut self.releases
                && let Some(release) = &slots[slot]
            {
                due.push(Reverse((release.head(&self.strays), slot)));
                self.conns[slot].scheduled = true;
            }
        }
    }

    /// When the next request is due that could be sent by then, and whether that is worth being
    /// precise about: a route that had nothing to ask is not.
    pub(super) fn next_due(&self) -> (Tick, bool) {
        match &self.releases {
            _ if self.spent => (Tick::NEVER, false),
            Releases::Closed { kicked } if *kicked < self.conns.len() => (self.window.epoch, true),
            Releases::Closed { .. } => (Tick::NEVER, false),
            Releases::Pool { routes, ready } => {
                let mut next = (Tick::NEVER, false);
                for (route, release) in routes.iter().enumerate() {
                    let Some(release) = release.as_ref().filter(|_| ready.any(route)) else {
                        continue;
                    };
                    let (head, idle_until) = (release.head(&self.strays), release.idle_until);
                    if head.max(idle_until) < next.0 {
                        next = (head.max(idle_until), head >= idle_until);
                    }
                }
                next
            }
            Releases::Pinned { due, .. } => (due.peek().map_or(Tick::NEVER, |d| d.0.0), true),
        }
    }

    /// The shares of the rate are others.
    #[cold]
    pub(super) fn share_anew(&mut self, now: Tick) {
        let dealt: Vec<Dealt> = self.conns.iter().map(|conn| conn.dealt).collect();
        let begun = (self.stage == Stage::Run).then_some((self.window.epoch, now));
        let (options, workers) = (&self.options, self.workers);
        let releases = &mut self.releases;
        let left = releases.share_anew(options, &self.routes, &dealt, workers, begun);
        if self.releases.carry() {
            self.strays.add(left);
        } else {
            self.shared.adrift.add(left);
        }
        self.schedule_anew(now);
    }

    /// What nobody could ask where it was due is taken over, if it can be asked here.
    #[cold]
    pub(super) fn take_over(&mut self, now: Tick) {
        if self.releases.carry() {
            self.strays.add(self.shared.adrift.take());
            self.schedule_anew(now);
        }
    }

    /// Pinned connections wait for other times than they did.
    fn schedule_anew(&mut self, now: Tick) {
        if let Releases::Pinned { due, .. } = &mut self.releases {
            due.clear();
            for slot in 0..self.conns.len() {
                self.conns[slot].scheduled = false;
                self.changed(slot, now);
            }
        }
    }

    /// Sends what has become due by itself.
    pub(super) fn release(&mut self, now: Tick) {
        if !self.following_begun {
            self.begin_following(now);
        }
        match &mut self.releases {
            Releases::Closed { kicked } => {
                let from = *kicked;
                *kicked = self.conns.len().min(from + KICK);
                for slot in from..self.conns.len().min(from + KICK) {
                    if self.conns[slot].paced {
                        self.top_up(slot, now);
                    }
                }
            }
            Releases::Pool { routes, .. } => {
                for route in 0..routes.len() {
                    self.release_route(route, now);
                }
            }
            Releases::Pinned { .. } => self.release_pinned(now),
        }
    }

    /// Pool dispatch: sends what is due on `route`, as long as a connection is free.
    fn release_route(&mut self, route: RouteId, now: Tick) {
        // A send or a connect that fails at once changes its connection: the loop here sees that.
        if std::mem::replace(&mut self.releasing, true) {
            return;
        }
        while let Some(slot) = self.due_on(route, now) {
            let asked = self.ask(slot);
            let Some(release) = self.releases.of_route(route) else {
                break;
            };
            match asked {
                Asked::Request(request) => {
                    release.idle_ns = 0;
                    let intended = release.take(&mut self.strays);
                    let sent = self.driver.now();
                    self.give(slot, request, intended, sent);
                    self.flush(slot);
                    self.list(slot, sent);
                }
                Asked::Idle => {
                    release.idle_ns = next_idle_ns(release.idle_ns);
                    release.idle_until = now.after(release.idle_ns);
                }
                Asked::Nothing => break,
            }
        }
        self.releasing = false;
    }

    /// The connection for the request of `route` that is due, if there are both.
    #[inline]
    fn due_on(&mut self, route: RouteId, now: Tick) -> Option<Slot> {
        let end = self.window.end;
        let Releases::Pool { routes, ready } = &mut self.releases else {
            return None;
        };
        let release = routes[route].as_ref()?;
        let head = release.head(&self.strays);
        let due = head <= now && head < end && release.idle_until <= now;
        if due { ready.first(route) } else { None }
    }

    fn release_pinned(&mut self, now: Tick) {
        while let Releases::Pinned { due, .. } = &mut self.releases
            && let Some(&Reverse((at, slot))) = due.peek()
            && at <= now
        {
            due.pop();
            self.conns[slot].scheduled = false;
            self.serve(slot, now);
        }
    }

    /// Pinned dispatch: sends what is due on `slot`.
    fn serve(&mut self, slot: Slot, now: Tick) {
        loop {
            let conn = &self.conns[slot];
            let can_take = conn.can_take(self.options.depth as usize, now);
            let Releases::Pinned { slots, due } = &mut self.releases else {
                return;
            };
            let Some(release) = &mut slots[slot] else {
                return;
            };
            let due_at = release.head(&self.strays);
            let head = due_at.max(release.idle_until);
            if due_at >= self.window.end || due_at == Tick::NEVER {
                return;
            }
            if head > now {
                if !self.conns[slot].scheduled {
                    self.conns[slot].scheduled = true;
                    due.push(Reverse((head, slot)));
                }
                return;
            }
            if !can_take {
                return;
            }
            let asked = self.ask(slot);
            let Releases::Pinned { slots, .. } = &mut self.releases else {
                return;
            };
            let Some(release) = &mut slots[slot] else {
                return;
            };
            match asked {
                Asked::Request(request) => {
                    let intended = release.take(&mut self.strays);
                    let sent = self.driver.now();
                    self.give(slot, request, intended, sent);
                    self.flush(slot);
                }
                Asked::Idle => {
                    release.idle_ns = next_idle_ns(release.idle_ns);
                    release.idle_until = now.after(release.idle_ns);
                }
                Asked::Nothing => return,
            }
        }
    }

    /// Something about `slot` has changed: it may be able to take a request.
    #[inline]
    pub(super) fn changed(&mut self, slot: Slot, now: Tick) {
        if !self.conns[slot].paced {
            self.follow(slot, now);
            return;
        }
        if self.stage != Stage::Run || now >= self.window.end {
            self.list(slot, now);
            return;
        }
        match &self.releases {
            Releases::Closed { kicked } => {
                if slot < *kicked {
                    self.top_up(slot, now);
                }
            }
            Releases::Pool { .. } => {
                self.pay(slot, now);
                self.list(slot, now);
                self.release_route(self.conns[slot].dealt.route, now);
            }
            Releases::Pinned { .. } => {
                self.pay(slot, now);
                self.serve(slot, now);
            }
        }
    }

    /// Pool dispatch: puts `slot` where it belongs.
    #[inline]
    fn list(&mut self, slot: Slot, now: Tick) {
        if let Releases::Pool { ready, .. } = &mut self.releases {
            let conn = &self.conns[slot];
            let takes = conn.can_take(self.options.depth as usize, now);
            ready.set(slot, conn.dealt.route, takes.then_some(conn.flight.len()));
        }
    }

    /// Sends what feedback asked for.
    fn pay(&mut self, slot: Slot, now: Tick) {
        let conn = &self.conns[slot];
        let open = conn.state == State::Ready && !conn.blocked && conn.paused_until <= now;
        if conn.owed.is_empty() || !open {
            return;
        }
        let sent = self.driver.now();
        while let Some(request) = self.conns[slot].owed.pop_front() {
            self.owed -= 1;
            self.in_flight += 1;
            self.recorder.sent_unpaced(sent);
            self.put(slot, request, sent, sent);
        }
        self.flush(slot);
    }

    /// Closed loop: fills `slot` up to its depth, with one send.
    #[inline]
    fn top_up(&mut self, slot: Slot, now: Tick) {
        self.pay(slot, now);
        let depth = self.options.depth as usize;
        if !self.conns[slot].can_take(depth, now) {
            return;
        }
        let sent = self.driver.now();
        while self.conns[slot].can_take(depth, sent) {
            match self.ask(slot) {
                Asked::Request(request) => self.give(slot, request, sent, sent),
                Asked::Idle => {
                    self.leave_alone(slot, sent);
                    break;
                }
                Asked::Nothing => break,
            }
        }
        self.flush(slot);
    }

    /// There was nothing to ask on `slot`: it is asked again after a while.
    fn leave_alone(&mut self, slot: Slot, now: Tick) {
        let idle_ns = next_idle_ns(self.conns[slot].idle_ns);
        self.conns[slot].idle_ns = idle_ns;
        self.set_timer(slot, now.after(idle_ns));
    }

    #[cold]
    fn begin_following(&mut self, now: Tick) {
        self.following_begun = true;
        for slot in 0..self.conns.len() {
            if !self.conns[slot].paced {
                self.follow(slot, now);
            }
        }
    }

    /// A route that is not paced: asks for as much as may be in flight, outside all counts. It goes
    /// on while the run drains.
    #[inline(never)]
    pub(super) fn follow(&mut self, slot: Slot, now: Tick) {
        let begun = self.stage == Stage::Run && now >= self.window.epoch;
        if !(begun || self.stage == Stage::Drain) {
            return;
        }
        self.pay(slot, now);
        let depth = self.options.depth as usize;
        let mut sent = now;
        while self.conns[slot].can_take(depth, sent) {
            let dealt = self.conns[slot].dealt;
            match self.workload.next(dealt.route, dealt.number, self.number) {
                Next::Ready(request) => {
                    self.conns[slot].done = false;
                    sent = self.driver.now();
                    self.number += 1;
                    self.in_flight += 1;
                    self.recorder.sent_unpaced(sent);
                    self.put(slot, request, sent, sent);
                }
                Next::Idle => {
                    self.conns[slot].done = false;
                    self.leave_alone(slot, sent);
                    break;
                }
                Next::Done => {
                    self.conns[slot].done = true;
                    break;
                }
            }
        }
        self.flush(slot);
    }

    /// Whether a connection of a route that is not paced may still have something to ask: one that
    /// is there, and did not say otherwise.
    pub(super) fn followers_go_on(&self) -> bool {
        let goes_on = |conn: &Conn<_, _>| !conn.paced && !conn.done && conn.state == State::Ready;
        self.conns.iter().any(goes_on)
    }

    /// Requests in flight on routes that are not paced.
    pub(super) fn following(&self) -> u64 {
        let of_it = |conn: &&Conn<_, _>| !conn.paced;
        let flights = self.conns.iter().filter(of_it);
        flights
            .map(|c| (c.flight.len() + c.unflushed.len()) as u64)
            .sum()
    }

    #[inline]
    fn ask(&mut self, slot: Slot) -> Asked<Request<W>> {
        if self.hand.credit == 0 && !self.claim() {
            return if self.spent {
                Asked::Nothing
            } else {
                Asked::Idle
            };
        }
        let dealt = self.conns[slot].dealt;
        match self.workload.next(dealt.route, dealt.number, self.number) {
            Next::Ready(request) => {
                self.hand.credit -= 1;
                self.number += 1;
                if self.hand.credit == 0 {
                    self.hand_back();
                }
                Asked::Request(request)
            }
            Next::Idle => Asked::Idle,
            Next::Done => {
                self.hand_back();
                self.spent = true;
                Asked::Nothing
            }
        }
    }

    /// Claims requests; whether there were any. What others have claimed may come back.
    fn claim(&mut self) -> bool {
        let budget = &self.shared.budget;
        if !self.spent {
            self.hand.credit = budget.claim();
            self.hand.claimed = self.hand.credit;
            self.spent = self.hand.credit == 0 && budget.is_over();
        }
        self.hand.credit > 0
    }

    /// Puts a request on `slot`; where there is no connection yet, it waits for its own.
    #[inline]
    fn give(&mut self, slot: Slot, request: Request<W>, intended: Tick, sent: Tick) {
        self.recorder.sent(intended, sent);
        self.in_flight += 1;
        if self.conns[slot].state == State::Cold {
            self.conns[slot].pending = Some(Pending {
                request,
                intended,
                sent,
            });
            self.begin_connect(slot);
        } else {
            self.put(slot, request, intended, sent);
        }
    }

    /// Encodes a request behind what is in the outbox.
    #[inline]
    pub(super) fn put(&mut self, slot: Slot, request: Request<W>, intended: Tick, sent: Tick) {
        let conn = &mut self.conns[slot];
        let Some(session) = &mut conn.session else {
            return;
        };
        let ticket = session.encode(request, sent, &mut self.outbox);
        self.carrying_bytes += ticket.payload_tx_bytes;
        conn.served += 1;
        conn.retiring |= self
            .per_connection
            .is_some_and(|limit| conn.served >= limit);
        let flight = Flight {
            ticket,
            intended,
            sent,
            first: Tick::NEVER,
        };
        if ticket.answered {
            conn.flight.push_back(flight);
        } else {
            conn.unflushed.push(flight);
        }
    }

    /// Sends what is in the outbox.
    #[inline]
    pub(super) fn flush(&mut self, slot: Slot) {
        if self.outbox.is_empty() {
            return;
        }
        let bytes = self.outbox.len() as u64;
        let payload_bytes = std::mem::take(&mut self.carrying_bytes);
        match self.driver.send(slot, &mut self.outbox) {
            Sent::All => {
                self.recorder.wrote(bytes);
                self.recorder.carried(payload_bytes);
                if !self.conns[slot].unflushed.is_empty() {
                    self.written(slot);
                }
            }
            // Counted when it is out, or as far as it came.
            Sent::Kept => {
                let conn = &mut self.conns[slot];
                conn.blocked = true;
                conn.kept_bytes += bytes;
                conn.kept_payload_bytes += payload_bytes;
            }
            Sent::Failed(cause) => {
                self.outbox.clear();
                self.write_failed(slot, cause);
            }
        }
    }

    /// Requests without a reply are out, and so complete.
    fn written(&mut self, slot: Slot) {
        let now = self.driver.now();
        let status = self.tables.written;
        let conn = &mut self.conns[slot];
        self.in_flight -= conn.unflushed.len() as u64;
        self.endpoints[conn.endpoint].completed += conn.unflushed.len() as u64;
        for flight in conn.unflushed.drain(..) {
            let answer = Answer {
                op: flight.ticket.op,
                status,
                units: flight.ticket.units,
                payload_rx_bytes: Some(0),
                intended: flight.intended,
                sent: flight.sent,
                // Nothing comes back: `last` is when the socket took it.
                first: Tick::NEVER,
                last: now,
                origin: None,
            };
            self.recorder.answered(&answer, false);
        }
        // Not at once: other connections have their turn first.
        self.set_timer(slot, now.after(1));
    }

    /// The driver has sent all it kept.
    pub(super) fn flushed(&mut self, slot: Slot) {
        let conn = &mut self.conns[slot];
        conn.blocked = false;
        self.recorder.wrote(std::mem::take(&mut conn.kept_bytes));
        self.recorder
            .carried(std::mem::take(&mut conn.kept_payload_bytes));
        if !self.conns[slot].unflushed.is_empty() {
            self.written(slot);
        }
        let now = self.driver.now();
        self.settle(slot, now);
    }

    pub(super) fn write_failed(&mut self, slot: Slot, cause: Cause) {
        self.broken(slot, Phase::Write, cause);
    }
}
