//! Which requests are served, in which versions, and how one begins.
//!
//! Source: Kafka protocol guide, "Request and Response Headers" and "Api Keys". One table decides;
//! no other file may know a version range.

use super::fields::Fields;

/// A request that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Api {
    /// Its key on the wire.
    pub(super) key: Key,
    /// The lowest version served.
    pub(super) min: i16,
    /// The highest one.
    pub(super) max: i16,
    /// From this version on, strings and arrays are compact and there are tags.
    pub(super) flexible: i16,
}

/// The keys of the requests that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(super) enum Key {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    InitProducerId = 22,
    DescribeConfigs = 32,
}

const fn api(key: Key, min: i16, max: i16, flexible: i16) -> Api {
    Api {
        key,
        min,
        max,
        flexible,
    }
}

/// All of them. Versions that name topics by id are left out, with what leads to them.
pub(super) const APIS: [Api; 16] = [
    api(Key::Produce, 3, 12, 9),
    api(Key::Fetch, 4, 12, 12),
    api(Key::ListOffsets, 1, 7, 6),
    api(Key::Metadata, 0, 9, 9),
    api(Key::OffsetCommit, 2, 8, 8),
    api(Key::OffsetFetch, 1, 7, 6),
    api(Key::FindCoordinator, 0, 3, 3),
    api(Key::JoinGroup, 0, 7, 6),
    api(Key::Heartbeat, 0, 4, 4),
    api(Key::LeaveGroup, 0, 4, 4),
    api(Key::SyncGroup, 0, 5, 4),
    api(Key::ApiVersions, 0, 3, 3),
    api(Key::CreateTopics, 2, 6, 5),
    api(Key::DeleteTopics, 1, 5, 4),
    api(Key::InitProducerId, 0, 4, 2),
    api(Key::DescribeConfigs, 1, 4, 4),
];

impl Api {
    /// The lowest version that is announced. As a broker of 4.x does, Produce is announced from 0
    /// on for clients that look for it, and refused below its lowest version (KAFKA-18659).
    pub(super) fn announced_min(&self) -> i16 {
        if self.key == Key::Produce {
            0
        } else {
            self.min
        }
    }
}

/// How a request begins, behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: Key,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) flexible: bool,
}

/// What the first bytes of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Its head, and how many bytes that has.
    Known(Head, usize),
    /// A version of `ApiVersions` that is too new: it is told so in version 0 (KIP-511).
    TooNew(i32),
    /// Bytes are missing.
    Short,
    /// No request that is served.
    Foreign,
}

/// Reads the head of a request.
pub(super) fn open(bytes: &[u8]) -> Opening {
    let mut plain = Fields::new(bytes, false);
    let (Some(key), Some(version)) = (plain.i16(), plain.i16()) else {
        return Opening::Short;
    };
    let Some(api) = APIS.iter().find(|api| api.key as i16 == key) else {
        return Opening::Foreign;
    };
    let served = (api.min..=api.max).contains(&version);
    if !served && (api.key != Key::ApiVersions || version < 0) {
        return Opening::Foreign;
    }
    let Some(correlation) = plain.i32() else {
        return Opening::Short;
    };
    if !served {
        return Opening::TooNew(correlation);
    }
    let flexible = version >= api.flexible;
    // The client's name is never compact, whatever comes behind it.
    let named = plain.nullable_bytes();
    let mut rest = Fields::new(plain.rest(), flexible);
    if named.is_none() || rest.tags().is_none() {
        return Opening::Short;
    }
    let head = Head {
        key: api.key,
        version,
        correlation,
        flexible,
    };
    Opening::Known(head, plain.at() + rest.at())
}

/// Error codes of the protocol that this target gives.
pub(super) mod code {
    pub(crate) const NONE: i16 = 0;
    pub(crate) const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub(crate) const CORRUPT_MESSAGE: i16 = 2;
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub(crate) const MESSAGE_TOO_LARGE: i16 = 10;
    pub(crate) const INVALID_TOPIC: i16 = 17;
    pub(crate) const INVALID_REQUIRED_ACKS: i16 = 21;
    pub(crate) const ILLEGAL_GENERATION: i16 = 22;
    pub(crate) const UNKNOWN_MEMBER_ID: i16 = 25;
    pub(crate) const UNSUPPORTED_VERSION: i16 = 35;
    pub(crate) const TOPIC_ALREADY_EXISTS: i16 = 36;
    pub(crate) const INVALID_PARTITIONS: i16 = 37;
    pub(crate) const INVALID_REPLICATION_FACTOR: i16 = 38;
    pub(crate) const INVALID_REQUEST: i16 = 42;
    pub(crate) const POLICY_VIOLATION: i16 = 44;
    pub(crate) const TRANSACTIONAL_ID_REFUSED: i16 = 53;
    pub(crate) const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
    pub(crate) const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
    pub(crate) const GROUP_MAX_SIZE_REACHED: i16 = 81;
    pub(crate) const INVALID_RECORD: i16 = 87;
}
