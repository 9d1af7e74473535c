//! librdkafka's errors in our words: phase and cause.
//!
//! Its codes are its own where they are negative and the protocol's where they are not. What it does
//! not tell apart by code is read from its sentence; what cannot be told apart must not be guessed: it
//! is [`Cause::Os`] 0 with that sentence.

use loadgen_core::protocol::{Cause, Phase};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::wire::Wrong;

/// What a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A broker answered with this error code of the protocol.
    Answer(i16),
    /// No usable answer came.
    Lost(Phase, Cause),
}

/// What `code` is; `reason` is what librdkafka said with it.
pub(super) fn of(code: RDKafkaErrorCode, reason: &str) -> Kind {
    let number = code as i32;
    // -1 is the protocol's UNKNOWN_SERVER_ERROR; librdkafka's own begin below -100.
    if let Ok(answer) = i16::try_from(number)
        && answer >= -1
    {
        return Kind::Answer(answer);
    }
    let wrong = |wrong: Wrong| Kind::Lost(Phase::Decode, Cause::Protocol(wrong as u8));
    match code {
        RDKafkaErrorCode::MessageTimedOut
        | RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::TimedOutQueue => Kind::Lost(Phase::Wait, Cause::Timeout),
        RDKafkaErrorCode::BadMessage if reason.contains("CRC") => wrong(Wrong::Crc),
        RDKafkaErrorCode::BadMessage => wrong(Wrong::Batch),
        RDKafkaErrorCode::BadCompression => wrong(Wrong::Codec),
        RDKafkaErrorCode::Authentication => {
            let refused = Cause::Protocol(Wrong::AuthRefused as u8);
            Kind::Lost(Phase::Handshake, refused)
        }
        RDKafkaErrorCode::Resolve => Kind::Lost(Phase::Connect, Cause::Unreachable),
        _ => by_reason(reason),
    }
}

/// Sentences such as `Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state
/// CONNECT)`.
fn by_reason(reason: &str) -> Kind {
    let connecting = reason.contains("Connect to") || reason.contains("Connection setup");
    let phase = if connecting {
        Phase::Connect
    } else {
        Phase::Wait
    };
    let known = [
        ("Connection refused", Cause::Refused),
        ("No route to host", Cause::Unreachable),
        ("Network is unreachable", Cause::Unreachable),
        ("Connection reset", Cause::Reset),
        ("timed out", Cause::Timeout),
    ];
    let cause = known.iter().find(|(words, _)| reason.contains(words));
    Kind::Lost(phase, cause.map_or(Cause::Os(0), |(_, cause)| *cause))
}

/// The code in an error.
pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}
