//! What a table must say of where it was made.

use std::process::Command;
use std::time::Duration;

use loadgen_core::host::{CpuSample, CpuUse, provenance};
use serde::Serialize;
use serde_json::Value;

/// The machine, the date, the commit.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// UTC.
    pub(crate) date: String,
    /// Of this checkout, `-dirty` when it is not what was committed.
    pub(crate) commit: String,
    /// Cores that others kept busy just before: these numbers are worth little when it is not 0.
    pub(crate) busy_cores_before: f64,
    /// Kernel, processor, memory and settings.
    pub(crate) facts: Value,
}

impl Machine {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self {
            date: line("date", &["-u", "+%Y-%m-%d %H:%M"]),
            commit: line("git", &["describe", "--always", "--dirty"]),
            busy_cores_before: busy_cores(),
            facts: provenance(),
        }
    }

    /// One line for people.
    pub(crate) fn sentence(&self) -> String {
        let fact = |name: &str| match &self.facts[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let virtual_machine = if self.facts["hypervisor"] == Value::Bool(true) {
            " (virtual machine)"
        } else {
            ""
        };
        format!(
            "{} CPUs, {}{virtual_machine}; Linux {}; {} UTC; commit {}; {:.2} cores busy beforehand",
            fact("logical_cpus"),
            fact("cpu_model"),
            fact("kernel_release"),
            self.date,
            self.commit,
            self.busy_cores_before,
        )
    }
}

/// Cores busy over a second; NaN where the kernel does not say.
fn busy_cores() -> f64 {
    let Some(before) = CpuSample::read() else {
        return f64::NAN;
    };
    std::thread::sleep(Duration::from_secs(1));
    CpuSample::read().map_or(f64::NAN, |now| busy_s(&now.since(&before)))
}

/// CPU time of the machine that was not idle, s.
pub(crate) fn busy_s(used: &CpuUse) -> f64 {
    let busy = |state: &str| !matches!(state, "idle" | "iowait" | "steal");
    let states = used.states.iter().filter(|s| busy(s.state));
    states.map(|s| s.seconds).sum()
}

/// The first line a program writes; empty where there is none.
fn line(program: &str, args: &[&str]) -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(args).current_dir(here).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
