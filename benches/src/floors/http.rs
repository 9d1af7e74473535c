//! What the HTTP floors ask for, and how large the reply is.
//!
//! Set-up only: nothing of this runs while a floor is measured.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::net::connect;

/// One request and its reply, the same every time.
pub(super) struct Ask {
    /// The request.
    pub(super) request: Vec<u8>,
    /// The reply, head and body.
    pub(super) reply_bytes: usize,
}

impl Ask {
    /// Learns the size of the reply to a GET of `path`.
    pub(super) fn learn(addr: SocketAddr, path: &str) -> io::Result<Self> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
        let reply_bytes = learn(&mut connect(addr)?, &request)?;
        Ok(Self {
            request,
            reply_bytes,
        })
    }
}

/// Asks once and reads one reply. All further ones must be as long.
fn learn(socket: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    socket.write_all(request)?;
    let mut reply = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = socket.read(&mut piece)?;
        reply.extend_from_slice(&piece[..count]);
        if let Some(bytes) = size(&reply)? {
            return Ok(bytes);
        }
        if count == 0 {
            return Err(io::Error::other("closed before its first reply was whole"));
        }
    }
}

/// Head and body of the reply that `bytes` begin with, once its head has come.
fn size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        let first = head.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("not a 200: {first:?}")));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let known = name.eq_ignore_ascii_case("content-length");
        known.then(|| value.trim().parse::<usize>().ok())?
    });
    let body = length.ok_or_else(|| io::Error::other("a reply without Content-Length"))?;
    Ok(Some(end + 4 + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_as_long_as_its_head_says() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxx";
        assert_eq!(size(reply).unwrap(), Some(reply.len() + 8));
        assert_eq!(size(&reply[..20]).unwrap(), None);
        assert!(size(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n").is_err());
        assert!(size(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n").is_err());
    }
}
