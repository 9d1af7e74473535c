//! Through the record batches of a fetch, as deep as was asked for.
//!
//! Bytes come in pieces; what the depth does not need is passed over, so that the engine can discard
//! it in the kernel. A walker belongs to a session and is used again for every partition of every
//! reply: it must not allocate for a batch it only counts. What an aborted transaction wrote and the
//! broker's own markers are no records. (Kafka documentation "Record Batch";
//! `CompletedFetch.java` has how the Java client reads the same bytes.)

mod aborted;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use crate::spec::{Depth, Isolation};
use crate::wire::batch::{self, CRC_AT, CRC_FROM, Codec, HEADER_BYTES, Header};
use crate::wire::codec::Unpacker;
use crate::wire::record::{Record, Records};
use crate::wire::{WireError, Wrong};
use aborted::Aborted;

/// The largest compressed batch that is collected: brokers take 1 MiB by default, 100 MiB in a
/// request.
const PACKED_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// The most that a batch may become.
const PLAIN_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The largest batch of markers: it has one of a few bytes.
const CONTROL_BYTES_MAX: u64 = 64 * 1024;

/// What all walkers of a run go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How deep to look.
    pub depth: Depth,
    /// Whether aborted transactions are seen.
    pub isolation: Isolation,
}

/// What was found in the batches of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records from the fetch offset on that are visible.
    pub records: u64,
    /// Batches that came whole, those of markers too.
    pub batches: u64,
    /// Their bytes, headers included.
    pub batch_bytes: u64,
    /// Bytes of keys and values of `records`; `None` where the depth cannot know.
    pub payload_bytes: Option<u64>,
    /// Records of aborted transactions.
    pub aborted_records: u64,
    /// Batches of markers.
    pub control_batches: u64,
    /// Bytes of a last batch that was cut.
    pub partial_bytes: u64,
    /// Of `records`, those that may be too many: the fetch began inside a batch with holes.
    pub inexact_records: u64,
    /// Offsets between batches that nothing has: compaction.
    pub missing_offsets: u64,
    /// The first offset that came, not below the fetch offset.
    pub first_offset: Option<i64>,
    /// Where to read on.
    pub next_offset: i64,
}

/// How far a piece took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are done with.
    pub eaten: usize,
    /// So many behind them need not be seen.
    pub discard: u64,
    /// The partition's batches are over.
    pub done: bool,
}

