//! A memcached for the sim driver, so that whole runs take milliseconds and no socket.
//!
//! A dictionary for each address, and the binary protocol as memcached speaks it. It must never
//! read a clock: delays are part of the script, and nothing expires.

use std::collections::HashMap;

use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::wire::header::{Header, REPLY, REQUEST};
use crate::wire::{HEADER_BYTES, opcode, reply};

/// What memcached has beyond 0x06 of statuses that are sent here.
const UNKNOWN_COMMAND: u16 = 0x81;
const EXISTS: u16 = 0x02;
const TOO_LARGE: u16 = 0x03;
const NON_NUMERIC: u16 = 0x06;

type Dictionary = HashMap<Vec<u8>, Vec<u8>>;

/// Serves every address from a dictionary of its own, after one delay.
#[derive(Debug, Default)]
pub struct MemcachePeer {
    /// From a request's last byte to the reply, ns.
    pub delay_ns: u64,
    /// From the attempt to the connection, ns.
    pub connect_ns: u64,
    /// Values beyond are refused, bytes; 0: none is.
    pub value_bytes_max: usize,
    /// Requests answered or passed over in silence so far, by opcode.
    pub seen: HashMap<u8, u64>,
    stores: HashMap<Endpoint, Dictionary>,
    conns: HashMap<u64, Conn>,
}

#[derive(Debug)]
struct Conn {
    endpoint: Endpoint,
    unread: Vec<u8>,
}

/// One request, whole.
struct Asked<'a> {
    header: Header,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

/// The body of a reply.
#[derive(Default)]
struct Answer {
    status: u16,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Nothing is sent.
    silent: bool,
}

impl MemcachePeer {
    /// A peer whose replies take `delay_ns`.
    #[must_use]
    pub fn new(delay_ns: u64) -> Self {
        Self {
            delay_ns,
            ..Self::default()
        }
    }

    /// Keys held, at all addresses.
    #[must_use]
    pub fn items(&self) -> usize {
        self.stores.values().map(HashMap::len).sum()
    }

    fn answer(&mut self, endpoint: &Endpoint, asked: &Asked<'_>) -> Answer {
        *self.seen.entry(asked.header.opcode).or_default() += 1;
        let limit = self.value_bytes_max;
        let store = self.stores.entry(endpoint.clone()).or_default();
        match asked.header.opcode {
            opcode::GET | opcode::GETQ | opcode::GETK | opcode::GETKQ | opcode::GAT => {
                read(store, asked)
            }
            opcode::SET | opcode::SETQ | opcode::ADD | opcode::REPLACE => {
                if limit > 0 && asked.value.len() > limit {
                    return refusal(TOO_LARGE, "Too large.");
                }
                write(store, asked)
            }
            opcode::DELETE => done_if(store.remove(asked.key).is_some()),
            opcode::TOUCH => done_if(store.contains_key(asked.key)),
            opcode::INCREMENT => count(store, asked),
            opcode::NOOP => Answer::default(),
            opcode::SASL_AUTH => Answer {
                value: b"Authenticated".to_vec(),
                ..Answer::default()
            },
            _ => refusal(UNKNOWN_COMMAND, "Unknown command"),
        }
    }
}

fn refusal(status: u16, text: &str) -> Answer {
    Answer {
        status,
        value: text.as_bytes().to_vec(),
        ..Answer::default()
    }
}

fn done_if(done: bool) -> Answer {
    if done {
        Answer::default()
    } else {
        refusal(reply::NOT_FOUND, "Not found")
    }
}

fn read(store: &Dictionary, asked: &Asked<'_>) -> Answer {
    let code = asked.header.opcode;
    let quiet = matches!(code, opcode::GETQ | opcode::GETKQ);
    let with_key = matches!(code, opcode::GETK | opcode::GETKQ);
    let Some(value) = store.get(asked.key) else {
        return Answer {
            silent: quiet,
            ..done_if(false)
        };
    };
    Answer {
        extras: vec![0; 4],
        key: if with_key {
            asked.key.to_vec()
        } else {
            Vec::new()
        },
        value: value.clone(),
        ..Answer::default()
    }
}

fn write(store: &mut Dictionary, asked: &Asked<'_>) -> Answer {
    let there = store.contains_key(asked.key);
    match asked.header.opcode {
        opcode::ADD if there => return refusal(EXISTS, "Data exists for key."),
        opcode::REPLACE if !there => return done_if(false),
        _ => {}
    }
    store.insert(asked.key.to_vec(), asked.value.to_vec());
    Answer {
        silent: asked.header.opcode == opcode::SETQ,
        ..Answer::default()
    }
}

