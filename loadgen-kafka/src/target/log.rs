//! The synthetic log: any offset of it, served from a few prepared batches.
//!
//! All records are the same, so a log needs no memory: a batch of R records serves any R offsets,
//! because the base offset is outside its CRC. Where fewer than R are left, batches of 1, 2, 4, …
//! records make up the rest. A batch begins at the offset that was asked for, so nothing before it
//! is ever sent. Only the 8 bytes of the base offset are copied; the rest is a sealed region.

use bytes::Bytes;
use loadgen_core::buffer::{Outbox, Region};

use crate::wire::WireError;
use crate::wire::batch::Codec;
use crate::wire::compose::{Composer, Draft};

/// Bytes of the base offset.
const OFFSET_BYTES: usize = 8;

/// A prepared batch.
#[derive(Debug)]
struct Piece {
    records: i64,
    bytes: usize,
    /// Everything behind the base offset.
    rest: Region,
}

/// What a partition gets in a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) records: i64,
    pub(super) batches: u64,
    pub(super) bytes: usize,
}

/// The prepared batches, the largest first: R records, then powers of two.
#[derive(Debug)]
pub(super) struct Log {
    pieces: Vec<Piece>,
    /// Of every record, ms.
    pub(super) timestamp_ms: i64,
}

impl Log {
    /// Records have values of `record_bytes` and no key; a full batch as many as fit into
    /// `batch_bytes`, header included, at least one.
    ///
    /// # Errors
    /// When a batch would be larger than the format allows.
    pub(super) fn new(
        record_bytes: usize,
        batch_bytes: usize,
        timestamp_ms: i64,
    ) -> Result<Self, WireError> {
        let value: Vec<u8> = (b'a'..=b'z').cycle().take(record_bytes).collect();
        let draft = Draft {
            value: Some(&value),
            ..Draft::default()
        };
        let mut composer = Composer::new();
        let mut full = 0_u32;
        while full == 0 || composer.plain_bytes() <= batch_bytes {
            composer.push(&draft)?;
            full += 1;
        }
        // The last one was too much, unless it is the only one.
        let full = (full - 1).max(1);
        let mut sizes = vec![full];
        let powers = (0..u32::BITS).rev().map(|bit| 1 << bit);
        sizes.extend(powers.filter(|size| *size < full));
        let pieces = sizes.into_iter().map(|records| {
            composer.clear();
            for _ in 0..records {
                composer.push(&draft)?;
            }
            let batch = composer.finish(Codec::None, timestamp_ms)?;
            Ok(Piece {
                records: i64::from(records),
                bytes: batch.len(),
                rest: Region::new(Bytes::from(batch).slice(OFFSET_BYTES..)),
            })
        });
        Ok(Self {
            pieces: pieces.collect::<Result<_, _>>()?,
            timestamp_ms,
        })
    }

    fn full(&self) -> &Piece {
        &self.pieces[0]
    }

    /// Records of a full batch, and its bytes.
    pub(super) fn batch(&self) -> (i64, usize) {
        (self.full().records, self.full().bytes)
    }

    /// How much of `left` records fits into `room` bytes, in whole batches; `one_at_least`: the
    /// first batch comes whatever its size (KIP-74).
    pub(super) fn cut(&self, left: i64, room: usize, one_at_least: bool) -> Cut {
        let mut cut = Cut::default();
        for piece in &self.pieces {
            let wanted = (left - cut.records) / piece.records;
            let fits = (room.saturating_sub(cut.bytes) / piece.bytes) as i64;
            let forced = i64::from(one_at_least && cut.batches == 0);
            let count = wanted.min(fits.max(forced)).max(0);
            cut.records += count * piece.records;
            cut.batches += count as u64;
            cut.bytes += count as usize * piece.bytes;
            if count < wanted {
                // What is smaller would fit, but come before what is larger.
                break;
            }
        }
        cut
    }

    /// Writes the batches of a cut, from `offset` on; the bytes that were not copied.
    pub(super) fn put(&self, mut offset: i64, cut: Cut, out: &mut Outbox) -> usize {
        let (mut left, mut referred) = (cut.records, 0);
        for piece in &self.pieces {
            for _ in 0..left / piece.records {
                out.put(&offset.to_be_bytes());
                let before = out.inserts().len();
                out.refer(&piece.rest);
                if out.inserts().len() > before {
                    referred += piece.bytes - OFFSET_BYTES;
                }
                offset += piece.records;
            }
            left %= piece.records;
        }
        referred
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::RecordBatchDecoder;

    /// Offsets of all records of a cut, by a decoder of others; it checks the CRC.
    fn offsets(log: &Log, from: i64, cut: Cut) -> Vec<i64> {
        let mut out = Outbox::default();
        let referred = log.put(from, cut, &mut out);
        let flat = out.flatten();
        assert_eq!(flat.len(), cut.bytes);
        assert_eq!(out.copied().len() + referred, cut.bytes);
        let mut bytes = Bytes::from(flat);
        let mut seen = Vec::new();
        let mut batches = 0;
        while !bytes.is_empty() {
            let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
            batches += 1;
            for record in &set.records {
                assert_eq!(record.timestamp, 77);
                assert_eq!(record.value.as_ref().map(Bytes::len), Some(100));
                seen.push(record.offset);
            }
        }
        assert_eq!(batches, cut.batches);
        seen
    }

    #[test]
    fn every_record_up_to_the_end_is_there_once() {
        let log = Log::new(100, 1200, 77).unwrap();
        let (records, bytes) = log.batch();
        assert!(records > 8 && bytes <= 1200, "{records} {bytes}");
        for left in 0..3 * records + 2 {
            let cut = log.cut(left, usize::MAX, false);
            assert_eq!(cut.records, left);
            let expected: Vec<i64> = (1_000..1_000 + left).collect();
            assert_eq!(offsets(&log, 1_000, cut), expected);
        }
    }

    #[test]
    fn room_is_respected_but_for_the_first_batch() {
        let log = Log::new(100, 1200, 77).unwrap();
        let (records, bytes) = log.batch();
        let rows = [
            (100 * records, 3 * bytes, false, 3 * records),
            (100 * records, 3 * bytes - 1, false, 2 * records),
            (100 * records, bytes - 1, false, 0),
            (100 * records, 0, true, records),
            (2, 0, true, 2),
            (0, 1 << 20, true, 0),
        ];
        for (left, room, one, expected) in rows {
            let cut = log.cut(left, room, one);
            assert_eq!(cut.records, expected, "{left} {room} {one}");
            assert_eq!(offsets(&log, 5, cut).len() as i64, expected);
        }
    }

    #[test]
    fn a_record_larger_than_a_batch_has_one_of_its_own() {
        let log = Log::new(100_000, 16, 77).unwrap();
        let (records, bytes) = log.batch();
        assert_eq!(records, 1);
        let mut out = Outbox::default();
        let cut = log.cut(3, 2 * bytes, true);
        assert_eq!((cut.records, cut.batches), (2, 2));
        assert_eq!(log.put(0, cut, &mut out), 2 * (bytes - 8));
        assert_eq!(out.copied().len(), 16);
    }
}
