//! Where Kafka is, and how its JVMs and the broker are started.
//!
//! What is not said is Kafka's default, the sizes of the broker's socket buffers too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::model::on_path;
use super::VERSION;

/// Id of the cluster: 16 bytes in URL-safe base 64.
pub(super) const CLUSTER: &str = "bG9hZGdlbi12ZXJzdXMtMA";

/// How Kafka's own scripts start a JVM (`kafka-run-class.sh`).
const JVM: [&str; 7] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];

/// The broker's heap.
pub(super) const BROKER_HEAP: [&str; 2] = ["-Xms1G", "-Xmx1G"];
/// The tools' (`kafka-consumer-perf-test.sh`, `kafka-producer-perf-test.sh`).
pub(super) const TOOL_HEAP: [&str; 1] = ["-Xmx512M"];

/// Warnings and errors on stderr: what a tool reports is on stdout.
const LOGGING: &str = "appender.err.type=Console\n\
     appender.err.name=err\n\
     appender.err.target=SYSTEM_ERR\n\
     appender.err.layout.type=PatternLayout\n\
     appender.err.layout.pattern=[%d] %p %m (%c)%n\n\
     rootLogger.level=WARN\n\
     rootLogger.appenderRef.err.ref=err\n";

/// The jars that scripts/install-kafka brings.
pub(super) fn jars() -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = || {
        let home = || Some(Path::new(&set("HOME")?).join(".cache"));
        let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        Some(cache?.join("loadgen/kafka"))
    };
    let root = set("LOADGEN_KAFKA_DIR").map(PathBuf::from).or_else(cache);
    let jars = root.ok_or("neither LOADGEN_KAFKA_DIR nor HOME is set")?;
    let jars = jars.join(VERSION);
    if jars.join("complete").exists() {
        return Ok(jars);
    }
    let at = jars.display();
    Err(format!(
        "no Kafka at {at}: scripts/install-kafka {VERSION} brings it"
    ))
}

/// A JVM with Kafka's jars, ready for a class and its arguments; its logging is laid into `dir`.
pub(super) fn java(heap: &[&str], dir: &Path) -> Result<Command, String> {
    let logging = dir.join("log4j2.properties");
    std::fs::write(&logging, LOGGING).map_err(|error| format!("{}: {error}", logging.display()))?;
    let mut command = Command::new(on_path("java")?);
    command.args(JVM).args(heap);
    command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    command
        .arg("-cp")
        .arg(jars()?.join("*"))
        .stdin(Stdio::null());
    Ok(command)
}

/// `server.properties` of a broker that is its own controller.
pub(super) fn server(address: SocketAddr, controller_port: u16, dir: &Path) -> String {
    let controller = format!("127.0.0.1:{controller_port}");
    let data = dir.join("data");
    let lines = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("log.dirs", data.to_string_lossy().into_owned()),
        (
            "listeners",
            format!("PLAINTEXT://{address},CONTROLLER://{controller}"),
        ),
        ("advertised.listeners", format!("PLAINTEXT://{address}")),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.voters", format!("1@{controller}")),
        // A typing error in a topic's name must not look like an empty topic.
        ("auto.create.topics.enable", "false".to_owned()),
        // Every pass of the Java tool has a group of its own, with one member.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // Topics that are read keep everything, those that are written say what they keep.
        ("log.retention.ms", "-1".to_owned()),
        ("log.initial.task.delay.ms", "500".to_owned()),
        ("log.retention.check.interval.ms", "500".to_owned()),
        ("log.segment.delete.delay.ms", "100".to_owned()),
        // Its buffer is allocated at the start, 128 MiB of it.
        ("log.cleaner.dedupe.buffer.size", "8388608".to_owned()),
        // Internal topics of one partition, on the one broker.
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        (
            "share.coordinator.state.topic.num.partitions",
            "1".to_owned(),
        ),
        (
            "share.coordinator.state.topic.replication.factor",
            "1".to_owned(),
        ),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
    ];
    let line = |(name, value): &(&str, String)| format!("{name}={value}\n");
    lines.iter().map(line).collect()
}

/// Settings of a topic that is written to: it keeps two or three of its segments.
pub(super) fn written_topic() -> Vec<(String, String)> {
    [
        ("retention.bytes", "134217728"),
        ("segment.bytes", "67108864"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
