//! One broker and its connections: which request goes where.
//!
//! Small requests are served when they are whole; Produce as it comes. No length from the wire is
//! believed beyond its limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use loadgen_core::buffer::Outbox;
use loadgen_core::serve::{Counters, Hall, Service, Stats, Step};

use super::api::{self, Head, Key, Opening, code};
use super::fetch::Fetching;
use super::fields::{Answer, Fields};
use super::group::Groups;
use super::log::Log;
use super::produce::Produce;
use super::stats::Counter;
use super::topics::{Recent, Topics};
use super::{TargetOptions, admin, members};

/// Who this broker is in its cluster of one.
pub(super) const NODE: i32 = 1;
pub(super) const CLUSTER: &str = "loadgen";

/// Bytes of the length in front of every request.
const LENGTH_BYTES: usize = 4;

/// The longest Produce request, as a broker's `socket.request.max.bytes`.
const REQUEST_MAX: usize = 100 << 20;

/// The longest of all others: it is kept whole.
const WHOLE_MAX: usize = 1 << 20;

/// What all connections share.
#[derive(Debug)]
pub struct Broker {
    pub(super) options: TargetOptions,
    pub(super) topics: Topics,
    pub(super) groups: Arc<Groups>,
    pub(super) log: Log,
    pub(super) hall: Hall,
    /// One of each thread.
    counters: Vec<Counters>,
    producer_ids: AtomicI64,
}

impl Broker {
    pub(super) fn new(options: TargetOptions, topics: Topics, log: Log, hall: Hall) -> Self {
        let counters = |_| Counters::new(Counter::NAMES.len());
        Self {
            topics,
            groups: Arc::default(),
            log,
            hall,
            counters: (0..options.workers.max(1)).map(counters).collect(),
            producer_ids: AtomicI64::new(0),
            options,
        }
    }

    pub(super) fn next_producer_id(&self) -> i64 {
        self.producer_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Settings of the broker, under Kafka's names, that are true here.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("group.initial.rebalance.delay.ms", "0".into()),
            (
                "message.max.bytes",
                self.options.message_max_bytes.to_string(),
            ),
            ("num.network.threads", self.counters.len().to_string()),
            ("num.partitions", self.options.partitions.to_string()),
            ("socket.request.max.bytes", REQUEST_MAX.to_string()),
            (
                "auto.create.topics.enable",
                self.options.auto_create.to_string(),
            ),
        ]
    }

    /// Those of any topic.
    pub(super) fn topic_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "delete".into()),
            ("compression.type", "producer".into()),
            (
                "max.message.bytes",
                self.options.message_max_bytes.to_string(),
            ),
            ("message.timestamp.type", "CreateTime".into()),
        ]
    }
}

/// What a request is served with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk<'a> {
    pub(super) broker: &'a Broker,
    pub(super) counters: &'a Counters,
    pub(super) now: Instant,
}

/// Where clients are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advertised {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    pub(super) advertised: Advertised,
    groups: Arc<Groups>,
    /// Group and id of those that joined on this connection.
    members: Vec<(String, String)>,
    recent: Recent,
    fetching: Fetching,
    produce: Option<Box<Produce>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        for (group, id) in &self.members {
            self.groups.leave(group, id);
        }
    }
}

impl Session {
    /// Remembers a member, so that it leaves with its connection.
    pub(super) fn joined(&mut self, group: &str, id: &str) {
        let known = |(g, i): &(String, String)| g == group && i == id;
        if !self.members.iter().any(known) {
            self.members.push((group.to_owned(), id.to_owned()));
        }
    }

    fn step(&mut self, desk: &Desk<'_>, input: &[u8], out: &mut Outbox) -> Step {
        if self.produce.is_some() {
            return self.go_on(desk, input, 0, out);
        }
        let Some(length) = input.first_chunk().map(|b| i32::from_be_bytes(*b)) else {
            return Step::Short;
        };
        let rest = &input[LENGTH_BYTES..];
        let length = match usize::try_from(length) {
            Ok(length) if length <= REQUEST_MAX => length,
            _ => return refuse(desk),
        };
        let frame = &rest[..rest.len().min(length)];
        let (head, head_bytes) = match api::open(frame) {
            Opening::Known(head, bytes) => (head, bytes),
            Opening::TooNew(correlation) if frame.len() == length => {
                let mut answer = Answer::with_plain_head(out.copied_mut(), correlation, false);
                admin::api_versions(0, code::UNSUPPORTED_VERSION, &mut answer);
                answer.finish(0);
                return whole(length);
            }
            Opening::Short | Opening::TooNew(_) if frame.len() < length.min(WHOLE_MAX) => {
                return Step::Short;
            }
            _ => return refuse(desk),
        };
        if head.key == Key::Produce {
            self.produce = Some(Box::new(Produce::new(head, length - head_bytes)));
            return self.go_on(desk, input, LENGTH_BYTES + head_bytes, out);
        }
        if length > WHOLE_MAX {
            return refuse(desk);
        }
        if frame.len() < length {
            return Step::Short;
        }
        let fields = Fields::new(&frame[head_bytes..], head.flexible);
        match self.serve(desk, head, fields, out) {
            Some(Step::Ate { .. }) => whole(length),
            Some(step) => step,
            None => refuse(desk),
        }
    }

