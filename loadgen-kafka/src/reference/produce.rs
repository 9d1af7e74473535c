//! Writing through librdkafka: the records of the native client's batches, handed over one by one.
//!
//! A request is a batch as the native client would send it; it has ended when the last of its records
//! has, by librdkafka's delivery reports. How librdkafka cuts records into batches of its own is its
//! business: it is told to make them as large. Nothing is sent a second time.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use loadgen_core::engine::{Client, EngineOptions, Seat, WorkerEnd};
use loadgen_core::pace::Pacing;
use loadgen_core::protocol::Tables;
use loadgen_core::record::{Answer, Recorder};
use loadgen_core::time::Tick;
use loadgen_core::workload::{Route, Scenario as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use serde_json::Value;

use super::context::{Context, Landing};
use super::course::{self, Task, Work};
use super::fault::{self, Kind};
use super::records::{Batch, Batches};
use super::settings::{Settings, refuses_cluster};
use crate::produce::local::Local;
use crate::produce::workload::Turn;
use crate::produce::{ProducePlan, ProduceRules, ProduceScenario};
use crate::spec::{Acks, ProduceSpec};
use crate::tables::{self, Op};
use crate::wire::batch::Codec;

const NOTES: [&str; 4] = [
    "a request is a batch of records as the native client sends it, from the first record handed over \
     to the last delivery report; librdkafka makes batches of its own of them",
    "the fixed linger of librdkafka delays batches that it does not find full",
    "there is one instance for each worker; its threads inherit the worker's CPU and are not pinned one \
     by one; their CPU time counts with the workers', in equal parts",
    "wire bytes are librdkafka's own count, as of every statistics.interval.ms",
];

/// librdkafka as a client of the engine's harness: `--client librdkafka`, writing.
#[derive(Debug)]
pub struct LibrdkafkaProducer {
    spec: ProduceSpec,
    scenario: ProduceScenario,
    settings: Settings,
    batches: Batches,
}

impl LibrdkafkaProducer {
    /// Writes what `plan` says.
    ///
    /// # Errors
    /// When a batch cannot be composed.
    pub fn new(mut plan: ProducePlan, options: &EngineOptions) -> Result<Self, String> {
        let spec = plan.spec.clone();
        // Records are cut out of our batches, and librdkafka compresses those of its own.
        plan.spec.records.codec = Codec::None;
        let scenario = ProduceScenario::new(plan).map_err(|error| error.detail)?;
        let batches = Batches::new(scenario.rules())?;
        let each = u64::from(scenario.rules().batch_records());
        let in_flight = u64::from(options.connections) * u64::from(options.depth);
        let sizes = (each, batches.bytes_max());
        Ok(Self {
            settings: Settings::producer(&spec, options, sizes, in_flight),
            spec,
            scenario,
            batches,
        })
    }

    /// What is written, and how far that is.
    #[must_use]
    pub fn rules(&self) -> &Arc<ProduceRules> {
        self.scenario.rules()
    }
}

impl Client for LibrdkafkaProducer {
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
        plan["codec"] = self.spec.records.codec.name().into();
        plan["client"] = self.settings.document(&NOTES);
        plan
    }

    fn refuses(&self, options: &EngineOptions) -> Option<String> {
        if let Pacing::Open { rate_per_s, .. } = options.pacing {
            return Some(format!(
                "-R ({rate_per_s:.1} batches/s): librdkafka decides itself when it sends, so --client \
                 librdkafka writes in a closed loop only"
            ));
        }
        super::refuses(options).or_else(|| refuses_cluster(&self.spec.cluster))
    }

    fn details(&self, workers: Vec<Value>) -> Value {
        let mut details = self.scenario.details(workers);
        for name in ["produce_version", "throttled"] {
            details["produce"][name] = Value::Null;
        }
        details
    }

    fn run(&self, seat: Seat, recorder: Recorder) -> WorkerEnd {
        let instances = seat.workers;
        course::run(seat, recorder, self.routes(), instances, |work| {
            Producing::connect(self, work)
        })
    }
}

