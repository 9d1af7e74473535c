//! A cluster that keeps what is produced to it, for the sim driver: whole runs without a socket.
//!
//! Requests are read and replies written by a codec from outside. What happens to the cluster happens
//! by the number of requests that came, so that a run is the same again. It must never read a clock:
//! delays are part of the script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, RequestHeader};
use kafka_protocol::protocol::{Decodable as _, HeaderVersion as _, StrBytes};
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::cluster::Topic;
use crate::greeting::api;
use crate::sim::{encoded, frame, versions};
use crate::wire::batch::{CRC_FROM, Header};

/// Error codes that are sent here.
const CORRUPT: i16 = 2;
const UNKNOWN_PARTITION: i16 = 3;
const NOT_LEADER: i16 = 6;
/// The first version whose errors have a text.
const TEXT_FROM: i16 = 8;
/// The first version whose refusals say who leads.
const LEADER_FROM: i16 = 10;

/// A partition's log and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The partition.
    pub index: i32,
    /// The leader's node id and epoch.
    pub leader: (i32, i32),
    /// The offset behind the last record.
    pub end: i64,
    /// The offset that each batch was given, and the batch as it came.
    pub batches: Vec<(i64, Bytes)>,
}

impl Log {
    /// An empty one that begins at `start`.
    #[must_use]
    pub const fn new(index: i32, leader: (i32, i32), start: i64) -> Self {
        Self {
            index,
            leader,
            end: start,
            batches: Vec::new(),
        }
    }
}

/// The logs of a cluster: for those who look at them after a run, too.
pub type Logs = Arc<Mutex<Vec<Log>>>;

/// What happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// This partition is led by this node from now on.
    Move(i32, i32),
    /// The batch is refused with this code.
    Refuse(i16),
    /// The batch is in the log, and answered with this code all the same.
    Doubt(i16),
    /// The batch is in the log; the reply is cut in its middle, and the connection closed (`false`) or
    /// reset (`true`).
    Lose(bool),
    /// The reply says that nothing is wanted for so long, ms.
    Throttle(i32),
}

/// Serves every broker of a cluster.
#[derive(Debug)]
pub struct ProducePeer {
    /// From a request's last byte to the reply, ns.
    pub delay_ns: u64,
    /// The one version of Produce that is spoken.
    pub version: i16,
    /// Replies say when a batch was appended, ms (`message.timestamp.type=LogAppendTime`).
    pub append_time_ms: Option<i64>,
    /// What happens before request number so many, from 0; in ascending order.
    pub happenings: VecDeque<(u64, Happening)>,
    /// Where the cluster is asked for leaders beside the run, as the watcher of `control` does.
    pub watched: Option<Arc<Topic>>,
    pub(crate) brokers: Vec<(Endpoint, i32)>,
    logs: Logs,
    requests: u64,
    conns: HashMap<u64, (i32, Vec<u8>)>,
}

/// What is different about one request.
#[derive(Default)]
struct Mood {
    refuse: Option<i16>,
    doubt: Option<i16>,
    lost: Option<bool>,
    throttle_ms: i32,
}

impl ProducePeer {
    /// A cluster of `brokers`, by address, with these logs.
    #[must_use]
    pub fn new(brokers: Vec<(Endpoint, i32)>, logs: Logs) -> Self {
        Self {
            delay_ns: 100_000,
            version: 12,
            append_time_ms: None,
            happenings: VecDeque::new(),
            watched: None,
            brokers,
            logs,
            requests: 0,
            conns: HashMap::new(),
        }
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Vec<Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As a watcher would, at once.
    pub(crate) fn watch(&self) {
        let Some(topic) = self.watched.as_ref().filter(|topic| topic.take_doubt()) else {
            return;
        };
        let logs = self.logs();
        for (at, partition) in topic.partitions.iter().enumerate() {
            if let Some(log) = logs.iter().find(|log| log.index == partition.index) {
                topic.learn(at, Some(log.leader));
            }
        }
    }

    /// Lets happen what is due before the next request.
    fn happen(&mut self) -> Mood {
        let mut mood = Mood::default();
        let requests = self.requests;
        while let Some((_, happening)) = self.happenings.pop_front_if(|due| due.0 <= requests) {
            match happening {
                Happening::Move(index, node) => {
                    let mut logs = self.logs();
                    if let Some(log) = logs.iter_mut().find(|log| log.index == index) {
                        log.leader = (node, log.leader.1 + 1);
                    }
                }
                Happening::Refuse(code) => mood.refuse = Some(code),
                Happening::Doubt(code) => mood.doubt = Some(code),
                Happening::Lose(reset) => mood.lost = Some(reset),
                Happening::Throttle(ms) => mood.throttle_ms = ms,
            }
        }
        self.requests += 1;
        mood
    }

    fn refused(&self, index: i32, code: i16) -> PartitionProduceResponse {
        let text = || StrBytes::from_string(format!("because of {code}"));
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(code)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_error_message((self.version >= TEXT_FROM).then(text))
    }

    /// Appends a batch, or says why not.
    fn append(
        &self,
        node: i32,
        mood: &Mood,
        data: &PartitionProduceData,
    ) -> PartitionProduceResponse {
        let refused = |code| self.refused(data.index, code);
        if let Some(code) = mood.refuse {
            return refused(code);
        }
        let mut logs = self.logs();
        let Some(log) = logs.iter_mut().find(|log| log.index == data.index) else {
            return refused(UNKNOWN_PARTITION);
        };
        if log.leader.0 != node {
            let leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(log.leader.0))
                .with_leader_epoch(log.leader.1);
            let answer = refused(NOT_LEADER);
            return if self.version >= LEADER_FROM {
                answer.with_current_leader(leader)
            } else {
                answer
            };
        }
        let Some((batch, records)) = data
            .records
            .clone()
            .zip(data.records.as_ref().and_then(whole))
        else {
            return refused(CORRUPT);
        };
        let base = log.end;
        log.end += i64::from(records);
        log.batches.push((base, batch));
        PartitionProduceResponse::default()
            .with_index(data.index)
            .with_error_code(mood.doubt.unwrap_or(0))
            .with_base_offset(base)
            .with_log_append_time_ms(self.append_time_ms.unwrap_or(-1))
    }

