//! `instructions`: how many instructions the engine spends on a request, against a baseline.
//!
//! Time on a shared machine cannot show a change of some per cent; a count can. A run of N requests
//! and one of 2N are counted, and the difference is divided by N: start and end cancel out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::build;
use crate::versus::on_path;

/// What is counted, and what of it are the simulated sockets: see `sim-loop`. Cases with the same
/// sockets stand together, so that those are counted once.
const CASES: [(&str, &str); 3] = [
    ("closed", "sockets"),
    ("open", "sockets"),
    ("pipelined", "sockets-pipelined"),
];

/// What was typed.
#[derive(Args, Debug)]
pub(crate) struct InstructionsArgs {
    /// Requests of the shorter run
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    requests: u64,
    /// How far a count may be from the baseline, per cent: code that is not run moves what is inlined
    /// by about one
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    tolerance: f64,
    /// Write the counts as the new baseline; say why in the commit
    #[arg(long)]
    update: bool,
    /// The baseline [default: benches/baseline.json of this checkout]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// Instructions per request by case, and what made them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Baseline {
    /// `callgrind` or `perf`.
    counter: String,
    /// Another compiler makes other code.
    compiler: String,
    /// The counts.
    cases: Vec<Case>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    name: String,
    /// The engine, the session and the recorder.
    instructions_per_request: f64,
    /// The simulated sockets, taken out of it.
    sockets_per_request: f64,
}

/// Counts, compares or writes.
pub(crate) fn run(args: &InstructionsArgs) -> Result<(), String> {
    if args.requests < 1000 {
        let given = args.requests;
        return Err(format!("--requests {given}: at least 1000"));
    }
    let counter = Counter::find()?;
    let program = build::binary("loadgen-benches", "sim-loop")?;
    let each = |case: &str| -> Result<f64, String> {
        let few = counter.count(&program, case, args.requests)?;
        let many = counter.count(&program, case, 2 * args.requests)?;
        let more = many.checked_sub(few).ok_or("the longer run took less")?;
        // Tenths are more than any tolerance needs.
        Ok((more as f64 / args.requests as f64 * 10.0).round() / 10.0)
    };
    let mut cases = Vec::new();
    let mut last = ("", 0.0);
    for (name, sockets) in CASES {
        if last.0 != sockets {
            last = (sockets, each(sockets)?);
        }
        let sockets_per_request = last.1;
        cases.push(Case {
            name: name.to_owned(),
            instructions_per_request: (each(name)? - sockets_per_request).round(),
            sockets_per_request,
        });
    }
    let now = Baseline {
        counter: counter.name().to_owned(),
        compiler: compiler(),
        cases,
    };
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
    let path = args.baseline.clone().unwrap_or(default);
    if args.update {
        return write(&path, &now);
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; make it with --update", path.display()))?;
    let then =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    compare(&now, &then, args.tolerance)
}

fn write(path: &Path, now: &Baseline) -> Result<(), String> {
    for case in &now.cases {
        println!("{:<10} {:>9.1}", case.name, case.instructions_per_request);
    }
    let text = serde_json::to_string_pretty(now).map_err(|error| error.to_string())?;
    std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

/// Prints every case; an error when one is further off than `tolerance` per cent. A count that fell
/// is one too: the baseline must be moved, or the next rise hides in it.
fn compare(now: &Baseline, then: &Baseline, tolerance: f64) -> Result<(), String> {
    if (&now.counter, &now.compiler) != (&then.counter, &then.compiler) {
        println!(
            "note: the baseline is of {} with {}, this is {} with {}",
            then.counter, then.compiler, now.counter, now.compiler
        );
    }
    let mut off = Vec::new();
    for case in &now.cases {
        let count = case.instructions_per_request;
        let before = then.cases.iter().find(|c| c.name == case.name);
        let Some(before) = before.map(|c| c.instructions_per_request) else {
            off.push(format!("{} has no baseline", case.name));
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        println!(
            "{:<10} {count:>9.1} instructions/request, baseline {before:.1}, {change:+.2} %",
            case.name
        );
        if change.is_nan() || change.abs() > tolerance {
            off.push(format!("{} {change:+.2} %", case.name));
        }
    }
    if off.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {tolerance} % off the baseline: {}; if it is meant, run with --update and say \
         why in the commit",
        off.join(", ")
    ))
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let version = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    let version = version.unwrap_or_default();
    format!("{version} on {}", std::env::consts::ARCH)
}

/// What counts.
#[derive(Debug)]
enum Counter {
    /// Valgrind: exact, forty times slower, everywhere.
    Callgrind(PathBuf),
    /// The processor's own counter: not in every virtual machine.
    Perf(PathBuf),
}

impl Counter {
    fn find() -> Result<Self, String> {
        let valgrind = on_path("valgrind").map(Self::Callgrind);
        valgrind.or_else(|_| {
            let perf = on_path("perf").map(Self::Perf);
            perf.map_err(|_| "neither valgrind nor perf is on PATH".to_owned())
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Callgrind(_) => "callgrind",
            Self::Perf(_) => "perf",
        }
    }

    fn count(&self, program: &Path, case: &str, requests: u64) -> Result<u64, String> {
        let mut command = match self {
            Self::Callgrind(path) => {
                let mut command = Command::new(path);
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command
            }
            Self::Perf(path) => {
                let mut command = Command::new(path);
                command.args(["stat", "-x,", "-e", "instructions:u", "--"]);
                command
            }
        };
        command.arg(program).arg(case).arg(requests.to_string());
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.name()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let last = said.lines().last().unwrap_or_default();
            return Err(format!("sim-loop {case} {requests}: {last}"));
        }
        let counted = match self {
            Self::Callgrind(_) => callgrind(&said),
            Self::Perf(_) => perf(&said),
        };
        counted.ok_or_else(|| format!("{} counted nothing: {}", self.name(), said.trim()))
    }
}

/// `==12== Collected : 123456`
fn callgrind(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}

/// `123456,,instructions:u,…`, or `<not supported>` in the first place.
fn perf(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("instructions"))?;
    line.split(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let said = "==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 123456\n";
        assert_eq!(callgrind(said), Some(123_456));
        assert_eq!(perf("99,,instructions:u,100,100.00,,\n"), Some(99));
        assert_eq!(perf("<not supported>,,instructions:u,0,100.00,,\n"), None);
    }

    #[test]
    fn a_slower_and_a_faster_loop_are_both_off() {
        let of = |count: f64| Baseline {
            counter: "callgrind".into(),
            compiler: "x".into(),
            cases: vec![Case {
                name: "closed".into(),
                instructions_per_request: count,
                sockets_per_request: 1.0,
            }],
        };
        assert!(compare(&of(101.0), &of(100.0), 2.0).is_ok());
        assert!(compare(&of(105.0), &of(100.0), 2.0).is_err());
        assert!(compare(&of(95.0), &of(100.0), 2.0).is_err());
        let mut other = of(100.0);
        other.cases[0].name = "open".into();
        assert!(compare(&of(100.0), &other, 2.0).is_err());
    }
}
