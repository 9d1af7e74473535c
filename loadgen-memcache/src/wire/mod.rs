//! The memcached binary protocol on the wire: encode requests, read replies. Layout and meaning as
//! in memcached's `protocol_binary.h` and `doc/protocol-binary.txt`.
//!
//! Values only: bytes in, values out. Nothing here may know of connections, time or workloads, and
//! nothing may panic on any input.

pub mod header;
pub mod reply;
pub mod request;

/// Bytes of a header, of a request and of a reply.
pub const HEADER_BYTES: usize = 24;
/// The longest key (memcached: `KEY_MAX_LENGTH`).
pub const KEY_BYTES_MAX: usize = 250;
/// The longest body that is read: memcached's largest item is 1 GiB (`-I`), and around its value
/// there are at most extras and a key.
pub const BODY_BYTES_MAX: u32 = (1 << 30) + 255 + KEY_BYTES_MAX as u32;
/// The longest text of an error that is read.
pub const ERROR_BYTES_MAX: u32 = 4096;

/// The opcodes that are sent; those with a `Q` are quiet.
pub mod opcode {
    /// Reads; a miss is answered.
    pub const GET: u8 = 0x00;
    /// Writes.
    pub const SET: u8 = 0x01;
    /// Writes where nothing is.
    pub const ADD: u8 = 0x02;
    /// Writes where something is.
    pub const REPLACE: u8 = 0x03;
    /// Removes.
    pub const DELETE: u8 = 0x04;
    /// Counts up.
    pub const INCREMENT: u8 = 0x05;
    /// Reads; a miss is not answered.
    pub const GETQ: u8 = 0x09;
    /// Is answered, and so ends a batch of quiet ones.
    pub const NOOP: u8 = 0x0a;
    /// Reads, with the key.
    pub const GETK: u8 = 0x0c;
    /// Reads, with the key; a miss is not answered.
    pub const GETKQ: u8 = 0x0d;
    /// Writes; only a failure is answered.
    pub const SETQ: u8 = 0x11;
    /// Sets the expiry.
    pub const TOUCH: u8 = 0x1c;
    /// Reads and sets the expiry.
    pub const GAT: u8 = 0x1d;
    /// Begins to authenticate.
    pub const SASL_AUTH: u8 = 0x21;
}

/// What can be wrong with a reply: the protocol's closed table of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wrong {
    /// It does not begin with the byte of a reply, 0x81: another protocol, or lost in the stream.
    BadMagic,
    /// The text of a server that takes no more connections (`-c`).
    TooManyConnections,
    /// The lengths of the header contradict each other or the opcode, or pass a limit.
    BadLength,
    /// The opcode is not that of the request.
    UnexpectedOpcode,
    /// The opaque is not that of the request: repeated, out of order, or never sent.
    UnexpectedOpaque,
    /// The key is not that of the request.
    UnexpectedKey,
    /// The server refuses the credentials, asks for some, or knows no SASL.
    AuthRefused,
    /// The server does not answer the greeting as it must.
    HandshakeRefused,
}

impl Wrong {
    /// The names in the results document, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "bad_magic",
        "too_many_connections",
        "bad_length",
        "unexpected_opcode",
        "unexpected_opaque",
        "unexpected_key",
        "auth_refused",
        "handshake_refused",
    ];

    /// The name in the results document.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The error with this cause; `detail` is one sentence with the limit and the actual value.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> WireError {
        WireError {
            wrong: self,
            detail: detail.into(),
        }
    }
}

/// Why a reply could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The cause.
    pub wrong: Wrong,
    /// One sentence with the limit and the actual value.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cause_has_the_last_name() {
        assert_eq!(Wrong::HandshakeRefused.name(), "handshake_refused");
        assert_eq!(Wrong::NAMES.len(), Wrong::HandshakeRefused as usize + 1);
        assert_eq!(Wrong::BadLength.name(), "bad_length");
    }
}
