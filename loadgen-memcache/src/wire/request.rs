//! Requests, straight into the bytes that leave.
//!
//! Values and keys are the caller's to append: each function here writes a header and extras, and
//! says so. Nothing may be sent that a server must refuse.

use super::header::Header;
use super::opcode;

/// Extras of SET, ADD and REPLACE: flags, expiry.
pub const STORE_EXTRAS_BYTES: u8 = 8;
/// Extras of TOUCH and GAT: expiry.
pub const TOUCH_EXTRAS_BYTES: u8 = 4;
/// Extras of INCREMENT: delta, initial value, expiry.
pub const COUNT_EXTRAS_BYTES: u8 = 20;

/// What is in front of a key: GET in all its forms, DELETE. The key follows.
#[inline]
pub fn bare(opcode: u8, key_bytes: u16, opaque: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header::request(opcode, 0, key_bytes, 0, opaque).encode());
}

/// SET, ADD, REPLACE and their quiet forms, without flags. Key and value follow.
#[inline]
pub fn store(
    opcode: u8,
    key_bytes: u16,
    value_bytes: u32,
    expiry_s: u32,
    opaque: u32,
    out: &mut Vec<u8>,
) {
    let header = Header::request(opcode, STORE_EXTRAS_BYTES, key_bytes, value_bytes, opaque);
    let mut extras = [0; STORE_EXTRAS_BYTES as usize];
    extras[4..].copy_from_slice(&expiry_s.to_be_bytes());
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&extras);
}

/// TOUCH and GAT. The key follows.
#[inline]
pub fn touch(opcode: u8, key_bytes: u16, expiry_s: u32, opaque: u32, out: &mut Vec<u8>) {
    let header = Header::request(opcode, TOUCH_EXTRAS_BYTES, key_bytes, 0, opaque);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&expiry_s.to_be_bytes());
}

/// INCREMENT by 1; a counter that is not there is made, with 0. The key follows.
#[inline]
pub fn increment(key_bytes: u16, expiry_s: u32, opaque: u32, out: &mut Vec<u8>) {
    let extras_bytes = COUNT_EXTRAS_BYTES;
    let header = Header::request(opcode::INCREMENT, extras_bytes, key_bytes, 0, opaque);
    let mut extras = [0; COUNT_EXTRAS_BYTES as usize];
    extras[..8].copy_from_slice(&1_u64.to_be_bytes());
    extras[16..].copy_from_slice(&expiry_s.to_be_bytes());
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&extras);
}

/// NOOP, whole.
#[inline]
pub fn noop(opaque: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header::request(opcode::NOOP, 0, 0, 0, opaque).encode());
}

/// SASL authentication with PLAIN (RFC 4616 section 2), whole. The lengths are the plan's to limit.
pub fn sasl_plain(user: &str, password: &str, opaque: u32, out: &mut Vec<u8>) {
    const MECHANISM: &[u8] = b"PLAIN";
    let message = [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat();
    let (key_bytes, value_bytes) = (MECHANISM.len() as u16, message.len() as u32);
    let header = Header::request(opcode::SASL_AUTH, 0, key_bytes, value_bytes, opaque);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(MECHANISM);
    out.extend_from_slice(&message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use crate::wire::header::REQUEST;

    fn built(build: impl FnOnce(&mut Vec<u8>)) -> (Header, Vec<u8>) {
        let mut out = Vec::new();
        build(&mut out);
        let rest = out.split_off(HEADER_BYTES);
        let header = Header::decode(&out.try_into().unwrap(), REQUEST).unwrap();
        (header, rest)
    }

    #[test]
    fn extras_are_those_of_the_protocol() {
        let (header, extras) = built(|out| store(opcode::SETQ, 3, 10, 60, 9, out));
        assert_eq!((header.opcode, header.opaque), (0x11, 9));
        assert_eq!((header.extras_bytes, header.body_bytes), (8, 21));
        assert_eq!(extras, [0, 0, 0, 0, 0, 0, 0, 60]);

        let (header, extras) = built(|out| touch(opcode::GAT, 3, 258, 9, out));
        assert_eq!((header.opcode, header.body_bytes), (0x1d, 7));
        assert_eq!(extras, [0, 0, 1, 2]);

        let (header, extras) = built(|out| increment(5, 7, 9, out));
        assert_eq!((header.opcode, header.body_bytes), (5, 25));
        let mut wanted = [0; 20];
        (wanted[7], wanted[19]) = (1, 7);
        assert_eq!(extras, wanted);

        let (header, rest) = built(|out| bare(opcode::GETKQ, 250, 9, out));
        assert_eq!((header.opcode, header.body_bytes), (0x0d, 250));
        assert!(rest.is_empty());
        let (header, rest) = built(|out| noop(u32::MAX, out));
        assert_eq!((header.opcode, header.body_bytes), (0x0a, 0));
        assert_eq!((header.opaque, rest.len()), (u32::MAX, 0));
    }

    #[test]
    fn plain_carries_user_and_password() {
        let (header, rest) = built(|out| sasl_plain("tim", "tanstaaftanstaaf", 1, out));
        assert_eq!((header.opcode, header.key_bytes), (0x21, 5));
        assert_eq!(rest, b"PLAIN\0tim\0tanstaaftanstaaf");
        assert_eq!(header.body_bytes as usize, rest.len());
    }
}
