//! What was asked for, judged: the one place that refuses a combination.
//!
//! First without a cluster ([`consume`], [`produce`], [`end_to_end`], [`topic`]), so that nonsense is refused before
//! anybody is asked; then with what the cluster said ([`lay_out`], [`range`]). Pure: nothing here
//! connects or looks up a name.

mod consume;
mod end_to_end;
mod produce;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use loadgen_core::address;
pub use loadgen_core::plan::PlanError;
use loadgen_core::plan::refuse;

use crate::cluster::Topic;
use crate::spec::{ClusterSpec, Depth};

pub use consume::{Range, consume, consume_document, range};
pub use end_to_end::{FAN_OUT_MAX, end_to_end, end_to_end_document};
pub use produce::{produce, produce_document};

/// The port of a broker that is named without one.
pub const PORT_DEFAULT: u16 = 9092;
/// The most brokers to begin with.
pub const BOOTSTRAP_MAX: usize = 1024;
/// The longest name of a topic (`Topic.MAX_NAME_LENGTH`).
pub const TOPIC_BYTES_MAX: usize = 249;
/// The longest name of a client: it is sent with every request.
pub const CLIENT_ID_BYTES_MAX: usize = 255;
/// The longest user and the longest password (RFC 4616 section 2).
pub const CREDENTIAL_BYTES_MAX: usize = 255;
/// The most partitions of one run: each has state of its own.
pub const PARTITIONS_MAX: usize = 100_000;
/// The largest record, batch and header value: what a broker takes as one request by default
/// (`socket.request.max.bytes`).
pub const RECORD_BYTES_MAX: u32 = 100 * 1024 * 1024;
/// The most headers of a record.
pub const HEADERS_MAX: usize = 1000;

type Checked = Result<(), PlanError>;

fn target<T>(text: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError::Target(text.into()))
}

/// A topic that is to be created. `None`: the broker's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: Option<i32>,
    /// Replicas of each.
    pub replication: Option<i32>,
    /// Settings: name and value.
    pub settings: Vec<(String, String)>,
}

/// Judges a topic that is to be created.
///
/// # Errors
/// [`PlanError::Refused`].
pub fn topic(new: &NewTopic) -> Checked {
    name("--topic", &new.name)?;
    let partitions = new.partitions.unwrap_or(1);
    if !(1..=PARTITIONS_MAX as i32).contains(&partitions) {
        return refuse(format!(
            "--partitions-count is from 1 to {PARTITIONS_MAX}, not {partitions}"
        ));
    }
    let replication = new.replication.unwrap_or(1);
    if !(1..=i32::from(i16::MAX)).contains(&replication) {
        return refuse(format!(
            "--replication is from 1 to {}, not {replication}",
            i16::MAX
        ));
    }
    if new.settings.iter().any(|(name, _)| name.is_empty()) {
        return refuse("--topic-config: a setting has no name");
    }
    Ok(())
}

/// The topic with those of its partitions that take part: the `wanted` ones, or all where none is.
///
/// # Errors
/// [`PlanError::Target`]: one that is not there, or a cluster without brokers or partitions.
pub fn lay_out(topic: &Topic, wanted: &[i32]) -> Result<Topic, PlanError> {
    let there: BTreeSet<i32> = topic.partitions.iter().map(|p| p.index).collect();
    if let Some(missing) = wanted.iter().find(|index| !there.contains(index)) {
        let last = there.last().map_or(-1, |index| *index);
        return target(format!(
            "--partitions: topic {} has no partition {missing}; it has {} of them, from 0 to {last}",
            topic.name,
            there.len()
        ));
    }
    if there.is_empty() || topic.brokers.is_empty() {
        return target(format!(
            "topic {} has {} partitions on {} brokers: there is nobody to ask",
            topic.name,
            there.len(),
            topic.brokers.len()
        ));
    }
    if there.len() > PARTITIONS_MAX {
        return target(format!(
            "topic {} has {} partitions, above the limit of {PARTITIONS_MAX}; choose with --partitions",
            topic.name,
            there.len()
        ));
    }
    Ok(only(topic, |index| {
        wanted.is_empty() || wanted.contains(&index)
    }))
}

