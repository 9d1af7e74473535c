//! One connection's conversation: bytes in, bytes out.
//!
//! No socket here. A frame is taken only when it is whole; what is too large to keep is skipped,
//! not buffered.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use loadgen_core::buffer::Outbox;
use loadgen_core::serve::{Counters, Hall, Service, Stats, Step};

use super::frame::{self, HEAD, Head, Kind, Op, Reply, status};
use super::stats::Counter;
use super::store::{Item, Millis, NEVER, NoMemory, Store};
use super::{ITEM_OVERHEAD_BYTES, TargetOptions};

/// Expiry times up to 30 days are from now, larger ones since 1970 (memcached's protocol.txt).
const RELATIVE_MAX_S: u32 = 60 * 60 * 24 * 30;

/// An increment with this expiry creates nothing.
const NO_CREATION: u32 = u32::MAX;

/// The longest number: digits of 2^64 - 1.
const DIGITS_MAX: usize = 20;

/// The only SASL mechanism.
const PLAIN: &[u8] = b"PLAIN";

const VERSION: &str = concat!("loadgen ", env!("CARGO_PKG_VERSION"));

/// What a client above the limit is told, before it is closed: in text, as memcached does,
/// whatever the client speaks.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// What all connections of a target share.
#[derive(Debug)]
pub struct Shared {
    pub(super) options: TargetOptions,
    pub(super) store: Store,
    /// One of each worker.
    pub(super) counters: Vec<Counters>,
    hall: Hall,
    started: Instant,
}

impl Shared {
    pub(super) fn new(options: TargetOptions, hall: Hall) -> Self {
        let workers = options.workers.max(1);
        Self {
            store: Store::new(options.memory_bytes, options.evict, workers),
            counters: (0..workers)
                .map(|_| Counters::new(Counter::NAMES.len()))
                .collect(),
            hall,
            started: Instant::now(),
            options,
        }
    }

    fn numbers(&self) -> Stats {
        let gauges = self.store.gauges();
        let mut rows = vec![("curr_connections", self.hall.open() as u64)];
        rows.extend(Counters::sums(&self.counters, Counter::NAMES));
        rows.extend([
            ("limit_maxbytes", self.options.memory_bytes),
            ("threads", self.counters.len() as u64),
            // Nothing of ours makes a connection wait for its turn.
            ("conn_yields", 0),
            ("bytes", gauges.bytes),
            ("curr_items", gauges.items),
            ("total_items", gauges.total_items),
            ("evictions", gauges.evictions),
        ]);
        Stats { rows }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let on = |is: bool| if is { "on" } else { "off" };
        vec![
            ("maxbytes", options.memory_bytes.to_string()),
            ("maxconns", options.connections_max.to_string()),
            ("evictions", on(options.evict).to_owned()),
            ("num_threads", self.counters.len().to_string()),
            // Every request that has come is served at once: there is no such limit.
            ("reqs_per_event", "0".to_owned()),
            ("item_size_max", options.item_max_bytes.to_string()),
            ("auth_enabled_sasl", on(options.user.is_some()).to_owned()),
        ]
    }

    fn expiry(&self, extras: &[u8], now: Millis) -> Millis {
        let seconds = be32(extras);
        let from_now = |seconds: u64| now + seconds * 1000;
        match seconds {
            0 => NEVER,
            // Negative: expired from the start.
            s if s > i32::MAX as u32 => now,
            s if s <= RELATIVE_MAX_S => from_now(u64::from(s)),
            s => {
                let unix = SystemTime::now().duration_since(UNIX_EPOCH);
                let unix_s = unix.map_or(0, |time| time.as_secs());
                from_now(u64::from(s).saturating_sub(unix_s))
            }
        }
    }
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

fn be64(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
}

impl Service for Shared {
    type Session = Session;
    type Stats = Stats;

