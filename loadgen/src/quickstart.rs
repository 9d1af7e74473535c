//! `loadgen quickstart`: the suite on embedded targets, in this process, in under 15 seconds.
//!
//! Generator and target share the machine, so its numbers say what this machine can do, not what
//! a network can: the doubts are printed with them. Nothing here may hide one.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen::render::units;
use loadgen_core::engine::EngineOptions;
use loadgen_core::host;
use loadgen_core::pace::{Arrival, Pacing};
use loadgen_core::results::{Caption, Document, exit};
use loadgen_core::run::{Options, start};
use loadgen_core::stop::Stop;
use loadgen_http::{HttpPlan, HttpScenario, HttpSpec, target as http};
use loadgen_kafka::spec::{
    Acks, ClusterSpec, ConsumeSpec, Depth, From, Isolation, Partitioner, ProduceSpec, RecordSpec,
    Until,
};
use loadgen_kafka::target as kafka;
use loadgen_kafka::wire::batch::Codec;
use loadgen_memcache::{MemcachePlan, MemcacheScenario, MemcacheSpec, Prefill, target as memcache};

use crate::failure::Failure;
use crate::launch::findings;
use crate::output::{self, Files};
use crate::signals::Signals;
use crate::{command, drive, run_kafka, run_memcache};

/// What can be typed behind `loadgen quickstart`.
#[derive(Debug, clap::Args)]
pub(crate) struct QuickstartArgs {
    /// Folder for the documents, loadgen-quickstart-*.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// No progress on stderr [default: a line on a terminal]
    #[arg(long)]
    quiet: bool,
}

/// Measured for so long, each.
const WINDOW: Duration = Duration::from_millis(800);
/// After so much load.
const WARMUP: Duration = Duration::from_millis(300);

/// One run of the suite.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Its name in the table and in its file.
    name: &'static str,
    what: What,
    connections: u32,
    /// An open loop, at this part of the rate that the first step reached.
    part_of_first: Option<f64>,
}

/// What is asked, and of which target.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A path.
    Http(&'static str),
    /// 64-byte keys, 1024-byte values, 1 SET to 9 GETs, over keys that are all there.
    Memcache,
    /// Reads records of so many bytes, by the headers of their batches. 1 MB is 10^6 bytes: 2^20 is
    /// more than a broker takes by default.
    Kafka(u32),
    /// Writes batches of such records, acknowledged by the leader.
    KafkaProduce(u32),
}

const STEPS: [Step; 8] = [
    Step {
        name: "http-1kb-closed",
        what: What::Http("/bytes/1024"),
        connections: 32,
        part_of_first: None,
    },
    Step {
        name: "http-1mb-closed",
        what: What::Http("/bytes/1048576"),
        connections: 8,
        part_of_first: None,
    },
    Step {
        name: "http-1kb-open",
        what: What::Http("/bytes/1024"),
        connections: 32,
        part_of_first: Some(0.25),
    },
    Step {
        name: "memcache-1kb-closed",
        what: What::Memcache,
        connections: 32,
        part_of_first: None,
    },
    Step {
        name: "kafka-1kb-consume",
        what: What::Kafka(RECORDS_BYTES[0]),
        connections: 4,
        part_of_first: None,
    },
    Step {
        name: "kafka-1mb-consume",
        what: What::Kafka(RECORDS_BYTES[1]),
        connections: 4,
        part_of_first: None,
    },
    Step {
        name: "kafka-1kb-produce",
        what: What::KafkaProduce(RECORDS_BYTES[0]),
        connections: 4,
        part_of_first: None,
    },
    Step {
        name: "kafka-1mb-produce",
        what: What::KafkaProduce(RECORDS_BYTES[1]),
        connections: 4,
        part_of_first: None,
    },
];

/// Values of Kafka's records: a target for each.
const RECORDS_BYTES: [u32; 2] = [1000, 1_000_000];
/// The topic of the targets.
const TOPIC: &str = "quickstart";

