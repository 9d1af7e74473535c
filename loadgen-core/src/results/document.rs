//! The types of the results document, `loadgen.result/1`.
//!
//! Names are what other programs rely on. Arrays are rows; keys never depend on data; unknown is
//! `null`, never NaN and never left out. This module must never compute: it only says what there
//! is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interval::Interval;

/// The value of [`Document::schema`].
pub const SCHEMA: &str = "loadgen.result/1";

/// One run, whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Always `loadgen.result/1`.
    pub schema: String,
    /// Unique to this run: start time and process, in hexadecimal.
    pub run_id: String,
    /// Whether the run went to its planned end.
    pub status: RunStatus,
    /// Whether it was ended from outside: Ctrl-C, SIGTERM, a caller.
    pub interrupted: bool,
    /// What made this document.
    pub tool: Tool,
    /// When the run started, RFC 3339, UTC.
    pub started_at: String,
    /// The same, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// What the user put on the run, `KEY=VALUE`.
    pub labels: Vec<Label>,
    /// `http`, `memcache`, `kafka`.
    pub protocol: String,
    /// `native`, or the reference client's name.
    pub client: String,
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    pub loop_: String,
    /// The command line, when there was one.
    pub command: Vec<String>,
    /// What was going to be done.
    pub plan: Plan,
    /// The phases that took place.
    pub phases: Vec<PhaseRow>,
    /// Whether the numbers can be used.
    pub verdict: Verdict,
    /// Reasons to doubt the numbers.
    pub findings: Vec<Finding>,
    /// What `--require` asked, and the answers.
    pub requirements: Vec<Requirement>,
    /// The whole run, warm-up and drain too: equal to the target's counters.
    pub totals: Totals,
    /// The measured window.
    pub summary: Summary,
    /// Replies by op and status.
    pub operations: Vec<Operation>,
    /// Failures of the whole run by phase and cause.
    pub errors: Vec<ErrorRow>,
    /// What became of the connections.
    pub connections: Connections,
    /// Per address.
    pub targets: Vec<Target>,
    /// The machines that took part.
    pub hosts: Vec<Host>,
    /// Per worker thread.
    pub workers: Vec<WorkerRow>,
    /// Per interval of the measured window.
    pub intervals: Vec<Interval>,
    /// What the protocol adds.
    pub protocol_details: Value,
    /// Standard `HdrHistogram` V2 blobs, mergeable exactly.
    pub histograms: Vec<HistogramBlob>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It went to its planned end.
    Complete,
    /// It ended early; what was measured is here.
    Partial,
    /// Nothing was measured.
    Failed,
}

/// The program.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Its version.
    pub version: String,
    /// The commit it was built from, when known.
    pub git: Option<String>,
    /// `release` or `debug`.
    pub profile: String,
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Left of the `=`.
    pub key: String,
    /// Right of it.
    pub value: String,
}

/// The plan: every choice that shapes the run, typed or by default.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Worker threads.
    pub workers: u32,
    /// The CPU each worker is pinned to; `null` where it is not.
    pub cpus: Vec<Option<u32>>,
    /// The CPUs this process may use.
    pub allowed_cpus: Vec<u32>,
    /// The cgroup's limit in CPUs, when there is one.
    pub cpu_quota: Option<f64>,
    /// Connections in total.
    pub connections: u32,
    /// Requests in flight per connection.
    pub depth: u32,
    /// Offered rate in total; `null` in closed loop.
    pub rate_per_s: Option<f64>,
    /// `fixed` or `poisson`; `null` in closed loop.
    pub arrival: Option<String>,
    /// `pool` or `pinned`.
    pub dispatch: String,
    /// Planned length of the window; `null` when stopped by count.
    pub duration_ns: Option<u64>,
    /// Requests to send; `null` when stopped by time.
    pub requests: Option<u64>,
    /// Warm-up before the window.
    pub warmup_ns: u64,
    /// Request timeout, from sent.
    pub timeout_ns: u64,
    /// Connect timeout.
    pub connect_timeout_ns: u64,
    /// Length of an interval.
    pub interval_ns: u64,
    /// Requests each connection carries; `null` without a limit.
    pub requests_per_connection: Option<u64>,
    /// Seed of everything random.
    pub seed: u64,
    /// `epoll` or `sim`; a reference client's runtime otherwise.
    pub driver: String,
    /// How a worker waits: `epoll_pwait2`, `timerfd`, `virtual`, or the runtime's own.
    pub waiting: String,
    /// Local addresses connections are bound to.
    pub bind_ips: Vec<String>,
    /// Local port range, `LO-HI`.
    pub source_ports: Option<String>,
    /// Where connections go, with every address that was found.
    pub routes: Vec<RouteRow>,
    /// Whether doubts invalidate (`--strict`).
    pub strict: bool,
    /// The protocol's own plan, under its name.
    #[serde(flatten)]
    pub protocol: serde_json::Map<String, Value>,
}

