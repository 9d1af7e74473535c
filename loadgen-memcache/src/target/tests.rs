//! The target on real sockets, frame by frame.
//!
//! The frames are written and read here by hand, so that a mistake of the target's own codec is
//! seen. Conformance is memccapable's to judge (loadgen/tests/real_memcached.rs).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{ITEM_OVERHEAD_BYTES, Target, TargetHandle, TargetOptions};

/// A client that writes what it is told.
struct Client(TcpStream);

/// A reply: opcode, status, extras and key and value in one.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    opcode: u8,
    status: u16,
    cas: u64,
    body: Vec<u8>,
}

fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = (extras.len() + key.len() + value.len()) as u32;
    let mut bytes = vec![0x80, opcode];
    bytes.extend((key.len() as u16).to_be_bytes());
    bytes.extend([extras.len() as u8, 0, 0, 0]);
    bytes.extend(body.to_be_bytes());
    bytes.extend([0xde, 0xad, 0xbe, 0xef]);
    bytes.extend([0; 8]);
    [&bytes, extras, key, value].concat()
}

impl Client {
    fn new(target: &TargetHandle) -> Self {
        let stream = TcpStream::connect(target.socket_addr().unwrap()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn read(&mut self) -> Got {
        let mut head = [0; 24];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 0x81);
        assert_eq!(
            head[12..16],
            [0xde, 0xad, 0xbe, 0xef],
            "the opaque comes back"
        );
        let bytes = u32::from_be_bytes(head[8..12].try_into().unwrap());
        let mut body = vec![0; bytes as usize];
        self.0.read_exact(&mut body).unwrap();
        Got {
            opcode: head[1],
            status: u16::from_be_bytes([head[6], head[7]]),
            cas: u64::from_be_bytes(head[16..].try_into().unwrap()),
            body,
        }
    }

    fn ask(&mut self, opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Got {
        self.send(&frame(opcode, extras, key, value));
        self.read()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> u16 {
        self.ask(1, &[0; 8], key, value).status
    }

    fn get(&mut self, key: &[u8]) -> Got {
        self.ask(0, &[], key, &[])
    }

    /// The target has closed, with whatever was unread.
    fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0; 1]), Ok(n) if n > 0)
    }
}

fn start(options: TargetOptions) -> TargetHandle {
    Target::start(options).unwrap()
}

#[test]
fn a_batch_in_one_write_is_answered_in_order() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    let batch = [
        frame(0x11, &[0, 0, 0, 7, 0, 0, 0, 0], b"a", b"one"),
        frame(0x09, &[], b"missing", b""),
        frame(0x0d, &[], b"a", b""),
        frame(0x0a, &[], b"", b""),
    ]
    .concat();
    client.send(&batch);
    let hit = client.read();
    assert_eq!((hit.opcode, hit.status), (0x0d, 0));
    assert_eq!(hit.body, b"\0\0\0\x07aone");
    assert_eq!(client.read().opcode, 0x0a);
    drop(client);
    let stats = target.stop();
    let wanted = [
        ("cmd_get", 2),
        ("get_hits", 1),
        ("get_misses", 1),
        ("cmd_set", 1),
        ("curr_items", 1),
        ("bytes", 4 + ITEM_OVERHEAD_BYTES),
        ("bytes_read", batch.len() as u64),
        ("total_connections", 1),
    ];
    for (name, value) in wanted {
        assert_eq!(stats.get(name), value, "{name}");
    }
}

#[test]
fn requests_may_be_cut_anywhere() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    client.0.set_nodelay(true).unwrap();
    let bytes = [
        frame(1, &[0; 8], b"key", b"value"),
        frame(0, &[], b"key", b""),
    ]
    .concat();
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.read().status, 0);
    assert_eq!(client.read().body, b"\0\0\0\0value");
}

