//! The Fetch request, v4 to v12: by name and without a session.
//!
//! Source: Kafka protocol guide, "Fetch API"; `FetchRequest.json`. From v7 on a session could be kept
//! by the broker (KIP-227); it is declined, so that every request stands for itself. From v13 on
//! topics have ids: never spoken here.

use super::prim::{put_compact_string, put_string, put_uvarint};
use crate::greeting::api;

/// Flexible from here on: compact lengths, tagged fields (KIP-482).
pub const FLEXIBLE_FROM: i16 = 12;
/// Answers say how far back the log goes.
pub const LOG_START_FROM: i16 = 5;
/// Sessions; an error for the whole answer.
pub const SESSION_FROM: i16 = 7;
/// The leader's epoch is told, so that an old leader does not answer (KIP-320).
pub const EPOCH_FROM: i16 = 9;
/// The client's rack; a replica that would be nearer (KIP-392).
pub const RACK_FROM: i16 = 11;

/// What all fetches of a run have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// What we call ourselves.
    pub client_id: String,
    /// The topic.
    pub topic: String,
    /// How long the broker may wait for `min_bytes`, ms.
    pub max_wait_ms: i32,
    /// The least it should have.
    pub min_bytes: i32,
    /// The most in all; a first batch that is larger comes all the same.
    pub max_bytes: i32,
    /// The most of each partition, likewise.
    pub partition_max_bytes: i32,
    /// Nothing of open and aborted transactions.
    pub read_committed: bool,
}

/// One partition of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub index: i32,
    /// Where to read.
    pub offset: i64,
    /// The leader's epoch as we know it; −1: not.
    pub leader_epoch: i32,
}

/// Appends a request.
pub fn put(
    common: &Common,
    version: i16,
    correlation: i32,
    parts: impl ExactSizeIterator<Item = Part>,
    out: &mut Vec<u8>,
) {
    let flexible = version >= FLEXIBLE_FROM;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&api::FETCH.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&correlation.to_be_bytes());
    put_string(&common.client_id, out);
    put_tags(flexible, out);
    // Not a replica.
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&common.max_wait_ms.to_be_bytes());
    out.extend_from_slice(&common.min_bytes.to_be_bytes());
    out.extend_from_slice(&common.max_bytes.to_be_bytes());
    out.push(u8::from(common.read_committed));
    if version >= SESSION_FROM {
        // No session, and none wanted.
        out.extend_from_slice(&0_i32.to_be_bytes());
        out.extend_from_slice(&(-1_i32).to_be_bytes());
    }
    put_count(flexible, 1, out);
    if flexible {
        put_compact_string(&common.topic, out);
    } else {
        put_string(&common.topic, out);
    }
    put_count(flexible, parts.len(), out);
    for part in parts {
        out.extend_from_slice(&part.index.to_be_bytes());
        if version >= EPOCH_FROM {
            out.extend_from_slice(&part.leader_epoch.to_be_bytes());
        }
        out.extend_from_slice(&part.offset.to_be_bytes());
        if flexible {
            // The epoch of the last record: only for those who check for divergence.
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        }
        if version >= LOG_START_FROM {
            out.extend_from_slice(&(-1_i64).to_be_bytes());
        }
        out.extend_from_slice(&common.partition_max_bytes.to_be_bytes());
        put_tags(flexible, out);
    }
    put_tags(flexible, out);
    if version >= SESSION_FROM {
        // Nothing to forget.
        put_count(flexible, 0, out);
    }
    if version >= RACK_FROM {
        // No rack.
        if flexible {
            put_compact_string("", out);
        } else {
            put_string("", out);
        }
    }
    put_tags(flexible, out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_tags(flexible: bool, out: &mut Vec<u8>) {
    if flexible {
        out.push(0);
    }
}

fn put_count(flexible: bool, count: usize, out: &mut Vec<u8>) {
    if flexible {
        put_uvarint(count as u32 + 1, out);
    } else {
        out.extend_from_slice(&(count as i32).to_be_bytes());
    }
}
