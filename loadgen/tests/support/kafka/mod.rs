//! Apache Kafka: one broker or three, of the versions that scripts/install-kafka brings.
//!
//! Brokers keep their logs on tmpfs where there is one, and are killed by process id when they are
//! dropped. Readiness is asked by hand (`wire`), so that nothing under test stands between. What a
//! broker may not do here is forget: nothing expires while a test reads it.

mod config;
pub(crate) mod ours;
mod tools;
mod wire;

#[allow(unused_imports, reason = "every test binary uses a part of it")]
pub(crate) use tools::{Perf, Step, Told};

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::path::LongPath;
use super::{Machine, free_port, machine};

/// How long a broker may take to serve: a JVM on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// The user of the SASL listener, and the password, for PLAIN and both SCRAMs.
pub(crate) const USER: (&str, &str) = ("alice", "alice-secret");

/// A version that scripts/install-kafka brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The last line of 3.x.
    V3_9,
    /// 4.x.
    V4_2,
}

impl Version {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::V3_9, Self::V4_2];

    /// Its name at the artifacts.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V3_9 => "3.9.1",
            Self::V4_2 => "4.2.0",
        }
    }

    /// Where its jars are.
    #[track_caller]
    pub(crate) fn jars(self) -> PathBuf {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = set("LOADGEN_KAFKA_DIR").map(PathBuf::from).or_else(|| {
            let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(Path::new(&set("HOME")?).join(".cache")));
            Some(cache?.join("loadgen/kafka"))
        });
        let root = root.expect("LOADGEN_KAFKA_DIR or HOME");
        let jars = root.join(self.name());
        assert!(
            jars.join("complete").exists(),
            "{} has no Kafka: scripts/install-kafka brings it",
            jars.display()
        );
        jars
    }
}

/// What brokers a test wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Their version.
    pub(crate) version: Version,
    /// How many: 1 or 3. The first is the controller too, so it is not the one to kill.
    pub(crate) brokers: u32,
    /// Lines of `server.properties`; they win over those of the fixture.
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// Brokers that run.
#[derive(Debug)]
pub(crate) struct Kafka {
    version: Version,
    dir: TempDir,
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    node: u32,
    port: u16,
    sasl_port: u16,
    /// Where it listens behind a path of a length ([`Kafka::path`]), and where that path begins.
    far_port: u16,
    path_port: u16,
    /// `None` between its death and its next start.
    daemon: Option<Daemon>,
}

/// A broker that the tests of a binary share, and the machine ([`machine`]) for as long as the test
/// has it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Shared {
    kafka: Arc<Kafka>,
    _machine: Machine,
}

impl std::ops::Deref for Shared {
    type Target = Kafka;

    fn deref(&self) -> &Kafka {
        &self.kafka
    }
}

/// The shared broker of a version: started by the first test that wants it, ended by the last that
/// lets go of it. Names of topics must be the test's own. A test has one at a time and does not
/// call [`machine`] besides: it would wait for itself.
#[track_caller]
pub(crate) fn shared(version: Version) -> Shared {
    static SHARED: [Mutex<Weak<Kafka>>; 2] = [const { Mutex::new(Weak::new()) }; 2];
    let slot = &SHARED[version as usize];
    // A start that failed leaves nothing wrong behind.
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let kafka = slot.upgrade().unwrap_or_else(|| {
        let _machine = machine();
        Arc::new(Kafka::one(version))
    });
    *slot = Arc::downgrade(&kafka);
    // Those that come meanwhile find it.
    drop(slot);
    Shared {
        kafka,
        _machine: machine(),
    }
}

impl Kafka {
    /// One broker.
    #[track_caller]
    pub(crate) fn one(version: Version) -> Self {
        Self::start(Wanted {
            version,
            brokers: 1,
            settings: &[],
        })
    }

    /// Three brokers; see [`Kafka::place`] for who leads what.
    #[track_caller]
    pub(crate) fn three(version: Version) -> Self {
        Self::start(Wanted {
            version,
            brokers: 3,
            settings: &[],
        })
    }

