//! What a reply brings, taken as it comes: which claim it is for, and what its batches have.
//!
//! Nothing here may move a cursor: a reply that breaks off is forgotten with its connection.

use loadgen_core::time::Tick;

use super::cursors::Claim;
use super::local::Local;
use crate::produce::template::stamp_of;
use crate::spec::{Depth, Isolation};
use crate::walk::{self, Counts, Step, Visit, Walk};
use crate::wire::fetched::{PartHead, Sink};
use crate::wire::record::Record;
use crate::wire::{WireError, Wrong};

/// A partition's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) claim: Claim,
    pub(super) head: PartHead,
    /// Bytes of its batches.
    pub(super) bytes: u32,
    pub(super) counts: Counts,
    pub(super) leader: Option<(i32, i32)>,
}

/// Through batches as deep as was asked for; and where that is not at all, through their headers for
/// as long as it is not known where fetches begin.
#[derive(Debug)]
pub(super) struct Walks {
    asked: Walk,
    scout: Option<Walk>,
    scouting: bool,
}

impl Walks {
    pub(super) fn new(rules: walk::Rules) -> Self {
        let scout = walk::Rules {
            depth: Depth::Headers,
            isolation: Isolation::ReadUncommitted,
        };
        Self {
            asked: Walk::new(rules),
            scout: (rules.depth == Depth::None).then(|| Walk::new(scout)),
            scouting: false,
        }
    }

    fn now(&mut self) -> &mut Walk {
        match &mut self.scout {
            Some(scout) if self.scouting => scout,
            _ => &mut self.asked,
        }
    }
}

/// What is known of the reply that is being read.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) place: u32,
    pub(super) throttle_ms: i32,
    pub(super) error: i16,
    pub(super) answered: Vec<Answered>,
    /// By the claim's position: whether it was answered.
    pub(super) seen: Vec<bool>,
    pub(super) origins: Vec<Tick>,
    /// Whose batches cannot be decoded, and the offset of the first such.
    pub(super) blamed: Option<(Claim, i64)>,
}

/// What the reader of a reply tells a session.
pub(super) struct Taker<'a> {
    pub(super) local: &'a Local,
    pub(super) walks: &'a mut Walks,
    pub(super) state: &'a mut State,
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
        let (answered, seen) = (self.state.answered.len(), &mut self.state.seen);
        let found = self.local.with(self.state.place, |claims| {
            if seen.len() != claims.len() {
                seen.clear();
                seen.resize(claims.len(), false);
            }
            let is_it = |at: &usize| {
                let claim = claims.get(*at);
                let index = claim.map(|claim| topic.partitions[claim.partition].index);
                index == Some(head.index) && !seen[*at]
            };
            // Brokers answer in the order of the request.
            let next = Some(answered).filter(is_it);
            let at = next.or_else(|| (0..claims.len()).find(is_it))?;
            Some((at, claims[at]))
        });
        let Some((at, claim)) = found else {
            return Err(Wrong::Partition.because(format!(
                "partition {} came, it was not among the {} that were asked for or came twice",
                head.index,
                seen.len()
            )));
        };
        seen[at] = true;
        self.state.answered.push(Answered {
            claim,
            head: *head,
            bytes: 0,
            counts: Counts {
                next_offset: claim.offset,
                ..Counts::default()
            },
            leader: None,
        });
        self.walks.scouting = !claim.known;
        // The walk begins with the records; what is aborted comes before their length is known.
        self.walks.now().begin(claim.offset, 0);
        Ok(())
    }

    fn aborted(&mut self, producer_id: i64, first_offset: i64) {
        self.walks.now().aborted(producer_id, first_offset);
    }

    fn records(&mut self, bytes: u32) {
        self.walks.now().expect(bytes);
        if let Some(last) = self.last() {
            last.bytes = bytes;
        }
    }

    fn feed(&mut self, bytes: &[u8], skipped: u64) -> Result<Step, WireError> {
        let walk = self.walks.now();
        let step = if let Some(mark) = self.local.rules.mark {
            let origins = &mut self.state.origins;
            walk.feed(bytes, skipped, &mut Stamps { mark, origins })
        } else {
            walk.feed(bytes, skipped, &mut ())
        };
        if step.is_err() {
            let at = walk.at();
            self.state.blamed = self.state.answered.last().map(|last| (last.claim, at));
        }
        step
    }

    fn leader(&mut self, node: i32, epoch: i32) {
        if let Some(last) = self.last() {
            last.leader = Some((node, epoch));
        }
    }

    fn end(&mut self) {
        let counts = *self.walks.now().counts();
        if let Some(last) = self.last() {
            last.counts = counts;
        }
    }
}

/// Takes the stamp out of every record that has one of this run.
struct Stamps<'a> {
    mark: u64,
    origins: &'a mut Vec<Tick>,
}

impl Visit for Stamps<'_> {
    fn record(&mut self, _offset: i64, _timestamp_ms: i64, record: &Record<'_>) {
        self.origins.extend(stamp_of(record.value_head, self.mark));
    }
}
