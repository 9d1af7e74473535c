//! Kafka side by side: one Apache Kafka broker, its log in memory, a topic of four partitions, and the
//! Java tools, librdkafka and the floor.
//!
//! The broker does not count what is read, and the Java tools take seconds to be as fast as they get:
//! every number is the difference of a long run and a short one. A topic to read is filled by ours and
//! read again and again; one to write to forgets what is older than a few hundred MB.

mod broker;
mod config;
mod goals;
mod peers;

use std::path::Path;

use super::compare::Bench;
use super::model::{Instrument, Job, Load, Peer, Protocol, Setup, Target, Work};
use super::render::Series;

/// The version of Apache Kafka.
const VERSION: &str = "4.2.0";
/// Partitions of a topic.
const PARTITIONS: u32 = 4;
/// Requests in flight of those that write, each with a batch of every partition: the Java client's
/// `max.in.flight.requests.per.connection`. Ours has one batch in a request, and as many batches in
/// flight.
const WRITES_IN_FLIGHT: u32 = 5;
/// What is read of a partition in a fetch, at most, bytes: the Java tool's default, for all.
const FETCH_BYTES: u32 = 1 << 20;

/// Records of a size in batches of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    name: &'static str,
    record_bytes: u32,
    batch_bytes: u32,
}

/// "1 MB" is 10^6 bytes: brokers refuse batches of more than 1 MiB by default.
const SHAPES: [Shape; 3] = [
    Shape {
        name: "1k-b128k",
        record_bytes: 1000,
        batch_bytes: 128 * 1024,
    },
    Shape {
        name: "1k-b16k",
        record_bytes: 1000,
        batch_bytes: 16 * 1024,
    },
    Shape {
        name: "1m",
        record_bytes: 1_000_000,
        batch_bytes: 128 * 1024,
    },
];

/// What is done with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Read; ours looks at the headers of batches.
    Consume,
    /// Read; ours looks at every record.
    ConsumeRecords,
    /// Written, with acks=1.
    Produce,
}

/// A work in Kafka's own words; its name is made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    doing: Doing,
    shape: Shape,
}

impl Task {
    /// All that are compared with all peers.
    fn all() -> Vec<Self> {
        let doing = [Doing::Consume, Doing::ConsumeRecords, Doing::Produce];
        let shaped = |doing| SHAPES.map(|shape| Self { doing, shape });
        doing.into_iter().flat_map(shaped).collect()
    }

    fn name(self) -> String {
        match self.doing {
            Doing::Consume => format!("consume-{}", self.shape.name),
            Doing::ConsumeRecords => format!("consume-{}-records", self.shape.name),
            Doing::Produce => format!("produce-{}", self.shape.name),
        }
    }

    fn work(self) -> Work {
        let bytes = u64::from(self.shape.record_bytes);
        let depth = if self.reads() {
            1
        } else {
            WRITES_IN_FLIGHT * PARTITIONS
        };
        Work {
            name: self.name(),
            instrument: Instrument::Difference,
            ..Work::new("", bytes, 1, depth, Load::Closed)
        }
    }

    /// The task of a work of this protocol.
    fn of(work: &Work) -> Result<Self, String> {
        let found = Self::all()
            .into_iter()
            .find(|task| task.name() == work.name);
        found.ok_or_else(|| format!("{} is no work of Kafka", work.name))
    }

    fn reads(self) -> bool {
        self.doing != Doing::Produce
    }

    /// The topic that it needs.
    fn topic(self) -> String {
        let direction = if self.reads() { "read" } else { "write" };
        format!("{direction}-{}", self.shape.name)
    }
}

/// [`Job::resource`]: the topic, and how many records it is read or filled with at a time.
fn resource<'a>(job: &Job<'a>) -> Result<(&'a str, u64), String> {
    let parts = job.resource.split_once(' ');
    let (topic, records) = parts.ok_or_else(|| format!("{:?} is no topic", job.resource))?;
    let records = records.parse();
    Ok((
        topic,
        records.map_err(|error| format!("{}: {error}", job.resource))?,
    ))
}

/// The row of [`super::PROTOCOLS`].
pub(crate) struct Kafka;

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn works(&self) -> Vec<Work> {
        Task::all().into_iter().map(Task::work).collect()
    }

    fn ours(&self, program: &Path) -> Box<dyn Peer> {
        Box::new(peers::ours::Ours::new(program))
    }

    fn peers(&self, _program: &Path) -> Vec<Box<dyn Peer>> {
        vec![
            Box::new(peers::floor::Floor),
            Box::new(peers::librdkafka::Librdkafka),
            Box::new(peers::java::Java),
        ]
    }

    fn goals(&self, bench: &mut Bench, ours: &dyn Peer, series: &mut Series) {
        goals::measure(bench, ours, series);
    }

    fn start(&self, setup: &Setup<'_>) -> Result<Box<dyn Target>, String> {
        Ok(Box::new(broker::Broker::start(setup)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_found_by_its_name() {
        for task in Task::all() {
            let work = task.work();
            assert_eq!(Task::of(&work), Ok(task));
            assert_eq!(work.payload_bytes, u64::from(task.shape.record_bytes));
        }
        let other = Work::new("1k", 1000, 1, 1, Load::Closed);
        assert!(Task::of(&other).is_err());
        let names: Vec<String> = Kafka.works().into_iter().map(|work| work.name).collect();
        assert!(
            names.contains(&"consume-1k-b16k-records".to_owned()),
            "{names:?}"
        );
    }
}
