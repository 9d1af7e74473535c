//! One HTTP/1.1 connection: requests out, replies in, framed by RFC 9112.
//!
//! A session never reads a clock and never sees a socket. It follows no redirect, undoes no
//! content coding, waits for no `100 Continue` and asks nothing twice.

use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{
    Cause, Fault, Input, Outcome, Phase, Progress, Reply, Session, Status, Tables, Tally, Then,
    Ticket,
};
use loadgen_core::time::Tick;

use crate::wire::chunked::Chunked;
use crate::wire::head::{self, Body, DATE_BYTES, HEAD_BYTES_MAX, Head};
use crate::wire::request::Template;
use crate::wire::{WireError, Wrong, sample};

/// The status codes that are counted; a code's row is its distance from the first.
const CODES: std::ops::RangeInclusive<u16> = 100..=599;

/// In a ticket's tag: the reply has no body, whatever its head says.
const TO_HEAD: u64 = 1;
/// In a ticket's tag: the request said `Connection: close`.
const LAST: u64 = 2;

/// The protocol's tables, for these methods.
#[must_use]
pub fn tables(methods: &[String]) -> Tables {
    let status = |code: u16| Status {
        name: code.to_string().into(),
        outcome: if code < 400 {
            Outcome::Ok
        } else {
            Outcome::Error
        },
    };
    Tables {
        protocol: "http",
        ops: methods.iter().map(|method| method.clone().into()).collect(),
        statuses: CODES.map(status).collect(),
        causes: Wrong::NAMES,
        // Every HTTP request is answered; should one ever not be, it counts as a 200.
        apart: &[],
        written: 200 - CODES.start(),
    }
}

/// Where in a reply the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a head. `scanned`: so many unread bytes hold no end; `blank`: bytes of empty lines in
    /// front of it so far.
    Head { scanned: usize, blank: usize },
    /// In a body of known length.
    Length { left: u64 },
    /// In a chunked body.
    Chunked(Chunked),
    /// In a body that ends when the target closes.
    UntilClose,
}

const START: State = State::Head {
    scanned: 0,
    blank: 0,
};

/// The protocol state of one connection.
#[derive(Debug)]
pub struct HttpSession {
    templates: Arc<[Template]>,
    /// Requests this connection may still carry.
    left: u64,
    state: State,
    status: u16,
    persistent: bool,
    payload_rx_bytes: u64,
    memo: Memo,
}

impl HttpSession {
    /// A new connection for these requests; `requests_per_connection` is its limit.
    #[must_use]
    pub fn new(templates: Arc<[Template]>, requests_per_connection: Option<u64>) -> Self {
        Self {
            templates,
            left: requests_per_connection.unwrap_or(u64::MAX),
            state: START,
            status: 0,
            persistent: true,
            payload_rx_bytes: 0,
            memo: Memo::default(),
        }
    }

    fn skip(&mut self, bytes: u64) {
        self.payload_rx_bytes = self.payload_rx_bytes.saturating_add(bytes);
        match &mut self.state {
            State::Length { left } => *left = left.saturating_sub(bytes),
            State::Chunked(chunked) => chunked.skip(bytes),
            State::Head { .. } | State::UntilClose => {}
        }
    }

    /// Reads a head at the start of `bytes`; how many bytes are done with, and whether the head is.
    fn head(&mut self, bytes: &[u8], to_head: bool) -> Result<(usize, bool), WireError> {
        if let Some(known) = self.memo.recall(bytes, to_head) {
            self.begin(known);
            return Ok((known.bytes, true));
        }
        let State::Head { scanned, blank } = self.state else {
            return Ok((0, false));
        };
        let empty = head::empty_lines(bytes);
        let (bytes, blank) = (&bytes[empty..], blank + empty);
        if blank > HEAD_BYTES_MAX {
            return Err(Wrong::HeadTooLarge.because(format!(
                "{HEAD_BYTES_MAX} bytes of empty lines may come before a reply, here came more"
            )));
        }
        head::check_start(bytes)?;
        let Some(end) = head::find_end(bytes, scanned.saturating_sub(empty))? else {
            let scanned = bytes.len().saturating_sub(2);
            self.state = State::Head { scanned, blank };
            return Ok((empty, false));
        };
        let whole = &bytes[..end];
        let parsed = head::parse(whole, to_head)?;
        if parsed.status == 101 {
            return Err(Wrong::UnexpectedUpgrade
                .because("the target switches protocols (101), nobody asked it to"));
        }
        self.memo.keep(whole, to_head, parsed);
        self.begin(parsed);
        Ok((empty + end, true))
    }

    fn begin(&mut self, head: Head) {
        // An interim reply answers nothing; the final one follows (RFC 9110 15.2).
        self.status = head.status;
        self.persistent = head.persistent;
        self.state = match head.body {
            _ if head.status < 200 => START,
            Body::None => State::Length { left: 0 },
            Body::Length(left) => State::Length { left },
            Body::Chunked => State::Chunked(Chunked::default()),
            Body::UntilClose => State::UntilClose,
        };
    }

