//! A server that misbehaves as a test tells it to: bytes of its choice, resets, silence.
//!
//! It speaks no HTTP; it reads until an empty line and then does what it was told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;

/// A running misbehaviour. Its threads end when it is dropped.
pub(crate) struct Raw {
    /// The port it listens on.
    pub(crate) port: u16,
    accepted: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Raw {
    /// Does `act` on every connection, in a thread of its own. The connection is closed, with
    /// what is unread, when `act` returns.
    pub(crate) fn start(act: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let accepted = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let act = Arc::new(act);
        let (counter, ended) = (Arc::clone(&accepted), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                counter.fetch_add(1, Ordering::Relaxed);
                let act = Arc::clone(&act);
                std::thread::spawn(move || act(stream));
            }
        });
        Self {
            port,
            accepted,
            over,
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Connections it was offered so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Reads one request head. `false`: the client is gone.
pub(crate) fn read_head(stream: &mut TcpStream) -> bool {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut tail = [0_u8; 4];
    let mut byte = [0_u8; 1];
    while tail != *b"\r\n\r\n" {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        tail.rotate_left(1);
        tail[3] = byte[0];
    }
    true
}

/// Answers every request with the same bytes until the client goes.
pub(crate) fn answer_all(stream: &mut TcpStream, reply: &[u8]) {
    while read_head(stream) && stream.write_all(reply).is_ok() {}
}

/// Ends the connection with a reset instead of a close.
pub(crate) fn reset(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Closes our half and waits for the client, so that what was sent arrives whole.
pub(crate) fn close(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut rest = [0_u8; 1024];
    while matches!(stream.read(&mut rest), Ok(n) if n > 0) {}
}
