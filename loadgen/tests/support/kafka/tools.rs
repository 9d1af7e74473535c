//! Kafka's own tools, kcat, and a writer of records no tool writes, against the brokers of a test.
//!
//! They are the oracle: nothing of ours may stand between them and an assertion. A tool is a JVM
//! and takes a second or more of a core: ask once for all partitions, not once for each.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Kafka;

/// How long a topic may take to have all its leaders.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a program said.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    /// Its stdout, if it exited with 0.
    #[track_caller]
    pub(crate) fn expect_ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// What kafka-consumer-perf-test counted, from the line at its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Perf {
    /// `data.consumed.in.MB`: key and value bytes ÷ 1,048,576, as printed: four decimals.
    pub(crate) mib: String,
    /// `data.consumed.in.nMsg`.
    pub(crate) records: u64,
}

impl Perf {
    /// What the tool prints for so many bytes.
    pub(crate) fn mib_of(payload_bytes: u64) -> String {
        format!("{:.4}", payload_bytes as f64 / 1_048_576.0)
    }
}

/// A step of [`Kafka::write`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// Records of one kind, all acknowledged before the next step.
    Put {
        partition: u32,
        count: u64,
        /// `None`: null. A `#` becomes the record's number in this call, from 0.
        key: Option<&'a str>,
        /// Bytes of the value; `None`: a tombstone.
        value_bytes: Option<u32>,
        headers: u32,
    },
    /// Begins a transaction; `transactional.id` must be among the settings.
    Begin,
    /// Commits it.
    Commit,
    /// Aborts it.
    Abort,
}

impl Step<'_> {
    fn line(self) -> String {
        match self {
            Self::Begin => "begin".to_owned(),
            Self::Commit => "commit".to_owned(),
            Self::Abort => "abort".to_owned(),
            Self::Put {
                partition,
                count,
                key,
                value_bytes,
                headers,
            } => {
                let key = key.map_or("-".to_owned(), |key| format!("={key}"));
                let value = value_bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
                format!("put {partition} {count} {key} {value} {headers}")
            }
        }
    }
}

impl Kafka {
    /// Runs a class of Kafka's with `args`.
    #[track_caller]
    pub(crate) fn tool(&self, class: &str, args: &[&str]) -> Told {
        self.tool_fed(class, args, "")
    }

    /// The same, with something on its stdin.
    #[track_caller]
    pub(crate) fn tool_fed(&self, class: &str, args: &[&str], stdin: &str) -> Told {
        // They end before a better compiler pays.
        let mut command = self.java(&["-XX:TieredStopAtLevel=1", "-Xmx512M"]);
        command.arg(class).args(args);
        run(command, stdin)
    }

    /// Creates a topic whose partitions are spread as Kafka likes.
    #[track_caller]
    pub(crate) fn create(&self, topic: &str, partitions: u32, configs: &[&str]) {
        let (partitions, replicas) = (partitions.to_string(), self.brokers.len().to_string());
        let spread = [
            "--partitions",
            &partitions,
            "--replication-factor",
            &replicas,
        ];
        self.create_as(topic, &spread, configs);
    }

    /// Creates a topic whose partitions are where the test wants them: a list of nodes each, the
    /// leader first.
    #[track_caller]
    pub(crate) fn place(&self, topic: &str, replicas: &[&[u32]], configs: &[&str]) {
        let text = |nodes: &&[u32]| {
            let nodes: Vec<String> = nodes.iter().map(u32::to_string).collect();
            nodes.join(":")
        };
        let all: Vec<String> = replicas.iter().map(text).collect();
        self.create_as(topic, &["--replica-assignment", &all.join(",")], configs);
    }

