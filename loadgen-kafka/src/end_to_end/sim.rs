//! A cluster that keeps what is produced to it and gives it to those who fetch, for the sim driver:
//! whole runs without a socket.
//!
//! A fetch that finds nothing waits, as brokers let it, and is answered by what is produced or when its
//! patience is over. Delays are part of the script: it must never read a clock.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable as _, HeaderVersion as _};
use loadgen_core::driver::sim::{Accept, Action, Peer, Script};
use loadgen_core::time::Tick;
use loadgen_core::workload::Endpoint;

use crate::greeting::api;
use crate::produce::sim::{Log, ProducePeer};
use crate::sim::{encoded, frame, not_here, nothing, versions};
use crate::wire::batch::Header;

/// The one version of Fetch that is spoken.
const VERSION: i16 = 12;
/// Error codes that are sent here.
const OUT_OF_RANGE: i16 = 1;
const UNKNOWN_PARTITION: i16 = 3;

/// A fetch that found nothing.
#[derive(Debug)]
struct Waiting {
    id: u64,
    node: i32,
    correlation: i32,
    request: FetchRequest,
    until: Tick,
}

/// Serves every broker of a cluster.
#[derive(Debug)]
pub struct EndToEndPeer {
    /// Takes what is produced; its `delay_ns` is that of acknowledgements.
    pub produce: ProducePeer,
    /// From a record's arrival, or a fetch of one that is there, to the reply, ns.
    pub read_ns: u64,
    /// Replies to fetches, by their number from 0, that are cut in their middle and their connections
    /// closed; in ascending order.
    pub lost_reads: VecDeque<u64>,
    replies: u64,
    waiting: Vec<Waiting>,
    conns: HashMap<u64, (i32, Vec<u8>)>,
}

impl EndToEndPeer {
    /// Around those who take what is produced.
    #[must_use]
    pub fn new(produce: ProducePeer) -> Self {
        Self {
            produce,
            read_ns: 100_000,
            lost_reads: VecDeque::new(),
            replies: 0,
            waiting: Vec::new(),
            conns: HashMap::new(),
        }
    }

    fn partition(&self, node: i32, asked: &FetchPartition) -> PartitionData {
        let logs = self.produce.logs();
        let Some(log) = logs.iter().find(|log| log.index == asked.partition) else {
            return nothing(asked.partition).with_error_code(UNKNOWN_PARTITION);
        };
        if let Some(refused) = not_here(VERSION, node, log.leader, asked) {
            return refused;
        }
        if asked.fetch_offset > log.end {
            return nothing(asked.partition).with_error_code(OUT_OF_RANGE);
        }
        let limit = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
        nothing(asked.partition)
            .with_high_watermark(log.end)
            .with_last_stable_offset(log.end)
            .with_records(Some(Bytes::from(records(log, asked.fetch_offset, limit))))
    }

    /// The reply to a fetch, and whether there is anything in it.
    fn reply(&self, node: i32, correlation: i32, request: &FetchRequest) -> (Vec<u8>, bool) {
        let mut response = FetchResponse::default();
        let mut filled = false;
        for topic in &request.topics {
            let mut answer = FetchableTopicResponse::default().with_topic(topic.topic.clone());
            for asked in &topic.partitions {
                let data = self.partition(node, asked);
                let bytes = data.records.as_ref().map_or(0, Bytes::len);
                filled |= bytes > 0 || data.error_code != 0;
                answer.partitions.push(data);
            }
            response.responses.push(answer);
        }
        (encoded(VERSION, correlation, &response), filled)
    }

    /// Sends a reply on connection `id`.
    fn send(&mut self, id: u64, mut bytes: Vec<u8>, script: &mut Script) {
        let lost = self.lost_reads.front() == Some(&self.replies);
        self.replies += 1;
        if lost {
            self.lost_reads.pop_front();
            bytes.truncate(bytes.len() / 2);
        }
        script.add_on(id, self.read_ns, Action::Bytes(bytes));
        if lost {
            script.add_on(id, self.read_ns, Action::End);
        }
    }

