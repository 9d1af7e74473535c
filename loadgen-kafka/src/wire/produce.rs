//! A Produce request, v3 to v12: one batch for one partition.
//!
//! All that is in front of the batch is laid out once for a connection; a send fills in four
//! numbers. The batch itself is not looked at. Source: Kafka protocol guide, "Produce API";
//! `ProduceRequest.json`. From v13 on topics have ids instead of names.

use std::ops::RangeInclusive;

use super::prim::{put_compact_string, put_string, put_uvarint};
use crate::spec::Acks;

/// The API's number.
pub const API_KEY: i16 = 0;
/// What is spoken here. 4.x brokers offer v0 and close the connection on it (KAFKA-18659).
pub const VERSIONS: RangeInclusive<i16> = 3..=12;
/// From here on lengths are varints and structures have tagged fields (KIP-482).
pub const FLEXIBLE_FROM: i16 = 9;
/// The first version that may carry zstd (KIP-110).
pub const ZSTD_FROM: i16 = 7;

const LENGTH_BYTES: usize = 4;
/// Where the correlation id is: behind length, API key and version.
const CORRELATION_AT: usize = 8;

/// The number on the wire.
#[must_use]
pub const fn acks_number(acks: Acks) -> i16 {
    match acks {
        Acks::None => 0,
        Acks::Leader => 1,
        Acks::All => -1,
    }
}

/// What all requests of a connection have in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// Who we are.
    pub client_id: &'a str,
    /// When it is acknowledged.
    pub acks: Acks,
    /// How long the broker may wait for its replicas, ms.
    pub timeout_ms: i32,
    /// The topic's name.
    pub topic: &'a str,
}

/// A request without its batch.
#[derive(Clone, Debug)]
pub struct Frame {
    flexible: bool,
    /// From the length to the partition's number; three numbers in it are not yet filled in.
    head: Vec<u8>,
}

/// What follows the batch in a flexible version: partition, topic and request have no tagged
/// field.
const NO_TAGS: &[u8] = &[0; 3];

impl Frame {
    /// Lays it out for one of [`VERSIONS`].
    #[must_use]
    pub fn new(version: i16, common: &Common<'_>) -> Self {
        let flexible = version >= FLEXIBLE_FROM;
        let mut head = vec![0; LENGTH_BYTES];
        head.extend_from_slice(&API_KEY.to_be_bytes());
        head.extend_from_slice(&version.to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        put_string(common.client_id, &mut head);
        if flexible {
            // No tagged field in the header, no transaction.
            head.extend_from_slice(&[0, 0]);
        } else {
            head.extend_from_slice(&(-1_i16).to_be_bytes());
        }
        head.extend_from_slice(&acks_number(common.acks).to_be_bytes());
        head.extend_from_slice(&common.timeout_ms.to_be_bytes());
        if flexible {
            put_uvarint(2, &mut head);
            put_compact_string(common.topic, &mut head);
            put_uvarint(2, &mut head);
        } else {
            head.extend_from_slice(&1_i32.to_be_bytes());
            put_string(common.topic, &mut head);
            head.extend_from_slice(&1_i32.to_be_bytes());
        }
        head.extend_from_slice(&[0; 4]);
        Self { flexible, head }
    }

    /// Appends all up to the batch, which has `batch_bytes`: at most
    /// [`BATCH_BYTES_MAX`](super::compose::BATCH_BYTES_MAX).
    #[inline]
    pub fn put(&self, correlation: i32, partition: i32, batch_bytes: usize, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.head);
        let partition_at = out.len() - 4;
        out[partition_at..].copy_from_slice(&partition.to_be_bytes());
        if self.flexible {
            put_uvarint(batch_bytes as u32 + 1, out);
        } else {
            out.extend_from_slice(&(batch_bytes as i32).to_be_bytes());
        }
        let after_length = out.len() - from - LENGTH_BYTES + batch_bytes + self.tail().len();
        let head = &mut out[from..];
        head[..LENGTH_BYTES].copy_from_slice(&(after_length as i32).to_be_bytes());
        head[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation.to_be_bytes());
    }

    /// What follows the batch.
    #[must_use]
    #[inline]
    pub fn tail(&self) -> &'static [u8] {
        if self.flexible { NO_TAGS } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Buf as _, Bytes};
    use kafka_protocol::messages::{ProduceRequest, RequestHeader};
    use kafka_protocol::protocol::Decodable as _;

    use super::*;

    const COMMON: Common<'static> = Common {
        client_id: "us",
        acks: Acks::All,
        timeout_ms: 1_500,
        topic: "a-topic",
    };

    fn whole(version: i16, batch: &[u8]) -> Vec<u8> {
        let frame = Frame::new(version, &COMMON);
        // Behind another request, as they are in an outbox.
        let mut out = b"before".to_vec();
        frame.put(0x0102_0304, 77, batch.len(), &mut out);
        out.extend_from_slice(batch);
        out.extend_from_slice(frame.tail());
        out.split_off(6)
    }

    #[test]
    fn a_decoder_of_others_reads_every_version() {
        for version in VERSIONS {
            for batch in [&[][..], &[7; 100], &[9; 20_000]] {
                let mut bytes = Bytes::from(whole(version, batch));
                assert_eq!(bytes.get_i32() as usize, bytes.len(), "v{version}");
                let header_version = if version >= FLEXIBLE_FROM { 2 } else { 1 };
                let header = RequestHeader::decode(&mut bytes, header_version).unwrap();
                assert_eq!(header.request_api_key, API_KEY);
                assert_eq!(header.request_api_version, version);
                assert_eq!(header.correlation_id, 0x0102_0304);
                assert_eq!(header.client_id.as_deref(), Some("us"));
                let request = ProduceRequest::decode(&mut bytes, version).unwrap();
                assert!(bytes.is_empty(), "v{version}");
                assert_eq!((request.acks, request.timeout_ms), (-1, 1_500));
                assert_eq!(request.transactional_id, None);
                let [topic] = &request.topic_data[..] else {
                    panic!("{request:?}")
                };
                assert_eq!(&**topic.name, "a-topic");
                let [partition] = &topic.partition_data[..] else {
                    panic!("{topic:?}")
                };
                assert_eq!(partition.index, 77);
                assert_eq!(partition.records.as_deref(), Some(batch));
            }
        }
    }

    #[test]
    fn v3_byte_for_byte() {
        let bytes = whole(3, b"batch");
        let wanted = [
            &[0, 0, 0, 50][..],
            &[0, 0, 0, 3, 1, 2, 3, 4, 0, 2, b'u', b's'],
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 5, 220],
            &[0, 0, 0, 1, 0, 7],
            b"a-topic",
            &[0, 0, 0, 1, 0, 0, 0, 77, 0, 0, 0, 5],
            b"batch",
        ]
        .concat();
        assert_eq!(bytes, wanted);
    }
}
