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

use super::cursors::Claim;
use super::local::Local;
use crate::greeting::{FETCH_MIN, Greeting, spoken};
use crate::spec::Depth;
use crate::tables::{self, Op};
use crate::walk::{Counts, Step, Visit, Walk};
use crate::wire::fetch::{self, Part};
use crate::wire::fetched::{Fetched, PartHead, Sink};
use crate::wire::record::Record;
use crate::wire::{WireError, Wrong};

/// A fetch that was answered with nothing but errors is asked again after this long.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// A broker that throttles for longer than this is not believed.
const THROTTLE_MAX_MS: i32 = 600_000;
/// `OFFSET_OUT_OF_RANGE`.
const OUT_OF_RANGE: i16 = 1;

/// A fetch of what the worker's list at `place` claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A place in [`Local`].
    pub place: u32,
    /// What it counts as.
    pub op: Op,
}

/// A partition's answer.
#[derive(Clone, Copy, Debug)]
struct Answered {
    claim: Claim,
    head: PartHead,
    counts: Counts,
    leader: Option<(i32, i32)>,
}

/// One connection.
#[derive(Debug)]
pub struct FetchSession {
    local: Rc<Local>,
    greeting: Greeting,
    version: i16,
    correlation: i32,
    reply: Fetched,
    walk: Walk,
    state: State,
}

/// What is known of the reply that is being read.
#[derive(Debug, Default)]
struct State {
    place: u32,
    throttle_ms: i32,
    error: i16,
    answered: Vec<Answered>,
    origins: Vec<Tick>,
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
            walk: Walk::new(rules.walk),
            state: State::default(),
            local: Rc::clone(local),
        }
    }

    /// The reply is whole: every claim gets what came for it.
    fn complete(&mut self, tally: &mut Tally, op: u8) -> Reply<()> {
        let local = Rc::clone(&self.local);
        let rules = &local.rules;
        let (mut records, mut payload, mut failed, mut good) = (0_u64, Some(0_u64), None, 0);
        if self.state.error != 0 {
            local.error(self.state.error);
            failed = Some(self.state.error);
        }
        for answered in &self.state.answered {
            let (claim, counts) = (&answered.claim, &answered.counts);
            if let Some((node, epoch)) = answered.leader {
                rules.topic.learn(claim.partition, Some((node, epoch)));
            }
            if answered.head.error == 0 {
                good += 1;
                records += counts.records;
                payload = payload
                    .zip(counts.payload_bytes)
                    .map(|(sum, more)| sum + more);
                local.counted(counts);
                rules
                    .cursors
                    .advance(claim, counts, answered.head.high_watermark);
            } else {
                failed.get_or_insert(answered.head.error);
                refused(&local, answered);
            }
        }
        let answered = &self.state.answered;
        let is_answered = |claim: &Claim| answered.iter().any(|a| a.claim.cursor == claim.cursor);
        local.over(self.state.place, is_answered);
        for origin in self.state.origins.drain(..) {
            tally.origin(origin);
        }
        let payload = match rules.record_bytes {
            Some(bytes) => Some(records * u64::from(bytes)),
            None if records == 0 && rules.walk.depth != Depth::None => Some(0),
            None => payload,
        };
        let units = u32::try_from(records).unwrap_or(u32::MAX);
        // A reply is what the worst of its partitions is; the records of the others count.
        let status = match failed {
            Some(code) => {
                if units > 0 {
                    tally.add(op, tables::OK, units);
                }
                tables::status_of(code)
            }
            None if units > 0 || rules.walk.depth == Depth::None => tables::OK,
            None => tables::EMPTY,
        };
        let throttle_ms = self.state.throttle_ms.clamp(0, THROTTLE_MAX_MS);
        let then = if throttle_ms > 0 {
            local.throttled(u64::from(throttle_ms.unsigned_abs()));
            Then::Pause(Duration::from_millis(u64::from(throttle_ms.unsigned_abs())))
        } else if failed.is_some() && good == 0 {
            Then::Pause(ERROR_PAUSE)
        } else {
            Then::Reuse
        };
        Reply {
            status,
            units: if failed.is_some() { 0 } else { units },
            payload_rx_bytes: payload,
            origin: None,
            then,
            feedback: None,
        }
    }
}

/// A partition was answered with an error.
#[cold]
fn refused(local: &Local, answered: &Answered) {
    let (claim, head) = (&answered.claim, &answered.head);
    let rules = &local.rules;
    local.error(head.error);
    if tables::leader_doubtful(head.error) {
        rules.topic.doubt();
    }
    if head.error == OUT_OF_RANGE {
        out_of_range(local, answered);
    } else {
        rules.cursors.release(claim);
    }
}

