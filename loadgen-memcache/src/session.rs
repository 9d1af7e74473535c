//! One connection to a memcached server: requests out, replies in.
//!
//! The opaque of a request is its number on the connection; each reply must bring back the one
//! that is due. In a batch of quiet requests some numbers are passed over: that is the answer "a
//! miss" to a GET and "done" to a SET. A session never reads a clock and never keeps a value.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{
    Cause, Fault, Handshake, Input, Phase, Progress, Reply, Session, Tally, Then, Ticket,
};
use loadgen_core::time::Tick;

use crate::body::Body;
use crate::greeting;
use crate::local::{Local, add};
use crate::objects::{Check, Key, Kind};
use crate::rules::{EXPIRY_TOLERANCE_S, Rules};
use crate::spec::Op;
use crate::tables::{self, MISMATCH, MISS, MULTIGET, MULTISET, OK, ROWS, Row};
use crate::wire::header::Header;
use crate::wire::reply::{self, Body as Shape};
use crate::wire::{WireError, Wrong, opcode, request};

/// What a workload asks for.
#[derive(Debug)]
pub enum Request {
    /// One op on one key.
    One(Op, Key),
    /// Quiet GETs or, for [`Op::Set`], quiet SETs, closed by a NOOP. At least one key.
    Batch(Op, Vec<Key>),
}

/// Keys that were not there.
#[derive(Debug, PartialEq, Eq)]
pub enum Missed {
    /// One.
    One(Key),
    /// Some of a batch.
    Many(Vec<Key>),
}

/// What a reply is expected to be about.
#[derive(Clone, Copy, Debug)]
struct Asked {
    key: Key,
    expect: Expect,
}

/// What the expiry says about a value, when it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Anything,
    Hit,
    Miss,
}

/// When the keys of the window were written last: one entry for each place in it.
#[derive(Debug)]
struct Watch(Vec<(Key, Tick)>);

/// The protocol state of one connection.
#[derive(Debug)]
pub struct MemcacheSession {
    rules: Arc<Rules>,
    local: Rc<Local>,
    greeted: bool,
    /// Number of the next request.
    opaque: u32,
    /// Oldest first; in use only where [`Rules::remembers`].
    asked: VecDeque<Asked>,
    watch: Option<Watch>,
    remembers: bool,
    /// Values that came, and how many of them were compared.
    values: u64,
    compared: u64,
    /// The reply that is coming: its row and its body, once its header is there.
    coming: Option<(Row, Body)>,
    /// The key that must come back with it.
    key: Vec<u8>,
    /// Of a batch: units answered, and how.
    units: u32,
    rows: [u32; ROWS],
    missed: Vec<Key>,
    payload_rx_bytes: u64,
}

impl Drop for MemcacheSession {
    fn drop(&mut self) {
        if let Some(Watch(places)) = &self.watch {
            self.local.unwatch(places.len());
        }
    }
}

impl MemcacheSession {
    /// A new connection.
    #[must_use]
    pub fn new(rules: Arc<Rules>, local: Rc<Local>) -> Self {
        let place = (Key::new(0, 0), Tick::NEVER);
        Self {
            watch: rules
                .watch
                .map(|keys| Watch(vec![place; local.watch(keys)])),
            remembers: rules.remembers(),
            rules,
            local,
            greeted: false,
            opaque: 0,
            asked: VecDeque::new(),
            values: 0,
            compared: 0,
            coming: None,
            key: Vec::new(),
            units: 0,
            rows: [0; ROWS],
            missed: Vec::new(),
            payload_rx_bytes: 0,
        }
    }

    #[inline]
    fn number(&mut self) -> u32 {
        let number = self.opaque;
        self.opaque = number.wrapping_add(1);
        number
    }

    /// Appends one unit of a request and says what payload it carries.
    #[inline]
    fn put(&mut self, op: Op, code: u8, key: Key, at: Tick, out: &mut Outbox) -> u64 {
        let opaque = self.number();
        let rules = &self.rules;
        let objects = &rules.objects;
        let key_bytes = objects.key_bytes(key);
        let bytes = out.copied_mut();
        let mut kind = Kind::Value;
        let mut value_bytes = None;
        match op {
            Op::Get | Op::Delete => request::bare(code, key_bytes, opaque, bytes),
            Op::Gat | Op::Touch => {
                request::touch(code, key_bytes, rules.expiry_s(key), opaque, bytes);
            }
            Op::Incr => {
                kind = Kind::Counter;
                request::increment(key_bytes, rules.expiry_s(key), opaque, bytes);
            }
            Op::Set | Op::Add | Op::Replace => {
                let length = objects.value_bytes(key);
                let expiry_s = rules.expiry_s(key);
                request::store(code, key_bytes, length, expiry_s, opaque, bytes);
                value_bytes = Some(length);
            }
        }
        objects.put_key(key, kind, key_bytes, bytes);
        let payload_tx_bytes = u64::from(value_bytes.unwrap_or(0));
        if let Some(length) = value_bytes {
            let object_bytes = u64::from(key_bytes) + payload_tx_bytes;
            add(&self.local.object_tx_bytes, object_bytes);
            objects.put_value(key, length, out);
        }
        if self.remembers {
            let expect = self.expect(op, key, at);
            self.asked.push_back(Asked { key, expect });
        }
        payload_tx_bytes
    }

