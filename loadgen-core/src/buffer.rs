//! What leaves a connection: copied bytes, and prepared regions that are sent without a copy.
//!
//! An [`Outbox`] is filled by a session and emptied by a driver. This module must never touch a
//! socket; the only system calls are those that seal a region once, before a run starts.

use std::io::Write as _;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags};

/// Immutable bytes prepared before the run and sent again and again.
///
/// A large region lives in a sealed memfd besides, so that a driver can `sendfile` it: a page that
/// was handed to the kernel never changes again (`fcntl(2)`, `F_SEAL_WRITE`).
#[derive(Clone, Debug)]
pub struct Region {
    bytes: Bytes,
    file: Option<Arc<OwnedFd>>,
    /// Where in the file it begins.
    offset: u64,
}

/// Regions from this size on are given a file: below it, a copy is cheaper than a second call.
pub const SEND_FILE_BYTES: usize = 64 * 1024;

/// Regions from this size on are worth a reference where sends are gathered.
pub const REFER_BYTES: usize = 4 * 1024;

impl Region {
    /// Prepares `bytes`; from [`SEND_FILE_BYTES`] on a sealed memfd is made as well. Where the
    /// kernel refuses the memfd, the region is sent by copying.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let file = (bytes.len() >= SEND_FILE_BYTES)
            .then(|| seal(&bytes))
            .flatten();
        Self {
            bytes,
            file,
            offset: 0,
        }
    }

    /// A part of it, without a copy of content or file: of one region, values of every size can be
    /// sent. Below [`SEND_FILE_BYTES`] a part has no file. Cut to what there is.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.bytes.len());
        let start = range.start.min(end);
        let large = end - start >= SEND_FILE_BYTES;
        Self {
            bytes: self.bytes.slice(start..end),
            file: self.file.clone().filter(|_| large),
            offset: self.offset + start as u64,
        }
    }

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The sealed file that holds the same content, if there is one, and where in it the content
    /// begins.
    #[must_use]
    pub fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        self.file.as_ref().map(|fd| (fd.as_fd(), self.offset))
    }
}

fn seal(bytes: &[u8]) -> Option<Arc<OwnedFd>> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("loadgen-region", flags).ok()?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).ok()?;
    let fd = OwnedFd::from(file);
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals).ok()?;
    Some(Arc::new(fd))
}

/// A region that goes out after the first `after` copied bytes of an [`Outbox`].
#[derive(Clone, Debug)]
pub struct Insert {
    /// How many copied bytes come before it.
    pub after: usize,
    /// What is sent there, whole.
    pub region: Region,
}

/// The bytes of one or more requests to one connection, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    copied: Vec<u8>,
    inserts: Vec<Insert>,
}

impl Outbox {
    /// Appends bytes by copying them.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    /// Appends a region: small ones are copied, those with a file are referenced.
    pub fn put_region(&mut self, region: &Region) {
        self.put_as(region, region.file.is_some());
    }

    /// As [`Outbox::put_region`], but regions of [`REFER_BYTES`] and more are referenced without a
    /// file too: for senders that gather.
    pub fn refer(&mut self, region: &Region) {
        self.put_as(region, region.bytes.len() >= REFER_BYTES);
    }

    fn put_as(&mut self, region: &Region, referenced: bool) {
        if referenced {
            self.inserts.push(Insert {
                after: self.copied.len(),
                region: region.clone(),
            });
        } else {
            self.copied.extend_from_slice(&region.bytes);
        }
    }

    /// The copied bytes, writable: what a session patches after it knows a length or a checksum.
    pub fn copied_mut(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    /// The copied bytes.
    #[must_use]
    #[inline]
    pub fn copied(&self) -> &[u8] {
        &self.copied
    }

    /// The regions between them, in order.
    #[must_use]
    pub fn inserts(&self) -> &[Insert] {
        &self.inserts
    }

    /// Bytes that would go out now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.copied.len()
            + self
                .inserts
                .iter()
                .map(|i| i.region.bytes.len())
                .sum::<usize>()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.inserts.is_empty()
    }

    /// Forgets the content, keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.copied.clear();
        self.inserts.clear();
    }

    /// Moves the content of `other` behind what is here.
    pub fn append(&mut self, other: &mut Self) {
        let shift = self.copied.len();
        self.copied.append(&mut other.copied);
        self.inserts.extend(other.inserts.drain(..).map(|i| Insert {
            after: i.after + shift,
            region: i.region,
        }));
    }

    /// The whole content as one vector; for tests and for drivers without regions.
    #[must_use]
    pub fn flatten(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        let mut from = 0;
        for insert in &self.inserts {
            all.extend_from_slice(&self.copied[from..insert.after]);
            all.extend_from_slice(&insert.region.bytes);
            from = insert.after;
        }
        all.extend_from_slice(&self.copied[from..]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_keep_their_place() {
        let large = Region::new(Bytes::from(vec![7; SEND_FILE_BYTES]));
        let small = Region::new(Bytes::from_static(b"small"));
        assert!(large.file().is_some());
        assert!(small.file().is_none());
        let mut out = Outbox::default();
        out.put(b"a");
        out.put_region(&large);
        out.put(b"b");
        out.put_region(&small);
        assert_eq!(out.len(), 2 + SEND_FILE_BYTES + 5);
        let flat = out.flatten();
        assert_eq!(flat[0], b'a');
        assert_eq!(flat[1], 7);
        assert_eq!(&flat[SEND_FILE_BYTES + 1..], b"bsmall");
        out.clear();
        assert!(out.is_empty());
    }

    #[test]
    fn a_part_of_a_region_shares_its_file() {
        let content: Vec<u8> = (0..2 * SEND_FILE_BYTES).map(|i| (i % 251) as u8).collect();
        let whole = Region::new(Bytes::from(content.clone()));
        let part = whole.slice(10..2 * SEND_FILE_BYTES);
        let part = part.slice(5..5 + SEND_FILE_BYTES);
        assert_eq!(part.bytes()[..], content[15..15 + SEND_FILE_BYTES]);
        let (file, offset) = part.file().unwrap();
        let mut read = vec![0; SEND_FILE_BYTES];
        let count = rustix::io::pread(file, &mut read, offset).unwrap();
        assert_eq!((count, read), (SEND_FILE_BYTES, part.bytes().to_vec()));
        assert!(whole.slice(0..SEND_FILE_BYTES - 1).file().is_none());
        let beyond = whole.slice(2 * SEND_FILE_BYTES - 3..usize::MAX);
        assert_eq!(beyond.bytes().len(), 3);
        assert!(whole.slice(usize::MAX..usize::MAX).bytes().is_empty());
    }
}
