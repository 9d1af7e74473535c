//! The life of one connection: connect, serve, be lost, come back.
//!
//! The pool never shrinks: a connection that is gone is tried again, later each time it fails.
//! Nothing is sent again in silence.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use loadgen_core::driver::Slot;
use loadgen_core::protocol::{Cause, Phase};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use super::fault::{self, Progress};
use super::link::{Ended, Link};
use super::work::{Flight, Job, Stage, WholeReply, Work};
use crate::wire::Wrong;

/// The first wait after a failure, doubled each time, ns: as in the native engine.
const BACKOFF_NS: u64 = 10_000_000;
/// The longest one, ns.
const BACKOFF_MAX_NS: u64 = 1_000_000_000;

/// One connection over the whole run.
#[derive(Debug)]
pub(super) struct Conn {
    work: Rc<Work>,
    slot: Slot,
    /// Attempts so far.
    serial: u64,
    /// Attempts that failed: an address that does not answer is passed over at the next one, and
    /// one that does is kept.
    detour: usize,
}

/// What became of a request.
enum End {
    /// The connection takes the next one.
    Answered,
    /// It is no use any more.
    Lost,
}

impl Conn {
    pub(super) fn new(work: Rc<Work>, slot: Slot) -> Self {
        Self {
            work,
            slot,
            serial: 0,
            detour: 0,
        }
    }

    /// Serves until nothing is left to send.
    pub(super) async fn live(mut self) {
        let mut failures: u32 = 0;
        loop {
            let replies = if self.work.is_cold() {
                self.once().await
            } else {
                self.serve().await
            };
            if self.work.stage.get() == Stage::Drain || self.work.nothing_left() {
                return;
            }
            failures = if replies > 0 { 0 } else { failures + 1 };
            if failures > 0 {
                let ns = (BACKOFF_NS << (failures - 1).min(7)).min(BACKOFF_MAX_NS);
                // A quarter at random, so that the pool does not come back as one burst.
                let ns = ns - self.work.random.borrow_mut().below(ns / 4);
                let until = Instant::now() + Duration::from_nanos(ns);
                self.work.timer.wait(until).await;
                if self.work.nothing_left() {
                    return;
                }
            }
        }
    }

    fn endpoint(&self) -> (usize, Endpoint) {
        let dealt = self.work.seat.dealt[self.slot];
        let endpoints = &self.work.routes[dealt.route].endpoints;
        let turn = (dealt.of_route as usize).wrapping_add(self.detour);
        let endpoint = endpoints[turn % endpoints.len()].clone();
        (self.work.row(dealt.route, &endpoint), endpoint)
    }

    /// The next request; waits for the epoch, and in an open loop until it is due. Never comes
    /// back when nothing is left: the connection stays until the end of the run.
    async fn next(&self) -> Job {
        let work = &self.work;
        while work.stage.get() == Stage::Wait {
            work.started.notified().await;
        }
        let route = work.seat.dealt[self.slot].route;
        let job = match &work.pools {
            Some(pools) => pools.turn(route).await,
            None => work.ask(route).map(|request| Job {
                request,
                intended: None,
            }),
        };
        match job {
            Some(job) => job,
            None => std::future::pending().await,
        }
    }

    /// Connects within `limit`. `since`: when the attempt began for who waits.
    async fn open(
        &mut self,
        endpoint: &Endpoint,
        row: usize,
        since: Tick,
        limit: Duration,
    ) -> Result<Link, Cause> {
        let work = &self.work;
        let step = u64::from(work.seat.options.connections);
        let number = work.seat.first + self.slot as u64 + self.serial * step;
        self.serial += 1;
        let opened = Link::open(work, endpoint, number, limit).await;
        let now = work.now();
        if opened.is_ok() {
            work.recorder.borrow_mut().connected(now.since(since), now);
            work.counts.borrow_mut().opened += 1;
            work.endpoints.borrow_mut()[row].opened += 1;
        } else {
            work.counts.borrow_mut().connect_failures += 1;
            self.detour = self.detour.wrapping_add(1);
        }
        opened
    }