/// The rate of the open loop, where the first step says nothing or very much.
const RATE_MIN_PER_S: f64 = 100.0;
const RATE_MAX_PER_S: f64 = 20_000.0;

/// Runs the suite. The exit code is 0 with doubts too; 3, 70 and 130 as in any run.
///
/// # Errors
/// Why there was no run, or why a document could not be written.
pub(crate) fn run(args: &QuickstartArgs, typed: &[OsString]) -> Result<u8, Failure> {
    let paths: Vec<PathBuf> = STEPS.iter().map(|step| file_of(&args.out, step)).collect();
    std::fs::create_dir_all(&args.out).map_err(|error| {
        let folder = args.out.display();
        Failure::output(format!("the folder {folder} cannot be made: {error}"))
    })?;
    let files: Vec<Files> = paths
        .iter()
        .map(|path| Files::of(Some(path), None))
        .collect::<Result<_, _>>()?;
    let signals = drive::signals()?;
    let place = Place::choose();
    let targets = place.targets()?;
    let mut documents: Vec<Document> = Vec::new();
    for (step, files) in STEPS.iter().zip(files) {
        let first = documents
            .first()
            .and_then(|d| d.summary.rate.achieved_per_s);
        let options = place.options(step, first, typed);
        let document = targets.measure(step.what, options, &signals, args.quiet)?;
        files.write(&document)?;
        let code = document.verdict.exit_code;
        documents.push(document);
        if [exit::BUG, exit::INTERRUPTED, exit::TARGET].contains(&code) {
            output::stdout(&report(&documents, &paths))?;
            return Ok(code);
        }
    }
    output::stdout(&report(&documents, &paths))?;
    Ok(exit::OK)
}

fn file_of(folder: &Path, step: &Step) -> PathBuf {
    folder.join(format!("loadgen-quickstart-{}.json", step.name))
}

/// One CPU for the generator and another for the target, where there are two.
#[derive(Debug)]
struct Place {
    generator: Option<u32>,
    target: Option<u32>,
}

impl Place {
    fn choose() -> Self {
        let allowed = host::Allowed::read();
        match (allowed.parallelism(), allowed.cpus.as_slice()) {
            (2.., [first, .., last]) => Self {
                generator: Some(*first),
                target: Some(*last),
            },
            _ => Self {
                generator: None,
                target: None,
            },
        }
    }

