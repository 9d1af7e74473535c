//! What a table must say of where it was made.

use std::process::Command;

use loadgen_core::host::provenance;
use serde::Serialize;
use serde_json::Value;

/// The machine, the date, the commit.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// UTC.
    pub(crate) date: String,
    /// Of this checkout, `-dirty` when it is not what was committed.
    pub(crate) commit: String,
    /// Kernel, processor, memory and settings.
    pub(crate) facts: Value,
}

impl Machine {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self {
            date: line("date", &["-u", "+%Y-%m-%d %H:%M"]),
            commit: line("git", &["describe", "--always", "--dirty"]),
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
            "{} CPUs, {}{virtual_machine}; Linux {}; {} UTC; commit {}",
            fact("logical_cpus"),
            fact("cpu_model"),
            fact("kernel_release"),
            self.date,
            self.commit,
        )
    }
}

/// The first line a program writes; empty where there is none.
fn line(program: &str, args: &[&str]) -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(args).current_dir(here).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
