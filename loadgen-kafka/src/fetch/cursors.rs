//! Where reading is: shared by all workers, so that whoever is at a leader can read on.
//!
//! A cursor is claimed by the fetch that reads at it and moves only when the whole reply has come: no
//! record is counted twice, none is lost, whatever becomes of a connection. Nothing here may block.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use loadgen_core::time::Tick;
use serde_json::{Value, json};

use super::marks::Marks;
use crate::cluster::Topic;
use crate::spec::{Depth, Until};
use crate::walk::Counts;

/// A cursor that is beyond its log's end, or that only pieces of a batch come for, is asked for again so
/// often before it is given up: a leader that has just changed may be behind. Each time costs 50 ms at
/// least.
const REFUSALS_MAX: u32 = 40;
/// Offsets below the end that so many fetches in a row brought nothing for are passed over: what was
/// there is compacted away, and nothing behind it will ever come. Many, for a broker that reads from
/// a slow remote store answers with nothing too.
const BARREN_MAX: u32 = 20;
/// So often in a row what comes for a cursor may be impossible to decode: once may be the wire's fault,
/// three times at the same offset is what the log has.
const FAULTS_MAX: u32 = 3;

/// A cursor that is refused for so long without a break is given up: leaders that move, and brokers
/// that start, are done with it by then.
const REFUSED_MAX: Duration = Duration::from_secs(60);
/// Where nobody could ask for so long, a broker was away: what it says when it is back is a new matter.
const BREAK_MIN: Duration = Duration::from_secs(5);

/// One place in one partition.
#[derive(Debug)]
struct Cursor {
    /// A position in the topic's partitions.
    partition: usize,
    claimed: AtomicBool,
    over: AtomicBool,
    next: AtomicI64,
    /// What the broker said last of the end of what can be read.
    known_end: AtomicI64,
    /// How often it went through the whole range.
    rounds: AtomicU64,
    /// Times in a row that nothing could come for it.
    refusals: AtomicU32,
    /// Times in a row that nothing came from below the log's end.
    barren: AtomicU32,
    /// Times in a row that what came could not be decoded.
    faults: AtomicU32,
    /// When it was refused first and last without a break; never: it is not refused.
    refused_since: AtomicU64,
    refused_last: AtomicU64,
    /// Not to be asked for before this tick, unless there is nothing else.
    held_until: AtomicU64,
    /// Where fetches begin, when nobody looks at what they bring.
    marks: Option<Marks>,
}

/// What was read of a partition by all of its cursors.
#[derive(Debug)]
struct Read {
    records: AtomicU64,
    first: AtomicI64,
    behind: AtomicI64,
}

/// A cursor in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub cursor: usize,
    /// The partition's position.
    pub partition: usize,
    /// Where it reads.
    pub offset: i64,
    /// Nothing is known to be there yet.
    pub at_end: bool,
    /// Where the fetch behind this one begins is known already: what it brings need not be seen.
    pub known: bool,
}

/// What came for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came<'a> {
    /// What its batches had.
    pub counts: &'a Counts,
    /// Bytes of them.
    pub bytes: u32,
    /// The offset behind the last one that can be read; negative where it is not known.
    pub known_end: i64,
    /// The whole reply brought nothing, and the broker did not hold anything back.
    pub barren: bool,
}

/// What a cursor went by without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Offsets that nothing came from.
    pub offsets: u64,
    /// Nothing is left to read, and so it was given up.
    pub gave_up: bool,
}

/// Who asks for cursors.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// The route.
    pub route: usize,
    /// At the most so many, see [`Cursors::share`].
    pub share: usize,
    /// From this one on, so that none waits for ever.
    pub from: u64,
    /// The time, as the worker knows it.
    pub now: Tick,
}

/// What a run goes through.
#[derive(Clone, Debug)]
pub struct Ranges {
    /// First offsets by the partition's position.
    pub starts: Vec<i64>,
    /// Those behind the last.
    pub ends: Vec<i64>,
    /// What happens there.
    pub until: Until,
    /// In a replay, cursors that go through each partition at the same time.
    pub copies: Vec<usize>,
    /// Records wanted.
    pub wanted: Option<u64>,
    /// How deep anybody looks.
    pub depth: Depth,
}

