//! The flags of kafka-producer-perf-test, 2.x to 4.x: what can be typed and what it means.
//!
//! Pure but for the files of settings, which are read here. What the tool refuses, this refuses,
//! in its words where a script may look for them.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen_kafka::plan;
use loadgen_kafka::spec::{Acks, Partitioner, ProduceSpec, RecordSpec};
use loadgen_kafka::wire::batch::{Codec, HEADER_BYTES};

use super::argparse4j::{Flag, Item, Takes, only, parse, values};
use super::client::{Client, Defaults, note};
use super::properties::{Missing, Properties};

/// The name in messages.
pub(super) const NAME: &str = "kafka-producer-perf-test";

/// Every flag of every version, and ours: `threads` and `json`.
const FLAGS: [Flag; 21] = [
    flag("bootstrap-server", Takes::One),
    flag("topic", Takes::One),
    flag("num-records", Takes::One),
    flag("record-size", Takes::One),
    flag("payload-file", Takes::One),
    flag("payload-delimiter", Takes::One),
    flag("payload-monotonic", Takes::Nothing),
    flag("throughput", Takes::One),
    flag("producer-props", Takes::Some),
    flag("producer.config", Takes::One),
    flag("command-property", Takes::Some),
    flag("command-config", Takes::One),
    flag("print-metrics", Takes::Nothing),
    flag("transactional-id", Takes::One),
    flag("transaction-duration-ms", Takes::One),
    flag("warmup-records", Takes::One),
    flag("reporting-interval", Takes::One),
    flag("threads", Takes::One),
    flag("json", Takes::One),
    flag("help", Takes::Nothing),
    flag("version", Takes::Nothing),
];

/// The help text: the same flags, and what is ours besides.
pub(super) const USAGE: &str = "\
usage: kafka-producer-perf-test --topic TOPIC --num-records N --record-size BYTES
       --throughput N --bootstrap-server HOST:PORT[,...] [options]

This tool is used to verify the producer performance.
  --bootstrap-server HOST:PORT[,...]  The brokers to begin with
  --topic TOPIC                       The topic to write to
  --num-records N                     Records to write
  --record-size BYTES                 Bytes of a value
  --throughput N                      Records per second, kept to the nanosecond; -1: no limit
  --command-property NAME=VALUE ...   Settings of the producer; --producer-props before 4.2
  --command-config FILE               The same in a file; --producer.config before 4.2
  --reporting-interval MS             Between two lines of the report [default: 5000]
  --print-metrics                     Our numbers under the names of the Java client's metrics
  --threads N                         Worker threads, pinned, each with connections of its own;
                                      ours [default: 1]
  --json=FILE                         Write the results document of loadgen to FILE
  --payload-file, --payload-delimiter, --payload-monotonic
                                      Refused: values are made before the run
  --transactional-id, --transaction-duration-ms
                                      Refused: no transactions are written
  --warmup-records N                  Refused unless 0: warm-up is a time here
  --version                           The version
  -h, --help                          This text
";

