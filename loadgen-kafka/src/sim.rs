//! A Kafka for the sim driver, so that whole runs take milliseconds and no socket.
//!
//! Logs of made-up records, a cluster whose leaders move, logs whose starts do, connections that end
//! in the middle of a reply: all by the number of fetches that were answered, so that a run is the
//! same again. Requests are read and replies written by a codec from outside. It must never read a
//! clock: delays are part of the script.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, HeaderVersion};
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::cluster::Topic;
use crate::control::Missing;
use crate::greeting::api;
use crate::wire::batch::Codec;
use crate::wire::compose::{Composer, Draft};

/// Error codes that are sent here.
const OUT_OF_RANGE: i16 = 1;
const UNKNOWN_PARTITION: i16 = 3;
const NOT_LEADER: i16 = 6;
const FENCED_EPOCH: i16 = 74;
const UNKNOWN_EPOCH: i16 = 75;
/// The first version of Fetch whose refusals say who leads.
const LEADER_FROM: i16 = 12;

/// A partition's log and who leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The partition.
    pub index: i32,
    /// The first offset.
    pub start: i64,
    /// The offset behind the last record.
    pub end: i64,
    /// The leader's node id and epoch.
    pub leader: (i32, i32),
}

/// What happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// This partition is led by this node from now on.
    Move(i32, i32),
    /// Nobody leads this partition from now on.
    Orphan(i32),
    /// The topic is deleted.
    Delete,
    /// All replies have this error code and no partitions from now on.
    Refuse(i16),
    /// This partition's log begins at this offset from now on.
    Trim(i32, i64),
    /// This partition's log gets so many more records.
    Grow(i32, i64),
    /// A bit of the batch with this offset of this partition is wrong from now on.
    Rot(i32, i64),
    /// All batches are right again.
    Heal,
    /// The reply is cut in its middle, and the connection closed (`false`) or reset (`true`).
    Lose(bool),
    /// The reply says that nothing is wanted for so long, ms.
    Throttle(i32),
}

/// Serves every broker of a cluster.
#[derive(Debug)]
pub struct KafkaPeer {
    /// From a request's last byte to the reply, ns.
    pub delay_ns: u64,
    /// The one version of Fetch that is spoken.
    pub version: i16,
    /// Records of a batch; batches begin at its multiples.
    pub batch_records: u32,
    /// Bytes of every value.
    pub value_bytes: usize,
    /// Whether an error says which offsets there are. Kafka's own brokers do not.
    pub tells_range: bool,
    /// Whether the first batch of a partition is cut too where it is larger than what was asked for, as
    /// Kafka did before KIP-74.
    pub cuts_first: bool,
    /// What happens before the reply number so many, from 0; in ascending order.
    pub happenings: VecDeque<(u64, Happening)>,
    /// Where the cluster is asked for leaders and starts of logs beside the run, as the watcher of
    /// `control` does.
    pub watched: Option<Arc<Topic>>,
    /// How long a partition is waited for that nobody leads.
    pub patience: Duration,
    missing: Option<Missing>,
    refuses: i16,
    brokers: Vec<(Endpoint, i32)>,
    /// Partitions and offsets of batches that are wrong.
    rotten: Vec<(i32, i64)>,
    logs: Vec<Log>,
    fetches: u64,
    batches: BTreeMap<u32, Vec<u8>>,
    conns: HashMap<u64, Conn>,
}

#[derive(Debug)]
struct Conn {
    node: i32,
    unread: Vec<u8>,
}

/// What is different about one reply.
#[derive(Default)]
struct Mood {
    throttle_ms: i32,
    lost: Option<bool>,
}

impl KafkaPeer {
    /// A cluster of `brokers`, by address, with these logs.
    #[must_use]
    pub fn new(brokers: Vec<(Endpoint, i32)>, logs: Vec<Log>) -> Self {
        Self {
            delay_ns: 100_000,
            version: 12,
            batch_records: 10,
            value_bytes: 100,
            tells_range: false,
            cuts_first: false,
            happenings: VecDeque::new(),
            watched: None,
            patience: Duration::from_secs(60),
            missing: None,
            refuses: 0,
            brokers,
            rotten: Vec::new(),
            logs,
            fetches: 0,
            batches: BTreeMap::new(),
            conns: HashMap::new(),
        }
    }

    /// As a watcher would, at once.
    fn watch(&mut self, now: Tick) {
        let Some(topic) = &self.watched else {
            return;
        };
        let missing = Missing::new(topic, self.patience);
        let missing = self.missing.get_or_insert(missing);
        let log_of = |index| self.logs.iter().find(|log| log.index == index);
        let doubted = topic.take_doubt();
        let wanted = topic.take_want();
        for (at, partition) in topic.partitions.iter().enumerate() {
            let Some(log) = log_of(partition.index) else {
                continue;
            };
            if doubted {
                topic.learn(at, (log.leader.0 >= 0).then_some(log.leader));
            }
            if wanted {
                topic.learn_start(at, log.start);
            }
        }
        missing.look(topic, !self.logs.is_empty(), Duration::from_nanos(now.0));
    }

