//! One connection that produces: a batch a request.
//!
//! What becomes of a batch that was sent on a connection that died, nobody knows; it is said so, and
//! never sent again in silence.

use std::rc::Rc;
use std::time::Duration;

use loadgen_core::buffer::Outbox;
use loadgen_core::protocol::{
    Fault, Handshake, Input, Phase, Progress, Reply, Session, Tally, Then, Ticket,
};
use loadgen_core::time::Tick;
use loadgen_core::workload::RouteId;

use super::local::Local;
use crate::greeting::{Greeting, PRODUCE_MIN, spoken};
use crate::spec::Acks;
use crate::tables::{self, Op};
use crate::wire::Wrong;
use crate::wire::batch::Codec;
use crate::wire::produce::{Common, Frame, ZSTD_FROM};
use crate::wire::produced::{Asked, Produced, Reading};

/// After a refusal that makes the leader doubtful, the partition is left alone for so long: until then
/// the cluster will have said who leads it. Where the connection has nothing else to write to, it
/// waits itself.
const DOUBT_PAUSE: Duration = Duration::from_millis(50);
/// A broker that throttles for longer than this is not believed.
const THROTTLE_MAX_MS: u32 = 600_000;

/// A batch for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The partition's position.
    pub partition: u32,
    /// The last batch of a run, which may be shorter.
    pub last: bool,
}

/// One connection.
#[derive(Debug)]
pub struct ProduceSession {
    local: Rc<Local>,
    route: RouteId,
    greeting: Greeting,
    version: i16,
    frame: Option<Frame>,
    correlation: i32,
    reading: Reading,
}

impl ProduceSession {
    /// A new connection to the broker of `route`; `serial` tells it from the others.
    #[must_use]
    pub fn new(local: &Rc<Local>, route: RouteId, serial: u64) -> Self {
        Self {
            route,
            greeting: Greeting::new(&local.rules.greeting, serial),
            local: Rc::clone(local),
            version: 0,
            frame: None,
            correlation: 0,
            reading: Reading::default(),
        }
    }

    fn greeted(&mut self) -> Result<(), Fault> {
        let rules = &self.local.rules;
        self.version = spoken(self.greeting.versions().produce, "Produce", PRODUCE_MIN)?;
        if rules.codec == Codec::Zstd && self.version < ZSTD_FROM {
            let text = format!(
                "the broker speaks Produce up to v{}, zstd needs v{ZSTD_FROM}",
                self.version
            );
            return Err(Wrong::Version.because(text).fault(Phase::Handshake));
        }
        let common = Common {
            client_id: &rules.greeting.client_id,
            acks: rules.acks,
            timeout_ms: rules.timeout_ms,
            topic: &rules.topic.name,
        };
        self.frame = Some(Frame::new(self.version, &common));
        self.local.speaks(self.version);
        Ok(())
    }

    fn complete(&self, position: usize, units: u32, produced: &Produced) -> Reply<()> {
        if let Some(leader) = produced.leader {
            self.local.rules.topic.learn(position, Some(leader));
        }
        let mut then = Then::Reuse;
        if produced.error == 0 {
            let appended = produced.log_append_time_ms >= 0;
            self.local
                .acked(position, units, produced.base_offset, appended);
        } else {
            let message = produced.message.as_deref();
            self.local.refused(units, produced.error, message);
            if tables::leader_doubtful(produced.error) {
                then = self.doubt(position);
            }
        }
        if produced.throttle_ms > 0 {
            let ms = u64::from(produced.throttle_ms.min(THROTTLE_MAX_MS));
            self.local.throttled(ms);
            then = Then::Pause(Duration::from_millis(ms));
        }
        Reply {
            status: tables::status_of(produced.error),
            units,
            payload_rx_bytes: Some(0),
            origin: None,
            then,
            feedback: None,
        }
    }
}

impl ProduceSession {
    /// The broker does not lead the partition, or does not know it.
    #[cold]
    fn doubt(&self, position: usize) -> Then {
        let topic = &self.local.rules.topic;
        topic.doubt();
        if topic.leader(position) != Some(self.route) {
            // Known already.
            return Then::Reuse;
        }
        let until = self.local.now.get() + DOUBT_PAUSE;
        self.local.hold(position as u32, self.route, until);
        let here = |at: &usize| topic.leader(*at) == Some(self.route);
        let free = |at: &usize| !self.local.holds(*at as u32, self.route);
        let mut others = (0..topic.partitions.len()).filter(here).filter(free);
        if others.next().is_some() {
            Then::Reuse
        } else {
            Then::Pause(DOUBT_PAUSE)
        }
    }
}

impl Session for ProduceSession {
    type Request = Ask;
    type Feedback = ();

    fn handshake(&mut self, input: &[u8], out: &mut Outbox) -> Result<Handshake, Fault> {
        let step = self.greeting.drive(input, out.copied_mut())?;
        if let Handshake::Done { .. } = step {
            self.greeted()?;
        }
        Ok(step)
    }

    fn encode(&mut self, ask: Ask, at: Tick, out: &mut Outbox) -> Ticket {
        self.correlation = self.correlation.wrapping_add(1);
        let rules = &self.local.rules;
        let position = ask.partition as usize;
        let mut ticket = Ticket {
            op: Op::Produce as u8,
            units: 0,
            answered: rules.acks != Acks::None,
            payload_tx_bytes: 0,
            tag: u64::from(self.correlation as u32) << 32 | u64::from(ask.partition),
        };
        // Both are there: a session is greeted before, and the workload asks for no other.
        if let (Some(frame), Some(template)) = (&self.frame, rules.template(position, ask.last)) {
            let index = rules.topic.partitions[position].index;
            let batch_bytes = template.batch_bytes();
            frame.put(self.correlation, index, batch_bytes, out.copied_mut());
            template.put(rules.unix_ms(at), at, out);
            out.put(frame.tail());
            (ticket.units, ticket.payload_tx_bytes) = (template.records, template.payload_bytes);
        }
        self.local.sent(ticket.units, ticket.answered, at);
        ticket
    }

    fn decode(
        &mut self,
        ticket: &mut Ticket,
        input: Input<'_>,
        _tally: &mut Tally,
    ) -> Result<Progress<()>, Fault> {
        let position = ticket.tag as u32 as usize;
        let topic = &self.local.rules.topic;
        let asked = Asked {
            version: self.version,
            correlation: (ticket.tag >> 32) as u32 as i32,
            topic: &topic.name,
            partition: topic.partitions[position].index,
        };
        let step = self.reading.feed(&asked, input.bytes, input.skipped);
        let step = step.map_err(|error| error.fault(Phase::Decode))?;
        let done = step
            .done
            .map(|produced| self.complete(position, ticket.units, &produced));
        Ok(Progress {
            eaten: step.eaten,
            discard: step.discard,
            done,
        })
    }
}