/// Who wants to see records, at [`Depth::Records`].
pub trait Visit {
    /// A visible record.
    fn record(&mut self, offset: i64, timestamp_ms: i64, record: &Record<'_>);
}

/// Nobody.
impl Visit for () {
    fn record(&mut self, _offset: i64, _timestamp_ms: i64, _record: &Record<'_>) {}
}

/// What the rest of a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// Nothing.
    Pass,
    /// Its CRC.
    Check,
    /// Its records, as they come.
    Read,
    /// Its records, once it is whole.
    Collect,
    /// The marker in it, once it is whole.
    Marker,
}

/// A batch on the way.
#[derive(Clone, Copy, Debug)]
struct Current {
    header: Header,
    body: Body,
    /// Bytes of it still to come.
    left: u64,
    /// Of an aborted transaction, and so not visible.
    hidden: bool,
}

/// A walker.
#[derive(Debug)]
pub struct Walk {
    rules: Rules,
    fetch_offset: i64,
    /// Bytes of the partition still to come.
    left: u64,
    batch: Option<Current>,
    /// The rest is a batch that was cut.
    cut: bool,
    /// The offset behind the last batch that came.
    behind: i64,
    /// Where the batch at hand begins, or would.
    at: i64,
    crc: u32,
    /// What is wrong with the records of a batch, until it is known whether its CRC is.
    wrong: Option<WireError>,
    /// The offset delta of the last record of a batch.
    last_delta: i32,
    aborted: Aborted,
    records: Records,
    collected: Vec<u8>,
    unpacker: Unpacker,
    counts: Counts,
}

impl Walk {
    /// For one session.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            fetch_offset: 0,
            left: 0,
            batch: None,
            cut: false,
            behind: 0,
            at: 0,
            crc: 0,
            wrong: None,
            last_delta: -1,
            aborted: Aborted::default(),
            records: Records::default(),
            collected: Vec::new(),
            unpacker: Unpacker::default(),
            counts: Counts::default(),
        }
    }

    /// A partition begins: `fetch_offset` was asked for, `records_bytes` come.
    pub fn begin(&mut self, fetch_offset: i64, records_bytes: u32) {
        self.fetch_offset = fetch_offset;
        self.left = records_bytes.into();
        self.batch = None;
        self.cut = false;
        self.behind = 0;
        self.at = fetch_offset;
        self.aborted.clear();
        self.counts = Counts {
            payload_bytes: (self.rules.depth == Depth::Records).then_some(0),
            next_offset: fetch_offset,
            ..Counts::default()
        };
    }

    /// The partition that has begun has so many bytes of batches.
    pub fn expect(&mut self, records_bytes: u32) {
        self.left = records_bytes.into();
    }

    /// The partition has a transaction of `producer_id` that was aborted and begins at
    /// `first_offset`. To be told after [`Self::begin`] and before [`Self::feed`].
    pub fn aborted(&mut self, producer_id: i64, first_offset: i64) {
        if self.rules.isolation == Isolation::ReadCommitted {
            self.aborted.add(producer_id, first_offset);
        }
    }

    /// What was found so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The offset at which the batch at hand begins: the one that an error of [`Self::feed`] is about.
    #[must_use]
    pub const fn at(&self) -> i64 {
        self.at
    }

    /// Walks on: `skipped` bytes were discarded on its wish, then `bytes` came.
    ///
    /// # Errors
    /// When they are no record batches.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        skipped: u64,
        visit: &mut impl Visit,
    ) -> Result<Step, WireError> {
        self.pass(skipped);
        let mut eaten = 0;
        while self.left > 0 {
            let rest = &bytes[eaten..];
            let rest = first(rest, self.left);
            let passing = self.passing();
            if passing > 0 {
                let count = passing.min(rest.len() as u64);
                self.pass(count);
                eaten += count as usize;
                if count < passing {
                    return Ok(Step {
                        eaten,
                        discard: passing - count,
                        done: false,
                    });
                }
                continue;
            }
            let count = match self.batch {
                None => match self.head(rest)? {
                    Some(count) => count,
                    None => break,
                },
                Some(current) => {
                    let piece = first(rest, current.left);
                    if piece.is_empty() {
                        break;
                    }
                    self.body(&current, piece, visit)?;
                    piece.len()
                }
            };
            eaten += count;
            self.left -= count as u64;
            if let Some(current) = self.batch.filter(|current| current.left == 0) {
                self.batch = None;
                self.close(&current, visit)?;
            }
        }
        Ok(Step {
            eaten,
            discard: 0,
            done: self.left == 0,
        })
    }

    /// Bytes from here on that nobody needs.
    fn passing(&self) -> u64 {
        match self.batch {
            _ if self.cut || self.rules.depth == Depth::None => self.left,
            Some(current) if current.body == Body::Pass => current.left,
            _ => 0,
        }
    }

    fn pass(&mut self, count: u64) {
        let count = count.min(self.left);
        self.left -= count;
        if let Some(current) = &mut self.batch {
            current.left -= count.min(current.left);
            if current.left == 0 {
                self.batch = None;
            }
        }
    }

    /// At the head of a batch: how many bytes of it were read; `None` while some are missing.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, WireError> {
        self.at = self.counts.next_offset;
        let is_cut = |walk: &mut Self| {
            walk.cut = true;
            walk.counts.partial_bytes = walk.left;
            Ok(Some(0))
        };
        if self.left < HEADER_BYTES as u64 {
            // A short one may also be whole, in a format of long ago: the magic tells.
            if self.left >= CRC_AT as u64 {
                let Some(magic) = bytes.get(CRC_AT - 1) else {
                    return Ok(None);
                };
                batch::check_magic(*magic as i8)?;
            }
            return is_cut(self);
        }
        let Some(header) = Header::read(bytes)? else {
            return Ok(None);
        };
        if header.batch_bytes() > self.left {
            return is_cut(self);
        }
        self.open(header)?;
        if self.rules.depth >= Depth::Crc {
            self.crc = crc32c::crc32c(&bytes[CRC_FROM..HEADER_BYTES]);
        }
        Ok(Some(HEADER_BYTES))
    }

    /// Counts what the header says, and decides what the rest is for.
    fn open(&mut self, header: Header) -> Result<(), WireError> {
        self.at = header.base_offset;
        if header.base_offset < self.behind {
            return Err(Wrong::Batch.because(format!(
                "a batch begins at offset {}, the one before it has all below {}",
                header.base_offset, self.behind
            )));
        }
        self.behind = header.next_offset();
        let gap = header.base_offset.saturating_sub(self.counts.next_offset);
        self.counts.missing_offsets += u64::try_from(gap).unwrap_or(0);
        self.counts.batches += 1;
        self.counts.batch_bytes += header.batch_bytes();
        self.counts.next_offset = self.behind.max(self.counts.next_offset);
        let mut hidden = false;
        if !self.aborted.is_empty() {
            self.aborted.begin(self.behind - 1)?;
            hidden = header.is_transactional() && self.aborted.hides(header.producer_id);
        }
        if header.is_control() {
            self.counts.control_batches += 1;
        } else {
            self.count(&header, hidden);
        }
        let body = self.use_of(&header);
        let limit = match body {
            Body::Collect => PACKED_BYTES_MAX,
            Body::Marker => CONTROL_BYTES_MAX,
            _ => u64::MAX,
        };
        if header.body_bytes() > limit {
            return Err(Wrong::Length.because(format!(
                "a batch has {} bytes behind its header, {limit} are read at the most",
                header.body_bytes()
            )));
        }
        self.collected.clear();
        self.records.begin();
        (self.wrong, self.last_delta) = (None, -1);
        self.batch = Some(Current {
            header,
            body,
            left: header.body_bytes(),
            hidden,
        });
        Ok(())
    }

    fn use_of(&self, header: &Header) -> Body {
        match self.rules.depth {
            // Only of a transaction that was aborted is it of interest how it ends.
            _ if header.is_control() && self.aborted.hides(header.producer_id) => Body::Marker,
            Depth::None | Depth::Headers => Body::Pass,
            Depth::Crc => Body::Check,
            Depth::Records if header.is_control() => Body::Check,
            // The cleaner leaves batches without records, to remember their producers.
            Depth::Records if header.codec() == Codec::None || header.body_bytes() == 0 => {
                Body::Read
            }
            Depth::Records => Body::Collect,
        }
    }

    /// What can be said of the records by their number and offsets.
    fn count(&mut self, header: &Header, hidden: bool) {
        let records = u64::try_from(header.records).unwrap_or(0);
        let first_offset = header.base_offset.max(self.fetch_offset);
        let visible = u64::try_from(header.next_offset() - first_offset).unwrap_or(0);
        if visible == 0 {
            return;
        }
        if hidden {
            self.counts.aborted_records += records.min(visible);
            return;
        }
        self.counts.first_offset.get_or_insert(first_offset);
        // At full depth each is seen.
        if self.rules.depth == Depth::Records {
            return;
        }
        let dense = i64::from(header.records) == i64::from(header.last_offset_delta) + 1;
        let counted = records.min(visible);
        self.counts.records += counted;
        if !dense && header.base_offset < self.fetch_offset {
            self.counts.inexact_records += counted;
        }
    }

    fn body(
        &mut self,
        current: &Current,
        piece: &[u8],
        visit: &mut impl Visit,
    ) -> Result<(), WireError> {
        if self.rules.depth >= Depth::Crc {
            self.crc = crc32c::crc32c_append(self.crc, piece);
        }
        match current.body {
            Body::Pass | Body::Check => {}
            Body::Collect | Body::Marker => self.collected.extend_from_slice(piece),
            // What follows a record that cannot be is not looked at.
            Body::Read if self.wrong.is_some() => {}
            Body::Read => {
                let mut seer = Seer {
                    current,
                    fetch_offset: self.fetch_offset,
                    last_delta: &mut self.last_delta,
                    counts: &mut self.counts,
                    visit,
                };
                self.wrong = self
                    .records
                    .feed(piece, &mut |record| seer.see(record))
                    .err();
            }
        }
        if let Some(batch) = &mut self.batch {
            batch.left -= piece.len() as u64;
        }
        Ok(())
    }

    /// The batch is whole.
    fn close(&mut self, current: &Current, visit: &mut impl Visit) -> Result<(), WireError> {
        let header = &current.header;
        if self.rules.depth >= Depth::Crc && self.crc != header.crc {
            return Err(Wrong::Crc.because(format!(
                "the batch at offset {} has CRC {:#010x} in its header, its bytes {:#010x}",
                header.base_offset, header.crc, self.crc
            )));
        }
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        match current.body {
            Body::Pass | Body::Check => return Ok(()),
            Body::Read => {}
            Body::Collect => {
                let mut seer = Seer {
                    current,
                    fetch_offset: self.fetch_offset,
                    last_delta: &mut self.last_delta,
                    counts: &mut self.counts,
                    visit,
                };
                let (codec, packed) = (header.codec(), &self.collected);
                let records = &mut self.records;
                self.unpacker
                    .unpack(codec, packed, PLAIN_BYTES_MAX, |piece| {
                        records.feed(piece, &mut |record| seer.see(record))
                    })?;
            }
            Body::Marker => self.marker(current)?,
        }
        let wanted = u64::try_from(header.records).unwrap_or(0);
        if !self.records.between_records() || self.records.count() != wanted {
            return Err(Wrong::Batch.because(format!(
                "the batch at offset {} says it has {wanted} records, {} came whole",
                header.base_offset,
                self.records.count()
            )));
        }
        Ok(())
    }

    /// A marker says how a transaction ended: its key is a version and a type, 0 for aborted.
    /// (`ControlRecordType.java`.)
    fn marker(&mut self, current: &Current) -> Result<(), WireError> {
        let mut aborts = false;
        let see = |record: &Record<'_>| {
            aborts |= record.key_head.get(2..4) == Some(&[0, 0]);
            Ok(())
        };
        let (codec, packed) = (current.header.codec(), &self.collected);
        let (records, mut see) = (&mut self.records, see);
        self.unpacker
            .unpack(codec, packed, CONTROL_BYTES_MAX, |piece| {
                records.feed(piece, &mut see)
            })?;
        if aborts {
            self.aborted.ended(current.header.producer_id);
        }
        Ok(())
    }
}

