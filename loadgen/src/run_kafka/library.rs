//! Which client a run goes by: our own, or librdkafka as a reference.
//!
//! What cannot be done by one is refused by name; nothing falls back to the other.

use std::sync::Arc;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::engine::{Client, EngineOptions, Native};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::produce::ProduceScenario;
#[cfg(feature = "librdkafka")]
use loadgen_kafka::reference::{LibrdkafkaConsumer, LibrdkafkaProducer};
use loadgen_kafka::spec::ProduceSpec;
use loadgen_kafka::wire::batch::Codec;

use crate::failure::Failure;

/// Its name behind `--client`.
const LIBRDKAFKA: &str = "librdkafka";

/// One of the clients there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Native,
    #[cfg(feature = "librdkafka")]
    Librdkafka,
}

impl Library {
    /// What was asked for.
    ///
    /// # Errors
    /// A client that is not there, or not here.
    pub(crate) fn of(common: &CommonArgs) -> Result<Self, Failure> {
        let name = common.client.name.as_str();
        if name == LIBRDKAFKA && common.client.driver == DriverArg::Sim {
            return Err(Failure::usage(
                "--client librdkafka brings its own sockets; --driver sim is for --client native",
            ));
        }
        #[cfg(feature = "librdkafka")]
        if name == LIBRDKAFKA {
            return Ok(Self::Librdkafka);
        }
        #[cfg(not(feature = "librdkafka"))]
        if name == LIBRDKAFKA {
            return Err(Failure::usage(
                "--client librdkafka: this loadgen was built without it (feature librdkafka of the crate)",
            ));
        }
        common.client_of(&["native", LIBRDKAFKA])?;
        Ok(Self::Native)
    }

    /// What reads what `plan` says.
    #[cfg_attr(
        not(feature = "librdkafka"),
        expect(unused_variables, reason = "librdkafka is told them, and is not here")
    )]
    pub(crate) fn reader(self, plan: ConsumePlan, options: &EngineOptions) -> Arc<dyn Client> {
        match self {
            Self::Native => Arc::new(Native(Arc::new(ConsumeScenario::new(plan)))),
            #[cfg(feature = "librdkafka")]
            Self::Librdkafka => Arc::new(LibrdkafkaConsumer::new(plan, options)),
        }
    }

    /// What our batches are composed of: librdkafka compresses the records of its own itself.
    pub(crate) fn composed(self, spec: &ProduceSpec) -> ProduceSpec {
        let mut spec = spec.clone();
        if self != Self::Native {
            spec.records.codec = Codec::None;
        }
        spec
    }

    /// What writes the batches of `scenario`.
    ///
    /// # Errors
    /// What librdkafka cannot be told.
    #[cfg_attr(
        not(feature = "librdkafka"),
        expect(unused_variables, reason = "librdkafka is told them, and is not here")
    )]
    pub(crate) fn writer(
        self,
        spec: &ProduceSpec,
        scenario: ProduceScenario,
        options: &EngineOptions,
    ) -> Result<Arc<dyn Client>, Failure> {
        match self {
            Self::Native => Ok(Arc::new(Native(Arc::new(scenario)))),
            #[cfg(feature = "librdkafka")]
            Self::Librdkafka => match LibrdkafkaProducer::new(spec.clone(), scenario, options) {
                Ok(client) => Ok(Arc::new(client)),
                Err(why) => Err(Failure::usage(why)),
            },
        }
    }
}
