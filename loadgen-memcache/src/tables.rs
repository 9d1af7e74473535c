//! The protocol's closed tables: ops and statuses, and what each means.
//!
//! Positions here are what tickets and replies carry. Hits of the server are `ok` and `mismatch`
//! of the ops that read, its misses `not_found`.

use loadgen_core::protocol::{Outcome, Status, Tables};

use crate::spec::Op;
use crate::wire::{Wrong, reply};

/// The op of a batch of GETs; below it are those of [`Op`].
pub const MULTIGET: u8 = Op::ALL.len() as u8;
/// The op of a batch of SETs.
pub const MULTISET: u8 = MULTIGET + 1;

/// A row of the statuses.
pub type Row = u16;

/// Done, or found.
pub const OK: Row = 0;
/// Nothing there.
pub const MISS: Row = 1;
/// A status nobody documented.
const OTHER: Row = 10;
/// A value came that is not the one that was written.
pub const MISMATCH: Row = 11;
/// How many there are.
pub const ROWS: usize = 12;

/// Name, meaning and code on the wire (`protocol_binary.h`); those without a code are ours.
///
/// `exists` and `not_stored` are proper answers to ADD and REPLACE: nothing went wrong.
const STATUSES: [(&str, Outcome, Option<u16>); ROWS] = [
    ("ok", Outcome::Ok, Some(0x00)),
    ("not_found", Outcome::Empty, Some(reply::NOT_FOUND)),
    ("exists", Outcome::Empty, Some(0x02)),
    ("too_large", Outcome::Error, Some(0x03)),
    ("invalid_arguments", Outcome::Error, Some(0x04)),
    ("not_stored", Outcome::Empty, Some(0x05)),
    ("non_numeric", Outcome::Error, Some(0x06)),
    ("auth_error", Outcome::Error, Some(reply::AUTH_ERROR)),
    ("unknown_command", Outcome::Error, Some(0x81)),
    ("out_of_memory", Outcome::Error, Some(0x82)),
    ("other_error", Outcome::Error, None),
    ("mismatch", Outcome::Error, None),
];

/// The row of a status on the wire.
#[must_use]
#[inline]
pub fn row(status: u16) -> Row {
    if status <= 6 { status } else { rare(status) }
}

#[cold]
fn rare(status: u16) -> Row {
    let at = STATUSES
        .iter()
        .position(|(_, _, code)| *code == Some(status));
    at.map_or(OTHER, |at| at as Row)
}

/// Whether a row is an error.
#[must_use]
pub fn is_error(row: Row) -> bool {
    let status = STATUSES.get(usize::from(row));
    status.is_none_or(|(_, outcome, _)| *outcome == Outcome::Error)
}

/// The tables of core's contract.
#[must_use]
pub fn tables() -> Tables {
    let mut ops: Vec<_> = Op::ALL.iter().map(|op| op.name().into()).collect();
    ops.extend(["multiget".into(), "multiset".into()]);
    let status = |(name, outcome, _): (&'static str, Outcome, Option<u16>)| Status {
        name: name.into(),
        outcome,
    };
    Tables {
        protocol: "memcache",
        ops,
        statuses: STATUSES.map(status).to_vec(),
        causes: Wrong::NAMES,
        // Every request is answered, a batch by its NOOP.
        apart: &[],
        written: OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_row() {
        for (row_wanted, (name, _, code)) in (0..).zip(STATUSES) {
            if let Some(code) = code {
                assert_eq!(row(code), row_wanted, "{name}");
            }
        }
        assert_eq!(STATUSES[usize::from(row(0x84))].0, "other_error");
        assert_eq!(STATUSES[usize::from(MISMATCH)].0, "mismatch");
        assert!(is_error(MISMATCH) && is_error(row(0x82)) && !is_error(MISS));
    }

    #[test]
    fn ops_are_where_tickets_say() {
        let tables = tables();
        for op in Op::ALL {
            assert_eq!(tables.ops[op as usize], op.name());
        }
        assert_eq!(tables.ops[usize::from(MULTIGET)], "multiget");
        assert_eq!(tables.ops[usize::from(MULTISET)], "multiset");
    }
}
