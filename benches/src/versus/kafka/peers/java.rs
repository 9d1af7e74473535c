//! Kafka's own tools, kafka-consumer-perf-test and kafka-producer-perf-test, in one JVM for as many
//! passes as a run takes.
//!
//! A pass of the long run is the whole topic, or as many records written; the short run has as many
//! passes of a quarter: JVM, compilation and joining a group as often go out. The tools' classes are
//! those of the release, called through their `main`.

use std::path::PathBuf;
use std::process::Command;

use super::super::super::model::{Job, Peer, Said, Written, on_path};
use super::super::{FETCH_BYTES, Task, config, resource};

/// The Java tools.
pub(crate) struct Java;

/// Calls a tool's `main` again and again.
const PASSES: &str = include_str!("../Passes.java");
/// What a pass of the short run has of that of the long one.
const SHARE: u64 = 4;

impl Peer for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn program(&self) -> Result<PathBuf, String> {
        config::jars()?;
        on_path("java")
    }

    fn slow(&self) -> bool {
        true
    }

    fn command(&self, job: &Job<'_>) -> Result<Command, String> {
        job.closed_only()?;
        let task = Task::of(job.work)?;
        let source = job.dir.join("Passes.java");
        std::fs::write(&source, PASSES).map_err(|error| format!("its caller: {error}"))?;
        let mut command = config::java(&config::TOOL_HEAP, job.dir)?;
        command.arg(source);
        let (topic, records) = resource(job)?;
        // Not to the very end: the short run's passes, too, leave off where there is more to come.
        let records = records - records / 20;
        let (passes, records) = match job.long {
            None => (0, records),
            Some(long) => (long.passes, records / SHARE),
        };
        let address = job.address.to_string();
        let records = records.to_string();
        let tool = if task.reads() { "Consumer" } else { "Producer" };
        command.arg(format!("org.apache.kafka.tools.{tool}Performance"));
        command.args([&passes.to_string(), &job.seconds.to_string()]);
        command.args(["--bootstrap-server", &address, "--topic", topic]);
        command.args(["--num-records", &records]);
        if task.reads() {
            // A group that has been there would go on where it was.
            command.args(["--group", "versus-#", "--hide-header"]);
            command.args(["--fetch-size", &FETCH_BYTES.to_string()]);
        } else {
            let batch = format!("batch.size={}", task.shape.batch_bytes);
            command.args(["--record-size", &task.shape.record_bytes.to_string()]);
            command.args(["--throughput", "-1"]);
            command.args([
                "--command-property",
                "acks=1",
                &batch,
                "buffer.memory=67108864",
            ]);
        }
        Ok(command)
    }

    fn parse(&self, written: &Written) -> Result<Said, String> {
        let passes: Vec<(u64, f64)> = written.out.lines().filter_map(pass).collect();
        let records = passes.iter().map(|(records, _)| records).sum();
        if records == 0 {
            return Err("it reports no records".into());
        }
        let bytes: f64 = passes.iter().map(|(_, mib)| mib * 1_048_576.0).sum();
        let mut said = Said::new(records, bytes as u64);
        said.passes = passes.len() as u64;
        Ok(said)
    }
}

/// Records and MiB of a pass, from the line at its end; MiB are 0 where they are not said exactly.
fn pass(line: &str) -> Option<(u64, f64)> {
    if line.ends_with("99.9th.") {
        let (records, _) = line.split_once(" records sent")?;
        return Some((records.parse().ok()?, 0.0));
    }
    // start, end, MiB, MiB/s, records, records/s, and four times.
    let words: Vec<&str> = line.split(", ").collect();
    let [_, _, mib, _, records, _, _, _, _, _] = words[..] else {
        return None;
    };
    Some((records.parse().ok()?, mib.parse().ok()?))
}