/// A route of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteRow {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its share.
    pub weight: u32,
    /// Connections dealt to it.
    pub connections: u32,
    /// Whether the run's pacing is its own; the others work in a closed loop beside it, outside of
    /// `requests` and `rate_per_s`.
    pub paced: bool,
}

/// A phase that took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRow {
    /// `connect`, `warmup`, `measure` or `drain`; `prefill` for a run before the run.
    pub name: String,
    /// From the start of the run.
    pub start_ns: u64,
    /// How long it was.
    pub duration_ns: u64,
}

/// What to make of the numbers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// No finding invalidates them.
    pub valid: bool,
    /// What limited the run, when it is known: `target`, `generator`, `schedule`.
    pub regime: Option<String>,
    /// The exit code that this document stands for.
    pub exit_code: u8,
}

/// How heavy a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Good to know.
    Note,
    /// A reason to look twice.
    Doubt,
    /// The numbers do not mean what they say.
    Invalid,
}

/// A reason to doubt the numbers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// From a closed list; see docs/methodology.md.
    pub code: String,
    /// How heavy it is.
    pub weight: Weight,
    /// What was seen.
    pub actual: Option<f64>,
    /// What would have been fine.
    pub limit: Option<f64>,
    /// Of both.
    pub unit: Option<String>,
    /// What it means and what to do.
    pub hint: String,
}

/// A `--require` and its answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// As typed.
    pub expr: String,
    /// The value; `null` when it is not known.
    pub actual: Option<f64>,
    /// Whether it is proven to hold.
    pub ok: bool,
}

/// Counts of the whole run. `sent = completed + failed + unanswered`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Requests whose sending was begun.
    pub sent: u64,
    /// Replies, of any status.
    pub completed: u64,
    /// Requests that ended without a usable reply.
    pub failed: u64,
    /// Requests still in flight when the run was over.
    pub unanswered: u64,
    /// Requests that were due and never sent; of a run by count, all of the plan's that were not.
    pub unsent: u64,
    /// Application bytes received.
    pub payload_rx_bytes: Option<u64>,
    /// Application bytes sent.
    pub payload_tx_bytes: Option<u64>,
    /// Bytes received on the sockets.
    pub wire_rx_bytes: Option<u64>,
    /// Bytes sent on the sockets.
    pub wire_tx_bytes: Option<u64>,
}

/// The measured window.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Its counts.
    pub requests: Requests,
    /// Its rates.
    pub rate: Rate,
    /// Application bytes.
    pub payload: Payload,
    /// Bytes on the sockets.
    pub wire: Wire,
    /// Last byte − intended.
    pub response_time: Latency,
    /// Last byte − sent.
    pub service_time: Latency,
    /// First byte − sent.
    pub time_to_first_byte: Latency,
    /// Sent − intended.
    pub schedule_lag: Latency,
    /// From `connect()` to connected.
    pub connect_time: Latency,
    /// From the worker's wake-up to the receive: how much of the latency is ours.
    pub generator_delay: Latency,
    /// From when a record was made to when it was read, of those made in the window; `null` where
    /// nothing carries such a stamp.
    pub end_to_end: Latency,
    /// What it cost.
    pub efficiency: Efficiency,
}

/// Counts of the window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// Sent in it.
    pub sent: u64,
    /// Completed in it.
    pub completed: u64,
    /// Failed in it.
    pub failed: u64,
    /// Intended in it and failed after its end.
    pub failed_late: u64,
    /// Intended in it and never answered.
    pub unanswered: u64,
    /// Intended in it and never sent.
    pub unsent: u64,
}

