//! One record batch of magic 2, built from records.
//!
//! For templates, made once and sent often: nothing here belongs on the hot path, and nothing here
//! decides what is in a record. Source: Kafka documentation, "Record Batch" and "Record";
//! `DefaultRecord.java`.

use super::batch::{CRC_FROM, Codec, HEADER_BYTES, Header, LENGTH_END};
use super::prim::{put_varint, put_varlong};
use super::{WireError, Wrong};

/// The most bytes of a batch: its length field is an INT32, and so is that of a request around it.
pub const BATCH_BYTES_MAX: usize = i32::MAX as usize - 64 * 1024;

/// One record, to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draft<'a> {
    /// The key; `None` is null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values of headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Counted from the batch's base timestamp, ms.
    pub timestamp_delta_ms: i64,
}

/// How far a [`Composer`] was.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    body_bytes: usize,
    records: u32,
    payload_bytes: u64,
    delta_max_ms: i64,
}

/// Collects the records of one batch.
#[derive(Clone, Debug, Default)]
pub struct Composer {
    body: Vec<u8>,
    one: Vec<u8>,
    records: u32,
    payload_bytes: u64,
    delta_max_ms: i64,
}

impl Composer {
    /// No record yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.body.clear();
        (self.records, self.payload_bytes, self.delta_max_ms) = (0, 0, 0);
    }

    /// Records so far.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of keys and values so far.
    #[must_use]
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Bytes the batch would have without compression, its header included.
    #[must_use]
    pub fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Appends a record. Says where its value begins, counted from the first byte behind the
    /// batch's header: what may be rewritten later in a batch that is not compressed.
    ///
    /// # Errors
    /// [`Wrong::Length`] when the batch would have more than [`BATCH_BYTES_MAX`] bytes; it stays as
    /// it was.
    pub fn push(&mut self, draft: &Draft<'_>) -> Result<usize, WireError> {
        let ours = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = draft.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + ours(*value) + 10)
            .sum();
        // Attributes, length and the numbers of a record have 40 bytes at the most.
        let about = self.body.len() + ours(draft.key) + ours(draft.value) + headers + 40;
        if about > BATCH_BYTES_MAX - HEADER_BYTES {
            return Err(Wrong::Length.because(format!(
                "a record batch of {about} bytes is above the limit of {BATCH_BYTES_MAX}"
            )));
        }
        let value_in_record = self.write_one(draft);
        put_varint(self.one.len() as i32, &mut self.body);
        let value_at = self.body.len() + value_in_record;
        self.body.extend_from_slice(&self.one);
        self.payload_bytes += (ours(draft.key) + ours(draft.value)) as u64;
        self.delta_max_ms = self.delta_max_ms.max(draft.timestamp_delta_ms);
        self.records += 1;
        Ok(value_at)
    }

    /// Where it is, for [`Composer::back_to`].
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark {
            body_bytes: self.body.len(),
            records: self.records,
            payload_bytes: self.payload_bytes,
            delta_max_ms: self.delta_max_ms,
        }
    }

    /// Takes back the records since `before`: a batch that has become too large is as it was.
    pub fn back_to(&mut self, before: Mark) {
        self.body.truncate(before.body_bytes);
        self.records = before.records;
        self.payload_bytes = before.payload_bytes;
        self.delta_max_ms = before.delta_max_ms;
    }

    /// Writes the record behind its length into `one`; says where in it the value begins.
    fn write_one(&mut self, draft: &Draft<'_>) -> usize {
        let out = &mut self.one;
        out.clear();
        // Attributes: none are in use.
        out.push(0);
        put_varlong(draft.timestamp_delta_ms, out);
        put_varint(self.records as i32, out);
        put_bytes(draft.key, out);
        let value_bytes = draft.value.map_or(0, <[u8]>::len);
        put_bytes(draft.value, out);
        let value_at = out.len() - value_bytes;
        put_varint(draft.headers.len() as i32, out);
        for (name, value) in draft.headers {
            put_bytes(Some(name.as_bytes()), out);
            put_bytes(*value, out);
        }
        value_at
    }

    /// The whole batch: header, CRC and records. Base offset 0 and no leader epoch: both are the
    /// broker's, and not in the CRC. Producer id, epoch and sequence are −1: it is not idempotent.
    ///
    /// # Errors
    /// [`Wrong::Batch`] when there is no record, [`Wrong::Codec`] when they cannot be compressed.
    pub fn finish(&self, codec: Codec, base_timestamp_ms: i64) -> Result<Vec<u8>, WireError> {
        if self.records == 0 {
            return Err(Wrong::Batch.because("a record batch has at least 1 record, this one 0"));
        }
        let mut batch = vec![0; HEADER_BYTES];
        match codec {
            Codec::None => batch.extend_from_slice(&self.body),
            codec => {
                let packed = super::codec::compress(codec, &self.body);
                let wrong = |error| Wrong::Codec.because(format!("{}: {error}", codec.name()));
                batch.extend_from_slice(&packed.map_err(wrong)?);
            }
        }
        let mut header = Header {
            base_offset: 0,
            length: (batch.len() - LENGTH_END) as u32,
            leader_epoch: -1,
            crc: 0,
            attributes: codec.bits(),
            last_offset_delta: self.records as i32 - 1,
            base_timestamp: base_timestamp_ms,
            max_timestamp: base_timestamp_ms.saturating_add(self.delta_max_ms),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: self.records as i32,
        };
        batch[..HEADER_BYTES].copy_from_slice(&header.encode());
        header.crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[..HEADER_BYTES].copy_from_slice(&header.encode());
        Ok(batch)
    }
}

