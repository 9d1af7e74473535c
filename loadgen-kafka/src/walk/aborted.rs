//! The transactions of one partition that were aborted.
//!
//! A fetch says which producers' transactions were aborted and where each begins; a marker in the log
//! says where it ends. Nothing here may reorder what the broker says.

/// The most of them that one partition of one fetch is believed to have.
const TRANSACTIONS_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Aborted {
    /// Producer and first offset; done with those that have begun.
    waiting: Vec<(i64, i64)>,
    /// Producers that are inside one.
    active: Vec<i64>,
}

impl Aborted {
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.active.clear();
    }

    /// Entries grow only as they come over the wire; beyond the limit nobody reads them.
    pub(super) fn add(&mut self, producer_id: i64, first_offset: i64) {
        if self.waiting.len() < TRANSACTIONS_MAX {
            self.waiting.push((producer_id, first_offset));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Whether a transactional batch of `producer_id` that ends with `last_offset` is hidden.
    pub(super) fn hides(&mut self, producer_id: i64, last_offset: i64) -> bool {
        if self.is_empty() {
            return false;
        }
        let active = &mut self.active;
        self.waiting.retain(|&(producer, first)| {
            let begins = first <= last_offset;
            if begins && !active.contains(&producer) {
                active.push(producer);
            }
            !begins
        });
        self.active.contains(&producer_id)
    }

    /// A marker ended the transaction of `producer_id` that was aborted.
    pub(super) fn ended(&mut self, producer_id: i64) {
        self.active.retain(|&active| active != producer_id);
    }
}