/// All cursors of a run.
#[derive(Debug)]
pub struct Cursors {
    cursors: Vec<Cursor>,
    starts: Vec<i64>,
    /// Where a round begins: the start, unless the log begins later by now.
    begins: Vec<AtomicI64>,
    ends: Vec<i64>,
    /// Where a round is over: the end, unless nothing can be read just below it.
    stops: Vec<AtomicI64>,
    until: Until,
    depth: Depth,
    read: Vec<Read>,
    /// Records so far, and how many are wanted.
    records: AtomicU64,
    wanted: u64,
    /// Cursors that are over.
    over: AtomicUsize,
    /// Cursors with faults that are not over.
    suspects: AtomicUsize,
}

impl Cursors {
    /// At the start of `ranges`.
    #[must_use]
    pub fn new(ranges: Ranges) -> Self {
        let count = ranges.starts.len().min(ranges.ends.len());
        let copies = |at: usize| match ranges.until {
            Until::Replay => ranges.copies.get(at).copied().unwrap_or(1).max(1),
            Until::End | Until::Follow => 1,
        };
        let cursor = |partition: usize| Cursor {
            partition,
            claimed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            next: AtomicI64::new(ranges.starts[partition]),
            known_end: AtomicI64::new(ranges.ends[partition]),
            rounds: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            barren: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            refused_since: AtomicU64::new(Tick::NEVER.0),
            refused_last: AtomicU64::new(Tick::NEVER.0),
            held_until: AtomicU64::new(0),
            marks: (ranges.depth == Depth::None).then(Marks::default),
        };
        let read = |_| Read {
            records: AtomicU64::new(0),
            first: AtomicI64::new(i64::MAX),
            behind: AtomicI64::new(-1),
        };
        let atomics = |offsets: &[i64]| offsets.iter().copied().map(AtomicI64::new).collect();
        // All first ones, then all second ones: neighbours are of different partitions.
        let turns = 0..(0..count).map(copies).max().unwrap_or(0);
        let of_turn = |turn| (0..count).filter(move |&at| copies(at) > turn);
        Self {
            cursors: turns.flat_map(of_turn).map(cursor).collect(),
            read: (0..count).map(read).collect(),
            begins: atomics(&ranges.starts),
            stops: atomics(&ranges.ends),
            until: ranges.until,
            depth: ranges.depth,
            records: AtomicU64::new(0),
            wanted: ranges.wanted.unwrap_or(u64::MAX),
            over: AtomicUsize::new(0),
            suspects: AtomicUsize::new(0),
            starts: ranges.starts,
            ends: ranges.ends,
        }
    }

