//! The floor of memcached: a ring of binary requests encoded beforehand, one SET to nine GETs, sent
//! again and again.
//!
//! All keys are set before (`memcache-fill`), so every reply is as long as its request says. The
//! ring is small enough to stay in the cache: this is the least that the work can cost.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::batches::send;
use super::net::connect;
use super::{Done, Task};
use crate::sys;

/// Requests of the ring, each with a key of its own.
const REQUESTS: usize = 1000;
/// One of so many is a SET.
const SET_EVERY: usize = 10;
const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 1024;
const HEADER_BYTES: usize = 24;
/// Flags and expiry of a SET.
const SET_EXTRAS: [u8; 8] = [0; 8];
/// Header, flags, value.
const GET_REPLY: usize = HEADER_BYTES + 4 + VALUE_BYTES;
const SET_REPLY: usize = HEADER_BYTES;

/// Opcodes (protocol_binary.h).
const GET: u8 = 0x00;
const SET: u8 = 0x01;

/// So long at most until the clock is looked at again, ns.
const LOOK_NS: u64 = 50_000_000;

/// The requests, and how long their replies are.
pub(super) struct Ring {
    /// Once around, and the first `depth` again: a batch is always one piece.
    bytes: Vec<u8>,
    /// Where each request begins; one more for the end.
    at: Vec<usize>,
    replies: Vec<usize>,
    depth: usize,
}

/// Where a connection is in the ring.
struct Place {
    sent: usize,
    answered: usize,
    /// Bytes of the reply that is coming.
    got: usize,
}

impl Ring {
    /// The ring for so many requests in flight on a connection.
    pub(super) fn of(depth: usize) -> io::Result<Self> {
        if depth > REQUESTS {
            let text = format!("a depth of {depth} is above the limit of {REQUESTS}");
            return Err(io::Error::other(text));
        }
        let mut ring = Self {
            bytes: Vec::new(),
            at: vec![0],
            replies: Vec::new(),
            depth,
        };
        for n in (0..REQUESTS).chain(0..depth) {
            let set = n % SET_EVERY == 0;
            request(if set { SET } else { GET }, n, &mut ring.bytes);
            ring.at.push(ring.bytes.len());
            ring.replies.push(if set { SET_REPLY } else { GET_REPLY });
        }
        ring.replies.truncate(REQUESTS);
        Ok(ring)
    }

    /// Asks for the last key: a miss would be shorter than any reply this floor knows.
    pub(super) fn there(&self, addr: SocketAddr) -> io::Result<()> {
        let mut bytes = Vec::new();
        request(GET, REQUESTS - 1, &mut bytes);
        let found = exchange(&mut connect(addr)?, &bytes)?;
        if found == GET_REPLY {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the reply to a GET has {found} bytes, not {GET_REPLY}: run the floor memcache-fill first"
        )))
    }

    /// The next `count` requests of a connection.
    #[inline]
    fn take(&self, place: &mut Place, count: usize) -> &[u8] {
        let begin = place.sent;
        place.sent = (begin + count) % REQUESTS;
        &self.bytes[self.at[begin]..self.at[begin + count]]
    }

    /// How many replies `bytes` more make whole, and how large those are.
    #[inline]
    fn answered(&self, place: &mut Place, bytes: usize) -> Done {
        place.got += bytes;
        let mut done = Done {
            requests: 0,
            bytes: 0,
        };
        while place.got >= self.replies[place.answered] {
            let size = self.replies[place.answered];
            place.got -= size;
            place.answered = (place.answered + 1) % REQUESTS;
            done.requests += 1;
            done.bytes += size as u64;
        }
        done
    }
}

