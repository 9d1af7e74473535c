//! The results document, and everything that is computed from it.
//!
//! Findings, requirements, exit code and every rendering are pure functions of a [`Document`].
//! Nothing here may know how the numbers came about.

pub mod document;
mod outcome;

pub use document::*;
pub use outcome::{Caption, Machine, Outcome};