/// A batch on its way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Tick,
    position: usize,
}

/// One worker's writing.
struct Producing<'a> {
    client: &'a LibrdkafkaProducer,
    producer: Option<ThreadedProducer<Context>>,
    local: Rc<Local>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    turn: Turn,
    credit: u64,
    claimed: u64,
    spent: bool,
    down: Option<Tick>,
}

impl<'a> Producing<'a> {
    fn connect(client: &'a LibrdkafkaProducer, work: &mut Work) -> Result<Self, String> {
        let seat = &work.seat;
        let places = seat.dealt.len() * seat.options.depth as usize;
        let context = Context::new(seat.clock, places);
        let (worker, limit) = (seat.worker, seat.options.connect_timeout);
        let producer: ThreadedProducer<Context> = client
            .settings
            .create(context)
            .map_err(|error| format!("librdkafka: {error}"))?;
        let topic = Some(client.spec.topic.as_str());
        let there = producer.client().fetch_metadata(topic, limit);
        let producer = match there {
            Ok(_) => Some(producer),
            Err(error) => {
                course::refused(work, producer.context(), &error);
                None
            }
        };
        Ok(Self {
            spent: producer.is_none(),
            local: Local::shared(Arc::clone(client.scenario.rules())),
            client,
            producer,
            flights: vec![None; places],
            free: (0..places).rev().collect(),
            turn: Turn::beginning_at(worker),
            credit: 0,
            claimed: 0,
            down: None,
        })
    }

    fn rules(&self) -> &Arc<ProduceRules> {
        self.client.rules()
    }

    /// As the native client deals batches out, whoever leads them.
    fn partition(&mut self) -> Option<usize> {
        let (rules, batches) = (self.client.scenario.rules(), &self.client.batches);
        let count = rules.topic.partitions.len();
        let may = |at| batches.of(at, false).is_some();
        self.turn.next(count, rules.partitioner, may)
    }

    fn may_send(&mut self, work: &Work) -> bool {
        if !work.sending || self.spent {
            return false;
        }
        let budget = &work.seat.shared.budget;
        if self.credit == 0 {
            self.credit = budget.claim();
            self.claimed = self.credit;
            self.spent = self.credit == 0;
        }
        self.credit > 0
    }

    /// Hands the next batch over.
    fn send(&mut self, work: &mut Work, place: usize) -> bool {
        let Some(position) = self.partition() else {
            self.spent = true;
            return false;
        };
        let last = self.rules().takes_the_last();
        let client = self.client;
        let (Some(batch), Some(producer)) =
            (client.batches.of(position, last), self.producer.as_ref())
        else {
            return false;
        };
        self.credit -= 1;
        if self.credit == 0 {
            work.seat
                .shared
                .budget
                .used(std::mem::take(&mut self.claimed));
        }
        let sent = work.now();
        let records = batch.records();
        work.recorder.sent(sent, sent);
        work.recorder.carried(batch.payload_bytes);
        let answered = client.spec.acks != Acks::None;
        self.local.sent(records, answered, sent);
        self.flights[place] = Some(Flight { sent, position });
        let index = self.rules().topic.partitions[position].index;
        producer.context().awaits(place, records);
        hand_over(producer, (&client.spec.topic, index), batch, place);
        true
    }

