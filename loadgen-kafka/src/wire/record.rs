//! The records of a batch, read piece by piece.
//!
//! A record's key, value and headers may be cut anywhere; of them only lengths and a few first bytes
//! are kept. Nothing here may buffer a record. Source: Kafka documentation, "Record".

use super::prim::Reader;
use super::{WireError, Wrong};

/// So many first bytes of a value are shown, and of a key.
pub const HEAD_BYTES: usize = 32;

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Counted from the batch's base offset.
    pub offset_delta: i32,
    /// Counted from the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Bytes of the key; `None` is null.
    pub key_bytes: Option<u32>,
    /// Bytes of the value; `None` is null: a tombstone.
    pub value_bytes: Option<u32>,
    /// The first bytes of the key, [`HEAD_BYTES`] at the most.
    pub key_head: &'a [u8],
    /// The first bytes of the value likewise.
    pub value_head: &'a [u8],
}

impl Record<'_> {
    /// Bytes of key and value.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        u64::from(self.key_bytes.unwrap_or(0)) + u64::from(self.value_bytes.unwrap_or(0))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The length of the record.
    Length,
    /// Attributes, deltas and the length of the key.
    Head,
    Key,
    ValueLength,
    Value,
    /// Headers, as a whole.
    Rest,
}

/// The longest part that must be seen whole: attributes, a varlong and two varints.
const PART_BYTES_MAX: usize = 1 + 10 + 5 + 5;

/// A reader of records.
#[derive(Clone, Debug)]
pub struct Records {
    part: Part,
    /// Bytes of the current record, and of the current part, that are still to come.
    record_left: u64,
    part_left: u64,
    /// The beginning of a part that was cut.
    kept: [u8; PART_BYTES_MAX],
    kept_bytes: usize,
    offset_delta: i32,
    timestamp_delta: i64,
    key_bytes: Option<u32>,
    value_bytes: Option<u32>,
    key_head: ([u8; HEAD_BYTES], usize),
    value_head: ([u8; HEAD_BYTES], usize),
    /// Records that are complete.
    count: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            part: Part::Length,
            record_left: 0,
            part_left: 0,
            kept: [0; PART_BYTES_MAX],
            kept_bytes: 0,
            offset_delta: 0,
            timestamp_delta: 0,
            key_bytes: None,
            value_bytes: None,
            key_head: ([0; HEAD_BYTES], 0),
            value_head: ([0; HEAD_BYTES], 0),
            count: 0,
        }
    }
}

impl Records {
    /// At the start of another batch.
    pub fn begin(&mut self) {
        (self.part, self.kept_bytes, self.count) = (Part::Length, 0, 0);
    }

    /// Records that are complete.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing of a record is missing.
    #[must_use]
    pub const fn between_records(&self) -> bool {
        matches!(self.part, Part::Length) && self.kept_bytes == 0
    }

    /// Reads on in `bytes`, all of them.
    ///
    /// # Errors
    /// [`Wrong::Batch`] when a length cannot be.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        loop {
            match self.part {
                Part::Key | Part::Value | Part::Rest => {
                    let count = self.part_left.min(bytes.len() as u64) as usize;
                    self.see(&bytes[..count]);
                    bytes = &bytes[count..];
                    self.part_left -= count as u64;
                    if self.part_left > 0 {
                        return Ok(());
                    }
                    self.part_is_over(each)?;
                }
                Part::Length | Part::Head | Part::ValueLength => {
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let before = self.kept_bytes;
                    let count = (PART_BYTES_MAX - before).min(bytes.len());
                    if before == 0 {
                        // Mostly it is there whole.
                        if let Some(eaten) = self.read(bytes)? {
                            bytes = &bytes[eaten..];
                            continue;
                        }
                    }
                    self.kept[before..before + count].copy_from_slice(&bytes[..count]);
                    self.kept_bytes += count;
                    let kept = self.kept;
                    match self.read(&kept[..self.kept_bytes])? {
                        Some(eaten) => {
                            self.kept_bytes = 0;
                            bytes = &bytes[eaten.saturating_sub(before)..];
                        }
                        None if self.kept_bytes == PART_BYTES_MAX => {
                            return Err(
                                Wrong::Batch.because("a number in a record has too many bytes")
                            );
                        }
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    fn see(&mut self, bytes: &[u8]) {
        let (head, used) = match self.part {
            Part::Key => (&mut self.key_head.0, &mut self.key_head.1),
            Part::Value => (&mut self.value_head.0, &mut self.value_head.1),
            _ => return,
        };
        let count = (HEAD_BYTES - *used).min(bytes.len());
        head[*used..*used + count].copy_from_slice(&bytes[..count]);
        *used += count;
    }

    /// Reads a part of numbers; how many bytes it had.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let mut r = Reader::new(bytes);
        match self.part {
            Part::Length => {
                let Some(length) = r.varint() else {
                    return Ok(None);
                };
                let length = self.length("a record", length, u64::from(u32::MAX))?;
                self.record_left = length.unwrap_or(0);
                self.part = Part::Head;
            }
            Part::Head => {
                let mut head = || {
                    let _attributes = r.i8()?;
                    Some((r.varlong()?, r.varint()?, r.varint()?))
                };
                let Some((timestamp_delta, offset_delta, key)) = head() else {
                    return Ok(None);
                };
                self.spend(r.at())?;
                (self.timestamp_delta, self.offset_delta) = (timestamp_delta, offset_delta);
                let key = self.length("a key", key, self.record_left)?;
                self.key_bytes = key.map(|bytes| bytes as u32);
                self.key_head.1 = 0;
                self.enter(Part::Key, key.unwrap_or(0))?;
            }
            _ => {
                let Some(value) = r.varint() else {
                    return Ok(None);
                };
                self.spend(r.at())?;
                let value = self.length("a value", value, self.record_left)?;
                self.value_bytes = value.map(|bytes| bytes as u32);
                self.value_head.1 = 0;
                self.enter(Part::Value, value.unwrap_or(0))?;
            }
        }
        Ok(Some(r.at()))
    }

    fn part_is_over(
        &mut self,
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        match self.part {
            Part::Key => self.part = Part::ValueLength,
            Part::Value => {
                if self.record_left == 0 {
                    return Err(Wrong::Batch.because("a record ends before its headers"));
                }
                self.enter(Part::Rest, self.record_left)?;
            }
            _ => {
                let record = Record {
                    offset_delta: self.offset_delta,
                    timestamp_delta: self.timestamp_delta,
                    key_bytes: self.key_bytes,
                    value_bytes: self.value_bytes,
                    key_head: &self.key_head.0[..self.key_head.1],
                    value_head: &self.value_head.0[..self.value_head.1],
                };
                self.count += 1;
                self.part = Part::Length;
                each(&record)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, part: Part, bytes: u64) -> Result<(), WireError> {
        (self.part, self.part_left) = (part, bytes);
        self.spend(bytes as usize)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), WireError> {
        let left = self.record_left.checked_sub(bytes as u64);
        self.record_left = left.ok_or_else(|| {
            Wrong::Batch.because("the parts of a record are longer than the record")
        })?;
        Ok(())
    }

    /// A length: −1 is null.
    fn length(&self, what: &str, length: i32, limit: u64) -> Result<Option<u64>, WireError> {
        match u64::try_from(length) {
            Ok(length) if length <= limit => Ok(Some(length)),
            Err(_) if length == -1 && self.part != Part::Length => Ok(None),
            _ => Err(Wrong::Batch.because(format!(
                "{what} says it has {length} bytes, {limit} are possible"
            ))),
        }
    }
}
