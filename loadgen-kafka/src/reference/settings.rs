//! What librdkafka is told, from what was asked for.
//!
//! A list of names and values, as in librdkafka's CONFIGURATION.md; all of it but the password goes
//! into the document, and what is not in it is librdkafka's default. Nothing here may be chosen by
//! measuring.

use loadgen_core::engine::EngineOptions;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use serde_json::{Map, Value, json};

use super::context::Context;
use crate::spec::{Acks, ClusterSpec, ConsumeSpec, Depth, Isolation, Mechanism, ProduceSpec};
use crate::wire::batch::Codec;

/// How often librdkafka tells its counters, ms: wire bytes of a window are as exact as that.
pub(super) const STATISTICS_MS: u64 = 100;
/// `fetch.wait.max.ms` must be so much below `socket.timeout.ms`.
const WAIT_MARGIN_MS: u128 = 1000;
/// The most that librdkafka takes as `socket.timeout.ms`.
const SOCKET_TIMEOUT_MS_MAX: u128 = 300_000;
/// The most that it takes as `batch.num.messages`.
const BATCH_RECORDS_MAX: u64 = 1_000_000;
/// The most that it takes as `message.max.bytes`.
const MESSAGE_BYTES_MAX: u64 = 1_000_000_000;
/// And as `fetch.max.bytes`, `fetch.min.bytes` and the like.
const FETCH_BYTES_MAX: i32 = 1_000_000_000;
/// Its default of `batch.size`, `message.max.bytes` and others: what is never made smaller.
const MILLION: u64 = 1_000_000;
const LINGER_MS: u32 = 5;

/// Names and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    all: Vec<(&'static str, String)>,
    password: Option<String>,
}

impl Settings {
    fn put(&mut self, name: &'static str, value: &impl ToString) {
        self.all.push((name, value.to_string()));
    }

    fn common(cluster: &ClusterSpec, options: &EngineOptions) -> Self {
        let mut settings = Self::default();
        settings.put("bootstrap.servers", &cluster.bootstrap.join(","));
        settings.put("client.id", &cluster.client_id);
        if let Some(who) = &cluster.sasl {
            settings.put("security.protocol", &"sasl_plaintext");
            settings.put("sasl.mechanism", &who.mechanism.name());
            settings.put("sasl.username", &who.user);
            settings.password = Some(who.password.clone());
        }
        let timeout_ms = options.timeout.as_millis();
        let timeout_ms = timeout_ms.clamp(10, SOCKET_TIMEOUT_MS_MAX);
        settings.put("socket.timeout.ms", &timeout_ms);
        let connect_ms = options.connect_timeout.as_millis();
        let connect_ms = connect_ms.clamp(1000, u128::from(u32::MAX / 2));
        settings.put("socket.connection.setup.timeout.ms", &connect_ms);
        settings.put("socket.nagle.disable", &!options.sockets.nagle);
        if let Some(bytes) = options.sockets.receive_buffer_bytes {
            settings.put("socket.receive.buffer.bytes", &bytes);
        }
        if let Some(bytes) = options.sockets.send_buffer_bytes {
            settings.put("socket.send.buffer.bytes", &bytes);
        }
        settings.put("statistics.interval.ms", &STATISTICS_MS);
        settings
    }

    /// For reading what `spec` says.
    pub(super) fn consumer(spec: &ConsumeSpec, options: &EngineOptions) -> Self {
        let mut settings = Self::common(&spec.cluster, options);
        // It wants a name all the same; nothing is committed and no group is joined.
        settings.put("group.id", &format!("{}-unjoined", spec.cluster.client_id));
        settings.put("enable.auto.commit", &false);
        settings.put("enable.auto.offset.store", &false);
        settings.put("enable.partition.eof", &true);
        settings.put("auto.offset.reset", &"error");
        settings.put("fetch.min.bytes", &spec.min_bytes);
        settings.put("fetch.wait.max.ms", &spec.max_wait_ms);
        let bytes = spec.partition_max_bytes.min(FETCH_BYTES_MAX);
        settings.put("max.partition.fetch.bytes", &bytes);
        settings.put("fetch.max.bytes", &spec.fetch_max_bytes);
        // A queue that was full is filled on at once, and not a second later.
        settings.put("fetch.queue.backoff.ms", &1);
        settings.put("check.crcs", &(spec.depth >= Depth::Crc));
        let isolation = match spec.isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        settings.put("isolation.level", &isolation);
        settings
    }