    /// A batch has come to its end.
    fn landed(&mut self, work: &mut Work, place: usize, landing: &Landing) {
        let Some(flight) = self.flights[place].take() else {
            return;
        };
        self.free.push(place);
        let route = self.rules().topic.leader(flight.position);
        let acks = self.client.spec.acks;
        let answer = |status, units| Answer {
            op: Op::Produce as u8,
            status,
            units,
            payload_rx_bytes: Some(0),
            intended: flight.sent,
            sent: flight.sent,
            first: landing.last,
            last: landing.last,
            origin: None,
        };
        let mut counted = false;
        if landing.acked > 0 {
            self.down = None;
            let status = if acks == Acks::None {
                tables::UNACKED
            } else {
                let base = landing.behind.saturating_sub(i64::from(landing.acked));
                self.local
                    .acked(flight.position, landing.acked, base, false);
                tables::OK
            };
            work.recorder
                .answered(&answer(status, landing.acked), false);
            counted = true;
        }
        for &(code, records) in &landing.failed {
            let reason = code.to_string();
            match fault::of(code, &reason) {
                Kind::Answer(code) => {
                    self.local.refused(records, code, None);
                    if tables::leader_doubtful(code) {
                        self.rules().topic.doubt();
                    }
                    let status = tables::status_of(code);
                    if counted {
                        work.recorder.units(Op::Produce as u8, status, records);
                    } else {
                        work.recorder.answered(&answer(status, records), true);
                    }
                }
                Kind::Lost(phase, cause) => {
                    if !counted {
                        let (sent, at) = (flight.sent, landing.last);
                        work.recorder.failed(sent, sent, Tick::NEVER, at);
                    }
                    work.error(phase, cause, &reason);
                }
            }
            counted = true;
        }
        work.ended(route, landing.acked > 0, landing.last);
    }
}

/// Every record of `batch`; what cannot be handed over has come to its end.
fn hand_over(
    producer: &ThreadedProducer<Context>,
    (topic, partition): (&str, i32),
    batch: &Batch,
    place: usize,
) {
    for (key, value) in batch.each() {
        let record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, place).partition(partition);
        let mut record = record.payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if !batch.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(batch.headers.len());
            for (key, value) in &batch.headers {
                headers = headers.insert(Header {
                    key,
                    value: Some(value),
                });
            }
            record = record.headers(headers);
        }
        if let Err((error, _)) = producer.send(record) {
            producer
                .context()
                .landed(place, Err(fault::code_of(&error)));
        }
    }
}

impl Task for Producing<'_> {
    fn context(&self) -> Option<&Context> {
        self.producer.as_ref().map(|producer| &**producer.context())
    }

    fn idle(&mut self, length: Duration) {
        // It has a thread of its own that serves it.
        std::thread::sleep(length);
    }

    fn start(&mut self, _work: &mut Work) {}

    fn step(&mut self, work: &mut Work, until: Tick) {
        while let Some(&place) = self.free.last() {
            if !self.may_send(work) || !self.send(work, place) {
                break;
            }
            self.free.pop();
        }
        let wait = until - work.now();
        if !self.is_busy() {
            std::thread::sleep(wait.min(Duration::from_millis(1)));
        }
        if let Some(context) = self.context() {
            context.await_landed(wait);
        }
        while let Some((place, landing)) = self.context().and_then(Context::take_landed) {
            self.landed(work, place, &landing);
        }
        let errors = self.context().map(Context::take_errors).unwrap_or_default();
        for (code, reason) in errors {
            if code == RDKafkaErrorCode::AllBrokersDown {
                self.down.get_or_insert(work.now());
            } else if let Kind::Lost(phase, cause) = fault::of(code, &reason) {
                work.error(phase, cause, &reason);
            }
        }
    }

    fn is_spent(&self) -> bool {
        self.spent
    }

    fn is_busy(&self) -> bool {
        self.free.len() < self.flights.len()
    }

    fn down_since(&self) -> Option<Tick> {
        self.down
    }

    fn finish(&mut self, work: &mut Work, now: Tick) -> Value {
        let budget = &work.seat.shared.budget;
        budget.used(self.claimed - self.credit);
        budget.give_back(self.credit);
        (self.claimed, self.credit) = (0, 0);
        for flight in self.flights.iter_mut().filter_map(Option::take) {
            let sent = flight.sent;
            work.recorder.unanswered(sent, sent, Tick::NEVER, now);
        }
        let mut details = self.local.details();
        if let Some(context) = self.context() {
            details["throttle_ms"] = context.throttle_ms().into();
        }
        details
    }
}
