//! Where fetches begin when nobody looks at what they bring.
//!
//! A fetch must begin at a batch or inside it; which offsets those are, only the batches say. In the
//! first round of a replay their headers are read and the places kept; later rounds ask at the same
//! places and see nothing. A cursor is claimed by one fetch at a time, so nobody may ever wait here.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places that are kept of one round: 8 MB of them. What is behind them is not replayed.
const PLACES_MAX: usize = 1 << 20;

/// The places of one cursor.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    offsets: Vec<i64>,
    /// The one that is read now.
    at: usize,
    /// A whole round is known.
    whole: bool,
}

impl Marks {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the places of a whole round are known.
    pub(super) fn are_whole(&self) -> bool {
        self.places().whole
    }

    /// The first round: a fetch at `offset` came up to `next`. Where to read on; `None`: the round,
    /// up to `end`, is over.
    pub(super) fn add(&self, offset: i64, next: i64, end: i64) -> Option<i64> {
        let mut places = self.places();
        places.offsets.push(offset);
        places.whole = next >= end || places.offsets.len() >= PLACES_MAX;
        places.at = 0;
        (!places.whole).then_some(next)
    }

    /// A later round: where to read on; `None`: it is over.
    pub(super) fn next(&self) -> Option<i64> {
        let mut places = self.places();
        places.at += 1;
        let next = places.offsets.get(places.at).copied();
        if next.is_none() {
            places.at = 0;
        }
        next
    }

    /// The log is not what it was.
    pub(super) fn forget(&self) {
        *self.places() = Places::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_rounds_go_where_the_first_one_went() {
        let marks = Marks::default();
        assert_eq!(marks.add(5, 8, 20), Some(8));
        assert_eq!(marks.add(8, 15, 20), Some(15));
        assert!(!marks.are_whole());
        assert_eq!(marks.add(15, 23, 20), None);
        assert!(marks.are_whole());
        for _ in 0..2 {
            let round = [(); 3].map(|()| marks.next());
            assert_eq!(round, [Some(8), Some(15), None]);
        }
        marks.forget();
        assert!(!marks.are_whole());
        assert_eq!(marks.add(9, 20, 20), None);
        assert_eq!(marks.next(), None);
    }
}
