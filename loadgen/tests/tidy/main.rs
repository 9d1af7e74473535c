//! The test that keeps the house tidy: what DESIGN.md says of the shape of the code, checked.
//!
//! It reads text and nothing else; it must never need the network, a server or a build of the
//! thing it looks at. Every rule has unit tests that show it can fail.

mod arrows;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

/// The root of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a crate lies in the root").to_owned()
}

/// Directories that hold what was built or fetched, not what was written.
const NOT_OURS: [&str; 5] = [".git", "target", "corpus", "artifacts", "node_modules"];

/// Every file below `dir`, as paths relative to `root` with forward slashes, sorted.
fn files(root: &Path, dir: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .expect("readable directory")
        .map(|entry| entry.expect("readable entry"))
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                files(root, &path, found);
            }
        } else if kind.is_file() {
            let relative = path.strip_prefix(root).expect("below the root");
            found.push(relative.to_str().expect("a path in UTF-8").to_owned());
        }
    }
}

/// Every file of the repository that is text: path and content.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &root, &mut paths);
    paths.retain(|path| path != ".git");
    let read = |path: String| {
        let bytes = fs::read(root.join(&path)).expect("readable file");
        String::from_utf8(bytes).ok().map(|text| (path, text))
    };
    paths.into_iter().filter_map(read).collect()
}

/// Every Rust file, taken apart.
fn sources() -> Vec<Source> {
    let rust = texts()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<_> = rust.map(|(path, text)| Source::new(path, text)).collect();
    assert!(sources.len() > 20, "only {} Rust files seen", sources.len());
    sources
}

/// Fails with every violation on a line of its own.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

fn check(rule: impl Fn(&Source) -> Vec<String>) {
    assert_none(&sources().iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn crates_depend_one_way() {
    let manifest = root().join("Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed");
    let graph = serde_json::from_slice(&output.stdout).expect("JSON");
    let edges = arrows::crate_edges(&graph);
    assert!(edges.len() >= 4, "only {} edges seen", edges.len());
    assert_none(&arrows::wrong_crate_edges(&edges));
}

#[test]
fn core_modules_depend_one_way() {
    check(arrows::wrong_module_uses);
    let core = sources()
        .into_iter()
        .find(|s| s.path == "loadgen-core/src/lib.rs");
    assert_none(&arrows::wrong_module_order(&core.expect("core has a lib")));
}

#[test]
fn sessions_have_no_clock_socket_or_thread() {
    check(rules::impure);
}

#[test]
fn unsafe_code_is_in_its_rooms() {
    check(rules::unsafe_outside);
}

#[test]
fn files_are_short() {
    check(rules::too_long);
}

#[test]
fn files_say_what_they_are() {
    check(rules::headless);
}

#[test]
fn libraries_do_not_print_or_exit() {
    check(rules::prints);
}

#[test]
fn core_names_no_protocol() {
    check(rules::names_protocol);
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    let found: Vec<_> = texts()
        .iter()
        .flat_map(|(path, text)| rules::names_machine(path, text))
        .collect();
    assert_none(&found);
}
