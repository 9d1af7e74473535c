//! Sending an [`Outbox`] in as few calls as it takes.
//!
//! What has a file goes from there; everything else is gathered, so that a prepared region is
//! copied once, into the kernel. Where a send stopped is remembered, never looked for.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use crate::buffer::Outbox;

/// Slices of one call; the kernel takes 1024 (`UIO_MAXIOV`).
const GATHER: usize = 64;

/// How far an outbox is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Copied bytes that are gone.
    copied: usize,
    /// Regions that are gone.
    inserts: usize,
    /// Bytes of the next region that are gone.
    within: usize,
}

impl Sent {
    /// Whether nothing of `out` is left.
    pub(super) fn is_all(&self, out: &Outbox) -> bool {
        self.copied == out.copied().len() && self.inserts == out.inserts().len()
    }

    /// One system call; the bytes it sent. There must be something left.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, out: &Outbox) -> io::Result<usize> {
        if let Some(insert) = out.inserts().get(self.inserts)
            && insert.after == self.copied
            && let Some((file, offset)) = insert.region.file()
        {
            let mut at = offset + self.within as u64;
            let left = insert.region.bytes().len() - self.within;
            let sent = rustix::fs::sendfile(socket, file, Some(&mut at), left)?;
            if sent == 0 {
                // A sealed file does not shrink; whatever this is, it must not turn us round.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.advance(out, sent);
            return Ok(sent);
        }
        let mut slices = [IoSlice::new(&[]); GATHER];
        let (count, more) = self.gather(out, &mut slices);
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let none = &mut SendAncillaryBuffer::default();
        let sent = sendmsg(socket, &slices[..count], none, flags)?;
        self.advance(out, sent);
        Ok(sent)
    }

    /// What comes next without a file; whether something follows it at once.
    fn gather<'a>(&self, out: &'a Outbox, slices: &mut [IoSlice<'a>; GATHER]) -> (usize, bool) {
        let (mut copied, mut within, mut count) = (self.copied, self.within, 0);
        let mut inserts = out.inserts()[self.inserts..].iter();
        loop {
            let next = inserts.next();
            let end = next.map_or(out.copied().len(), |insert| insert.after);
            if next.is_none() && end == copied {
                return (count, false);
            }
            if count + 2 > GATHER {
                return (count, true);
            }
            if end > copied {
                slices[count] = IoSlice::new(&out.copied()[copied..end]);
                count += 1;
            }
            copied = end;
            let Some(insert) = next else {
                return (count, false);
            };
            if insert.region.file().is_some() {
                return (count, true);
            }
            slices[count] = IoSlice::new(&insert.region.bytes()[within..]);
            count += 1;
            within = 0;
        }
    }

    fn advance(&mut self, out: &Outbox, mut sent: usize) {
        while sent > 0 {
            let next = out.inserts().get(self.inserts);
            let end = next.map_or(out.copied().len(), |insert| insert.after);
            let step = sent.min(end - self.copied);
            self.copied += step;
            sent -= step;
            let Some(insert) = next.filter(|_| self.copied == end) else {
                return;
            };
            let left = insert.region.bytes().len() - self.within;
            let step = sent.min(left);
            sent -= step;
            if step == left {
                self.inserts += 1;
                self.within = 0;
            } else {
                self.within += step;
            }
        }
    }
}
