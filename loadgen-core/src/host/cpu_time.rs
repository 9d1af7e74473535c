//! CPU time of the whole machine, from `/proc/stat` (`proc_stat(5)`).
//!
//! On loopback much of the kernel's work for a peer runs in whichever process pokes it, so the
//! generator's own CPU time is only half of the truth. Nothing here may judge the numbers.

use std::time::Instant;

/// The states of the document, in its order, with the columns of `/proc/stat` that make them.
/// `guest` is part of `user` already, and `guest_nice` of `nice`.
const STATES: [(&str, &[usize]); 7] = [
    ("user", &[0, 1]),
    ("system", &[2]),
    ("softirq", &[6]),
    ("irq", &[5]),
    ("idle", &[3]),
    ("iowait", &[4]),
    ("steal", &[7]),
];

/// What all CPUs together have spent since the machine was started.
#[derive(Clone, Copy, Debug)]
pub struct CpuSample {
    at: Instant,
    ticks: [u64; STATES.len()],
}

/// What they spent between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuUse {
    /// The time between the samples, ns.
    pub window_ns: u64,
    /// One entry for each state.
    pub states: Vec<CpuState>,
}

/// Time spent in one state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuState {
    /// `user` (with nice), `system`, `softirq`, `irq`, `idle`, `iowait` or `steal`.
    pub state: &'static str,
    /// Seconds, over all CPUs.
    pub seconds: f64,
    /// Per cent of one CPU.
    pub percent: f64,
}

impl CpuSample {
    /// Reads it; `None` where the kernel does not say.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let at = Instant::now();
        let ticks = parse(&text)?;
        Some(Self { at, ticks })
    }

    /// What was spent since `earlier`. The kernel counts in ticks of (nearly always) 10 ms, so
    /// short windows are coarse; `iowait` can even run backwards, which counts as nothing.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> CpuUse {
        let window = self.at.saturating_duration_since(earlier.at);
        let tick_s = 1.0 / rustix::param::clock_ticks_per_second().max(1) as f64;
        let used = |i: usize| self.ticks[i].saturating_sub(earlier.ticks[i]);
        let states = STATES.iter().enumerate().map(|(i, &(state, _))| {
            let seconds = used(i) as f64 * tick_s;
            let share = seconds / window.as_secs_f64();
            CpuState {
                state,
                seconds,
                percent: if share.is_finite() {
                    share * 100.0
                } else {
                    0.0
                },
            }
        });
        CpuUse {
            window_ns: crate::time::nanos(window),
            states: states.collect(),
        }
    }
}

fn parse(text: &str) -> Option<[u64; STATES.len()]> {
    let line = text.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let columns: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // Four columns since ever; the others came with later kernels.
    if columns.len() < 4 {
        return None;
    }
    Some(STATES.map(|(_, parts)| {
        let found = parts.iter().filter_map(|&i| columns.get(i));
        found.fold(0, |sum: u64, ticks| sum.saturating_add(*ticks))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const STAT: &str = "cpu  100 20 30 4000 5 6 7 8 9 1\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n";

    #[test]
    fn columns_go_to_their_states() {
        assert_eq!(parse(STAT), Some([120, 30, 7, 6, 4000, 5, 8]));
        assert_eq!(parse("cpu  1 2 3 4\n"), Some([3, 3, 0, 0, 4, 0, 0]));
        assert_eq!(parse("cpu  1 2 3\n"), None);
        assert_eq!(parse("cpu0 1 2 3 4\n"), None);
    }

    #[test]
    fn a_difference_is_seconds_and_per_cent_of_one_cpu() {
        let at = Instant::now();
        let hz = rustix::param::clock_ticks_per_second();
        let earlier = CpuSample { at, ticks: [5; 7] };
        let mut ticks = [5; 7];
        ticks[0] += 3 * hz;
        ticks[5] = 4;
        let later = CpuSample {
            at: at + Duration::from_secs(2),
            ticks,
        };
        let used = later.since(&earlier);
        assert_eq!(used.window_ns, 2_000_000_000);
        assert_eq!(used.states.len(), 7);
        assert_eq!(used.states[0].state, "user");
        assert!((used.states[0].seconds - 3.0).abs() < 1e-9);
        assert!((used.states[0].percent - 150.0).abs() < 1e-9);
        assert_eq!(used.states[5].seconds, 0.0, "iowait ran backwards");
        let nothing = earlier.since(&earlier);
        assert!(nothing.states.iter().all(|s| s.percent == 0.0));
    }

    #[test]
    fn this_machine_says_it() {
        let sample = CpuSample::read().unwrap();
        assert!(sample.ticks[4] > 0, "never idle");
    }
}
