//! The flags of kafka-consumer-perf-test, 2.x to 4.x: what can be typed and what it means.
//!
//! Pure but for the files of settings, which are read here. What the tool refuses, this refuses,
//! in its words where a script may look for them.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen::render::{JavaDate, KafkaWords};
use loadgen_kafka::plan;
use loadgen_kafka::spec::{ConsumeSpec, Depth, From, Isolation, Until};

use super::client::{Client, Defaults, note};
use super::joptsimple::{Flag, Item, Takes, has, only, parse};
use super::properties::{Missing, Properties};

/// The name in messages.
pub(super) const NAME: &str = "kafka-consumer-perf-test";

/// Every flag of every version, and ours: `threads` works, `fetch-max-bytes` and `json` are new.
const FLAGS: [Flag; 26] = [
    flag("bootstrap-server", Takes::Value),
    flag("broker-list", Takes::Value),
    flag("topic", Takes::Value),
    flag("include", Takes::Value),
    flag("messages", Takes::Value),
    flag("num-records", Takes::Value),
    flag("group", Takes::Value),
    flag("fetch-size", Takes::Value),
    flag("fetch-max-bytes", Takes::Value),
    flag("from-latest", Takes::Nothing),
    flag("socket-buffer-size", Takes::Value),
    flag("threads", Takes::Value),
    flag("num-fetch-threads", Takes::Value),
    flag("consumer.config", Takes::Value),
    flag("command-config", Takes::Value),
    flag("command-property", Takes::Value),
    flag("print-metrics", Takes::Nothing),
    flag("show-detailed-stats", Takes::Nothing),
    flag("timeout", Takes::Optional),
    flag("reporting-interval", Takes::Value),
    flag("date-format", Takes::Value),
    flag("hide-header", Takes::Nothing),
    // Of 2.x: there is one consumer since, and it is the new one.
    flag("new-consumer", Takes::Nothing),
    flag("json", Takes::Value),
    flag("help", Takes::Nothing),
    flag("version", Takes::Nothing),
];

/// The help text: the same flags, and what is ours besides.
pub(super) const USAGE: &str = "\
This tool is used to verify the consumer performance.
  --bootstrap-server HOST:PORT[,…]  The brokers to begin with; --broker-list before 2.5
  --topic TOPIC                     The topic to read
  --include REGEX                   Refused: one topic is read
  --num-records N                   Records to read; --messages before 4.2
  --group ID                        Accepted: no group is joined, partitions are dealt by hand
  --fetch-size BYTES                At most so much of a partition in a fetch [default: 1048576]
  --fetch-max-bytes BYTES           At most so much in a fetch; ours [default: 52428800]
  --from-latest                     Begin at the end of the log
  --socket-buffer-size BYTES        SO_RCVBUF; -1: what the kernel likes [default: 2097152]
  --threads N                       Worker threads, pinned, each with connections of its own
                                    [default: 1]
  --num-fetch-threads N             Accepted
  --command-config FILE             Settings of the consumer; --consumer.config before 4.2
  --command-property NAME=VALUE     A setting of the consumer; may be repeated
  --timeout MS                      End after so long without a record [default: 10000]
  --reporting-interval MS           Length of an interval [default: 5000]
  --show-detailed-stats             A line each interval, and none at the end
  --print-metrics                   Our numbers under the names of the Java client's metrics
  --date-format FORMAT              As java.text.SimpleDateFormat has it
                                    [default: yyyy-MM-dd HH:mm:ss:SSS]
  --hide-header                     No line with the names of the columns
  --json=FILE                       Write the results document of loadgen to FILE
  --help                            This text
  --version                         The version
";

const fn flag(name: &'static str, takes: Takes) -> Flag {
    Flag { name, takes }
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// What is read.
    pub(super) spec: ConsumeSpec,
    /// Settings of the client that are the engine's business.
    pub(super) client: Client,
    /// Worker threads.
    pub(super) threads: u32,
    /// The longest time without a record.
    pub(super) idle: Duration,
    /// Length of an interval of the report.
    pub(super) interval: Duration,
    /// A line each interval.
    pub(super) detailed: bool,
    /// No header.
    pub(super) hide_header: bool,
    /// Metrics at the end.
    pub(super) metrics: bool,
    /// How times are written.
    pub(super) date: JavaDate,
    /// `messages` or `records`.
    pub(super) words: KafkaWords,
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
    /// The version.
    Version,
}

