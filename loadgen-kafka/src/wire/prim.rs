//! Kafka's primitive types: fixed integers, varints, strings; non-flexible and compact.
//!
//! Reading never goes past its slice and never allocates. (Kafka protocol guide, "Protocol
//! Primitive Types".)

/// Reads from the front of a slice. Every method returns `None`, and moves nothing that matters,
/// when bytes are missing: the caller tries again with more of them.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the start of `bytes`.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    #[inline]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What was not read.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// INT8.
    #[inline]
    pub fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    /// INT16.
    #[inline]
    pub fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// INT32.
    #[inline]
    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// UINT32.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// INT64.
    #[inline]
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// `UNSIGNED_VARINT`; five bytes at most, more are cut off to `None` for good.
    #[inline]
    pub fn uvarint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    /// VARINT: zigzag, 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Option<i32> {
        let raw = self.uvarint()?;
        Some(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// VARLONG: zigzag, 64 bits, ten bytes at most.
    #[inline]
    pub fn varlong(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(((value >> 1) as i64) ^ -((value & 1) as i64));
            }
        }
        None
    }
}

/// Appends a STRING.
///
/// Longer than `i16::MAX` it is cut: names of topics and clients are judged by the plan.
pub fn put_string(text: &str, out: &mut Vec<u8>) {
    let bytes = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.extend_from_slice(&(bytes.len() as i16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a `COMPACT_STRING`.
pub fn put_compact_string(text: &str, out: &mut Vec<u8>) {
    put_uvarint(text.len() as u32 + 1, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends an `UNSIGNED_VARINT`.
pub fn put_uvarint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a VARINT.
pub fn put_varint(value: i32, out: &mut Vec<u8>) {
    put_uvarint(((value << 1) ^ (value >> 31)) as u32, out);
}

/// Appends a VARLONG.
pub fn put_varlong(value: i64, out: &mut Vec<u8>) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_short_ones_wait() {
        for value in [0, 1, -1, 63, -64, 64, i32::MAX, i32::MIN] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(Reader::new(&out).varint(), Some(value));
            assert_eq!(Reader::new(&out[..out.len() - 1]).varint(), None);
        }
        for value in [0, -1, 1 << 40, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_varlong(value, &mut out);
            assert_eq!(Reader::new(&out).varlong(), Some(value));
            assert_eq!(Reader::new(&out[..out.len() - 1]).varlong(), None);
        }
        assert_eq!(Reader::new(&[0xff; 12]).uvarint(), None);
        assert_eq!(Reader::new(&[0xff; 12]).varlong(), None);
        // Five bytes with more than 32 bits.
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).uvarint(), None);
    }

    #[test]
    fn strings_have_their_length_in_front() {
        let mut out = Vec::new();
        put_string("ab", &mut out);
        put_compact_string("ab", &mut out);
        assert_eq!(out, [0, 2, b'a', b'b', 3, b'a', b'b']);
        let mut reader = Reader::new(&out);
        assert_eq!((reader.i16(), reader.take(2)), (Some(2), Some(&b"ab"[..])));
        assert_eq!(reader.take(usize::MAX), None);
        assert_eq!(reader.rest().len(), 3);
    }
}