    fn fetch(&mut self, fetch: Waiting, script: &mut Script) {
        let (bytes, filled) = self.reply(fetch.node, fetch.correlation, &fetch.request);
        if filled {
            self.send(fetch.id, bytes, script);
        } else {
            self.waiting.push(fetch);
        }
    }

    /// Something was produced, or moved: those who waited for it are answered.
    fn wake(&mut self, script: &mut Script) {
        for fetch in std::mem::take(&mut self.waiting) {
            self.fetch(fetch, script);
        }
    }

    /// Whether the connection is still there.
    fn answer(
        &mut self,
        (id, node): (u64, i32),
        mut body: Bytes,
        at: Tick,
        script: &mut Script,
    ) -> bool {
        let key = body.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
        let version = match key {
            Some(api::PRODUCE) => ProduceRequest::header_version(self.produce.version),
            Some(api::FETCH) => FetchRequest::header_version(VERSION),
            _ => 1,
        };
        let header = RequestHeader::decode(&mut body, version);
        let correlation = header.as_ref().map_or(0, |header| header.correlation_id);
        match (header, key) {
            (Ok(_), Some(api::API_VERSIONS)) => {
                let known = [(api::PRODUCE, self.produce.version), (api::FETCH, VERSION)];
                script.add(0, Action::Bytes(versions(correlation, &known)));
                true
            }
            (Ok(_), Some(api::PRODUCE)) => {
                let goes_on = self.produce.produce(node, correlation, &mut body, script);
                self.wake(script);
                goes_on
            }
            (Ok(_), Some(api::FETCH)) => {
                let Ok(request) = FetchRequest::decode(&mut body, VERSION) else {
                    script.add(0, Action::End);
                    return false;
                };
                let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
                script.add(wait_ms * 1_000_000, Action::Look);
                let fetch = Waiting {
                    id,
                    node,
                    correlation,
                    request,
                    until: at.after(wait_ms * 1_000_000),
                };
                self.fetch(fetch, script);
                true
            }
            _ => {
                script.add(0, Action::End);
                false
            }
        }
    }
}

/// The batches of `log` from the one with `offset` on: whole ones, up to `limit` bytes, one at least.
fn records(log: &Log, offset: i64, limit: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (base, batch) in &log.batches {
        let records = Header::read(batch).ok().flatten().map_or(0, |h| h.records);
        if base + i64::from(records) <= offset {
            continue;
        }
        if !out.is_empty() && out.len() + batch.len() > limit {
            break;
        }
        let from = out.len();
        out.extend_from_slice(batch);
        out[from..from + 8].copy_from_slice(&base.to_be_bytes());
    }
    out
}

impl Peer for EndToEndPeer {
    fn connect(&mut self, id: u64, endpoint: &Endpoint, _at: Tick) -> Accept {
        let broker = self.produce.brokers.iter().find(|b| b.0 == *endpoint);
        let Some(&(_, node)) = broker else {
            return Accept::Refuse(0);
        };
        self.conns.insert(id, (node, Vec::new()));
        Accept::After(0)
    }

    fn receive(&mut self, id: u64, bytes: &[u8], at: Tick, script: &mut Script) {
        let Some((node, mut unread)) = self.conns.remove(&id) else {
            return;
        };
        unread.extend_from_slice(bytes);
        let mut eaten = 0;
        while let Some((body, taken)) = frame(&unread[eaten..]) {
            eaten += taken;
            if !self.answer((id, node), body, at, script) {
                return;
            }
        }
        unread.drain(..eaten);
        self.conns.insert(id, (node, unread));
        self.produce.watch();
    }

    fn look(&mut self, id: u64, at: Tick, script: &mut Script) {
        let over = |fetch: &Waiting| fetch.id == id && fetch.until <= at;
        let Some(position) = self.waiting.iter().position(over) else {
            return;
        };
        let fetch = self.waiting.swap_remove(position);
        let (bytes, _) = self.reply(fetch.node, fetch.correlation, &fetch.request);
        self.send(id, bytes, script);
    }

    fn closed(&mut self, id: u64, _at: Tick) {
        self.conns.remove(&id);
        self.waiting.retain(|fetch| fetch.id != id);
        self.produce.watch();
    }
}
