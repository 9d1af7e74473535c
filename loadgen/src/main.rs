//! The one `loadgen` binary.
fn main() {}
