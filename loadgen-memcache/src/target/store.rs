//! Where items are kept: shards, each with its share of the memory and its own order of use.
//!
//! It never looks at a clock: now comes as an argument, in milliseconds of the target's life.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ITEM_OVERHEAD_BYTES;

/// Milliseconds since the target was started.
pub(super) type Millis = u64;

/// An item that does not expire.
pub(super) const NEVER: Millis = u64::MAX;

/// No neighbour.
const NONE: u32 = u32::MAX;

/// The least memory a shard has, so that its largest item is a small part of it.
const SHARD_BYTES_MIN: u64 = 16 << 20;
const SHARDS_MAX: u64 = 16;

/// An item, as those who ask see it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: Vec<u8>,
    pub(super) flags: [u8; 4],
    pub(super) cas: u64,
    pub(super) expires: Millis,
}

#[derive(Debug)]
struct Node {
    key: Arc<[u8]>,
    item: Item,
    /// Used more recently.
    newer: u32,
    /// Used less recently.
    older: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// Some of the items.
#[derive(Debug)]
pub(super) struct Shard {
    places: HashMap<Arc<[u8]>, u32>,
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    bytes: u64,
    limit_bytes: u64,
    evict: bool,
    evictions: u64,
    total_items: u64,
}

/// All items.
#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
    cas: AtomicU64,
    /// When everything stored before is to be forgotten; 0: never.
    flush_at: AtomicU64,
}

/// Sums over the shards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauges {
    pub(super) items: u64,
    pub(super) bytes: u64,
    pub(super) evictions: u64,
    pub(super) total_items: u64,
}

impl Store {
    /// With so much memory, for so many threads.
    pub(super) fn new(memory_bytes: u64, evict: bool, workers: usize) -> Self {
        let fit = (memory_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = if workers == 1 { 1 } else { fit };
        let shard = |_| Mutex::new(Shard::new(memory_bytes / shards, evict));
        Self {
            shards: (0..shards).map(shard).collect(),
            cas: AtomicU64::new(0),
            flush_at: AtomicU64::new(0),
        }
    }

    /// The shard that has, or would have, `key`.
    pub(super) fn shard(&self, key: &[u8], now: Millis) -> MutexGuard<'_, Shard> {
        let due = self.flush_at.load(Ordering::Relaxed);
        if due != 0 && now >= due && self.flush_at.swap(0, Ordering::Relaxed) != 0 {
            self.clear();
        }
        let index = match self.shards.len() {
            1 => 0,
            n => spread(key) as usize % n,
        };
        lock(&self.shards[index])
    }

    /// A number no item had before.
    pub(super) fn next_cas(&self) -> u64 {
        self.cas.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Forgets everything, now or at `at`.
    pub(super) fn flush(&self, at: Option<Millis>) {
        self.flush_at.store(at.unwrap_or(0), Ordering::Relaxed);
        if at.is_none() {
            self.clear();
        }
    }

    fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let mut sum = Gauges::default();
        for shard in &self.shards {
            let shard = lock(shard);
            sum.items += shard.places.len() as u64;
            sum.bytes += shard.bytes;
            sum.evictions += shard.evictions;
            sum.total_items += shard.total_items;
        }
        sum
    }
}

/// A panic of another worker leaves at worst an item too few.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Any function of the whole key that spreads; the map inside a shard has a hash of its own.
fn spread(key: &[u8]) -> u64 {
    let word = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    };
    let mix = |h: u64, chunk| {
        (h ^ word(chunk))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    key.chunks(8).fold(0, mix) >> 20
}

fn cost(key: &[u8], value_bytes: usize) -> u64 {
    key.len() as u64 + value_bytes as u64 + ITEM_OVERHEAD_BYTES
}

impl Shard {
    fn new(limit_bytes: u64, evict: bool) -> Self {
        Self {
            places: HashMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            limit_bytes,
            evict,
            evictions: 0,
            total_items: 0,
        }
    }

    fn clear(&mut self) {
        self.places.clear();
        self.nodes.clear();
        self.free.clear();
        (self.newest, self.oldest, self.bytes) = (NONE, NONE, 0);
    }

    /// The item of `key`, which is then the most recently used.
    pub(super) fn get(&mut self, key: &[u8], now: Millis) -> Option<&mut Item> {
        let at = self.find(key, now)?;
        self.unlink(at);
        self.link(at);
        self.node_mut(at).map(|node| &mut node.item)
    }

    fn find(&mut self, key: &[u8], now: Millis) -> Option<u32> {
        let at = *self.places.get(key)?;
        if self.node(at)?.item.expires <= now {
            self.drop_at(at);
            return None;
        }
        Some(at)
    }

    /// Stores `item` in the place of what `key` had.
    pub(super) fn put(&mut self, key: &[u8], item: Item, now: Millis) -> Result<(), NoMemory> {
        let needed = cost(key, item.value.len());
        if needed > self.limit_bytes {
            return Err(NoMemory);
        }
        if let Some(&at) = self.places.get(key)
            && let Some(node) = self.nodes[at as usize].as_mut()
        {
            let old = cost(key, node.item.value.len());
            node.item = item;
            self.bytes = self.bytes - old + needed;
            self.unlink(at);
            self.link(at);
        } else {
            self.insert(key, item, needed);
        }
        self.total_items += 1;
        self.make_room(key, now)
    }

