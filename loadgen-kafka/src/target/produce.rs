//! Produce, v3 to v12: read as it comes, however large; the records are not kept.
//!
//! A request is a stream of small fronts and large bodies. Bodies are thrown away in the kernel, or
//! run through the CRC and then forgotten. Nothing counts before the whole request is here, as with
//! a broker, which sees only whole requests. Source: `ProduceRequest.json`, `ProduceResponse.json`;
//! the rules for a batch are those of `ProduceRequest.validateRecords` and `LogValidator`.

use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::serve::Step;

use super::api::{Head, code};
use super::fields::{Answer, Fields};
use super::serve::Desk;
use super::stats::Counter;
use super::topics::{Recent, Topic};
use crate::wire::batch::{CRC_FROM, Codec, HEADER_BYTES, Header, MAGIC};

/// The longest front that has to be in memory at once: names and tags.
const FRONT_MAX: usize = 128 * 1024;

/// Topics and partitions of one request.
const ROWS_MAX: usize = 100_000;

/// The first version that may bring zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A Produce request that is under way.
#[derive(Debug)]
pub(super) struct Produce {
    head: Head,
    stage: Stage,
    /// Bytes of the request that were not seen yet.
    left: usize,
    acks: i16,
    transactional: bool,
    topics_left: usize,
    partitions_left: usize,
    topics: Vec<Named>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Front,
    Topic,
    Partition,
    /// A batch header, and how long the records are.
    Batch {
        length: usize,
    },
    /// Bytes of a batch that go through the CRC.
    Summed {
        left: usize,
        crc: u32,
        wanted: u32,
    },
    PartitionTags,
    TopicTags,
    /// Tags of the request itself.
    End,
    Done,
}

/// A topic of the request, and which rows are its own: those up to `rows`.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    topic: Option<Arc<Topic>>,
    rows: usize,
}

/// What is said about a partition.
#[derive(Clone, Copy, Debug)]
struct Row {
    index: i32,
    error: i16,
    records: i64,
    bytes: u64,
}

/// What the next bytes turned out to be.
enum Next {
    /// So many were read, and the following ones are of no interest.
    Read { bytes: usize, discard: usize },
    /// They are not all here.
    Missing,
    /// They cannot be.
    Wrong,
}

fn read(bytes: usize) -> Next {
    Next::Read { bytes, discard: 0 }
}

