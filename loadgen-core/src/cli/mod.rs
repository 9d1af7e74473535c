//! The command-line flags every protocol shares, with one meaning everywhere.
//!
//! [`CommonArgs`] says what can be typed; [`CommonArgs::options`] says what it means, and is the
//! only place that rejects a combination. Nothing here may print, read a file or start anything.

mod addresses;
mod args;
mod plan;
mod values;

pub use addresses::{ADDRESSES_MAX, BindIps};
pub use args::{
    ArrivalArg, ClientArgs, CommonArgs, CpuList, DispatchArg, DriverArg, Format, LoadArgs,
    OutputArgs, PlaceArgs,
};
pub use values::{bytes, count, duration, label, percentile, positive, rate, time_span};

/// Flags that contradict each other: one sentence with the flag, the limit and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
