//! Lists of CPUs, and which of them this process may use.
//!
//! Parsing is pure. Nothing here may pin or judge; see [`super::plan`].

use std::fmt::Write;

use super::cgroup;

/// The largest CPU number we can pin to: `cpu_set_t` of the C library has 1024 bits
/// (`CPU_SET(3)`).
pub const CPU_MAX: u32 = 1023;

/// What this thread, and the threads it will start, may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// The CPUs, in ascending order. Empty only where the kernel does not say.
    pub cpus: Vec<u32>,
    /// The cgroup's limit, in CPUs; `None` without one.
    pub quota: Option<f64>,
}

impl Allowed {
    /// Asks the kernel.
    ///
    /// The affinity mask is already the intersection of what `taskset` asked for and what the
    /// cpuset allows, in both cgroup versions: the kernel keeps it inside (`cpuset(7)`).
    #[must_use]
    pub fn read() -> Self {
        let cpus = affinity().unwrap_or_else(allowed_by_status);
        Self {
            cpus,
            quota: cgroup::quota(),
        }
    }

    /// How many CPUs can be kept busy at once: the smaller of the set and of the quota, which
    /// counts as a whole CPU for every part begun. At least 1.
    #[must_use]
    pub fn parallelism(&self) -> usize {
        let by_set = self.cpus.len().max(1);
        let by_quota = self.quota.map_or(by_set, |q| q.ceil().max(1.0) as usize);
        by_set.min(by_quota)
    }
}

fn affinity() -> Option<Vec<u32>> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    let cpus: Vec<u32> = (0..=CPU_MAX).filter(|&c| set.is_set(c as usize)).collect();
    (!cpus.is_empty()).then_some(cpus)
}

/// A kernel built for more CPUs than `cpu_set_t` holds refuses the call; the text has no such
/// limit (`proc_pid_status(5)`), but names CPUs that are offline too.
fn allowed_by_status() -> Vec<u32> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let online = online.and_then(|text| parse_list(text.trim()).ok());
    let mut cpus = allowed_in_status(&status);
    if let Some(online) = online {
        cpus.retain(|cpu| online.contains(cpu));
    }
    cpus
}

fn allowed_in_status(status: &str) -> Vec<u32> {
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
    line.and_then(|list| parse_list(list.trim()).ok())
        .unwrap_or_default()
}

/// Reads `2-5,8`. The order is kept: it is the order of the workers.
///
/// # Errors
/// A sentence that names the part, the limit and the value.
pub fn parse_list(text: &str) -> Result<Vec<u32>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (low, high) = match part.split_once('-') {
            Some((low, high)) => (number(low, text)?, number(high, text)?),
            None => (number(part, text)?, number(part, text)?),
        };
        if low > high {
            return Err(format!(
                "{part:?} in {text:?} runs backwards: {low} is above {high}"
            ));
        }
        for cpu in low..=high {
            if cpus.contains(&cpu) {
                return Err(format!("CPU {cpu} is named twice in {text:?}"));
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

fn number(digits: &str, text: &str) -> Result<u32, String> {
    let cpu: u32 = digits.trim().parse().map_err(|_| {
        format!("{digits:?} in {text:?} is not a CPU number; a list looks like 2-5,8")
    })?;
    if cpu > CPU_MAX {
        return Err(format!(
            "CPU {cpu} in {text:?} is above the limit of {CPU_MAX}"
        ));
    }
    Ok(cpu)
}

/// Writes `2-5,8`; neighbours in ascending order become a range.
#[must_use]
pub fn format_list(cpus: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .zip(first..)
            .take_while(|(cpu, expected)| **cpu == *expected)
            .count();
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = match run {
            1 => write!(text, "{first}"),
            _ => write!(text, "{first}-{}", rest[run - 1]),
        };
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order() {
        assert_eq!(parse_list("2-5,8"), Ok(vec![2, 3, 4, 5, 8]));
        assert_eq!(parse_list("8,2-3"), Ok(vec![8, 2, 3]));
        assert_eq!(parse_list("0"), Ok(vec![0]));
    }

    #[test]
    fn refusals_name_the_part() {
        for (text, part) in [
            ("", "\"\""),
            ("1,,2", "\"\""),
            ("x", "\"x\""),
            ("5-2", "backwards"),
            ("1-3,2", "CPU 2 is named twice"),
            ("1024", "1023"),
            ("-1", "\"\""),
            ("0-4294967295", "1023"),
        ] {
            let refused = parse_list(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn lists_are_written_as_ranges() {
        assert_eq!(format_list(&[2, 3, 4, 5, 8]), "2-5,8");
        assert_eq!(format_list(&[8, 2, 3]), "8,2-3");
        assert_eq!(format_list(&[0, 1]), "0-1");
        assert_eq!(format_list(&[]), "");
        let all: Vec<u32> = (0..=CPU_MAX).collect();
        assert_eq!(parse_list(&format_list(&all)), Ok(all));
    }

    #[test]
    fn the_status_file_names_them_too() {
        let status = "Name:\tx\nCpus_allowed:\tf0\nCpus_allowed_list:\t4-7\nMems_allowed:\t1\n";
        assert_eq!(allowed_in_status(status), [4, 5, 6, 7]);
        assert_eq!(allowed_in_status("Name:\tx\n"), Vec::<u32>::new());
    }

    #[test]
    fn a_part_of_a_cpu_counts_as_one() {
        let allowed = |count, quota| Allowed {
            cpus: (0..count).collect(),
            quota,
        };
        assert_eq!(allowed(8, None).parallelism(), 8);
        assert_eq!(allowed(8, Some(2.5)).parallelism(), 3);
        assert_eq!(allowed(8, Some(0.1)).parallelism(), 1);
        assert_eq!(allowed(2, Some(16.0)).parallelism(), 2);
        assert_eq!(allowed(0, None).parallelism(), 1);
    }

    #[test]
    fn this_thread_may_use_some_cpu() {
        let allowed = Allowed::read();
        assert!(!allowed.cpus.is_empty());
        assert!(allowed.cpus.is_sorted());
    }
}
