//! One connection: it writes or it reads, and never both.

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{Fault, Handshake, Input, Progress, Session, Tally, Ticket};
use loadgen_core::time::Tick;

use crate::fetch::session::{self as fetch, FetchSession};
use crate::produce::session::{self as produce, ProduceSession};
use crate::tables::Op;

/// What a connection is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To write a batch.
    Write(produce::Ask),
    /// To fetch.
    Read(fetch::Ask),
}

/// One connection.
#[derive(Debug)]
pub enum EndToEndSession {
    /// It writes.
    Write(Box<ProduceSession>),
    /// It reads.
    Read(Box<FetchSession>),
}

impl Session for EndToEndSession {
    type Request = Ask;
    type Feedback = ();

    fn handshake(&mut self, input: &[u8], out: &mut Outbox) -> Result<Handshake, Fault> {
        match self {
            Self::Write(session) => session.handshake(input, out),
            Self::Read(session) => session.handshake(input, out),
        }
    }

    fn encode(&mut self, request: Ask, at: Tick, out: &mut Outbox) -> Ticket {
        match (self, request) {
            (Self::Write(session), Ask::Write(ask)) => session.encode(ask, at, out),
            (Self::Read(session), Ask::Read(ask)) => session.encode(ask, at, out),
            // The workload asks for what a route's sessions can do: this is nothing to send, and
            // nothing to wait for.
            (Self::Write(_), Ask::Read(_)) | (Self::Read(_), Ask::Write(_)) => Ticket {
                op: Op::Wait as u8,
                units: 0,
                answered: false,
                payload_tx_bytes: 0,
                tag: 0,
            },
        }
    }

    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        match self {
            Self::Write(session) => session.decode(ticket, input, tally),
            Self::Read(session) => session.decode(ticket, input, tally),
        }
    }

    fn unsolicited(&mut self, input: &[u8]) -> Fault {
        match self {
            Self::Write(session) => session.unsolicited(input),
            Self::Read(session) => session.unsolicited(input),
        }
    }
}