    /// For writing what `spec` says in batches of so many records and bytes, `in_flight` of them at
    /// the same time.
    pub(super) fn producer(
        spec: &ProduceSpec,
        options: &EngineOptions,
        (records, bytes): (u64, u64),
        in_flight: u64,
    ) -> Self {
        let mut settings = Self::common(&spec.cluster, options);
        let acks = match spec.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        settings.put("acks", &acks);
        settings.put("request.timeout.ms", &spec.timeout_ms.min(900_000));
        let timeout_ms = options.timeout.as_millis().max(u128::from(LINGER_MS) + 1);
        settings.put("message.timeout.ms", &timeout_ms.min(i32::MAX as u128));
        // What is lost is counted, and never sent again in silence.
        settings.put("message.send.max.retries", &0);
        settings.put("enable.idempotence", &false);
        let codec = match spec.records.codec {
            Codec::None => "none",
            codec => codec.name(),
        };
        settings.put("compression.codec", &codec);
        // A batch is full when it has as many records as ours have; only the last one lingers.
        settings.put("linger.ms", &LINGER_MS);
        settings.put("batch.num.messages", &records.clamp(1, BATCH_RECORDS_MAX));
        let room = bytes.saturating_mul(2).max(MILLION);
        settings.put("batch.size", &room.min(i32::MAX as u64));
        settings.put("message.max.bytes", &room.min(MESSAGE_BYTES_MAX));
        let queued = records.saturating_mul(in_flight + 1).max(MILLION / 10);
        let queued = queued.min(i32::MAX as u64);
        settings.put("queue.buffering.max.messages", &queued);
        let kib = (room.saturating_mul(in_flight + 1) / 1024).max(1 << 20);
        settings.put("queue.buffering.max.kbytes", &kib.min(i32::MAX as u64));
        settings
    }

    /// An instance of librdkafka that goes by them.
    pub(super) fn create<T>(&self, context: Context) -> Result<T, KafkaError>
    where
        T: FromClientConfigAndContext<Context>,
    {
        let mut config = ClientConfig::new();
        for (name, value) in &self.all {
            config.set(*name, value);
        }
        if let Some(password) = &self.password {
            config.set("sasl.password", password);
        }
        config.create_with_context(context)
    }

    /// What goes into `plan.kafka.client`, with notes on what the numbers are.
    pub(super) fn document(&self, notes: &[&str]) -> Value {
        let rows = self.all.iter();
        let rows = rows.map(|(name, value)| ((*name).to_owned(), json!(value)));
        json!({
            "name": "librdkafka",
            "version": rdkafka::util::get_rdkafka_version().1,
            "settings": rows.collect::<Map<String, Value>>(),
            "notes": notes,
        })
    }
}

/// What librdkafka as it is built here cannot do at all.
pub(super) fn refuses_cluster(cluster: &ClusterSpec) -> Option<String> {
    let mechanism = cluster.sasl.as_ref()?.mechanism;
    (mechanism != Mechanism::Plain).then(|| {
        format!(
            "--sasl {}: this librdkafka is built without OpenSSL, which its SCRAM needs; with --client \
             librdkafka only PLAIN is there",
            mechanism.name()
        )
    })
}

/// What of reading it cannot do.
pub(super) fn refuses_consumer(spec: &ConsumeSpec, options: &EngineOptions) -> Option<String> {
    if spec.depth == Depth::None {
        return Some(
            "--verify none: librdkafka looks into every record; with --client librdkafka it is headers, \
             crc or records"
                .to_owned(),
        );
    }
    if let Some(bytes) = spec.seeded_record_bytes {
        return Some(format!(
            "--record-bytes {bytes}: librdkafka sees every record, so payload is counted and not \
             multiplied"
        ));
    }
    for (flag, bytes) in [
        ("--min-bytes", spec.min_bytes),
        ("--fetch-size", spec.partition_max_bytes),
    ] {
        if !(1..=100_000_000).contains(&bytes) && flag == "--min-bytes"
            || !(1..=FETCH_BYTES_MAX).contains(&bytes)
        {
            return Some(format!(
                "{flag} {bytes}: librdkafka takes from 1 to {} bytes",
                if flag == "--min-bytes" {
                    100_000_000
                } else {
                    FETCH_BYTES_MAX
                }
            ));
        }
    }
    let timeout_ms = options.timeout.as_millis().min(SOCKET_TIMEOUT_MS_MAX);
    let wait_ms = u128::from(spec.max_wait_ms.unsigned_abs());
    (wait_ms + WAIT_MARGIN_MS > timeout_ms).then(|| {
        format!(
            "--max-wait {wait_ms}ms: librdkafka wants it {WAIT_MARGIN_MS} ms below --timeout, which is \
             {timeout_ms}ms"
        )
    })
}
