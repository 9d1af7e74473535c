//! What writing was asked for, judged.

use serde_json::{Value, json};

use super::{Checked, HEADERS_MAX, RECORD_BYTES_MAX, cluster, name, partitions, refuse, size};
use crate::spec::{Acks, Partitioner, ProduceSpec, RecordSpec};
use crate::wire::batch::HEADER_BYTES;

/// The longest name of a header: a VARINT is in front of it, and nobody needs more.
const HEADER_NAME_BYTES_MAX: usize = 1000;

/// Judges what writing was asked for. `records` is `-n`.
///
/// # Errors
/// [`PlanError::Refused`](super::PlanError).
pub fn produce(spec: &ProduceSpec, records: Option<u64>) -> Checked {
    cluster(&spec.cluster)?;
    name("--topic", &spec.topic)?;
    partitions(&spec.partitions)?;
    check_records(&spec.records)?;
    if spec.partitioner == Partitioner::ByKey && spec.records.key_bytes.is_none() {
        return refuse("--partitioner key: records have no key; give --key-size");
    }
    if let Partitioner::Sticky { batches: 0 } = spec.partitioner {
        return refuse("--partitioner sticky:0 is below the limit of 1 batch");
    }
    if spec.timeout_ms < 1 {
        return refuse(format!(
            "--ack-timeout is at least 1 ms, not {}",
            spec.timeout_ms
        ));
    }
    if records == Some(0) {
        return refuse("-n 0 is below the limit of 1 record");
    }
    Ok(())
}

fn check_records(records: &RecordSpec) -> Checked {
    size("--record-size", records.value_bytes, 0, RECORD_BYTES_MAX)?;
    size(
        "--key-size",
        records.key_bytes.unwrap_or(0),
        0,
        RECORD_BYTES_MAX,
    )?;
    let head = HEADER_BYTES as u32;
    size("--batch-bytes", records.batch_bytes, head, RECORD_BYTES_MAX)?;
    if records.headers.len() > HEADERS_MAX {
        return refuse(format!(
            "--header: {} of them, above the limit of {HEADERS_MAX}",
            records.headers.len()
        ));
    }
    for (name, bytes) in &records.headers {
        let length = name.len();
        if length == 0 || length > HEADER_NAME_BYTES_MAX {
            return refuse(format!(
                "--header: a name has from 1 to {HEADER_NAME_BYTES_MAX} bytes, {name:?} has {length}"
            ));
        }
        size(&format!("--header {name}"), *bytes, 0, RECORD_BYTES_MAX)?;
    }
    let headers: u64 = records
        .headers
        .iter()
        .map(|(name, bytes)| name.len() as u64 + u64::from(*bytes))
        .sum();
    let all = u64::from(records.value_bytes) + u64::from(records.key_bytes.unwrap_or(0)) + headers;
    if all > u64::from(RECORD_BYTES_MAX) {
        return refuse(format!(
            "--record-size, --key-size and --header make records of {all} bytes, above the limit of \
             {RECORD_BYTES_MAX}"
        ));
    }
    Ok(())
}

/// What goes into `plan.kafka` of the document. The password is left out.
#[must_use]
pub fn produce_document(spec: &ProduceSpec, records: Option<u64>) -> Value {
    let header = |(name, bytes): &(String, u32)| json!({"name": name, "value_bytes": bytes});
    json!({
        "topic": spec.topic,
        "bootstrap": spec.cluster.bootstrap,
        "sasl": spec.cluster.sasl.as_ref().map(|who| who.mechanism.name()),
        "client_id": spec.cluster.client_id,
        "records": records,
        "value_bytes": spec.records.value_bytes,
        "key_bytes": spec.records.key_bytes,
        "headers": spec.records.headers.iter().map(header).collect::<Vec<_>>(),
        "batch_bytes": spec.records.batch_bytes,
        "codec": spec.records.codec.name(),
        "acks": match spec.acks {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        },
        "ack_timeout_ms": spec.timeout_ms,
        "partitioner": match spec.partitioner {
            Partitioner::RoundRobin => "round-robin".to_owned(),
            Partitioner::ByKey => "key".to_owned(),
            Partitioner::Sticky { batches } => format!("sticky:{batches}"),
        },
    })
}
