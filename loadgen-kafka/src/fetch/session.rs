//! One connection that fetches.
//!
//! It asks for what the workload claimed and walks through what comes. A claim moves only when its
//! reply is whole; what is known before that is forgotten with the connection.

use std::rc::Rc;
use std::time::Duration;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{
    Fault, Handshake, Input, Phase, Progress, Reply, Session, Tally, Then, Ticket,
};
use loadgen_core::time::Tick;

use super::cursors::{Came, Claim};
use super::local::Local;
use super::take::{Answered, State, Taker, Walks};
use crate::greeting::{FETCH_MIN, Greeting, spoken};
use crate::spec::{Depth, Isolation};
use crate::tables::{self, Op};
use crate::walk::Counts;
use crate::wire::WireError;
use crate::wire::fetch::{self, Part};
use crate::wire::fetched::{Fetched, PartHead};

/// What was answered with an error is asked for again after this long; sooner where that is all
/// there is to ask for, but a fetch of nothing but errors makes its connection pause.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// A broker that throttles for longer than this is not believed.
const THROTTLE_MAX_MS: i32 = 600_000;
/// `OFFSET_OUT_OF_RANGE`.
const OUT_OF_RANGE: i16 = 1;

/// Errors that come again however often is asked: `TOPIC_AUTHORIZATION_FAILED`, `UNSUPPORTED_VERSION`,
/// `INVALID_REQUEST`, `UNSUPPORTED_COMPRESSION_TYPE` (zstd below v10, KIP-110).
const fn is_final(code: i16) -> bool {
    matches!(code, 29 | 35 | 42 | 76)
}

/// A fetch of what the worker's list at `place` claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A place in [`Local`].
    pub place: u32,
    /// What it counts as.
    pub op: Op,
}

/// One connection.
#[derive(Debug)]
pub struct FetchSession {
    local: Rc<Local>,
    greeting: Greeting,
    version: i16,
    correlation: i32,
    reply: Fetched,
    walks: Walks,
    state: State,
}

impl FetchSession {
    /// A new connection; `serial` tells it from the others.
    #[must_use]
    pub fn new(local: &Rc<Local>, serial: u64) -> Self {
        let rules = &local.rules;
        Self {
            greeting: Greeting::new(&rules.greeting, serial),
            version: 0,
            correlation: 0,
            reply: Fetched::new(0),
            walks: Walks::new(rules.walk),
            state: State::default(),
            local: Rc::clone(local),
        }
    }

    /// The reply is whole: every claim gets what came for it.
    fn complete(&mut self, tally: &mut Tally, op: &mut u8) -> Reply<()> {
        let sum = self.settle();
        let rules = &self.local.rules;
        let seen = &self.state.seen;
        let answered = |at: usize| seen.get(at) == Some(&true);
        self.local.with(self.state.place, |claims| {
            let left_out = claims.iter().enumerate().filter(|(at, _)| !answered(*at));
            left_out.for_each(|(_, claim)| put_off(&self.local, claim, false));
        });
        self.local.over(self.state.place);
        self.local.stamped(self.state.origins.len() as u64);
        for origin in self.state.origins.drain(..) {
            tally.origin(origin);
        }
        let blind = rules.walk.depth == Depth::None;
        let payload = match rules.record_bytes {
            Some(bytes) => Some(sum.records * u64::from(bytes)),
            None if sum.records == 0 && !blind => Some(0),
            None => sum.payload,
        };
        let units = if blind { 0 } else { sum.records };
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // A reply is what the worst of its partitions is; the records of the others count.
        let status = match sum.failed {
            Some(code) => {
                if units > 0 {
                    tally.add(*op, tables::OK, units);
                }
                tables::status_of(code)
            }
            None if units > 0 || (blind && sum.bytes > 0) => tables::OK,
            None => tables::EMPTY,
        };
        if status == tables::EMPTY && sum.bytes == 0 {
            // The broker waited, wherever the end was thought to be.
            *op = Op::Wait as u8;
        }
        Reply {
            status,
            units: if sum.failed.is_some() { 0 } else { units },
            payload_rx_bytes: payload,
            origin: None,
            then: self.then(&sum),
            feedback: None,
        }
    }