    /// What the reply must be if the expiry holds; remembers when a value was written.
    fn expect(&mut self, op: Op, key: Key, at: Tick) -> Expect {
        let Some(Watch(places)) = &mut self.watch else {
            return Expect::Anything;
        };
        let expiry_s = u64::from(self.rules.expiry_s(key));
        let window = self.rules.watch.unwrap_or(0).max(1);
        let place = (key.index() % window) as usize;
        let Some(place) = places.get_mut(place).filter(|_| expiry_s > 0) else {
            return Expect::Anything;
        };
        match op {
            Op::Set => *place = (key, at),
            Op::Get if place.0 == key && place.1 != Tick::NEVER => {
                let age_s = at.since(place.1) / 1_000_000_000;
                if age_s > expiry_s + EXPIRY_TOLERANCE_S {
                    return Expect::Miss;
                }
                if age_s + EXPIRY_TOLERANCE_S < expiry_s {
                    return Expect::Hit;
                }
            }
            _ => {}
        }
        Expect::Anything
    }

    /// The opcode of a single op.
    #[inline]
    fn code(&self, op: Op) -> u8 {
        match op {
            Op::Get if self.rules.return_keys => opcode::GETK,
            Op::Get => opcode::GET,
            Op::Gat => opcode::GAT,
            Op::Set => opcode::SET,
            Op::Add => opcode::ADD,
            Op::Replace => opcode::REPLACE,
            Op::Delete => opcode::DELETE,
            Op::Incr => opcode::INCREMENT,
            Op::Touch => opcode::TOUCH,
        }
    }

    /// The opcode of a unit of a batch.
    #[inline]
    fn quiet_code(&self, op: Op) -> u8 {
        match op {
            Op::Set => opcode::SETQ,
            _ if self.rules.return_keys => opcode::GETKQ,
            _ => opcode::GETQ,
        }
    }

    /// The opcode that was sent for a ticket; for a batch, that of its units.
    #[inline]
    fn sent_code(&self, ticket: &Ticket) -> u8 {
        match ticket.op {
            MULTISET => opcode::SETQ,
            MULTIGET => self.quiet_code(Op::Get),
            op => Op::ALL
                .get(usize::from(op))
                .map_or(opcode::NOOP, |op| self.code(*op)),
        }
    }