/// Why there is no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A line for stderr; empty: only the help text.
    pub(super) line: String,
    /// Whether the help text follows it.
    pub(super) usage: bool,
}

impl Refusal {
    fn with_usage(line: String) -> Self {
        Self { line, usage: true }
    }
}

impl std::convert::From<String> for Refusal {
    fn from(line: String) -> Self {
        Self { line, usage: false }
    }
}

/// Reads the words behind the name.
///
/// # Errors
/// [`Refusal`].
pub(super) fn read(words: &[String]) -> Result<Typed, Refusal> {
    let items = parse(&FLAGS, words).map_err(Refusal::with_usage)?;
    if words.is_empty() || has(&items, "help") {
        return Err(Refusal::with_usage(String::new()));
    }
    if has(&items, "version") {
        return Ok(Typed::Version);
    }
    check(&items).map_err(Refusal::with_usage)?;
    Ok(Typed::Run(Box::new(ask(&items)?)))
}

/// What goes together, in the order in which 4.2 looks at it.
fn check(items: &[Item]) -> Result<(), String> {
    for [one, other] in [["messages", "num-records"], ["topic", "include"]] {
        if has(items, one) == has(items, other) {
            return Err(format!(
                "Exactly one of the following arguments is required: [{one}], [{other}]"
            ));
        }
    }
    if !has(items, "bootstrap-server") && !has(items, "broker-list") {
        return Err("Missing required argument \"[bootstrap-server]\"".to_owned());
    }
    if has(items, "consumer.config") && has(items, "command-config") {
        return Err(
            "Option \"[consumer.config]\" can't be used with option \"[command-config]\""
                .to_owned(),
        );
    }
    Ok(())
}

fn ask(items: &[Item]) -> Result<Ask, String> {
    let new = ["num-records", "command-config", "command-property"];
    let words = match new.iter().any(|name| has(items, name)) {
        true => KafkaWords::Records,
        false => KafkaWords::Messages,
    };
    if let Some(pattern) = only(items, "include")? {
        return Err(format!(
            "--include {pattern}: one topic is read, so that its partitions can be dealt; give --topic"
        ));
    }
    let mut notes = deprecated(items);
    let mut settings = settings(items, &mut notes)?;
    let records = number(items, "num-records")?.or(number(items, "messages")?);
    let records = records.unwrap_or_default();
    let positive = u64::try_from(records).ok().filter(|records| *records > 0);
    let records = positive.ok_or_else(|| format!("{records} records are below the limit of 1"))?;
    let client = Client::take(&mut settings, DEFAULTS)?;
    let spec = spec(items, &mut settings, &client, records)?;
    plan::consume(&spec).map_err(|why| why.to_string())?;
    let interval = number(items, "reporting-interval")?.unwrap_or(INTERVAL_MS);
    if interval <= 0 {
        return Err("Reporting interval must be greater than 0.".to_owned());
    }
    let threads = number(items, "threads")?.unwrap_or(1);
    let format = only(items, "date-format")?.unwrap_or(JavaDate::DEFAULT);
    let idle = number(items, "timeout")?.unwrap_or(IDLE_MS);
    notes.extend(note(&settings.left()));
    Ok(Ask {
        spec,
        client,
        threads: u32::try_from(threads)
            .ok()
            .filter(|threads| *threads > 0)
            .ok_or_else(|| format!("--threads is from 1 to {}, not {threads}", u32::MAX))?,
        idle: Duration::from_millis(u64::try_from(idle).unwrap_or(0)),
        interval: Duration::from_millis(interval.unsigned_abs()),
        detailed: has(items, "show-detailed-stats"),
        hide_header: has(items, "hide-header"),
        metrics: has(items, "print-metrics"),
        date: JavaDate::parse(format)?,
        words,
        json: only(items, "json")?.map(PathBuf::from),
        notes,
    })
}

const DEFAULTS: Defaults = Defaults {
    client_id: "perf-consumer-client",
    receive_buffer_bytes: 2 * 1024 * 1024,
};
const FETCH_BYTES: i64 = 1024 * 1024;
/// `fetch.max.bytes` of the Java consumer.
const FETCH_MAX_BYTES: i64 = 50 * 1024 * 1024;
/// `fetch.max.wait.ms` likewise.
const MAX_WAIT_MS: i64 = 500;
const INTERVAL_MS: i64 = 5_000;
const IDLE_MS: i64 = 10_000;

