//! The reply to a Fetch, v4 to v12, read as it comes.
//!
//! Heads are read when they are there whole and are small; what the batches are is somebody else's
//! business ([`Sink`]), and most of them never come into memory. Every length is held against its
//! frame. Source: Kafka protocol guide, "Fetch API"; `FetchResponse.json`.

use super::fetch::{FLEXIBLE_FROM, LOG_START_FROM, RACK_FROM, SESSION_FROM};
use super::prim::Reader;
use super::{WireError, Wrong};
use crate::walk;

/// A head, a name or a section of tagged fields longer than this is none.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The tag of the leader a partition has now (KIP-951, back-ported to v12).
const LEADER_TAG: u32 = 1;

/// A partition of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Its number.
    pub index: i32,
    /// An error code; 0: none.
    pub error: i16,
    /// The offset behind the last record that all replicas have.
    pub high_watermark: i64,
    /// The offset behind the last record of which it is known how its transaction ended; −1: not told.
    pub last_stable: i64,
    /// Where its log begins; −1: not told.
    pub log_start: i64,
}

/// Who takes what a reply brings.
pub trait Sink {
    /// A reply begins: how long the broker wants nothing, ms, and an error for all of it.
    ///
    /// # Errors
    /// When it cannot be.
    fn top(&mut self, throttle_ms: i32, error: i16) -> Result<(), WireError>;
    /// The topic of the partitions that follow.
    ///
    /// # Errors
    /// When nobody asked for it.
    fn topic(&mut self, name: &[u8]) -> Result<(), WireError>;
    /// A partition begins.
    ///
    /// # Errors
    /// When nobody asked for it.
    fn partition(&mut self, head: &PartHead) -> Result<(), WireError>;
    /// It has a transaction that was aborted.
    fn aborted(&mut self, producer_id: i64, first_offset: i64);
    /// So many bytes of its batches come now.
    fn records(&mut self, bytes: u32);
    /// Some of them, after `skipped` that were passed over.
    ///
    /// # Errors
    /// When they are no batches.
    fn feed(&mut self, bytes: &[u8], skipped: u64) -> Result<walk::Step, WireError>;
    /// It has another leader now: node id and epoch.
    fn leader(&mut self, node: i32, epoch: i32);
    /// It is over.
    fn end(&mut self);
}

/// How far a reply was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are done with.
    pub eaten: usize,
    /// So many behind them need not be seen.
    pub discard: u64,
    /// The reply is whole.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Frame,
    HeaderTags,
    Top,
    Topic,
    Part,
    Aborted(u32),
    Records,
    Batches,
    PartTags,
    TopicTags,
    Tags,
}

/// A reader of replies.
#[derive(Debug)]
pub struct Fetched {
    version: i16,
    correlation: i32,
    at: At,
    /// Bytes of the frame still to come.
    left: u64,
    topics: u32,
    parts: u32,
}

impl Fetched {
    /// For a connection that speaks `version`.
    #[must_use]
    pub const fn new(version: i16) -> Self {
        Self {
            version,
            correlation: 0,
            at: At::Frame,
            left: 0,
            topics: 0,
            parts: 0,
        }
    }

    /// The next reply must have this id.
    pub const fn expect(&mut self, correlation: i32) {
        self.correlation = correlation;
    }

    /// Whether nothing of a reply was read yet.
    #[must_use]
    pub const fn at_start(&self) -> bool {
        matches!(self.at, At::Frame)
    }