    /// Lets happen what is due before the next reply.
    fn happen(&mut self) -> Mood {
        let mut mood = Mood::default();
        while let Some((_, happening)) = self.happenings.pop_front_if(|due| due.0 <= self.fetches) {
            let log = |logs: &mut Vec<Log>, index, change: fn(&mut Log, i64), to| {
                if let Some(log) = logs.iter_mut().find(|log| log.index == index) {
                    change(log, to);
                }
            };
            let logs = &mut self.logs;
            match happening {
                Happening::Move(index, node) => {
                    let change = |log: &mut Log, node| log.leader = (node as i32, log.leader.1 + 1);
                    log(logs, index, change, node.into());
                }
                Happening::Orphan(index) => {
                    log(logs, index, |log, _| log.leader = (-1, log.leader.1 + 1), 0);
                }
                Happening::Delete => logs.clear(),
                Happening::Refuse(code) => self.refuses = code,
                Happening::Trim(index, start) => log(logs, index, |log, to| log.start = to, start),
                Happening::Grow(index, more) => log(logs, index, |log, by| log.end += by, more),
                Happening::Rot(index, offset) => self.rotten.push((index, offset)),
                Happening::Heal => self.rotten.clear(),
                Happening::Lose(reset) => mood.lost = Some(reset),
                Happening::Throttle(ms) => mood.throttle_ms = ms,
            }
        }
        self.fetches += 1;
        mood
    }

    /// The batches of `log` from the one with `offset` on, `limit` bytes of them and the first one
    /// whole; the last one may be cut.
    fn records(&mut self, log: &Log, offset: i64, limit: usize) -> Vec<u8> {
        let size = i64::from(self.batch_records.max(1));
        let mut base = offset - offset % size;
        let mut out = Vec::new();
        while base < log.end && (out.is_empty() || out.len() < limit) {
            let records = size.min(log.end - base) as u32;
            let batch = self
                .batches
                .entry(records)
                .or_insert_with(|| made_up(records, self.value_bytes));
            let from = out.len();
            out.extend_from_slice(batch);
            out[from..from + 8].copy_from_slice(&base.to_be_bytes());
            let is_in = |&&(index, at): &&(i32, i64)| {
                index == log.index && (base..base + size).contains(&at)
            };
            if let Some(last) = out
                .last_mut()
                .filter(|_| self.rotten.iter().any(|r| is_in(&r)))
            {
                *last ^= 1;
            }
            if from > 0 || self.cuts_first {
                out.truncate(limit);
            }
            base += size;
        }
        out
    }

    fn partition(&mut self, node: i32, asked: &FetchPartition, room: usize) -> PartitionData {
        let data = nothing(asked.partition);
        let log = self.logs.iter().find(|log| log.index == asked.partition);
        let Some(log) = log.copied() else {
            return data.with_error_code(UNKNOWN_PARTITION);
        };
        if let Some(refused) = not_here(self.version, node, log.leader, asked) {
            return refused;
        }
        let ends = |data: PartitionData| {
            data.with_high_watermark(log.end)
                .with_last_stable_offset(log.end)
                .with_log_start_offset(log.start)
        };
        if !(log.start..=log.end).contains(&asked.fetch_offset) {
            let data = data.with_error_code(OUT_OF_RANGE);
            return if self.tells_range { ends(data) } else { data };
        }
        let limit = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
        let records = if room == 0 || asked.fetch_offset == log.end {
            Vec::new()
        } else {
            self.records(&log, asked.fetch_offset, limit.min(room))
        };
        ends(data).with_records(Some(Bytes::from(records)))
    }

    /// Whether the connection is still there.
    fn fetch(
        &mut self,
        node: i32,
        header: &RequestHeader,
        body: &mut Bytes,
        script: &mut Script,
    ) -> bool {
        let Ok(request) = FetchRequest::decode(body, self.version) else {
            script.add(0, Action::End);
            return false;
        };
        let mood = self.happen();
        let mut room = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut silent = self.refuses == 0;
        let mut response = FetchResponse::default()
            .with_throttle_time_ms(mood.throttle_ms)
            .with_error_code(self.refuses);
        let topics = request.topics.iter().filter(|_| self.refuses == 0);
        for topic in topics.cloned().collect::<Vec<_>>() {
            let mut answer = FetchableTopicResponse::default().with_topic(topic.topic.clone());
            for asked in &topic.partitions {
                let data = self.partition(node, asked, room);
                let bytes = data.records.as_ref().map_or(0, Bytes::len);
                room = room.saturating_sub(bytes);
                silent &= bytes == 0 && data.error_code == 0;
                answer.partitions.push(data);
            }
            response.responses.push(answer);
        }
        let mut bytes = encoded(self.version, header.correlation_id, &response);
        let patience_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
        let wait_ns = if silent { patience_ms * 1_000_000 } else { 0 };
        if mood.lost.is_some() {
            bytes.truncate(bytes.len() / 2);
        }
        script.add(self.delay_ns + wait_ns, Action::Bytes(bytes));
        match mood.lost {
            None => {}
            Some(false) => script.add(self.delay_ns, Action::End),
            Some(true) => script.add(self.delay_ns, Action::Reset),
        }
        mood.lost.is_none()
    }

