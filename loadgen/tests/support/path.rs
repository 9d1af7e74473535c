//! A path with a length: a TCP relay that holds what clients send for a while.
//!
//! Only that direction, so that a request and its reply take exactly that much longer. What is held
//! keeps its distances: nothing waits for anything but its own time.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes taken at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A path that is there until it is dropped; connections on it last as long as their ends.
#[derive(Debug)]
#[must_use]
pub(crate) struct LongPath {
    port: u16,
    over: Arc<AtomicBool>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl LongPath {
    /// From `port` to `to`, both of this machine.
    #[track_caller]
    pub(crate) fn lay(port: u16, to: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the path's port");
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let accepting = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if seen.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) {
                    relay(&client, &server, delay);
                }
            }
        });
        Self {
            port,
            over,
            accepting: Some(accepting),
        }
    }

    /// `HOST:PORT` where it begins.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for LongPath {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // So that it looks.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn relay(client: &TcpStream, server: &TcpStream, delay: Duration) {
    let twice = |stream: &TcpStream| {
        stream.set_nodelay(true).expect("no delay of the kernel's");
        let copy = || stream.try_clone().expect("the same socket");
        (copy(), copy())
    };
    let (mut client_in, mut client_out) = twice(client);
    let (mut server_in, mut server_out) = twice(server);
    let (held, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        pieces(&mut client_in, |piece| {
            held.send((Instant::now() + delay, piece)).is_ok()
        });
    });
    thread::spawn(move || {
        for (at, piece) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if server_out.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = server_out.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        pieces(&mut server_in, |piece| client_out.write_all(&piece).is_ok());
        let _ = client_out.shutdown(Shutdown::Both);
    });
}

/// Gives everything that comes to `each`, for as long as that wants more.
fn pieces(from: &mut TcpStream, mut each: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !each(buffer[..count].to_vec()) {
            return;
        }
    }
}