    /// Whether nothing is left to read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over() >= self.cursors.len() || self.records.load(Ordering::Relaxed) >= self.wanted
    }

    /// Where reading of a partition begins and ends, by its position.
    #[must_use]
    pub fn range(&self, partition: usize) -> (i64, i64) {
        (self.starts[partition], self.ends[partition])
    }

    /// How many cursors are over: while that and [`Topic::moves`] are as before, shares are too.
    #[must_use]
    pub fn over(&self) -> usize {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether everything of a partition below `offset` was read, or will never be.
    #[must_use]
    pub fn reached(&self, partition: usize, offset: i64) -> bool {
        let of_it = self.cursors.iter().filter(|c| c.partition == partition);
        let mut short = of_it.filter(|cursor| {
            !cursor.over.load(Ordering::Relaxed) && cursor.next.load(Ordering::Relaxed) < offset
        });
        short.next().is_none()
    }

    /// How many cursors one of `slots` fetches at `route` should read at: a fair part of those whose
    /// leader is there, rounded up.
    #[must_use]
    pub fn share(&self, topic: &Topic, route: usize, slots: u32) -> usize {
        let here = |c: &&Cursor| {
            !c.over.load(Ordering::Relaxed) && topic.leader(c.partition) == Some(route)
        };
        let count = self.cursors.iter().filter(here).count();
        count.div_ceil(slots.max(1) as usize)
    }

    /// Claims free cursors whose leader is at the route that asks. Those that are held back come only
    /// where there are no others. A suspect comes alone: its fault costs whatever is in the same reply.
    pub fn claim(&self, topic: &Topic, asking: &Asking, into: &mut Vec<Claim>) {
        // Suspects come first, or the others could keep them from being asked for ever; held ones last.
        let suspects = self.suspects.load(Ordering::Relaxed) > 0;
        for (held, suspect) in [(false, true), (false, false), (true, true), (true, false)] {
            if into.is_empty() && (suspects || !suspect) {
                self.claim_some(topic, asking, (held, suspect), into);
            }
        }
    }

    /// Claims more of those that are not held, besides `into`.
    pub fn claim_more(&self, topic: &Topic, asking: &Asking, into: &mut Vec<Claim>) {
        let alone = |claim: &Claim| self.cursors[claim.cursor].faults.load(Ordering::Relaxed) > 0;
        if !into.is_empty() && !into.iter().any(alone) {
            self.claim_some(topic, asking, (false, false), into);
        }
    }

    fn claim_some(
        &self,
        topic: &Topic,
        asking: &Asking,
        (held, suspect): (bool, bool),
        into: &mut Vec<Claim>,
    ) {
        let share = if suspect { 1 } else { asking.share };
        let count = self.cursors.len();
        let one_each = count == self.read.len();
        for step in 0..count {
            if into.len() >= share {
                return;
            }
            let at = (asking.from as usize).wrapping_add(step) % count;
            let cursor = &self.cursors[at];
            // A request names a partition once.
            let named = |claim: &Claim| claim.partition == cursor.partition;
            let wanted = topic.leader(cursor.partition) == Some(asking.route)
                && !cursor.over.load(Ordering::Relaxed)
                && !cursor.claimed.load(Ordering::Relaxed)
                && (cursor.faults.load(Ordering::Relaxed) > 0) == suspect
                && (held || cursor.held_until.load(Ordering::Relaxed) <= asking.now.0)
                && (one_each || !into.iter().any(named));
            if !wanted || cursor.claimed.swap(true, Ordering::Acquire) {
                continue;
            }
            // It may have been read to its end since the look above.
            if cursor.over.load(Ordering::Relaxed) {
                cursor.claimed.store(false, Ordering::Release);
                continue;
            }
            let offset = cursor.next.load(Ordering::Relaxed);
            into.push(Claim {
                cursor: at,
                partition: cursor.partition,
                offset,
                at_end: offset >= cursor.known_end.load(Ordering::Relaxed),
                known: cursor.marks.as_ref().is_some_and(Marks::are_whole),
            });
        }
    }

    /// A claim came to nothing: somebody else may read there.
    pub fn release(&self, claim: &Claim) {
        let cursor = &self.cursors[claim.cursor];
        cursor.claimed.store(false, Ordering::Release);
    }

    /// A claim came to nothing and would again: somebody may read there, but not before `until` as
    /// long as there is something else to read.
    pub fn hold(&self, claim: &Claim, until: Tick) {
        let cursor = &self.cursors[claim.cursor];
        cursor.held_until.store(until.0, Ordering::Relaxed);
        self.release(claim);
    }

    /// The reply to a claim came whole. Says how many offsets are passed over from now on because
    /// nothing ever came from them.
    pub fn advance(&self, claim: &Claim, came: &Came<'_>) -> Passed {
        let cursor = &self.cursors[claim.cursor];
        if came.known_end >= 0 {
            cursor.known_end.store(came.known_end, Ordering::Relaxed);
        }
        cursor.refusals.store(0, Ordering::Relaxed);
        cursor.refused_last.store(Tick::NEVER.0, Ordering::Relaxed);
        self.clear(cursor);
        let missing = self.barren_offsets(cursor, claim, came);
        if missing > 0 {
            self.stops[claim.partition].fetch_min(claim.offset, Ordering::Relaxed);
            if let Some(marks) = &cursor.marks {
                marks.forget();
            }
            let begin = self.begins[claim.partition].load(Ordering::Relaxed);
            // A replay of nothing would go round for ever.
            let gave_up =
                self.until == Until::Replay && claim.offset <= begin && self.give_up(claim);
            if !gave_up {
                self.move_to(claim, claim.offset);
            }
            return Passed {
                offsets: missing,
                gave_up,
            };
        }
        let counts = came.counts;
        if let Some(marks) = &cursor.marks {
            self.go_on(marks, claim, came);
            return Passed::default();
        }
        let read = &self.read[claim.partition];
        read.records.fetch_add(counts.records, Ordering::Relaxed);
        if let Some(first) = counts.first_offset {
            read.first.fetch_min(first, Ordering::Relaxed);
            read.behind.fetch_max(counts.next_offset, Ordering::Relaxed);
        }
        self.records.fetch_add(counts.records, Ordering::Relaxed);
        self.move_to(claim, counts.next_offset.max(claim.offset));
        Passed::default()
    }

    /// Offsets up to the end, when nothing came from them often enough to believe it.
    fn barren_offsets(&self, cursor: &Cursor, claim: &Claim, came: &Came<'_>) -> u64 {
        let end = self.stop(claim);
        let below = claim.offset < end && came.known_end >= end;
        if !came.barren || !below || self.until == Until::Follow {
            cursor.barren.store(0, Ordering::Relaxed);
            return 0;
        }
        if cursor.barren.fetch_add(1, Ordering::Relaxed) + 1 < BARREN_MAX {
            return 0;
        }
        cursor.barren.store(0, Ordering::Relaxed);
        end.saturating_sub(claim.offset).unsigned_abs()
    }

    /// As the marks say: made in the first round, followed in all others.
    fn go_on(&self, marks: &Marks, claim: &Claim, came: &Came<'_>) {
        let offset = claim.offset;
        let next = match (claim.known, came.bytes) {
            (_, 0) => Some(offset),
            (true, _) => marks.next(),
            (false, _) if came.counts.next_offset > offset => {
                marks.add(offset, came.counts.next_offset, self.stop(claim))
            }
            (false, _) => Some(offset),
        };
        // Over a round: to the end, from where a replay begins again.
        self.move_to(claim, next.unwrap_or(i64::MAX));
    }

    fn stop(&self, claim: &Claim) -> i64 {
        self.stops[claim.partition].load(Ordering::Relaxed)
    }

    /// Goes on at `offset`.
    pub fn move_to(&self, claim: &Claim, offset: i64) {
        let cursor = &self.cursors[claim.cursor];
        let mut next = offset;
        if next >= self.stop(claim) {
            match self.until {
                Until::Follow => {}
                Until::End => {
                    self.end(cursor);
                }
                Until::Replay => {
                    next = self.begins[claim.partition].load(Ordering::Relaxed);
                    cursor.rounds.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        cursor.next.store(next, Ordering::Relaxed);
        self.release(claim);
    }

    /// Where the log of a claim's partition begins, if that is known to be behind it: another cursor of
    /// a replay came by before.
    #[must_use]
    pub fn begins_behind(&self, claim: &Claim) -> Option<i64> {
        let begin = self.begins[claim.partition].load(Ordering::Relaxed);
        (begin > claim.offset).then_some(begin)
    }

    /// The log begins at `start` now, behind where reading was. Says how many offsets that cost; in
    /// a replay nothing is left to read when the whole range is gone, and no later round will find
    /// what is gone now.
    pub fn jump(&self, claim: &Claim, start: i64) -> Passed {
        let end = self.stop(claim);
        self.begins[claim.partition].fetch_max(start, Ordering::Relaxed);
        if let Some(marks) = &self.cursors[claim.cursor].marks {
            marks.forget();
        }
        let gone = self.until == Until::Replay && start >= end;
        let gave_up = gone && self.give_up(claim);
        if !gone {
            self.move_to(claim, start);
        }
        let to = if self.until == Until::Follow {
            start
        } else {
            start.min(end)
        };
        Passed {
            offsets: to.saturating_sub(claim.offset).max(0).unsigned_abs(),
            gave_up,
        }
    }

    /// Nothing can come for it: there is no such offset, and the log does not begin behind it; or no
    /// reply has room for the batch. Whether that was so often enough to believe it; otherwise it may be
    /// asked for again, as after [`Self::hold`].
    pub fn hopeless(&self, claim: &Claim, until: Tick) -> bool {
        let refusals = &self.cursors[claim.cursor].refusals;
        if refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS_MAX {
            return self.give_up(claim);
        }
        self.hold(claim, until);
        false
    }

    /// What came for a claim could not be decoded: until something can, it is asked for alone, and not
    /// before `until` as long as there is something else. It stays claimed until [`Self::release`].
    /// Whether that was so often enough to believe it: then it is over.
    pub fn suspect(&self, claim: &Claim, until: Tick) -> bool {
        let cursor = &self.cursors[claim.cursor];
        cursor.held_until.store(until.0, Ordering::Relaxed);
        let before = cursor.faults.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            self.suspects.fetch_add(1, Ordering::Relaxed);
        }
        before + 1 >= FAULTS_MAX && self.end(cursor)
    }

    /// A claim is refused `now`. Whether that has gone on for too long.
    pub fn refused_too_long(&self, claim: &Claim, now: Tick) -> bool {
        let cursor = &self.cursors[claim.cursor];
        let last = Tick(cursor.refused_last.swap(now.0, Ordering::Relaxed));
        if last == Tick::NEVER || last + BREAK_MIN <= now {
            cursor.refused_since.store(now.0, Ordering::Relaxed);
        }
        Tick(cursor.refused_since.load(Ordering::Relaxed)) + REFUSED_MAX <= now
    }

    /// Ends those whose partition nobody waits for any more; how many there were.
    pub fn give_up_lost(&self, topic: &Topic) -> usize {
        let lost = |c: &&Cursor| topic.is_lost(c.partition);
        let ended = |c: &&Cursor| self.end(c);
        self.cursors.iter().filter(lost).filter(ended).count()
    }

    /// Partitions that are not over and cannot be read as things are: nobody leads them, or whoever
    /// does refuses.
    #[must_use]
    pub fn stuck(&self, topic: &Topic) -> usize {
        let is_stuck = |c: &&Cursor| {
            let refused = c.refused_last.load(Ordering::Relaxed) != Tick::NEVER.0
                || c.faults.load(Ordering::Relaxed) > 0;
            !c.over.load(Ordering::Relaxed) && (refused || topic.leader(c.partition).is_none())
        };
        let stuck = self.cursors.iter().filter(is_stuck);
        stuck.map(|c| c.partition).collect::<BTreeSet<_>>().len()
    }

    fn clear(&self, cursor: &Cursor) {
        if cursor.faults.load(Ordering::Relaxed) > 0 && cursor.faults.swap(0, Ordering::Relaxed) > 0
        {
            self.suspects.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Nothing can be read there any more. Whether it was not over before: somebody else may have given
    /// it up.
    pub fn give_up(&self, claim: &Claim) -> bool {
        let new = self.end(&self.cursors[claim.cursor]);
        self.release(claim);
        new
    }

    /// Whether it was not over before.
    fn end(&self, cursor: &Cursor) -> bool {
        let new = !cursor.over.swap(true, Ordering::Relaxed);
        if new {
            self.over.fetch_add(1, Ordering::Relaxed);
            self.clear(cursor);
        }
        new
    }

    /// Rows for the document: what was read of each partition.
    #[must_use]
    pub fn rows(&self, topic: &Topic) -> Value {
        let mut rounds = vec![0_u64; self.read.len()];
        for cursor in &self.cursors {
            rounds[cursor.partition] += cursor.rounds.load(Ordering::Relaxed);
        }
        let row = |(at, read): (usize, &Read)| {
            // In a replay each of several is somewhere; otherwise there is one for each partition.
            let only = (self.until != Until::Replay).then(|| &self.cursors[at]);
            let records = read.records.load(Ordering::Relaxed);
            let first = read.first.load(Ordering::Relaxed);
            json!({
                "partition": topic.partitions[at].index,
                "start_offset": self.starts[at],
                "end_offset": self.ends[at],
                "records": (self.depth != Depth::None).then_some(records),
                "first_offset": (first != i64::MAX).then_some(first),
                "next_offset": (records > 0).then(|| read.behind.load(Ordering::Relaxed)),
                "position": only.map(|cursor| cursor.next.load(Ordering::Relaxed)),
                "rounds": rounds[at],
            })
        };
        self.read.iter().enumerate().map(row).collect()
    }
}
