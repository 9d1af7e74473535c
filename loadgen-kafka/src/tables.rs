//! The protocol's closed tables: ops and statuses, and what each means.
//!
//! Positions here are what tickets and replies carry.

use kafka_protocol::ResponseError;
use loadgen_core::protocol::{Outcome, Status, Tables};

use crate::wire::Wrong;

/// What a request does. The order is that of the rows in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Reads where records are known to be.
    Fetch,
    /// Reads at the end of the log: the broker waits for records to come. Its times are the
    /// broker's patience, not the network's: they are kept apart.
    Wait,
    /// Writes a batch.
    Produce,
    /// Takes what a client library has read meanwhile: when it asked for that, only it knows.
    Poll,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fetch, Self::Wait, Self::Produce, Self::Poll];

    /// The name in the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Wait => "wait",
            Self::Produce => "produce",
            Self::Poll => "poll",
        }
    }
}

/// Records came, or were written.
pub const OK: u16 = 0;
/// The broker had none.
pub const EMPTY: u16 = 1;
/// Sent without asking for an acknowledgement: nobody knows.
pub const UNACKED: u16 = 2;
/// Records of transactions that were aborted: read, and not counted as records.
pub const ABORTED: u16 = 3;
/// An error code nobody documented.
pub const OTHER: u16 = 4;
const CODES_FROM: u16 = 5;

/// Error codes of the protocol, from the first to the last that is known here.
const CODES: std::ops::RangeInclusive<i16> = -1..=133;

/// The status of an error code.
#[must_use]
#[inline]
pub fn status_of(code: i16) -> u16 {
    if code == 0 {
        return OK;
    }
    if CODES.contains(&code) {
        CODES_FROM + (code - CODES.start()) as u16
    } else {
        OTHER
    }
}

/// The name of an error code: that of the protocol, in lower case.
#[must_use]
pub fn name_of(code: i16) -> String {
    let name = match ResponseError::try_from_code(code) {
        None => return "ok".into(),
        Some(ResponseError::Unknown(code)) => return format!("error_{code}"),
        Some(error) => format!("{error:?}"),
    };
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Whether after this code the leaders should be asked for anew: the partition moved, or the
/// broker does not know it.
#[must_use]
pub const fn leader_doubtful(code: i16) -> bool {
    // UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REPLICA_NOT_AVAILABLE,
    // KAFKA_STORAGE_ERROR, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    matches!(code, 3 | 5 | 6 | 9 | 56 | 74 | 75)
}

/// The tables of core's contract.
#[must_use]
pub fn tables() -> Tables {
    let ours = [
        ("ok", Outcome::Ok),
        ("empty", Outcome::Empty),
        ("unacked", Outcome::Ok),
        ("aborted", Outcome::Empty),
        ("other_error", Outcome::Error),
    ];
    let mut statuses: Vec<Status> = ours
        .into_iter()
        .map(|(name, outcome)| Status {
            name: name.into(),
            outcome,
        })
        .collect();
    statuses.extend(CODES.map(|code| Status {
        name: name_of(code).into(),
        outcome: if code == 0 {
            Outcome::Ok
        } else {
            Outcome::Error
        },
    }));
    Tables {
        protocol: "kafka",
        ops: Op::ALL.iter().map(|op| op.name().into()).collect(),
        statuses,
        causes: Wrong::NAMES,
        apart: &[Op::Wait as u8],
        written: UNACKED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row() {
        let tables = tables();
        let name = |code| tables.statuses[usize::from(status_of(code))].name.clone();
        assert_eq!(name(0), "ok");
        assert_eq!(name(-1), "unknown_server_error");
        assert_eq!(name(6), "not_leader_or_follower");
        assert_eq!(name(19), "not_enough_replicas");
        assert_eq!(name(10), "message_too_large");
        assert_eq!(name(9999), "other_error");
        assert!(leader_doubtful(6) && !leader_doubtful(10));
        for op in Op::ALL {
            assert_eq!(tables.ops[op as usize], op.name());
        }
    }
}
