//! Reading through librdkafka: an instance in each worker, the partitions dealt over them by hand.
//!
//! A request is a poll: all that the instance has ready, up to a limit, as the Java client's `poll`
//! gives it. Which fetch brought it, and when that was sent, only librdkafka knows: a poll has no
//! latency. No record is handed over before the run begins: partitions are paused until then.

use std::sync::Arc;
use std::time::Duration;

use loadgen_core::engine::{Client, EngineOptions, Seat, WorkerEnd};
use loadgen_core::pace::Pacing;
use loadgen_core::protocol::Tables;
use loadgen_core::record::{Answer, Recorder};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Route, Scenario as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::context::Context;
use super::course::{self, Task, Work};
use super::fault::{self, Kind};
use super::settings::{Settings, refuses_cluster, refuses_consumer};
use crate::fetch::cursors::{Came, Claim};
use crate::fetch::local::Local;
use crate::fetch::{ConsumePlan, ConsumeRules, ConsumeScenario, local};
use crate::spec::{ConsumeSpec, Until};
use crate::tables::{self, Op};
use crate::walk::Counts;

/// The most records of a poll (`max.poll.records` of the Java client).
const POLL_RECORDS: usize = 500;
/// What cannot be asked of a broker in this time is not known.
const ASK: Duration = Duration::from_secs(5);

const NOTES: [&str; 4] = [
    "a request is a poll: what librdkafka had ready, 500 records at the most; when its fetches were \
     sent it does not tell, so that there is no latency",
    "librdkafka parses every record at every --verify; crc and records check the CRC as well",
    "there is one instance for each worker with partitions; its threads inherit the worker's CPU and \
     are not pinned one by one; their CPU time counts with the workers', in equal parts",
    "wire bytes are librdkafka's own count, as of every statistics.interval.ms",
];

/// What only whoever sees the batches can count.
const UNKNOWN: [&str; 11] = [
    "fetch_version",
    "records_bytes",
    "batches",
    "batch_bytes",
    "partial_bytes",
    "empty_partitions",
    "aborted_records",
    "control_batches",
    "missing_offsets",
    "inexact_records",
    "throttled",
];

/// librdkafka as a client of the engine's harness: `--client librdkafka`, reading.
#[derive(Debug)]
pub struct LibrdkafkaConsumer {
    spec: ConsumeSpec,
    scenario: ConsumeScenario,
    settings: Settings,
}

impl LibrdkafkaConsumer {
    /// Reads what `plan` says, with connections as librdkafka makes them.
    #[must_use]
    pub fn new(mut plan: ConsumePlan, options: &EngineOptions) -> Self {
        // It reads a partition in one place at a time.
        plan.slots.fill(1);
        let spec = plan.spec.clone();
        Self {
            settings: Settings::consumer(&spec, options),
            scenario: ConsumeScenario::new(plan),
            spec,
        }
    }

    fn rules(&self) -> &Arc<ConsumeRules> {
        self.scenario.rules()
    }
}

impl Client for LibrdkafkaConsumer {
    fn name(&self) -> &'static str {
        "librdkafka"
    }

    fn driver(&self) -> &'static str {
        "librdkafka"
    }

    fn tables(&self) -> Arc<Tables> {
        self.scenario.tables()
    }

    fn routes(&self) -> Vec<Route> {
        self.scenario.routes()
    }

    fn requests_per_connection(&self) -> Option<u64> {
        None
    }

    fn plan(&self) -> Value {
        let mut plan = self.scenario.plan();
        plan["client"] = self.settings.document(&NOTES);
        plan
    }

    fn refuses(&self, options: &EngineOptions) -> Option<String> {
        if let Pacing::Open { rate_per_s, .. } = options.pacing {
            return Some(format!(
                "-R {rate_per_s}: librdkafka decides itself when it fetches, so --client librdkafka \
                 reads in a closed loop only"
            ));
        }
        if options.depth > 1 {
            return Some(format!(
                "--depth {}: librdkafka has one fetch in flight at each broker, so --client librdkafka \
                 reads with 1",
                options.depth
            ));
        }
        super::refuses(options)
            .or_else(|| refuses_cluster(&self.spec.cluster))
            .or_else(|| refuses_consumer(&self.spec, options))
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        let mut details = local::sum(&workers, self.rules());
        for name in UNKNOWN {
            details["consume"][name] = Value::Null;
        }
        details
    }

    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd {
        let partitions = self.rules().topic.partitions.len();
        let instances = seat.workers.min(partitions);
        course::run(seat, recorder, self.routes(), instances, |work| {
            Consuming::connect(self, work)
        })
    }
}

/// One partition of this worker.
#[derive(Debug)]
struct Place {
    /// Its position in the topic.
    position: usize,
    /// Kafka's number of it.
    index: i32,
    /// Where reading is over, or begins anew.
    end: i64,
    start: i64,
    next: i64,
    over: bool,
    /// In the poll at hand.
    counts: Counts,
}

