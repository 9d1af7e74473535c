//! The numeric paths of `summary`: the names that `--require`, CSV columns and metrics use.
//!
//! They are read off the schema of the type, so that a new field has its path by itself. Nothing
//! here may list fields by hand.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use super::document::{Document, Summary};

/// The JSON Schema of a results document.
#[must_use]
pub fn schema() -> Value {
    schema_for!(Document).to_value()
}

/// All numeric paths of `summary`, `requests.sent` to the last, in the order of the document.
#[must_use]
pub fn numeric_paths() -> Vec<String> {
    paths_of::<Summary>()
}

/// The number at `path` of `summary`, with all its digits; `Null` when it is not known.
#[must_use]
pub fn value_at(document: &Document, path: &str) -> Value {
    // Numbers and `Option`s of numbers always serialize.
    let summary = serde_json::to_value(&document.summary).unwrap_or(Value::Null);
    lookup(&summary, path)
}

/// Every numeric path of `summary` with its value.
#[must_use]
pub fn summary_values(document: &Document) -> Vec<(String, Value)> {
    let summary = serde_json::to_value(&document.summary).unwrap_or(Value::Null);
    let paths = numeric_paths().into_iter();
    paths
        .map(|path| {
            let value = lookup(&summary, &path);
            (path, value)
        })
        .collect()
}

fn lookup(summary: &Value, path: &str) -> Value {
    let steps = path.split('.');
    let found = steps.into_iter().try_fold(summary, |at, step| at.get(step));
    found.cloned().unwrap_or(Value::Null)
}

fn paths_of<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T).to_value();
    let mut paths = Vec::new();
    collect(&schema, &schema, "", &mut paths);
    paths
}

fn collect(root: &Value, node: &Value, prefix: &str, paths: &mut Vec<String>) {
    let reference = node.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|r| root.pointer(r.strip_prefix('#')?));
    let node = target.unwrap_or(node);
    if let Some(fields) = node.get("properties").and_then(Value::as_object) {
        for (name, field) in fields {
            let dot = if prefix.is_empty() { "" } else { "." };
            collect(root, field, &format!("{prefix}{dot}{name}"), paths);
        }
    } else if is_number(node.get("type")) {
        paths.push(prefix.to_owned());
    }
}

fn is_number(kind: Option<&Value>) -> bool {
    let named = |v: &Value| matches!(v.as_str(), Some("integer" | "number"));
    match kind {
        Some(Value::Array(kinds)) => kinds.iter().any(named),
        Some(kind) => named(kind),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema and the value must name the same leaves.
    #[test]
    fn every_leaf_of_a_summary_is_a_numeric_path() {
        fn leaves(value: &Value, prefix: &str, into: &mut Vec<String>) {
            match value.as_object() {
                Some(fields) => {
                    for (name, field) in fields {
                        let dot = if prefix.is_empty() { "" } else { "." };
                        leaves(field, &format!("{prefix}{dot}{name}"), into);
                    }
                }
                None => into.push(prefix.to_owned()),
            }
        }
        let mut expected = Vec::new();
        let summary = serde_json::to_value(Summary::default()).unwrap();
        leaves(&summary, "", &mut expected);
        assert_eq!(numeric_paths(), expected);
        assert!(expected.contains(&"response_time.p999_ns".to_owned()));
    }
}
