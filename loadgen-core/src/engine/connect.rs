//! How connections come: dealt endpoints, greetings, second attempts, moved routes.
//!
//! The pool never shrinks: a connection that is gone is tried again, later each time it fails.

use super::conn::State;
use super::options::EndpointCounts;
use super::worker::{Stage, Worker};
use crate::driver::{Driver, Slot};
use crate::protocol::{Cause, Handshake, Phase, Session};
use crate::time::Tick;
use crate::workload::{Endpoint, Route, RouteId, Workload};

/// Connections of one worker under way at once: below the backlog of an ordinary listener, so that
/// no SYN is lost by our own haste.
const CONNECTING: usize = 128;
/// The first wait after a failure, doubled each time, ns.
const BACKOFF_NS: u64 = 10_000_000;
/// Connections whose `TCP_INFO` is kept, at the most.
const TCP_SAMPLES: usize = 100_000;
/// The longest one, ns.
const BACKOFF_MAX_NS: u64 = 1_000_000_000;

impl<W: Workload, D: Driver> Worker<W, D> {
    pub(super) fn connect_soon(&mut self, slot: Slot) {
        if matches!(self.stage, Stage::Drain | Stage::Over) || self.nothing_left() {
            return;
        }
        self.to_connect.push_back(slot);
        self.connect_more();
    }

    pub(super) fn connect_more(&mut self) {
        while self.connecting < CONNECTING
            && let Some(slot) = self.to_connect.pop_front()
        {
            if self.conns[slot].state == State::Down {
                self.begin_connect(slot);
            }
        }
    }

    pub(super) fn begin_connect(&mut self, slot: Slot) {
        let now = self.driver.now();
        let conn = &mut self.conns[slot];
        let (route, number) = (conn.dealt.route, conn.dealt.number);
        let endpoints = &self.routes[route].endpoints;
        // An address that does not answer is passed over at the next attempt.
        let turn = conn.dealt.of_route as usize + conn.detour as usize;
        let endpoint = endpoints[turn % endpoints.len()].clone();
        conn.state = State::Connecting;
        conn.since = conn.pending.as_ref().map_or(now, |p| p.sent);
        conn.session = Some(self.workload.open(route, number));
        conn.serial += 1;
        let serial = conn.serial - 1;
        self.conns[slot].endpoint = self.endpoint_row(route, &endpoint);
        self.connecting += 1;
        // Never on to the next connection from here: thousands may fail one after the other.
        if let Err(cause) = self.driver.connect(slot, &endpoint, serial) {
            self.fail_connect(slot, cause);
        }
    }

    fn endpoint_row(&mut self, route: RouteId, endpoint: &Endpoint) -> usize {
        let known = self
            .endpoints
            .iter()
            .position(|e| e.route == route && e.endpoint == *endpoint);
        known.unwrap_or_else(|| {
            let endpoint = endpoint.clone();
            self.endpoints.push(EndpointCounts {
                route,
                endpoint,
                opened: 0,
                completed: 0,
                failed: 0,
            });
            self.endpoints.len() - 1
        })
    }

    pub(super) fn connect_failed(&mut self, slot: Slot, cause: Cause) {
        self.fail_connect(slot, cause);
        self.connect_more();
    }

    fn fail_connect(&mut self, slot: Slot, cause: Cause) {
        if self.conns[slot].state != State::Connecting {
            return;
        }
        let now = self.driver.now();
        self.connecting -= 1;
        self.counts.connect_failures += 1;
        let conn = &mut self.conns[slot];
        let row = &mut self.endpoints[conn.endpoint];
        if let Some(pending) = conn.pending.take() {
            self.recorder
                .failed(pending.intended, pending.sent, Tick::NEVER, now);
            self.in_flight -= 1;
            row.failed += 1;
        }
        let after_ms = now.since(conn.since) / 1_000_000;
        self.recorder.unconnected(now.since(conn.since), now);
        self.recorder.error(Phase::Connect, cause, now, || {
            format!("connecting to {} failed after {after_ms} ms", row.endpoint)
        });
        conn.detour = conn.detour.wrapping_add(1);
        self.tried(slot);
        self.come_back(slot, now);
    }

    /// The first attempt of `slot` has ended.
    pub(super) fn tried(&mut self, slot: Slot) {
        if !self.conns[slot].tried {
            self.conns[slot].tried = true;
            self.untried = self.untried.saturating_sub(1);
        }
    }

