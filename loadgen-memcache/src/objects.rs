//! Keys and values: what each of them looks like, written straight into the bytes that leave.
//!
//! Everything is a function of the key's number and of the plan; nothing is remembered. A value
//! describes itself: 8 bytes of its key's hash, 4 of its length (both little endian), then a
//! pattern whose beginning is chosen by the hash. So any value can be checked by who knows the key.

use bytes::Bytes;
use loadgen_core::buffer::{Outbox, Region, SEND_FILE_BYTES};
use loadgen_core::workload::Random;

use crate::sizes::SizeTable;
use crate::spec::Sizes;
use crate::wire::KEY_BYTES_MAX;

/// Bits of a key's number within its space; the space is above them.
const INDEX_BITS: u32 = 40;
/// The most keys of a space.
pub const KEYS_MAX: u64 = 1 << INDEX_BITS;
/// Hexadecimal digits of the number of a space: one for each of core's connections at the most.
pub const SPACE_DIGITS: usize = 6;

/// The pattern begins anew after so many bytes.
const PATTERN_BYTES: usize = 1024 * 1024;
/// A value's pattern begins at one of so many places: few, so that small values stay in the cache.
const PLACES: u64 = 4096;
const PATTERN_SEED: u64 = 0x0070_6174_7465_726e;
/// Hash and length, in front of the pattern.
const STAMP_BYTES: usize = 12;

/// Digits of the keys of values, and of those of counters: they share no key.
const VALUE_DIGITS: &[u8; 16] = b"0123456789abcdef";
const COUNTER_DIGITS: &[u8; 16] = b"ghijklmnopqrstuv";

/// One key: which it is of which space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    /// Key `index` of space `space`.
    #[must_use]
    #[inline]
    pub const fn new(space: u32, index: u64) -> Self {
        Self((space as u64) << INDEX_BITS | (index & (KEYS_MAX - 1)))
    }

    /// Its number within its space.
    #[must_use]
    #[inline]
    pub const fn index(self) -> u64 {
        self.0 & (KEYS_MAX - 1)
    }

    /// Its space.
    #[must_use]
    #[inline]
    pub const fn space(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    /// A number that says nothing about the key.
    #[must_use]
    #[inline]
    pub fn hash(self) -> u64 {
        Random::new(self.0).next_u64()
    }
}

/// What kind of thing a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// A counter.
    Counter,
}

/// All keys and values of a run.
#[derive(Clone, Debug)]
pub struct Objects {
    /// A key of the greatest length: prefix, digits, filler.
    template: Vec<u8>,
    /// Where the digits of the space begin, and how many there are.
    space: (usize, usize),
    /// Where those of the index begin, and how many there are.
    index: (usize, usize),
    key_sizes: SizeTable,
    value_sizes: SizeTable,
    pattern: Region,
}

/// How many digits `keys` keys need.
#[must_use]
pub fn index_digits(keys: u64) -> usize {
    let last = keys.saturating_sub(1);
    (u64::BITS - last.leading_zeros()).div_ceil(4).max(1) as usize
}

impl Objects {
    /// Keys that begin with `prefix`, with or without the number of a space, and `digits` digits
    /// for their number in it. The plan has seen to it that all fits.
    #[must_use]
    pub fn new(prefix: &str, spaced: bool, digits: usize, keys: &Sizes, values: &Sizes) -> Self {
        let filler = b"the.quick.brown.fox.jumps.over.the.lazy.dog.";
        let mut template = prefix.as_bytes().to_vec();
        let space = (template.len(), if spaced { SPACE_DIGITS } else { 0 });
        let index = (space.0 + space.1, digits);
        template.resize(index.0 + digits, b'0');
        template.extend(filler.iter().cycle().take(KEY_BYTES_MAX));
        template.truncate(KEY_BYTES_MAX);
        let mut random = Random::new(PATTERN_SEED);
        let pattern: Vec<u8> = (0..PATTERN_BYTES / 8)
            .flat_map(|_| random.next_u64().to_le_bytes())
            .collect();
        Self {
            template,
            space,
            index,
            key_sizes: SizeTable::new(keys),
            value_sizes: SizeTable::new(values),
            pattern: Region::new(Bytes::from(pattern)),
        }
    }

