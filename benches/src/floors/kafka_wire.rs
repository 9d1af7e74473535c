//! Kafka's requests of the floors, encoded by hand, and what must be known of their replies.
//!
//! The oldest versions that brokers of 2.1 to 4.x still take (Fetch 4, Produce 3: `FetchRequest.json`,
//! `ProduceRequest.json`, `DefaultRecordBatch.java`). Set-up only: nothing of this runs while a floor
//! is measured.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use super::FloorArgs;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
/// Of one partition in a fetch (`max.partition.fetch.bytes`, the Java client's default).
const PARTITION_BYTES: i32 = 1 << 20;
/// Of a fetch (`fetch.max.bytes`, the same).
const FETCH_BYTES: i32 = 50 << 20;
/// A reply of the set-up larger than this is not believed.
const REPLY_MAX: usize = 256 << 20;
/// From the start of a batch to its records.
const BATCH_HEADER: usize = 61;
/// Of that, what its length does not count.
const BATCH_PREFIX: usize = 12;
/// Where a batch has its CRC, and where what it covers begins.
const CRC_AT: usize = 17;
const COVERED_AT: usize = 21;
/// Where it says how many records it has.
const COUNT_AT: usize = 57;

/// A request, and what every reply to it is.
pub(super) struct Prepared {
    /// The frame.
    pub(super) request: Vec<u8>,
    /// Bytes of the reply's frame, its length too.
    pub(super) reply_bytes: usize,
    /// Records that it has, or that it acknowledges.
    pub(super) records: u64,
}

/// Reads from the beginning of every partition, once.
pub(super) fn fetch(socket: &mut TcpStream, args: &FloorArgs) -> io::Result<Prepared> {
    let mut body = header(FETCH, 4);
    // No replica; 500 ms at most for one byte; read_uncommitted.
    body.extend((-1_i32).to_be_bytes());
    for number in [500, 1, FETCH_BYTES] {
        body.extend(number.to_be_bytes());
    }
    body.push(0);
    topic(&mut body, args);
    for partition in 0..args.partitions {
        body.extend(partition.to_be_bytes());
        body.extend(0_i64.to_be_bytes());
        body.extend(PARTITION_BYTES.to_be_bytes());
    }
    let request = frame(&body);
    let reply = exchange(socket, &request)?;
    let (partitions, records) = fetched(&reply).ok_or_else(|| wrong("cut or with an error"))?;
    if partitions != args.partitions || records == 0 {
        let text = format!("has {records} records of {partitions} partitions");
        return Err(wrong(&text));
    }
    Ok(Prepared {
        request,
        reply_bytes: 4 + reply.len(),
        records,
    })
}

/// Writes a batch to every partition, once.
pub(super) fn produce(socket: &mut TcpStream, args: &FloorArgs) -> io::Result<Prepared> {
    let batch = batch(args);
    let mut body = header(PRODUCE, 3);
    // No transaction; acks=1; 30 s.
    body.extend((-1_i16).to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    body.extend(30_000_i32.to_be_bytes());
    topic(&mut body, args);
    for partition in 0..args.partitions {
        body.extend(partition.to_be_bytes());
        body.extend((batch.len() as i32).to_be_bytes());
        body.extend(&batch);
    }
    let request = frame(&body);
    let reply = exchange(socket, &request)?;
    let partitions = produced(&reply).ok_or_else(|| wrong("cut or with an error"))?;
    if partitions != args.partitions {
        return Err(wrong(&format!("acknowledges {partitions} partitions")));
    }
    Ok(Prepared {
        request,
        reply_bytes: 4 + reply.len(),
        records: u64::from(args.records()) * args.partitions as u64,
    })
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!(
        "the broker's reply is not what was asked for: {what}"
    ))
}