    fn read(
        &mut self,
        ticket: &Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<Missed>, WireError> {
        let mut at = 0;
        loop {
            let rest = &input.bytes[at..];
            let Some((row, body)) = &mut self.coming else {
                let Some(header) = reply::header(rest)? else {
                    return Ok(Progress::more(at));
                };
                at += crate::wire::HEADER_BYTES;
                if let Some(reply) = self.begin(ticket, &header, tally)? {
                    return Ok(done(at, reply));
                }
                continue;
            };
            at += body.read(rest, &self.key, &self.rules.objects);
            if body.left() > 0 {
                // After the end it never comes, and the engine says so.
                let unneeded = body.unneeded(&self.key);
                return Ok(Progress::discard(at, if input.end { 0 } else { unneeded }));
            }
            let row = *row;
            if let Some(reply) = self.finish(ticket, row)? {
                return Ok(done(at, reply));
            }
        }
    }

    /// A header came. Gives the reply when nothing more belongs to it.
    #[inline]
    fn begin(
        &mut self,
        ticket: &Ticket,
        header: &Header,
        tally: &mut Tally,
    ) -> Result<Option<Reply<Missed>>, WireError> {
        let first = ticket.tag as u32;
        let code = self.sent_code(ticket);
        let place = header.opaque.wrapping_sub(first);
        let batch = ticket.op >= MULTIGET;
        if batch && header.opcode == opcode::NOOP {
            if place != ticket.units {
                return Err(strange_opaque(header, first, self.units, ticket.units));
            }
            Shape::Empty.check(header)?;
            self.pass_over(ticket, ticket.units);
            return Ok(Some(self.close_batch(ticket, tally)));
        }
        if header.opcode != code {
            return Err(strange_opcode(header, code));
        }
        let until = if batch { ticket.units } else { 1 };
        if place < self.units || place >= until {
            return Err(strange_opaque(header, first, self.units, until));
        }
        Shape::of(code).check(header)?;
        self.pass_over(ticket, place);
        let row = tables::row(header.status);
        let mut check = None;
        self.key.clear();
        if row == OK {
            self.payload_rx_bytes += u64::from(header.value_bytes());
            if self.remembers && Shape::of(code) != Shape::Empty {
                check = self.look_closer(header)?;
            }
        }
        let value_at = u32::from(header.extras_bytes) + u32::from(header.key_bytes);
        self.coming = Some((row, Body::new(header.body_bytes, value_at, check)));
        Ok(None)
    }

    /// A value comes: is it compared, and with which key?
    fn look_closer(&mut self, header: &Header) -> Result<Option<Check>, WireError> {
        let Some(Asked { key, .. }) = self.asked.front().copied() else {
            return Ok(None);
        };
        if header.key_bytes > 0 {
            let objects = &self.rules.objects;
            let key_bytes = objects.key_bytes(key);
            if key_bytes != header.key_bytes {
                return Err(another_key(&objects.name(key)));
            }
            objects.put_key(key, Kind::Value, key_bytes, &mut self.key);
        }
        if header.extras_bytes == 0 {
            return Ok(None);
        }
        self.values += 1;
        let due = (self.compared as f64) < self.values as f64 * self.rules.verify;
        Ok(due.then(|| {
            self.compared += 1;
            add(&self.local.verified, 1);
            Check::new(key, header.value_bytes())
        }))
    }

    /// The body has come to its end. Gives the reply to a single request.
    #[inline]
    fn finish(&mut self, ticket: &Ticket, row: Row) -> Result<Option<Reply<Missed>>, WireError> {
        let row = if self.remembers {
            self.judge(row)?
        } else {
            row
        };
        self.coming = None;
        let missed = self.answer(ticket, row);
        if ticket.op >= MULTIGET {
            self.units += 1;
            self.rows[usize::from(row)] += 1;
            self.missed.extend(missed);
            return Ok(None);
        }
        Ok(Some(Reply {
            status: row,
            units: 1,
            payload_rx_bytes: Some(std::mem::take(&mut self.payload_rx_bytes)),
            origin: None,
            then: Then::Reuse,
            feedback: missed.map(Missed::One),
        }))
    }

    /// What the comparisons of the body that came say.
    fn judge(&mut self, row: Row) -> Result<Row, WireError> {
        let (Some((_, body)), Some(asked)) = (&self.coming, self.asked.front()) else {
            return Ok(row);
        };
        let objects = &self.rules.objects;
        if body.key_is_wrong() {
            return Err(another_key(&objects.name(asked.key)));
        }
        let Some(wrong_at) = body.check().and_then(Check::wrong_at) else {
            return Ok(row);
        };
        let key = asked.key;
        self.local.mismatch(|| {
            format!(
                "the value of {} is not what was written under it, from byte {wrong_at} on",
                objects.name(key)
            )
        });
        Ok(MISMATCH)
    }

    /// One unit is answered: what it means for expiry, and whether the workload hears of a miss.
    #[inline]
    fn answer(&mut self, ticket: &Ticket, row: Row) -> Option<Key> {
        let asked = if self.remembers {
            self.asked.pop_front()?
        } else {
            return None;
        };
        let hit = row == OK || row == MISMATCH;
        match asked.expect {
            Expect::Miss if hit => add(&self.local.expired_hits, 1),
            Expect::Hit if row == MISS => add(&self.local.early_misses, 1),
            _ => {}
        }
        let reads = ticket.op <= Op::Gat as u8 || ticket.op == MULTIGET;
        (self.rules.tell_misses && reads && row == MISS).then_some(asked.key)
    }

    /// The units of a batch up to `place` were not answered: the quiet ones say so much.
    #[inline]
    fn pass_over(&mut self, ticket: &Ticket, place: u32) {
        let silent = if ticket.op == MULTISET { OK } else { MISS };
        self.rows[usize::from(silent)] += place - self.units;
        if self.remembers {
            for _ in self.units..place {
                let missed = self.answer(ticket, silent);
                self.missed.extend(missed);
            }
        }
        self.units = place;
    }

    /// The reply to a batch: its own row is the gravest there is, the others are told besides.
    fn close_batch(&mut self, ticket: &Ticket, tally: &mut Tally) -> Reply<Missed> {
        let rows = std::mem::replace(&mut self.rows, [0; ROWS]);
        self.units = 0;
        let there = |row: &Row| rows[usize::from(*row)] > 0;
        let error = (0..ROWS as Row).find(|row| there(row) && tables::is_error(*row));
        let own = error.or_else(|| (0..ROWS as Row).find(there)).unwrap_or(OK);
        for row in (0..ROWS as Row).filter(|row| *row != own && there(row)) {
            tally.add(ticket.op, row, rows[usize::from(row)]);
        }
        let feedback = (!self.missed.is_empty())
            .then(|| Missed::Many(std::mem::replace(&mut self.missed, self.local.list())));
        Reply {
            status: own,
            units: rows[usize::from(own)],
            payload_rx_bytes: Some(std::mem::take(&mut self.payload_rx_bytes)),
            origin: None,
            then: Then::Reuse,
            feedback,
        }
    }
}

fn done(eaten: usize, reply: Reply<Missed>) -> Progress<Missed> {
    Progress {
        eaten,
        discard: 0,
        done: Some(reply),
    }
}

#[cold]
fn another_key(name: &str) -> WireError {
    Wrong::UnexpectedKey.because(format!("the reply to a GET of {name} is about another key"))
}

#[cold]
fn strange_opcode(header: &Header, wanted: u8) -> WireError {
    Wrong::UnexpectedOpcode.because(format!(
        "the reply is to opcode {:#04x}, and {wanted:#04x} was sent",
        header.opcode
    ))
}

#[cold]
fn strange_opaque(header: &Header, first: u32, units: u32, until: u32) -> WireError {
    let place = header.opaque.wrapping_sub(first);
    let why = if place < units {
        "which was answered before: a reply repeated, or out of order"
    } else {
        "which is none of this request"
    };
    Wrong::UnexpectedOpaque.because(format!(
        "the reply has opaque {}, {why}; due are {} to {}",
        header.opaque,
        first.wrapping_add(units),
        first.wrapping_add(until),
    ))
}

impl Session for MemcacheSession {
    type Request = Request;
    type Feedback = Missed;

