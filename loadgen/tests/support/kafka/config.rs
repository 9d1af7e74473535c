//! The files a broker of the tests starts from.
//!
//! Every setting is here for a reason; what is not said is Kafka's default.

use std::path::Path;

use super::{Broker, USER, Version, Wanted};

/// Id of every cluster: 16 bytes in URL-safe base 64.
pub(super) const CLUSTER: &str = "bG9hZGdlbi1jbHVzdGVyMA";

/// Warnings and errors on stderr, in the language of each version's logger: stdout is the tools'.
pub(super) const LOGGING: [&str; 2] = [
    "log4j.rootLogger=WARN, err\n\
     log4j.appender.err=org.apache.log4j.ConsoleAppender\n\
     log4j.appender.err.Target=System.err\n\
     log4j.appender.err.layout=org.apache.log4j.PatternLayout\n\
     log4j.appender.err.layout.ConversionPattern=[%d] %p %m (%c)%n\n",
    "appender.err.type=Console\n\
     appender.err.name=err\n\
     appender.err.target=SYSTEM_ERR\n\
     appender.err.layout.type=PatternLayout\n\
     appender.err.layout.pattern=[%d] %p %m (%c)%n\n\
     rootLogger.level=WARN\n\
     rootLogger.appenderRef.err.ref=err\n",
];

/// `meta.properties` of a broker that Kafka's tool did not format.
pub(super) fn meta(node: u32) -> String {
    // 16 bytes in base 64; the last digit tells them apart and leaves the padding bits 0.
    let directory = format!("bG9hZGdlbi1kaXJlY3Rv{node}w");
    format!("version=1\nnode.id={node}\ncluster.id={CLUSTER}\ndirectory.id={directory}\n")
}

/// `--add-scram` of both mechanisms.
pub(super) fn scram_users() -> [String; 2] {
    let (name, password) = USER;
    ["SCRAM-SHA-256", "SCRAM-SHA-512"]
        .map(|mechanism| format!("{mechanism}=[name={name},password={password}]"))
}

/// `server.properties`.
pub(super) fn server(
    wanted: &Wanted<'_>,
    broker: &Broker,
    controller_port: u16,
    dir: &Path,
) -> String {
    let node = broker.node;
    let mut lines = listeners(broker, controller_port);
    let replicas = wanted.brokers.to_string();
    let data = dir.join(format!("{node}.data"));
    let mut set = |name: &str, value: &str| lines.push((name.to_owned(), value.to_owned()));
    set("node.id", &node.to_string());
    set("log.dirs", &data.to_string_lossy());
    // A typing error in a topic's name must not look like an empty topic.
    set("auto.create.topics.enable", "false");
    // Otherwise every group waits three seconds for members that never come.
    set("group.initial.rebalance.delay.ms", "0");
    // Nothing goes while it is read; files are small enough to be deleted with their topic at once.
    set("log.retention.ms", "-1");
    set("log.segment.bytes", "67108864");
    set("log.segment.delete.delay.ms", "500");
    set("log.index.size.max.bytes", "1048576");
    // Its buffer is allocated at the start, 128 MiB of it.
    set("log.cleaner.dedupe.buffer.size", "8388608");
    set("log.cleaner.backoff.ms", "200");
    set("log.cleaner.min.cleanable.ratio", "0.01");
    // Internal topics have 50 partitions each; making them takes longer than most tests.
    set("offsets.topic.num.partitions", "1");
    set("offsets.topic.replication.factor", &replicas);
    set("transaction.state.log.num.partitions", "1");
    set("transaction.state.log.replication.factor", &replicas);
    set("transaction.state.log.min.isr", "1");
    if wanted.version != Version::V3_9 {
        set("share.coordinator.state.topic.num.partitions", "1");
        set(
            "share.coordinator.state.topic.replication.factor",
            &replicas,
        );
        set("share.coordinator.state.topic.min.isr", "1");
    }
    // A broker that was killed is missed after this long.
    set("broker.session.timeout.ms", "3000");
    set("broker.heartbeat.interval.ms", "500");
    set("replica.lag.time.max.ms", "5000");
    // Who leads is what the test said or did, not what a timer thinks of it.
    set("auto.leader.rebalance.enable", "false");
    let text = lines.into_iter();
    let text = text.filter(|(name, _)| wanted.settings.iter().all(|(theirs, _)| theirs != name));
    let text = text.map(|(name, value)| format!("{name}={value}\n"));
    let theirs = wanted.settings.iter();
    let theirs = theirs.map(|(name, value)| format!("{name}={value}\n"));
    text.chain(theirs).collect()
}

fn listeners(broker: &Broker, controller_port: u16) -> Vec<(String, String)> {
    let (port, sasl_port) = (broker.port, broker.sasl_port);
    let clients = |far_port: u16| {
        format!(
            "PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port},FAR://127.0.0.1:{far_port}"
        )
    };
    // Those that come from afar are told to come that way.
    let (clients, advertised) = (clients(broker.far_port), clients(broker.path_port));
    let controls = broker.node == 1;
    let (roles, all) = if controls {
        let all = format!("{clients},CONTROLLER://127.0.0.1:{controller_port}");
        ("broker,controller", all)
    } else {
        ("broker", clients)
    };
    let (name, password) = USER;
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT,SASL:SASL_PLAINTEXT";
    let lines = [
        ("process.roles", roles.to_owned()),
        ("listeners", all),
        ("advertised.listeners", advertised),
        ("listener.security.protocol.map", protocols.to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        (
            "controller.quorum.voters",
            format!("1@127.0.0.1:{controller_port}"),
        ),
        (
            "listener.name.sasl.sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        ),
        (
            "listener.name.sasl.plain.sasl.jaas.config",
            format!("{plain} required user_{name}=\"{password}\";"),
        ),
        (
            "listener.name.sasl.scram-sha-256.sasl.jaas.config",
            format!("{scram} required;"),
        ),
        (
            "listener.name.sasl.scram-sha-512.sasl.jaas.config",
            format!("{scram} required;"),
        ),
    ];
    let owned = lines.into_iter();
    owned
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