    fn insert(&mut self, key: &[u8], item: Item, needed: u64) {
        let key: Arc<[u8]> = key.into();
        let node = Some(Node {
            key: Arc::clone(&key),
            item,
            newer: NONE,
            older: NONE,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                // A node costs memory of the limit, which is far below 2^32 nodes.
                self.nodes.len() as u32 - 1
            }
        };
        self.places.insert(key, at);
        self.bytes += needed;
        self.link(at);
    }

    /// Drops the oldest until the limit holds. `key` has just become the newest.
    fn make_room(&mut self, key: &[u8], now: Millis) -> Result<(), NoMemory> {
        while self.bytes > self.limit_bytes {
            let expired = self
                .node(self.oldest)
                .is_some_and(|n| n.item.expires <= now);
            if !self.evict && !expired {
                self.remove(key, now);
                self.total_items -= 1;
                return Err(NoMemory);
            }
            self.evictions += u64::from(!expired);
            self.drop_at(self.oldest);
        }
        Ok(())
    }

    /// Removes `key`; whether there was one.
    pub(super) fn remove(&mut self, key: &[u8], now: Millis) -> bool {
        let found = self.find(key, now);
        if let Some(at) = found {
            self.drop_at(at);
        }
        found.is_some()
    }

    fn drop_at(&mut self, at: u32) {
        self.unlink(at);
        if let Some(node) = self.nodes.get_mut(at as usize).and_then(Option::take) {
            self.bytes -= cost(&node.key, node.item.value.len());
            self.places.remove(&node.key);
            self.free.push(at);
        }
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)?.as_ref()
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)?.as_mut()
    }

    fn unlink(&mut self, at: u32) {
        let Some((newer, older)) = self.node(at).map(|n| (n.newer, n.older)) else {
            return;
        };
        match self.node_mut(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.node_mut(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, at: u32) {
        let newest = self.newest;
        if let Some(node) = self.node_mut(at) {
            (node.newer, node.older) = (NONE, newest);
        }
        match self.node_mut(newest) {
            Some(node) => node.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: usize) -> Item {
        Item {
            value: vec![b'v'; bytes],
            flags: [0; 4],
            cas: 1,
            expires: NEVER,
        }
    }

    fn keys(shard: &Shard) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = shard.oldest;
        while let Some(node) = shard.node(at) {
            found.push(String::from_utf8(node.key.to_vec()).unwrap());
            at = node.newer;
        }
        found
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut shard = Shard::new(3 * 157, true);
        for key in [b"a", b"b", b"c"] {
            shard.put(key, item(100), 0).unwrap();
        }
        assert!(shard.get(b"a", 0).is_some());
        shard.put(b"d", item(100), 0).unwrap();
        assert_eq!(keys(&shard), ["c", "a", "d"]);
        assert_eq!((shard.evictions, shard.bytes), (1, 471));
        shard.put(b"a", item(200), 0).unwrap();
        assert_eq!(keys(&shard), ["d", "a"]);
        assert_eq!(shard.bytes, 157 + 257);
        assert!(shard.remove(b"d", 0) && !shard.remove(b"d", 0));
        assert_eq!(shard.put(b"big", item(1000), 0), Err(NoMemory));
        assert_eq!(keys(&shard), ["a"]);
    }

    #[test]
    fn without_eviction_a_full_memory_refuses() {
        let mut shard = Shard::new(2 * 157, false);
        shard.put(b"a", item(100), 0).unwrap();
        shard.put(b"b", item(100), 0).unwrap();
        assert_eq!(shard.put(b"c", item(100), 0), Err(NoMemory));
        assert_eq!(keys(&shard), ["a", "b"]);
        assert_eq!(
            (shard.evictions, shard.bytes, shard.total_items),
            (0, 314, 2)
        );
    }

    #[test]
    fn the_expired_are_gone_and_make_room() {
        let mut shard = Shard::new(2 * 157, false);
        let brief = Item {
            expires: 10,
            ..item(100)
        };
        shard.put(b"a", brief, 0).unwrap();
        shard.put(b"b", item(100), 0).unwrap();
        assert!(shard.get(b"a", 9).is_some());
        // The next store finds it expired; it is the newest but one by now.
        assert!(shard.get(b"b", 9).is_some());
        shard.put(b"c", item(100), 10).unwrap();
        assert!(shard.get(b"a", 10).is_none());
        assert_eq!(shard.evictions, 0);
    }

    #[test]
    fn a_flush_may_wait() {
        let store = Store::new(1 << 20, true, 4);
        store.shard(b"a", 0).put(b"a", item(1), 0).unwrap();
        store.flush(Some(1000));
        assert!(store.shard(b"a", 999).get(b"a", 999).is_some());
        assert!(store.shard(b"a", 1000).get(b"a", 1000).is_none());
        store.shard(b"a", 1001).put(b"a", item(1), 1001).unwrap();
        assert!(store.shard(b"a", 2000).get(b"a", 2000).is_some());
        store.flush(None);
        assert_eq!(store.gauges().items, 0);
    }

    #[test]
    fn shards_share_keys_evenly() {
        let store = Store::new(1 << 30, true, 2);
        assert_eq!(store.shards.len(), 16);
        for n in 0..16_000_u32 {
            let key = format!("key-{n:08}").into_bytes();
            store.shard(&key, 0).put(&key, item(1), 0).unwrap();
        }
        for shard in &store.shards {
            let count = lock(shard).places.len();
            assert!((800..1200).contains(&count), "{count}");
        }
    }
}