    fn handshake(&mut self, input: &[u8], out: &mut Outbox) -> Result<Handshake, Fault> {
        let sasl = self.rules.sasl.as_ref();
        if !self.greeted {
            self.greeted = true;
            greeting::send(sasl, out.copied_mut());
            return Ok(Handshake::More { eaten: 0 });
        }
        match greeting::read(sasl.is_some(), input) {
            Ok(Some(eaten)) => Ok(Handshake::Done { eaten }),
            Ok(None) => Ok(Handshake::More { eaten: 0 }),
            Err(error) => Err(fault(Phase::Handshake, error)),
        }
    }

    #[inline]
    fn encode(&mut self, request: Request, at: Tick, out: &mut Outbox) -> Ticket {
        let first = self.opaque;
        let (op, units, payload_tx_bytes) = match request {
            Request::One(op, key) => {
                let code = self.code(op);
                (op as u8, 1, self.put(op, code, key, at, out))
            }
            Request::Batch(op, keys) => {
                let code = self.quiet_code(op);
                let units = keys.len() as u32;
                let mut payload_tx_bytes = 0;
                for key in &keys {
                    payload_tx_bytes += self.put(op, code, *key, at, out);
                }
                self.local.give_back(keys);
                request::noop(self.number(), out.copied_mut());
                let op = if op == Op::Set { MULTISET } else { MULTIGET };
                (op, units, payload_tx_bytes)
            }
        };
        Ticket {
            op,
            units,
            answered: true,
            payload_tx_bytes,
            tag: u64::from(first),
        }
    }

    #[inline]
    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        tally: &mut Tally,
    ) -> Result<Progress<Missed>, Fault> {
        if let Some((_, body)) = &mut self.coming
            && input.skipped > 0
        {
            body.skip(input.skipped);
        }
        self.read(ticket, input, tally)
            .map_err(|error| fault(Phase::Decode, error))
    }

    /// Always one cause, for no more bytes can be waited for here: a full server says so in answer
    /// to the greeting.
    fn unsolicited(&mut self, input: &[u8]) -> Fault {
        let shown = &input[..input.len().min(40)];
        Fault {
            phase: Phase::Decode,
            cause: Cause::Unsolicited,
            detail: format!(
                "{} bytes came that answer no request: \"{}\"",
                input.len(),
                shown.escape_ascii()
            ),
        }
    }
}

fn fault(phase: Phase, error: WireError) -> Fault {
    Fault {
        phase,
        cause: Cause::Protocol(error.wrong as u8),
        detail: error.detail,
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
