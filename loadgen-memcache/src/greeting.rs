//! The greeting of a connection, outside the measured window: a NOOP, or SASL PLAIN.
//!
//! A server that is full, wants credentials or is no memcached says so here, before a request is
//! lost to it.

use crate::spec::Credentials;
use crate::wire::reply::{self, AUTH_ERROR, Body};
use crate::wire::{HEADER_BYTES, WireError, Wrong, opcode, request};

/// The opaque of the greeting: no request has it soon.
const OPAQUE: u32 = 0xfeed_beef;

/// Appends the greeting.
pub(crate) fn send(sasl: Option<&Credentials>, out: &mut Vec<u8>) {
    match sasl {
        Some(who) => request::sasl_plain(&who.user, &who.password, OPAQUE, out),
        None => request::noop(OPAQUE, out),
    }
}

/// Reads the answer: how many bytes it has, once it is whole and good.
///
/// # Errors
/// When the server refuses, or talks nonsense.
pub(crate) fn read(sasl: bool, bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(header) = reply::header(bytes)? else {
        return Ok(None);
    };
    let wanted = if sasl {
        opcode::SASL_AUTH
    } else {
        opcode::NOOP
    };
    if header.opcode != wanted || header.opaque != OPAQUE {
        return Err(Wrong::HandshakeRefused.because(format!(
            "the greeting has opcode {wanted:#04x} and opaque {OPAQUE:#x}, the answer {:#04x} and \
             {:#x}",
            header.opcode, header.opaque
        )));
    }
    Body::of(wanted).check(&header)?;
    let whole = HEADER_BYTES + header.body_bytes as usize;
    let Some(body) = bytes.get(HEADER_BYTES..whole) else {
        return Ok(None);
    };
    let text = body.escape_ascii();
    match header.status {
        0 => Ok(Some(whole)),
        AUTH_ERROR if sasl => Err(Wrong::AuthRefused.because(format!(
            "the server refuses the user or the password: \"{text}\""
        ))),
        AUTH_ERROR => Err(Wrong::AuthRefused.because(format!(
            "the server wants credentials, give --sasl USER:PASS: \"{text}\""
        ))),
        status if sasl => Err(Wrong::AuthRefused.because(format!(
            "the server answers SASL PLAIN with status {status:#04x}, does it run with -S? \
             \"{text}\""
        ))),
        status => Err(Wrong::HandshakeRefused.because(format!(
            "the server answers a NOOP with status {status:#04x}: \"{text}\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::{Header, REPLY};

    fn answer(opcode: u8, status: u16, text: &[u8]) -> Vec<u8> {
        let header = Header {
            magic: REPLY,
            opcode,
            key_bytes: 0,
            extras_bytes: 0,
            status,
            body_bytes: text.len() as u32,
            opaque: OPAQUE,
        };
        [&header.encode(), text].concat()
    }

    /// The verdict, the same wherever the answer is cut.
    fn verdict(sasl: bool, bytes: &[u8]) -> Result<usize, Wrong> {
        for cut in 0..bytes.len() {
            // Too little yet, or the same refusal early.
            if let Err(early) = read(sasl, &bytes[..cut]) {
                let late = read(sasl, bytes).unwrap_err();
                assert_eq!(early.wrong, late.wrong, "cut at {cut}");
            }
        }
        read(sasl, bytes)
            .map(|eaten| eaten.unwrap())
            .map_err(|error| error.wrong)
    }

    #[test]
    fn good_answers_are_eaten_whole() {
        let noop = answer(opcode::NOOP, 0, b"");
        assert_eq!(verdict(false, &noop), Ok(24));
        let auth = answer(opcode::SASL_AUTH, 0, b"Authenticated");
        assert_eq!(verdict(true, &auth), Ok(37));
    }

    #[test]
    fn refusals_have_their_class() {
        for (sasl, bytes, wrong) in [
            (
                true,
                answer(opcode::SASL_AUTH, 0x20, b"Auth failure."),
                Wrong::AuthRefused,
            ),
            (
                true,
                answer(opcode::SASL_AUTH, 0x21, b"step"),
                Wrong::AuthRefused,
            ),
            (
                true,
                answer(opcode::SASL_AUTH, 0x81, b"Unknown command"),
                Wrong::AuthRefused,
            ),
            (
                false,
                answer(opcode::NOOP, 0x20, b"Auth failure."),
                Wrong::AuthRefused,
            ),
            (
                false,
                answer(opcode::NOOP, 0x81, b"Unknown command"),
                Wrong::HandshakeRefused,
            ),
            (false, answer(opcode::GET, 0, b""), Wrong::HandshakeRefused),
            (false, reply::TOO_MANY.to_vec(), Wrong::TooManyConnections),
            (
                false,
                b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
                Wrong::BadMagic,
            ),
        ] {
            assert_eq!(verdict(sasl, &bytes), Err(wrong));
        }
    }

    #[test]
    fn a_password_is_in_no_message() {
        let mut out = Vec::new();
        let who = Credentials {
            user: "u".into(),
            password: "secret".into(),
        };
        send(Some(&who), &mut out);
        assert!(out.ends_with(b"PLAIN\0u\0secret"));
        assert!(!format!("{who:?}").contains("secret"));
    }
}