/// One worker's reading.
struct Consuming {
    consumer: Option<BaseConsumer<Context>>,
    local: std::rc::Rc<Local>,
    topic: String,
    until: Until,
    places: Vec<Place>,
    down: Option<Tick>,
}

impl Consuming {
    fn connect(client: &LibrdkafkaConsumer, work: &mut Work) -> Result<Self, String> {
        let rules = client.rules();
        let (worker, workers) = (work.seat.worker, work.seat.workers);
        let mine = (0..rules.topic.partitions.len()).filter(|at| at % workers == worker);
        let place = |position: usize| {
            let (start, end) = rules.cursors.range(position);
            Place {
                position,
                index: rules.topic.partitions[position].index,
                end,
                start,
                next: start,
                over: false,
                counts: Counts::default(),
            }
        };
        let mut reading = Self {
            consumer: None,
            local: Local::shared(Arc::clone(rules)),
            topic: client.spec.topic.clone(),
            until: client.spec.until,
            places: mine.map(place).collect(),
            down: None,
        };
        if reading.places.is_empty() {
            return Ok(reading);
        }
        let context = Context::new(work.seat.clock, 0);
        let consumer: BaseConsumer<Context> = client
            .settings
            .create(context)
            .map_err(|error| format!("librdkafka: {error}"))?;
        match reading.prepare(&consumer, work.seat.options.connect_timeout) {
            Ok(()) => reading.consumer = Some(consumer),
            Err(error) => {
                course::refused(work, consumer.context(), &error);
                for at in 0..reading.places.len() {
                    reading.give_up(at);
                }
            }
        }
        Ok(reading)
    }

    /// Connects to the leaders and takes the partitions, but no record.
    fn prepare(&self, consumer: &BaseConsumer<Context>, limit: Duration) -> Result<(), KafkaError> {
        consumer.fetch_metadata(Some(&self.topic), limit)?;
        let topic = &self.local.rules.topic;
        let mut asked = Vec::new();
        for place in &self.places {
            let leader = topic.leader(place.position);
            if !asked.contains(&leader) {
                consumer.fetch_watermarks(&self.topic, place.index, limit)?;
                asked.push(leader);
            }
        }
        let mut list = TopicPartitionList::new();
        for place in &self.places {
            list.add_partition_offset(&self.topic, place.index, Offset::Offset(place.start))?;
        }
        consumer.assign(&list)?;
        consumer.pause(&list)
    }

    fn list(&self, of: impl Fn(&Place) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for place in self.places.iter().filter(|place| of(place)) {
            list.add_partition(&self.topic, place.index);
        }
        list
    }

    fn place_of(&self, index: i32) -> Option<usize> {
        let found = self
            .places
            .binary_search_by_key(&index, |place| place.index);
        found.ok()
    }

    /// Counts a record of the place `at`, if it is one of the range.
    fn take(&mut self, at: usize, message: &BorrowedMessage<'_>) -> Option<u64> {
        let (place, offset) = (&mut self.places[at], message.offset());
        let beyond = offset >= place.end && self.until != Until::Follow;
        if place.over || beyond {
            // Everything before it has come.
            place.counts.next_offset = place.counts.next_offset.max(place.end);
            return None;
        }
        let counts = &mut place.counts;
        counts.records += 1;
        counts.first_offset.get_or_insert(offset);
        counts.next_offset = offset + 1;
        Some((message.key_len() + message.payload_len()) as u64)
    }

    /// What the poll at hand brought goes to the cursors all workers share.
    fn settle(&mut self, consumer: &BaseConsumer<Context>, work: &mut Work) {
        for at in 0..self.places.len() {
            let place = &mut self.places[at];
            if place.over || place.counts.next_offset <= place.next {
                place.counts = Counts::default();
                continue;
            }
            let counts = std::mem::take(&mut place.counts);
            let claim = claim(place);
            let came = Came {
                counts: &counts,
                bytes: 0,
                known_end: -1,
                barren: false,
            };
            self.local.rules.cursors.advance(&claim, &came);
            place.next = counts.next_offset;
            if place.next < place.end {
                continue;
            }
            let moved = match self.until {
                Until::Follow => Ok(()),
                Until::End => {
                    place.over = true;
                    let index = place.index;
                    consumer.pause(&self.list(|place| place.index == index))
                }
                Until::Replay => {
                    place.next = place.start;
                    let (index, start) = (place.index, Offset::Offset(place.start));
                    consumer.seek(&self.topic, index, start, ASK)
                }
            };
            if let Err(error) = moved {
                let reason = error.to_string();
                let kind = fault::of(fault::code_of(&error), &reason);
                self.fail(work, kind, &reason);
                self.give_up(at);
            }
        }
    }

    fn give_up(&mut self, at: usize) {
        let place = &mut self.places[at];
        if !place.over {
            place.over = true;
            self.local.rules.cursors.give_up(&claim(place));
            self.local.gave_up();
        }
    }

