//! hyper's errors in our words: phase and cause.
//!
//! hyper hides the kinds of its errors; what it does not tell by a method is read from the error
//! of the operating system behind it. What cannot be told apart must not be guessed: it is
//! [`Cause::Os`] 0 with hyper's own sentence.

use std::error::Error as _;
use std::io;

use loadgen_core::driver::cause_of;
use loadgen_core::protocol::{Cause, Phase};

use crate::wire::Wrong;

/// How far a reply had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing of it.
    Nothing,
    /// Some bytes of its head.
    InHead,
    /// Its head, and perhaps some of its body.
    InBody,
}

impl Progress {
    /// The phase a loss of the connection belongs to.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Nothing => Phase::Wait,
            Self::InHead | Self::InBody => Phase::Read,
        }
    }

    fn cut(self) -> (Phase, Cause) {
        match self {
            Self::Nothing => (Phase::Wait, Cause::ClosedBeforeReply),
            Self::InHead | Self::InBody => (Phase::Read, Cause::Truncated),
        }
    }
}

/// What a request failed of.
pub(super) fn of(error: &hyper::Error, progress: Progress) -> (Phase, Cause) {
    let wrong = |wrong: Wrong| (Phase::Decode, Cause::Protocol(wrong as u8));
    if error.is_parse_too_large() {
        return wrong(Wrong::HeadTooLarge);
    }
    if error.is_parse_status() {
        return wrong(Wrong::BadStatusLine);
    }
    if error.is_parse() {
        return wrong(parse(&error.to_string()));
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return progress.cut();
    }
    let Some(io) = io_of(error) else {
        return (progress.phase(), Cause::Os(0));
    };
    match (io.raw_os_error(), io.kind()) {
        (Some(_), _) => (progress.phase(), cause_of(io)),
        (None, io::ErrorKind::UnexpectedEof) => progress.cut(),
        // hyper's decoder of bodies: only chunks can be wrong.
        (None, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => wrong(Wrong::BadChunk),
        _ => (progress.phase(), Cause::Os(0)),
    }
}

/// Which part of a head is wrong: hyper says it in words only.
fn parse(sentence: &str) -> Wrong {
    if sentence.contains("version") {
        Wrong::NotHttp1
    } else if sentence.contains("content-length") {
        Wrong::BadContentLength
    } else if sentence.contains("transfer-encoding") {
        Wrong::BadTransferEncoding
    } else {
        Wrong::BadHeader
    }
}

/// What a connection without a request in flight was lost of.
pub(super) fn of_idle(error: &hyper::Error) -> (Phase, Cause) {
    match io_of(error) {
        Some(io) => (Phase::Wait, cause_of(io)),
        // All else hyper can complain about then are bytes that nobody asked for.
        None => (Phase::Decode, Cause::Unsolicited),
    }
}

fn io_of(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref() {
            return Some(io);
        }
        source = inner.source();
    }
    None
}