/// Rates of the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// Requests released by the schedule per second: over the window, or in a run by count over the
    /// schedule's own length. `null` in closed loop.
    pub offered_per_s: Option<f64>,
    /// Completed requests per second, without those of routes that are not paced.
    pub achieved_per_s: Option<f64>,
    /// Completed units per second, without those of routes that are not paced.
    pub units_per_s: Option<f64>,
    /// Failed requests and the error share of the replies (by reply or by unit, whichever is more),
    /// of all that ended in the window; 0 to 1.
    pub error_ratio: Option<f64>,
}

/// Application bytes of the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Payload {
    /// Received.
    pub rx_bytes: Option<u64>,
    /// Sent.
    pub tx_bytes: Option<u64>,
    /// Received, 10^6 bytes per second.
    pub rx_mb_per_s: Option<f64>,
    /// Received, 2^20 bytes per second.
    pub rx_mib_per_s: Option<f64>,
    /// Sent, 10^6 bytes per second.
    pub tx_mb_per_s: Option<f64>,
    /// Sent, 2^20 bytes per second.
    pub tx_mib_per_s: Option<f64>,
}

/// Bytes on the sockets in the window.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Wire {
    /// Received.
    pub rx_bytes: Option<u64>,
    /// Sent.
    pub tx_bytes: Option<u64>,
    /// Received, 10^9 bits per second.
    pub rx_gbit_per_s: Option<f64>,
    /// Sent, 10^9 bits per second.
    pub tx_gbit_per_s: Option<f64>,
}

/// A distribution of times. Percentiles are over `count` + `censored` together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// What came: replies, first bytes, connections.
    pub count: u64,
    /// What did not come: it counts at its age, so the true value is at least that.
    pub censored: u64,
    /// The smallest such age. A percentile at or above it is a lower bound.
    pub censored_from_ns: Option<u64>,
    /// Mean of both kinds.
    pub mean_ns: Option<f64>,
    /// Standard deviation of both kinds.
    pub stddev_ns: Option<f64>,
    /// Smallest.
    pub min_ns: Option<u64>,
    /// Half were not slower.
    pub p50_ns: Option<u64>,
    /// 75 % were not slower.
    pub p75_ns: Option<u64>,
    /// 90 % were not slower.
    pub p90_ns: Option<u64>,
    /// 95 % were not slower.
    pub p95_ns: Option<u64>,
    /// 99 % were not slower.
    pub p99_ns: Option<u64>,
    /// 99.9 % were not slower.
    pub p999_ns: Option<u64>,
    /// 99.99 % were not slower.
    pub p9999_ns: Option<u64>,
    /// Largest.
    pub max_ns: Option<u64>,
    /// Values above the range of the histogram (1 h), counted at its end.
    pub clamped: u64,
}

/// What a request cost the generator, spinning taken out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Efficiency {
    /// CPU time of the workers per completed request.
    pub generator_cpu_us_per_request: Option<f64>,
    /// CPU time of the workers per 10^9 payload bytes, received and sent; `None` where either is
    /// unknown.
    pub generator_cpu_s_per_gb: Option<f64>,
    /// The busiest worker: its CPU time (without spinning) ÷ the window; 0 to 1.
    pub generator_busy_ratio: Option<f64>,
    /// Payload, received and sent, MB/s per per cent of one CPU, all workers.
    pub payload_mb_per_s_per_cpu_percent: Option<f64>,
}

/// One op and status.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// What was asked.
    pub op: String,
    /// What came back.
    pub status: String,
    /// `ok`, `empty` or `error`.
    pub outcome: String,
    /// Replies in the window.
    pub count: u64,
    /// Units in the window.
    pub units: u64,
    /// Replies of the whole run.
    pub total_count: u64,
    /// Units of the whole run.
    pub total_units: u64,
    /// Their response time.
    pub response_time: Latency,
    /// Its times are how long the target was asked to wait: no part of the summary's.
    #[serde(default)]
    pub apart: bool,
}

/// One class of failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRow {
    /// `connect`, `handshake`, `write`, `wait`, `read` or `decode`.
    pub phase: String,
    /// Why.
    pub cause: String,
    /// Requests that failed so; for connects outside any request, attempts.
    pub count: u64,
    /// From the start of the run.
    pub first_at_ns: u64,
    /// One of them, in words.
    pub sample: String,
}

