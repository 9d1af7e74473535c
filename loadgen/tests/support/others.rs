//! How much of the machine was busy with work that is not the test's.

use std::time::Duration;

/// CPU time of the whole machine since it booted (proc(5), `/proc/stat`), USER_HZ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    busy: u64,
    all: u64,
}

impl Others {
    /// Begins to watch.
    #[track_caller]
    pub(crate) fn begin() -> Self {
        let text = std::fs::read_to_string("/proc/stat").expect("the machine's CPU time");
        parse(&text)
    }

    /// The share of the machine, 0 to 1, that was busy since then and not with us, who used `own`.
    #[track_caller]
    pub(crate) fn end(self, own: Duration) -> f64 {
        let now = Self::begin();
        share(self, now, own)
    }
}

fn share(from: Others, to: Others, own: Duration) -> f64 {
    let busy = (to.busy - from.busy) as f64;
    let all = (to.all - from.all).max(1) as f64;
    // USER_HZ is 100 on every Linux there is.
    ((busy - own.as_secs_f64() * 100.0) / all).max(0.0)
}

#[track_caller]
fn parse(text: &str) -> Others {
    let line = text.lines().next().expect("a line");
    let fields = line.split_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let times: Vec<u64> = fields.take(8).filter_map(|f| f.parse().ok()).collect();
    assert_eq!(times.len(), 8, "{line:?}");
    let all = times.iter().sum();
    let busy = all - times[3] - times[4];
    Others { busy, all }
}

#[test]
fn a_share_is_what_is_left() {
    let from = parse("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1\n");
    let to = parse("cpu  150 0 130 915 5 0 0 0 0 0\n");
    // 80 of 200 were busy, 50 of them ours.
    let foreign = share(from, to, Duration::from_millis(500));
    assert!((foreign - 0.15).abs() < 1e-9, "{foreign}");
}
