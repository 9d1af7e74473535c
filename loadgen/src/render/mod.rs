//! What a person or a script reads: pure functions from a document to text.
//!
//! One file per format. Nothing here may print, look at the terminal or compute a number that the
//! document could hold.

mod csv;
mod java;
mod json;
mod kafka_perf;
mod memaslap;
#[cfg(test)]
mod tests;
mod text;
pub mod units;
mod wrk;

pub use csv::csv;
pub use java::JavaDate;
pub use json::json;
pub use kafka_perf::{
    KafkaConsumerPerf, KafkaProducerPerf, KafkaWindow, KafkaWindows, KafkaWords,
    kafka_consumer_end, kafka_consumer_header, kafka_producer_end, kafka_producer_line,
};
pub use memaslap::{Memaslap, memaslap, memaslap_plan};
pub use text::text;
pub use wrk::{Wrk, WrkDialect, wrk};

/// How the text report looks.
#[derive(Clone, Debug)]
pub struct Style {
    /// Whether colours are used.
    pub color: bool,
    /// The percentiles of the latency table, 0 to 100.
    pub percentiles: Vec<f64>,
}

impl Default for Style {
    /// No colour; p50, p90, p99, p99.9.
    fn default() -> Self {
        Self {
            color: false,
            percentiles: vec![50.0, 90.0, 99.0, 99.9],
        }
    }
}