fn first(bytes: &[u8], limit: u64) -> &[u8] {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    &bytes[..bytes.len().min(limit)]
}

/// Counts the visible records of a batch, and shows them.
struct Seer<'a, V> {
    current: &'a Current,
    fetch_offset: i64,
    last_delta: &'a mut i32,
    counts: &'a mut Counts,
    visit: &'a mut V,
}

impl<V: Visit> Seer<'_, V> {
    #[inline]
    fn see(&mut self, record: &Record<'_>) -> Result<(), WireError> {
        let header = &self.current.header;
        if record.offset_delta <= *self.last_delta || record.offset_delta > header.last_offset_delta
        {
            return Err(Wrong::Batch.because(format!(
                "a record has offset delta {}, the one before it {}, the last one of its batch {}",
                record.offset_delta, self.last_delta, header.last_offset_delta
            )));
        }
        *self.last_delta = record.offset_delta;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if self.current.hidden || offset < self.fetch_offset {
            return Ok(());
        }
        let counts = &mut *self.counts;
        counts.records += 1;
        counts.payload_bytes = counts.payload_bytes.map(|sum| sum + record.payload_bytes());
        let timestamp_ms = if header.is_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.saturating_add(record.timestamp_delta)
        };
        self.visit.record(offset, timestamp_ms, record);
        Ok(())
    }
}
