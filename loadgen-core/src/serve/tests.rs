//! A toy service on real sockets: what comes back, who is woken, what nobody sees.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Counters, Hall, Server, Service, Stats, Step};
use crate::buffer::{Outbox, REFER_BYTES, Region, SEND_FILE_BYTES};
use crate::workload::Endpoint;

crate::counters! {
    Count {
        Opened "opened",
        Refused "refused",
        Received "received",
        Sent "sent",
        Steps "steps",
    }
}

/// How long a held request waits at the most.
const PATIENCE: Duration = Duration::from_secs(20);

/// One letter a request: `e` comes back; `r` brings all regions; `s` and four bytes skip as many as
/// they say; `h` waits for the word that `w` gives; `t` waits for a moment; `q` ends.
struct Toy {
    hall: Hall,
    regions: Vec<Region>,
    counters: Vec<Counters>,
    word: AtomicBool,
    most: usize,
}

#[derive(Debug, Default)]
struct Talk {
    until: Option<Instant>,
}

impl Toy {
    fn hold(&self, talk: &mut Talk, now: Instant, patience: Duration, out: &mut Outbox) -> Step {
        let until = *talk.until.get_or_insert(now + patience);
        let told = self.word.load(Ordering::SeqCst);
        if !told && now < until {
            return Step::Hold(until);
        }
        talk.until = None;
        out.put(if told { b"W" } else { b"T" });
        Step::Ate {
            bytes: 1,
            discard: 0,
        }
    }
}

impl Service for Toy {
    type Session = Talk;
    type Stats = Stats;

    fn open(
        &self,
        at: usize,
        local: Option<SocketAddr>,
        open: usize,
    ) -> Result<Talk, &'static [u8]> {
        assert!(local.is_some_and(|address| address.ip().is_loopback()));
        if open < self.most {
            self.counters[at].add(Count::Opened, 1);
            return Ok(Talk::default());
        }
        self.counters[at].add(Count::Refused, 1);
        Err(b"full")
    }

    fn step(
        &self,
        worker: usize,
        talk: &mut Talk,
        input: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Step {
        let (mut bytes, mut discard) = (1, 0);
        match input.first() {
            None => return Step::Short,
            Some(b'e') => out.put(b"E"),
            Some(b'r') => {
                for region in &self.regions {
                    out.put(b"<");
                    out.refer(region);
                    out.put(b">");
                }
            }
            Some(b's') => {
                let Some(length) = input[1..].first_chunk() else {
                    return Step::Short;
                };
                bytes = 5;
                discard = u64::from(u32::from_be_bytes(*length));
            }
            Some(b'h') => return self.hold(talk, now, PATIENCE, out),
            Some(b't') => return self.hold(talk, now, Duration::from_millis(30), out),
            Some(b'w') => {
                self.word.store(true, Ordering::SeqCst);
                self.hall.ring();
            }
            Some(_) => return Step::Close,
        }
        self.counters[worker].add(Count::Steps, 1);
        Step::Ate { bytes, discard }
    }

    fn moved(&self, worker: usize, received: u64, sent: u64) {
        self.counters[worker].add(Count::Received, received);
        self.counters[worker].add(Count::Sent, sent);
    }

    fn stats(&self) -> Stats {
        Stats {
            rows: Counters::sums(&self.counters, Count::NAMES),
        }
    }
}

fn start(workers: usize, most: usize, sizes: &[usize]) -> Server<Toy> {
    let fill = |size: &usize| (0..*size).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    let regions = sizes
        .iter()
        .map(|size| Region::new(Bytes::from(fill(size))));
    let listen = Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    let toy = |hall| Toy {
        hall,
        regions: regions.collect(),
        counters: (0..workers)
            .map(|_| Counters::new(Count::NAMES.len()))
            .collect(),
        word: AtomicBool::new(false),
        most,
    };
    Server::start(&listen, workers, toy).unwrap()
}