const fn flag(name: &'static str, takes: Takes) -> Flag {
    Flag { name, takes }
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// What is written.
    pub(super) spec: ProduceSpec,
    /// Records, in total.
    pub(super) records: u64,
    /// Records per second; `None`: as fast as it goes.
    pub(super) rate_per_s: Option<f64>,
    /// Settings of the client that are the engine's business.
    pub(super) client: Client,
    /// Requests in flight on a connection.
    pub(super) depth: u32,
    /// Worker threads.
    pub(super) threads: u32,
    /// Between two lines of the report.
    pub(super) interval: Duration,
    /// Metrics at the end.
    pub(super) metrics: bool,
    /// Where the document goes.
    pub(super) json: Option<PathBuf>,
    /// Lines for stderr.
    pub(super) notes: Vec<String>,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Typed {
    /// A run.
    Run(Box<Ask>),
    /// The help text, and whether the tool exits with 0 behind it: only where nothing was typed.
    Help {
        /// Nothing was typed.
        bare: bool,
    },
    /// The version.
    Version,
}

/// Reads the words behind the name.
///
/// # Errors
/// One sentence.
pub(super) fn read(words: &[String]) -> Result<Typed, String> {
    if words.is_empty() {
        return Ok(Typed::Help { bare: true });
    }
    let items = parse(&FLAGS, words)?;
    let has = |name| values(&items, name).is_some();
    if has("help") {
        return Ok(Typed::Help { bare: false });
    }
    if has("version") {
        return Ok(Typed::Version);
    }
    check(&items)?;
    Ok(Typed::Run(Box::new(ask(&items)?)))
}

/// What must be there, what goes together, and what cannot be had here.
fn check(items: &[Item]) -> Result<(), String> {
    let has = |name: &str| values(items, name).is_some();
    for name in ["topic", "num-records", "throughput"] {
        if !has(name) {
            return Err(format!("argument --{name} is required"));
        }
    }
    let payloads = ["record-size", "payload-file", "payload-monotonic"];
    let typed: Vec<&str> = payloads.into_iter().filter(|name| has(name)).collect();
    match typed.as_slice() {
        [] => {
            return Err(
                "one of the arguments --record-size --payload-file --payload-monotonic is required"
                    .to_owned(),
            );
        }
        [first, second, ..] => {
            return Err(format!(
                "argument --{second}: not allowed with argument --{first}"
            ));
        }
        ["record-size"] => {}
        [other] => {
            return Err(format!(
                "--{other}: values are made from a seed before the run, all of one size; give \
                 --record-size"
            ));
        }
    }
    for [one, other] in [
        ["command-property", "producer-props"],
        ["command-config", "producer.config"],
    ] {
        if has(one) && has(other) {
            return Err(format!(
                "--{one} and --{other} cannot be specified together."
            ));
        }
    }
    for name in ["transactional-id", "transaction-duration-ms"] {
        if has(name) {
            return Err(format!("--{name}: no transactions are written here"));
        }
    }
    let sources = ["bootstrap-server", "command-property", "producer-props"];
    let sources = sources.iter().chain(&["producer.config", "command-config"]);
    if !sources.into_iter().any(|name| has(name)) {
        return Err(
            "At least one of --bootstrap-server, --command-property, --producer-props, \
             --producer.config or --command-config must be specified."
                .to_owned(),
        );
    }
    Ok(())
}

fn ask(items: &[Item]) -> Result<Ask, String> {
    let records = positive(items, "num-records")?.unwrap_or_default();
    let value_bytes = positive(items, "record-size")?.unwrap_or_default();
    let warmup = number::<i64>(items, "warmup-records", "Long")?.unwrap_or(0);
    if warmup > 0 {
        return Err(format!(
            "--warmup-records {warmup}: warm-up is a time here: loadgen kafka produce --warmup 10s"
        ));
    }
    let rate_per_s = rate(items)?;
    let interval = positive(items, "reporting-interval")?.unwrap_or(INTERVAL_MS);
    let threads = positive(items, "threads")?.unwrap_or(1);
    let mut notes = deprecated(items);
    let mut settings = settings(items)?;
    let client = Client::take(&mut settings, DEFAULTS)?;
    let depth = settings.take_number("max.in.flight.requests.per.connection", 1, LIMIT)?;
    let value_bytes = u32::try_from(value_bytes).map_err(|_| {
        format!(
            "--record-size {value_bytes} is above the limit of {}",
            u32::MAX
        )
    })?;
    let batching = Batching {
        value_bytes,
        rate_per_s,
    };
    let spec = spec(items, &mut settings, &client, batching)?;
    plan::produce(&spec, Some(records)).map_err(|why| why.to_string())?;
    notes.extend(note(&settings.left()));
    Ok(Ask {
        spec,
        records,
        rate_per_s,
        client,
        depth: u32::try_from(depth.unwrap_or(DEPTH)).unwrap_or(u32::MAX),
        threads: u32::try_from(threads)
            .map_err(|_| format!("--threads {threads} is above the limit of {}", u32::MAX))?,
        interval: Duration::from_millis(interval),
        metrics: values(items, "print-metrics").is_some(),
        json: only(items, "json").map(PathBuf::from),
        notes,
    })
}

const DEFAULTS: Defaults = Defaults {
    client_id: "perf-producer-client",
    receive_buffer_bytes: 32_768,
};
const INTERVAL_MS: u64 = 5_000;
const LIMIT: i64 = i32::MAX as i64;
/// `max.in.flight.requests.per.connection`.
const DEPTH: i64 = 5;
/// `batch.size`.
const BATCH_BYTES: i64 = 16_384;
/// `linger.ms` since 4.0 (KIP-1030).
const LINGER_MS: i64 = 5;
/// `max.request.size`.
const REQUEST_BYTES: i64 = 1_048_576;
/// What the Java producer adds to a value before it compares with `max.request.size`
/// (`AbstractRecords.estimateSizeInBytesUpperBound`).
const ESTIMATE_BYTES: i64 = 88;

/// `--throughput`: records per second.
fn rate(items: &[Item]) -> Result<Option<f64>, String> {
    let rate = number::<f64>(items, "throughput", "Double")?.unwrap_or(-1.0);
    if rate.is_nan() || rate == 0.0 {
        return Err(format!(
            "--throughput {rate}: such a run never ends; -1 is no limit"
        ));
    }
    Ok((rate > 0.0 && rate.is_finite()).then_some(rate))
}

fn deprecated(items: &[Item]) -> Vec<String> {
    let known = [
        ("producer-props", "--command-property"),
        ("producer.config", "--command-config"),
    ];
    let typed = known
        .into_iter()
        .filter(|(old, _)| values(items, old).is_some());
    typed
        .map(|(old, new)| format!("--{old}: deprecated since 4.2, use {new}"))
        .collect()
}

/// From the file, then from the command line; `--bootstrap-server` wins over both.
fn settings(items: &[Item]) -> Result<Properties, String> {
    let mut settings = Properties::default();
    for name in ["producer.config", "command-config"] {
        if let Some(path) = only(items, name) {
            settings = Properties::load(&format!("--{name}"), Path::new(path))?;
        }
    }
    for name in ["producer-props", "command-property"] {
        for word in values(items, name).unwrap_or_default() {
            settings.typed(word, Missing::Refused)?;
        }
    }
    if let Some(servers) = only(items, "bootstrap-server") {
        settings.set("bootstrap.servers", servers);
    }
    for name in ["key.serializer", "value.serializer"] {
        settings.take(name);
    }
    if let Some(id) = settings.take("transactional.id") {
        return Err(format!(
            "transactional.id={id}: no transactions are written here"
        ));
    }
    Ok(settings)
}

/// What decides how many records a batch has.
#[derive(Clone, Copy, Debug)]
struct Batching {
    value_bytes: u32,
    rate_per_s: Option<f64>,
}

impl Batching {
    /// Bytes of a batch: `batch.size`, or what comes together within `linger.ms` at the rate.
    fn bytes(self, batch_bytes: i64, linger_ms: i64) -> u32 {
        let full = u32::try_from(batch_bytes)
            .unwrap_or(u32::MAX)
            .max(HEADER_BYTES as u32);
        let Some(rate_per_s) = self.rate_per_s else {
            return full;
        };
        // Without lingering, what comes while one request is made goes together; the Java producer
        // takes about a millisecond for it.
        let together = (rate_per_s * linger_ms.max(1) as f64 / 1e3)
            .floor()
            .max(1.0);
        let wanted = HEADER_BYTES as f64 + together * f64::from(record_bytes(self.value_bytes));
        full.min(wanted as u32).max(HEADER_BYTES as u32)
    }
}

/// Bytes of a record without a key and headers, with the most that its varints take in a batch of up
/// to 8192 (record format v2: length, attributes, timestamp, offset, key, value, headers).
fn record_bytes(value_bytes: u32) -> u32 {
    let varint = |value: u32| (32 - (value << 1).leading_zeros()).div_ceil(7).max(1);
    let body = 1 + 1 + 2 + 1 + varint(value_bytes) + value_bytes + 1;
    varint(body) + body
}

fn spec(
    items: &[Item],
    settings: &mut Properties,
    client: &Client,
    batching: Batching,
) -> Result<ProduceSpec, String> {
    let request = settings
        .take_number("max.request.size", 0, LIMIT)?
        .unwrap_or(REQUEST_BYTES);
    let whole = i64::from(batching.value_bytes) + ESTIMATE_BYTES;
    if whole > request {
        return Err(format!(
            "--record-size {}: a message of {whole} bytes is above max.request.size {request}; the \
             tool would send none",
            batching.value_bytes
        ));
    }
    let batch = settings
        .take_number("batch.size", 0, LIMIT)?
        .unwrap_or(BATCH_BYTES);
    let linger = settings
        .take_number("linger.ms", 0, LIMIT)?
        .unwrap_or(LINGER_MS);
    let codec = match settings.take("compression.type").as_deref() {
        None | Some("none") => Codec::None,
        Some("gzip") => Codec::Gzip,
        Some("snappy") => Codec::Snappy,
        Some("lz4") => Codec::Lz4,
        Some("zstd") => Codec::Zstd,
        Some(other) => {
            return Err(format!(
                "compression.type={other} is none of none, gzip, snappy, lz4 and zstd"
            ));
        }
    };
    let acks = match settings.take("acks").as_deref() {
        None | Some("all" | "-1") => Acks::All,
        Some("1") => Acks::Leader,
        Some("0") => Acks::None,
        Some(other) => return Err(format!("acks={other} is none of 0, 1, -1 and all")),
    };
    Ok(ProduceSpec {
        cluster: client.cluster.clone(),
        topic: only(items, "topic").unwrap_or_default().to_owned(),
        partitions: Vec::new(),
        records: RecordSpec {
            value_bytes: batching.value_bytes,
            key_bytes: None,
            headers: Vec::new(),
            codec,
            batch_bytes: batching.bytes(batch, linger),
        },
        acks,
        // Without keys the Java producer fills one batch, then goes to another partition.
        partitioner: Partitioner::RoundRobin,
        timeout_ms: i32::try_from(client.timeout.as_millis()).unwrap_or(i32::MAX),
        seed: 0,
    })
}

/// A number as Java reads one; `kind` is its name of the type.
fn number<T: std::str::FromStr>(
    items: &[Item],
    name: &str,
    kind: &str,
) -> Result<Option<T>, String> {
    let Some(text) = only(items, name) else {
        return Ok(None);
    };
    let number = text.parse().map(Some);
    number.map_err(|_| {
        format!(
            "argument --{name}: could not convert '{text}' to {kind} (For input string: \"{text}\")"
        )
    })
}

/// A number above zero.
fn positive(items: &[Item], name: &str) -> Result<Option<u64>, String> {
    let kind = if matches!(name, "record-size" | "threads") {
        "Integer"
    } else {
        "Long"
    };
    let number = number::<i64>(items, name, kind)?;
    let checked = number.map(|n| u64::try_from(n).ok().filter(|n| *n > 0));
    match checked {
        Some(None) => Err(format!("--{name} should be greater than zero.")),
        other => Ok(other.flatten()),
    }
}