    /// Gives the cursors what came for them, and says what that is in all.
    fn settle(&self) -> Sum {
        let (state, local) = (&self.state, &*self.local);
        let mut sum = Sum {
            payload: Some(0),
            ..Sum::default()
        };
        if state.error != 0 {
            local.error(state.error);
            sum.failed = Some(state.error);
        }
        for answered in &state.answered {
            sum.bytes += u64::from(answered.bytes);
            let error = answered.head.error;
            sum.failed = sum.failed.or((error != 0).then_some(error));
        }
        let barren = sum.bytes == 0 && sum.failed.is_none() && state.throttle_ms <= 0;
        for answered in &state.answered {
            let (topic, at) = (&local.rules.topic, answered.claim.partition);
            let leader = topic.leader(at);
            if let Some((node, epoch)) = answered.leader {
                topic.learn(at, Some((node, epoch)));
            }
            if answered.head.error == 0 {
                came(local, answered, barren, &mut sum);
            } else {
                refused(local, answered, topic.leader(at) != leader);
            }
        }
        sum
    }

    /// The reply ends here, and the connection with it: core takes all of its claims back. The one with
    /// the batch at fault is asked for by itself from now on, and not for ever.
    /// Where none is known to be at fault, all of them are refused.
    #[cold]
    fn undecodable(&self, error: &WireError) {
        let local = &self.local;
        let Some((claim, at)) = self.state.blamed else {
            let (cursors, now) = (&local.rules.cursors, local.now.get());
            local.with(self.state.place, |claims| {
                let tired = claims.iter().filter(|c| cursors.refused_too_long(c, now));
                tired.for_each(|claim| give_up(local, claim));
            });
            return;
        };
        if local.rules.cursors.suspect(&claim, again_at(local)) {
            local.gave_up();
            local.undecodable(claim.partition, at, &error.detail);
        }
    }

    /// What the connection does after a reply.
    fn then(&self, sum: &Sum) -> Then {
        let throttle_ms = self.state.throttle_ms.clamp(0, THROTTLE_MAX_MS);
        if throttle_ms > 0 {
            let throttle_ms = u64::from(throttle_ms.unsigned_abs());
            self.local.throttled(throttle_ms);
            Then::Pause(Duration::from_millis(throttle_ms))
        } else if sum.good == 0 {
            Then::Pause(ERROR_PAUSE)
        } else {
            Then::Reuse
        }
    }
}

/// What came in a reply.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    records: u64,
    /// Bytes of batches.
    bytes: u64,
    payload: Option<u64>,
    /// The first error.
    failed: Option<i16>,
    /// Partitions without one, and with more than a piece of a batch.
    good: u32,
}

/// A partition was answered; `barren`: and so were all others, with nothing.
fn came(local: &Local, answered: &Answered, barren: bool, sum: &mut Sum) {
    let (rules, counts) = (&local.rules, &answered.counts);
    sum.records += counts.records;
    let payload = sum.payload.zip(counts.payload_bytes);
    sum.payload = payload.map(|(sum, more)| sum + more);
    if rules.walk.depth == Depth::None {
        // What was seen of it served to find the way.
        local.counted(answered.bytes, &Counts::default());
    } else {
        local.counted(answered.bytes, counts);
    }
    // Brokers since KIP-74 send the first batch whole, whatever its size; not everything that speaks
    // Fetch does, and the same piece would come for ever.
    if counts.batches == 0 && counts.partial_bytes > 0 {
        local.cut_off();
        if rules.cursors.hopeless(&answered.claim, again_at(local)) {
            local.gave_up();
        }
        return;
    }
    sum.good += 1;
    let came = Came {
        counts,
        bytes: answered.bytes,
        known_end: known_end(rules.walk.isolation, &answered.head),
        barren,
    };
    let unread = rules.cursors.advance(&answered.claim, &came);
    if unread.offsets > 0 {
        local.unread(unread.offsets);
    }
    if unread.gave_up {
        local.gave_up();
    }
}

/// The offset behind the last one that can be read, as the broker says; negative where it does not.
fn known_end(isolation: Isolation, head: &PartHead) -> i64 {
    match isolation {
        // What is behind it waits for a transaction to end, and so does the broker.
        Isolation::ReadCommitted if head.last_stable >= 0 => head.last_stable,
        Isolation::ReadCommitted | Isolation::ReadUncommitted => head.high_watermark,
    }
}

