//! What reading was asked for, judged, and where it begins and ends.

use serde_json::{Value, json};

use super::{
    Checked, PlanError, RECORD_BYTES_MAX, cluster, counts_records, name, only, partitions, refuse,
    size, target,
};
use crate::cluster::Topic;
use crate::spec::{ConsumeSpec, Depth, From, Isolation, Until};

/// Judges what reading was asked for.
///
/// # Errors
/// [`PlanError::Refused`].
pub fn consume(spec: &ConsumeSpec) -> Checked {
    cluster(&spec.cluster)?;
    name("--topic", &spec.topic)?;
    partitions(&spec.partitions)?;
    for (flag, bytes, low) in [
        ("--fetch-size", spec.partition_max_bytes, 1),
        ("--fetch-max-bytes", spec.fetch_max_bytes, 1),
        ("--min-bytes", spec.min_bytes, 0),
    ] {
        if bytes < low {
            return refuse(format!(
                "{flag} is from {low} to {} bytes, not {bytes}",
                i32::MAX
            ));
        }
    }
    if spec.min_bytes > spec.fetch_max_bytes {
        return refuse(format!(
            "--min-bytes {} is more than --fetch-max-bytes {}: every fetch would wait",
            spec.min_bytes, spec.fetch_max_bytes
        ));
    }
    if spec.max_wait_ms < 0 {
        return refuse(format!(
            "--max-wait is at least 0 ms, not {}",
            spec.max_wait_ms
        ));
    }
    check_ends(spec)?;
    check_depth(spec)
}

fn check_ends(spec: &ConsumeSpec) -> Checked {
    let until = until_name(spec.until);
    if spec.from == From::Latest && spec.until != Until::Follow {
        return refuse(format!(
            "--from latest --until {until}: nothing is between them; give --until follow, or \
             --from earliest"
        ));
    }
    if let From::Offset(offset) = spec.from
        && offset < 0
    {
        return refuse(format!("--from: offsets begin with 0, {offset} is none"));
    }
    if spec.records == Some(0) {
        return refuse("-n 0 is below the limit of 1 record");
    }
    Ok(())
}

fn check_depth(spec: &ConsumeSpec) -> Checked {
    if spec.depth == Depth::None && spec.until != Until::Replay {
        return refuse(format!(
            "--verify none sees no offset, so it cannot tell where --until {} goes on: it is for \
             --replay",
            until_name(spec.until)
        ));
    }
    if !counts_records(spec.depth) && spec.records.is_some() {
        return refuse("--verify none sees no record, so -n cannot count them; give -d");
    }
    let Some(bytes) = spec.seeded_record_bytes else {
        return Ok(());
    };
    size("--record-bytes", bytes, 0, RECORD_BYTES_MAX)?;
    match spec.depth {
        Depth::Records => refuse("--record-bytes: --verify records counts payload itself"),
        Depth::None => refuse("--record-bytes: --verify none sees no record to multiply it with"),
        Depth::Headers | Depth::Crc => Ok(()),
    }
}

/// What is read of each partition.
#[derive(Debug)]
pub struct Range {
    /// The partitions with something to read.
    pub topic: Topic,
    /// The first offset of each, by position.
    pub starts: Vec<i64>,
    /// The offset behind the last of each, as it was now; reading goes beyond with
    /// [`Until::Follow`].
    pub ends: Vec<i64>,
}

impl Range {
    /// How many offsets it has: records, unless some are missing (compacted, or markers of
    /// transactions).
    #[must_use]
    pub fn offsets(&self) -> u64 {
        let ranges = self.starts.iter().zip(&self.ends);
        ranges
            .map(|(start, end)| (end - start).max(0).unsigned_abs())
            .sum()
    }
}

/// Where reading begins and ends, by what the cluster said: `earliest` and `latest` offset of every
/// partition of `topic`, by position.
///
/// # Errors
/// [`PlanError::Target`]: an offset that is not there, or nothing to read.
pub fn range(
    spec: &ConsumeSpec,
    topic: &Topic,
    earliest: &[i64],
    latest: &[i64],
) -> Result<Range, PlanError> {
    let mut starts = Vec::with_capacity(earliest.len());
    for (partition, (low, high)) in topic.partitions.iter().zip(earliest.iter().zip(latest)) {
        starts.push(match spec.from {
            From::Earliest => *low,
            From::Latest => *high,
            From::Offset(offset) if (*low..=*high).contains(&offset) => offset,
            From::Offset(offset) => {
                return target(format!(
                    "--from {offset}: partition {} of topic {} has offsets from {low} to {high}",
                    partition.index, topic.name
                ));
            }
        });
    }
    if spec.until == Until::Follow {
        let topic = only(topic, |_| true);
        return Ok(Range {
            topic,
            starts,
            ends: latest.to_vec(),
        });
    }
    let ranges = starts.iter().zip(latest);
    let filled: Vec<bool> = ranges.map(|(start, end)| start < end).collect();
    if !filled.contains(&true) {
        return target(format!(
            "topic {} has no record in the {} partitions that were asked for; fill it with loadgen \
             kafka seed, or wait for records with --until follow",
            topic.name,
            topic.partitions.len()
        ));
    }
    let of_filled = |offsets: &[i64]| -> Vec<i64> {
        let all = offsets.iter().zip(&filled);
        all.filter(|(_, filled)| **filled)
            .map(|(offset, _)| *offset)
            .collect()
    };
    let position = |index| topic.partitions.iter().position(|p| p.index == index);
    let kept = only(topic, |index| position(index).is_some_and(|at| filled[at]));
    Ok(Range {
        topic: kept,
        starts: of_filled(&starts),
        ends: of_filled(latest),
    })
}

const fn until_name(until: Until) -> &'static str {
    match until {
        Until::End => "end",
        Until::Follow => "follow",
        Until::Replay => "replay",
    }
}

/// What goes into `plan.kafka` of the document, without the ranges. The password is left out.
#[must_use]
pub fn consume_document(spec: &ConsumeSpec) -> Value {
    json!({
        "topic": spec.topic,
        "bootstrap": spec.cluster.bootstrap,
        "sasl": spec.cluster.sasl.as_ref().map(|who| who.mechanism.name()),
        "client_id": spec.cluster.client_id,
        "from": match spec.from {
            From::Earliest => json!("earliest"),
            From::Latest => json!("latest"),
            From::Offset(offset) => json!(offset),
        },
        "until": until_name(spec.until),
        "records": spec.records,
        "fetch_size_bytes": spec.partition_max_bytes,
        "fetch_max_bytes": spec.fetch_max_bytes,
        "min_bytes": spec.min_bytes,
        "max_wait_ms": spec.max_wait_ms,
        "isolation": match spec.isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        },
        "verify": spec.depth.name(),
        "record_bytes": spec.seeded_record_bytes,
    })
}