    /// Starts the targets. Their threads inherit the CPU of the thread that makes them.
    fn targets(&self) -> Result<Targets, Failure> {
        let cpu = self.target;
        let maker = std::thread::spawn(move || {
            if let Some(cpu) = cpu {
                // Refused, the targets run anywhere; the table's doubts say what that did.
                let _ = host::pin_current(0, cpu);
            }
            Ok(Targets {
                http: http::Target::start(http::TargetOptions::default())?,
                memcache: memcache::Target::start(memcache::TargetOptions::default())?,
                kafka: RECORDS_BYTES
                    .into_iter()
                    .map(|bytes| kafka::Target::start(kafka_options(bytes)))
                    .collect::<Result<_, _>>()?,
            })
        });
        match maker.join() {
            Ok(Ok(targets)) => Ok(targets),
            Ok(Err(error)) => Err(Failure::environment(std::io::Error::to_string(&error))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn options(&self, step: &Step, first_per_s: Option<f64>, typed: &[OsString]) -> Options {
        let pacing = match step.part_of_first {
            None => Pacing::Closed,
            Some(part) => Pacing::Open {
                rate_per_s: rate(first_per_s.unwrap_or_default() * part),
                arrival: Arrival::Poisson,
            },
        };
        Options {
            engine: EngineOptions {
                connections: step.connections,
                pacing,
                stop: Stop::After(WINDOW),
                warmup: WARMUP,
                interval: Duration::from_millis(500),
                ..EngineOptions::default()
            },
            workers: Some(1),
            cpus: self.generator.map(|cpu| vec![cpu]),
            unpinned: self.generator.is_none(),
            caption: Caption {
                command: command::recorded(typed),
                ..Caption::default()
            },
        }
    }
}

/// One of each kind.
#[derive(Debug)]
struct Targets {
    http: http::TargetHandle,
    memcache: memcache::TargetHandle,
    /// In the order of [`RECORDS_BYTES`].
    kafka: Vec<kafka::TargetHandle>,
}

impl Targets {
    fn measure(
        &self,
        what: What,
        options: Options,
        signals: &Signals,
        quiet: bool,
    ) -> Result<Document, Failure> {
        match what {
            What::Http(path) => {
                let url = format!("http://{}{path}", self.http.address());
                let spec = HttpSpec {
                    urls: vec![url.as_str().into()],
                    ..HttpSpec::default()
                };
                let handle = start(HttpScenario::new(HttpPlan::new(spec)?), options)?;
                Ok(drive::to_end(handle, signals, quiet))
            }
            What::Memcache => {
                let spec = MemcacheSpec {
                    servers: vec![self.memcache.address().to_string()],
                    prefill: Prefill::All,
                    ..MemcacheSpec::default()
                };
                let scenario = MemcacheScenario::new(MemcachePlan::new(spec)?);
                run_memcache::measure(&scenario, &options, signals, quiet)
            }
            What::Kafka(bytes) => {
                let spec = consume_spec(self.broker(bytes)?, bytes);
                run_kafka::flow::consume(&spec, options, |handle| {
                    drive::to_end(handle, signals, quiet)
                })
            }
            What::KafkaProduce(bytes) => {
                let writes = run_kafka::flow::Writes {
                    spec: &produce_spec(self.broker(bytes)?, bytes),
                    records: None,
                    create: None,
                };
                run_kafka::flow::produce(writes, options, |handle| {
                    drive::to_end(handle, signals, quiet)
                })
            }
        }
    }

    /// The cluster whose records have so many bytes.
    fn broker(&self, record_bytes: u32) -> Result<ClusterSpec, Failure> {
        let mut targets = RECORDS_BYTES.iter().zip(&self.kafka);
        let found = targets.find(|(of, _)| **of == record_bytes);
        let (_, target) = found.ok_or_else(|| Failure::environment("the target is not there"))?;
        Ok(ClusterSpec {
            bootstrap: vec![target.address().to_string()],
            sasl: None,
            client_id: "loadgen".to_owned(),
        })
    }
}

fn kafka_options(record_bytes: u32) -> kafka::TargetOptions {
    kafka::TargetOptions {
        topics: vec![TOPIC.to_owned()],
        record_bytes,
        ..kafka::TargetOptions::default()
    }
}

/// What `loadgen kafka consume` asks for by itself. The target's log has no end that is reached.
fn consume_spec(cluster: ClusterSpec, record_bytes: u32) -> ConsumeSpec {
    ConsumeSpec {
        cluster,
        topic: TOPIC.to_owned(),
        partitions: Vec::new(),
        from: From::Earliest,
        until: Until::End,
        records: None,
        partition_max_bytes: 1 << 20,
        fetch_max_bytes: 50 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
        isolation: Isolation::ReadUncommitted,
        depth: Depth::Headers,
        seeded_record_bytes: Some(record_bytes),
    }
}

/// What `loadgen kafka produce --acks 1` asks for by itself.
fn produce_spec(cluster: ClusterSpec, record_bytes: u32) -> ProduceSpec {
    ProduceSpec {
        cluster,
        topic: TOPIC.to_owned(),
        partitions: Vec::new(),
        records: RecordSpec {
            value_bytes: record_bytes,
            key_bytes: None,
            headers: Vec::new(),
            codec: Codec::None,
            batch_bytes: 128 * 1024,
        },
        acks: Acks::Leader,
        partitioner: Partitioner::RoundRobin,
        timeout_ms: 3000,
        seed: 0,
    }
}

/// Whole hundreds: a rate that can be typed again.
fn rate(per_s: f64) -> f64 {
    let hundreds = (per_s / 100.0).floor() * 100.0;
    hundreds.clamp(RATE_MIN_PER_S, RATE_MAX_PER_S)
}

/// What a run is about: what it read, or what it wrote where that is more.
fn moved(rx: Option<f64>, tx: Option<f64>) -> Option<f64> {
    rx.into_iter().chain(tx).reduce(f64::max)
}

/// The table, the findings and the files; `—` where nothing is known.
fn report(documents: &[Document], paths: &[PathBuf]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<20} {:>11} {:>9} {:>9} {:>9} {:>9} {:>14}  verdict",
        "run", "requests/s", "MB/s", "p50", "p99", "p99.9", "CPU µs/request"
    );
    for (step, document) in STEPS.iter().zip(documents) {
        let summary = &document.summary;
        let latency = &summary.response_time;
        let number = |value: Option<f64>| value.map_or("—".to_owned(), units::number);
        let time = |value: Option<u64>| value.map_or("—".to_owned(), |ns| units::time(ns as f64));
        let _ = writeln!(
            text,
            "{:<20} {:>11} {:>9} {:>9} {:>9} {:>9} {:>14}  {}",
            step.name,
            number(summary.rate.achieved_per_s),
            number(moved(
                summary.payload.rx_mb_per_s,
                summary.payload.tx_mb_per_s
            )),
            time(latency.p50_ns),
            time(latency.p99_ns),
            time(latency.p999_ns),
            number(summary.efficiency.generator_cpu_us_per_request),
            if document.verdict.valid {
                "valid"
            } else {
                "invalid"
            },
        );
    }
    let _ = writeln!(
        text,
        "\nGenerator and target shared this machine: these are its limits, not a network's."
    );
    for (line, steps) in doubts(documents) {
        let _ = writeln!(text, "{line} ({})", steps.join(", "));
    }
    let written = paths.iter().take(documents.len());
    let names: Vec<String> = written.map(|path| path.display().to_string()).collect();
    let _ = writeln!(text, "\nDocuments: {}", names.join(" "));
    text
}

/// Every finding once, with the runs that have it.
fn doubts(documents: &[Document]) -> Vec<(String, Vec<&'static str>)> {
    let mut all: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (step, document) in STEPS.iter().zip(documents) {
        for line in findings(document) {
            match all.iter_mut().find(|(known, _)| *known == line) {
                Some((_, steps)) => steps.push(step.name),
                None => all.push((line, vec![step.name])),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_core::results::sample;

    #[test]
    fn the_suite_is_over_in_under_15_seconds() {
        let planned = (WINDOW + WARMUP) * STEPS.len() as u32;
        assert!(planned <= Duration::from_secs(10), "{planned:?}");
    }

    #[test]
    fn rates_are_round_and_bounded() {
        assert_eq!(rate(0.0), RATE_MIN_PER_S);
        assert_eq!(rate(4567.8), 4500.0);
        assert_eq!(rate(1e9), RATE_MAX_PER_S);
    }

    #[test]
    fn the_table_has_a_row_a_run_and_every_doubt() {
        let mut document = sample::document(false);
        document.findings.push(loadgen_core::results::Finding {
            code: "made_up".to_owned(),
            weight: loadgen_core::results::Weight::Doubt,
            actual: None,
            limit: None,
            unit: None,
            hint: "look twice".to_owned(),
        });
        document.summary.response_time.p999_ns = None;
        let paths = vec![PathBuf::from("a.json"), PathBuf::from("b.json")];
        let text = report(&[document], &paths);
        assert!(text.lines().nth(1).unwrap().starts_with("http-1kb-closed "));
        assert!(text.contains("—"), "{text}");
        assert!(text.contains("doubt: made_up: look twice (http-1kb-closed)"));
        assert!(text.ends_with("Documents: a.json\n"), "{text}");
    }
}
