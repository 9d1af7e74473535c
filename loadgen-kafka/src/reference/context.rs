//! What librdkafka tells: counters, errors, and what became of each record.
//!
//! Its callbacks run in whichever thread polls it; the worker takes what is here when it has time. A
//! delivery gets its stamp in the callback. Nothing here may call librdkafka.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadgen_core::time::{Clock, Tick};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Message as _};
use serde::Deserialize;

use super::fault;

/// So many errors are kept until the worker takes them.
const ERRORS_MAX: usize = 1000;

/// librdkafka's counters (STATISTICS.md), those of them that are used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Statistics {
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
    pub(super) brokers: BTreeMap<String, Broker>,
}

/// One connection of an instance; those to bootstrap servers have node −1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broker {
    pub(super) nodeid: i32,
    pub(super) state: String,
    pub(super) connects: u64,
    pub(super) disconnects: u64,
    pub(super) throttle: Throttle,
}

/// Since the last statistics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Throttle {
    /// ms.
    pub(super) sum: u64,
}

/// What came of the records of one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Landing {
    /// Records nobody has heard of yet.
    pub(super) left: u32,
    /// In the log, or, where no acknowledgement was asked for, written.
    pub(super) acked: u32,
    /// The offset behind the last of them; negative where it is not known.
    pub(super) behind: i64,
    /// The others, by why: few classes.
    pub(super) failed: Vec<(RDKafkaErrorCode, u32)>,
    /// When the last report came.
    pub(super) last: Tick,
}

#[derive(Debug, Default)]
struct Told {
    statistics: Statistics,
    /// How often they came.
    editions: u64,
    throttle_ms: u64,
    errors: VecDeque<(RDKafkaErrorCode, String)>,
    landings: Vec<Landing>,
    landed: VecDeque<usize>,
}

/// What one instance told.
#[derive(Debug)]
pub(super) struct Context {
    clock: Clock,
    told: Mutex<Told>,
    /// A batch has landed.
    news: Condvar,
}

impl Context {
    /// With places for so many batches in flight.
    pub(super) fn new(clock: Clock, places: usize) -> Self {
        let told = Told {
            landings: vec![Landing::default(); places],
            ..Told::default()
        };
        Self {
            clock,
            told: Mutex::new(told),
            news: Condvar::new(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often counters came.
    pub(super) fn editions(&self) -> u64 {
        self.told().editions
    }

    /// The last counters.
    pub(super) fn statistics(&self) -> Statistics {
        self.told().statistics.clone()
    }

    /// Bytes received and sent, as of the last counters.
    pub(super) fn wire_bytes(&self) -> (u64, u64) {
        let told = self.told();
        (told.statistics.rx_bytes, told.statistics.tx_bytes)
    }

    /// How long brokers wanted nothing, ms.
    pub(super) fn throttle_ms(&self) -> u64 {
        self.told().throttle_ms
    }

    /// The errors since the last call.
    pub(super) fn take_errors(&self) -> VecDeque<(RDKafkaErrorCode, String)> {
        std::mem::take(&mut self.told().errors)
    }

    /// A batch of so many records is about to be handed over.
    pub(super) fn awaits(&self, place: usize, records: u32) {
        self.told().landings[place] = Landing {
            left: records,
            behind: -1,
            ..Landing::default()
        };
    }

    /// One record of a batch has come to an end.
    pub(super) fn landed(&self, place: usize, end: Result<i64, RDKafkaErrorCode>) {
        let now = self.clock.now();
        let mut told = self.told();
        let Some(landing) = told.landings.get_mut(place) else {
            return;
        };
        landing.last = now;
        match end {
            Ok(offset) => {
                landing.acked += 1;
                landing.behind = landing.behind.max(offset.saturating_add(1));
            }
            Err(code) => match landing.failed.iter_mut().find(|(known, _)| *known == code) {
                Some((_, count)) => *count += 1,
                None => landing.failed.push((code, 1)),
            },
        }
        landing.left = landing.left.saturating_sub(1);
        if landing.left == 0 {
            told.landed.push_back(place);
            self.news.notify_one();
        }
    }

    /// The next batch all of whose records have come to an end.
    pub(super) fn take_landed(&self) -> Option<(usize, Landing)> {
        let mut told = self.told();
        let place = told.landed.pop_front()?;
        Some((place, std::mem::take(&mut told.landings[place])))
    }

    /// Waits until a batch has landed, so long at the most.
    pub(super) fn await_landed(&self, limit: Duration) {
        let told = self.told();
        if told.landed.is_empty() {
            drop(self.news.wait_timeout(told, limit));
        }
    }
}

impl ClientContext for Context {
    fn stats_raw(&self, bytes: &[u8]) {
        // What it cannot say it does not say; the edition counts all the same.
        let statistics = serde_json::from_slice::<Statistics>(bytes);
        let mut told = self.told();
        told.editions += 1;
        if let Ok(statistics) = statistics {
            let throttled = statistics.brokers.values().map(|b| b.throttle.sum);
            told.throttle_ms += throttled.sum::<u64>();
            told.statistics = statistics;
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = fault::code_of(&error);
        let mut told = self.told();
        // The end of a partition is no error, and comes by another way as well.
        if code != RDKafkaErrorCode::PartitionEOF && told.errors.len() < ERRORS_MAX {
            told.errors.push_back((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    /// The place of its batch.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        self.landed(
            place,
            match result {
                Ok(message) => Ok(message.offset()),
                Err((error, _)) => Err(fault::code_of(error)),
            },
        );
    }
}
