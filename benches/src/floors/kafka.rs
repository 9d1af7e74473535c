//! The floors of Kafka: one prepared request again and again on one connection, to one broker that
//! leads all partitions.
//!
//! Reading discards whole replies in the kernel (`MSG_TRUNC`), woken up for 256 KiB at a time;
//! writing sends a sealed region without a copy, or from memory. Neither looks at a batch.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use serde_json::{Value, json};

use super::kafka_wire::{Prepared, fetch, produce};
use super::net::connect;
use super::{Floor, FloorArgs};
use crate::sys;

/// A wake-up is worth so many bytes.
const LOW_WATER: usize = 256 * 1024;
/// A broker that says nothing for so long is stuck.
const SILENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// Runs a floor of Kafka; `requests` of its line are records, `bytes` their payload.
pub(super) fn run(args: &FloorArgs) -> io::Result<Value> {
    let mut socket = connect(args.addr)?;
    let writes = args.floor != Floor::KafkaConsume;
    let prepared = if writes {
        produce(&mut socket, args)?
    } else {
        fetch(&mut socket, args)?
    };
    // The one of the set-up was written too.
    let mut replies = u64::from(writes);
    let until = Instant::now() + Duration::from_secs_f64(args.duration);
    let before = sys::own_usage();
    replies += match args.floor {
        Floor::KafkaProduce => {
            let region = region(&prepared.request)?;
            resend(&mut socket, &prepared, args.depth, until, |socket| {
                send_region(socket, &region, prepared.request.len())
            })?
        }
        Floor::KafkaProduceCopy => resend(&mut socket, &prepared, args.depth, until, |socket| {
            socket.write_all(&prepared.request)
        })?,
        _ => consume(&mut socket, &prepared, args.depth, until)?,
    };
    let after = sys::own_usage();
    let records = replies * prepared.records;
    Ok(json!({
        "requests": records,
        "bytes": records * u64::from(args.record_size),
        "replies": replies,
        "user_s": after.user_s - before.user_s,
        "sys_s": after.system_s - before.system_s,
    }))
}

/// Replies read before the end; those in flight then are left.
fn consume(
    socket: &mut TcpStream,
    prepared: &Prepared,
    depth: usize,
    until: Instant,
) -> io::Result<u64> {
    for _ in 0..depth {
        socket.write_all(&prepared.request)?;
    }
    let fd = socket.as_raw_fd();
    // Discarding touches no page of it.
    let mut scratch = vec![0; prepared.reply_bytes];
    let mut replies = 0;
    let mut low_water = 1;
    while Instant::now() < until {
        length(fd, &mut scratch, prepared)?;
        let mut left = prepared.reply_bytes - 4;
        while left > 0 {
            let wanted = left.min(LOW_WATER);
            if wanted != low_water {
                sys::set_low_water(fd, wanted)?;
                low_water = wanted;
            }
            readable(socket)?;
            left -= some(sys::discard(fd, &mut scratch[..left])?)?;
        }
        replies += 1;
        socket.write_all(&prepared.request)?;
    }
    Ok(replies)
}

/// Acknowledged requests; all are waited for, as the log has them.
fn resend(
    socket: &mut TcpStream,
    prepared: &Prepared,
    depth: usize,
    until: Instant,
    send: impl Fn(&mut TcpStream) -> io::Result<()>,
) -> io::Result<u64> {
    let fd = socket.as_raw_fd();
    let mut buffer = vec![0; prepared.reply_bytes];
    let (mut replies, mut in_flight) = (0, 0);
    loop {
        while in_flight < depth && Instant::now() < until {
            send(socket)?;
            in_flight += 1;
        }
        if in_flight == 0 {
            return Ok(replies);
        }
        let mut got = 0;
        while got < prepared.reply_bytes {
            got += some(sys::receive(fd, &mut buffer[got..])?)?;
        }
        check_length(&buffer, prepared)?;
        in_flight -= 1;
        replies += 1;
    }
}

/// Reads a reply's length: another than the first one's is a floor that measures something else.
fn length(fd: i32, buffer: &mut [u8], prepared: &Prepared) -> io::Result<()> {
    let mut got = 0;
    while got < 4 {
        got += some(sys::receive(fd, &mut buffer[got..4])?)?;
    }
    check_length(buffer, prepared)
}

fn check_length(reply: &[u8], prepared: &Prepared) -> io::Result<()> {
    let length = reply.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
    if length as usize + 4 == prepared.reply_bytes {
        return Ok(());
    }
    let first = prepared.reply_bytes - 4;
    Err(io::Error::other(format!(
        "a reply of {length} bytes, where the first had {first}"
    )))
}

/// Waits for as many bytes as the low-water mark says.
fn readable(socket: &TcpStream) -> io::Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut polled, Some(&SILENCE))? {
        0 => Err(io::Error::other("nothing came for 5 s")),
        _ => Ok(()),
    }
}

fn some(bytes: usize) -> io::Result<usize> {
    if bytes == 0 {
        return Err(io::Error::other("closed by the target"));
    }
    Ok(bytes)
}

/// The request in a file of its own in memory.
fn region(request: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create("floor", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(request)?;
    Ok(file.into())
}

fn send_region(socket: &TcpStream, region: &OwnedFd, bytes: usize) -> io::Result<()> {
    let mut at = 0;
    loop {
        let left = bytes.saturating_sub(at as usize);
        if left == 0 {
            return Ok(());
        }
        some(sendfile(socket, region, Some(&mut at), left)?)?;
    }
}