    fn answer(&mut self, node: i32, mut frame: Bytes, script: &mut Script) -> bool {
        let key = frame.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
        let version = if key == Some(api::FETCH) {
            FetchRequest::header_version(self.version)
        } else {
            1
        };
        match RequestHeader::decode(&mut frame, version) {
            Ok(header) if key == Some(api::FETCH) => self.fetch(node, &header, &mut frame, script),
            Ok(header) if key == Some(api::API_VERSIONS) => {
                let bytes = versions(header.correlation_id, &[(api::FETCH, self.version)]);
                script.add(self.delay_ns, Action::Bytes(bytes));
                true
            }
            _ => {
                script.add(0, Action::End);
                false
            }
        }
    }
}

/// A batch of so many records; empty when they do not fit one.
fn made_up(records: u32, value_bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    let draft = Draft {
        value: Some(&value),
        ..Draft::default()
    };
    let mut composer = Composer::new();
    for _ in 0..records {
        if composer.push(&draft).is_err() {
            break;
        }
    }
    composer.finish(Codec::None, 0).unwrap_or_default()
}

/// The answer about a partition with no records.
pub(crate) fn nothing(index: i32) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()))
}

/// Why `node` does not answer for a partition with this leader; `None`: it does.
pub(crate) fn not_here(
    version: i16,
    node: i32,
    leader: (i32, i32),
    asked: &FetchPartition,
) -> Option<PartitionData> {
    let epoch = asked.current_leader_epoch;
    let error = if leader.0 != node {
        NOT_LEADER
    } else if epoch >= 0 && epoch < leader.1 {
        FENCED_EPOCH
    } else if epoch > leader.1 {
        UNKNOWN_EPOCH
    } else {
        return None;
    };
    let data = nothing(asked.partition).with_error_code(error);
    if version < LEADER_FROM {
        return Some(data);
    }
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(BrokerId(leader.0))
        .with_leader_epoch(leader.1);
    Some(data.with_current_leader(leader))
}

/// A reply's frame; an empty one where the codec has no such version.
pub(crate) fn encoded<R: Encodable + HeaderVersion>(
    version: i16,
    correlation: i32,
    response: &R,
) -> Vec<u8> {
    let mut out = BytesMut::new();
    let done = ResponseHeader::default()
        .with_correlation_id(correlation)
        .encode(&mut out, R::header_version(version))
        .and_then(|()| response.encode(&mut out, version));
    done.map_or_else(|_| Vec::new(), |()| framed(&out))
}

/// What is known: some requests, of one version each. Their numbers and versions.
pub(crate) fn versions(correlation: i32, known: &[(i16, i16)]) -> Vec<u8> {
    let mut body = correlation.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend((known.len() as u32).to_be_bytes());
    for (key, version) in known {
        for number in [key, version, version] {
            body.extend(number.to_be_bytes());
        }
    }
    framed(&body)
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

/// The body of the first frame, once it has all come, and the bytes it took.
pub(crate) fn frame(bytes: &[u8]) -> Option<(Bytes, usize)> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
    let body = bytes.get(4..length.checked_add(4)?)?;
    Some((Bytes::copy_from_slice(body), 4 + length))
}

impl Peer for KafkaPeer {
    fn connect(&mut self, id: u64, endpoint: &Endpoint, _at: Tick) -> Accept {
        let broker = self.brokers.iter().find(|broker| broker.0 == *endpoint);
        let Some(&(_, node)) = broker else {
            return Accept::Refuse(0);
        };
        let unread = Vec::new();
        self.conns.insert(id, Conn { node, unread });
        Accept::After(0)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], at: Tick, script: &mut Script) {
        let Some(mut conn) = self.conns.remove(&id) else {
            return;
        };
        conn.unread.extend_from_slice(bytes);
        let mut read = 0;
        while let Some((body, whole)) = frame(&conn.unread[read..]) {
            read += whole;
            if !self.answer(conn.node, body, script) {
                return;
            }
        }
        conn.unread.drain(..read);
        self.conns.insert(id, conn);
        self.watch(at);
    }

    fn closed(&mut self, id: u64, at: Tick) {
        self.conns.remove(&id);
        self.watch(at);
    }
}
