//! Which connections of a route may take a request, those with the fewest in flight first.
//!
//! Intrusive lists by number in flight, so that every change costs a few loads and stores however
//! many connections there are. Among equals the one that waited longest goes first. Nothing here
//! may allocate after it was made.

use crate::driver::Slot;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// The list it is in; `NONE`: in no list.
    list: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// The lists of one worker.
#[derive(Debug)]
pub(super) struct Ready {
    links: Vec<Link>,
    /// By route × depth + number in flight.
    lists: Vec<Ends>,
    depth: usize,
    /// By route: how many may take a request, and below which level there is none.
    routes: Vec<(u32, usize)>,
}

impl Ready {
    pub(super) fn new(slots: usize, routes: usize, depth: usize) -> Self {
        let empty = Ends {
            first: NONE,
            last: NONE,
        };
        let loose = Link {
            before: NONE,
            after: NONE,
            list: NONE,
        };
        Self {
            links: vec![loose; slots],
            lists: vec![empty; routes * depth],
            depth,
            routes: vec![(0, depth); routes],
        }
    }

    /// Puts `slot` where it belongs: `in_flight` when it may take a request, else nowhere.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, route: usize, in_flight: Option<usize>) {
        let list = in_flight.map_or(NONE, |level| (route * self.depth + level) as u32);
        if self.links[slot].list == list {
            return;
        }
        if self.links[slot].list != NONE {
            self.unlink(slot);
            self.routes[route].0 -= 1;
        }
        if let Some(level) = in_flight {
            let (count, lowest) = &mut self.routes[route];
            *count += 1;
            *lowest = level.min(*lowest);
            let ends = &mut self.lists[list as usize];
            let last = ends.last;
            self.links[slot] = Link {
                before: last,
                after: NONE,
                list,
            };
            ends.last = slot as u32;
            if last == NONE {
                ends.first = slot as u32;
            } else {
                self.links[last as usize].after = slot as u32;
            }
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let Link {
            before,
            after,
            list,
        } = self.links[slot];
        if list == NONE {
            return;
        }
        let ends = &mut self.lists[list as usize];
        if before == NONE {
            ends.first = after;
        } else {
            self.links[before as usize].after = after;
        }
        let ends = &mut self.lists[list as usize];
        if after == NONE {
            ends.last = before;
        } else {
            self.links[after as usize].before = before;
        }
        self.links[slot].list = NONE;
    }

    /// Whether any connection of `route` may take a request.
    #[inline]
    pub(super) fn any(&self, route: usize) -> bool {
        self.routes[route].0 > 0
    }

    /// The connection of `route` with the fewest in flight.
    #[inline]
    pub(super) fn first(&mut self, route: usize) -> Option<Slot> {
        let (count, lowest) = &mut self.routes[route];
        if *count == 0 {
            return None;
        }
        let levels = &self.lists[route * self.depth..(route + 1) * self.depth];
        while levels.get(*lowest)?.first == NONE {
            *lowest += 1;
        }
        Some(levels[*lowest].first as Slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewest_first_and_then_the_longest_idle() {
        let mut ready = Ready::new(4, 2, 3);
        assert_eq!(ready.first(0), None);
        ready.set(0, 0, Some(1));
        ready.set(1, 0, Some(0));
        ready.set(2, 0, Some(0));
        ready.set(3, 1, Some(2));
        assert_eq!(ready.first(0), Some(1));
        ready.set(1, 0, Some(1));
        assert_eq!(ready.first(0), Some(2));
        ready.set(2, 0, None);
        assert_eq!(ready.first(0), Some(0));
        ready.set(0, 0, None);
        assert_eq!(ready.first(0), Some(1));
        ready.set(1, 0, None);
        assert_eq!(ready.first(0), None);
        assert_eq!(ready.first(1), Some(3));
    }

    #[test]
    fn any_order_of_changes_keeps_the_lists_whole() {
        let mut random = crate::workload::Random::new(3);
        let mut ready = Ready::new(16, 1, 4);
        let mut truth: Vec<Option<usize>> = vec![None; 16];
        for _ in 0..10_000 {
            let slot = random.below(16) as usize;
            let level = random.below(5) as usize;
            truth[slot] = (level < 4).then_some(level);
            ready.set(slot, 0, truth[slot]);
            let fewest = truth.iter().flatten().min().copied();
            assert_eq!(ready.first(0).and_then(|s| truth[s]), fewest);
        }
    }
}