/// VARINT length and bytes; −1 for null.
fn put_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => put_varint(-1, out),
        Some(bytes) => {
            put_varint(bytes.len() as i32, out);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::{RecordBatchDecoder, TimestampType};

    use super::*;

    fn three() -> (Composer, [usize; 3]) {
        let mut composer = Composer::new();
        let drafts = [
            Draft {
                key: Some(b"k"),
                value: Some(b"value"),
                headers: &[("h", Some(b"x")), ("null", None)],
                timestamp_delta_ms: 0,
            },
            Draft {
                value: Some(b""),
                timestamp_delta_ms: 7,
                ..Draft::default()
            },
            Draft {
                key: Some(b""),
                timestamp_delta_ms: 3,
                ..Draft::default()
            },
        ];
        let at = drafts.map(|draft| composer.push(&draft).unwrap());
        (composer, at)
    }

    #[test]
    fn a_decoder_of_others_reads_what_was_composed() {
        let (composer, _) = three();
        assert_eq!((composer.records(), composer.payload_bytes()), (3, 6));
        let batch = composer.finish(Codec::None, 1_000).unwrap();
        assert_eq!(batch.len(), composer.plain_bytes());
        let mut bytes = Bytes::from(batch);
        // It checks the CRC.
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        let seen: Vec<_> = set
            .records
            .iter()
            .map(|r| (r.offset, r.timestamp, r.key.clone(), r.value.clone()))
            .collect();
        let some = |text: &'static [u8]| Some(Bytes::from_static(text));
        assert_eq!(
            seen,
            [
                (0, 1_000, some(b"k"), some(b"value")),
                (1, 1_007, None, some(b"")),
                (2, 1_003, some(b""), None),
            ]
        );
        let first = &set.records[0];
        assert_eq!(first.timestamp_type, TimestampType::Creation);
        assert_eq!(first.producer_id, -1);
        let headers: Vec<_> = first
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        assert_eq!(
            headers,
            [("h".to_owned(), some(b"x")), ("null".to_owned(), None)]
        );
    }

    #[test]
    fn the_header_says_what_is_in_it() {
        let (composer, at) = three();
        let batch = composer.finish(Codec::None, 1_000).unwrap();
        let header = Header::read(&batch).unwrap().unwrap();
        assert_eq!(header.batch_bytes(), batch.len() as u64);
        assert_eq!((header.records, header.last_offset_delta), (3, 2));
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1_000, 1_007)
        );
        assert_eq!(&batch[HEADER_BYTES + at[0]..][..5], b"value");
        // An empty value begins where it ends: at the count of headers.
        assert_eq!(batch[HEADER_BYTES + at[1]], 0);
    }

    #[test]
    fn a_composer_is_used_again_as_if_new() {
        let (mut composer, _) = three();
        let first = composer.finish(Codec::None, 5).unwrap();
        composer.clear();
        let error = composer.finish(Codec::None, 5).unwrap_err();
        assert_eq!(error.wrong, Wrong::Batch);
        let (mut again, _) = three();
        let mark = again.mark();
        let late = Draft {
            value: Some(b"too much"),
            timestamp_delta_ms: 99,
            ..Draft::default()
        };
        again.push(&late).unwrap();
        again.back_to(mark);
        assert_eq!((again.records(), again.payload_bytes()), (3, 6));
        assert_eq!(again.finish(Codec::None, 5).unwrap(), first);
    }
}