    fn open(
        &self,
        worker: usize,
        _local: Option<SocketAddr>,
        open: usize,
    ) -> Result<Session, &'static [u8]> {
        let counters = &self.counters[worker];
        counters.add(Counter::TotalConnections, 1);
        if open < self.options.connections_max {
            return Ok(Session::default());
        }
        counters.add(Counter::RejectedConnections, 1);
        Err(TOO_MANY)
    }

    fn step(
        &self,
        worker: usize,
        session: &mut Session,
        input: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Step {
        let age = now.saturating_duration_since(self.started);
        let desk = Desk {
            shared: self,
            counters: &self.counters[worker],
            now: u64::try_from(age.as_millis()).unwrap_or(NEVER),
        };
        let bytes = session.step(desk, input, out.copied_mut());
        match bytes {
            _ if session.closing => Step::Close,
            0 => Step::Short,
            _ => Step::Ate { bytes, discard: 0 },
        }
    }

    fn moved(&self, worker: usize, received: u64, sent: u64) {
        self.counters[worker].add(Counter::BytesRead, received);
        self.counters[worker].add(Counter::BytesWritten, sent);
    }

    fn stats(&self) -> Stats {
        self.numbers()
    }
}

/// Where one batch of requests is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk<'a> {
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a Counters,
    pub(super) now: Millis,
}

/// The state of one conversation.
#[derive(Debug, Default)]
pub struct Session {
    authenticated: bool,
    closing: bool,
    /// So many of the next bytes belong to nothing.
    skip: u64,
}

/// A whole request.
struct Request<'a> {
    head: Head,
    kind: Kind,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

impl Session {
    /// Serves the first request of `input`; how many bytes are done with. 0: more are needed, or
    /// it is over.
    fn step(&mut self, desk: Desk<'_>, input: &[u8], out: &mut Vec<u8>) -> usize {
        if self.skip > 0 {
            let skipped = self.skip.min(input.len() as u64);
            self.skip -= skipped;
            return skipped as usize;
        }
        let Some(bytes) = input.first_chunk::<HEAD>() else {
            return 0;
        };
        let Some(head) = Head::read(bytes) else {
            self.closing = true;
            return 0;
        };
        let Some(kind) = frame::kind(head.opcode) else {
            self.skip = head.body_bytes as u64;
            refuse(&head, status::UNKNOWN, out);
            return HEAD;
        };
        let front = head.extras_bytes + head.key_bytes;
        let Some(value_bytes) = head.body_bytes.checked_sub(front) else {
            return self.hang_up(&head, status::UNKNOWN, out);
        };
        if !kind
            .op
            .allows(head.extras_bytes, head.key_bytes, value_bytes)
        {
            return self.hang_up(&head, status::INVALID, out);
        }
        if !self.may(kind.op, desk) {
            return self.hang_up(&head, status::AUTH, out);
        }
        let item_bytes = (head.key_bytes + value_bytes) as u64 + ITEM_OVERHEAD_BYTES;
        let too_large = item_bytes > u64::from(desk.shared.options.item_max_bytes);
        let kept = if kind.op.stores() && too_large {
            0
        } else {
            value_bytes
        };
        let Some(body) = input[HEAD..].get(..front + kept) else {
            return 0;
        };
        let (extras, rest) = body.split_at(head.extras_bytes);
        let (key, value) = rest.split_at(head.key_bytes);
        if kept < value_bytes {
            self.skip = value_bytes as u64;
            // What a SET should have replaced would be stale now; the others leave it, as memcached
            // does (`process_bin_update`, `process_bin_append_prepend`).
            if kind.op == Op::Set {
                desk.shared.store.shard(key, desk.now).remove(key, desk.now);
            }
            desk.counters.add(Counter::StoreTooLarge, 1);
            refuse(&head, status::TOO_LARGE, out);
        } else {
            let request = Request {
                head,
                kind,
                extras,
                key,
                value,
            };
            self.serve(desk, &request, out);
        }
        HEAD + front + kept
    }

