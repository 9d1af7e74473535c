//! Batches that are built once and sent again and again.
//!
//! Only what is copied may change: the header, with timestamps and CRC. The rest is a sealed region.
//! Where values carry a stamp, all of it is copied, stamped and summed up anew. Nothing here may
//! depend on time.

use bytes::Bytes;
use loadgen_core::buffer::{Outbox, Region};
use loadgen_core::time::Tick;
use loadgen_core::workload::Random;

use crate::spec::RecordSpec;
use crate::wire::WireError;
use crate::wire::batch::{BASE_TIMESTAMP_AT, CRC_AT, CRC_FROM, Codec, HEADER_BYTES};
use crate::wire::compose::{Composer, Draft};
use crate::wire::crc::Shift;

/// Bytes of a stamp at the front of a value: the tick at which it was sent, big-endian.
pub const STAMP_BYTES: usize = 8;

/// A prepared batch.
#[derive(Clone, Debug)]
pub struct Template {
    head: [u8; HEADER_BYTES],
    /// The CRC with both timestamps 0.
    crc: u32,
    /// From behind the timestamps to the end.
    behind_times: Shift,
    body: Region,
    /// Where stamps go, in the body.
    stamps: Vec<u32>,
    /// Records in it.
    pub records: u32,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
}

impl Template {
    /// Batches of `spec` with as many records as fit into its size, `limit` at the most; contents
    /// are letters drawn by `seed`. `stamped`: values begin with a stamp.
    ///
    /// # Errors
    /// When a batch cannot be composed.
    pub fn new(spec: &RecordSpec, limit: u64, seed: u64, stamped: bool) -> Result<Self, WireError> {
        let mut composer = Composer::new();
        let mut random = Random::new(seed);
        let mut stamps = Vec::new();
        let headers: Vec<(&str, Vec<u8>)> = spec
            .headers
            .iter()
            .map(|(name, bytes)| (name.as_str(), letters(&mut random, *bytes)))
            .collect();
        let headers: Vec<(&str, Option<&[u8]>)> = headers
            .iter()
            .map(|(name, value)| (*name, Some(&value[..])))
            .collect();
        let mut value = letters(&mut random, spec.value_bytes);
        let mut number = 0_u64;
        while number < limit {
            let before = (composer.clone(), stamps.len());
            // Each value is another one: else a codec would find the same bytes again.
            refresh(&mut random, &mut value);
            let key = spec.key_bytes.map(|bytes| key(number, bytes));
            let draft = Draft {
                key: key.as_deref(),
                value: Some(&value),
                headers: &headers,
                timestamp_delta_ms: 0,
            };
            let value_at = composer.push(&draft)?;
            stamps.push(value_at as u32);
            if number > 0 && composer.plain_bytes() > spec.batch_bytes as usize {
                composer = before.0;
                stamps.truncate(before.1);
                break;
            }
            number += 1;
        }
        let codec = if stamped { Codec::None } else { spec.codec };
        let batch = composer.finish(codec, 0)?;
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&batch[..HEADER_BYTES]);
        Ok(Self {
            crc: crc32c::crc32c(&batch[CRC_FROM..]),
            behind_times: Shift::by((batch.len() - BASE_TIMESTAMP_AT - 16) as u64),
            body: Region::new(Bytes::from(batch).slice(HEADER_BYTES..)),
            head,
            stamps: if stamped { stamps } else { Vec::new() },
            records: composer.records(),
            payload_bytes: composer.payload_bytes(),
        })
    }

    /// All bytes of the batch.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        HEADER_BYTES + self.body.bytes().len()
    }

    /// Appends the batch as of `unix_ms`; stamps, where it has any, are `at`.
    pub fn put(&self, unix_ms: i64, at: Tick, out: &mut Outbox) {
        let mut times = [0; 16];
        times[..8].copy_from_slice(&unix_ms.to_be_bytes());
        times[8..].copy_from_slice(&unix_ms.to_be_bytes());
        let from = out.copied().len();
        out.put(&self.head);
        let head = &mut out.copied_mut()[from..];
        head[BASE_TIMESTAMP_AT..BASE_TIMESTAMP_AT + 16].copy_from_slice(&times);
        let crc = self.crc ^ self.behind_times.change(&times);
        head[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        if self.stamps.is_empty() {
            out.put_region(&self.body);
            return;
        }
        out.put(self.body.bytes());
        let batch = &mut out.copied_mut()[from..];
        for &place in &self.stamps {
            let place = HEADER_BYTES + place as usize;
            batch[place..place + STAMP_BYTES].copy_from_slice(&at.0.to_be_bytes());
        }
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    }
}

