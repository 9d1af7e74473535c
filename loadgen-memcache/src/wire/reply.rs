//! Replies: their header in its place, their status, and the text of a server that is full.
//!
//! A reply's header is judged against what was asked; its body is the session's to stream.

use super::header::{self, Header, REPLY};
use super::{ERROR_BYTES_MAX, HEADER_BYTES, WireError, Wrong, opcode};

/// What a server with no connection left writes before it closes, to a binary client as well.
pub const TOO_MANY: &[u8] = b"ERROR Too many open connections";

/// The status of a reply that found nothing.
pub const NOT_FOUND: u16 = 0x01;
/// The status of a reply to a client that must authenticate, or could not.
pub const AUTH_ERROR: u16 = 0x20;

/// The header at the start of `bytes`; `None`: more is needed.
///
/// # Errors
/// What is wrong with it, as soon as that can be said however the bytes were cut.
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, WireError> {
    if let Some(whole) = bytes.first_chunk::<HEADER_BYTES>()
        && whole[0] == REPLY
    {
        return Header::decode(whole, REPLY).map(Some);
    }
    match bytes.first() {
        None | Some(&REPLY) => Ok(None),
        Some(&first) => text(bytes, first),
    }
}

/// Bytes that are no reply: those of a full server, or nonsense.
#[cold]
fn text(bytes: &[u8], first: u8) -> Result<Option<Header>, WireError> {
    let seen = bytes.len().min(TOO_MANY.len());
    if bytes[..seen] != TOO_MANY[..seen] {
        return Err(header::bad_magic(first, REPLY));
    }
    if seen < TOO_MANY.len() {
        return Ok(None);
    }
    Err(Wrong::TooManyConnections
        .because("the server says \"Too many open connections\": its limit (-c) is reached"))
}

/// What a reply may carry when the server did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Flags, the key when `key`, and a value.
    Value {
        /// Whether the key comes back.
        key: bool,
    },
    /// The counter: 8 bytes.
    Counter,
    /// A text that says nothing (SASL).
    Text,
}

impl Body {
    /// What the reply to `opcode` carries.
    #[must_use]
    #[inline]
    pub fn of(opcode: u8) -> Self {
        match opcode {
            opcode::GET | opcode::GETQ | opcode::GAT => Self::Value { key: false },
            opcode::GETK | opcode::GETKQ => Self::Value { key: true },
            opcode::INCREMENT => Self::Counter,
            opcode::SASL_AUTH => Self::Text,
            _ => Self::Empty,
        }
    }

    /// Checks the lengths in a header against what this may be. A reply with an error carries a
    /// text, or the key it was asked for: never a value.
    ///
    /// # Errors
    /// [`Wrong::BadLength`].
    #[inline]
    pub fn check(self, header: &Header) -> Result<(), WireError> {
        let (extras, key, value) = (header.extras_bytes, header.key_bytes, header.value_bytes());
        let fits = if header.status != 0 {
            header.body_bytes <= ERROR_BYTES_MAX
        } else {
            match self {
                Self::Empty => header.body_bytes == 0,
                Self::Value { key: with_key } => extras == 4 && (key > 0) == with_key,
                Self::Counter => extras == 0 && key == 0 && value == 8,
                Self::Text => extras == 0 && key == 0 && value <= ERROR_BYTES_MAX,
            }
        };
        if fits { Ok(()) } else { Err(misfit(header)) }
    }
}

#[cold]
fn misfit(header: &Header) -> WireError {
    Wrong::BadLength.because(format!(
        "a reply to opcode {:#04x} with status {:#04x} has no body of {} bytes with {} of extras \
         and {} of key",
        header.opcode, header.status, header.body_bytes, header.extras_bytes, header.key_bytes
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(opcode: u8, status: u16, extras: u8, key: u16, body: u32) -> Header {
        Header {
            magic: REPLY,
            opcode,
            key_bytes: key,
            extras_bytes: extras,
            status,
            body_bytes: body,
            opaque: 0,
        }
    }

    #[test]
    fn a_full_server_is_recognised_wherever_its_text_is_cut() {
        let text = [TOO_MANY, b"\r\n"].concat();
        for cut in 0..TOO_MANY.len() {
            assert_eq!(header(&text[..cut]), Ok(None), "{cut}");
        }
        for cut in TOO_MANY.len()..=text.len() {
            let wrong = header(&text[..cut]).unwrap_err().wrong;
            assert_eq!(wrong, Wrong::TooManyConnections, "{cut}");
        }
        for other in ["ERROR\r\n", "HTTP/1.1 400", "Everything", "\u{0}"] {
            let error = header(other.as_bytes()).unwrap_err();
            assert_eq!(error.wrong, Wrong::BadMagic, "{other}");
        }
    }

    #[test]
    fn a_header_is_read_when_it_is_whole() {
        let wanted = reply(0, 0, 4, 0, 1028);
        let bytes = wanted.encode();
        for cut in 0..HEADER_BYTES {
            assert_eq!(header(&bytes[..cut]), Ok(None));
        }
        assert_eq!(header(&[&bytes[..], b"more"].concat()), Ok(Some(wanted)));
    }

    #[test]
    fn bodies_are_what_the_opcode_allows() {
        let fits = |header: Header| Body::of(header.opcode).check(&header).is_ok();
        for header in [
            reply(opcode::GET, 0, 4, 0, 4),
            reply(opcode::GETQ, 0, 4, 0, 1 << 30),
            reply(opcode::GETKQ, 0, 4, 64, 1092),
            reply(opcode::SET, 0, 0, 0, 0),
            reply(opcode::INCREMENT, 0, 0, 0, 8),
            reply(opcode::SASL_AUTH, 0, 0, 0, 13),
            // An error has a text, or the key for GETK.
            reply(opcode::GET, 1, 0, 0, 9),
            reply(opcode::GETK, 1, 0, 64, 64),
            reply(opcode::SET, 0x82, 0, 0, 27),
        ] {
            assert!(fits(header), "{header:?}");
        }
        for header in [
            reply(opcode::GET, 0, 0, 0, 1024),
            reply(opcode::GET, 0, 4, 3, 1024),
            reply(opcode::GETKQ, 0, 4, 0, 1024),
            reply(opcode::SET, 0, 0, 0, 1),
            reply(opcode::NOOP, 0, 0, 3, 3),
            reply(opcode::INCREMENT, 0, 0, 0, 4),
            reply(opcode::SASL_AUTH, 0, 0, 0, ERROR_BYTES_MAX + 1),
            reply(opcode::SET, 3, 0, 0, ERROR_BYTES_MAX + 1),
        ] {
            assert!(!fits(header), "{header:?}");
        }
    }
}