    fn hang_up(&mut self, head: &Head, status: u16, out: &mut Vec<u8>) -> usize {
        self.closing = true;
        refuse(head, status, out);
        0
    }

    fn may(&self, op: Op, desk: Desk<'_>) -> bool {
        let open = [Op::SaslList, Op::SaslAuth, Op::SaslStep, Op::Version].contains(&op);
        open || self.authenticated || desk.shared.options.user.is_none()
    }

    fn serve(&mut self, desk: Desk<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
        let quiet = request.kind.quiet;
        match request.kind.op {
            Op::Get | Op::GetAndTouch | Op::Touch => get(desk, request, out),
            Op::Set | Op::Add | Op::Replace => {
                let done = set(desk, request);
                // memcached counts one once it has room for the item, whatever becomes of it then
                // (`complete_update_bin`).
                if done != Err(status::NO_MEMORY) {
                    desk.counters.add(Counter::CmdSet, 1);
                }
                answer(request, done, out);
            }
            Op::Append | Op::Prepend => answer(request, extend(desk, request), out),
            Op::Delete => answer(request, delete(desk, request), out),
            Op::Increment | Op::Decrement => count(desk, request, out),
            Op::Noop | Op::Verbosity => answer(request, Ok(0), out),
            Op::Version => {
                let value = VERSION.as_bytes();
                let reply = Reply {
                    value,
                    ..Reply::default()
                };
                reply.write(&request.head, out);
            }
            Op::Flush => {
                desk.counters.add(Counter::CmdFlush, 1);
                let wait = be32(request.extras);
                let at = (wait > 0).then(|| desk.shared.expiry(request.extras, desk.now));
                desk.shared.store.flush(at);
                answer(request, Ok(0), out);
            }
            Op::Quit => {
                self.closing = true;
                if !quiet {
                    answer(request, Ok(0), out);
                }
            }
            Op::Stat => stat(desk, request, out),
            Op::SaslList | Op::SaslAuth | Op::SaslStep => self.sasl(desk, request, out),
        }
    }

    fn sasl(&mut self, desk: Desk<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
        let Some((name, password)) = &desk.shared.options.user else {
            return refuse(&request.head, status::UNKNOWN, out);
        };
        let mut value = PLAIN;
        if request.kind.op != Op::SaslList {
            desk.counters.add(Counter::AuthCmds, 1);
            // RFC 4616: whom to act as, who it is, the password; a zero byte between them.
            let mut parts = request.value.splitn(3, |byte| *byte == 0).skip(1);
            let is_user = parts.next() == Some(name.as_bytes());
            let knows = parts.next() == Some(password.as_bytes());
            self.authenticated = request.key == PLAIN && is_user && knows;
            if !self.authenticated {
                desk.counters.add(Counter::AuthErrors, 1);
                return refuse(&request.head, status::AUTH, out);
            }
            value = b"Authenticated";
        }
        let reply = Reply {
            value,
            ..Reply::default()
        };
        reply.write(&request.head, out);
    }
}

/// An error, with its text.
fn refuse(head: &Head, status: u16, out: &mut Vec<u8>) {
    let value = frame::text(status).as_bytes();
    let reply = Reply {
        status,
        value,
        ..Reply::default()
    };
    reply.write(head, out);
}

/// The item's CAS, or the status of an error. A quiet success says nothing.
fn answer(request: &Request<'_>, done: Result<u64, u16>, out: &mut Vec<u8>) {
    match done {
        Ok(_) if request.kind.quiet => {}
        Ok(cas) => {
            let reply = Reply {
                cas,
                ..Reply::default()
            };
            reply.write(&request.head, out);
        }
        Err(status) => refuse(&request.head, status, out),
    }
}

