//! The target: one Apache Kafka broker in KRaft mode on the target's core, its log in memory.
//!
//! It has one topic at a time: the one that the work at hand needs. A topic to read is filled by
//! `loadgen kafka seed`; nothing of that is measured.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen_kafka::cluster::Topic;
use loadgen_kafka::control::{Control, ControlError, Offset};
use loadgen_kafka::plan::NewTopic;
use loadgen_kafka::spec::{ClusterSpec, Isolation};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::super::child::Running;
use super::super::lane::{free_address, inside};
use super::super::model::{Served, Setup, Target, Witness, Work};
use super::{PARTITIONS, Shape, Task, VERSION, config};
use crate::{stop, sys};

/// How long a broker may take to come up, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long filling a topic may take.
const SEED_AT_MOST: Duration = Duration::from_secs(600);

/// A running broker, killed when dropped.
pub(crate) struct Broker {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
    /// Where the generators are, when it is not here.
    namespace: Option<OwnedFd>,
    /// Ours, which fills topics.
    program: PathBuf,
    /// Where generators run.
    cpus: Vec<u32>,
    topic_bytes: u64,
    topic: Option<String>,
}

impl Broker {
    /// Starts one and waits until it answers.
    pub(crate) fn start(setup: &Setup<'_>) -> Result<Self, String> {
        let lane = setup.lane;
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let dir = dir.map_err(|error| format!("a directory in memory: {error}"))?;
        let address = free_address(lane)?;
        let controller_port = free_address(lane)?.port();
        let properties = dir.path().join("server.properties");
        std::fs::write(
            &properties,
            config::server(address, controller_port, dir.path()),
        )
        .map_err(|error| format!("{}: {error}", properties.display()))?;
        format(dir.path(), &properties)?;
        let mut command = config::java(&config::BROKER_HEAP, dir.path())?;
        command.arg("kafka.Kafka").arg(&properties);
        let log = File::create(dir.path().join("log"));
        let log = log.map_err(|error| format!("the broker's log: {error}"))?;
        let also = log
            .try_clone()
            .map_err(|error| format!("its log: {error}"))?;
        command.stdout(also).stderr(log);
        sys::place(&mut command, lane.target_cpus(), lane.target_namespace());
        let child = command.spawn().map_err(|error| format!("java: {error}"))?;
        let mut broker = Self {
            child,
            dir,
            address,
            namespace: lane.own_client_namespace()?,
            program: setup.program.to_owned(),
            cpus: lane.client_cpus(1).to_vec(),
            topic_bytes: setup.topic_bytes,
            topic: None,
        };
        broker.wait_ready()?;
        Ok(broker)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let asked = self.ask(|control| Ok(!control.brokers().is_empty()));
            let ended = self.child.try_wait();
            let ended = ended.map_err(|error| format!("the broker: {error}"))?;
            match asked {
                Ok(true) if ended.is_none() => return Ok(()),
                _ if ended.is_none() && Instant::now() < until => {
                    stop::sleep(Duration::from_millis(100))?;
                }
                _ => {
                    let log = std::fs::read_to_string(self.dir.path().join("log"));
                    let log = log.unwrap_or_default();
                    let last = log.lines().last().unwrap_or("its log is empty");
                    return Err(format!("the broker does not come up: {last}"));
                }
            }
        }
    }

    /// Asks the broker from where the generators are.
    fn ask<T: Send>(
        &self,
        what: impl FnOnce(&mut Control) -> Result<T, ControlError> + Send,
    ) -> Result<T, String> {
        let spec = ClusterSpec {
            bootstrap: vec![self.address.to_string()],
            sasl: None,
            client_id: "versus".into(),
        };
        inside(self.namespace.as_ref(), || {
            let mut control = Control::open(&spec, PATIENCE).map_err(|error| error.to_string())?;
            what(&mut control).map_err(|error| error.to_string())
        })
    }

    /// Fills a new topic with `topic_bytes` of payload.
    fn seed(&self, name: &str, shape: Shape) -> Result<(), String> {
        let records = self.topic_bytes / u64::from(shape.record_bytes);
        eprintln!(
            "  filling {name}: {records} records of {} bytes",
            shape.record_bytes
        );
        let mut command = Command::new(&self.program);
        command.args(["kafka", "seed", &self.address.to_string()]);
        command.args(["--topic", name, "--create", "--quiet", "-t", "1"]);
        command.args(["--partitions-count", &PARTITIONS.to_string()]);
        command.args(["-n", &records.to_string(), "--acks", "1"]);
        command.args(["--record-size", &shape.record_bytes.to_string()]);
        command.args(["--batch-bytes", &shape.batch_bytes.to_string()]);
        command.stdin(Stdio::null());
        let namespace = self.namespace.as_ref().map(AsFd::as_fd);
        sys::place(&mut command, &self.cpus, namespace);
        let mut seeding = Running::spawn(command, self.dir.path(), "seed")?;
        match seeding.wait(SEED_AT_MOST) {
            Ok((0, _)) => Ok(()),
            Ok((status, _)) => {
                let code = status >> 8;
                Err(seeding.explained(&format!("filling {name} ended with exit code {code}")))
            }
            Err(why) => Err(seeding.explained(&format!("filling {name} {why}"))),
        }
    }

    /// A topic that forgets.
    fn create(&self, name: &str) -> Result<(), String> {
        let new = NewTopic {
            name: name.to_owned(),
            partitions: Some(PARTITIONS.cast_signed()),
            replication: Some(1),
            settings: config::written_topic(),
        };
        let made = self.ask(|control| control.create_topic(&new))?;
        made.then_some(())
            .ok_or_else(|| format!("topic {name} was there already"))
    }

    /// Waits until the topic has all its leaders, which the answer to its creation comes before.
    fn await_leaders(&self, name: &str) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let led = self.ask(|control| {
                let topic = control.topic(name)?;
                let led = |topic: &Topic| {
                    (0..topic.partitions.len()).all(|at| topic.leader(at).is_some())
                };
                Ok(topic.is_some_and(|topic| {
                    topic.partitions.len() == PARTITIONS as usize && led(&topic)
                }))
            })?;
            if led {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(format!("topic {name} does not get its leaders"));
            }
            stop::sleep(Duration::from_millis(50))?;
        }
    }

    /// Offsets that the logs of `topic` have had.
    fn appended(&self, name: &str) -> Result<u64, String> {
        let ends = self.ask(|control| match control.topic(name)? {
            Some(topic) => control.offsets(&topic, Offset::Latest, Isolation::ReadUncommitted),
            None => Ok(Vec::new()),
        })?;
        if ends.len() != PARTITIONS as usize {
            return Err(format!("topic {name} has {} partitions", ends.len()));
        }
        Ok(ends.iter().map(|end| end.unsigned_abs()).sum())
    }
}

