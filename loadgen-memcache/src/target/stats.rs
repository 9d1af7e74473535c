//! What the target counts, under memcached's names.
//!
//! Each worker counts for itself; the sums are made when somebody asks. Every number is of the
//! target's whole life.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// Declares the counters and the names they have in `stats`.
macro_rules! counters {
    ($($variant:ident $name:literal,)*) => {
        /// One of the counters.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Counter { $($variant,)* }

        /// Their names, in order.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

counters! {
    TotalConnections "total_connections",
    RejectedConnections "rejected_connections",
    CmdGet "cmd_get",
    CmdSet "cmd_set",
    CmdFlush "cmd_flush",
    CmdTouch "cmd_touch",
    GetHits "get_hits",
    GetMisses "get_misses",
    DeleteHits "delete_hits",
    DeleteMisses "delete_misses",
    IncrHits "incr_hits",
    IncrMisses "incr_misses",
    DecrHits "decr_hits",
    DecrMisses "decr_misses",
    CasHits "cas_hits",
    CasMisses "cas_misses",
    CasBadval "cas_badval",
    TouchHits "touch_hits",
    TouchMisses "touch_misses",
    StoreTooLarge "store_too_large",
    StoreNoMemory "store_no_memory",
    AuthCmds "auth_cmds",
    AuthErrors "auth_errors",
    BytesRead "bytes_read",
    BytesWritten "bytes_written",
}

/// The counters of one worker.
#[derive(Debug)]
pub(super) struct Counters([AtomicU64; NAMES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; NAMES.len()])
    }
}

impl Counters {
    /// Adds to one. Nothing is ordered by it.
    pub(super) fn add(&self, counter: Counter, n: u64) {
        self.0[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    fn reset(&self) {
        for counter in &self.0 {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// Sets all counters of all workers to 0 (`stats reset`).
pub(super) fn reset(workers: &[Counters]) {
    workers.iter().for_each(Counters::reset);
}

/// The sums over the workers.
pub(super) fn sums(workers: &[Counters]) -> Vec<(&'static str, u64)> {
    let sum = |i: usize| {
        let one = |worker: &Counters| worker.0[i].load(Ordering::Relaxed);
        workers.iter().map(one).sum()
    };
    NAMES
        .iter()
        .enumerate()
        .map(|(i, name)| (*name, sum(i)))
        .collect()
}

/// The numbers of a target at one moment: what `stats` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    pub(super) rows: Vec<(&'static str, u64)>,
}

impl Stats {
    /// One of them by memcached's name, such as `cmd_get`; 0 for a name there is not.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        let row = self.rows.iter().find(|(known, _)| *known == name);
        row.map_or(0, |(_, value)| *value)
    }
}

impl Serialize for Stats {
    /// An object: name to number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.rows.len()))?;
        for (name, value) in &self.rows {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
