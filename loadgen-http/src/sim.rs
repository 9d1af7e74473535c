//! A scripted HTTP target for the sim driver, so that whole runs take milliseconds and no socket.
//!
//! It reads requests as carefully as it must to find their ends, and answers each with the same
//! reply. It must never read a clock: delays are part of the script.

use std::collections::HashMap;

use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::wire::head::{empty_lines, find_end};

/// Answers every request with `200 OK` and a body of one size, after one delay.
#[derive(Debug, Default)]
pub struct HttpPeer {
    /// The size of every body, bytes.
    pub body_bytes: usize,
    /// From the request's last byte to the reply, ns.
    pub delay_ns: u64,
    /// From the attempt to the connection, ns.
    pub connect_ns: u64,
    /// Requests answered so far.
    pub answered: u64,
    conns: HashMap<u64, Conn>,
}

#[derive(Debug, Default)]
struct Conn {
    unread: Vec<u8>,
    closing: bool,
}

impl HttpPeer {
    /// A peer whose bodies have `body_bytes` and whose replies take `delay_ns`.
    #[must_use]
    pub fn new(body_bytes: usize, delay_ns: u64) -> Self {
        Self {
            body_bytes,
            delay_ns,
            ..Self::default()
        }
    }

    fn reply(&self, asked: &Asked) -> Vec<u8> {
        let connection = if asked.close {
            "Connection: close\r\n"
        } else {
            ""
        };
        let bytes = self.body_bytes;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n{connection}\r\n");
        let body = if asked.to_head { 0 } else { bytes };
        let mut reply = head.into_bytes();
        reply.resize(reply.len() + body, b'x');
        reply
    }
}

/// What the peer needs to know of a request.
struct Asked {
    bytes: usize,
    to_head: bool,
    close: bool,
}

/// The request at the start of `bytes`, once it has all come.
fn asked(bytes: &[u8]) -> Option<Asked> {
    let start = empty_lines(bytes);
    let end = start + find_end(&bytes[start..], 0).ok().flatten()?;
    let head = String::from_utf8_lossy(&bytes[start..end]);
    let mut body_bytes = 0;
    let mut close = false;
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.parse().unwrap_or(0);
        }
        close |= name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close");
    }
    let bytes_needed = end.checked_add(body_bytes)?;
    (bytes.len() >= bytes_needed).then(|| Asked {
        bytes: bytes_needed,
        to_head: head.starts_with("HEAD "),
        close,
    })
}

impl Peer for HttpPeer {
    fn connect(&mut self, id: u64, _endpoint: &Endpoint, _at: Tick) -> Accept {
        self.conns.insert(id, Conn::default());
        Accept::After(self.connect_ns)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        let Some(mut conn) = self.conns.remove(&id) else {
            return;
        };
        conn.unread.extend_from_slice(bytes);
        while !conn.closing
            && let Some(asked) = asked(&conn.unread)
        {
            conn.unread.drain(..asked.bytes);
            self.answered += 1;
            script.add(self.delay_ns, Action::Bytes(self.reply(&asked)));
            if asked.close {
                conn.closing = true;
                script.add(self.delay_ns, Action::End);
            }
        }
        self.conns.insert(id, conn);
    }

    fn closed(&mut self, id: u64, _at: Tick) {
        self.conns.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_core::buffer::Outbox;
    use loadgen_core::driver::sim::Sim;
    use loadgen_core::driver::{Driver, Event, Received};

    fn exchange(sim: &mut Sim<HttpPeer>, request: &[u8]) -> (Tick, Vec<u8>, bool) {
        let mut out = Outbox::default();
        out.put(request);
        sim.send(0, &mut out);
        let (mut got, mut end) = (Vec::new(), false);
        let mut at = Tick::NEVER;
        loop {
            let woke = sim.wait(sim.now().after(1_000_000), false);
            let Some((_, event)) = sim.next() else {
                return (at, got, end);
            };
            assert_eq!(event, Event::Readable);
            at = at.min(woke);
            let mut buffer = [0; 4096];
            match sim.receive(0, &mut buffer) {
                Received::Bytes(count) => got.extend_from_slice(&buffer[..count]),
                Received::End => end = true,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn every_whole_request_is_answered_after_the_delay() {
        let mut sim = Sim::new(HttpPeer::new(3, 500));
        sim.connect(0, &Endpoint::Unix("x".into()), 0).unwrap();
        sim.wait(Tick(10), false);
        assert_eq!(sim.next(), Some((0, Event::Connected)));
        let sent = sim.now();
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxxx";
        let (at, got, end) = exchange(&mut sim, b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(at.since(sent), 500);
        assert_eq!(
            (String::from_utf8_lossy(&got).as_ref(), end),
            (&*one.repeat(2), false)
        );
        let head = b"HEAD / HTTP/1.1\r\n\r\n";
        assert!(exchange(&mut sim, head).1.ends_with(b"\r\n\r\n"));
        let (_, got, _) = exchange(&mut sim, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
        assert!(got.is_empty());
        let last = b"cdGET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let (_, got, end) = exchange(&mut sim, last);
        let closing = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxxx";
        assert_eq!(String::from_utf8_lossy(&got), format!("{one}{closing}"));
        assert!(end);
        let (_, got, _) = exchange(&mut sim, b"GET / HTTP/1.1\r\n\r\n");
        assert!(got.is_empty(), "a closed connection answers nothing");
    }
}