fn deprecated(items: &[Item]) -> Vec<String> {
    let known = [
        ("messages", "deprecated since 4.2, use --num-records"),
        (
            "consumer.config",
            "deprecated since 4.2, use --command-config",
        ),
        ("broker-list", "gone since 4.0, use --bootstrap-server"),
        ("new-consumer", "gone since 2.4, there is no other"),
        (
            "num-fetch-threads",
            "never had an effect (KAFKA-10126); --threads has one here",
        ),
    ];
    let typed = known.into_iter().filter(|(name, _)| has(items, name));
    typed
        .map(|(name, what)| format!("--{name}: {what}"))
        .collect()
}

/// From the file, then from the command line; the tool's own flags win over both.
fn settings(items: &[Item], notes: &mut Vec<String>) -> Result<Properties, String> {
    let mut settings = Properties::default();
    for name in ["consumer.config", "command-config"] {
        if let Some(path) = only(items, name)? {
            settings = Properties::load(&format!("--{name}"), Path::new(path))?;
        }
    }
    for (name, value) in items {
        if *name == "command-property" {
            settings.typed(value.as_deref().unwrap_or_default(), Missing::Empty)?;
        }
    }
    // They are overwritten there, typed or not; so they are here, but not in silence.
    for (name, by) in [
        ("bootstrap.servers", "--bootstrap-server"),
        ("receive.buffer.bytes", "--socket-buffer-size"),
        ("max.partition.fetch.bytes", "--fetch-size"),
        ("auto.offset.reset", "--from-latest, or that it is left out"),
        ("check.crcs", "the tool: it never checks them"),
    ] {
        if let Some(value) = settings.take(name) {
            notes.push(format!("{name}={value} has no effect: it is set by {by}"));
        }
    }
    let servers = only(items, "bootstrap-server")?.or(only(items, "broker-list")?);
    settings.set("bootstrap.servers", servers.unwrap_or_default());
    let buffer = number(items, "socket-buffer-size")?.unwrap_or(DEFAULTS.receive_buffer_bytes);
    settings.set("receive.buffer.bytes", &buffer.to_string());
    // Read to be refused where it is no number: it has no effect.
    number(items, "num-fetch-threads")?;
    only(items, "group")?;
    Ok(settings)
}

fn spec(
    items: &[Item],
    settings: &mut Properties,
    client: &Client,
    records: u64,
) -> Result<ConsumeSpec, String> {
    let topic = only(items, "topic")?.unwrap_or_default().to_owned();
    let int = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    let limit = i64::from(i32::MAX);
    let mut setting = |name: &str, low, default| -> Result<i32, String> {
        Ok(int(settings
            .take_number(name, low, limit)?
            .unwrap_or(default)))
    };
    let min_bytes = setting("fetch.min.bytes", 0, 1)?;
    let max_wait_ms = setting("fetch.max.wait.ms", 0, MAX_WAIT_MS)?;
    let fetch_max_bytes = setting("fetch.max.bytes", 0, FETCH_MAX_BYTES)?;
    let isolation = settings.take("isolation.level");
    let isolation = match isolation.as_deref().unwrap_or("read_uncommitted") {
        "read_uncommitted" => Isolation::ReadUncommitted,
        "read_committed" => Isolation::ReadCommitted,
        other => {
            return Err(format!(
                "isolation.level={other} is none of read_uncommitted and read_committed"
            ));
        }
    };
    let latest = has(items, "from-latest");
    Ok(ConsumeSpec {
        cluster: client.cluster.clone(),
        topic,
        partitions: Vec::new(),
        from: if latest { From::Latest } else { From::Earliest },
        // The tool waits at the end of the log for what comes, until --timeout.
        until: Until::Follow,
        records: Some(records),
        partition_max_bytes: int(number(items, "fetch-size")?.unwrap_or(FETCH_BYTES)),
        fetch_max_bytes: match number(items, "fetch-max-bytes")? {
            Some(bytes) => int(bytes),
            None => fetch_max_bytes,
        },
        min_bytes,
        max_wait_ms,
        isolation,
        // The tool counts key and value bytes: whoever does not look into records cannot know them.
        depth: Depth::Records,
        seeded_record_bytes: None,
    })
}

/// A number, as Java reads one.
fn number(items: &[Item], name: &str) -> Result<Option<i64>, String> {
    let Some(text) = only(items, name)? else {
        return Ok(None);
    };
    let number = text.parse().map(Some);
    number.map_err(|_| format!("Cannot parse argument '{text}' of option {name}"))
}