/// Request header 1; the client is `floor`.
fn header(api: i16, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(api.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(7_i32.to_be_bytes());
    string(&mut out, "floor");
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// An array of one topic, up to its array of partitions.
fn topic(out: &mut Vec<u8>, args: &FloorArgs) {
    out.extend(1_i32.to_be_bytes());
    string(out, &args.topic);
    out.extend(args.partitions.to_be_bytes());
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

fn exchange(socket: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.write_all(request)?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > REPLY_MAX {
        return Err(wrong(&format!("of {length} bytes")));
    }
    let mut reply = vec![0; length];
    socket.read_exact(&mut reply)?;
    Ok(reply)
}

/// Bytes of a record without key and headers: its length, five fields of a byte, the value's length.
fn record(value_bytes: u32, number: u32, out: &mut Vec<u8>) {
    let mut body = vec![0, 0];
    varint(number, &mut body);
    // The key is null.
    body.push(1);
    varint(value_bytes, &mut body);
    body.resize(body.len() + value_bytes as usize, b'v');
    body.push(0);
    varint(body.len() as u32, out);
    out.extend(body);
}

/// A number that is not negative, zig-zag.
fn varint(number: u32, out: &mut Vec<u8>) {
    let mut left = u64::from(number) << 1;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

impl FloorArgs {
    /// Records of a batch: as many as fit, one at least.
    fn records(&self) -> u32 {
        let mut records = Vec::new();
        let mut count = 0;
        loop {
            record(self.record_size, count, &mut records);
            if count > 0 && BATCH_HEADER + records.len() > self.batch_bytes as usize {
                return count;
            }
            count += 1;
        }
    }
}

/// A batch of now, without compression.
fn batch(args: &FloorArgs) -> Vec<u8> {
    let count = args.records();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| now.as_millis() as i64);
    let mut batch = vec![0; BATCH_HEADER];
    for number in 0..count {
        record(args.record_size, number, &mut batch);
    }
    let length = (batch.len() - BATCH_PREFIX) as u32;
    let mut set = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
    set(8, &length.to_be_bytes());
    // Nobody's epoch; format 2; no attributes.
    set(12, &(-1_i32).to_be_bytes());
    set(16, &[2]);
    set(23, &(count - 1).to_be_bytes());
    set(27, &now_ms.to_be_bytes());
    set(35, &now_ms.to_be_bytes());
    // No producer id, epoch, sequence.
    set(43, &[0xff; 14]);
    set(COUNT_AT, &count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[COVERED_AT..]);
    batch[CRC_AT..COVERED_AT].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// What is left of a reply.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.i16()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Of the only topic: how many partitions it has.
    fn topic(&mut self) -> Option<i32> {
        if self.i32()? != 1 {
            return None;
        }
        self.string()?;
        self.i32()
    }
}

/// Partitions and whole records of a Fetch reply 4; `None`: cut, or an error.
fn fetched(reply: &[u8]) -> Option<(i32, u64)> {
    let mut rest = Rest(reply);
    // Correlation, throttle time.
    rest.take(8)?;
    let partitions = rest.topic()?;
    let mut records = 0;
    for _ in 0..partitions {
        rest.i32()?;
        if rest.i16()? != 0 {
            return None;
        }
        // High watermark and last stable offset; no aborted transactions.
        rest.take(16)?;
        if rest.i32()? > 0 {
            return None;
        }
        let bytes = usize::try_from(rest.i32()?).ok()?;
        records += whole_records(rest.take(bytes)?);
    }
    Some((partitions, records))
}

/// Records of the batches that are not cut.
fn whole_records(mut batches: &[u8]) -> u64 {
    let mut records = 0;
    let number = |batch: &[u8], at: usize| {
        let bytes = batch.get(at..at + 4)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    while let (Some(length), Some(count)) = (number(batches, 8), number(batches, COUNT_AT)) {
        let Some(rest) = batches.get(BATCH_PREFIX + length as usize..) else {
            break;
        };
        records += u64::from(count);
        batches = rest;
    }
    records
}

/// Partitions of a Produce reply 3; `None`: cut, or an error.
fn produced(reply: &[u8]) -> Option<i32> {
    let mut rest = Rest(reply);
    rest.i32()?;
    let partitions = rest.topic()?;
    for _ in 0..partitions {
        rest.i32()?;
        if rest.i16()? != 0 {
            return None;
        }
        // Base offset, time of appending.
        rest.take(16)?;
    }
    Some(partitions)
}