impl Produce {
    /// A request whose head was read; `left` bytes of it follow.
    pub(super) fn new(head: Head, left: usize) -> Self {
        Self {
            head,
            stage: Stage::Front,
            left,
            acks: 0,
            transactional: false,
            topics_left: 0,
            partitions_left: 0,
            topics: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Whether all of it was seen.
    pub(super) fn is_whole(&self) -> bool {
        self.stage == Stage::Done && self.left == 0
    }

    /// Goes on with `input`, which may reach beyond this request.
    pub(super) fn step(&mut self, desk: &Desk<'_>, recent: &mut Recent, input: &[u8]) -> Step {
        let mut ate = 0;
        loop {
            if self.is_whole() {
                return Step::Ate {
                    bytes: ate,
                    discard: 0,
                };
            }
            let rest = &input[ate..];
            let frame = &rest[..rest.len().min(self.left)];
            match self.next(desk, recent, frame) {
                Next::Read { bytes, discard } if bytes + discard <= self.left => {
                    ate += bytes;
                    self.left -= bytes + discard;
                    if discard > 0 {
                        return Step::Ate {
                            bytes: ate,
                            discard: discard as u64,
                        };
                    }
                }
                Next::Missing if frame.len() < self.left && frame.len() < FRONT_MAX => {
                    return match ate {
                        0 => Step::Short,
                        bytes => Step::Ate { bytes, discard: 0 },
                    };
                }
                _ => {
                    desk.counters.add(Counter::BadRequests, 1);
                    return Step::Close;
                }
            }
        }
    }

    fn next(&mut self, desk: &Desk<'_>, recent: &mut Recent, frame: &[u8]) -> Next {
        if self.rows.len() + self.topics.len() >= ROWS_MAX {
            return Next::Wrong;
        }
        let mut fields = Fields::new(frame, self.head.flexible);
        let done = match self.stage {
            Stage::Front => self.front(&mut fields),
            Stage::Topic => self.topic(desk, recent, &mut fields),
            Stage::Partition => return self.partition(desk, &mut fields),
            Stage::Batch { length } => return self.batch(desk, length, frame),
            Stage::Summed { left, crc, wanted } => {
                return self.sum(desk, left, crc, wanted, frame);
            }
            Stage::PartitionTags => fields.tags().map(|()| self.after_partition()),
            Stage::TopicTags => fields.tags().map(|()| self.begin_topic()),
            Stage::End => fields.tags().map(|()| self.stage = Stage::Done),
            // What follows the end is too much.
            Stage::Done => return Next::Wrong,
        };
        match done {
            Some(()) => read(fields.at()),
            None => Next::Missing,
        }
    }

    fn front(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let transactional = fields.nullable_bytes()?.is_some();
        let (acks, _timeout_ms) = (fields.i16()?, fields.i32()?);
        self.topics_left = fields.count()?;
        (self.transactional, self.acks) = (transactional, acks);
        self.begin_topic();
        Some(())
    }

    fn begin_topic(&mut self) {
        self.stage = if self.topics_left == 0 {
            Stage::End
        } else {
            Stage::Topic
        };
    }

    fn topic(
        &mut self,
        desk: &Desk<'_>,
        recent: &mut Recent,
        fields: &mut Fields<'_>,
    ) -> Option<()> {
        let name = fields.string_bytes()?;
        self.partitions_left = fields.count()?;
        self.topics_left -= 1;
        self.topics.push(Named {
            name: name.to_vec(),
            topic: recent.find(name, &desk.broker.topics),
            rows: self.rows.len(),
        });
        self.begin_partition();
        Some(())
    }

    fn begin_partition(&mut self) {
        self.stage = if self.partitions_left == 0 {
            Stage::TopicTags
        } else {
            Stage::Partition
        };
    }

    fn after_partition(&mut self) {
        if let Some(named) = self.topics.last_mut() {
            named.rows = self.rows.len();
        }
        self.begin_partition();
    }

    fn partition(&mut self, desk: &Desk<'_>, fields: &mut Fields<'_>) -> Next {
        let (Some(index), Some(length)) = (fields.i32(), fields.bytes_length()) else {
            return Next::Missing;
        };
        let at = fields.at();
        let length = length.unwrap_or(0);
        if length > self.left - at {
            return Next::Wrong;
        }
        self.partitions_left -= 1;
        let error = self.judge_place(desk, index, length);
        self.rows.push(Row {
            index,
            error,
            records: 0,
            bytes: length as u64,
        });
        if error == code::NONE {
            self.stage = Stage::Batch { length };
            return read(at);
        }
        self.pass(at, length)
    }

    /// What can be said before the records are seen.
    fn judge_place(&self, desk: &Desk<'_>, index: i32, length: usize) -> i16 {
        let topic = self.topics.last().and_then(|named| named.topic.as_ref());
        if !matches!(self.acks, -1..=1) {
            code::INVALID_REQUIRED_ACKS
        } else if self.transactional {
            code::TRANSACTIONAL_ID_REFUSED
        } else if topic.and_then(|topic| topic.end(index)).is_none() {
            code::UNKNOWN_TOPIC_OR_PARTITION
        } else if length < HEADER_BYTES {
            code::INVALID_RECORD
        } else if length > desk.broker.options.message_max_bytes as usize {
            code::MESSAGE_TOO_LARGE
        } else {
            code::NONE
        }
    }

    /// `bytes` are read, nothing of the next `discard` is looked at.
    fn pass(&mut self, bytes: usize, discard: usize) -> Next {
        self.stage = Stage::PartitionTags;
        Next::Read { bytes, discard }
    }

    fn batch(&mut self, desk: &Desk<'_>, length: usize, frame: &[u8]) -> Next {
        let Some(bytes) = frame.get(..HEADER_BYTES) else {
            return Next::Missing;
        };
        let (error, header) = judge(bytes, length, self.head.version);
        let body = length - HEADER_BYTES;
        let Some(row) = self.rows.last_mut() else {
            return Next::Wrong;
        };
        row.error = error;
        row.records = header.map_or(0, |header| i64::from(header.records));
        match header {
            Some(header) if error == code::NONE && desk.broker.options.check_crc => {
                self.stage = Stage::Summed {
                    left: body,
                    crc: crc32c::crc32c(&bytes[CRC_FROM..]),
                    wanted: header.crc,
                };
                read(HEADER_BYTES)
            }
            _ => self.pass(HEADER_BYTES, body),
        }
    }

    fn sum(&mut self, desk: &Desk<'_>, left: usize, crc: u32, wanted: u32, frame: &[u8]) -> Next {
        let part = &frame[..frame.len().min(left)];
        if part.is_empty() && left > 0 {
            return Next::Missing;
        }
        let (left, crc) = (left - part.len(), crc32c::crc32c_append(crc, part));
        self.stage = Stage::Summed { left, crc, wanted };
        if left == 0 {
            self.stage = Stage::PartitionTags;
            if let Some(row) = self.rows.last_mut().filter(|_| crc != wanted) {
                row.error = code::CORRUPT_MESSAGE;
                desk.counters.add(Counter::CrcErrors, 1);
            }
        }
        read(part.len())
    }

    /// Appends what may be, counts, and replies if somebody listens. Whether the connection goes
    /// on: without a reply, an end is the only way to say no (`KafkaApis.handleProduceRequest`).
    pub(super) fn finish(&mut self, desk: &Desk<'_>, out: &mut Outbox) -> bool {
        desk.counters.add(Counter::ProduceRequests, 1);
        let refused = self.rows.iter().any(|row| row.error != code::NONE);
        let appended = self.append(desk);
        if self.acks != 0 {
            self.write(&appended, out);
        }
        self.acks != 0 || !refused
    }

    /// The first offsets of what was appended, row by row.
    fn append(&mut self, desk: &Desk<'_>) -> Vec<i64> {
        let counters = desk.counters;
        let mut offsets = Vec::with_capacity(self.rows.len());
        let (mut at, mut grown) = (0, false);
        for named in &self.topics {
            for row in &mut self.rows[at..named.rows] {
                let topic = named.topic.as_ref().filter(|_| row.error == code::NONE);
                let offset = topic.and_then(|topic| topic.append(row.index, row.records));
                offsets.push(offset.unwrap_or(-1));
                if offset.is_none() {
                    counters.add(Counter::RefusedBatches, 1);
                    continue;
                }
                grown = true;
                counters.add(Counter::ProducedBatches, 1);
                counters.add(Counter::ProducedRecords, row.records as u64);
                counters.add(Counter::ProducedBatchBytes, row.bytes);
            }
            at = named.rows;
        }
        if grown {
            desk.broker.hall.ring();
        }
        offsets
    }

    fn write(&self, offsets: &[i64], out: &mut Outbox) {
        let head = self.head;
        let mut answer = Answer::new(out.copied_mut(), head.correlation, head.flexible);
        answer.array(self.topics.len());
        let mut at = 0;
        for named in &self.topics {
            answer.string_bytes(&named.name);
            answer.array(named.rows - at);
            for (row, offset) in self.rows[at..named.rows].iter().zip(&offsets[at..]) {
                row.write(head.version, *offset, &mut answer);
            }
            answer.tags();
            at = named.rows;
        }
        answer.i32(0);
        answer.tags();
        answer.finish(0);
    }
}

impl Row {
    fn write(&self, version: i16, offset: i64, answer: &mut Answer<'_>) {
        answer.i32(self.index);
        answer.i16(self.error);
        answer.i64(offset);
        // No time of appending: that of creation counts.
        answer.i64(-1);
        if version >= 5 {
            answer.i64(if self.error == code::NONE { 0 } else { -1 });
        }
        if version >= 8 {
            answer.array(0);
            answer.nullable_string(None);
        }
        answer.tags();
    }
}

/// What is wrong with the batch whose header this is, in records of `length` bytes; 0: nothing.
fn judge(bytes: &[u8], length: usize, version: i16) -> (i16, Option<Header>) {
    const MAGIC_AT: usize = 16;
    if bytes.get(MAGIC_AT) != Some(&(MAGIC as u8)) {
        return (code::INVALID_RECORD, None);
    }
    let Ok(Some(header)) = Header::read(bytes) else {
        return (code::CORRUPT_MESSAGE, None);
    };
    let one = header.batch_bytes() == length as u64;
    let counts = header.records > 0 && header.records == header.last_offset_delta + 1;
    let error = if !one || !counts || header.is_control() {
        code::INVALID_RECORD
    } else if Codec::of(header.attributes) == Some(Codec::Zstd) && version < ZSTD_FROM {
        code::UNSUPPORTED_COMPRESSION_TYPE
    } else {
        code::NONE
    };
    (error, Some(header))
}
