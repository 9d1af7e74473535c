//! The 24 bytes in front of every request and reply.
//!
//! All numbers are big endian. A header that was decoded has lengths that fit each other and the
//! limits; nothing else may be concluded from it.

use super::{BODY_BYTES_MAX, HEADER_BYTES, KEY_BYTES_MAX, WireError, Wrong};

/// The first byte of a request.
pub const REQUEST: u8 = 0x80;
/// The first byte of a reply.
pub const REPLY: u8 = 0x81;

/// A header. The CAS of what is sent is 0, and that of what comes is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`REQUEST`] or [`REPLY`].
    pub magic: u8,
    /// What is asked or answered.
    pub opcode: u8,
    /// Length of the key, at most [`KEY_BYTES_MAX`].
    pub key_bytes: u16,
    /// Length of the extras.
    pub extras_bytes: u8,
    /// The status of a reply; the partition of a request, always 0.
    pub status: u16,
    /// Length of extras, key and value together, at most [`BODY_BYTES_MAX`].
    pub body_bytes: u32,
    /// Comes back with the reply as it was sent.
    pub opaque: u32,
}

impl Header {
    /// The header of a request.
    #[must_use]
    #[inline]
    pub fn request(
        opcode: u8,
        extras_bytes: u8,
        key_bytes: u16,
        value_bytes: u32,
        opaque: u32,
    ) -> Self {
        Self {
            magic: REQUEST,
            opcode,
            key_bytes,
            extras_bytes,
            status: 0,
            body_bytes: u32::from(extras_bytes) + u32::from(key_bytes) + value_bytes,
            opaque,
        }
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.magic;
        bytes[1] = self.opcode;
        bytes[2..4].copy_from_slice(&self.key_bytes.to_be_bytes());
        bytes[4] = self.extras_bytes;
        bytes[6..8].copy_from_slice(&self.status.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.body_bytes.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.opaque.to_be_bytes());
        bytes
    }

    /// Reads a header whose first byte must be `magic`.
    ///
    /// # Errors
    /// [`Wrong::BadMagic`] and [`Wrong::BadLength`], with the limit and the actual value.
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_BYTES], magic: u8) -> Result<Self, WireError> {
        let header = Self {
            magic: bytes[0],
            opcode: bytes[1],
            key_bytes: u16::from_be_bytes([bytes[2], bytes[3]]),
            extras_bytes: bytes[4],
            status: u16::from_be_bytes([bytes[6], bytes[7]]),
            body_bytes: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            opaque: u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
        };
        if header.magic != magic {
            return Err(bad_magic(header.magic, magic));
        }
        let front = u32::from(header.extras_bytes) + u32::from(header.key_bytes);
        if usize::from(header.key_bytes) > KEY_BYTES_MAX
            || header.body_bytes > BODY_BYTES_MAX
            || front > header.body_bytes
        {
            return Err(header.bad_length());
        }
        Ok(header)
    }

    /// Length of the value: what is left of the body behind extras and key.
    #[must_use]
    #[inline]
    pub fn value_bytes(&self) -> u32 {
        let front = u32::from(self.extras_bytes) + u32::from(self.key_bytes);
        self.body_bytes.saturating_sub(front)
    }

    #[cold]
    fn bad_length(&self) -> WireError {
        Wrong::BadLength.because(format!(
            "a key has at most {KEY_BYTES_MAX} bytes, a body at most {BODY_BYTES_MAX}, and holds \
             extras and key; here are {} of extras, {} of key and {} of body (opcode {:#04x})",
            self.extras_bytes, self.key_bytes, self.body_bytes, self.opcode
        ))
    }
}

/// The error for a first byte that is not the one it must be.
#[cold]
pub(super) fn bad_magic(actual: u8, wanted: u8) -> WireError {
    Wrong::BadMagic.because(format!(
        "a header begins with the byte {wanted:#04x}, here came {actual:#04x} ({:?})",
        char::from(actual)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_protocol() {
        // A GET of the key "Hello": doc/protocol-binary.txt of memcached, "Example".
        let get = Header::request(0, 0, 5, 0, 0);
        let mut wanted = [0; HEADER_BYTES];
        (wanted[0], wanted[3], wanted[11]) = (0x80, 5, 5);
        assert_eq!(get.encode(), wanted);
        let add = Header::request(2, 8, 5, 5, 0xdead_beef);
        let bytes = add.encode();
        assert_eq!(bytes[..12], [0x80, 2, 0, 5, 8, 0, 0, 0, 0, 0, 0, 0x12]);
        assert_eq!(bytes[12..16], [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(Header::decode(&bytes, REQUEST), Ok(add));
        assert_eq!(add.value_bytes(), 5);
    }

    #[test]
    fn every_length_has_a_limit() {
        let refused = |key_bytes: u16, extras_bytes: u8, body_bytes: u32| {
            let header = Header {
                magic: REPLY,
                opcode: 0,
                key_bytes,
                extras_bytes,
                status: 0,
                body_bytes,
                opaque: 7,
            };
            match Header::decode(&header.encode(), REPLY) {
                Ok(_) => None,
                Err(error) => Some((error.wrong, error.detail)),
            }
        };
        assert_eq!(refused(250, 4, 1 << 30), None);
        assert_eq!(refused(0, 0, 0), None);
        assert_eq!(refused(3, 4, 7), None);
        for (key, extras, body, named) in [
            (251, 0, 251, "251 of key"),
            (3, 4, 6, "6 of body"),
            (0, 1, 0, "1 of extras"),
            (0, 0, u32::MAX, "4294967295 of body"),
        ] {
            let (wrong, detail) = refused(key, extras, body).unwrap();
            assert_eq!(wrong, Wrong::BadLength);
            assert!(detail.contains(named), "{detail}");
        }
        let request = Header::request(0, 0, 0, 0, 0).encode();
        let error = Header::decode(&request, REPLY).unwrap_err();
        assert_eq!(error.wrong, Wrong::BadMagic);
        assert!(error.detail.contains("0x81") && error.detail.contains("0x80"));
    }
}
