//! One header and one row (RFC 4180): what a spreadsheet or a data frame eats.
//!
//! Columns are the paths of `summary`, so they cannot differ from `--require`'s.

use loadgen_core::results::{Document, RunStatus, summary_values};
use serde_json::Value;

use super::Style;

/// `document` as two lines. Unknown is an empty cell.
#[must_use]
pub fn csv(document: &Document, _style: &Style) -> String {
    let labels = document.labels.iter();
    let labels: Vec<String> = labels.map(|l| format!("{}={}", l.key, l.value)).collect();
    let status = match document.status {
        RunStatus::Complete => "complete",
        RunStatus::Partial => "partial",
        RunStatus::Failed => "failed",
    };
    let head = [
        ("schema", document.schema.clone()),
        ("run_id", document.run_id.clone()),
        ("protocol", document.protocol.clone()),
        ("client", document.client.clone()),
        ("labels", labels.join(";")),
        ("status", status.to_owned()),
        ("valid", document.verdict.valid.to_string()),
    ];
    let mut names: Vec<String> = Vec::new();
    let mut cells: Vec<String> = Vec::new();
    for (name, cell) in head {
        names.push(name.to_owned());
        cells.push(quoted(&cell));
    }
    for (path, value) in summary_values(document) {
        names.push(path);
        cells.push(match value {
            Value::Null => String::new(),
            number => number.to_string(),
        });
    }
    format!("{}\r\n{}\r\n", names.join(","), cells.join(","))
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}
