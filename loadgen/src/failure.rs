//! Why the program ends without, or beside, a verdict on a run: exit codes 2, 3, 4 and 5.
//!
//! The codes of a run that took place come from its document. Nothing here may print.

use loadgen_core::cli::UsageError;
use loadgen_core::plan::PlanError;
use loadgen_core::results::exit;
use loadgen_core::run::StartError;

/// One sentence, and the exit code it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code.
    pub code: u8,
    /// The sentence.
    pub text: String,
}

impl Failure {
    /// What was typed makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(exit::USAGE, text)
    }

    /// The target cannot be reached.
    pub(crate) fn target(text: impl Into<String>) -> Self {
        Self::new(exit::TARGET, text)
    }

    /// The machine refuses.
    pub(crate) fn environment(text: impl Into<String>) -> Self {
        Self::new(exit::ENVIRONMENT, text)
    }

    /// Output could not be written.
    pub(crate) fn output(text: impl Into<String>) -> Self {
        Self::new(exit::OUTPUT, text)
    }

    fn new(code: u8, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::usage(error.0)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Options(text) => Self::usage(text),
            StartError::Environment(text) => Self::environment(text),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(text) => Self::usage(text),
            PlanError::Target(text) => Self::target(text),
        }
    }
}
