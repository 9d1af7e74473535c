//! The two questions that tell whether a broker serves, asked by hand.
//!
//! Kafka's protocol guide: every request and reply begins with its length in four bytes; a request
//! with its API key, version, correlation id and client id (null here).

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

const API_VERSIONS: u16 = 18;
const METADATA: u16 = 3;
/// A reply of either is a few kilobytes.
const REPLY_BYTES_MAX: u32 = 1 << 20;

/// Whether a broker answers ApiVersions (v0) without an error: it opens its port earlier.
pub(super) fn answers_api_versions(port: u16) -> bool {
    let reply = ask(port, API_VERSIONS, 0, &[]);
    reply.is_ok_and(|reply| reply.get(4..6) == Some(&[0, 0]))
}

/// How many brokers this one knows, from Metadata v1 about no topic.
pub(super) fn members(port: u16) -> Result<usize> {
    let reply = ask(port, METADATA, 1, &[0, 0, 0, 0])?;
    let count: [u8; 4] = reply
        .get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(u32::from_be_bytes(count) as usize)
}

/// Sends a request; the reply, from its correlation id on.
fn ask(port: u16, api: u16, version: u16, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(7_u32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let length = (request.len() as u32).to_be_bytes();
    stream.write_all(&[&length, request.as_slice()].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    assert!(length <= REPLY_BYTES_MAX, "a reply of {length} bytes");
    let mut reply = vec![0; length as usize];
    stream.read_exact(&mut reply)?;
    assert_eq!(reply.get(..4), Some(&[0, 0, 0, 7][..]), "another's reply");
    Ok(reply)
}