    /// Goes on with a Produce request, behind `skip` bytes of the input.
    fn go_on(&mut self, desk: &Desk<'_>, input: &[u8], skip: usize, out: &mut Outbox) -> Step {
        let Some(produce) = &mut self.produce else {
            return Step::Close;
        };
        let step = produce.step(desk, &mut self.recent, &input[skip..]);
        if produce.is_whole() {
            let goes_on = produce.finish(desk, out);
            self.produce = None;
            if !goes_on {
                return Step::Close;
            }
        }
        match step {
            Step::Ate { bytes, discard } => Step::Ate {
                bytes: bytes + skip,
                discard,
            },
            Step::Short if skip > 0 => Step::Ate {
                bytes: skip,
                discard: 0,
            },
            other => other,
        }
    }

    /// Serves a whole request; `None`: it cannot be read, and nothing of a reply may be sent.
    fn serve(
        &mut self,
        desk: &Desk<'_>,
        head: Head,
        mut fields: Fields<'_>,
        out: &mut Outbox,
    ) -> Option<Step> {
        if head.key == Key::Fetch {
            return self
                .fetching
                .serve(desk, &mut self.recent, head, fields, out);
        }
        desk.counters.add(Counter::ControlRequests, 1);
        let out = out.copied_mut();
        let start = out.len();
        let mut answer = if head.key == Key::ApiVersions {
            Answer::with_plain_head(out, head.correlation, head.flexible)
        } else {
            Answer::new(out, head.correlation, head.flexible)
        };
        if self.control(desk, head, &mut fields, &mut answer).is_none() {
            out.truncate(start);
            return None;
        }
        answer.finish(0);
        Some(Step::Ate {
            bytes: 0,
            discard: 0,
        })
    }

    fn control(
        &mut self,
        desk: &Desk<'_>,
        head: Head,
        fields: &mut Fields<'_>,
        answer: &mut Answer<'_>,
    ) -> Option<()> {
        let groups = &desk.broker.groups;
        match head.key {
            // Both are served elsewhere.
            Key::Produce | Key::Fetch => None,
            Key::ApiVersions => {
                admin::api_versions(head.version, code::NONE, answer);
                Some(())
            }
            Key::Metadata => admin::metadata(desk, self, head, fields, answer),
            Key::ListOffsets => admin::list_offsets(desk, head, fields, answer),
            Key::CreateTopics => admin::create_topics(desk, head, fields, answer),
            Key::DeleteTopics => admin::delete_topics(desk, head, fields, answer),
            Key::InitProducerId => admin::init_producer_id(desk, head, fields, answer),
            Key::DescribeConfigs => admin::describe_configs(desk, head, fields, answer),
            Key::FindCoordinator => members::find_coordinator(self, head, fields, answer),
            Key::JoinGroup => members::join(desk, self, head, fields, answer),
            Key::SyncGroup => members::sync(groups, head, fields, answer),
            Key::Heartbeat => members::heartbeat(groups, head, fields, answer),
            Key::LeaveGroup => members::leave(groups, head, fields, answer),
            Key::OffsetCommit => members::commit(groups, head, fields, answer),
            Key::OffsetFetch => members::fetch_offsets(groups, head, fields, answer),
        }
    }
}

fn whole(length: usize) -> Step {
    Step::Ate {
        bytes: LENGTH_BYTES + length,
        discard: 0,
    }
}

fn refuse(desk: &Desk<'_>) -> Step {
    desk.counters.add(Counter::BadRequests, 1);
    Step::Close
}

impl Service for Broker {
    type Session = Session;
    type Stats = Stats;

    fn open(
        &self,
        worker: usize,
        local: Option<SocketAddr>,
        _open: usize,
    ) -> Result<Session, &'static [u8]> {
        self.counters[worker].add(Counter::TotalConnections, 1);
        let asked = self.options.advertise.as_ref();
        let host = asked.map(|(host, _)| host.clone());
        let port = asked.and_then(|(_, port)| *port);
        Ok(Session {
            advertised: Advertised {
                // Where the client came to is where it can come to.
                host: host
                    .or_else(|| local.map(|local| local.ip().to_canonical().to_string()))
                    .unwrap_or_else(|| "localhost".into()),
                port: port.or(local.map(|local| local.port())).unwrap_or(0),
            },
            groups: Arc::clone(&self.groups),
            members: Vec::new(),
            recent: Recent::default(),
            fetching: Fetching::default(),
            produce: None,
        })
    }

    fn step(
        &self,
        worker: usize,
        session: &mut Session,
        input: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Step {
        let desk = Desk {
            broker: self,
            counters: &self.counters[worker],
            now,
        };
        session.step(&desk, input, out)
    }

    fn moved(&self, worker: usize, received: u64, sent: u64) {
        self.counters[worker].add(Counter::BytesRead, received);
        self.counters[worker].add(Counter::BytesWritten, sent);
    }

    fn stats(&self) -> Stats {
        let topics = self.topics.all();
        let partitions: usize = topics.iter().map(|topic| topic.partitions()).sum();
        let (batch_records, batch_bytes) = self.log.batch();
        let mut rows = vec![
            ("batch_records", batch_records as u64),
            ("batch_bytes", batch_bytes as u64),
            ("curr_connections", self.hall.open() as u64),
            ("threads", self.counters.len() as u64),
            ("topics", topics.len() as u64),
            ("partitions", partitions as u64),
        ];
        rows.extend(Counters::sums(&self.counters, Counter::NAMES));
        Stats { rows }
    }
}
