//! Lines for people, on stderr.
//!
//! A closed stderr is no reason to fail: what matters is in the document and in the exit code.

use std::fmt::Display;
use std::io::Write;

/// One line.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