/// The same topic with fewer partitions.
fn only(topic: &Topic, keep: impl Fn(i32) -> bool) -> Topic {
    let leader = |at: usize| {
        let node = topic.brokers[topic.leader(at)?].node;
        Some((node, topic.leader_epoch(at)))
    };
    let positions = topic.partitions.iter().enumerate();
    let kept = positions.filter(|(_, partition)| keep(partition.index));
    let mut kept: Vec<_> = kept.map(|(at, p)| (p.index, leader(at))).collect();
    kept.sort_unstable_by_key(|(index, _)| *index);
    Topic::new(topic.name.clone(), topic.brokers.clone(), &kept)
}

fn name(flag: &str, name: &str) -> Checked {
    let bytes = name.len();
    if bytes == 0 || bytes > TOPIC_BYTES_MAX {
        return refuse(format!(
            "{flag}: a topic's name has from 1 to {TOPIC_BYTES_MAX} characters, this one {bytes}"
        ));
    }
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(odd) = name.chars().find(odd) {
        return refuse(format!(
            "{flag}: {odd:?} is not in topics' names; they have a-z, A-Z, 0-9, '.', '_' and '-'"
        ));
    }
    if name == "." || name == ".." {
        return refuse(format!("{flag}: {name} is no topic's name"));
    }
    Ok(())
}

fn cluster(spec: &ClusterSpec) -> Checked {
    let brokers = spec.bootstrap.len();
    if brokers == 0 || brokers > BOOTSTRAP_MAX {
        return refuse(format!(
            "give from 1 to {BOOTSTRAP_MAX} brokers as HOST:PORT, not {brokers}"
        ));
    }
    for (position, typed) in spec.bootstrap.iter().enumerate() {
        let place = address::split(typed);
        place.or_else(|why| refuse(format!("broker {} ({typed}): {why}", position + 1)))?;
    }
    let bytes = spec.client_id.len();
    if bytes == 0 || bytes > CLIENT_ID_BYTES_MAX {
        return refuse(format!(
            "--client-id has from 1 to {CLIENT_ID_BYTES_MAX} bytes, this one {bytes}"
        ));
    }
    if let Some(odd) = spec.client_id.chars().find(|c| c.is_control()) {
        return refuse(format!("--client-id: {odd:?} is no visible character"));
    }
    let Some(who) = &spec.sasl else {
        return Ok(());
    };
    for (what, text) in [("user", &who.user), ("password", &who.password)] {
        let bytes = text.len();
        if bytes == 0 || bytes > CREDENTIAL_BYTES_MAX {
            return refuse(format!(
                "--sasl: a {what} has from 1 to {CREDENTIAL_BYTES_MAX} bytes, this one {bytes}"
            ));
        }
        if text.contains('\0') {
            return refuse(format!("--sasl: a {what} has no NUL"));
        }
    }
    Ok(())
}

fn partitions(wanted: &[i32]) -> Checked {
    if wanted.len() > PARTITIONS_MAX {
        return refuse(format!(
            "--partitions: {} of them, above the limit of {PARTITIONS_MAX}",
            wanted.len()
        ));
    }
    let mut seen = BTreeSet::new();
    for index in wanted {
        if *index < 0 {
            return refuse(format!("--partitions: they begin with 0, {index} is none"));
        }
        if !seen.insert(index) {
            return refuse(format!("--partitions: {index} stands there twice"));
        }
    }
    Ok(())
}

/// `flag` is from `low` to `high` bytes.
fn size(flag: &str, bytes: u32, low: u32, high: u32) -> Checked {
    if (low..=high).contains(&bytes) {
        return Ok(());
    }
    refuse(format!("{flag} is from {low} to {high} bytes, not {bytes}"))
}

/// Whether records can be counted at this depth.
const fn counts_records(depth: Depth) -> bool {
    !matches!(depth, Depth::None)
}
