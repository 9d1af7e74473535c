//! The document itself, readable.
//!
//! Must never leave anything out.

use loadgen_core::results::Document;

use super::Style;

/// `document` as indented JSON with a newline at its end.
#[must_use]
pub fn json(document: &Document, _style: &Style) -> String {
    // Strings, numbers and `Value`s always serialize; floats that JSON cannot say become null.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}
