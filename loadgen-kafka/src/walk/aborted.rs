//! The transactions of one partition that were aborted.
//!
//! A fetch says which producers' transactions were aborted and where each begins; a marker in the log
//! says where it ends. Nothing here may depend on the order in which the broker names them, and
//! nothing it names may be forgotten: records would count that nobody was to see.
//! (`CompletedFetch.java` is how the Java client does it.)

use std::collections::HashSet;

use crate::wire::{WireError, Wrong};

/// The most of them that one partition of one fetch can have.
const TRANSACTIONS_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Aborted {
    /// First offset and producer of those that have not begun; once `sorted`, the next one is last.
    waiting: Vec<(i64, i64)>,
    sorted: bool,
    /// There were more than anybody keeps.
    too_many: bool,
    /// Producers that are inside one.
    active: HashSet<i64>,
}

impl Aborted {
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.active.clear();
        (self.sorted, self.too_many) = (false, false);
    }

    /// Entries grow only as they come over the wire.
    pub(super) fn add(&mut self, producer_id: i64, first_offset: i64) {
        self.sorted = false;
        if self.waiting.len() < TRANSACTIONS_MAX {
            self.waiting.push((first_offset, producer_id));
        } else {
            self.too_many = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Everything that begins up to `last_offset`, the end of the batch that comes now, has begun.
    ///
    /// # Errors
    /// [`Wrong::Length`] when there were too many.
    pub(super) fn begin(&mut self, last_offset: i64) -> Result<(), WireError> {
        if self.too_many {
            return Err(Wrong::Length.because(format!(
                "a partition names more than {TRANSACTIONS_MAX} aborted transactions: they are not \
                 all kept"
            )));
        }
        if !self.sorted {
            self.waiting.sort_unstable_by(|a, b| b.cmp(a));
            self.sorted = true;
        }
        while let Some((_, producer)) = self.waiting.pop_if(|(first, _)| *first <= last_offset) {
            self.active.insert(producer);
        }
        Ok(())
    }

    /// Whether a transactional batch of `producer_id` is hidden.
    pub(super) fn hides(&self, producer_id: i64) -> bool {
        self.active.contains(&producer_id)
    }

    /// A marker ended the transaction of `producer_id` that was aborted.
    pub(super) fn ended(&mut self, producer_id: i64) {
        self.active.remove(&producer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_be_named_take_no_time() {
        let mut aborted = Aborted::default();
        let all = 0..TRANSACTIONS_MAX as i64;
        all.clone().for_each(|producer| aborted.add(producer, 7));
        // Were each looked for in a list, this would not end.
        assert_eq!(aborted.begin(7), Ok(()));
        all.clone().for_each(|producer| {
            assert!(aborted.hides(producer));
            aborted.ended(producer);
        });
        assert!(aborted.is_empty());
        aborted.add(1, 7);
        assert_eq!(aborted.begin(6), Ok(()));
        assert!(!aborted.hides(1));
    }
}
