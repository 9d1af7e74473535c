//! What writing and reading at once was asked for, judged.

use serde_json::{Value, json};

use super::{Checked, consume, consume_document, produce, produce_document, refuse};
use crate::produce::template::STAMP_BYTES;
use crate::spec::{Acks, EndToEndSpec};
use crate::wire::batch::Codec;

/// The most readers of every record: each has a connection to every broker.
pub const FAN_OUT_MAX: u32 = 1000;

/// Judges what writing and reading at once was asked for. `records` is `-n`.
///
/// # Errors
/// [`PlanError::Refused`](super::PlanError).
pub fn end_to_end(spec: &EndToEndSpec, records: Option<u64>) -> Checked {
    produce(&spec.write, records)?;
    consume(&spec.read)?;
    if !(1..=FAN_OUT_MAX).contains(&spec.fan_out) {
        return refuse(format!(
            "--fan-out is from 1 to {FAN_OUT_MAX} readers, not {}",
            spec.fan_out
        ));
    }
    let codec = spec.write.records.codec;
    if codec != Codec::None {
        return refuse(format!(
            "--codec {}: every value carries the time at which it was sent, which is written into the \
             batch on its way; a compressed batch is made before the run and would say when that was",
            codec.name()
        ));
    }
    let value_bytes = spec.write.records.value_bytes;
    if (value_bytes as usize) < STAMP_BYTES {
        return refuse(format!(
            "--record-size {value_bytes} has no room for the time at which a record was sent, which \
             takes {STAMP_BYTES} bytes"
        ));
    }
    if spec.write.acks == Acks::None {
        return refuse(
            "--acks 0: nobody says how far the log was written, so nobody knows when all was read; \
             give --acks 1 or all",
        );
    }
    Ok(())
}

/// What goes into `plan.kafka` of the document: that of writing, and `read`. The password is left
/// out.
#[must_use]
pub fn end_to_end_document(spec: &EndToEndSpec, records: Option<u64>) -> Value {
    let mut document = produce_document(&spec.write, records);
    document["fan_out"] = json!(spec.fan_out);
    document["read"] = consume_document(&spec.read);
    document
}
