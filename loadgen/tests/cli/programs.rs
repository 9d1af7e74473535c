//! The other programs in the binary: `serve http`, `quickstart`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Left, command, document_in, loadgen};

#[test]
fn serve_says_where_and_what_it_did() {
    let mut child = command("serve http --listen 127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let left = loadgen(&format!("http -n 200 --json http://{address}/bytes/10"));
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let served: Left = child.wait_with_output().unwrap().into();
    assert_eq!(served.code, Some(0));
    let stats: serde_json::Value = serde_json::from_str(&served.stdout).unwrap();
    assert_eq!(stats["replies"], 200);
    let document = left.document();
    assert_eq!(
        stats["payload_tx_bytes"],
        document["totals"]["payload_rx_bytes"]
    );
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
