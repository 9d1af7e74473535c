//! Fields of requests and replies, in both of the protocol's dialects: plain and flexible
//! (compact lengths, tags; KIP-482).
//!
//! Reading never allocates. The count of an array is believed only as far as there are bytes for
//! it, so that nobody can be made to prepare for elements that never come.

use crate::wire::prim::{Reader, put_uvarint};

/// Reads the fields of a request. Every method gives `None` when bytes are missing or wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    flexible: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Self {
            reader: Reader::new(bytes),
            flexible,
        }
    }

    /// Bytes that were read.
    pub(super) fn at(&self) -> usize {
        self.reader.at()
    }

    /// Bytes that were not.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    pub(super) fn i8(&mut self) -> Option<i8> {
        self.reader.i8()
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.reader.i16()
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.reader.i32()
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.reader.i64()
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        self.i8().map(|value| value != 0)
    }

    /// A field that is there only in some versions; `otherwise` elsewhere.
    pub(super) fn when<T>(
        &mut self,
        there: bool,
        otherwise: T,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if there { read(self) } else { Some(otherwise) }
    }

    /// A length: `None` within is null.
    fn length(&mut self, plain: impl FnOnce(&mut Self) -> Option<i64>) -> Option<Option<usize>> {
        let length = if self.flexible {
            i64::from(self.reader.uvarint()?) - 1
        } else {
            plain(self)?
        };
        match length {
            -1 => Some(None),
            length => usize::try_from(length).ok().map(Some),
        }
    }

    /// The bytes of a string, or null.
    pub(super) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.length(|f| f.i16().map(i64::from))? {
            None => Some(None),
            Some(length) => self.reader.take(length).map(Some),
        }
    }

    /// The bytes of a string that cannot be null.
    pub(super) fn string_bytes(&mut self) -> Option<&'a [u8]> {
        self.nullable_bytes()?
    }

    /// A string, or null.
    pub(super) fn nullable_string(&mut self) -> Option<Option<&'a str>> {
        match self.nullable_bytes()? {
            None => Some(None),
            Some(bytes) => std::str::from_utf8(bytes).ok().map(Some),
        }
    }

    /// A string that cannot be null.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.nullable_string()?
    }

    /// Bytes with a length of 32 bits; null counts as none.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.bytes_length()?.unwrap_or(0);
        self.reader.take(length)
    }

    /// Only their length; the bytes come behind it.
    pub(super) fn bytes_length(&mut self) -> Option<Option<usize>> {
        self.length(|f| f.i32().map(i64::from))
    }

    /// The count of an array whose elements come in time; null counts as none.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = self.length(|f| f.i32().map(i64::from))?;
        Some(count.unwrap_or(0))
    }

    /// The count of an array that is here whole, or null. `None` when there are fewer bytes than
    /// elements.
    pub(super) fn nullable_array(&mut self) -> Option<Option<usize>> {
        let count = self.length(|f| f.i32().map(i64::from))?;
        let possible = count.is_none_or(|count| count <= self.rest().len());
        possible.then_some(count)
    }

    /// The same; null counts as none.
    pub(super) fn array(&mut self) -> Option<usize> {
        self.nullable_array().map(|count| count.unwrap_or(0))
    }

    /// Passes over the tags, which only the flexible dialect has.
    pub(super) fn tags(&mut self) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        for _ in 0..self.reader.uvarint()? {
            let _number = self.reader.uvarint()?;
            let length = self.reader.uvarint()? as usize;
            self.reader.take(length)?;
        }
        Some(())
    }
}

/// Writes a reply: its length, its head, its fields.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    flexible: bool,
}

impl<'a> Answer<'a> {
    /// A reply to `correlation`, whose fields are in the dialect of its request.
    pub(super) fn new(out: &'a mut Vec<u8>, correlation: i32, flexible: bool) -> Self {
        let mut answer = Self::with_plain_head(out, correlation, flexible);
        answer.tags();
        answer
    }

    /// The same with a head that never has tags: `ApiVersions`, which is read before anybody knows
    /// who can do what (KIP-511).
    pub(super) fn with_plain_head(out: &'a mut Vec<u8>, correlation: i32, flexible: bool) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&correlation.to_be_bytes());
        Self {
            out,
            start,
            flexible,
        }
    }

    /// Goes on with a reply that was begun at `start` of `out`.
    pub(super) fn resume(out: &'a mut Vec<u8>, start: usize, flexible: bool) -> Self {
        Self {
            out,
            start,
            flexible,
        }
    }

    /// Where it began in the output.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Bytes of it so far.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.i8(i8::from(value));
    }

    /// A string. What is written here was read from a request or is ours: it fits.
    pub(super) fn string(&mut self, text: &str) {
        self.string_bytes(text.as_bytes());
    }

    /// The bytes of a string.
    pub(super) fn string_bytes(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(i16::MAX as usize)];
        if self.flexible {
            put_uvarint(bytes.len() as u32 + 1, self.out);
        } else {
            self.i16(bytes.len() as i16);
        }
        self.out.extend_from_slice(bytes);
    }

    /// A string or null.
    pub(super) fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None if self.flexible => self.out.push(0),
            None => self.i16(-1),
        }
    }

    /// Bytes with a length of 32 bits.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(Some(bytes.len()));
        self.out.extend_from_slice(bytes);
    }

    /// The count of an array or the length of bytes; `None` is null.
    pub(super) fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            put_uvarint(length.map_or(0, |length| length as u32 + 1), self.out);
        } else {
            self.i32(length.map_or(-1, |length| length as i32));
        }
    }

    /// The count of an array.
    pub(super) fn array(&mut self, count: usize) {
        self.length(Some(count));
    }

    /// No tags, where the dialect has them.
    pub(super) fn tags(&mut self) {
        if self.flexible {
            self.out.push(0);
        }
    }

    /// Writes the length; `elsewhere` bytes of the reply are not in this output.
    pub(super) fn finish(self, elsewhere: usize) {
        let length = (self.len() - 4 + elsewhere) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&length.to_be_bytes());
    }
}