    /// The length of a key.
    #[must_use]
    #[inline]
    pub fn key_bytes(&self, key: Key) -> u16 {
        // Another hash than that of the value: the two lengths are independent.
        self.key_sizes.of(key.index(), key.hash().swap_bytes()) as u16
    }

    /// The length of its value.
    #[must_use]
    #[inline]
    pub fn value_bytes(&self, key: Key) -> u32 {
        self.value_sizes.of(key.index(), key.hash())
    }

    /// Appends a key of `key_bytes`.
    #[inline]
    pub fn put_key(&self, key: Key, kind: Kind, key_bytes: u16, out: &mut Vec<u8>) {
        let start = out.len();
        let length = usize::from(key_bytes).min(self.template.len());
        out.extend_from_slice(&self.template[..length]);
        let digits = match kind {
            Kind::Value => VALUE_DIGITS,
            Kind::Counter => COUNTER_DIGITS,
        };
        for ((at, count), number) in [(self.space, key.space()), (self.index, key.index())] {
            let from = start + at;
            let Some(place) = out.get_mut(from..from + count) else {
                return;
            };
            let mut left = number;
            for digit in place.iter_mut().rev() {
                *digit = digits[(left & 15) as usize];
                left >>= 4;
            }
        }
    }

    /// Appends the value of `key`, of `value_bytes`: by copying, or from the shared pattern where
    /// that pays.
    #[inline]
    pub fn put_value(&self, key: Key, value_bytes: u32, out: &mut Outbox) {
        let hash = key.hash();
        let stamp = stamp(hash, value_bytes);
        let total = value_bytes as usize;
        out.put(&stamp[..total.min(STAMP_BYTES)]);
        let mut left = total.saturating_sub(STAMP_BYTES);
        let mut from = (hash % PLACES) as usize;
        while left > 0 {
            let piece = left.min(PATTERN_BYTES - from);
            if piece >= SEND_FILE_BYTES {
                out.put_region(&self.pattern.slice(from..from + piece));
            } else {
                out.put(&self.pattern.bytes()[from..from + piece]);
            }
            left -= piece;
            from = 0;
        }
    }

    /// The name of a key, for people.
    #[must_use]
    pub fn name(&self, key: Key) -> String {
        let mut bytes = Vec::new();
        self.put_key(key, Kind::Value, self.key_bytes(key), &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn stamp(hash: u64, value_bytes: u32) -> [u8; STAMP_BYTES] {
    let mut stamp = [0; STAMP_BYTES];
    stamp[..8].copy_from_slice(&hash.to_le_bytes());
    stamp[8..].copy_from_slice(&value_bytes.to_le_bytes());
    stamp
}

/// A value that is compared while it streams by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    hash: u64,
    value_bytes: u32,
    at: usize,
    wrong_at: Option<usize>,
}

impl Check {
    /// The value of `key` is to come, and `value_bytes` are announced. Any length is right: the
    /// value says itself which it was written with.
    #[must_use]
    pub fn new(key: Key, value_bytes: u32) -> Self {
        Self {
            hash: key.hash(),
            value_bytes,
            at: 0,
            wrong_at: None,
        }
    }

    /// The next bytes of it.
    pub fn read(&mut self, objects: &Objects, mut bytes: &[u8]) {
        if self.at < STAMP_BYTES {
            let stamp = stamp(self.hash, self.value_bytes);
            let count = bytes.len().min(STAMP_BYTES - self.at);
            self.compare(&bytes[..count], &stamp[self.at..self.at + count]);
            bytes = &bytes[count..];
        }
        while !bytes.is_empty() {
            let from = self.at - STAMP_BYTES + (self.hash % PLACES) as usize;
            let from = from % PATTERN_BYTES;
            let count = bytes.len().min(PATTERN_BYTES - from);
            let pattern = &objects.pattern.bytes()[from..from + count];
            self.compare(&bytes[..count], pattern);
            bytes = &bytes[count..];
        }
    }

    fn compare(&mut self, actual: &[u8], wanted: &[u8]) {
        if actual != wanted && self.wrong_at.is_none() {
            let same = actual.iter().zip(wanted).take_while(|(a, w)| a == w);
            self.wrong_at = Some(self.at + same.count());
        }
        self.at += actual.len();
    }

    /// The first byte that is not what it must be, counted from 0.
    #[must_use]
    pub const fn wrong_at(&self) -> Option<usize> {
        self.wrong_at
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