fn connect(server: &Server<Toy>) -> TcpStream {
    let stream = TcpStream::connect(server.socket_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    stream
}

fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    stream.read_exact(&mut got).unwrap();
    got
}

#[test]
fn regions_of_every_kind_arrive_whole_and_in_order() {
    // Copied, gathered and sent from files; more of them than one call takes.
    let mut sizes = vec![
        1,
        REFER_BYTES - 1,
        REFER_BYTES,
        SEND_FILE_BYTES,
        SEND_FILE_BYTES + 1,
    ];
    sizes.extend([REFER_BYTES + 3; 150]);
    sizes.extend([2_000_000, 5, 3_000_000]);
    let server = start(1, 9, &sizes);
    let mut stream = connect(&server);
    // Many at a time, so that output waits for its reader.
    stream.write_all(b"rrre").unwrap();
    let expected: usize = sizes.iter().map(|size| size + 2).sum();
    for _ in 0..3 {
        let got = read(&mut stream, expected);
        let mut at = 0;
        for size in &sizes {
            assert_eq!(got[at], b'<');
            let body = &got[at + 1..at + 1 + size];
            assert!(body.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
            assert_eq!(got[at + 1 + size], b'>');
            at += size + 2;
        }
    }
    assert_eq!(read(&mut stream, 1), b"E");
    let stats = server.stop();
    assert_eq!(stats.get("sent"), 3 * expected as u64 + 1);
    assert_eq!(stats.get("received"), 4);
}

#[test]
fn bytes_nobody_needs_are_not_seen() {
    let server = start(1, 9, &[]);
    let mut stream = connect(&server);
    let sizes = [0_u32, 1, 31_000, 33_000, 3_000_000];
    for size in sizes {
        stream.write_all(b"s").unwrap();
        stream.write_all(&size.to_be_bytes()).unwrap();
        // A byte of it taken for a request would end the connection.
        stream.write_all(&vec![b'q'; size as usize]).unwrap();
        stream.write_all(b"e").unwrap();
        assert_eq!(read(&mut stream, 1), b"E", "{size}");
    }
    let bytes: u64 = sizes.iter().map(|size| u64::from(*size) + 6).sum();
    assert_eq!(server.stop().get("received"), bytes);
}

#[test]
fn a_held_request_is_woken_by_another_thread() {
    let server = start(2, 9, &[]);
    let (mut first, mut second) = (connect(&server), connect(&server));
    first.write_all(b"eh").unwrap();
    assert_eq!(read(&mut first, 1), b"E");
    // What comes behind a held request waits for it.
    first.write_all(b"e").unwrap();
    let asked = Instant::now();
    second.write_all(b"ew").unwrap();
    assert_eq!(read(&mut second, 1), b"E");
    assert_eq!(read(&mut first, 2), b"WE");
    assert!(asked.elapsed() < PATIENCE / 2);
}

#[test]
fn a_held_request_ends_with_its_time_or_its_client() {
    let server = start(1, 9, &[]);
    let mut stream = connect(&server);
    let asked = Instant::now();
    stream.write_all(b"t").unwrap();
    assert_eq!(read(&mut stream, 1), b"T");
    assert!(asked.elapsed() >= Duration::from_millis(30));
    stream.write_all(b"h").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The end comes long before the patience of the request is over.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn connections_are_dealt_refused_and_ended() {
    let server = start(2, 2, &[]);
    let mut streams = [connect(&server), connect(&server)];
    for stream in &mut streams {
        stream.write_all(b"e").unwrap();
        assert_eq!(read(stream, 1), b"E");
    }
    let mut third = connect(&server);
    let mut text = String::new();
    third.read_to_string(&mut text).unwrap();
    assert_eq!(text, "full");
    streams[0].write_all(b"q").unwrap();
    assert_eq!(streams[0].read(&mut [0; 1]).unwrap(), 0);
    let stats = server.stop();
    assert_eq!((stats.get("opened"), stats.get("refused")), (2, 1));
    assert_eq!(streams[1].read(&mut [0; 1]).unwrap(), 0, "stopped");
}