#[test]
fn many_large_replies_wait_for_their_reader() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    let value = vec![b'x'; 1_000_000];
    assert_eq!(client.set(b"big", &value), 0);
    for _ in 0..30 {
        client.send(&frame(0, &[], b"big", b""));
    }
    for _ in 0..30 {
        assert_eq!(client.read().body.len(), 1_000_004);
    }
}

#[test]
fn too_large_is_said_and_skipped() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    assert_eq!(client.set(b"k", b"old"), 0);
    assert_eq!(client.set(b"k", &vec![b'x'; 1 << 20]), 3);
    // What was there would be stale; the connection goes on.
    assert_eq!(client.get(b"k").status, 1);
    let limit = (1 << 20) - 1 - ITEM_OVERHEAD_BYTES as usize;
    assert_eq!(client.set(b"k", &vec![b'x'; limit]), 0);
    assert_eq!(client.set(b"k", &vec![b'x'; limit + 1]), 3);
    assert_eq!(target.stats().get("store_too_large"), 2);
    // An ADD would not have replaced it: it stays.
    assert_eq!(client.set(b"k", b"new"), 0);
    assert_eq!(
        client.ask(2, &[0; 8], b"k", &vec![b'x'; limit + 1]).status,
        3
    );
    assert_eq!(client.get(b"k").body[4..], *b"new");
}

#[test]
fn full_memory_evicts_or_refuses() {
    let small = TargetOptions {
        memory_bytes: 100_000,
        ..TargetOptions::default()
    };
    let fill = |client: &mut Client| -> Vec<u16> {
        let keys = (0..20_u8).map(|n| vec![b'a' + n]);
        keys.map(|key| client.set(&key, &[b'v'; 10_000])).collect()
    };
    let evicting = start(small.clone());
    assert_eq!(fill(&mut Client::new(&evicting)), [0; 20]);
    let stats = evicting.stop();
    assert_eq!((stats.get("evictions"), stats.get("curr_items")), (11, 9));
    let refusing = start(TargetOptions {
        evict: false,
        ..small
    });
    let statuses = fill(&mut Client::new(&refusing));
    assert_eq!(statuses[..9], [0; 9]);
    assert_eq!(statuses[9..], [0x82; 11]);
    let stats = refusing.stop();
    assert_eq!(
        (stats.get("evictions"), stats.get("store_no_memory")),
        (0, 11)
    );
    assert_eq!(
        stats.get("cmd_set"),
        9,
        "memcached does not count the others"
    );
}

#[test]
fn numbers_count_up_and_down() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    let extras = |delta: u64, initial: u64, expiry: u32| {
        [
            &delta.to_be_bytes()[..],
            &initial.to_be_bytes(),
            &expiry.to_be_bytes(),
        ]
        .concat()
    };
    assert_eq!(client.ask(5, &extras(1, 5, u32::MAX), b"n", b"").status, 1);
    assert_eq!(
        client.ask(5, &extras(1, 5, 0), b"n", b"").body,
        5_u64.to_be_bytes()
    );
    assert_eq!(
        client.ask(5, &extras(2, 5, 0), b"n", b"").body,
        7_u64.to_be_bytes()
    );
    assert_eq!(
        client.ask(6, &extras(9, 5, 0), b"n", b"").body,
        0_u64.to_be_bytes()
    );
    assert_eq!(client.set(b"n", b"x"), 0);
    assert_eq!(client.ask(5, &extras(1, 0, 0), b"n", b"").status, 6);
    let stats = target.stop();
    let counted = ["incr_hits", "incr_misses", "decr_hits"].map(|name| stats.get(name));
    assert_eq!(counted, [1, 1, 1]);
}