    /// One connection that carries many requests, from its beginning to its end; how many replies
    /// came on it.
    async fn serve(&mut self) -> u64 {
        let (row, endpoint) = self.endpoint();
        // An error would mean that the semaphore is closed, which nobody does.
        let turn = Rc::clone(&self.work);
        let permit = turn.connecting.acquire().await;
        let since = self.work.now();
        let limit = self.work.seat.options.connect_timeout;
        let opened = self.open(&endpoint, row, since, limit).await;
        drop(permit);
        let first_attempt = self.serial == 1;
        let link = match opened {
            Ok(link) => {
                self.work.alive.set(self.work.alive.get() + 1);
                Some(link)
            }
            Err(cause) => {
                self.connect_failed(&endpoint, cause, since);
                None
            }
        };
        if first_attempt {
            self.work.tried();
        }
        let Some(mut link) = link else {
            return 0;
        };
        self.carry(&mut link, row, &endpoint).await;
        self.work.alive.set(self.work.alive.get() - 1);
        link.replies
    }

    /// Requests and replies until the connection ends.
    async fn carry(&self, link: &mut Link, row: usize, endpoint: &Endpoint) {
        let limit = self.work.prepared.per_connection.unwrap_or(u64::MAX);
        loop {
            if link.served >= limit {
                self.work.counts.borrow_mut().closed_by_us += 1;
                return;
            }
            if !link.sender.is_ready() {
                let timeout = self.work.seat.options.timeout;
                match tokio::time::timeout(timeout, link.sender.ready()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        let ended = (&mut link.driver).await;
                        return self.ended(ended, endpoint);
                    }
                    Err(_) => return self.stuck(endpoint, timeout),
                }
            }
            let job = tokio::select! {
                biased;
                ended = &mut link.driver => return self.ended(ended, endpoint),
                job = self.next() => job,
            };
            let flight = self.work.begin(self.slot, job);
            match self.exchange(link, row, job, flight, endpoint).await {
                End::Answered => link.replies += 1,
                End::Lost => {
                    self.work.counts.borrow_mut().lost += 1;
                    return;
                }
            }
        }
    }

    /// One request that makes its own connection; how many replies came.
    async fn once(&mut self) -> u64 {
        let job = self.next().await;
        let (row, endpoint) = self.endpoint();
        let flight = self.work.begin(self.slot, job);
        let options = &self.work.seat.options;
        // The request is waiting already.
        let limit = options.connect_timeout.min(options.timeout);
        let mut link = match self.open(&endpoint, row, flight.sent, limit).await {
            Ok(link) => link,
            Err(cause) => {
                let detail = || connect_detail(&endpoint, self.work.now().since(flight.sent));
                let what = (Phase::Connect, cause);
                self.work.failed(self.slot, row, what, detail);
                return 0;
            }
        };
        self.work.alive.set(self.work.alive.get() + 1);
        let end = self.exchange(&mut link, row, job, flight, &endpoint).await;
        self.work.alive.set(self.work.alive.get() - 1);
        let mut counts = self.work.counts.borrow_mut();
        match end {
            End::Answered => {
                counts.closed_by_us += 1;
                1
            }
            End::Lost => {
                counts.lost += 1;
                0
            }
        }
    }

    /// Sends a request and reads its whole reply.
    async fn exchange(
        &self,
        link: &mut Link,
        row: usize,
        job: Job,
        flight: Flight,
        endpoint: &Endpoint,
    ) -> End {
        let work = &self.work;
        let prepared = &work.prepared;
        link.served += 1;
        let last = prepared.per_connection == Some(link.served);
        let request = prepared.request(job.request, last);
        let body_bytes = prepared.body_bytes(job.request);
        work.recorder.borrow_mut().carried(body_bytes);
        let timeout = work.seat.options.timeout;
        let left = timeout.saturating_sub(work.now() - flight.sent);
        let received = link.received();
        let mut first = None;
        let reply = read_reply(work, &mut link.sender, request, &mut first);
        let reply = tokio::time::timeout(left, reply).await;
        let progress = match first {
            Some(_) => Progress::InBody,
            None if link.received() > received => Progress::InHead,
            None => Progress::Nothing,
        };
        let (what, detail) = match reply {
            Ok(Ok(reply)) if work.answered(self.slot, row, &reply) => return End::Answered,
            Ok(Ok(reply)) => {
                let what = (Phase::Decode, Cause::Protocol(Wrong::BadStatusLine as u8));
                (what, format!("status {} is beyond 599", reply.code))
            }
            Ok(Err(error)) => describe(link, error, progress).await,
            Err(_) => {
                let age_ms = timeout.as_millis();
                let detail = format!("no whole reply from {endpoint} within {age_ms} ms");
                ((progress.phase(), Cause::Timeout), detail)
            }
        };
        work.failed(self.slot, row, what, || format!("{endpoint}: {detail}"));
        End::Lost
    }

    /// The connection ended with nothing in flight.
    fn ended(&self, ended: Ended, endpoint: &Endpoint) {
        let mut counts = self.work.counts.borrow_mut();
        match ended {
            Ok(Err(error)) => {
                counts.lost += 1;
                let (phase, cause) = fault::of_idle(&error);
                let now = self.work.now();
                let detail = || format!("{endpoint}: {}", sentence(&error));
                let mut recorder = self.work.recorder.borrow_mut();
                recorder.error(phase, cause, now, detail);
            }
            Ok(Ok(())) | Err(_) => counts.closed_by_target += 1,
        }
    }

    /// A reply came, and the request that it answers was not taken to its end.
    fn stuck(&self, endpoint: &Endpoint, after: Duration) {
        self.work.counts.borrow_mut().lost += 1;
        let after_ms = after.as_millis();
        let now = self.work.now();
        let detail = || {
            format!(
                "{endpoint}: it replied, and did not take the whole request within {after_ms} ms"
            )
        };
        let mut recorder = self.work.recorder.borrow_mut();
        recorder.error(Phase::Write, Cause::Timeout, now, detail);
    }

    fn connect_failed(&self, endpoint: &Endpoint, cause: Cause, since: Tick) {
        let now = self.work.now();
        let detail = || connect_detail(endpoint, now.since(since));
        let mut recorder = self.work.recorder.borrow_mut();
        recorder.error(Phase::Connect, cause, now, detail);
    }
}