/// What became of the connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Connections established.
    pub opened: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Connections that ended against our will.
    pub lost: u64,
    /// Connections the target closed when nothing was in flight, or announced to close.
    pub closed_by_target: u64,
    /// Connections we closed as planned.
    pub closed_by_us: u64,
    /// Connections alive when sending ended.
    pub alive_at_end: u64,
    /// Segments sent again, by `TCP_INFO`; `null` where no connection could be asked.
    pub retransmits: Option<u64>,
    /// Connections whose `TCP_INFO` was read.
    pub tcp_info_samples: u64,
    /// The kernel's smoothed round-trip time of those connections.
    pub rtt_ns: Latency,
    /// `SO_RCVBUF` of the first connection, as the kernel says it at the end.
    pub receive_buffer_bytes: Option<u64>,
    /// `SO_SNDBUF` likewise.
    pub send_buffer_bytes: Option<u64>,
    /// The window clamp likewise.
    pub window_clamp_bytes: Option<u64>,
    /// Whether bodies nobody needs were discarded in the kernel: `kernel`, `copy` (the probe said
    /// the kernel copies all the same), `null` when there were none.
    pub discard: Option<String>,
}

/// One address.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The address.
    pub address: String,
    /// The route it belongs to.
    pub route: String,
    /// Connections opened to it.
    pub opened: u64,
    /// Replies from it, whole run.
    pub completed: u64,
    /// Failures on it, whole run.
    pub failed: u64,
    /// What the server says about itself.
    pub server: Value,
}

/// A machine that took part.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// `generator` or `target`.
    pub role: String,
    /// Its name.
    pub name: Option<String>,
    /// The CPUs it may use, `0-3,8`.
    pub cpu_set: String,
    /// The time the CPU rows stand for.
    pub window_ns: u64,
    /// Whole-machine CPU time, one row per state.
    pub cpu: Vec<CpuRow>,
    /// Network interfaces.
    pub nic: Vec<Value>,
    /// What the kernel refused of what was asked, in words.
    pub refusals: Vec<String>,
    /// Kernel and machine.
    pub provenance: Value,
}

/// CPU time of a whole machine in one state over the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuRow {
    /// `user`, `system`, `softirq`, `irq`, `idle`, `iowait`, `steal`.
    pub state: String,
    /// Seconds, over all CPUs.
    pub seconds: f64,
    /// Per cent of one CPU.
    pub percent: f64,
}

/// One worker thread, over the window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRow {
    /// Its number.
    pub worker: u32,
    /// The CPU it was pinned to.
    pub cpu: Option<u32>,
    /// Its connections.
    pub connections: u32,
    /// Requests completed in the window.
    pub completed: u64,
    /// CPU time in user mode.
    pub cpu_user_ns: Option<u64>,
    /// CPU time in the kernel.
    pub cpu_system_ns: Option<u64>,
    /// CPU time spent on purpose waiting for a release time; part of user and system.
    pub spin_ns: u64,
    /// Time it was runnable and another thread had the CPU.
    pub run_queue_wait_ns: Option<u64>,
    /// Mean of its completions per second over the intervals.
    pub rate_mean_per_s: Option<f64>,
    /// Standard deviation of the same.
    pub rate_stddev_per_s: Option<f64>,
    /// Largest of the same.
    pub rate_max_per_s: Option<f64>,
    /// Per cent of the intervals within one standard deviation.
    pub rate_within_stddev_percent: Option<f64>,
    /// Whether it gave a run by count up: it had no connection left, for longer than connecting
    /// may take.
    pub gave_up: bool,
    /// Why it could not work to the end; `null` when it could.
    pub broken: Option<String>,
}

/// A histogram, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistogramBlob {
    /// Which time: a name under `summary`. What did not come is apart, at its age: `censored`
    /// (replies, from intended), `censored_service_time` (from sent), `censored_schedule_lag`,
    /// `censored_time_to_first_byte`, `censored_connect_time`.
    pub name: String,
    /// The op, for a histogram of one op.
    pub op: Option<String>,
    /// The status, for a histogram of one op and status.
    pub status: Option<String>,
    /// Always `ns`.
    pub unit: String,
    /// Always `hdr-v2-deflate-base64`.
    pub encoding: String,
    /// The blob.
    pub data: String,
}
