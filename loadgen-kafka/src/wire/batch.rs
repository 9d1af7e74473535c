//! The header of a record batch, magic 2: 61 bytes.
//!
//! Source: Kafka documentation, "Record Batch"; `DefaultRecordBatch.java`. The CRC covers everything
//! from the attributes on: base offset, length, leader epoch and magic may be rewritten without it.

use super::prim::Reader;
use super::{WireError, Wrong};

/// Bytes of the header, and where its length field ends: a batch has 12 bytes more than it says.
pub const HEADER_BYTES: usize = 61;
/// Bytes before what the length field counts.
pub const LENGTH_END: usize = 12;
/// Where the CRC is.
pub const CRC_AT: usize = 17;
/// From here on bytes count into the CRC.
pub const CRC_FROM: usize = 21;
/// Where the first timestamp is; the largest one follows it.
pub const BASE_TIMESTAMP_AT: usize = 27;
/// The format since Kafka 0.11.
pub const MAGIC: i8 = 2;

/// Bits 0–2 of the attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As they are.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the frames of snappy-java (Xerial) or bare.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// All of them, by their number on the wire.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name in `compression.type` and in our flags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn bits(self) -> i16 {
        self as i16
    }

    /// The codec of these attributes; `None` for the numbers nobody has given out.
    #[must_use]
    pub fn of(attributes: i16) -> Option<Self> {
        Self::ALL.get((attributes & 7) as usize).copied()
    }
}

/// Bit 3 of the attributes: the largest timestamp is the broker's own, and that of every record.
pub const APPEND_TIME: i16 = 1 << 3;
/// Bit 4 of the attributes: the batch belongs to a transaction.
pub const TRANSACTIONAL: i16 = 1 << 4;
/// Bit 5: its records are markers of the broker's own.
pub const CONTROL: i16 = 1 << 5;

/// The header. `length` is the field's value: bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after this field: at least 49, and no more than the caller's limit.
    pub length: u32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// CRC-32C from [`CRC_FROM`] to the end.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control.
    pub attributes: i16,
    /// Offset of the last record, counted from the first one's. Not negative.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, ms.
    pub base_timestamp: i64,
    /// The largest timestamp, ms.
    pub max_timestamp: i64,
    /// Of a transaction or of an idempotent producer; −1: none.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Number of the first record in its sequence.
    pub base_sequence: i32,
    /// Records in the batch. Not negative; a compacted one may have fewer than its offsets.
    pub records: i32,
}

impl Header {
    /// All bytes of the batch.
    #[must_use]
    pub const fn batch_bytes(&self) -> u64 {
        LENGTH_END as u64 + self.length as u64
    }

    /// Bytes behind the header.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.batch_bytes() - HEADER_BYTES as u64
    }

    /// The offset behind the last record.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(self.last_offset_delta as i64)
            .saturating_add(1)
    }

    /// How its records are compressed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        // What was read has a codec that is known.
        Codec::of(self.attributes).unwrap_or(Codec::None)
    }

    /// Whether its largest timestamp is that of every record: the time the broker got them.
    #[must_use]
    pub const fn is_append_time(&self) -> bool {
        self.attributes & APPEND_TIME != 0
    }

    /// Whether its records are markers of the broker's own.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Reads a header; `None` while bytes of it are missing.
    ///
    /// # Errors
    /// When it is no batch of magic 2, or a number in it cannot be.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut r = Reader::new(bytes);
        let Some((header, magic)) = Self::fields(&mut r) else {
            return Ok(None);
        };
        let wrong = |what: String| Err(Wrong::Batch.because(what));
        check_magic(magic)?;
        if header.length < (HEADER_BYTES - LENGTH_END) as u32 || header.length > i32::MAX as u32 {
            return wrong(format!(
                "a record batch says it has {} bytes after its length, at least {} are needed",
                header.length as i32,
                HEADER_BYTES - LENGTH_END
            ));
        }
        if header.base_offset < 0 || header.last_offset_delta < 0 || header.records < 0 {
            return wrong(format!(
                "a record batch has base offset {}, last offset delta {} and {} records: none may \
                 be negative",
                header.base_offset, header.last_offset_delta, header.records
            ));
        }
        if header.base_offset > i64::MAX - 1 - i64::from(header.last_offset_delta) {
            return wrong(format!(
                "a record batch begins at offset {} and has {} more: that is beyond the last offset \
                 there is",
                header.base_offset, header.last_offset_delta
            ));
        }
        if i64::from(header.records) > i64::from(header.last_offset_delta) + 1 {
            return wrong(format!(
                "a record batch says it has {} records in {} offsets",
                header.records,
                i64::from(header.last_offset_delta) + 1
            ));
        }
        if Codec::of(header.attributes).is_none() {
            return wrong(format!(
                "a record batch has codec {}, {} is the last one known",
                header.attributes & 7,
                Codec::ALL.len() - 1
            ));
        }
        Ok(Some(header))
    }

    fn fields(r: &mut Reader<'_>) -> Option<(Self, i8)> {
        let (base_offset, length, leader_epoch) = (r.i64()?, r.u32()?, r.i32()?);
        let magic = r.i8()?;
        let header = Self {
            base_offset,
            length,
            leader_epoch,
            crc: r.u32()?,
            attributes: r.i16()?,
            last_offset_delta: r.i32()?,
            base_timestamp: r.i64()?,
            max_timestamp: r.i64()?,
            producer_id: r.i64()?,
            producer_epoch: r.i16()?,
            base_sequence: r.i32()?,
            records: r.i32()?,
        };
        Some((header, magic))
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.records.to_be_bytes());
        out
    }
}

/// The formats before magic 2 have it at the same place.
///
/// # Errors
/// [`Wrong::Batch`] when it is another one.
pub fn check_magic(magic: i8) -> Result<(), WireError> {
    if magic == MAGIC {
        return Ok(());
    }
    Err(Wrong::Batch.because(format!(
        "a record batch has magic {magic}, only {MAGIC} is read"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            base_offset: 7,
            length: 100,
            leader_epoch: 3,
            crc: 0xdead_beef,
            attributes: Codec::Lz4.bits() | TRANSACTIONAL,
            last_offset_delta: 9,
            base_timestamp: 1,
            max_timestamp: 2,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: 10,
        }
    }

    #[test]
    fn comes_back_and_waits_at_every_cut() {
        let bytes = header().encode();
        assert_eq!(Header::read(&bytes), Ok(Some(header())));
        for cut in 0..HEADER_BYTES {
            assert_eq!(Header::read(&bytes[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(header().next_offset(), 17);
        assert_eq!(header().batch_bytes(), 112);
        assert!(header().is_transactional() && !header().is_control());
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let cases = [
            Header {
                length: 48,
                ..header()
            },
            Header {
                length: u32::MAX,
                ..header()
            },
            Header {
                base_offset: -1,
                ..header()
            },
            Header {
                last_offset_delta: -1,
                ..header()
            },
            Header {
                records: -1,
                ..header()
            },
            Header {
                records: 11,
                ..header()
            },
            Header {
                attributes: 5,
                ..header()
            },
        ];
        for case in cases {
            let read = Header::read(&case.encode());
            assert!(
                matches!(
                    read,
                    Err(WireError {
                        wrong: Wrong::Batch,
                        ..
                    })
                ),
                "{case:?}"
            );
        }
        let mut old = header().encode();
        old[16] = 1;
        assert!(Header::read(&old).is_err());
    }
}