fn connect_detail(endpoint: &Endpoint, after_ns: u64) -> String {
    let after_ms = after_ns / 1_000_000;
    format!("connecting to {endpoint} failed after {after_ms} ms")
}

async fn read_reply(
    work: &Work,
    sender: &mut hyper::client::conn::http1::SendRequest<super::prepared::Body>,
    request: hyper::Request<super::prepared::Body>,
    first: &mut Option<Tick>,
) -> hyper::Result<WholeReply> {
    let reply = sender.send_request(request).await?;
    let head_at = work.now();
    *first = Some(head_at);
    let code = reply.status().as_u16();
    let mut body = reply.into_body();
    let mut payload_bytes = 0;
    while let Some(frame) = body.frame().await {
        payload_bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(WholeReply {
        code,
        payload_bytes,
        first: head_at,
        last: work.now(),
    })
}

/// What a request failed of, and a sentence about it. Where hyper only says that it gave up, its
/// task knows why.
async fn describe(
    link: &mut Link,
    error: hyper::Error,
    progress: Progress,
) -> ((Phase, Cause), String) {
    if error.is_canceled()
        && let Ok(Err(reason)) = (&mut link.driver).await
    {
        return (fault::of(&reason, progress), sentence(&reason));
    }
    (fault::of(&error, progress), sentence(&error))
}

/// An error with what is behind it.
fn sentence(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
