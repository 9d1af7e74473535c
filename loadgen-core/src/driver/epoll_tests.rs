//! The epoll driver against std sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

use bytes::Bytes;

use super::*;
use crate::buffer::Region;

fn driver() -> Epoll {
    Epoll::new(Clock::start(), SocketOptions::default(), 0, 1).unwrap()
}

fn wait_for(driver: &mut Epoll) -> (Slot, Event) {
    for _ in 0..200 {
        if let Some(event) = driver.next() {
            return event;
        }
        driver.wait(driver.now().after(50_000_000), false);
    }
    panic!("nothing happened in ten seconds");
}

fn pair(driver: &mut Epoll) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    driver.connect(0, &endpoint, 0).unwrap();
    let (peer, _) = listener.accept().unwrap();
    assert_eq!(wait_for(driver), (0, Event::Connected));
    peer
}

fn read_all(driver: &mut Epoll, buffer: &mut [u8]) -> Vec<Received> {
    let mut seen = Vec::new();
    loop {
        let (_, event) = wait_for(driver);
        assert_eq!(event, Event::Readable);
        let got = driver.receive(0, buffer);
        if got != Received::Nothing {
            seen.push(got);
        }
        if matches!(got, Received::End | Received::Failed(_)) {
            return seen;
        }
    }
}

#[test]
fn bytes_come_and_go_and_end() {
    let mut driver = driver();
    let mut peer = pair(&mut driver);
    let mut out = Outbox::default();
    out.put(b"ping");
    assert_eq!(driver.send(0, &mut out), Sent::All);
    assert!(out.is_empty());
    let mut got = [0; 4];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ping");
    peer.write_all(b"pong").unwrap();
    drop(peer);
    let mut buffer = [0; 64];
    assert_eq!(
        read_all(&mut driver, &mut buffer),
        [Received::Bytes(4), Received::End]
    );
    assert_eq!(&buffer[..4], b"pong");
}

#[test]
fn discarded_bytes_are_counted_and_the_rest_is_seen() {
    let mut driver = driver();
    let mut peer = pair(&mut driver);
    let body = vec![b'x'; 3_000_000];
    let writer = std::thread::spawn(move || {
        peer.write_all(&body).unwrap();
        peer.write_all(b"tail").unwrap();
    });
    driver.discard(0, 3_000_000);
    let mut buffer = [0; 64];
    let mut skipped = 0;
    let mut tail = Vec::new();
    let mut receives = 0;
    while tail.len() < 4 {
        let (_, event) = wait_for(&mut driver);
        assert_eq!(event, Event::Readable);
        receives += 1;
        match driver.receive(0, &mut buffer) {
            Received::Skipped(n) => {
                skipped += n;
                if skipped == 3_000_000 {
                    driver.look_again(0);
                }
            }
            Received::Bytes(n) => tail.extend_from_slice(&buffer[..n]),
            Received::Nothing => {}
            other => panic!("{other:?}"),
        }
    }
    writer.join().unwrap();
    assert_eq!((skipped, tail.as_slice()), (3_000_000, b"tail".as_slice()));
    assert_eq!(driver.stats().discarded_in_kernel, Some(true));
    assert!(receives < 200, "{receives} receives for 3 MB");
}

#[test]
fn a_unix_socket_copies_and_the_sentinel_says_so() {
    let dir = std::env::temp_dir().join(format!("loadgen-epoll-{}", std::process::id()));
    let _ = std::fs::remove_file(&dir);
    let listener = UnixListener::bind(&dir).unwrap();
    let mut driver = driver();
    driver.connect(0, &Endpoint::Unix(dir.clone()), 0).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(wait_for(&mut driver), (0, Event::Connected));
    peer.write_all(&[1; 1000]).unwrap();
    driver.discard(0, 1000);
    assert_eq!(wait_for(&mut driver), (0, Event::Readable));
    assert_eq!(driver.receive(0, &mut [0; 64]), Received::Skipped(1000));
    assert_eq!(driver.stats().discarded_in_kernel, Some(false));
    std::fs::remove_file(&dir).unwrap();
}

#[test]
fn a_full_socket_keeps_the_rest_and_tells_when_it_is_out() {
    let mut driver = driver();
    let mut peer = pair(&mut driver);
    let region = Region::new(Bytes::from(vec![b'r'; 20_000_000]));
    let mut out = Outbox::default();
    out.put(b"head");
    out.put_region(&region);
    out.put(b"foot");
    let expected = out.len();
    assert_eq!(driver.send(0, &mut out), Sent::Kept);
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; expected];
        peer.read_exact(&mut all).unwrap();
        (all, peer)
    });
    loop {
        match wait_for(&mut driver).1 {
            Event::Flushed => break,
            Event::Readable => assert_eq!(driver.receive(0, &mut [0; 8]), Received::Nothing),
            other => panic!("{other:?}"),
        }
    }
    let (all, _peer) = reader.join().unwrap();
    assert!(all.starts_with(b"headrrr") && all.ends_with(b"rrrfoot"));
}

#[test]
fn a_refused_connect_is_an_event_and_leaves_the_slot_free() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut driver = driver();
    let refused = match driver.connect(0, &Endpoint::Tcp(free), 0) {
        Ok(()) => wait_for(&mut driver).1,
        Err(cause) => Event::ConnectFailed(cause),
    };
    assert_eq!(refused, Event::ConnectFailed(Cause::Refused));
    pair(&mut driver);
}

#[test]
fn a_reset_is_told() {
    let mut driver = driver();
    let peer = pair(&mut driver);
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let mut buffer = [0; 64];
    assert_eq!(
        read_all(&mut driver, &mut buffer),
        [Received::Failed(Cause::Reset)]
    );
}

#[test]
fn a_precise_wait_ends_in_time_and_its_turning_is_accounted() {
    let mut driver = driver();
    let mut late_ns = Vec::new();
    for _ in 0..50 {
        let until = driver.now().after(300_000);
        let woke = driver.wait(until, true);
        assert!(woke >= until);
        late_ns.push(woke.since(until));
    }
    late_ns.sort_unstable();
    // Generous: other programs share this machine.
    assert!(late_ns[25] < 1_000_000, "{late_ns:?}");
    assert!(driver.stats().spin_ns > 0);
}

#[test]
fn the_timer_fallback_wakes_too() {
    let mut driver = driver();
    driver.sleeper.without_pwait2();
    for _ in 0..3 {
        let until = driver.now().after(2_000_000);
        let woke = driver.wait(until, true);
        assert!(woke >= until && woke.since(until) < 1_000_000_000);
        assert_eq!(driver.next(), None);
    }
    assert_eq!(driver.waiting(), "timerfd");
}

/// Coarse waits share one timer: an earlier end is not missed because a later one was armed, and a
/// later one is reached although an earlier one was.
#[test]
fn coarse_waits_end_in_time_in_any_order() {
    let mut driver = driver();
    for ms in [30, 3, 10, 1, 20] {
        let until = driver.now().after(ms * 1_000_000);
        let mut woke = driver.wait(until, false);
        let mut turns = 1;
        while woke < until {
            woke = driver.wait(until, false);
            turns += 1;
        }
        assert!(woke.since(until) < 1_000_000_000);
        assert!(turns <= 3, "{turns} wake-ups in {ms} ms");
        assert_eq!(driver.next(), None);
    }
}
