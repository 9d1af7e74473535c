//! What the sessions of one worker and its workload share.
//!
//! It belongs to one thread. Nothing here may be needed to read a reply.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::objects::Key;

/// Counts that core has no place for, and lists of keys to be used again.
#[derive(Debug, Default)]
pub struct Local {
    /// Values that were compared.
    pub verified: Cell<u64>,
    /// Of those, values that were not what was written.
    pub mismatched: Cell<u64>,
    /// The first of them, for people.
    pub sample: RefCell<Option<String>>,
    /// Hits after their expiry.
    pub expired_hits: Cell<u64>,
    /// Misses before their expiry.
    pub early_misses: Cell<u64>,
    /// Keys and values of what was written.
    pub object_tx_bytes: Cell<u64>,
    lists: RefCell<Vec<Vec<Key>>>,
    watched: Cell<usize>,
}

/// How many lists are kept: more than that are not in use at once on a busy worker.
const LISTS_MAX: usize = 1024;

/// Adds to a counter.
#[inline]
pub fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

/// Places in windows whose last write a worker remembers, in all: 8 MB of them.
const WATCHED_MAX: usize = 1 << 18;

impl Local {
    /// For one worker.
    #[must_use]
    pub fn shared() -> Rc<Self> {
        Rc::default()
    }

    /// How many of `keys` places the next session may watch: all as long as there is memory for them,
    /// then fewer. What is not watched is not checked.
    #[must_use]
    pub fn watch(&self, keys: u64) -> usize {
        let left = WATCHED_MAX - self.watched.get();
        let places = usize::try_from(keys).unwrap_or(usize::MAX).min(left);
        self.watched.set(self.watched.get() + places);
        places
    }

    /// A session that watched so many is gone.
    pub fn unwatch(&self, places: usize) {
        self.watched.set(self.watched.get().saturating_sub(places));
    }

    /// An empty list.
    #[must_use]
    pub fn list(&self) -> Vec<Key> {
        self.lists.borrow_mut().pop().unwrap_or_default()
    }

    /// A list that is done with.
    pub fn give_back(&self, mut list: Vec<Key>) {
        let mut lists = self.lists.borrow_mut();
        if lists.len() < LISTS_MAX {
            list.clear();
            lists.push(list);
        }
    }

    /// A value was not what was written; `describe` is asked for the first only.
    #[cold]
    pub fn mismatch(&self, describe: impl FnOnce() -> String) {
        add(&self.mismatched, 1);
        self.sample.borrow_mut().get_or_insert_with(describe);
    }

    /// The counts, for [`sum`].
    #[must_use]
    pub fn details(&self) -> Value {
        json!({
            "object_tx_bytes": self.object_tx_bytes.get(),
            "verified": self.verified.get(),
            "mismatched": self.mismatched.get(),
            "mismatch_sample": *self.sample.borrow(),
            "expired_hits": self.expired_hits.get(),
            "early_misses": self.early_misses.get(),
        })
    }
}

/// What all workers counted, and what there is to find in it: `findings` of the shape core's
/// results have.
#[must_use]
pub fn sum(workers: &[Value]) -> Value {
    let count = |name: &str| -> u64 {
        let counts = workers.iter().filter_map(|worker| worker[name].as_u64());
        counts.sum()
    };
    let samples = workers.iter().map(|worker| &worker["mismatch_sample"]);
    let sample = samples.into_iter().find(|sample| !sample.is_null());
    let mut findings = Vec::new();
    for (code, weight, name, hint) in [
        (
            "memcache.value_mismatch",
            "invalid",
            "mismatched",
            "values came that are not what loadgen writes under their keys; \
             protocol_details.mismatch_sample shows the first; other data under these keys, or a \
             server that mixes them up",
        ),
        (
            "memcache.expired_hits",
            "doubt",
            "expired_hits",
            "values came though their expiry had passed by more than 5 s",
        ),
        (
            "memcache.early_misses",
            "note",
            "early_misses",
            "values were gone more than 5 s before their expiry: evicted, or never stored",
        ),
    ] {
        let actual = count(name);
        if actual > 0 {
            findings.push(json!({
                "code": code,
                "weight": weight,
                "actual": actual as f64,
                "limit": 0.0,
                "unit": "values",
                "hint": hint,
            }));
        }
    }
    json!({
        "object_tx_bytes": count("object_tx_bytes"),
        "verified": count("verified"),
        "mismatched": count("mismatched"),
        "mismatch_sample": sample.cloned().unwrap_or(Value::Null),
        "expired_hits": count("expired_hits"),
        "early_misses": count("early_misses"),
        "findings": findings,
    })
}

/// Adds the counts of a run before the run: they are in the servers' too. What there is to find in
/// either has been found.
pub fn add_prelude(details: &mut Value, prelude: &Value) {
    let mut whole = sum(&[prelude.clone(), details.take()]);
    if let Some(whole) = whole.as_object_mut() {
        whole.remove("findings");
    }
    *details = whole;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_run_counts_too() {
        let [run, before] = [3, 40].map(|bytes| {
            let local = Local::default();
            local.object_tx_bytes.set(bytes);
            let mut details = sum(&[local.details()]);
            details.as_object_mut().unwrap().remove("findings");
            details
        });
        let mut whole = run.clone();
        add_prelude(&mut whole, &before);
        assert_eq!(whole["object_tx_bytes"], 43);
        let names = |details: &Value| -> Vec<String> {
            details.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&whole), names(&run));
    }

    #[test]
    fn no_more_is_watched_than_there_is_memory_for() {
        let local = Local::default();
        assert_eq!(local.watch(1000), 1000);
        assert_eq!(local.watch(1 << 20), WATCHED_MAX - 1000);
        assert_eq!(local.watch(7), 0);
        local.unwatch(1000);
        assert_eq!(local.watch(2000), 1000);
    }

    #[test]
    fn workers_add_up_and_one_sample_is_kept() {
        let (one, two) = (Local::default(), Local::default());
        add(&one.verified, 5);
        add(&two.verified, 7);
        two.mismatch(|| "first".into());
        two.mismatch(|| "second".into());
        let sum = sum(&[one.details(), two.details()]);
        assert_eq!(
            (&sum["verified"], &sum["mismatched"]),
            (&json!(12), &json!(2))
        );
        assert_eq!(sum["mismatch_sample"], "first");
        assert_eq!(sum["findings"][0]["code"], "memcache.value_mismatch");
        assert_eq!(sum["findings"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn lists_are_used_again_empty() {
        let local = Local::default();
        let mut list = local.list();
        list.push(Key::new(0, 1));
        list.reserve(100);
        let capacity = list.capacity();
        local.give_back(list);
        let again = local.list();
        assert!(again.is_empty());
        assert_eq!(again.capacity(), capacity);
    }
}