impl Target for Broker {
    fn name(&self) -> String {
        format!("Apache Kafka {VERSION}, one broker, {PARTITIONS} partitions, log in memory")
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn resource(&self, work: &Work) -> String {
        let topic = self.topic.as_deref().unwrap_or_default();
        format!("{topic} {}", self.topic_bytes / work.payload_bytes)
    }

    fn ready(&mut self, work: &Work) -> Result<(), String> {
        let task = Task::of(work)?;
        let wanted = task.topic();
        if self.topic.as_ref() == Some(&wanted) {
            return Ok(());
        }
        if let Some(old) = self.topic.take() {
            self.ask(|control| control.delete_topic(&old))?;
        }
        if task.reads() {
            self.seed(&wanted, task.shape)?;
        } else {
            self.create(&wanted)?;
        }
        self.await_leaders(&wanted)?;
        self.topic = Some(wanted);
        Ok(())
    }

    fn witness(&mut self, work: &Work) -> Result<Witness, String> {
        let task = Task::of(work)?;
        if task.reads() {
            return inside(self.namespace.as_ref(), || received().map(Witness::Bytes));
        }
        self.appended(&task.topic()).map(Witness::Requests)
    }

    fn served(&mut self) -> Result<Served, String> {
        Err("the broker does not count what is read".into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing of it is kept, so it need not tidy up.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Lays its directory out.
fn format(dir: &Path, properties: &Path) -> Result<(), String> {
    let mut command = config::java(&config::TOOL_HEAP, dir)?;
    command.args(["kafka.tools.StorageTool", "format", "-t", config::CLUSTER]);
    command.arg("-c").arg(properties);
    sys::place(&mut command, &[], None);
    let mut formatting = Running::spawn(command, dir, "format")?;
    match formatting.wait(PATIENCE) {
        Ok((0, _)) => Ok(()),
        Ok(_) => Err(formatting.explained("kafka.tools.StorageTool failed")),
        Err(why) => Err(formatting.explained(&format!("kafka.tools.StorageTool {why}"))),
    }
}

/// Bytes that all interfaces here have received: `/proc/net/dev` of this thread's namespace.
fn received() -> Result<u64, String> {
    let path = "/proc/thread-self/net/dev";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let bytes = received_of(&text);
    (bytes > 0)
        .then_some(bytes)
        .ok_or_else(|| format!("{path}: no interface has received anything"))
}

fn received_of(text: &str) -> u64 {
    let interface = |line: &str| {
        let (_, counters) = line.split_once(':')?;
        counters.split_whitespace().next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(interface).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_interfaces_are_added_up() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes\n    \
                    lo: 2976331    4157    0    0    0     0          0         0  2976331\n  \
                    eth0:1000 4 0 0 0 0 0 0 5\n";
        assert_eq!(received_of(text), 2_977_331);
        assert_eq!(received_of(""), 0);
    }
}
