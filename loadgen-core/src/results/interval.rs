//! A row of the time series.
//!
//! This module must never compute: it only says what there is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One interval of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Its end, seconds from the start of the window.
    pub t_s: f64,
    /// How long it was.
    pub duration_ns: u64,
    /// Replies in it.
    pub completed: u64,
    /// Failures in it.
    pub failed: u64,
    /// Units of those replies.
    pub units: u64,
    /// Of those, the units that ended in an error; 0 in documents from before it was counted.
    #[serde(default)]
    pub error_units: u64,
    /// Application bytes received in it.
    pub payload_rx_bytes: Option<u64>,
    /// Application bytes of the requests sent in it.
    pub payload_tx_bytes: u64,
    /// Requests in the four numbers below that ended without a reply: they count at their age, so
    /// that the true values are at least those.
    pub censored: u64,
    /// Mean response time of the requests that ended in it.
    pub mean_ns: Option<f64>,
    /// Median of the same.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the same.
    pub p99_ns: Option<u64>,
    /// Largest of the same.
    pub max_ns: Option<u64>,
}