/// The number of a record, as long as it has to be: its last digits where it is shorter.
fn key(number: u64, bytes: u32) -> Vec<u8> {
    let width = bytes as usize;
    let digits = format!("{number:0width$}");
    digits.as_bytes()[digits.len() - width..].to_vec()
}

fn letters(random: &mut Random, bytes: u32) -> Vec<u8> {
    (0..bytes).map(|_| b'A' + random.below(26) as u8).collect()
}

/// Letters as the Java tool draws them, all anew.
fn refresh(random: &mut Random, value: &mut [u8]) {
    for byte in value {
        *byte = b'A' + random.below(26) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Depth, Isolation};
    use crate::walk::{Rules, Visit, Walk};
    use crate::wire::record::Record;

    fn spec(codec: Codec, value_bytes: u32) -> RecordSpec {
        RecordSpec {
            value_bytes,
            key_bytes: Some(4),
            headers: vec![("h".into(), 3)],
            codec,
            batch_bytes: 16 * 1024,
        }
    }

    struct Seen(Vec<(i64, u64)>);

    impl Visit for Seen {
        fn record(&mut self, _offset: i64, timestamp_ms: i64, record: &Record<'_>) {
            let stamp = record.value_head.first_chunk().copied().unwrap_or_default();
            self.0.push((timestamp_ms, u64::from_be_bytes(stamp)));
        }
    }

    /// Walks a sent batch at full depth: CRC, records, payload.
    fn walked(template: &Template, unix_ms: i64, at: Tick) -> Seen {
        let mut out = Outbox::default();
        template.put(unix_ms, at, &mut out);
        let bytes = out.flatten();
        assert_eq!(bytes.len(), template.batch_bytes());
        let (depth, isolation) = (Depth::Records, Isolation::ReadUncommitted);
        let mut walk = Walk::new(Rules { depth, isolation });
        walk.begin(0, bytes.len() as u32);
        let mut seen = Seen(Vec::new());
        assert!(walk.feed(&bytes, 0, &mut seen).unwrap().done);
        let counts = walk.counts();
        assert_eq!(counts.records, u64::from(template.records));
        assert_eq!(counts.payload_bytes, Some(template.payload_bytes));
        seen
    }

    #[test]
    fn every_send_has_its_times_and_the_right_crc() {
        for codec in Codec::ALL {
            for value_bytes in [0, 100, 1000, 100_000] {
                let template = Template::new(&spec(codec, value_bytes), u64::MAX, 7, false);
                let template = template.unwrap();
                for unix_ms in [0, 1, 1_700_000_000_123, i64::MAX] {
                    let seen = walked(&template, unix_ms, Tick(5));
                    assert!(seen.0.iter().all(|(ms, _)| *ms == unix_ms));
                }
            }
        }
    }

    #[test]
    fn as_many_records_as_fit_and_one_at_least() {
        let records = |value_bytes, limit| {
            let template = Template::new(&spec(Codec::None, value_bytes), limit, 7, false);
            let template = template.unwrap();
            (template.records, template.batch_bytes())
        };
        let (many, bytes) = records(1000, u64::MAX);
        assert!(
            many == 16 && (15 * 1024..=16 * 1024).contains(&bytes),
            "{many} {bytes}"
        );
        assert_eq!(records(1000, 3).0, 3);
        assert_eq!(records(1_000_000, u64::MAX).0, 1);
    }

    #[test]
    fn stamps_say_when_it_was_sent() {
        let template = Template::new(&spec(Codec::None, 100), u64::MAX, 7, true).unwrap();
        let seen = walked(&template, 9, Tick(0x0102_0304));
        assert!(seen.0.iter().all(|stamp| *stamp == (9, 0x0102_0304)));
        let large = Template::new(&spec(Codec::None, 200_000), u64::MAX, 7, true).unwrap();
        assert_eq!(walked(&large, 9, Tick(77)).0, [(9, 77)]);
    }

    #[test]
    fn keys_are_numbers_of_their_length() {
        assert_eq!(
            (key(7, 4), key(123_456, 4), key(7, 0)),
            (b"0007".to_vec(), b"3456".to_vec(), vec![])
        );
    }
}
