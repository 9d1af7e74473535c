//! Rules about one file at a time. Each gives a sentence per violation, with the line.
//!
//! A rule must never look at the disk.

use super::source::Source;

/// Where `word` stands in `code` as a word of its own.
fn words(code: &str, word: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |at: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    let found = code.match_indices(word).map(|(at, _)| at);
    found.filter(|at| alone(*at)).collect()
}

fn is_protocol_crate(path: &str) -> bool {
    path.starts_with("loadgen-") && !path.starts_with("loadgen-core/")
}

/// The parts that are values: sessions, wire code, workloads, and core's modules of the kind.
fn is_pure(path: &str) -> bool {
    let Some((_, inner)) = path.split_once("/src/") else {
        return false;
    };
    let room = inner.split('/').next().unwrap_or_default();
    let room = room.strip_suffix(".rs").unwrap_or(room);
    if is_protocol_crate(path) {
        return matches!(room, "session" | "wire" | "workload");
    }
    let core = ["protocol", "workload", "pace", "stop", "record"];
    path.starts_with("loadgen-core/") && core.contains(&room)
}

/// A clock, a socket, a thread, a runtime.
const IMPURE: [&str; 14] = [
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "thread",
    "thread_local",
    "tokio",
    "hyper",
    "socket2",
    "libc",
    "rustix",
];

/// Clocks, sockets, threads and runtimes where there are only bytes in and bytes out.
pub(crate) fn impure(source: &Source) -> Vec<String> {
    if !is_pure(&source.path) || source.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for word in IMPURE {
        for at in words(&source.shipped_code, word) {
            found.push(format!("{}: {word} in pure code", source.at(at)));
        }
    }
    if is_protocol_crate(&source.path) {
        for word in ["Clock", "Mutex", "RwLock"] {
            for at in words(&source.shipped_code, word) {
                found.push(format!("{}: {word} in pure code", source.at(at)));
            }
        }
    }
    found
}

/// The only files with `unsafe` code.
const UNSAFE_ROOMS: [&str; 2] = ["loadgen-core/src/driver/sys.rs", "benches/src/sys.rs"];

/// `unsafe` outside its rooms, tests too.
pub(crate) fn unsafe_outside(source: &Source) -> Vec<String> {
    if UNSAFE_ROOMS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let found = words(&source.code, "unsafe").into_iter();
    found
        .map(|at| {
            format!(
                "{}: unsafe outside {}",
                source.at(at),
                UNSAFE_ROOMS.join(", ")
            )
        })
        .collect()
}

/// Lines a file may have.
const LINES_MAX: usize = 600;

/// Files that are too long.
pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let sentence = || format!("{}: {lines} lines, at most {LINES_MAX}", source.path);
    (lines > LINES_MAX).then(sentence).into_iter().collect()
}

/// Files that do not begin by saying what they are.
pub(crate) fn headless(source: &Source) -> Vec<String> {
    let has_head = source
        .text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "))
        .is_some_and(|head| head.len() > 10);
    let sentence = || format!("{}: the first line is no `//!` head", source.path);
    (!has_head).then(sentence).into_iter().collect()
}

/// Printing or ending the process in a library.
pub(crate) fn prints(source: &Source) -> Vec<String> {
    let is_library = source.path.starts_with("loadgen-") && source.path.contains("/src/");
    let main = source.path == "loadgen/src/main.rs";
    let is_front = source.path.starts_with("loadgen/src/");
    if source.is_test() || main || !(is_library || is_front) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for at in source
        .shipped_code
        .match_indices("process::exit")
        .map(|m| m.0)
    {
        found.push(format!(
            "{}: only the front's main ends the process",
            source.at(at)
        ));
    }
    if is_library {
        for word in ["println", "print", "eprintln", "eprint", "dbg"] {
            for at in words(&source.shipped_code, word) {
                if source.shipped_code[at + word.len()..].starts_with('!') {
                    found.push(format!("{}: {word}! in a library", source.at(at)));
                }
            }
        }
    }
    found
}

/// A protocol's name in core's code or strings; comments and tests may give examples.
pub(crate) fn names_protocol(source: &Source) -> Vec<String> {
    if !source.path.starts_with("loadgen-core/src/") || source.is_test() {
        return Vec::new();
    }
    let text = source.shipped.to_ascii_lowercase();
    let mut found = Vec::new();
    for name in ["http", "memcache", "kafka"] {
        for (at, _) in text.match_indices(name) {
            let after = &text[at + name.len()..];
            // An address in a string is not the protocol.
            if !after.starts_with("://") && !after.starts_with("s://") {
                found.push(format!("{}: core names {name}", source.at(at)));
            }
        }
    }
    found
}

