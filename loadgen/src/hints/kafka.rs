//! Flags of kcat and of Kafka's own tools that `loadgen kafka` has not, or that mean something else
//! in it.

use super::{Foreign, is_path, is_time};

pub(super) const UNKNOWN: &[(&str, &str)] = &[
    (
        "-b",
        "brokers are words here: loadgen kafka consume HOST:PORT,HOST:PORT (kcat: -b)",
    ),
    (
        "--bootstrap-server",
        "brokers are words here: loadgen kafka consume HOST:PORT,HOST:PORT",
    ),
    (
        "--bootstrap-servers",
        "brokers are words here: loadgen kafka consume HOST:PORT,HOST:PORT",
    ),
    (
        "--broker-list",
        "brokers are words here: loadgen kafka consume HOST:PORT,HOST:PORT",
    ),
    (
        "-C",
        "reading (kcat: -C) is loadgen kafka consume HOST:PORT --topic NAME",
    ),
    (
        "-P",
        "writing (kcat: -P) is loadgen kafka produce HOST:PORT --topic NAME",
    ),
    (
        "-G",
        "partitions are assigned by hand here, without a group (kcat: -G): no rebalance is measured",
    ),
    (
        "--group",
        "partitions are assigned by hand here, without a group: no rebalance is measured",
    ),
    (
        "-p",
        "partitions (kcat: -p) are --partitions here, such as 0,2-5",
    ),
    (
        "--partition",
        "partitions are --partitions here, such as 0,2-5",
    ),
    (
        "-o",
        "where reading begins (kcat: -o beginning, end, OFFSET) is --from earliest, latest or OFFSET here",
    ),
    (
        "--offset",
        "where reading begins is --from earliest, latest or OFFSET here",
    ),
    (
        "--from-latest",
        "reading from the end is --from latest --until follow here",
    ),
    (
        "--from-beginning",
        "reading begins at the start of the log unless --from says otherwise",
    ),
    (
        "-e",
        "reading ends at the end of the log (kcat: -e) unless --until says otherwise",
    ),
    ("--messages", "the number of records is -n/--records here"),
    (
        "--max-messages",
        "the number of records is -n/--records here",
    ),
    (
        "--num-records",
        "the number of records is -n/--records here",
    ),
    (
        "--throughput",
        "a rate is -R/--rate here, records per second when writing; without it as fast as it goes (--throughput -1)",
    ),
    (
        "--num-fetch-threads",
        "worker threads are -t/--workers here",
    ),
    (
        "--socket-buffer-size",
        "the receive buffer is --recv-buf here; left away, the kernel tunes it",
    ),
    (
        "--reporting-interval",
        "the length of an interval is --interval here",
    ),
    (
        "--show-detailed-stats",
        "intervals are in every document; --timeseries FILE writes them to a file besides",
    ),
    (
        "--print-metrics",
        "all there is to know is in the document: --json",
    ),
    (
        "--hide-header",
        "columns are --format csv here; loadgen kafka-consumer-perf-test prints the old tool's",
    ),
    (
        "--date-format",
        "times are RFC 3339 here; loadgen kafka-consumer-perf-test prints the old tool's",
    ),
    ("--include", "one topic is read, the one of --topic"),
    (
        "--consumer.config",
        "there are no properties files here: see --sasl, --fetch-size, --min-bytes, --max-wait, --isolation",
    ),
    (
        "--producer.config",
        "there are no properties files here: see --sasl, --acks, --batch-bytes, --codec",
    ),
    (
        "--command-config",
        "there are no properties files here: see --sasl and the flags under Kafka in --help",
    ),
    (
        "--command-property",
        "properties are flags here: see those under Kafka in --help",
    ),
    (
        "--consumer-property",
        "properties are flags here: see those under Kafka in --help",
    ),
    (
        "--producer-property",
        "properties are flags here: see those under Kafka in --help",
    ),
    (
        "--producer-props",
        "properties are flags here: acks is --acks, batch.size --batch-bytes, compression.type --codec; nothing lingers",
    ),
    (
        "-X",
        "properties (kcat: -X) are flags here: see those under Kafka in --help",
    ),
    (
        "-F",
        "there are no properties files here (kcat: -F): see the flags under Kafka in --help",
    ),
    ("--isolation-level", "the level is --isolation here"),
    ("-z", "the codec (kcat: -z) is --codec here"),
    ("--compression-codec", "the codec is --codec here"),
    ("--compression-type", "the codec is --codec here"),
    ("--batch-size", "bytes of a batch are --batch-bytes here"),
    (
        "--linger-ms",
        "nothing lingers here: batches are made before the run and sent whole",
    ),
    (
        "--request-required-acks",
        "who acknowledges is --acks here: 0, 1 or all",
    ),
    (
        "--payload-file",
        "payloads from a file are not there; their size is --record-size",
    ),
    (
        "--payload-monotonic",
        "payloads are made from --seed; their size is --record-size",
    ),
    (
        "--transactional-id",
        "transactions are not written; reading respects them with --isolation read_committed",
    ),
    (
        "--transaction-duration-ms",
        "transactions are not written; reading respects them with --isolation read_committed",
    ),
    (
        "--enable-idempotence",
        "idempotence is not claimed: after a lost connection the document says what is unknown",
    ),
    (
        "--warmup-records",
        "load before the measured window is --warmup here, a time",
    ),
    (
        "-H",
        "a header of each record (kcat: -H) is --header NAME=BYTES here",
    ),
    ("--key", "keys are --key-size here"),
    ("-k", "keys (kcat: -k) are --key-size here"),
    ("--message-size", "bytes of a record are --record-size here"),
    (
        "-s",
        "bytes of a record (rdkafka_performance: -s) are --record-size here",
    ),
    (
        "--config",
        "a setting of a new topic is --topic-config NAME=VALUE here",
    ),
    ("-J", "the document on stdout (kcat: -J) is --json here"),
    ("-j", "the document on stdout is --json here"),
    ("-q", "no output but the result (kcat: -q) is --quiet here"),
    (
        "-L",
        "nothing is listed (kcat: -L); --dry-run asks the cluster and prints the plan",
    ),
    (
        "-f",
        "records are counted, not printed (kcat: -f); reports are chosen with --format",
    ),
    ("-D", "records are made, not read from stdin (kcat: -D)"),
    ("-K", "records are made, not read from stdin (kcat: -K)"),
    ("-l", "records are made, not read from files (kcat: -l)"),
    ("-V", "the version is --version"),
];

pub(super) const VALUES: &[Foreign] = &[
    (
        "--workers",
        is_path,
        "-t is the number of worker threads here; the topic (kcat: -t) is --topic",
    ),
    (
        "--requests",
        is_time,
        "-n is a number of records here; the duration is -d",
    ),
    (
        "--connections",
        is_time,
        "-c is the number of connections, in total; the duration is -d",
    ),
    (
        "--from",
        is_word,
        "--from is earliest (kcat, console tools: beginning), latest (end) or an offset",
    ),
    (
        "--acks",
        is_number,
        "--acks is 0, 1 or all, as in Kafka; other numbers of replicas cannot be asked for",
    ),
];

fn is_word(value: &str) -> bool {
    matches!(value, "beginning" | "end" | "stored")
}

fn is_number(value: &str) -> bool {
    value.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::UNKNOWN;

    #[test]
    fn no_flag_is_there_twice() {
        for (at, (flag, _)) in UNKNOWN.iter().enumerate() {
            assert!(
                UNKNOWN[..at].iter().all(|(other, _)| other != flag),
                "{flag} is there twice"
            );
        }
    }
}