    /// Starts what is wanted and waits until every broker knows every other.
    #[track_caller]
    pub(crate) fn start(wanted: Wanted<'_>) -> Self {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let mut kafka = Self {
            version: wanted.version,
            dir: dir.expect("a temporary directory"),
            brokers: Vec::new(),
        };
        let controller_port = free_port();
        for node in 1..=wanted.brokers {
            let broker = Broker {
                node,
                port: free_port(),
                sasl_port: free_port(),
                far_port: free_port(),
                path_port: free_port(),
                daemon: None,
            };
            let config = config::server(&wanted, &broker, controller_port, kafka.dir.path());
            std::fs::write(kafka.properties(node), config).expect("its configuration");
            kafka.brokers.push(broker);
        }
        std::fs::write(kafka.logging(), config::LOGGING[wanted.version as usize]).expect("a file");
        kafka.format();
        for node in 1..=wanted.brokers {
            kafka.spawn(node);
        }
        for node in 1..=wanted.brokers {
            kafka.await_broker(node);
        }
        kafka.await_members(wanted.brokers as usize);
        kafka
    }

    /// `HOST:PORT` of every broker, with commas.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses = self.brokers.iter().map(|b| format!("127.0.0.1:{}", b.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// `HOST:PORT` of a broker.
    pub(crate) fn address(&self, node: u32) -> String {
        format!("127.0.0.1:{}", self.broker(node).port)
    }

    /// `HOST:PORT` of a broker's SASL_PLAINTEXT listener: see [`USER`].
    pub(crate) fn sasl_address(&self, node: u32) -> String {
        format!("127.0.0.1:{}", self.broker(node).sasl_port)
    }

    /// A path to a broker on which what clients send takes `delay`: the broker tells them to come that
    /// way. One at a time.
    #[track_caller]
    pub(crate) fn path(&self, node: u32, delay: Duration) -> LongPath {
        let broker = self.broker(node);
        LongPath::lay(broker.path_port, broker.far_port, delay)
    }

    /// The version.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// A broker's process id.
    pub(crate) fn pid(&self, node: u32) -> u32 {
        self.daemon(node).pid()
    }

    /// A directory that lives as long as the brokers.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a broker logged so far: warnings and errors.
    pub(crate) fn log(&self, node: u32) -> String {
        std::fs::read_to_string(self.file(node, "log")).unwrap_or_default()
    }

    /// Ends a broker in the middle of everything. The controller (node 1 of three) is not for that.
    #[track_caller]
    pub(crate) fn kill(&mut self, node: u32) {
        assert!(
            node > 1 || self.brokers.len() == 1,
            "node 1 is the controller"
        );
        let mut daemon = self.broker_mut(node).daemon.take().expect("it runs");
        daemon.stop(Signal::KILL);
    }

    /// Ends a broker as an operator would: its leaders move first.
    #[track_caller]
    pub(crate) fn stop(&mut self, node: u32) {
        let mut daemon = self.broker_mut(node).daemon.take().expect("it runs");
        daemon.stop(Signal::TERM);
    }

    /// Starts a broker again that was killed or stopped, and waits until it serves.
    #[track_caller]
    pub(crate) fn again(&mut self, node: u32) {
        self.spawn(node);
        self.await_broker(node);
        self.await_members(self.brokers.iter().filter(|b| b.daemon.is_some()).count());
    }

    /// Lets a broker do nothing (SIGSTOP) until [`Kafka::thaw`].
    #[track_caller]
    pub(crate) fn freeze(&self, node: u32) {
        self.daemon(node).signal(Signal::STOP);
        // The last of its threads stops a moment later.
        self.wait(&format!("broker {node} does not stop"), || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid(node)));
            stat.is_ok_and(|stat| {
                stat.rsplit(')')
                    .next()
                    .is_some_and(|s| s.starts_with(" T "))
            })
        });
    }

    /// Lets it go on.
    #[track_caller]
    pub(crate) fn thaw(&self, node: u32) {
        self.daemon(node).signal(Signal::CONT);
    }

    fn broker(&self, node: u32) -> &Broker {
        &self.brokers[node as usize - 1]
    }

    fn broker_mut(&mut self, node: u32) -> &mut Broker {
        &mut self.brokers[node as usize - 1]
    }

    fn daemon(&self, node: u32) -> &Daemon {
        self.broker(node).daemon.as_ref().expect("it runs")
    }

    fn file(&self, node: u32, what: &str) -> PathBuf {
        self.dir.path().join(format!("{node}.{what}"))
    }

    fn properties(&self, node: u32) -> PathBuf {
        self.file(node, "properties")
    }

    fn logging(&self) -> PathBuf {
        self.dir.path().join("logging.properties")
    }

    /// A JVM with the jars of this version and logs on stderr.
    fn java(&self, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        let logging = self.logging();
        command.args(["-XX:+UseSerialGC", "-Djava.awt.headless=true"]);
        command.arg(format!("-Dlog4j.configuration=file:{}", logging.display()));
        command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        command.args(options);
        command.arg("-cp").arg(self.version.jars().join("*"));
        command.stdin(Stdio::null());
        command
    }

    /// Lays the directories out: Kafka's own tool does the first, the others differ in ids only.
    #[track_caller]
    fn format(&self) {
        let properties = self.properties(1);
        let properties = properties.to_str().expect("a plain path");
        let mut args = vec!["format", "-t", config::CLUSTER, "-c", properties];
        let users = config::scram_users();
        for user in &users {
            args.extend(["--add-scram", user]);
        }
        self.tool("kafka.tools.StorageTool", &args).expect_ok();
        let first = self.file(1, "data");
        for broker in &self.brokers[1..] {
            let at = self.file(broker.node, "data");
            std::fs::create_dir(&at).expect("a directory");
            let name = "bootstrap.checkpoint";
            std::fs::copy(first.join(name), at.join(name)).expect("a copy");
            let meta = config::meta(broker.node);
            std::fs::write(at.join("meta.properties"), meta).expect("a file");
        }
    }

    #[track_caller]
    fn spawn(&mut self, node: u32) {
        let heap = if self.brokers.len() == 1 {
            "-Xmx1G"
        } else {
            "-Xmx512M"
        };
        let mut command = self.java(&[heap, "-Xms256M"]);
        command.arg("kafka.Kafka").arg(self.properties(node));
        let path = self.file(node, "log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        let log = log.expect("a log file");
        command.stdout(log.try_clone().expect("the same file"));
        command.stderr(log);
        let port = self.broker(node).port;
        let started =
            std::panic::AssertUnwindSafe(|| Daemon::start_within(command, port, PATIENCE));
        let daemon = std::panic::catch_unwind(started).unwrap_or_else(|_| {
            panic!("broker {node} does not start: {}", self.log(node));
        });
        self.broker_mut(node).daemon = Some(daemon);
    }

    #[track_caller]
    fn await_broker(&self, node: u32) {
        let port = self.broker(node).port;
        self.wait(&format!("broker {node} does not answer"), || {
            wire::answers_api_versions(port)
        });
    }

    #[track_caller]
    fn await_members(&self, expected: usize) {
        for broker in self.brokers.iter().filter(|b| b.daemon.is_some()) {
            self.wait(&format!("broker {} does not know all", broker.node), || {
                wire::members(broker.port).is_ok_and(|members| members == expected)
            });
        }
    }

    #[track_caller]
    fn wait(&self, otherwise: &str, done: impl Fn() -> bool) {
        let since = Instant::now();
        while !done() {
            if since.elapsed() > PATIENCE {
                let logs: String = self.brokers.iter().map(|b| self.log(b.node)).collect();
                panic!("{otherwise}: {logs}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Nothing of theirs is kept, so they need not tidy up. One may be frozen: SIGKILL ends it too.
        for broker in &mut self.brokers {
            if let Some(mut daemon) = broker.daemon.take() {
                daemon.stop(Signal::KILL);
            }
        }
    }
}
