//! Why what was asked for cannot be carried out, in the words that all protocols share.
//!
//! A protocol's plan judges; nothing here may know what it judges.

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// What was asked makes no sense; the sentence names the flag and the value.
    Refused(String),
    /// It makes sense, and the target has not what it needs: no address for a name, no such
    /// partition, no record.
    Target(String),
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(text) | Self::Target(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for PlanError {}

/// Says that what was asked makes no sense.
///
/// # Errors
/// Always: [`PlanError::Refused`].
pub fn refuse<T>(text: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError::Refused(text.into()))
}
