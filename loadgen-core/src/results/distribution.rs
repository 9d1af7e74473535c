//! Histograms as numbers, as blobs, and back.
//!
//! Percentiles are always over answered and censored requests together. Nothing here may correct
//! a histogram.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::document::{Document, HistogramBlob, Latency};
use crate::record::{Times, sum_histogram};

/// The value of [`HistogramBlob::encoding`].
const ENCODING: &str = "hdr-v2-deflate-base64";

/// The numbers of one kind of time.
pub(super) fn of_times(times: &Times) -> Latency {
    let mut union = times.answered.clone();
    // Both have the same bounds, so nothing can be out of range.
    let _ = union.add(&times.censored);
    let censored_from_ns = (!times.censored.is_empty()).then(|| times.censored.min());
    Latency {
        count: times.answered.len(),
        censored: times.censored.len(),
        censored_from_ns,
        clamped: times.clamped,
        ..of_histogram(&union, times.clamped)
    }
}

/// The numbers of one histogram in which nothing is censored.
pub(super) fn of_histogram(all: &Histogram<u64>, clamped: u64) -> Latency {
    let some = |value: u64| (!all.is_empty()).then_some(value);
    let at = |quantile: f64| some(all.value_at_quantile(quantile));
    Latency {
        count: all.len(),
        censored: 0,
        censored_from_ns: None,
        mean_ns: some(0).map(|_| all.mean()),
        stddev_ns: some(0).map(|_| all.stdev()),
        min_ns: some(all.min()),
        p50_ns: at(0.5),
        p75_ns: at(0.75),
        p90_ns: at(0.9),
        p95_ns: at(0.95),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        p9999_ns: at(0.9999),
        max_ns: some(all.max()),
        clamped,
    }
}

/// The blob of `histogram`; `None` when it is empty.
pub(super) fn blob(
    name: &str,
    row: Option<(&str, &str)>,
    histogram: &Histogram<u64>,
) -> Option<HistogramBlob> {
    if histogram.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    // Writing to memory cannot fail; a histogram that did not encode would be left out, not lied.
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .ok()?;
    Some(HistogramBlob {
        name: name.to_owned(),
        op: row.map(|(op, _)| op.to_owned()),
        status: row.map(|(_, status)| status.to_owned()),
        unit: "ns".to_owned(),
        encoding: ENCODING.to_owned(),
        data: STANDARD.encode(bytes),
    })
}

/// The histogram in `blob`.
///
/// # Errors
/// A sentence, when it is not base64 of a deflated `HdrHistogram` V2.
pub fn decode(blob: &HistogramBlob) -> Result<Histogram<u64>, String> {
    let name = &blob.name;
    if blob.encoding != ENCODING {
        let encoding = &blob.encoding;
        return Err(format!(
            "histogram {name}: encoding is {encoding}, expected {ENCODING}"
        ));
    }
    let bytes = STANDARD
        .decode(&blob.data)
        .map_err(|e| format!("histogram {name}: {e}"))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|e| format!("histogram {name}: {e}"))
}

/// All values of `name` (a path under `summary`) in `document`: answered and censored together.
/// `None` when there are none, or when a blob does not decode.
///
/// In a closed loop service time is response time, and is stored once.
#[must_use]
pub fn histogram(document: &Document, name: &str) -> Option<Histogram<u64>> {
    let name = if name == "service_time" && document.loop_ == "closed" {
        "response_time"
    } else {
        name
    };
    let censored = match name {
        "response_time" => "censored",
        "service_time" => "censored_service_time",
        "schedule_lag" => "censored_schedule_lag",
        "time_to_first_byte" => "censored_time_to_first_byte",
        "connect_time" => "censored_connect_time",
        _ => "",
    };
    let mut union = sum_histogram();
    for blob in &document.histograms {
        if blob.op.is_none() && (blob.name == name || blob.name == censored) {
            union.add(decode(blob).ok()?).ok()?;
        }
    }
    (!union.is_empty()).then_some(union)
}

/// Response times in the window of the replies with an op and a status; `None` when there are none.
/// What never came belongs to no status.
#[must_use]
pub fn row_histogram(document: &Document, op: &str, status: &str) -> Option<Histogram<u64>> {
    let mut blobs = document.histograms.iter();
    let blob = blobs.find(|blob| {
        let names = (blob.op.as_deref(), blob.status.as_deref());
        blob.name == "response_time" && names == (Some(op), Some(status))
    })?;
    let mut times = sum_histogram();
    times.add(decode(blob).ok()?).ok()?;
    (!times.is_empty()).then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(values: &[u64]) -> Histogram<u64> {
        let mut histogram = sum_histogram();
        for &value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn percentiles_are_over_the_union() {
        let times = Times {
            answered: filled(&[1000, 1001, 1002]),
            censored: filled(&[500]),
            clamped: 1,
        };
        let latency = of_times(&times);
        assert_eq!((latency.count, latency.censored), (3, 1));
        assert_eq!(latency.censored_from_ns, Some(500));
        assert_eq!(latency.min_ns, Some(500));
        assert_eq!(latency.p50_ns, Some(1000));
        assert_eq!(latency.max_ns, Some(1002));
        assert_eq!(latency.mean_ns, Some(875.75));
        assert_eq!(latency.clamped, 1);
    }

    #[test]
    fn nothing_is_unknown_and_not_zero() {
        let latency = of_times(&Times::default());
        assert_eq!(latency, Latency::default());
        assert_eq!(latency.mean_ns, None);
        assert!(blob("response_time", None, &sum_histogram()).is_none());
    }

    #[test]
    fn a_blob_comes_back_as_it_was() {
        let histogram = filled(&[1, 2, 3_000_000, 3_599_000_000_000]);
        let mut blob = blob("response_time", Some(("GET", "200")), &histogram).unwrap();
        assert_eq!(decode(&blob).unwrap(), histogram);
        blob.data.truncate(blob.data.len() / 2);
        assert!(decode(&blob).is_err());
        blob.encoding = "none".to_owned();
        let error = decode(&blob).unwrap_err();
        assert_eq!(
            error,
            "histogram response_time: encoding is none, expected hdr-v2-deflate-base64"
        );
    }
}