/// Reading goes on where the log begins, when it begins later. Brokers seldom say so in the reply
/// itself: then the cluster is asked, beside the run.
#[cold]
fn out_of_range(local: &Local, answered: &Answered) {
    let (claim, head) = (&answered.claim, &answered.head);
    let rules = &local.rules;
    let said = (head.log_start >= 0).then_some(head.log_start);
    match said.or_else(|| rules.topic.take_start(claim.partition)) {
        Some(start) if start > claim.offset => local.jumped(rules.cursors.jump(claim, start)),
        Some(_) if said.is_some() => {
            local.gave_up();
            rules.cursors.give_up(claim);
        }
        Some(_) => {
            if rules.cursors.beyond_end(claim) {
                local.gave_up();
            } else {
                rules.topic.want_starts();
            }
        }
        None => {
            rules.topic.want_starts();
            rules.cursors.release(claim);
        }
    }
}

/// What the reader of a reply tells a session.
struct Taker<'a> {
    local: &'a Local,
    walk: &'a mut Walk,
    state: &'a mut State,
}

impl Taker<'_> {
    fn last(&mut self) -> Option<&mut Answered> {
        self.state.answered.last_mut()
    }
}

impl Sink for Taker<'_> {
    fn top(&mut self, throttle_ms: i32, error: i16) -> Result<(), WireError> {
        (self.state.throttle_ms, self.state.error) = (throttle_ms, error);
        Ok(())
    }

    fn topic(&mut self, name: &[u8]) -> Result<(), WireError> {
        let asked = &self.local.rules.topic.name;
        if name == asked.as_bytes() {
            return Ok(());
        }
        Err(Wrong::Partition.because(format!(
            "topic {asked} was asked for, {} came",
            name.escape_ascii()
        )))
    }

    fn partition(&mut self, head: &PartHead) -> Result<(), WireError> {
        let topic = &self.local.rules.topic;
        let mut before = 0;
        let claim = self.local.with(self.state.place, |claims| {
            let of_it = |claim: &&Claim| topic.partitions[claim.partition].index == head.index;
            let taken = |claim: &&Claim| {
                let same = |a: &Answered| a.claim.cursor == claim.cursor;
                !self.state.answered.iter().any(same)
            };
            before = claims.len();
            claims.iter().filter(of_it).find(taken).copied()
        });
        let Some(claim) = claim else {
            return Err(Wrong::Partition.because(format!(
                "partition {} came, it was not among the {before} that were asked for or came twice",
                head.index
            )));
        };
        self.state.answered.push(Answered {
            claim,
            head: *head,
            counts: Counts {
                next_offset: claim.offset,
                ..Counts::default()
            },
            leader: None,
        });
        // The walk begins with the records; what is aborted comes before their length is known.
        self.walk.begin(claim.offset, 0);
        Ok(())
    }

    fn aborted(&mut self, producer_id: i64, first_offset: i64) {
        self.walk.aborted(producer_id, first_offset);
    }

    fn records(&mut self, bytes: u32) {
        self.walk.expect(bytes);
    }

    fn feed(&mut self, bytes: &[u8], skipped: u64) -> Result<Step, WireError> {
        if self.local.rules.stamps {
            let mut stamps = Stamps(&mut self.state.origins);
            self.walk.feed(bytes, skipped, &mut stamps)
        } else {
            self.walk.feed(bytes, skipped, &mut ())
        }
    }

    fn leader(&mut self, node: i32, epoch: i32) {
        if let Some(last) = self.last() {
            last.leader = Some((node, epoch));
        }
    }

    fn end(&mut self) {
        let counts = *self.walk.counts();
        if let Some(last) = self.last() {
            last.counts = counts;
        }
    }
}

/// Takes the stamp out of every record.
struct Stamps<'a>(&'a mut Vec<Tick>);

impl Visit for Stamps<'_> {
    fn record(&mut self, _offset: i64, _timestamp_ms: i64, record: &Record<'_>) {
        if let Some(stamp) = record.value_head.first_chunk::<8>() {
            self.0.push(Tick(u64::from_be_bytes(*stamp)));
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

    fn encode(&mut self, ask: Ask, _at: Tick, out: &mut Outbox) -> Ticket {
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
            self.state.origins.clear();
        }
        let mut taker = Taker {
            local: &self.local,
            walk: &mut self.walk,
            state: &mut self.state,
        };
        let step = self.reply.feed(input.bytes, input.skipped, &mut taker);
        let step = step.map_err(|error| error.fault(Phase::Decode))?;
        Ok(Progress {
            eaten: step.eaten,
            discard: step.discard,
            done: step.done.then(|| self.complete(tally, ticket.op)),
        })
    }
}