fn get(desk: Desk<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
    let Kind {
        op,
        quiet,
        with_key,
    } = request.kind;
    let (asked, hit, miss) = match op {
        Op::Get => (Counter::CmdGet, Counter::GetHits, Counter::GetMisses),
        _ => (Counter::CmdTouch, Counter::TouchHits, Counter::TouchMisses),
    };
    desk.counters.add(asked, 1);
    let key = if with_key { request.key } else { &[] };
    let mut shard = desk.shared.store.shard(request.key, desk.now);
    if let Some(item) = shard.get(request.key, desk.now) {
        desk.counters.add(hit, 1);
        if op != Op::Get {
            item.expires = desk.shared.expiry(request.extras, desk.now);
        }
        let value: &[u8] = if op == Op::Touch { &[] } else { &item.value };
        let reply = Reply {
            cas: item.cas,
            extras: &item.flags,
            key,
            value,
            ..Reply::default()
        };
        reply.write(&request.head, out);
        return;
    }
    desk.counters.add(miss, 1);
    match (quiet, with_key) {
        (true, _) => {}
        (false, false) => refuse(&request.head, status::NOT_FOUND, out),
        // With the key in the place of the text.
        (false, true) => {
            let reply = Reply {
                status: status::NOT_FOUND,
                key,
                ..Reply::default()
            };
            reply.write(&request.head, out);
        }
    }
}

fn no_memory(desk: Desk<'_>) -> impl Fn(NoMemory) -> u16 {
    move |NoMemory| {
        desk.counters.add(Counter::StoreNoMemory, 1);
        status::NO_MEMORY
    }
}

fn set(desk: Desk<'_>, request: &Request<'_>) -> Result<u64, u16> {
    let (op, cas) = (request.kind.op, request.head.cas);
    let mut shard = desk.shared.store.shard(request.key, desk.now);
    let known = shard.get(request.key, desk.now).map(|item| item.cas);
    match known {
        _ if op == Op::Add && known.is_some() => return Err(status::EXISTS),
        None if cas != 0 => {
            desk.counters.add(Counter::CasMisses, 1);
            return Err(status::NOT_FOUND);
        }
        None if op == Op::Replace => return Err(status::NOT_FOUND),
        Some(known) if cas != 0 && cas != known => {
            desk.counters.add(Counter::CasBadval, 1);
            return Err(status::EXISTS);
        }
        Some(_) if cas != 0 => desk.counters.add(Counter::CasHits, 1),
        _ => {}
    }
    let (flags, expiry) = request.extras.split_at(4);
    let item = Item {
        value: request.value.to_vec(),
        flags: flags.first_chunk().copied().unwrap_or_default(),
        cas: desk.shared.store.next_cas(),
        expires: desk.shared.expiry(expiry, desk.now),
    };
    let cas = item.cas;
    let stored = shard.put(request.key, item, desk.now);
    stored.map(|()| cas).map_err(no_memory(desk))
}

fn extend(desk: Desk<'_>, request: &Request<'_>) -> Result<u64, u16> {
    desk.counters.add(Counter::CmdSet, 1);
    let mut shard = desk.shared.store.shard(request.key, desk.now);
    let Some(item) = shard.get(request.key, desk.now) else {
        return Err(status::NOT_STORED);
    };
    if request.head.cas != 0 && request.head.cas != item.cas {
        return Err(status::EXISTS);
    }
    let (front, back) = match request.kind.op {
        Op::Append => (item.value.as_slice(), request.value),
        _ => (request.value, item.value.as_slice()),
    };
    let value = [front, back].concat();
    let bytes = (request.key.len() + value.len()) as u64 + ITEM_OVERHEAD_BYTES;
    if bytes > u64::from(desk.shared.options.item_max_bytes) {
        desk.counters.add(Counter::StoreTooLarge, 1);
        return Err(status::TOO_LARGE);
    }
    let item = Item {
        value,
        cas: desk.shared.store.next_cas(),
        ..*item
    };
    let cas = item.cas;
    let stored = shard.put(request.key, item, desk.now);
    stored.map(|()| cas).map_err(no_memory(desk))
}

