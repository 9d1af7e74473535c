//! What librdkafka's threads cost.
//!
//! They are started by a worker and inherit its CPU. Which instance one belongs to cannot be seen, so
//! the sum is divided evenly over the workers that have one. Nothing here may count a thread of ours.

use std::fs;
use std::path::Path;

use loadgen_core::driver::{CpuUsed, thread_cpu};

/// Names of librdkafka's threads begin so, and those that only serve it.
pub(super) const NAME: &str = "rdk:";

/// What the calling thread used so far, with its part of what librdkafka's threads of this process
/// did: one of `of`. `None` where the kernel does not say.
pub(super) fn used(of: u64) -> Option<CpuUsed> {
    let mut used = thread_cpu()?;
    let mut all = CpuUsed::default();
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        // One that has just ended is no reason to know nothing.
        let Some(theirs) = of_thread(&thread.path()) else {
            continue;
        };
        all.user_ns += theirs.user_ns;
        all.system_ns += theirs.system_ns;
        let waited = all.run_queue_wait_ns.unwrap_or(0);
        all.run_queue_wait_ns = Some(waited + theirs.run_queue_wait_ns.unwrap_or(0));
    }
    let part = |ns: u64| ns / of.max(1);
    used.user_ns += part(all.user_ns);
    used.system_ns += part(all.system_ns);
    used.run_queue_wait_ns = used
        .run_queue_wait_ns
        .map(|ns| ns + part(all.run_queue_wait_ns.unwrap_or(0)));
    Some(used)
}

/// `None`: it is not one of librdkafka's, or is gone.
fn of_thread(task: &Path) -> Option<CpuUsed> {
    let read = |name: &str| fs::read_to_string(task.join(name)).ok();
    read("comm")?
        .starts_with(NAME)
        .then(|| parse(&read("schedstat")?, &read("stat")?))?
}

/// The time is that of `schedstat`, in ns; `stat` has ticks only, but for user and kernel apart
/// (`proc(5)`, `proc_pid_stat(5)`).
pub(super) fn parse(schedstat: &str, stat: &str) -> Option<CpuUsed> {
    let mut numbers = schedstat.split_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    // The name in parentheses may have spaces.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut ticks = behind.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    let share = match user + system {
        0 => 0.5,
        all => user as f64 / all as f64,
    };
    let user_ns = (ran as f64 * share) as u64;
    Some(CpuUsed {
        user_ns,
        system_ns: ran - user_ns.min(ran),
        run_queue_wait_ns: Some(waited),
    })
}
