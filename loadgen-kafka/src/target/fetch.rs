//! Fetch, v4 to v12: read by hand, answered with references to prepared batches.
//!
//! First everything is read and weighed, then either the reply is written whole or the request is
//! held until there is enough. No byte of a record is copied here. Source: `FetchRequest.json`,
//! `FetchResponse.json`; limits as in `ReplicaManager.readFromLog` (KIP-74).

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadgen_core::buffer::Outbox;
use loadgen_core::serve::Step;

use super::api::{Head, code};
use super::fields::{Answer, Fields};
use super::log::Cut;
use super::serve::Desk;
use super::stats::Counter;
use super::topics::{Recent, Topic};

/// The most bytes of records in a reply, as a broker's `fetch.max.bytes`.
const RECORDS_MAX: usize = 55 << 20;

/// The longest a request is held.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What a connection keeps for its fetches: memory that is used again, and since when it waits.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    topics: Vec<AskedTopic>,
    partitions: Vec<AskedPartition>,
    /// When the request that is held is answered at the latest.
    until: Option<Instant>,
}

#[derive(Debug)]
struct AskedTopic {
    /// Where in the request its name is.
    name: Range<usize>,
    topic: Option<Arc<Topic>>,
    /// Which of the partitions are its own.
    partitions: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
struct AskedPartition {
    index: i32,
    offset: i64,
    room: usize,
    error: i16,
    end: i64,
    cut: Cut,
}

/// The part of a request in front of its topics.
struct Limits {
    wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    read_committed: bool,
    session: i32,
}

/// Bytes out of a request's number: a negative one is none.
fn bytes(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

impl Fetching {
    /// Answers the request in `fields`, or holds it. `None`: it cannot be read.
    pub(super) fn serve(
        &mut self,
        desk: &Desk<'_>,
        recent: &mut Recent,
        head: Head,
        mut fields: Fields<'_>,
        out: &mut Outbox,
    ) -> Option<Step> {
        let frame = fields.rest();
        let limits = self.read(desk, recent, head, &mut fields)?;
        let served = Step::Ate {
            bytes: 0,
            discard: 0,
        };
        if limits.session != 0 {
            // No session is ever opened, so there is none to go on with (KIP-227).
            refuse(head, code::FETCH_SESSION_ID_NOT_FOUND, out);
            return Some(served);
        }
        let total = self.weigh(desk, &limits);
        let failed = self.partitions.iter().any(|p| p.error != code::NONE);
        if total < limits.min_bytes && !failed && !self.partitions.is_empty() {
            let until = *self.until.get_or_insert(desk.now + limits.wait);
            if desk.now < until {
                return Some(Step::Hold(until));
            }
        }
        self.until = None;
        self.count(desk, total);
        self.write(desk, head, &limits, frame, out);
        Some(served)
    }

    fn read(
        &mut self,
        desk: &Desk<'_>,
        recent: &mut Recent,
        head: Head,
        fields: &mut Fields<'_>,
    ) -> Option<Limits> {
        let version = head.version;
        let begin = fields.at();
        self.topics.clear();
        self.partitions.clear();
        let _replica = fields.i32()?;
        let wait_ms = u64::try_from(fields.i32()?).unwrap_or(0);
        let (min, max) = (fields.i32()?, fields.i32()?);
        let read_committed = fields.i8()? == 1;
        let session = fields.when(version >= 7, 0, Fields::i32)?;
        fields.when(version >= 7, 0, Fields::i32)?;
        for _ in 0..fields.array()? {
            let name = fields.string_bytes()?;
            let end = fields.at() - begin;
            let from = self.partitions.len();
            for _ in 0..fields.array()? {
                self.partitions.push(AskedPartition::read(version, fields)?);
            }
            fields.tags()?;
            self.topics.push(AskedTopic {
                name: end - name.len()..end,
                topic: recent.find(name, &desk.broker.topics),
                partitions: from..self.partitions.len(),
            });
        }
        if version >= 7 {
            // Forgotten topics: of a session, which there is none of.
            for _ in 0..fields.array()? {
                fields.string_bytes()?;
                for _ in 0..fields.array()? {
                    fields.i32()?;
                }
                fields.tags()?;
            }
        }
        if version >= 11 {
            fields.nullable_bytes()?;
        }
        fields.tags()?;
        Some(Limits {
            wait: Duration::from_millis(wait_ms).min(WAIT_MAX),
            min_bytes: bytes(min),
            max_bytes: bytes(max).min(RECORDS_MAX),
            read_committed,
            session,
        })
    }

    /// Decides what each partition gets; the bytes of all of them.
    fn weigh(&mut self, desk: &Desk<'_>, limits: &Limits) -> usize {
        let mut total = 0_usize;
        for asked in &self.topics {
            for partition in &mut self.partitions[asked.partitions.clone()] {
                let topic = asked.topic.as_ref();
                let Some(end) = topic.and_then(|topic| topic.end(partition.index)) else {
                    partition.error = code::UNKNOWN_TOPIC_OR_PARTITION;
                    continue;
                };
                if !(0..=end).contains(&partition.offset) {
                    partition.error = code::OFFSET_OUT_OF_RANGE;
                    continue;
                }
                partition.end = end;
                let room = partition.room.min(limits.max_bytes.saturating_sub(total));
                let left = end - partition.offset;
                partition.cut = desk.broker.log.cut(left, room, total == 0);
                total += partition.cut.bytes;
            }
        }
        total
    }

    fn count(&self, desk: &Desk<'_>, total: usize) {
        let counters = desk.counters;
        counters.add(Counter::FetchRequests, 1);
        if total == 0 {
            return counters.add(Counter::EmptyFetches, 1);
        }
        let cuts = || self.partitions.iter().map(|partition| partition.cut);
        let records: i64 = cuts().map(|cut| cut.records).sum();
        counters.add(Counter::FetchedRecords, records as u64);
        counters.add(Counter::FetchedBatches, cuts().map(|cut| cut.batches).sum());
        counters.add(Counter::FetchedBatchBytes, total as u64);
    }

    fn write(&self, desk: &Desk<'_>, head: Head, limits: &Limits, frame: &[u8], out: &mut Outbox) {
        let (version, flexible) = (head.version, head.flexible);
        let mut answer = Answer::new(out.copied_mut(), head.correlation, flexible);
        answer.i32(0);
        if version >= 7 {
            answer.i16(code::NONE);
            answer.i32(0);
        }
        answer.array(self.topics.len());
        let start = answer.start();
        let mut elsewhere = 0;
        for asked in &self.topics {
            let mut answer = Answer::resume(out.copied_mut(), start, flexible);
            answer.string_bytes(&frame[asked.name.clone()]);
            answer.array(asked.partitions.len());
            for partition in &self.partitions[asked.partitions.clone()] {
                let mut answer = Answer::resume(out.copied_mut(), start, flexible);
                partition.write(version, limits.read_committed, &mut answer);
                let (offset, cut) = (partition.offset, partition.cut);
                elsewhere += desk.broker.log.put(offset, cut, out);
                Answer::resume(out.copied_mut(), start, flexible).tags();
            }
            Answer::resume(out.copied_mut(), start, flexible).tags();
        }
        let mut answer = Answer::resume(out.copied_mut(), start, flexible);
        answer.tags();
        answer.finish(elsewhere);
    }
}

impl AskedPartition {
    fn read(version: i16, fields: &mut Fields<'_>) -> Option<Self> {
        let index = fields.i32()?;
        fields.when(version >= 9, 0, Fields::i32)?;
        let offset = fields.i64()?;
        fields.when(version >= 12, 0, Fields::i32)?;
        fields.when(version >= 5, 0, Fields::i64)?;
        let room = bytes(fields.i32()?);
        fields.tags()?;
        Some(Self {
            index,
            offset,
            room,
            error: code::NONE,
            end: -1,
            cut: Cut::default(),
        })
    }

    /// Everything in front of the records, their length included.
    fn write(&self, version: i16, read_committed: bool, answer: &mut Answer<'_>) {
        answer.i32(self.index);
        answer.i16(self.error);
        // High watermark and last stable offset: there are no transactions.
        answer.i64(self.end);
        answer.i64(self.end);
        if version >= 5 {
            answer.i64(if self.error == code::NONE { 0 } else { -1 });
        }
        // Aborted transactions: none, or nobody asked.
        answer.length(read_committed.then_some(0));
        if version >= 11 {
            answer.i32(-1);
        }
        answer.length(Some(self.cut.bytes));
    }
}

/// A reply that is only an error (v7 and later have a place for it).
fn refuse(head: Head, error: i16, out: &mut Outbox) {
    let mut answer = Answer::new(out.copied_mut(), head.correlation, head.flexible);
    answer.i32(0);
    answer.i16(error);
    answer.i32(0);
    answer.array(0);
    answer.tags();
    answer.finish(0);
}