/// Runs until the end and counts the replies.
pub(super) fn run(task: Task<'_>, ring: &Ring) -> io::Result<Done> {
    let Task { net, until, .. } = task;
    let fds = net.fds();
    // Not all at the same place: the target would see all SETs at once.
    let place = |id: usize| {
        let begin = id * 7 % REQUESTS;
        Place {
            sent: begin,
            answered: begin,
            got: 0,
        }
    };
    let mut places: Vec<Place> = (0..fds.len()).map(place).collect();
    for (fd, place) in fds.iter().zip(&mut places) {
        send(*fd, ring.take(place, ring.depth))?;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut all = Done {
        requests: 0,
        bytes: 0,
    };
    let (epoll, events) = net.waiter();
    while Instant::now() < until {
        let count = sys::wait(epoll, events, Some(LOOK_NS))?;
        for event in &events[..count] {
            let id = event.u64 as usize;
            loop {
                let bytes = match sys::receive(fds[id], &mut buffer) {
                    Ok(0) => return Err(io::Error::other("closed by the target")),
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                let done = ring.answered(&mut places[id], bytes);
                all.requests += done.requests;
                all.bytes += done.bytes;
                if done.requests > 0 {
                    send(fds[id], ring.take(&mut places[id], done.requests as usize))?;
                }
                if bytes < buffer.len() {
                    break;
                }
            }
        }
    }
    Ok(all)
}

/// Sets every key once and says how many there are.
pub(super) fn fill(addr: SocketAddr) -> io::Result<usize> {
    let mut socket = connect(addr)?;
    let mut bytes = Vec::new();
    for n in 0..REQUESTS {
        bytes.clear();
        request(SET, n, &mut bytes);
        let found = exchange(&mut socket, &bytes)?;
        if found != SET_REPLY {
            let text = format!("the reply to a SET has {found} bytes, not {SET_REPLY}");
            return Err(io::Error::other(text));
        }
    }
    Ok(REQUESTS)
}

/// Request `n` of the ring, or a SET of its key.
fn request(opcode: u8, n: usize, out: &mut Vec<u8>) {
    let key = format!("floor-{:0>width$}", n % REQUESTS, width = KEY_BYTES - 6);
    let (extras, value) = match opcode {
        SET => (&SET_EXTRAS[..], VALUE_BYTES),
        _ => (&[][..], 0),
    };
    let body = (extras.len() + key.len() + value) as u32;
    out.extend([
        0x80,
        opcode,
        0,
        key.len() as u8,
        extras.len() as u8,
        0,
        0,
        0,
    ]);
    out.extend(body.to_be_bytes());
    // Opaque and CAS.
    out.extend([0; 12]);
    out.extend(extras);
    out.extend(key.as_bytes());
    out.resize(out.len() + value, b'v');
}

/// Sends one request and reads its reply; how long that is.
fn exchange(socket: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    socket.write_all(request)?;
    let mut header = [0; HEADER_BYTES];
    socket.read_exact(&mut header)?;
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let mut rest = vec![0; body.min(GET_REPLY)];
    socket.read_exact(&mut rest)?;
    Ok(HEADER_BYTES + body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_memcache::wire::HEADER_BYTES as ENGINE_HEADER_BYTES;
    use loadgen_memcache::wire::header::{Header, REQUEST};

    /// What was encoded by hand here is what the engine's decoder reads.
    #[test]
    fn the_ring_is_one_set_to_nine_gets() {
        let ring = Ring::of(32).unwrap();
        let mut counts = [0, 0];
        for n in 0..REQUESTS {
            let bytes = &ring.bytes[ring.at[n]..ring.at[n + 1]];
            let head: &[u8; ENGINE_HEADER_BYTES] = bytes.first_chunk().unwrap();
            let header = Header::decode(head, REQUEST).unwrap();
            assert_eq!(usize::from(header.key_bytes), KEY_BYTES);
            assert_eq!(bytes.len(), HEADER_BYTES + header.body_bytes as usize);
            let value = [0, VALUE_BYTES][usize::from(header.opcode == SET)];
            assert_eq!(header.value_bytes() as usize, value);
            counts[usize::from(header.opcode)] += 1;
        }
        assert_eq!(counts, [900, 100]);
        assert!(Ring::of(REQUESTS + 1).is_err());
    }

    #[test]
    fn batches_go_around_and_replies_are_cut_anywhere() {
        let ring = Ring::of(32).unwrap();
        let mut place = Place {
            sent: REQUESTS - 1,
            answered: REQUESTS - 1,
            got: 0,
        };
        // The last GET, then the SET that begins the ring.
        let batch = ring.take(&mut place, 2).to_vec();
        assert_eq!((batch.len(), place.sent), (88 + 1120, 1));
        let counts = [GET_REPLY - 1, 1, SET_REPLY - 1].map(|n| {
            let done = ring.answered(&mut place, n);
            (done.requests, done.bytes)
        });
        assert_eq!(counts, [(0, 0), (1, GET_REPLY as u64), (0, 0)]);
        let done = ring.answered(&mut place, 1 + GET_REPLY);
        assert_eq!((done.requests, place.answered, place.got), (2, 2, 0));
    }

    #[test]
    fn a_target_without_its_keys_is_told_from_a_filled_one() {
        use loadgen_memcache::target::{Target, TargetOptions};
        let target = Target::start(TargetOptions::default()).unwrap();
        let loadgen_core::workload::Endpoint::Tcp(addr) = *target.address() else {
            panic!("not TCP: {}", target.address());
        };
        let ring = Ring::of(1).unwrap();
        let missing = ring.there(addr).unwrap_err().to_string();
        assert!(missing.contains("memcache-fill"), "{missing}");
        assert_eq!(fill(addr).unwrap(), REQUESTS);
        ring.there(addr).unwrap();
    }
}