    /// Takes a request; whether the connection is still there.
    pub(crate) fn produce(
        &mut self,
        node: i32,
        correlation: i32,
        body: &mut Bytes,
        script: &mut Script,
    ) -> bool {
        let Ok(request) = ProduceRequest::decode(body, self.version) else {
            script.add(0, Action::End);
            return false;
        };
        let mood = self.happen();
        let mut response = ProduceResponse::default().with_throttle_time_ms(mood.throttle_ms);
        let mut failed = false;
        for topic in &request.topic_data {
            let mut answer = TopicProduceResponse::default().with_name(topic.name.clone());
            for data in &topic.partition_data {
                let done = self.append(node, &mood, data);
                failed |= done.error_code != 0;
                answer.partition_responses.push(done);
            }
            response.responses.push(answer);
        }
        let mut bytes = encoded(self.version, correlation, &response);
        let end = match mood.lost {
            Some(true) => Some(Action::Reset),
            Some(false) => Some(Action::End),
            // Without an acknowledgement that is all there is to say.
            None => (request.acks == 0 && failed).then_some(Action::End),
        };
        let goes_on = end.is_none();
        if request.acks != 0 {
            if mood.lost.is_some() {
                bytes.truncate(bytes.len() / 2);
            }
            script.add(self.delay_ns, Action::Bytes(bytes));
        }
        if let Some(end) = end {
            script.add(self.delay_ns, end);
        }
        goes_on
    }

    fn answer(&mut self, node: i32, mut body: Bytes, script: &mut Script) -> bool {
        let key = body.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
        let version = if key == Some(api::PRODUCE) {
            ProduceRequest::header_version(self.version)
        } else {
            1
        };
        match RequestHeader::decode(&mut body, version) {
            Ok(header) if key == Some(api::PRODUCE) => {
                self.produce(node, header.correlation_id, &mut body, script)
            }
            Ok(header) if key == Some(api::API_VERSIONS) => {
                let known = [(api::PRODUCE, self.version)];
                let bytes = versions(header.correlation_id, &known);
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

/// The records of a batch that is one: of this length, and with this CRC.
fn whole(batch: &Bytes) -> Option<i32> {
    let header = Header::read(batch).ok()??;
    let all = header.batch_bytes() == batch.len() as u64;
    let intact = header.crc == crc32c::crc32c(batch.get(CRC_FROM..)?);
    (all && intact && header.records > 0).then_some(header.records)
}

impl Peer for ProducePeer {
    fn connect(&mut self, id: u64, endpoint: &Endpoint, _at: Tick) -> Accept {
        let broker = self.brokers.iter().find(|broker| broker.0 == *endpoint);
        let Some(&(_, node)) = broker else {
            return Accept::Refuse(0);
        };
        self.conns.insert(id, (node, Vec::new()));
        Accept::After(0)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], _at: Tick, script: &mut Script) {
        let Some((node, mut unread)) = self.conns.remove(&id) else {
            return;
        };
        unread.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((body, taken)) = frame(&unread[at..]) {
            at += taken;
            if !self.answer(node, body, script) {
                return;
            }
        }
        unread.drain(..at);
        self.conns.insert(id, (node, unread));
        self.watch();
    }

    fn closed(&mut self, id: u64, _at: Tick) {
        self.conns.remove(&id);
        self.watch();
    }
}