/// What every lock file says of where packages come from, and nothing else may say.
const LOCKED: &str = concat!("registry+https://github.com/rust-lang/crates.io", "-index");

/// Written in two halves, so that this file does not violate its own rule.
const MACHINES: [&str; 10] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("crates.io", "-index"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("registry.npm", "js.org"),
    concat!("proxy.golang", ".org"),
    concat!("replace", "-with"),
];

/// Registry hosts and paths that exist on one machine only.
pub(crate) fn names_machine(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = if path.ends_with("Cargo.lock") {
            line.replace(LOCKED, "")
        } else {
            line.to_owned()
        };
        for needle in MACHINES {
            if line.contains(needle) {
                found.push(format!("{path}:{}: names {needle}", number + 1));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Source::new(path, text)).len()
    }

    #[test]
    fn impure_code_is_seen() {
        let session = "loadgen-http/src/session.rs";
        assert_eq!(count(impure, session, "use std::time::Instant;"), 1);
        assert_eq!(count(impure, session, "std::thread::sleep(d)"), 1);
        assert_eq!(count(impure, session, "use std::net::TcpStream;"), 1);
        assert_eq!(count(impure, session, "use std::sync::Mutex;"), 1);
        assert_eq!(count(impure, session, "// Instant\nlet instantly = 1;"), 0);
        assert_eq!(
            count(impure, "loadgen-kafka/src/wire/fetch.rs", "tokio::spawn(x)"),
            1
        );
        assert_eq!(
            count(
                impure,
                "loadgen-core/src/record/set.rs",
                "SystemTime::now()"
            ),
            1
        );
        assert_eq!(
            count(impure, "loadgen-core/src/driver/epoll.rs", "Instant::now()"),
            0
        );
        assert_eq!(
            count(impure, "loadgen-http/src/target/mod.rs", "tokio::spawn(x)"),
            0
        );
    }

    #[test]
    fn unsafe_code_is_seen() {
        let text = "#![deny(unsafe_code)]\nfn f() { unsafe { g() } }";
        assert_eq!(
            count(unsafe_outside, "loadgen-core/src/driver/epoll.rs", text),
            1
        );
        assert_eq!(
            count(unsafe_outside, "loadgen-core/src/driver/sys.rs", text),
            0
        );
        assert_eq!(
            count(unsafe_outside, "x.rs", "// unsafe\nlet s = \"unsafe\";"),
            0
        );
    }

    #[test]
    fn length_and_head_are_seen() {
        assert_eq!(count(too_long, "x.rs", &"\n".repeat(600)), 0);
        assert_eq!(count(too_long, "x.rs", &"\n".repeat(601)), 1);
        assert_eq!(count(headless, "x.rs", "//! What this is.\n"), 0);
        assert_eq!(count(headless, "x.rs", "//!\n"), 1);
        assert_eq!(count(headless, "x.rs", "use a;\n//! What this is.\n"), 1);
    }

    #[test]
    fn printing_is_seen() {
        let text = "fn f() { println!(\"a\"); std::process::exit(1) }";
        assert_eq!(count(prints, "loadgen-core/src/run.rs", text), 2);
        assert_eq!(count(prints, "loadgen/src/render.rs", text), 1);
        assert_eq!(count(prints, "loadgen/src/main.rs", text), 0);
        assert_eq!(count(prints, "loadgen-core/examples/embed.rs", text), 0);
        let tests = format!("#[cfg(test)]\nmod tests {{ {text} }}");
        assert_eq!(count(prints, "loadgen-core/src/run.rs", &tests), 0);
    }

    #[test]
    fn a_protocol_in_core_is_seen() {
        let core = "loadgen-core/src/run.rs";
        assert_eq!(count(names_protocol, core, "/// `http`\nfn f() {}"), 0);
        assert_eq!(count(names_protocol, core, "const A: &str = \"Kafka\";"), 1);
        assert_eq!(count(names_protocol, core, "fn http_status() {}"), 1);
        assert_eq!(
            count(names_protocol, core, "let a = \"https://example.org\";"),
            0
        );
        assert_eq!(count(names_protocol, "loadgen/src/x.rs", "fn http() {}"), 0);
    }

    #[test]
    fn a_machine_is_seen() {
        for needle in MACHINES {
            assert_eq!(names_machine("a.md", &format!("x {needle} y")).len(), 1);
        }
        assert!(names_machine("Cargo.lock", LOCKED).is_empty());
        assert_eq!(names_machine("README.md", LOCKED).len(), 1);
        assert!(names_machine("a.md", "the workload in /tmp/x").is_empty());
    }
}