#[test]
fn wrong_lengths_are_refused_before_anything_is_kept() {
    let target = start(TargetOptions::default());
    let key = [b'k'; 251];
    let mut lying = frame(0, &[], b"key", b"");
    lying[8..12].copy_from_slice(&1_u32.to_be_bytes());
    for (bytes, status) in [
        (frame(0, &[], &key, b""), 4),
        (frame(0, &[], b"", b""), 4),
        (frame(0, &[], b"k", b"value"), 4),
        (frame(1, &[0; 4], b"k", b"v"), 4),
        (frame(5, &[0; 21], b"k", b""), 4),
        (lying, 0x81),
    ] {
        let mut client = Client::new(&target);
        client.send(&bytes);
        let got = client.read();
        assert_eq!(got.status, status, "{bytes:?}");
        assert!(client.is_closed());
    }
    let mut client = Client::new(&target);
    client.send(&[b'g'; 24]);
    assert!(client.is_closed(), "no request begins so");
    let mut client = Client::new(&target);
    assert_eq!(client.ask(0x50, b"ex", b"key", b"value").status, 0x81);
    assert_eq!(
        client.ask(0x0a, b"", b"", b"").status,
        0,
        "the body was skipped"
    );
}

#[test]
fn a_name_and_a_password_may_be_needed() {
    let target = start(TargetOptions {
        user: Some(("me".into(), "secret".into())),
        ..TargetOptions::default()
    });
    let mut client = Client::new(&target);
    assert_eq!(client.ask(0x20, b"", b"", b"").body, b"PLAIN");
    assert_eq!(client.ask(0x21, b"", b"PLAIN", b"\0me\0wrong").status, 0x20);
    assert_eq!(client.get(b"k").status, 0x20);
    assert!(client.is_closed());
    let mut client = Client::new(&target);
    assert_eq!(client.ask(0x21, b"", b"PLAIN", b"\0me\0secret").status, 0);
    assert_eq!(client.get(b"k").status, 1);
    let stats = target.stop();
    assert_eq!((stats.get("auth_cmds"), stats.get("auth_errors")), (2, 1));
}

#[test]
fn one_connection_too_many_is_told_in_text() {
    let target = start(TargetOptions {
        connections_max: 2,
        ..TargetOptions::default()
    });
    let mut first = Client::new(&target);
    let mut second = Client::new(&target);
    assert_eq!((first.get(b"k").status, second.get(b"k").status), (1, 1));
    let mut third = Client::new(&target);
    let mut text = String::new();
    third.0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ERROR Too many open connections\r\n");
    let stats = target.stats();
    assert_eq!(
        (
            stats.get("curr_connections"),
            stats.get("rejected_connections")
        ),
        (2, 1)
    );
}

#[test]
fn workers_share_the_items_and_a_socket_file_is_taken_away() {
    use loadgen_core::workload::Endpoint;
    let target = start(TargetOptions {
        workers: 3,
        ..TargetOptions::default()
    });
    let mut clients: Vec<Client> = (0..6).map(|_| Client::new(&target)).collect();
    assert_eq!(clients[0].set(b"k", b"v"), 0);
    for client in &mut clients {
        assert_eq!(client.get(b"k").body, b"\0\0\0\0v");
    }
    assert_eq!(target.stop().get("get_hits"), 6);
    let path = std::env::temp_dir().join(format!("loadgen-target-{}", std::process::id()));
    let target = start(TargetOptions {
        listen: Endpoint::Unix(path.clone()),
        ..TargetOptions::default()
    });
    assert!(path.exists());
    drop(target);
    assert!(!path.exists());
}

#[test]
fn stats_are_frames_that_end_with_an_empty_one() {
    let target = start(TargetOptions::default());
    let mut client = Client::new(&target);
    client.send(&frame(0x10, &[], b"settings", b""));
    let mut rows = Vec::new();
    loop {
        let got = client.read();
        if got.body.is_empty() {
            break;
        }
        rows.push(String::from_utf8(got.body).unwrap());
    }
    assert!(rows.contains(&"maxbytes67108864".to_owned()), "{rows:?}");
    assert_eq!(client.ask(0x10, &[], b"nonsense", b"").status, 1);
}
