//! Bytes of the Kafka protocol and of record batches, without state.
//!
//! Nothing here may allocate by a number that came from a peer; every length is held against a limit.

pub mod batch;
pub mod codec;
pub mod compose;
pub mod crc;
pub mod fetch;
pub mod fetched;
pub mod prim;
pub mod produce;
pub mod produced;
pub mod record;

use loadgen_core::protocol::{Cause, Fault, Phase};

/// What can be wrong with bytes from a broker: the protocol's own causes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wrong {
    /// A length or count beyond its limit, negative where it must not be, or past its frame.
    Length,
    /// The reply answers another request than the oldest one.
    Correlation,
    /// A reply names a topic or partition nobody asked for.
    Partition,
    /// A record batch or record is not what the format allows.
    Batch,
    /// The CRC-32C of a batch is not the one in its header.
    Crc,
    /// Compressed records do not decompress.
    Codec,
    /// The broker and this client have no version of a request in common.
    Version,
    /// The broker refuses the credentials or the mechanism.
    AuthRefused,
    /// The broker answers the greeting with an error.
    HandshakeRefused,
}

impl Wrong {
    /// The names in the document, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "bad_length",
        "correlation_mismatch",
        "unknown_partition",
        "bad_batch",
        "crc_mismatch",
        "bad_compression",
        "no_common_version",
        "auth_refused",
        "handshake_refused",
    ];

    /// With one sentence.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> WireError {
        WireError {
            wrong: self,
            detail: detail.into(),
        }
    }
}

/// Bytes that are not what the protocol allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What is wrong.
    pub wrong: Wrong,
    /// One sentence with the limit and the actual value.
    pub detail: String,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for WireError {}

impl WireError {
    /// As core counts it.
    #[must_use]
    pub fn fault(self, phase: Phase) -> Fault {
        Fault {
            phase,
            cause: Cause::Protocol(self.wrong as u8),
            detail: self.detail,
        }
    }
}
