//! The other programs in the binary: `serve`, `quickstart`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Left, command, document_in, loadgen};

/// `serve ARGS` until `run` is done with its address: what `run` gave, and the target's numbers.
fn serve<T>(args: &str, run: impl FnOnce(&str) -> T) -> (T, serde_json::Value) {
    let mut child = command(&format!("serve {args} --listen 127.0.0.1:0"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let done = run(line.trim().strip_prefix("listening on ").unwrap());
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.unwrap().success());
    let served: Left = child.wait_with_output().unwrap().into();
    assert_eq!(served.code, Some(0));
    (done, serde_json::from_str(&served.stdout).unwrap())
}

#[test]
fn serve_says_where_and_what_it_did() {
    let (left, stats) = serve("http", |address| {
        loadgen(&format!("http -n 200 --json http://{address}/bytes/10"))
    });
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert_eq!(stats["replies"], 200);
    let document = left.document();
    assert_eq!(
        stats["payload_tx_bytes"],
        document["totals"]["payload_rx_bytes"]
    );
}

#[test]
fn a_memcached_of_ours_likewise_and_the_two_agree() {
    let (left, stats) = serve("memcache --workers 2 -m 8", |address| {
        loadgen(&format!(
            "memcache -n 500 --keys 100 --prefill --json {address}"
        ))
    });
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let document = left.document();
    let server = &document["targets"][0]["server"];
    for counter in ["cmd_get", "cmd_set", "get_hits", "get_misses"] {
        assert_eq!(stats[counter], server["delta"][counter], "{counter}");
    }
    assert_eq!(document["totals"]["completed"], 600);
    assert_eq!(server["settings"]["maxbytes"], 8 << 20);
}

#[test]
fn a_sasl_password_stays_out_of_the_document() {
    let (left, _) = serve("memcache --user me:hunter2", |address| {
        loadgen(&format!(
            "memcache -n 50 --json --sasl me:hunter2 {address}"
        ))
    });
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(!left.stdout.contains("hunter2"));
}

#[test]
fn quickstart_is_short_and_leaves_its_documents() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let left = loadgen(&format!("quickstart --out {}", folder.path().display()));
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    for (name, kind) in [
        ("http-1kb-closed", "closed"),
        ("http-1mb-closed", "closed"),
        ("http-1kb-open", "open"),
        ("memcache-1kb-closed", "closed"),
        ("kafka-1kb-consume", "closed"),
        ("kafka-1mb-consume", "closed"),
        ("kafka-1kb-produce", "closed"),
        ("kafka-1mb-produce", "closed"),
    ] {
        let row = left.stdout.lines().find(|l| l.starts_with(name));
        assert!(row.is_some(), "{}", left.stdout);
        let file = folder
            .path()
            .join(format!("loadgen-quickstart-{name}.json"));
        let document = document_in(&file);
        assert_eq!(document["loop"], kind);
        assert_eq!(document["totals"]["failed"], 0);
        for finding in document["findings"].as_array().unwrap() {
            let code = finding["code"].as_str().unwrap();
            assert!(
                left.stdout.contains(code),
                "{code} is not in {}",
                left.stdout
            );
        }
    }
    let nowhere = loadgen("quickstart --out /dev/null/folder");
    assert_eq!(nowhere.code, Some(5), "{}", nowhere.stderr);
}