    fn fail(&mut self, work: &mut Work, kind: Kind, reason: &str) {
        match kind {
            Kind::Lost(phase, cause) => work.error(phase, cause, reason),
            Kind::Answer(code) => {
                self.local.error(code);
                if tables::leader_doubtful(code) {
                    self.local.rules.topic.doubt();
                }
                let now = work.now();
                record(work, now, tables::status_of(code), (0, 0), None);
            }
        }
    }

    /// Errors that came since the last poll.
    fn errors(&mut self, consumer: &BaseConsumer<Context>, work: &mut Work) {
        for (code, reason) in consumer.context().take_errors() {
            match code {
                RDKafkaErrorCode::AllBrokersDown => {
                    self.down.get_or_insert(work.now());
                }
                RDKafkaErrorCode::AutoOffsetReset => self.out_of_range(consumer, work, &reason),
                _ => self.fail(work, fault::of(code, &reason), &reason),
            }
        }
    }

    /// An offset is not there any more, and librdkafka does not say of which partition.
    #[cold]
    fn out_of_range(&mut self, consumer: &BaseConsumer<Context>, work: &mut Work, reason: &str) {
        // OFFSET_OUT_OF_RANGE.
        self.fail(work, Kind::Answer(1), reason);
        for at in 0..self.places.len() {
            let place = &self.places[at];
            let (index, next) = (place.index, place.next);
            let known = consumer.fetch_watermarks(&self.topic, index, ASK);
            if !place.over && known.is_ok_and(|(low, high)| !(low..=high).contains(&next)) {
                self.give_up(at);
            }
        }
    }
}

/// All cursors have one place here, so that it has the partition's number.
fn claim(place: &Place) -> Claim {
    Claim {
        cursor: place.position,
        partition: place.position,
        offset: place.next,
        at_end: false,
        known: false,
    }
}

/// A poll, answered with so many records and bytes.
fn record(
    work: &mut Work,
    now: Tick,
    status: u16,
    (records, bytes): (u32, u64),
    route: Option<usize>,
) {
    work.recorder.sent_unpaced(now);
    let error = status != tables::OK;
    let answer = Answer {
        op: Op::Poll as u8,
        status,
        units: records,
        payload_rx_bytes: Some(bytes),
        // In no window: when it was asked for nobody knows.
        intended: Tick(0),
        sent: now,
        first: now,
        last: now,
        origin: None,
    };
    work.recorder.answered(&answer, error);
    work.ended(route, true, now);
}

impl Task for Consuming {
    fn context(&self) -> Option<&Context> {
        self.consumer.as_ref().map(|consumer| &**consumer.context())
    }

    fn idle(&mut self, length: Duration) {
        // It is paused: all that can come is news of its state.
        match &self.consumer {
            Some(consumer) => drop(consumer.poll(length)),
            None => std::thread::sleep(length),
        }
    }

    fn start(&mut self, work: &mut Work) {
        let list = self.list(|_| true);
        if let Some(Err(error)) = self.consumer.as_ref().map(|c| c.resume(&list)) {
            let reason = error.to_string();
            self.fail(work, fault::of(fault::code_of(&error), &reason), &reason);
        }
    }

    fn step(&mut self, work: &mut Work, until: Tick) {
        let mut wait = until - work.now();
        let Some(consumer) = self.consumer.take() else {
            std::thread::sleep(wait);
            return;
        };
        let (mut records, mut bytes, mut route) = (0, 0, None);
        let mut at = 0;
        for _ in 0..POLL_RECORDS {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let index = message.partition();
                    if self.places.get(at).is_none_or(|place| place.index != index) {
                        at = self.place_of(index).unwrap_or(usize::MAX);
                    }
                    if at < self.places.len()
                        && let Some(payload_bytes) = self.take(at, &message)
                    {
                        if records == 0 {
                            route = self.local.rules.topic.leader(self.places[at].position);
                        }
                        records += 1;
                        bytes += payload_bytes;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(index))) => {
                    // Nothing visible is left below the end of the log.
                    if let Some(at) = self.place_of(index) {
                        let place = &mut self.places[at];
                        if self.until != Until::Follow {
                            place.counts.next_offset = place.counts.next_offset.max(place.end);
                        }
                    }
                }
                // The context has it, with what was said.
                Some(Err(_)) => {}
            }
            wait = Duration::ZERO;
        }
        if records > 0 {
            self.down = None;
            let now = work.now();
            record(work, now, tables::OK, (records, bytes), route);
        }
        self.settle(&consumer, work);
        self.errors(&consumer, work);
        self.consumer = Some(consumer);
    }

    fn is_spent(&self) -> bool {
        self.local.rules.cursors.is_over()
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn down_since(&self) -> Option<Tick> {
        self.down
    }

    fn finish(&mut self, _work: &mut Work, _now: Tick) -> Value {
        let mut details = self.local.details();
        if let Some(consumer) = &self.consumer {
            details["throttle_ms"] = json!(consumer.context().throttle_ms());
            // Nothing more is fetched while the last statistics are waited for; what it cannot stop
            // is not counted anyway.
            let _ = consumer.unassign();
        }
        details
    }
}
