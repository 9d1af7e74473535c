//! What the target counts of itself: the other side of the ledger.
//!
//! Every number is of the target's whole life. A request for the numbers themselves is not
//! counted as a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use loadgen_core::record::{HIGHEST_NS, sum_histogram};
use serde::Serialize;

/// Shared by the target's workers.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) connections_accepted: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) payload_tx_bytes: AtomicU64,
    pub(super) payload_rx_bytes: AtomicU64,
    pub(super) wire_tx_bytes: AtomicU64,
    pub(super) wire_rx_bytes: AtomicU64,
    delay: Mutex<Histogram<u64>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            connections_accepted: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            payload_tx_bytes: AtomicU64::new(0),
            payload_rx_bytes: AtomicU64::new(0),
            wire_tx_bytes: AtomicU64::new(0),
            wire_rx_bytes: AtomicU64::new(0),
            delay: Mutex::new(sum_histogram()),
        }
    }
}

/// Adds to a counter that nothing is ordered by.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// A reply leaves `given` after its request was received.
    pub(super) fn delayed(&self, given: Duration) {
        let ns = u64::try_from(given.as_nanos()).unwrap_or(u64::MAX);
        let mut delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        delay.saturating_record(ns.min(HIGHEST_NS));
    }

    /// The numbers now.
    pub(super) fn read(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            requests: load(&self.requests),
            replies: load(&self.replies),
            faults: load(&self.faults),
            connections_accepted: load(&self.connections_accepted),
            connections_open: load(&self.connections_open),
            payload_tx_bytes: load(&self.payload_tx_bytes),
            payload_rx_bytes: load(&self.payload_rx_bytes),
            wire_tx_bytes: load(&self.wire_tx_bytes),
            wire_rx_bytes: load(&self.wire_rx_bytes),
            delay: DelayStats::of(&delay),
        }
    }
}

/// The numbers of a target at one moment; `/stats` gives them as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Requests whose head was received, those for the numbers excepted.
    pub requests: u64,
    /// Whole replies handed over, so broken ones excepted.
    pub replies: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Body bytes of the replies, as announced.
    pub payload_tx_bytes: u64,
    /// Body bytes received.
    pub payload_rx_bytes: u64,
    /// Bytes handed to sockets, of every kind.
    pub wire_tx_bytes: u64,
    /// Bytes taken from sockets.
    pub wire_rx_bytes: u64,
    /// The delays really given.
    pub delay: DelayStats,
}

/// From the head of a request being read to just before the first bytes of its reply are handed to
/// the kernel: the delay that was really given, lateness included, of whole replies only. What a
/// request waited in the kernel before it was read is not seen.
#[derive(Clone, Debug, Serialize)]
pub struct DelayStats {
    /// How many.
    pub count: u64,
    /// Their mean, ns.
    pub mean_ns: f64,
    /// The shortest, ns.
    pub min_ns: u64,
    /// The median, ns.
    pub p50_ns: u64,
    /// The 90th percentile, ns.
    pub p90_ns: u64,
    /// The 99th percentile, ns.
    pub p99_ns: u64,
    /// The 99.9th percentile, ns.
    pub p999_ns: u64,
    /// The longest, ns.
    pub max_ns: u64,
    /// `ns`.
    pub unit: &'static str,
    /// `hdr-v2-deflate-base64`.
    pub encoding: &'static str,
    /// The whole histogram so encoded: what the results document uses as well.
    pub data: String,
}

impl DelayStats {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |p: f64| histogram.value_at_quantile(p);
        let mut blob = Vec::new();
        // Writing to memory fails only for a histogram beyond the format's limits; ours is not.
        let data = match V2DeflateSerializer::new().serialize(histogram, &mut blob) {
            Ok(_) => base64::engine::general_purpose::STANDARD.encode(&blob),
            Err(_) => String::new(),
        };
        Self {
            count: histogram.len(),
            mean_ns: histogram.mean(),
            min_ns: histogram.min(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: histogram.max(),
            unit: "ns",
            encoding: "hdr-v2-deflate-base64",
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;

    #[test]
    fn the_blob_is_the_histogram() {
        let counters = Counters::default();
        for us in 1..=1000 {
            counters.delayed(Duration::from_micros(us));
        }
        counters.delayed(Duration::MAX);
        let stats = counters.read().delay;
        assert_eq!(stats.count, 1001);
        let blob = base64::engine::general_purpose::STANDARD
            .decode(&stats.data)
            .unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut &blob[..]).unwrap();
        assert_eq!(back.len(), 1001);
        assert_eq!(back.value_at_quantile(0.5), stats.p50_ns);
        assert!((500_000..=501_500).contains(&stats.p50_ns));
        assert_eq!(back.max(), stats.max_ns);
    }
}
