//! The records of a batch, read piece by piece.
//!
//! A record's key, value and headers may be cut anywhere; of them only lengths and a few first bytes
//! are kept. Nothing here may buffer a record, and what is said of one may not depend on where it was
//! cut. Sources: Kafka documentation, "Record"; `DefaultRecord.java`.

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

impl<'a> Record<'a> {
    /// Bytes of key and value.
    #[must_use]
    #[inline]
    pub fn payload_bytes(&self) -> u64 {
        u64::from(self.key_bytes.unwrap_or(0)) + u64::from(self.value_bytes.unwrap_or(0))
    }

    /// Reads a record that is there whole and as it should be, and how many bytes it has. `None` for
    /// any other: whoever takes it apart knows why.
    fn whole(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut outer = Reader::new(bytes);
        let length = outer.varint()?;
        let mut r = Reader::new(outer.take(usize::try_from(length).ok()?)?);
        let _attributes = r.i8()?;
        let (timestamp_delta, offset_delta) = (r.varlong()?, r.varint()?);
        let (key, value) = (nullable(&mut r)?, nullable(&mut r)?);
        for _ in 0..u32::try_from(r.varint()?).ok()? {
            let name_bytes = r.varint()?;
            r.take(usize::try_from(name_bytes).ok()?)?;
            nullable(&mut r)?;
        }
        if !r.rest().is_empty() {
            return None;
        }
        let record = Self {
            offset_delta,
            timestamp_delta,
            key_bytes: key.map(|key| key.len() as u32),
            value_bytes: value.map(|value| value.len() as u32),
            key_head: head(key),
            value_head: head(value),
        };
        Some((record, outer.at()))
    }
}

/// A length and so many bytes; −1 is null.
#[inline]
fn nullable<'a>(r: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match r.varint()? {
        -1 => Some(None),
        length => Some(Some(r.take(usize::try_from(length).ok()?)?)),
    }
}

#[inline]
fn head(bytes: Option<&[u8]>) -> &[u8] {
    bytes.map_or(&[], |bytes| &bytes[..bytes.len().min(HEAD_BYTES)])
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
    /// The number of headers, and of each of them:
    Headers,
    NameLength,
    Name,
    FieldLength,
    Field,
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
    headers_left: u64,
    /// The beginning of a part that was cut.
    kept: [u8; PART_BYTES_MAX],
    kept_bytes: usize,
    offset_delta: i32,
    timestamp_delta: i64,
    key_bytes: Option<u32>,
    value_bytes: Option<u32>,
    key_head: Head,
    value_head: Head,
    /// Records that are complete.
    count: u64,
}

/// First bytes, as they come.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: [u8; HEAD_BYTES],
    used: usize,
}

