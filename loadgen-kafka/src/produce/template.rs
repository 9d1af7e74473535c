//! A batch that is built once and sent again and again.
//!
//! Only what is copied may change: the header, with timestamps and CRC. The rest is a sealed region.
//! Where values carry a stamp, all of it is copied; the CRC still costs two multiplications, for all
//! stamps of a batch are the same. Nothing here may depend on time.

use loadgen_core::buffer::{Outbox, Region};
use loadgen_core::time::Tick;

use crate::wire::batch::{BASE_TIMESTAMP_AT, CRC_AT, CRC_FROM, HEADER_BYTES};
use crate::wire::crc::Shift;

/// Bytes of a stamp: the tick at which it was sent and the mark of the run, both big-endian.
pub const STAMP_BYTES: usize = 16;
const TICK_BYTES: usize = 8;
/// Both timestamps.
const TIMES_BYTES: usize = 16;

/// The tick in a stamp at the front of a value; `None` where it is not one of the run with this mark:
/// ticks of other runs are of another clock.
#[must_use]
pub fn stamp_of(value: &[u8], mark: u64) -> Option<Tick> {
    let (tick, rest) = value.split_first_chunk::<TICK_BYTES>()?;
    let theirs = rest.first_chunk::<8>()?;
    (u64::from_be_bytes(*theirs) == mark).then_some(Tick(u64::from_be_bytes(*tick)))
}

/// What of a batch never changes, before it has its place in a region.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    /// A whole batch, its timestamps and the ticks of its stamps 0.
    pub(super) batch: Vec<u8>,
    /// Where values with a stamp begin, behind the header.
    pub(super) stamps: Vec<u32>,
    pub(super) records: u32,
    pub(super) payload_bytes: u64,
}

/// A prepared batch.
#[derive(Clone, Debug)]
pub struct Template {
    head: [u8; HEADER_BYTES],
    /// The CRC with both timestamps and all ticks 0.
    crc: u32,
    /// From behind the timestamps to the end.
    behind_times: Shift,
    /// From behind the tick of each stamp to the end, added up.
    behind_ticks: Shift,
    body: Region,
    stamps: Vec<u32>,
    /// Records in it.
    pub records: u32,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
}

impl Template {
    /// Of a batch whose bytes behind the header are in `body`.
    pub(super) fn new(composed: Composed, body: Region) -> Self {
        let Composed {
            batch,
            stamps,
            records,
            payload_bytes,
        } = composed;
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&batch[..HEADER_BYTES]);
        let behind = |end: usize| Shift::by((batch.len() - end) as u64);
        let ticks = stamps
            .iter()
            .map(|at| behind(HEADER_BYTES + *at as usize + TICK_BYTES));
        Self {
            crc: crc32c::crc32c(&batch[CRC_FROM..]),
            behind_times: behind(BASE_TIMESTAMP_AT + TIMES_BYTES),
            behind_ticks: ticks.fold(Shift::NOTHING, Shift::and),
            head,
            body,
            stamps,
            records,
            payload_bytes,
        }
    }

    /// All bytes of the batch.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        HEADER_BYTES + self.body.bytes().len()
    }

    /// Appends the batch as of `unix_ms`; the tick of its stamps, where it has any, is `at`.
    pub fn put(&self, unix_ms: i64, at: Tick, out: &mut Outbox) {
        let mut times = [0; TIMES_BYTES];
        times[..8].copy_from_slice(&unix_ms.to_be_bytes());
        times[8..].copy_from_slice(&unix_ms.to_be_bytes());
        let mut crc = self.crc ^ self.behind_times.change(&times);
        let stamped = !self.stamps.is_empty();
        let tick = at.0.to_be_bytes();
        if stamped {
            crc ^= self.behind_ticks.change(&tick);
        }
        let from = out.copied().len();
        out.put(&self.head);
        let head = &mut out.copied_mut()[from..];
        head[BASE_TIMESTAMP_AT..BASE_TIMESTAMP_AT + TIMES_BYTES].copy_from_slice(&times);
        head[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        if !stamped {
            out.put_region(&self.body);
            return;
        }
        out.put(self.body.bytes());
        let body = &mut out.copied_mut()[from + HEADER_BYTES..];
        for &place in &self.stamps {
            let place = place as usize;
            body[place..place + TICK_BYTES].copy_from_slice(&tick);
        }
    }
}