    const fn flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    /// Reads on: `skipped` bytes were discarded on its wish, then `bytes` came.
    ///
    /// # Errors
    /// When the bytes are no reply to what was asked.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut skipped: u64,
        sink: &mut impl Sink,
    ) -> Result<Step, WireError> {
        self.left -= skipped.min(self.left);
        let mut eaten = 0;
        loop {
            let rest = &bytes[eaten..];
            if self.at == At::Batches {
                let within =
                    usize::try_from(self.left).map_or(rest, |left| &rest[..rest.len().min(left)]);
                let step = sink.feed(within, std::mem::take(&mut skipped))?;
                eaten += step.eaten;
                self.left -= step.eaten as u64;
                if !step.done {
                    return Ok(Step {
                        eaten,
                        discard: step.discard,
                        done: false,
                    });
                }
                self.after_batches(sink);
            } else {
                let Some(count) = self.head(rest, sink)? else {
                    return Ok(Step {
                        eaten,
                        discard: 0,
                        done: false,
                    });
                };
                eaten += count;
            }
            if self.at == At::Frame {
                self.is_over()?;
                return Ok(Step {
                    eaten,
                    discard: 0,
                    done: true,
                });
            }
        }
    }

    /// Reads one head; how many bytes it had, `None` while some are missing.
    fn head(&mut self, rest: &[u8], sink: &mut impl Sink) -> Result<Option<usize>, WireError> {
        if self.at == At::Frame {
            return self.frame(rest);
        }
        let limit = self.left.min(HEAD_BYTES_MAX as u64) as usize;
        let within = &rest[..rest.len().min(limit)];
        let mut reader = Reader::new(within);
        if self.read(&mut reader, sink)?.is_none() {
            if within.len() < limit {
                return Ok(None);
            }
            return Err(Wrong::Length.because(format!(
                "a fetch reply ends, or goes on too long, in {:?}: {limit} bytes are not enough",
                self.at
            )));
        }
        self.left -= reader.at() as u64;
        Ok(Some(reader.at()))
    }

    /// Nothing may be left behind the end.
    fn is_over(&self) -> Result<(), WireError> {
        if self.left == 0 {
            return Ok(());
        }
        Err(Wrong::Length.because(format!(
            "a fetch reply has {} bytes behind its end",
            self.left
        )))
    }

    fn frame(&mut self, rest: &[u8]) -> Result<Option<usize>, WireError> {
        let mut reader = Reader::new(rest);
        let Some((length, correlation)) = reader.i32().zip(reader.i32()) else {
            return Ok(None);
        };
        if length < 4 {
            return Err(Wrong::Length.because(format!("a reply says it has {length} bytes")));
        }
        if correlation != self.correlation {
            return Err(Wrong::Correlation.because(format!(
                "the oldest request has correlation id {}, the reply {correlation}",
                self.correlation
            )));
        }
        self.left = length as u64 - 4;
        self.at = if self.flexible() {
            At::HeaderTags
        } else {
            At::Top
        };
        Ok(Some(8))
    }

    /// Reads what comes next; `None` while bytes are missing. Nothing has changed then.
    fn read(&mut self, r: &mut Reader<'_>, sink: &mut impl Sink) -> Result<Option<()>, WireError> {
        match self.at {
            At::Frame | At::Batches => Ok(Some(())),
            At::HeaderTags => self.tags(r, At::Top),
            At::Top => self.top(r, sink),
            At::Topic => self.topic(r, sink),
            At::Part => self.part(r, sink),
            At::Aborted(count) => {
                let Some((producer, first)) = r.i64().zip(r.i64()) else {
                    return Ok(None);
                };
                if self.flexible() && skip_tags(r, |_, _| ()).is_none() {
                    return Ok(None);
                }
                sink.aborted(producer, first);
                self.at = if count > 1 {
                    At::Aborted(count - 1)
                } else {
                    At::Records
                };
                Ok(Some(()))
            }
            At::Records => self.records(r, sink),
            At::PartTags => {
                let mut leader = None;
                let keep = |tag, field: &[u8]| {
                    if tag == LEADER_TAG {
                        let mut r = Reader::new(field);
                        leader = r.i32().zip(r.i32());
                    }
                };
                if skip_tags(r, keep).is_none() {
                    return Ok(None);
                }
                if let Some((node, epoch)) = leader.filter(|(node, _)| *node >= 0) {
                    sink.leader(node, epoch);
                }
                self.end_part(sink);
                Ok(Some(()))
            }
            At::TopicTags => {
                let next = if self.topics > 0 { At::Topic } else { At::Tags };
                self.tags(r, next)
            }
            At::Tags => self.tags(r, At::Frame),
        }
    }

    fn tags(&mut self, r: &mut Reader<'_>, next: At) -> Result<Option<()>, WireError> {
        if skip_tags(r, |_, _| ()).is_none() {
            return Ok(None);
        }
        self.at = next;
        Ok(Some(()))
    }

    fn top(&mut self, r: &mut Reader<'_>, sink: &mut impl Sink) -> Result<Option<()>, WireError> {
        let Some(throttle_ms) = r.i32() else {
            return Ok(None);
        };
        let mut error = Some(0);
        if self.version >= SESSION_FROM {
            error = r.i16();
            if r.i32().is_none() {
                return Ok(None);
            }
        }
        let Some((error, topics)) = error.zip(self.count(r)) else {
            return Ok(None);
        };
        self.topics = within("topics", topics, self.left)?;
        sink.top(throttle_ms, error)?;
        self.at = self.after_topic();
        Ok(Some(()))
    }

    fn topic(&mut self, r: &mut Reader<'_>, sink: &mut impl Sink) -> Result<Option<()>, WireError> {
        let length = if self.flexible() {
            r.uvarint().map(|length| i64::from(length) - 1)
        } else {
            r.i16().map(i64::from)
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let length = within("bytes of a topic's name", length, self.left)?;
        let Some((name, parts)) = r.take(length as usize).zip(self.count(r)) else {
            return Ok(None);
        };
        self.parts = within("partitions", parts, self.left)?;
        self.topics -= 1;
        sink.topic(name)?;
        self.at = if self.parts > 0 {
            At::Part
        } else {
            self.end_topic()
        };
        Ok(Some(()))
    }

    fn part(&mut self, r: &mut Reader<'_>, sink: &mut impl Sink) -> Result<Option<()>, WireError> {
        let mut head = || {
            let (index, error) = (r.i32()?, r.i16()?);
            let high_watermark = r.i64()?;
            let last_stable = r.i64()?;
            let log_start = if self.version >= LOG_START_FROM {
                r.i64()?
            } else {
                -1
            };
            let head = PartHead {
                index,
                error,
                high_watermark,
                last_stable,
                log_start,
            };
            Some((head, self.count(r)?))
        };
        let Some((head, aborted)) = head() else {
            return Ok(None);
        };
        // Null where isolation does not ask for it.
        let aborted = within("aborted transactions", unless_null(aborted), self.left / 16)?;
        self.parts -= 1;
        sink.partition(&head)?;
        self.at = if aborted > 0 {
            At::Aborted(aborted)
        } else {
            At::Records
        };
        Ok(Some(()))
    }

    fn records(
        &mut self,
        r: &mut Reader<'_>,
        sink: &mut impl Sink,
    ) -> Result<Option<()>, WireError> {
        if self.version >= RACK_FROM && r.i32().is_none() {
            return Ok(None);
        }
        let Some(length) = self.count(r) else {
            return Ok(None);
        };
        let left = self.left.saturating_sub(r.at() as u64);
        let length = within("bytes of records", unless_null(length), left)?;
        sink.records(length);
        self.at = At::Batches;
        Ok(Some(()))
    }

    fn after_batches(&mut self, sink: &mut impl Sink) {
        if self.flexible() {
            self.at = At::PartTags;
        } else {
            self.end_part(sink);
        }
    }

    fn end_part(&mut self, sink: &mut impl Sink) {
        sink.end();
        self.at = if self.parts > 0 {
            At::Part
        } else {
            self.end_topic()
        };
    }

    fn end_topic(&self) -> At {
        if self.flexible() {
            At::TopicTags
        } else {
            self.after_topic()
        }
    }

    fn after_topic(&self) -> At {
        match (self.topics, self.flexible()) {
            (1.., _) => At::Topic,
            (0, true) => At::Tags,
            (0, false) => At::Frame,
        }
    }

    /// A count: −1 is null.
    fn count(&self, r: &mut Reader<'_>) -> Option<i64> {
        if self.flexible() {
            r.uvarint().map(|count| i64::from(count) - 1)
        } else {
            r.i32().map(i64::from)
        }
    }
}

/// Null is −1 and has nothing in it; what is below is none.
const fn unless_null(count: i64) -> i64 {
    if count == -1 { 0 } else { count }
}

/// A count or length that its frame can hold.
fn within(what: &str, count: i64, limit: u64) -> Result<u32, WireError> {
    match u64::try_from(count) {
        Ok(count) if count <= limit => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        _ => Err(Wrong::Length.because(format!(
            "a fetch reply says it has {count} {what}, {limit} are possible"
        ))),
    }
}

/// Tagged fields, each shown; `None` while bytes are missing.
fn skip_tags(r: &mut Reader<'_>, mut each: impl FnMut(u32, &[u8])) -> Option<()> {
    let start = *r;
    for round in 0..2 {
        *r = start;
        for _ in 0..r.uvarint()? {
            let tag = r.uvarint()?;
            let length = r.uvarint()?;
            let field = r.take(length as usize)?;
            if round == 1 {
                each(tag, field);
            }
        }
    }
    Some(())
}
