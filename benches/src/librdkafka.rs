//! librdkafka as fast as it goes: a loop that takes or gives many messages at a time and counts.
//!
//! It is a peer: whatever makes it cheaper belongs here, whatever the engine does must not. Its
//! settings are in its line of JSON.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::sys::librdkafka::{Queue, Writer};

/// Messages given in one call.
const BATCH: usize = 1000;
/// How long one call may wait.
const WAIT_MS: i32 = 100;
/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    /// Read the topic from its beginning to its end, again and again
    Consume,
    /// Write to it
    Produce,
}

/// What was typed.
#[derive(Args, Clone, Debug)]
pub(crate) struct LibrdkafkaArgs {
    /// Which loop
    #[arg(value_enum)]
    direction: Direction,
    /// A broker
    #[arg(long, value_name = "IP:PORT")]
    addr: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// How many partitions it has
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Bytes of a value that is written
    #[arg(long, value_name = "BYTES", default_value_t = 1000)]
    record_size: usize,
    /// Seconds
    #[arg(short = 'd', long, value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    /// A setting of librdkafka, over those of the loop
    #[arg(short = 'X', value_name = "NAME=VALUE")]
    set: Vec<String>,
}

/// Settings of reading: many bytes in the queue and no pause when it is full (the default is a
/// second), no CRC, nothing committed.
const CONSUMER: [(&str, &str); 9] = [
    ("group.id", "librdkafka-loop"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "false"),
    ("fetch.queue.backoff.ms", "0"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.message.max.bytes", "1048576"),
];

/// Settings of writing: full batches, a large queue, reports of errors only.
const PRODUCER: [(&str, &str); 7] = [
    ("acks", "1"),
    ("linger.ms", "5"),
    ("batch.num.messages", "1000000"),
    ("queue.buffering.max.messages", "1000000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("message.max.bytes", "2000000"),
    ("delivery.report.only.error", "true"),
];

/// Runs a loop and gives its one line of JSON.
pub(crate) fn run(args: &LibrdkafkaArgs) -> Result<String, String> {
    let mut settings = vec![("bootstrap.servers".to_owned(), args.addr.clone())];
    let own: &[(&str, &str)] = match args.direction {
        Direction::Consume => &CONSUMER,
        Direction::Produce => &PRODUCER,
    };
    settings.extend(own.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    for text in &args.set {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("-X {text}: write NAME=VALUE"))?;
        settings.retain(|(known, _)| known != name);
        settings.push((name.to_owned(), value.to_owned()));
    }
    let mut config = ClientConfig::new();
    for (name, value) in &settings {
        config.set(name, value);
    }
    let until = Instant::now() + Duration::from_secs_f64(args.duration);
    let (messages, bytes) = match args.direction {
        Direction::Consume => consume(args, &config, until)?,
        Direction::Produce => produce(args, &config, until)?,
    };
    let (_, version) = rdkafka::util::get_rdkafka_version();
    let settings: Vec<String> = settings.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let line = json!({
        "requests": messages,
        "bytes": bytes,
        "librdkafka": version,
        "settings": settings,
    });
    Ok(line.to_string())
}

fn consume(
    args: &LibrdkafkaArgs,
    config: &ClientConfig,
    until: Instant,
) -> Result<(u64, u64), String> {
    let consumer: BaseConsumer = config.create().map_err(|error| error.to_string())?;
    let mut queue = Queue::of(consumer.client().native_ptr()).map_err(|e| e.to_string())?;
    let (mut messages, mut bytes) = (0, 0);
    let mut ends = args.partitions.unsigned_abs().into();
    while Instant::now() < until {
        if ends >= u64::from(args.partitions.unsigned_abs()) {
            begin(args, &consumer)?;
            ends = 0;
        }
        let taken = queue.take(WAIT_MS);
        if taken.error != 0 {
            return Err(format!("librdkafka's error {}", taken.error));
        }
        messages += taken.messages;
        bytes += taken.bytes;
        ends += taken.ends;
    }
    // Closing would wait for what is in the queue.
    drop(queue);
    Ok((messages, bytes))
}

/// All partitions from their beginning.
fn begin(args: &LibrdkafkaArgs, consumer: &BaseConsumer) -> Result<(), String> {
    let mut list = TopicPartitionList::new();
    for partition in 0..args.partitions {
        list.add_partition_offset(&args.topic, partition, Offset::Beginning)
            .map_err(|error| error.to_string())?;
    }
    consumer.assign(&list).map_err(|error| error.to_string())
}

fn produce(
    args: &LibrdkafkaArgs,
    config: &ClientConfig,
    until: Instant,
) -> Result<(u64, u64), String> {
    let producer: BaseProducer = config.create().map_err(|error| error.to_string())?;
    let client = producer.client().native_ptr();
    let value = vec![b'v'; args.record_size];
    // Large ones a few at a time: the queue holds a number of bytes.
    let batch = (1_000_000 / args.record_size).clamp(1, BATCH);
    let mut writer = Writer::of(client, &args.topic, value, batch).map_err(|e| e.to_string())?;
    let (mut messages, mut partition) = (0, 0);
    while Instant::now() < until {
        let taken = writer.put(partition);
        messages += taken as u64;
        if taken < batch {
            producer.poll(Duration::from_millis(1));
        }
        partition = (partition + 1) % args.partitions;
    }
    producer
        .flush(PATIENCE)
        .map_err(|error| error.to_string())?;
    let left = producer.in_flight_count();
    if left != 0 {
        return Err(format!("{left} messages were not delivered"));
    }
    Ok((messages, messages * args.record_size as u64))
}
