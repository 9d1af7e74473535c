//! The contract between core and a protocol, proven without a socket: three toy protocols run
//! through the real worker on the simulated driver, and histograms and counts are exact.

mod batch;
mod echo;
mod faults;
mod harness;
mod log;
mod moving;
mod open;
mod real;