fn delete(desk: Desk<'_>, request: &Request<'_>) -> Result<u64, u16> {
    let mut shard = desk.shared.store.shard(request.key, desk.now);
    let known = shard.get(request.key, desk.now).map(|item| item.cas);
    let Some(cas) = known else {
        desk.counters.add(Counter::DeleteMisses, 1);
        return Err(status::NOT_FOUND);
    };
    if request.head.cas != 0 && request.head.cas != cas {
        return Err(status::EXISTS);
    }
    shard.remove(request.key, desk.now);
    desk.counters.add(Counter::DeleteHits, 1);
    Ok(0)
}

/// An increment or a decrement; the reply's value is the number.
fn count(desk: Desk<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
    match counted(desk, request) {
        Ok(_) if request.kind.quiet => {}
        Ok((number, cas)) => {
            let reply = Reply {
                cas,
                value: &number.to_be_bytes(),
                ..Reply::default()
            };
            reply.write(&request.head, out);
        }
        Err(status) => refuse(&request.head, status, out),
    }
}

fn counted(desk: Desk<'_>, request: &Request<'_>) -> Result<(u64, u64), u16> {
    let (delta, initial) = (be64(request.extras), be64(&request.extras[8..]));
    let expiry = &request.extras[16..];
    let up = request.kind.op == Op::Increment;
    let (hit, miss) = match up {
        true => (Counter::IncrHits, Counter::IncrMisses),
        false => (Counter::DecrHits, Counter::DecrMisses),
    };
    let cas = desk.shared.store.next_cas();
    let mut shard = desk.shared.store.shard(request.key, desk.now);
    let (number, flags, expires) = match shard.get(request.key, desk.now) {
        Some(item) => {
            if request.head.cas != 0 && request.head.cas != item.cas {
                return Err(status::EXISTS);
            }
            let number = number_of(&item.value).ok_or(status::NOT_A_NUMBER)?;
            desk.counters.add(hit, 1);
            let number = if up {
                number.wrapping_add(delta)
            } else {
                number.saturating_sub(delta)
            };
            (number, item.flags, item.expires)
        }
        None if be32(expiry) == NO_CREATION => {
            desk.counters.add(miss, 1);
            return Err(status::NOT_FOUND);
        }
        // A creation is neither a hit nor a miss, as in memcached.
        None => (initial, [0; 4], desk.shared.expiry(expiry, desk.now)),
    };
    let item = Item {
        value: number.to_string().into_bytes(),
        flags,
        cas,
        expires,
    };
    let stored = shard.put(request.key, item, desk.now);
    stored.map(|()| (number, cas)).map_err(no_memory(desk))
}

fn number_of(value: &[u8]) -> Option<u64> {
    let digits = value.len() <= DIGITS_MAX && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

fn stat(desk: Desk<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
    let rows: Vec<(&str, String)> = match request.key {
        b"" => general(desk),
        b"settings" => desk.shared.settings(),
        b"reset" => {
            desk.shared.counters.iter().for_each(Counters::reset);
            Vec::new()
        }
        _ => return refuse(&request.head, status::NOT_FOUND, out),
    };
    for (name, value) in &rows {
        let reply = Reply {
            key: name.as_bytes(),
            value: value.as_bytes(),
            ..Reply::default()
        };
        reply.write(&request.head, out);
    }
    // The end: neither key nor value.
    Reply::default().write(&request.head, out);
}

fn general(desk: Desk<'_>) -> Vec<(&'static str, String)> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let about = [
        ("pid", std::process::id().to_string()),
        ("uptime", (desk.now / 1000).to_string()),
        ("time", unix.map_or(0, |time| time.as_secs()).to_string()),
        ("version", VERSION.to_owned()),
        ("pointer_size", usize::BITS.to_string()),
    ];
    let numbers = desk.shared.numbers().rows.into_iter();
    let numbers = numbers.map(|(name, value)| (name, value.to_string()));
    about.into_iter().chain(numbers).collect()
}