impl Head {
    fn more(&mut self, bytes: &[u8]) {
        let count = (HEAD_BYTES - self.used).min(bytes.len());
        self.bytes[self.used..self.used + count].copy_from_slice(&bytes[..count]);
        self.used += count;
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Default for Records {
    fn default() -> Self {
        Self {
            part: Part::Length,
            record_left: 0,
            part_left: 0,
            headers_left: 0,
            kept: [0; PART_BYTES_MAX],
            kept_bytes: 0,
            offset_delta: 0,
            timestamp_delta: 0,
            key_bytes: None,
            value_bytes: None,
            key_head: Head::default(),
            value_head: Head::default(),
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
    /// [`Wrong::Batch`] when a length cannot be; and what `each` says.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        loop {
            // Mostly they are there whole.
            if self.between_records() {
                while let Some((record, eaten)) = Record::whole(bytes) {
                    bytes = &bytes[eaten..];
                    self.count += 1;
                    each(&record)?;
                }
            }
            match self.part {
                Part::Key | Part::Value | Part::Name | Part::Field => {
                    let count = self.part_left.min(bytes.len() as u64) as usize;
                    match self.part {
                        Part::Key => self.key_head.more(&bytes[..count]),
                        Part::Value => self.value_head.more(&bytes[..count]),
                        _ => {}
                    }
                    bytes = &bytes[count..];
                    self.part_left -= count as u64;
                    if self.part_left > 0 {
                        return Ok(());
                    }
                    self.after_bytes(each)?;
                }
                _ => match self.number(bytes, each)? {
                    Some(eaten) => bytes = &bytes[eaten..],
                    None => return Ok(()),
                },
            }
        }
    }

    /// Reads a part of numbers, which may be cut; `None` while bytes of it are missing.
    fn number(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<Option<usize>, WireError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let before = self.kept_bytes;
        if before == 0
            && let Some(eaten) = self.read(bytes, each)?
        {
            return Ok(Some(eaten));
        }
        let count = (PART_BYTES_MAX - before).min(bytes.len());
        self.kept[before..before + count].copy_from_slice(&bytes[..count]);
        self.kept_bytes += count;
        let kept = self.kept;
        if let Some(eaten) = self.read(&kept[..self.kept_bytes], each)? {
            self.kept_bytes = 0;
            return Ok(Some(eaten.saturating_sub(before)));
        }
        if self.kept_bytes == PART_BYTES_MAX {
            return Err(Wrong::Batch.because("a number in a record has too many bytes"));
        }
        Ok(None)
    }

    /// Reads a part of numbers; how many bytes it had, `None` while some are missing.
    fn read(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<Option<usize>, WireError> {
        let mut r = Reader::new(bytes);
        if self.part == Part::Head {
            let mut head = || {
                let _attributes = r.i8()?;
                Some((r.varlong()?, r.varint()?, r.varint()?))
            };
            let Some((timestamp_delta, offset_delta, key)) = head() else {
                return Ok(None);
            };
            self.spend(r.at() as u64)?;
            (self.timestamp_delta, self.offset_delta) = (timestamp_delta, offset_delta);
            let key = self.nullable("a key", key)?;
            self.key_bytes = key.map(|bytes| bytes as u32);
            self.key_head.used = 0;
            self.enter(Part::Key, key)?;
            return Ok(Some(r.at()));
        }
        let Some(number) = r.varint() else {
            return Ok(None);
        };
        if self.part != Part::Length {
            self.spend(r.at() as u64)?;
        }
        match self.part {
            Part::Length => {
                self.record_left = length("a record", number, u64::from(u32::MAX))?;
                self.part = Part::Head;
            }
            Part::ValueLength => {
                let value = self.nullable("a value", number)?;
                self.value_bytes = value.map(|bytes| bytes as u32);
                self.value_head.used = 0;
                self.enter(Part::Value, value)?;
            }
            Part::Headers => {
                self.headers_left = length("the list of headers", number, self.record_left)?;
                self.next_header(each)?;
            }
            Part::NameLength => {
                let name = length("the name of a header", number, self.record_left)?;
                self.enter(Part::Name, Some(name))?;
            }
            _ => {
                let field = self.nullable("a header", number)?;
                self.enter(Part::Field, field)?;
            }
        }
        Ok(Some(r.at()))
    }

    /// Key, value, name or field are over.
    fn after_bytes(
        &mut self,
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        match self.part {
            Part::Key => self.part = Part::ValueLength,
            Part::Value => self.part = Part::Headers,
            Part::Name => self.part = Part::FieldLength,
            _ => {
                self.headers_left -= 1;
                self.next_header(each)?;
            }
        }
        Ok(())
    }

    /// Another header, or the end of the record.
    fn next_header(
        &mut self,
        each: &mut impl FnMut(&Record<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        if self.headers_left > 0 {
            self.part = Part::NameLength;
            return Ok(());
        }
        if self.record_left > 0 {
            return Err(Wrong::Batch.because(format!(
                "a record has {} bytes behind its headers",
                self.record_left
            )));
        }
        let record = Record {
            offset_delta: self.offset_delta,
            timestamp_delta: self.timestamp_delta,
            key_bytes: self.key_bytes,
            value_bytes: self.value_bytes,
            key_head: self.key_head.get(),
            value_head: self.value_head.get(),
        };
        self.count += 1;
        self.part = Part::Length;
        each(&record)
    }

    fn enter(&mut self, part: Part, bytes: Option<u64>) -> Result<(), WireError> {
        (self.part, self.part_left) = (part, bytes.unwrap_or(0));
        self.spend(self.part_left)
    }

    fn spend(&mut self, bytes: u64) -> Result<(), WireError> {
        let left = self.record_left.checked_sub(bytes);
        self.record_left = left.ok_or_else(|| {
            Wrong::Batch.because(format!(
                "a part of a record has {bytes} bytes, {} of the record are left",
                self.record_left
            ))
        })?;
        Ok(())
    }

    /// A length of what may be null.
    fn nullable(&self, what: &str, number: i32) -> Result<Option<u64>, WireError> {
        if number == -1 {
            return Ok(None);
        }
        length(what, number, self.record_left).map(Some)
    }
}

/// A length or count that its record can hold.
fn length(what: &str, number: i32, limit: u64) -> Result<u64, WireError> {
    match u64::try_from(number) {
        Ok(length) if length <= limit => Ok(length),
        _ => {
            Err(Wrong::Batch.because(format!("{what} says it has {number}, {limit} are possible")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::prim::{put_varint, put_varlong};

    /// Offset delta, timestamp delta, lengths and first bytes of a record.
    type Seen = (i32, i64, Option<u32>, Option<u32>, Vec<u8>, Vec<u8>);

    /// What the pieces have, records before an error too, and whether a record is cut at the end.
    fn read(pieces: &[&[u8]]) -> (Vec<Seen>, Result<bool, WireError>) {
        let mut records = Records::default();
        let mut seen = Vec::new();
        let mut each = |r: &Record<'_>| {
            let heads = (r.key_head.to_vec(), r.value_head.to_vec());
            let lengths = (r.key_bytes, r.value_bytes);
            let deltas = (r.offset_delta, r.timestamp_delta);
            seen.push((deltas.0, deltas.1, lengths.0, lengths.1, heads.0, heads.1));
            Ok(())
        };
        for piece in pieces {
            if let Err(error) = records.feed(piece, &mut each) {
                return (seen, Err(error));
            }
        }
        let whole = records.between_records();
        assert_eq!(records.count(), seen.len() as u64);
        (seen, Ok(whole))
    }

    /// The verdict is the same in one piece, cut once anywhere, and byte by byte.
    fn read_cut(bytes: &[u8]) -> (Vec<Seen>, Result<bool, WireError>) {
        let whole = read(&[bytes]);
        for cut in 0..=bytes.len() {
            let (before, behind) = bytes.split_at(cut);
            assert_eq!(read(&[before, behind]), whole, "cut at {cut}");
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&each), whole);
        whole
    }

    fn put_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        put_varint(bytes.map_or(-1, |bytes| bytes.len() as i32), out);
        out.extend_from_slice(bytes.unwrap_or_default());
    }

    /// What is behind the length of a record, up to the number of headers.
    fn body(delta: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let mut out = vec![0];
        put_varlong(-5_000_000_000, &mut out);
        put_varint(delta, &mut out);
        put_bytes(key, &mut out);
        put_bytes(value, &mut out);
        out
    }

    fn record(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(Some(body), &mut out);
        out
    }

    #[test]
    fn records_of_all_kinds_are_the_same_however_they_are_cut() {
        let long = [9; 200];
        let keys: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"key"), Some(&long)];
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (n, key) in keys.into_iter().enumerate() {
            for (m, value) in keys.into_iter().enumerate() {
                let delta = (n * 4 + m) as i32;
                let mut body = body(delta, key, value);
                put_varint(m as i32, &mut body);
                for header in 0..m {
                    put_bytes(Some(b"name"), &mut body);
                    put_bytes(keys[header + 1 - header % 2], &mut body);
                }
                bytes.extend(record(&body));
                let length = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.len() as u32);
                let heads = (head(key).to_vec(), head(value).to_vec());
                let lengths = (length(key), length(value));
                expected.push((
                    delta,
                    -5_000_000_000,
                    lengths.0,
                    lengths.1,
                    heads.0,
                    heads.1,
                ));
            }
        }
        assert_eq!(read_cut(&bytes), (expected, Ok(true)));
    }

    #[test]
    fn what_cannot_be_is_told_however_it_is_cut() {
        let good = [body(0, Some(b"k"), Some(b"v")), vec![0]].concat();
        let with = |tail: &[u8]| record(&[&body(0, None, None), tail].concat());
        // Zigzag: 1 is −1, 2 is 1, 3 is −2.
        let cases = [
            ("a negative length", vec![1]),
            ("nothing in it", vec![0]),
            ("too short for its key", record(&good[..9])),
            ("too short for its value", record(&good[..11])),
            ("no headers", record(&good[..good.len() - 1])),
            ("bytes behind its headers", with(&[0, 0])),
            ("a negative number of headers", with(&[1])),
            ("more headers than bytes", with(&[20, 2, b'h', 1])),
            ("a header that is not there", with(&[4, 2, b'h', 1])),
            ("a null name", with(&[2, 1, 1])),
            ("a name beyond the record", with(&[2, 20, b'h'])),
            ("a field beyond the record", with(&[2, 2, b'h', 20])),
            ("a field of −2 bytes", with(&[2, 2, b'h', 3])),
            ("a number without an end", vec![0xff; 30]),
            ("a key of −2 bytes", record(&[0, 0, 0, 3, 1, 0])),
            (
                "a value of 2 GiB",
                record(&[0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0]),
            ),
        ];
        for (what, case) in cases {
            // Something follows: what is cut off at the end is not wrong yet.
            let bytes = [record(&good), case, record(&good), record(&good)].concat();
            let (seen, verdict) = read_cut(&bytes);
            assert_eq!(seen.len(), 1, "{what}");
            assert_eq!(verdict.unwrap_err().wrong, Wrong::Batch, "{what}");
        }
    }

    #[test]
    fn a_record_that_is_cut_is_not_complete() {
        let bytes = record(&[body(0, Some(b"k"), Some(b"v")), vec![0]].concat());
        for cut in 1..bytes.len() {
            assert_eq!(read_cut(&bytes[..cut]), (vec![], Ok(false)), "{cut}");
        }
    }

    #[test]
    fn what_the_reader_of_records_says_ends_it() {
        let bytes = record(&[body(0, None, None), vec![0]].concat()).repeat(3);
        for piece in [1, bytes.len()] {
            let mut left = 2;
            let mut each = |_: &Record<'_>| {
                left -= 1;
                if left > 0 {
                    return Ok(());
                }
                Err(Wrong::Batch.because("enough"))
            };
            let mut records = Records::default();
            let mut results = bytes.chunks(piece).map(|p| records.feed(p, &mut each));
            assert!(results.any(|result| result.is_err()), "{piece}");
        }
    }
}