    #[track_caller]
    fn create_as(&self, topic: &str, spread: &[&str], configs: &[&str]) {
        let mut args = vec!["--create", "--topic", topic];
        args.extend(spread);
        for config in configs {
            args.extend(["--config", config]);
        }
        self.topics(&args);
        // The answer comes before every broker knows it: kcat asks without starting a JVM.
        let since = Instant::now();
        loop {
            let leaders = self.leaders(topic);
            if !leaders.is_empty() && leaders.iter().all(|leader| *leader > 0) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{topic} is led by {leaders:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Deletes a topic: its files go within a second.
    #[track_caller]
    pub(crate) fn delete(&self, topic: &str) {
        self.topics(&["--delete", "--topic", topic]);
    }

    #[track_caller]
    fn topics(&self, args: &[&str]) -> String {
        let bootstrap = self.bootstrap();
        let args = [&["--bootstrap-server", &bootstrap], args].concat();
        self.tool("org.apache.kafka.tools.TopicCommand", &args)
            .expect_ok()
    }

    /// The offset after the last record of every partition.
    #[track_caller]
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        self.offsets(topic, "-1")
    }

    /// The first offset of every partition.
    #[track_caller]
    pub(crate) fn starts(&self, topic: &str) -> Vec<i64> {
        self.offsets(topic, "-2")
    }

    #[track_caller]
    fn offsets(&self, topic: &str, time: &str) -> Vec<i64> {
        let bootstrap = self.bootstrap();
        let args = ["--bootstrap-server", &bootstrap, "--topic", topic];
        let args = [&args[..], &["--time", time]].concat();
        let text = self
            .tool("org.apache.kafka.tools.GetOffsetShell", &args)
            .expect_ok();
        // topic:partition:offset, in order of partition.
        let mut offsets = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.rsplitn(3, ':').collect();
            assert_eq!(
                words.get(1),
                Some(&offsets.len().to_string().as_str()),
                "{text}"
            );
            offsets.push(words[0].parse().expect("an offset"));
        }
        assert!(!offsets.is_empty(), "no offsets of {topic}: {text}");
        offsets
    }

    /// Forgets what is before `offset` in a partition: the log's start moves there.
    #[track_caller]
    pub(crate) fn forget(&self, topic: &str, partition: u32, offset: i64) {
        let path = self.dir().join(format!("forget-{topic}-{partition}.json"));
        let json = format!(
            r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{partition},"offset":{offset}}}]}}"#
        );
        std::fs::write(&path, json).expect("a file");
        let bootstrap = self.bootstrap();
        let path = path.to_str().expect("a plain path");
        let args = ["--bootstrap-server", &bootstrap, "--offset-json-file", path];
        let class = "org.apache.kafka.tools.DeleteRecordsCommand";
        let text = self.tool(class, &args).expect_ok();
        assert!(!text.contains("error"), "{text}");
    }

    /// The leader of every partition, as kcat sees it; -1 where there is none, nothing at all for a
    /// topic nobody knows.
    #[track_caller]
    pub(crate) fn leaders(&self, topic: &str) -> Vec<i32> {
        let text = self.kcat(&["-L", "-J", "-t", topic], "").expect_ok();
        let seen: serde_json::Value = serde_json::from_str(&text).expect("JSON of kcat");
        let rows = seen["topics"][0]["partitions"].as_array();
        let mut rows: Vec<(i64, i32)> = rows
            .into_iter()
            .flatten()
            .map(|row| {
                let leader = row["leader"].as_i64().unwrap_or(-1);
                (row["partition"].as_i64().expect("a number"), leader as i32)
            })
            .collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, leader)| leader).collect()
    }

    /// Waits until the partitions have these leaders.
    #[track_caller]
    pub(crate) fn await_leaders(&self, topic: &str, expected: &[i32]) {
        let since = Instant::now();
        loop {
            let leaders = self.leaders(topic);
            if leaders == expected {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{topic} is led by {leaders:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `kcat -b BROKERS ARGS`, with the brokers that run.
    #[track_caller]
    pub(crate) fn kcat(&self, args: &[&str], stdin: &str) -> Told {
        let alive = self.brokers.iter().filter(|b| b.daemon.is_some());
        let alive: Vec<String> = alive.map(|b| self.address(b.node)).collect();
        self.kcat_at(&alive.join(","), args, stdin)
    }

    /// The same with other addresses: those of the SASL listener.
    #[track_caller]
    pub(crate) fn kcat_at(&self, addresses: &str, args: &[&str], stdin: &str) -> Told {
        let mut command = Command::new("kcat");
        command.args(["-b", addresses, "-q"]).args(args);
        run(command, stdin)
    }

    /// kafka-consumer-perf-test over a whole topic of so many records, in its own process; `more`
    /// are more of its flags.
    #[track_caller]
    pub(crate) fn consumer_perf(&self, topic: &str, records: u64, more: &[&str]) -> Perf {
        let (bootstrap, records) = (self.bootstrap(), records.to_string());
        let args = ["--bootstrap-server", &bootstrap, "--topic", topic];
        let args = [&args[..], &["--messages", &records, "--hide-header"], more].concat();
        let class = "org.apache.kafka.tools.ConsumerPerformance";
        let text = self.tool(class, &args).expect_ok();
        let line = text.lines().find(|line| line.matches(", ").count() == 9);
        let line = line.unwrap_or_else(|| panic!("no line of results: {text}"));
        let words: Vec<&str> = line.split(", ").collect();
        Perf {
            mib: words[2].to_owned(),
            records: words[4].parse().expect("a count"),
        }
    }

    /// kafka-producer-perf-test at full speed; `props` are settings of its producer.
    #[track_caller]
    pub(crate) fn producer_perf(&self, topic: &str, records: u64, bytes: u32, props: &[&str]) {
        let (records, bytes) = (records.to_string(), bytes.to_string());
        let servers = format!("bootstrap.servers={}", self.bootstrap());
        let args = ["--topic", topic, "--num-records", &records, "--record-size"];
        let args = [&args[..], &[&bytes, "--throughput", "-1"]].concat();
        let args = [&args[..], &["--producer-props", &servers], props].concat();
        let class = "org.apache.kafka.tools.ProducerPerformance";
        let text = self.tool(class, &args).expect_ok();
        let end = text.lines().last().unwrap_or_default();
        assert!(
            end.starts_with(&format!("{records} records sent, ")),
            "{text}"
        );
    }

    /// Writes records step by step; `settings` are those of the Java producer, as NAME=VALUE. The
    /// number of acknowledged records.
    #[track_caller]
    pub(crate) fn write(&self, topic: &str, settings: &[&str], steps: &[Step<'_>]) -> u64 {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/kafka/Records.java"
        );
        assert!(Path::new(source).exists(), "{source}");
        let servers = format!("bootstrap.servers={}", self.bootstrap());
        let args = [&[topic, &servers], settings].concat();
        let script: String = steps.iter().map(|step| step.line() + "\n").collect();
        let text = self.tool_fed(source, &args, &script).expect_ok();
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("no count: {text}"))
    }
}

/// Runs a program to its end, fed from a string.
#[track_caller]
fn run(mut command: Command, stdin: &str) -> Told {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{name} is needed for this test: {e}"));
    let mut pipe = child.stdin.take().expect("piped");
    let text = stdin.to_owned();
    // One that ends before it read everything says so by its exit code.
    let feeder = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("its output");
    let _ = feeder.join();
    Told {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
