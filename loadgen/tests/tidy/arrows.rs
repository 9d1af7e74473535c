//! One-way dependencies: between crates, and between the modules of core.
//!
//! The orders are DESIGN.md section 2; changing one here means changing it there.

use serde_json::Value;

use super::source::Source;

/// Core's modules; each uses only those before it.
const MODULES: [&str; 17] = [
    "time", "buffer", "protocol", "replay", "workload", "address", "plan", "pace", "stop",
    "record", "driver", "serve", "engine", "host", "results", "run", "cli",
];

const CORE: &str = "loadgen-core";
const FRONT: &str = "loadgen";
const BENCHES: &str = "loadgen-benches";

/// Who names whom among our crates, from `cargo metadata`; dev and build dependencies too.
pub(crate) fn crate_edges(graph: &Value) -> Vec<(String, String)> {
    let packages = graph["packages"].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let mut edges = Vec::new();
    for package in &packages {
        let needs = package["dependencies"].as_array();
        for need in needs.into_iter().flatten() {
            // A dependency without a source is a path: it is ours, whatever it is called.
            if need["source"].is_null() {
                edges.push((name(package), name(need)));
            }
        }
    }
    edges
}

/// Height in the house; an arrow must go strictly down. Protocol crates share a height, so none
/// names another, and a new one needs no line here.
fn height(name: &str) -> u8 {
    match name {
        CORE => 0,
        FRONT => 2,
        BENCHES => 3,
        _ => 1,
    }
}

/// Arrows that do not go down.
pub(crate) fn wrong_crate_edges(edges: &[(String, String)]) -> Vec<String> {
    let wrong = edges.iter().filter(|(from, to)| height(from) <= height(to));
    wrong
        .map(|(from, to)| format!("{from} may not depend on {to}"))
        .collect()
}

/// Position of a module of core in the order.
fn rank(module: &str) -> Option<usize> {
    MODULES.iter().position(|m| *m == module)
}

/// `a::b` of a file of core: `src/a/b.rs`, `src/a/b/mod.rs`; empty for the root.
fn module_path(file: &str) -> Option<Vec<&str>> {
    let inner = file
        .strip_prefix("loadgen-core/src/")?
        .strip_suffix(".rs")?;
    let mut parts: Vec<_> = inner.split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib"))) {
        parts.pop();
    }
    Some(parts)
}

/// Uses of a later module in a file of core.
pub(crate) fn wrong_module_uses(source: &Source) -> Vec<String> {
    let Some(path) = module_path(&source.path) else {
        return Vec::new();
    };
    let Some(own) = path.first().copied() else {
        return Vec::new();
    };
    let Some(own_rank) = rank(own) else {
        return vec![format!("{}: module {own} is not in the order", source.path)];
    };
    let to_root = ["super::"].repeat(path.len()).concat();
    let mut found = Vec::new();
    for prefix in ["crate::", to_root.as_str()] {
        for at in starts(&source.code, prefix) {
            for used in heads(&source.code[at + prefix.len()..]) {
                if rank(used).is_some_and(|r| r > own_rank) {
                    found.push(format!("{}: {own} uses {used}", source.at(at)));
                }
            }
        }
    }
    found
}

/// Modules of core that `lib.rs` declares and the order does not have, or in another order.
pub(crate) fn wrong_module_order(lib: &Source) -> Vec<String> {
    let declared = lib.code.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("pub ").unwrap_or(line.trim());
        name.strip_prefix("mod ")?.strip_suffix(';')
    });
    let declared: Vec<_> = declared.collect();
    if declared == MODULES {
        return Vec::new();
    }
    vec![format!(
        "{}: declares {declared:?}, the order is {MODULES:?}",
        lib.path
    )]
}

/// Where `prefix` stands as a path of its own and not as the end of a longer one.
fn starts(code: &str, prefix: &str) -> Vec<usize> {
    let alone = |at: usize| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let found = code.match_indices(prefix).map(|(at, _)| at);
    found.filter(|at| alone(*at)).collect()
}

/// The first names of the paths that follow `crate::`: one name, or those of a group.
fn heads(rest: &str) -> Vec<&str> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return first_word(rest).into_iter().collect();
    };
    let mut depth = 0_u32;
    let mut from = 0;
    let mut found = Vec::new();
    for (i, c) in group.char_indices() {
        let ends = depth == 0 && (c == ',' || c == '}');
        if ends {
            found.extend(first_word(group[from..i].trim_start()));
            from = i + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

fn first_word(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}

#[test]
fn an_arrow_up_or_across_is_seen() {
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let good = [
        edge("loadgen", "loadgen-http"),
        edge("loadgen-http", "loadgen-core"),
        edge("loadgen-benches", "loadgen"),
    ];
    assert!(wrong_crate_edges(&good).is_empty());
    for (from, to) in [
        ("loadgen-core", "loadgen-http"),
        ("loadgen-http", "loadgen-kafka"),
        ("loadgen-http", "loadgen"),
        ("loadgen", "loadgen-benches"),
    ] {
        assert_eq!(wrong_crate_edges(&[edge(from, to)]).len(), 1, "{from} {to}");
    }
}

#[test]
fn edges_come_from_the_metadata() {
    let graph = serde_json::json!({"packages": [{"name": "loadgen-core", "dependencies": [
        {"name": "libc", "source": "registry", "kind": null},
        {"name": "loadgen-http", "source": null, "kind": "dev"},
    ]}]});
    let edges = crate_edges(&graph);
    assert_eq!(
        edges,
        [("loadgen-core".to_owned(), "loadgen-http".to_owned())]
    );
}

#[test]
fn a_use_of_a_later_module_is_seen() {
    let uses = |path: &str, text: &str| wrong_module_uses(&Source::new(path, text)).len();
    let pace = "loadgen-core/src/pace.rs";
    assert_eq!(uses(pace, "use crate::time::Tick;"), 0);
    assert_eq!(uses(pace, "// crate::engine\nuse crate::pace::X;"), 0);
    assert_eq!(uses(pace, "use crate::engine::Worker;"), 1);
    assert_eq!(uses(pace, "fn f(x: crate::run::Handle) {}"), 1);
    assert_eq!(uses(pace, "use super::driver::Event;"), 1);
    assert_eq!(
        uses(pace, "use crate::{time::{Tick, Clock}, run, stop};"),
        2
    );
    let deep = "loadgen-core/src/record/set.rs";
    assert_eq!(uses(deep, "use super::engine; use super::super::pace;"), 0);
    assert_eq!(uses(deep, "use super::super::engine::Worker;"), 1);
    assert_eq!(uses("loadgen-core/src/extra.rs", ""), 1);
    assert_eq!(uses("loadgen-http/src/pace.rs", "use crate::run::X;"), 0);
}

#[test]
fn another_order_is_seen() {
    let all: Vec<_> = MODULES.iter().map(|m| format!("pub mod {m};\n")).collect();
    let order = |lines: &[String]| wrong_module_order(&Source::new("lib.rs", lines.concat())).len();
    assert_eq!(order(&all), 0);
    assert_eq!(order(&all[1..]), 1);
    let mut swapped = all;
    swapped.swap(2, 3);
    assert_eq!(order(&swapped), 1);
}
