//! The binary as its users meet it: exit codes, streams, files, doors.
//!
//! Every run goes against the embedded target on loopback, and every document that comes out is
//! held against the schema. Nothing here may depend on how fast the machine is.

mod doors;
mod exits;
mod kafka;
mod outputs;
mod programs;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use loadgen_http::target::{Law, Target, TargetHandle, TargetOptions};
use serde_json::Value;

/// What a finished program left.
struct Left {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Left {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Left {
    /// The document on stdout, which must be all of it.
    fn document(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_valid(&document);
        document
    }
}

fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(words.split_whitespace());
    command
}

fn loadgen(words: &str) -> Left {
    command(words).output().unwrap().into()
}

fn target() -> TargetHandle {
    Target::start(TargetOptions::default()).unwrap()
}

fn slow_target(delay: &str) -> TargetHandle {
    let delay: Law = delay.parse().unwrap();
    let options = TargetOptions {
        delay,
        ..TargetOptions::default()
    };
    Target::start(options).unwrap()
}

fn url(target: &TargetHandle) -> String {
    format!("http://{}/", target.address())
}

/// A port that nobody listens on: it was free a moment ago, and is not handed out again so soon.
fn dead_url() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// The document in a file.
fn document_in(path: &Path) -> Value {
    let document = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_valid(&document);
    document
}

/// Holds a document against the schema in the repository.
fn assert_valid(document: &Value) {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = root.join("docs/schema/loadgen.result-1.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    });
    if let Err(error) = jsonschema::validate(schema, document) {
        panic!("{}: {error}", error.instance_path);
    }
}