    pub(super) fn connected(&mut self, slot: Slot) {
        if self.conns[slot].state != State::Connecting {
            return;
        }
        let now = self.driver.now();
        let conn = &mut self.conns[slot];
        self.recorder.connected(now.since(conn.since), now);
        self.connecting -= 1;
        self.counts.opened += 1;
        self.endpoints[conn.endpoint].opened += 1;
        conn.state = State::Handshake;
        self.connect_more();
        self.shake(slot, &[], now);
    }

    /// Goes on with the greeting; `bytes` is all that was not eaten yet.
    pub(super) fn shake(&mut self, slot: Slot, bytes: &[u8], now: Tick) {
        let conn = &mut self.conns[slot];
        let Some(session) = &mut conn.session else {
            return;
        };
        let step = session.handshake(bytes, &mut self.outbox);
        match step {
            Err(fault) => {
                self.outbox.clear();
                self.fault(slot, fault);
            }
            Ok(Handshake::More { eaten }) => {
                conn.tail.clear();
                conn.tail
                    .extend_from_slice(&bytes[eaten.min(bytes.len())..]);
                self.flush(slot);
            }
            Ok(Handshake::Done { eaten }) => {
                self.flush(slot);
                if self.conns[slot].state != State::Handshake {
                    return;
                }
                self.ready(slot, now);
                if eaten < bytes.len() {
                    self.receive_more(slot, &bytes[eaten..], now);
                }
            }
        }
    }

    fn ready(&mut self, slot: Slot, now: Tick) {
        self.tried(slot);
        self.alive += 1;
        let conn = &mut self.conns[slot];
        conn.state = State::Ready;
        conn.tail.clear();
        if let Some(pending) = conn.pending.take() {
            self.put(slot, pending.request, pending.intended, pending.sent);
            self.flush(slot);
        }
        self.settle(slot, now);
    }

    /// Closes `slot` and says nothing about why.
    pub(super) fn close_now(&mut self, slot: Slot, reset: bool) {
        match self.conns[slot].state {
            State::Ready => self.alive -= 1,
            State::Connecting => self.connecting -= 1,
            State::Handshake => {}
            State::Down | State::Cold => return,
        }
        let conn = &mut self.conns[slot];
        let kept = std::mem::take(&mut conn.kept_bytes);
        self.recorder
            .wrote(kept.saturating_sub(self.driver.unsent_bytes(slot)));
        // Only of a connection that was lost: a planned close must not cost one more call.
        if reset && self.tcp.len() < TCP_SAMPLES {
            self.tcp.extend(self.driver.tcp_info(slot));
        }
        self.driver.close(slot, reset);
        self.conns[slot].state = State::Down;
    }

    /// The connection is gone: when is it tried again?
    pub(super) fn come_back(&mut self, slot: Slot, now: Tick) {
        let cold = self.per_connection == Some(1);
        let conn = &mut self.conns[slot];
        conn.failures = if conn.replies > 0 {
            0
        } else {
            conn.failures + 1
        };
        let failures = conn.failures;
        for request in conn.owed.drain(..) {
            self.owed -= 1;
            self.workload
                .dropped(conn.dealt.route, conn.dealt.number, request);
        }
        conn.reset(if cold { State::Cold } else { State::Down });
        if failures == 0 {
            self.changed(slot, now);
            if !cold && !self.nothing_left() {
                self.connect_soon(slot);
            }
            return;
        }
        let ns = (BACKOFF_NS << (failures - 1).min(7)).min(BACKOFF_MAX_NS);
        // A quarter at random, so that the pool does not come back as one burst.
        let at = now.after(ns - self.random.below(ns / 4));
        if cold {
            self.conns[slot].paused_until = at;
        }
        self.changed(slot, now);
        self.set_timer(slot, at);
    }

    /// The routes have changed: connections whose endpoint is gone go there no more.
    pub(super) fn move_routes(&mut self, routes: Vec<Route>, now: Tick) {
        let weights = |routes: &[Route]| -> Vec<u32> {
            routes.iter().map(|route| route.rate_weight).collect()
        };
        let shared_anew = weights(&self.routes) != weights(&routes);
        self.routes = routes;
        if shared_anew {
            self.share_anew(now);
        }
        for slot in 0..self.conns.len() {
            let conn = &mut self.conns[slot];
            if matches!(conn.state, State::Down | State::Cold) {
                continue;
            }
            let row = &self.endpoints[conn.endpoint];
            if !self.routes[row.route].endpoints.contains(&row.endpoint) {
                conn.retiring = true;
                self.settle(slot, now);
            }
        }
    }
}
