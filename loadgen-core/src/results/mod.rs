//! The results document, and everything that is computed from it.
//!
//! Findings, requirements, exit code and every rendering are pure functions of a [`Document`].
//! Nothing here may know how the numbers came about.

mod assemble;
mod distribution;
pub mod document;
pub mod findings;
mod interval;
mod outcome;
mod paths;
pub mod require;
mod rfc3339;
mod rows;
#[doc(hidden)]
pub mod sample;
mod verdict;

pub use assemble::assemble;
pub use distribution::{decode, histogram, row_histogram};
pub use document::*;
pub use interval::Interval;
pub use outcome::{Caption, Machine, Outcome};
pub use paths::{numeric_paths, schema, summary_values, value_at};
pub use rfc3339::rfc3339;
pub(crate) use rows::interval;
pub use verdict::{exit, verdict};

/// Judges `document` anew: core's findings, the requirements it carries, the verdict.
///
/// Findings of the protocol (their codes have a dot) stay as they are.
pub fn judge(document: &mut Document) {
    let mut findings = findings::find(document);
    let old = std::mem::take(&mut document.findings);
    findings.extend(old.into_iter().filter(|f| f.code.contains('.')));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    document.findings = findings;
    let asked: Vec<String> = document
        .requirements
        .iter()
        .map(|r| r.expr.clone())
        .collect();
    document.requirements = asked
        .into_iter()
        .map(|text| require(text, document))
        .collect();
    document.verdict = verdict(document);
}

/// A text that is no requirement is not proven either.
fn require(text: String, document: &Document) -> Requirement {
    match require::parse(&text) {
        Ok(expr) => require::check(&expr, document),
        Err(_) => Requirement {
            expr: text,
            actual: None,
            ok: false,
        },
    }
}

#[cfg(test)]
mod tests;
