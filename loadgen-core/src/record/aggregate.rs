//! The sum of all sets: what the control thread keeps.
//!
//! Sets come in any order between workers and in order within one. Nothing is estimated here, and
//! nothing may grow with the length of a run but the rows of intervals, up to their limit.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;

use super::cells::{Cells, sum_histogram};
use super::set::{Counts, Kind, Set, Stage};
use crate::time::Tick;

/// Rows of the time series, at most: they are held in memory until the end. A run by count has no
/// planned length; what comes after so many intervals is in no row, and in every sum.
pub const INTERVALS_MAX: usize = 1_000_000;

/// One kind of time, added up.
#[derive(Clone, Debug)]
pub struct Times {
    /// Of what came: replies, first bytes, connections.
    pub answered: Histogram<u64>,
    /// Ages of what did not.
    pub censored: Histogram<u64>,
    /// Values of both kinds above the range.
    pub clamped: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            answered: sum_histogram(),
            censored: sum_histogram(),
            clamped: 0,
        }
    }
}

impl Times {
    fn answer(&mut self, cells: &Cells) {
        cells.add_to(&mut self.answered);
        self.clamped += cells.clamped();
    }

    fn censor(&mut self, cells: &Cells) {
        cells.add_to(&mut self.censored);
        self.clamped += cells.clamped();
    }
}

/// One op and status, added up.
#[derive(Clone, Debug)]
pub struct RowSum {
    /// Replies in the window.
    pub count: u64,
    /// Units in the window.
    pub units: u64,
    /// Replies of the whole run.
    pub total_count: u64,
    /// Units of the whole run.
    pub total_units: u64,
    /// Response times of the requests intended in the window.
    pub response: Histogram<u64>,
    /// Values above the range.
    pub clamped: u64,
    /// The op's times are no part of the summary's.
    pub apart: bool,
}

/// One worker, added up.
#[derive(Clone, Debug, Default)]
pub struct WorkerSum {
    /// Requests completed in the window.
    pub completed: u64,
    /// Completions per second in each whole interval.
    pub rates_per_s: Vec<f64>,
}

/// One interval, added up over the workers.
#[derive(Clone, Debug)]
pub struct IntervalSum {
    /// When it began.
    pub start: Tick,
    /// When it ended.
    pub end: Tick,
    /// Its counters.
    pub counts: Counts,
    /// Requests that ended in it without a reply; they count at their age below.
    pub censored: u64,
    /// Mean response time, ns; `None` when nothing ended.
    pub mean_ns: Option<f64>,
    /// Median, 99th percentile and maximum of the same.
    pub response_ns: Option<[u64; 3]>,
}

/// More intervals than there are.
const GONE: u32 = u32::MAX;

#[derive(Debug)]
struct Pending {
    sum: IntervalSum,
    response: Histogram<u64>,
}

/// The sum of all sets.
#[derive(Debug)]
pub struct Aggregate {
    workers: Vec<WorkerSum>,
    /// By worker: how many intervals it has handed over, [`GONE`] when no more will come.
    handed_over: Vec<u32>,
    interval_ns: u64,
    /// The whole run.
    pub total: Counts,
    /// The measured window.
    pub window: Counts,
    /// By op and status.
    pub rows: BTreeMap<(u8, u16), RowSum>,
    /// Response time: the sum of the rows' and of the unanswered.
    pub response: Times,
    /// Service time; `None` in a closed loop, where it equals response time.
    pub service: Option<Times>,
    /// Time to first byte.
    pub first_byte: Times,
    /// Schedule lag.
    pub lag: Times,
    /// Generator delay.
    pub delay: Times,
    /// Connect time, of the whole run.
    pub connect: Times,
    /// Latency from the origin stamp, where replies carry one.
    pub end_to_end: Times,
    /// Finished intervals, in order, up to [`INTERVALS_MAX`].
    pub intervals: Vec<IntervalSum>,
    pub(super) intervals_max: usize,
    latest: Option<IntervalSum>,
    pending: VecDeque<Pending>,
    first_pending: u32,
    /// When the last reply came into a finished set.
    pub last_end: Tick,
}

impl Aggregate {
    /// For `workers` workers with intervals of `interval_ns`.
    #[must_use]
    pub fn new(workers: usize, interval_ns: u64, open_loop: bool) -> Self {
        Self {
            workers: vec![WorkerSum::default(); workers],
            handed_over: vec![0; workers],
            interval_ns,
            total: Counts::default(),
            window: Counts::default(),
            rows: BTreeMap::new(),
            response: Times::default(),
            service: open_loop.then(Times::default),
            first_byte: Times::default(),
            lag: Times::default(),
            delay: Times::default(),
            connect: Times::default(),
            end_to_end: Times::default(),
            intervals: Vec::new(),
            intervals_max: INTERVALS_MAX,
            latest: None,
            pending: VecDeque::new(),
            first_pending: 0,
            last_end: Tick(0),
        }
    }

