//! The flags of `loadgen kafka` that no other protocol has. What they mean is `plan`'s business.

mod consume;
mod end_to_end;
mod fetch;
mod produce;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use loadgen_core::cli;

use crate::plan::PlanError;
use crate::spec::{ClusterSpec, Credentials, Mechanism};

pub use consume::{ConsumeArgs, FromArg, IsolationArg, Partitions, UntilArg, VerifyArg};
pub use end_to_end::EndToEndArgs;
pub use fetch::FetchArgs;
pub use produce::{AcksArg, CodecArg, CreateArgs, HeaderArg, PartitionerArg, ProduceArgs};

/// The environment variable with the password, where none was typed.
pub const PASSWORD: &str = "LOADGEN_SASL_PASSWORD";

/// The most partitions a flag may name: a list of them is made.
const PARTITIONS_TYPED_MAX: usize = 100_000;

/// Which cluster, which topic, and who we are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct ClusterArgs {
    /// Brokers to begin with, as HOST[:PORT]; the first that answers names the others
    /// [default port: 9092]
    #[arg(value_name = "HOST:PORT", required = true, value_delimiter = ',', help_heading = None)]
    pub brokers: Vec<String>,

    /// The topic
    #[arg(long, value_name = "NAME")]
    pub topic: String,

    /// Authenticate with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; without :PASS the password
    /// comes from --sasl-password-file or from the environment variable LOADGEN_SASL_PASSWORD
    /// [default: no]
    #[arg(long, value_name = "MECHANISM:USER[:PASS]")]
    pub sasl: Option<Sasl>,

    /// Where the password is: the first line of a file [default: none]
    #[arg(long, value_name = "FILE", requires = "sasl")]
    pub sasl_password_file: Option<PathBuf>,

    /// What brokers are told that we are called; quotas may go by it
    #[arg(long, value_name = "NAME", default_value = "loadgen")]
    pub client_id: String,
}

/// `--sasl` as it was typed. It is read later and not by clap, whose errors repeat what was typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl(String);

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl").finish_non_exhaustive()
    }
}

impl std::str::FromStr for Sasl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl ClusterArgs {
    /// What was typed, for `plan` to judge. `environment` is the value of [`PASSWORD`].
    ///
    /// # Errors
    /// [`PlanError::Refused`]: a password that is nowhere, or in two places, or a file that cannot
    /// be read.
    pub fn spec(&self, environment: Option<&str>) -> Result<ClusterSpec, PlanError> {
        let sasl = self.sasl.as_ref();
        let sasl = sasl.map(|sasl| self.credentials(&sasl.0, environment));
        Ok(ClusterSpec {
            bootstrap: self.brokers.clone(),
            sasl: sasl.transpose()?,
            client_id: self.client_id.clone(),
        })
    }

    /// What is refused here never repeats the text: there is a password in it.
    fn credentials(&self, text: &str, environment: Option<&str>) -> Result<Credentials, PlanError> {
        let refuse = |text: String| PlanError::Refused(format!("--sasl: {text}"));
        let known = [
            Mechanism::Plain,
            Mechanism::ScramSha256,
            Mechanism::ScramSha512,
        ];
        let mut parts = text.splitn(3, ':');
        let typed = parts.next().unwrap_or_default();
        let mechanism = known
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(typed));
        let mechanism = mechanism.ok_or_else(|| {
            let names = known.map(Mechanism::name).join(", ");
            refuse(format!("it begins with a mechanism, one of {names}"))
        })?;
        let user = parts
            .next()
            .ok_or_else(|| refuse("write MECHANISM:USER:PASS, the user is missing".to_owned()))?;
        Ok(Credentials {
            mechanism,
            user: user.to_owned(),
            password: self.password(parts.next(), environment)?,
        })
    }

    fn password(
        &self,
        typed: Option<&str>,
        environment: Option<&str>,
    ) -> Result<String, PlanError> {
        let refuse = |text: String| Err(PlanError::Refused(text));
        match (typed, &self.sasl_password_file, environment) {
            (Some(_), Some(path), _) => refuse(format!(
                "--sasl has a password and --sasl-password-file {} has one: give one of them",
                path.display()
            )),
            (Some(password), None, _) => Ok(password.to_owned()),
            (None, Some(path), _) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
                Err(error) => refuse(format!("--sasl-password-file {}: {error}", path.display())),
            },
            (None, None, Some(password)) => Ok(password.to_owned()),
            (None, None, None) => refuse(format!(
                "--sasl: there is no password; write MECHANISM:USER:PASS, or give \
                 --sasl-password-file, or set {PASSWORD}"
            )),
        }
    }
}

/// A size that goes into an INT32, 0 included.
fn size(text: &str) -> Result<i32, String> {
    let bytes = cli::count(text)?;
    i32::try_from(bytes).map_err(|_| format!("{text} is above the limit of {} bytes", i32::MAX))
}

/// The same, without a sign.
fn length(text: &str) -> Result<u32, String> {
    size(text).map(i32::cast_unsigned)
}

/// Reads `0,2-5`.
fn partitions(text: &str) -> Result<Partitions, String> {
    let number = |part: &str| {
        part.parse::<i32>()
            .ok()
            .filter(|number| *number >= 0)
            .ok_or_else(|| format!("{part:?} is no partition; write numbers from 0, such as 0,2-5"))
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(format!(
                "in the range {part} the smaller number comes first"
            ));
        }
        if (high - low) as usize >= PARTITIONS_TYPED_MAX - all.len().min(PARTITIONS_TYPED_MAX - 1) {
            return Err(format!(
                "{text} names more than {PARTITIONS_TYPED_MAX} partitions"
            ));
        }
        all.extend(low..=high);
    }
    Ok(Partitions(all))
}