    fn read(&mut self, ticket: &Ticket, input: Input<'_>) -> Result<Progress<()>, WireError> {
        let mut at = 0;
        loop {
            let rest = &input.bytes[at..];
            match &mut self.state {
                State::Head { .. } => {
                    let (eaten, complete) = self.head(rest, ticket.tag & TO_HEAD != 0)?;
                    at += eaten;
                    if !complete {
                        return Ok(Progress::more(at));
                    }
                }
                State::Length { left } => {
                    let take = (*left).min(rest.len() as u64);
                    *left -= take;
                    let left = *left;
                    self.payload_rx_bytes += take;
                    at += take as usize;
                    return Ok(if left == 0 {
                        self.complete(at, ticket)
                    } else {
                        missing(at, left, input.end)
                    });
                }
                State::Chunked(chunked) => {
                    let step = chunked.read(rest)?;
                    self.payload_rx_bytes =
                        self.payload_rx_bytes.saturating_add(step.payload_bytes);
                    at += step.eaten;
                    return Ok(if step.done {
                        self.complete(at, ticket)
                    } else {
                        missing(at, step.discard, input.end)
                    });
                }
                State::UntilClose => {
                    self.payload_rx_bytes = self.payload_rx_bytes.saturating_add(rest.len() as u64);
                    at = input.bytes.len();
                    return Ok(if input.end {
                        self.complete(at, ticket)
                    } else {
                        Progress::discard(at, u64::MAX)
                    });
                }
            }
        }
    }

    fn complete(&mut self, eaten: usize, ticket: &Ticket) -> Progress<()> {
        let reuse = self.persistent && ticket.tag & LAST == 0;
        let payload_rx_bytes = std::mem::take(&mut self.payload_rx_bytes);
        self.state = START;
        Progress {
            eaten,
            discard: 0,
            done: Some(Reply {
                status: self.status - CODES.start(),
                units: 1,
                payload_rx_bytes: Some(payload_rx_bytes),
                origin: None,
                then: if reuse { Then::Reuse } else { Then::Close },
                feedback: None,
            }),
        }
    }
}

/// `discard` bytes have not come; after the end they never will, and the engine says so.
fn missing(eaten: usize, discard: u64, end: bool) -> Progress<()> {
    Progress::discard(eaten, if end { 0 } else { discard })
}

impl Session for HttpSession {
    /// A position in the templates.
    type Request = u32;
    type Feedback = ();

    #[inline]
    fn encode(&mut self, request: u32, _at: Tick, out: &mut Outbox) -> Ticket {
        let template = &self.templates[request as usize];
        let last = self.left <= 1;
        self.left = self.left.saturating_sub(1);
        template.put(last, out);
        Ticket {
            op: 0,
            units: 1,
            answered: true,
            payload_tx_bytes: template.body_bytes(),
            tag: u64::from(template.is_head()) * TO_HEAD + u64::from(last) * LAST,
        }
    }

    #[inline]
    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        _tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        if input.skipped > 0 {
            self.skip(input.skipped);
        }
        self.read(ticket, input).map_err(|error| Fault {
            phase: Phase::Decode,
            cause: Cause::Protocol(error.wrong as u8),
            detail: error.detail,
        })
    }

    fn unsolicited(&mut self, input: &[u8]) -> Fault {
        Fault {
            phase: Phase::Decode,
            cause: Cause::Unsolicited,
            detail: format!(
                "{} bytes came that answer no request: {}",
                input.len(),
                sample(input)
            ),
        }
    }
}

/// The last head and what it meant: a target sends the same one again and again but for its date,
/// and comparing is several times cheaper than reading.
#[derive(Debug, Default)]
struct Memo {
    head: Vec<u8>,
    to_head: bool,
    /// What it meant; `None`: nothing is kept.
    meant: Option<Head>,
}

/// Longer heads are not kept: every connection has a memo of its own.
const MEMO_BYTES_MAX: usize = 1024;

impl Memo {
    /// What the head at the start of `bytes` means, when it is the kept one.
    #[inline]
    fn recall(&self, bytes: &[u8], to_head: bool) -> Option<Head> {
        let meant = self.meant?;
        let bytes = bytes.get(..meant.bytes)?;
        let same = match meant.date {
            None => bytes == self.head,
            Some(date) => {
                let after = date + DATE_BYTES;
                // A date that held a line end would make this another head.
                bytes[after..] == self.head[after..]
                    && bytes[..date] == self.head[..date]
                    && bytes[date..after].iter().all(|b| (0x20..0x7f).contains(b))
            }
        };
        (same && to_head == self.to_head).then_some(meant)
    }

    fn keep(&mut self, head: &[u8], to_head: bool, meant: Head) {
        self.meant = None;
        if head.len() <= MEMO_BYTES_MAX {
            self.head.clear();
            self.head.extend_from_slice(head);
            self.to_head = to_head;
            self.meant = Some(meant);
        }
    }
}
