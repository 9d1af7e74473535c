//! Counters of a target: one set a thread, added up when somebody asks.
//!
//! Every number is of the target's whole life. A set is written by one thread, so no cache line
//! goes to and fro.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// The counters of one thread, in the order of a [`counters!`](crate::counters) table.
#[derive(Debug)]
pub struct Counters(Box<[AtomicU64]>);

impl Counters {
    /// `count` of them, 0 each.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds to one. Nothing is ordered by it.
    #[inline]
    pub fn add(&self, counter: impl Into<usize>, n: u64) {
        if let Some(cell) = self.0.get(counter.into()) {
            cell.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Sets all of them to 0.
    pub fn reset(&self) {
        for cell in &self.0 {
            cell.store(0, Ordering::Relaxed);
        }
    }

    /// The sums over the threads, with their names.
    #[must_use]
    pub fn sums(threads: &[Self], names: &[&'static str]) -> Vec<(&'static str, u64)> {
        let sum = |at: usize| {
            let one = |thread: &Self| thread.0.get(at).map_or(0, |c| c.load(Ordering::Relaxed));
            threads.iter().map(one).sum()
        };
        let rows = names.iter().enumerate();
        rows.map(|(at, name)| (*name, sum(at))).collect()
    }
}

/// The numbers of a target at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Name and number, in the order they are shown.
    pub rows: Vec<(&'static str, u64)>,
}

impl Stats {
    /// One of them by its name; 0 for a name there is not.
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

/// Declares a target's counters: an enum, and their names.
#[macro_export]
macro_rules! counters {
    ($visibility:vis $name:ident { $($variant:ident $text:literal,)* }) => {
        /// One of the counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name {
            $(#[doc = $text] $variant,)*
        }

        impl $name {
            /// Their names, in order.
            $visibility const NAMES: &'static [&'static str] = &[$($text,)*];
        }

        impl From<$name> for usize {
            fn from(counter: $name) -> usize {
                counter as usize
            }
        }
    };
}