    /// The workers.
    #[must_use]
    pub fn workers(&self) -> &[WorkerSum] {
        &self.workers
    }

    /// The interval that was finished last.
    #[must_use]
    pub fn latest(&self) -> Option<&IntervalSum> {
        self.latest.as_ref()
    }

    /// Adds one set. The caller clears it and gives it back.
    pub fn add(&mut self, set: &Set) {
        let measured = matches!(set.stage, Stage::Measure(_));
        self.total.add(&set.counts);
        self.last_end = self.last_end.max(set.end);
        self.add_rows(set, measured);
        self.response.censor(set.of(Kind::CensoredResponse));
        if let Some(service) = &mut self.service {
            service.answer(set.of(Kind::Service));
            service.censor(set.of(Kind::CensoredService));
        }
        self.first_byte.answer(set.of(Kind::FirstByte));
        self.first_byte.censor(set.of(Kind::CensoredFirstByte));
        self.lag.answer(set.of(Kind::Lag));
        self.lag.censor(set.of(Kind::CensoredLag));
        self.delay.answer(set.of(Kind::Delay));
        self.connect.answer(set.of(Kind::Connect));
        self.connect.censor(set.of(Kind::CensoredConnect));
        self.end_to_end.answer(set.of(Kind::EndToEnd));
        if let Stage::Measure(index) = set.stage {
            self.window.add(&set.counts);
            self.add_interval(set, index);
            self.handed_over[set.worker] = index.saturating_add(1);
        }
        if set.last {
            self.handed_over[set.worker] = GONE;
        }
        // Workers that are gone are not waited for: the others may go on for hours.
        let all_have = self.handed_over.iter().copied().min().unwrap_or(GONE);
        while self.first_pending < all_have && !self.pending.is_empty() {
            self.finish_interval();
        }
    }

    fn add_rows(&mut self, set: &Set, measured: bool) {
        for row in set.rows() {
            let sum = self
                .rows
                .entry((row.op, row.status))
                .or_insert_with(|| RowSum {
                    count: 0,
                    units: 0,
                    total_count: 0,
                    total_units: 0,
                    response: sum_histogram(),
                    clamped: 0,
                    apart: false,
                });
            sum.total_count += row.count;
            sum.total_units += row.units;
            if measured {
                sum.count += row.count;
                sum.units += row.units;
            }
            row.response.add_to(&mut sum.response);
            sum.clamped += row.response.clamped();
            sum.apart |= row.apart;
            if !row.apart {
                self.response.answer(&row.response);
            }
        }
    }

    fn add_interval(&mut self, set: &Set, index: u32) {
        let worker = &mut self.workers[set.worker];
        worker.completed += set.counts.completed;
        let length_ns = set.end.since(set.start);
        if length_ns == self.interval_ns && worker.rates_per_s.len() < self.intervals_max {
            worker
                .rates_per_s
                .push(set.counts.completed as f64 * 1e9 / length_ns as f64);
        }
        let Some(at) = index.checked_sub(self.first_pending) else {
            return;
        };
        while self.pending.len() <= at as usize {
            self.pending.push_back(Pending {
                sum: IntervalSum {
                    start: set.start,
                    end: set.end,
                    counts: Counts::default(),
                    censored: 0,
                    mean_ns: None,
                    response_ns: None,
                },
                response: sum_histogram(),
            });
        }
        let pending = &mut self.pending[at as usize];
        pending.sum.end = pending.sum.end.max(set.end);
        pending.sum.counts.add(&set.counts);
        for row in set.rows().iter().filter(|row| !row.apart) {
            row.response.add_to(&mut pending.response);
        }
        let censored = set.of(Kind::CensoredResponse);
        pending.sum.censored += censored.histogram().map_or(0, Histogram::len);
        censored.add_to(&mut pending.response);
    }

    fn finish_interval(&mut self) {
        let Some(Pending {
            mut sum, response, ..
        }) = self.pending.pop_front()
        else {
            return;
        };
        self.first_pending += 1;
        if !response.is_empty() {
            let at = |q| response.value_at_quantile(q);
            sum.mean_ns = Some(response.mean());
            sum.response_ns = Some([at(0.5), at(0.99), response.max()]);
        }
        if self.intervals.len() < self.intervals_max {
            self.intervals.push(sum.clone());
        }
        self.latest = Some(sum);
    }

    /// Nobody is left to hand anything over, not even those that broke: all intervals are finished.
    pub fn finish(&mut self) {
        while !self.pending.is_empty() {
            self.finish_interval();
        }
    }
}