fn count(store: &mut Dictionary, asked: &Asked<'_>) -> Answer {
    let number = |bytes: Option<&[u8]>| {
        let bytes = bytes.and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    let (delta, initial) = (
        number(asked.extras.get(..8)),
        number(asked.extras.get(8..16)),
    );
    let next = match store.get(asked.key) {
        None => Some(initial),
        Some(text) => String::from_utf8_lossy(text)
            .parse::<u64>()
            .ok()
            .map(|n| n.wrapping_add(delta)),
    };
    let Some(next) = next else {
        return refusal(
            NON_NUMERIC,
            "Non-numeric server-side value for incr or decr",
        );
    };
    store.insert(asked.key.to_vec(), next.to_string().into_bytes());
    Answer {
        value: next.to_be_bytes().to_vec(),
        ..Answer::default()
    }
}

/// The request at the start of `bytes`, once it has all come; nonsense never has.
fn asked(bytes: &[u8]) -> Option<(Asked<'_>, usize)> {
    let head = bytes.first_chunk::<HEADER_BYTES>()?;
    let header = Header::decode(head, REQUEST).ok()?;
    let whole = HEADER_BYTES + header.body_bytes as usize;
    let body = bytes.get(HEADER_BYTES..whole)?;
    let (extras, rest) = body.split_at_checked(usize::from(header.extras_bytes))?;
    let (key, value) = rest.split_at_checked(usize::from(header.key_bytes))?;
    let asked = Asked {
        header,
        extras,
        key,
        value,
    };
    Some((asked, whole))
}

/// A reply to `asked`.
fn encode(asked: &Header, answer: &Answer) -> Vec<u8> {
    let body = [&*answer.extras, &answer.key, &answer.value].concat();
    let header = Header {
        magic: REPLY,
        opcode: asked.opcode,
        key_bytes: answer.key.len() as u16,
        extras_bytes: answer.extras.len() as u8,
        status: answer.status,
        body_bytes: body.len() as u32,
        opaque: asked.opaque,
    };
    [&header.encode()[..], &body].concat()
}

impl Peer for MemcachePeer {
    fn connect(&mut self, id: u64, endpoint: &Endpoint, _at: Tick) -> Accept {
        let conn = Conn {
            endpoint: endpoint.clone(),
            unread: Vec::new(),
        };
        self.conns.insert(id, conn);
        Accept::After(self.connect_ns)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        let Some(mut conn) = self.conns.remove(&id) else {
            return;
        };
        conn.unread.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((asked, whole)) = asked(&conn.unread[at..]) {
            let answer = self.answer(&conn.endpoint, &asked);
            if !answer.silent {
                let bytes = encode(&asked.header, &answer);
                script.add(self.delay_ns, Action::Bytes(bytes));
            }
            at += whole;
        }
        conn.unread.drain(..at);
        self.conns.insert(id, conn);
    }

    fn closed(&mut self, id: u64, _at: Tick) {
        self.conns.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request;

    /// Opcodes, statuses and bodies of the replies to `bytes`.
    fn exchange(peer: &mut MemcachePeer, bytes: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
        let endpoint = Endpoint::Unix("x".into());
        peer.connect(1, &endpoint, Tick(0));
        let mut replies = Vec::new();
        let mut at = 0;
        while let Some((asked, whole)) = asked(&bytes[at..]) {
            let answer = peer.answer(&endpoint, &asked);
            if !answer.silent {
                let bytes = encode(&asked.header, &answer);
                let header = reply::header(&bytes).unwrap().unwrap();
                replies.push((header.opcode, header.status, bytes[HEADER_BYTES..].to_vec()));
            }
            at += whole;
        }
        assert_eq!(at, bytes.len(), "a request was not whole");
        replies
    }

    fn set(code: u8, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        request::store(code, key.len() as u16, value.len() as u32, 0, 1, out);
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }

    fn bare(code: u8, key: &[u8], out: &mut Vec<u8>) {
        request::bare(code, key.len() as u16, 1, out);
        out.extend_from_slice(key);
    }

    #[test]
    fn it_keeps_what_it_is_given_and_is_quiet_where_asked() {
        let mut peer = MemcachePeer::new(0);
        let mut out = Vec::new();
        set(opcode::SETQ, b"a", b"1", &mut out);
        set(opcode::ADD, b"a", b"2", &mut out);
        set(opcode::REPLACE, b"b", b"2", &mut out);
        bare(opcode::GETQ, b"b", &mut out);
        bare(opcode::GETKQ, b"a", &mut out);
        bare(opcode::GET, b"b", &mut out);
        bare(opcode::DELETE, b"a", &mut out);
        request::increment(1, 0, 1, &mut out);
        out.push(b'n');
        request::increment(1, 0, 1, &mut out);
        out.push(b'n');
        request::noop(1, &mut out);
        let replies = exchange(&mut peer, &out);
        let statuses: Vec<(u8, u16)> = replies.iter().map(|(code, s, _)| (*code, *s)).collect();
        let wanted = [
            (opcode::ADD, EXISTS),
            (opcode::REPLACE, 1),
            (opcode::GETKQ, 0),
            (opcode::GET, 1),
            (opcode::DELETE, 0),
            (opcode::INCREMENT, 0),
            (opcode::INCREMENT, 0),
            (opcode::NOOP, 0),
        ];
        assert_eq!(statuses, wanted);
        assert_eq!(replies[2].2, b"\0\0\0\0a1");
        assert_eq!(replies[6].2, 1_u64.to_be_bytes());
        assert_eq!(peer.items(), 1);
    }

    #[test]
    fn large_values_are_refused_where_there_is_a_limit() {
        let mut peer = MemcachePeer::new(0);
        peer.value_bytes_max = 2;
        let mut out = Vec::new();
        set(opcode::SETQ, b"a", b"123", &mut out);
        assert_eq!(exchange(&mut peer, &out)[0].1, TOO_LARGE);
        assert_eq!(peer.items(), 0);
    }
}
