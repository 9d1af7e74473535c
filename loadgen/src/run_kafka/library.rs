//! Which client a run goes by: our own, or librdkafka as a reference.
//!
//! What cannot be done by one is refused by name; nothing falls back to the other.

use std::sync::Arc;

use loadgen_core::cli::{CommonArgs, DriverArg};
use loadgen_core::engine::{Client, EngineOptions, Native};
use loadgen_kafka::fetch::{ConsumePlan, ConsumeScenario};
use loadgen_kafka::produce::{ProducePlan, ProduceRules, ProduceScenario};
#[cfg(feature = "librdkafka")]
use loadgen_kafka::reference::{LibrdkafkaConsumer, LibrdkafkaProducer};

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

    /// What writes what `plan` says, and what it goes by.
    ///
    /// # Errors
    /// Batches that cannot be composed.
    #[cfg_attr(
        not(feature = "librdkafka"),
        expect(unused_variables, reason = "librdkafka is told them, and is not here")
    )]
    pub(crate) fn writer(
        self,
        plan: ProducePlan,
        options: &EngineOptions,
    ) -> Result<(Arc<dyn Client>, Arc<ProduceRules>), Failure> {
        match self {
            Self::Native => {
                let scenario = ProduceScenario::new(plan);
                let scenario = scenario.map_err(|error| Failure::usage(error.detail))?;
                let rules = Arc::clone(scenario.rules());
                Ok((Arc::new(Native(Arc::new(scenario))), rules))
            }
            #[cfg(feature = "librdkafka")]
            Self::Librdkafka => {
                let client = LibrdkafkaProducer::new(plan, options).map_err(Failure::usage)?;
                let rules = Arc::clone(client.rules());
                Ok((Arc::new(client), rules))
            }
        }
    }
}