/// A partition was answered with an error; `moved`: and with who leads it now.
#[cold]
fn refused(local: &Local, answered: &Answered, moved: bool) {
    let (claim, head) = (&answered.claim, &answered.head);
    let rules = &local.rules;
    local.error(head.error);
    if tables::leader_doubtful(head.error) {
        rules.topic.doubt();
    }
    if head.error == OUT_OF_RANGE {
        out_of_range(local, answered);
    } else if is_final(head.error) {
        give_up(local, claim);
    } else {
        put_off(local, claim, moved);
    }
}

#[cold]
fn give_up(local: &Local, claim: &Claim) {
    if local.rules.cursors.give_up(claim) {
        local.gave_up();
    }
}

/// A claim was refused: it is asked for a little later, or at once where it is somebody else who leads
/// it now, but not for ever.
#[cold]
fn put_off(local: &Local, claim: &Claim, moved: bool) {
    let cursors = &local.rules.cursors;
    if cursors.refused_too_long(claim, local.now.get()) {
        give_up(local, claim);
    } else if moved {
        cursors.release(claim);
    } else {
        cursors.hold(claim, again_at(local));
    }
}

/// When to ask again for what was refused now.
fn again_at(local: &Local) -> Tick {
    local.now.get() + ERROR_PAUSE
}

/// Reading goes on where the log begins, when it begins later. Brokers seldom say so in the reply
/// itself: then the cluster is asked, beside the run.
#[cold]
fn out_of_range(local: &Local, answered: &Answered) {
    let (claim, head) = (&answered.claim, &answered.head);
    let rules = &local.rules;
    let said = (head.log_start >= 0).then_some(head.log_start);
    let heard = || rules.topic.take_start(claim.partition);
    let known = || rules.cursors.begins_behind(claim);
    match said.or_else(known).or_else(heard) {
        Some(start) if start > claim.offset => {
            let passed = rules.cursors.jump(claim, start);
            local.jumped(passed.offsets);
            if passed.gave_up {
                local.gave_up();
            }
        }
        Some(_) if said.is_some() => give_up(local, claim),
        Some(_) => {
            if rules.cursors.hopeless(claim, again_at(local)) {
                local.gave_up();
            } else {
                rules.topic.want_starts();
            }
        }
        None => {
            rules.topic.want_starts();
            put_off(local, claim, false);
        }
    }
}

impl Session for FetchSession {
    type Request = Ask;
    type Feedback = ();

    fn handshake(&mut self, input: &[u8], out: &mut Outbox) -> Result<Handshake, Fault> {
        let step = self.greeting.drive(input, out.copied_mut())?;
        if let Handshake::Done { .. } = step {
            self.version = spoken(self.greeting.versions().fetch, "Fetch", FETCH_MIN)?;
            self.reply = Fetched::new(self.version);
            self.local.version.set(self.version);
        }
        Ok(step)
    }

    fn encode(&mut self, ask: Ask, at: Tick, out: &mut Outbox) -> Ticket {
        self.local.now.set(at);
        self.correlation = self.correlation.wrapping_add(1);
        let topic = &self.local.rules.topic;
        let part = |claim: &Claim| Part {
            index: topic.partitions[claim.partition].index,
            offset: claim.offset,
            leader_epoch: topic.leader_epoch(claim.partition),
        };
        self.local.with(ask.place, |claims| {
            let parts = claims.iter().map(part);
            let common = &self.local.rules.common;
            fetch::put(
                common,
                self.version,
                self.correlation,
                parts,
                out.copied_mut(),
            );
        });
        Ticket {
            op: ask.op as u8,
            units: 0,
            answered: true,
            payload_tx_bytes: 0,
            tag: u64::from(self.correlation as u32) << 32 | u64::from(ask.place),
        }
    }

    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        if self.reply.at_start() {
            self.reply.expect((ticket.tag >> 32) as u32 as i32);
            self.state.place = ticket.tag as u32;
            self.state.answered.clear();
            self.state.seen.clear();
            self.state.origins.clear();
            self.state.blamed = None;
        }
        let mut taker = Taker {
            local: &self.local,
            walks: &mut self.walks,
            state: &mut self.state,
        };
        let step = self.reply.feed(input.bytes, input.skipped, &mut taker);
        let step = step.map_err(|error| {
            self.undecodable(&error);
            error.fault(Phase::Decode)
        })?;
        Ok(Progress {
            eaten: step.eaten,
            discard: step.discard,
            done: step.done.then(|| self.complete(tally, &mut ticket.op)),
        })
    }
}
