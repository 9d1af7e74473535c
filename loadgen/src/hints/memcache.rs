//! Flags of memtier, memaslap, mutilate and mc-crusher that `loadgen memcache` has not, or that
//! mean something else in it.

use super::{Foreign, is_path, is_time};

pub(super) const UNKNOWN: &[(&str, &str)] = &[
    (
        "-s",
        "servers are words here: loadgen memcache HOST:PORT HOST:PORT (memaslap, memtier, mutilate: -s)",
    ),
    (
        "--server",
        "servers are words here: loadgen memcache HOST:PORT",
    ),
    (
        "--servers",
        "servers are words here: loadgen memcache HOST:PORT HOST:PORT",
    ),
    (
        "-p",
        "the port stands behind its host, HOST:PORT (memtier: -p); writing each key to several servers (memaslap: -p) is not done",
    ),
    ("--port", "the port stands behind its host, HOST:PORT"),
    (
        "-P",
        "a rate (memaslap: -P) is -R/--rate here, per second and in total; the protocol (memtier: -P) is always memcached's binary one",
    ),
    ("--tps", "a rate is -R/--rate here, per second and in total"),
    (
        "--rate-limiting",
        "a rate (memtier: for each connection) is -R/--rate here, in total",
    ),
    ("--qps", "a rate is -R/--rate here, per second and in total"),
    (
        "-q",
        "a rate (mutilate: -q) is -R/--rate here; no output but the result is --quiet",
    ),
    (
        "--protocol",
        "the protocol is always memcached's binary one",
    ),
    (
        "-B",
        "the binary protocol (memaslap: -B) is the only one, so it needs no flag",
    ),
    (
        "--binary",
        "the binary protocol is the only one, so it needs no flag",
    ),
    (
        "-T",
        "threads (memaslap, mutilate: -T) are -t/--workers here",
    ),
    (
        "-x",
        "the number of operations (memaslap: -x) is -n/--requests here; runs (memtier: -x) are repeated by repeating the command",
    ),
    (
        "--execute_number",
        "the number of operations is -n/--requests here",
    ),
    (
        "--concurrency",
        "connections are -c/--connections here, in total",
    ),
    (
        "--clients",
        "connections (memtier: for each thread) are -c/--connections here, in total",
    ),
    ("--test-time", "the duration is -d/--duration here"),
    ("--time", "the duration is -d/--duration here"),
    (
        "-F",
        "loadgen memaslap reads -F files; here sizes are --key-size and --value-size, shares --ratio or --op-mix",
    ),
    (
        "--cfg_cmd",
        "loadgen memaslap reads such files; here sizes are --key-size and --value-size, shares --ratio or --op-mix",
    ),
    (
        "-w",
        "windows that move (memaslap: -w) are what loadgen memaslap does; here --key-space per-connection gives each connection --keys of its own",
    ),
    (
        "--win_size",
        "windows that move are what loadgen memaslap does; here --key-space per-connection gives each connection --keys of its own",
    ),
    (
        "-X",
        "the length of values (memaslap: -X) is --value-size here",
    ),
    ("--fixed_size", "the length of values is --value-size here"),
    ("--data-size", "the length of values is --value-size here"),
    (
        "--data-size-range",
        "lengths of values are --value-size MIN-MAX here",
    ),
    (
        "--data-size-list",
        "lengths of values with weights are a list of --value-size here",
    ),
    ("--valuesize", "the length of values is --value-size here"),
    ("--keysize", "the length of keys is --key-size here"),
    ("--records", "the number of keys is --keys here"),
    ("--key-minimum", "the number of keys is --keys here"),
    ("--key-maximum", "the number of keys is --keys here"),
    (
        "--key-pattern",
        "which key is asked for is --popularity here",
    ),
    (
        "--update",
        "shares of SET and GET (mutilate: -u) are --ratio SET:GET here",
    ),
    (
        "-u",
        "shares of SET and GET (mutilate: -u 0.1) are --ratio SET:GET here, such as 1:9",
    ),
    (
        "--pipeline",
        "requests in flight on a connection are --depth here",
    ),
    ("--division", "keys of a GET are --multiget here"),
    ("--multi-key-get", "keys of a GET are --multiget here"),
    (
        "-v",
        "values are compared (memaslap: -v) with --verify here; the version is --version",
    ),
    ("--data-verify", "values are compared with --verify here"),
    (
        "-S",
        "the length of an interval (memaslap: -S) is --interval here; a unix socket (memtier: -S) is --unix-socket",
    ),
    (
        "--stat_freq",
        "the length of an interval is --interval here",
    ),
    ("-e", "expiry (memaslap: -e) is --expiry here"),
    (
        "--exp_verify",
        "expiry is --expiry here; loadgen memaslap checks it",
    ),
    (
        "--expiry-range",
        "expiry is --expiry here, one for all keys",
    ),
    (
        "-o",
        "keys are always reused here, loadgen memaslap does otherwise (memaslap: -o); the document goes to a file with --json=FILE (memtier: -o)",
    ),
    (
        "--overwrite",
        "keys are always reused here; loadgen memaslap does otherwise",
    ),
    ("--out-file", "the document goes to a file with --json=FILE"),
    (
        "--json-out-file",
        "the document goes to a file with --json=FILE",
    ),
    (
        "--hide-histogram",
        "only the percentiles of --percentiles are shown; the document has the histograms",
    ),
    (
        "-a",
        "credentials (memtier: -a) are --sasl here; UDP (memaslap: -a) is not spoken",
    ),
    ("--authenticate", "credentials are --sasl here"),
    ("-U", "UDP (memaslap: -U) is not spoken"),
    ("--udp", "UDP is not spoken"),
    (
        "--loadonly",
        "keys are written before the run with --prefill here",
    ),
    (
        "--noload",
        "without --prefill nothing is written before the run",
    ),
    ("--reconnect", "a lost connection is always made anew"),
    ("-V", "the version is --version"),
];

pub(super) const VALUES: &[Foreign] = &[
    (
        "--workers",
        is_time,
        "-t is the number of worker threads here; the duration (memaslap: -t) is -d/--duration",
    ),
    (
        "--requests",
        is_path,
        "-n is a number of requests in total here (memtier: for each connection, or allkeys)",
    ),
];

#[cfg(test)]
mod tests {
    use super::UNKNOWN;

    #[test]
    fn no_flag_is_there_twice() {
        for (at, (flag, _)) in UNKNOWN.iter().enumerate() {
            assert!(
                !UNKNOWN[..at].iter().any(|(other, _)| other == flag),
                "{flag}"
            );
        }
    }
}
