//! What can go wrong, one at a time: each has its own class, a finding, the right exit code and a
//! written document, and none of them makes the generator spin.
//!
//! The misbehaviour is the kernel's own or that of `support::raw`; nothing is simulated here.

mod support;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use loadgen_core::results::Document;
use socket2::{Domain, Socket, Type};
use support::nginx::Nginx;
use support::raw::{Raw, answer_all, close, read_head, reset};
use support::run::{Ran, loadgen, start, under};
use support::{free_port, machine};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot quite a thousand";

/// How often `phase` × `cause` happened.
fn count(document: &Document, phase: &str, cause: &str) -> u64 {
    let mut rows = document.errors.iter();
    let row = rows.find(|row| row.phase == phase && row.cause == cause);
    row.map_or(0, |row| row.count)
}

#[track_caller]
fn assert_finding(document: &Document, code: &str) {
    let found: Vec<_> = document.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(found.contains(&code), "no {code} among {found:?}");
}

/// The one class of failure of the run, its finding, its exit code; and the sums that follow.
#[track_caller]
fn assert_only(ran: &Ran, class: (&str, &str), finding: &str, exit: u8) -> Document {
    let document = ran.document();
    let classes: Vec<_> = document
        .errors
        .iter()
        .map(|e| (e.phase.as_str(), e.cause.as_str()))
        .collect();
    assert_eq!(classes, [class], "{:?}", document.errors);
    let row = &document.errors[0];
    assert!(row.count > 0 && !row.sample.is_empty(), "{row:?}");
    assert_finding(&document, finding);
    assert_eq!(document.verdict.exit_code, exit, "{:?}", document.findings);
    document
}

/// What starting, reading the machine and writing the document may cost.
const START: Duration = Duration::from_millis(60);

/// The generator slept while there was nothing to do.
#[track_caller]
fn assert_quiet(ran: &Ran) {
    let limit = START + ran.elapsed / 10;
    assert!(ran.cpu < limit, "{:?} of CPU in {:?}", ran.cpu, ran.elapsed);
}

#[test]
fn refused() {
    let _machine = machine();
    let url = format!("http://127.0.0.1:{}/", free_port());
    let ran = loadgen(&["http", "-c", "10", "-d", "2s", "--json", &url]);
    let document = assert_only(&ran, ("connect", "refused"), "target_unreachable", 3);
    assert_eq!(document.connections.opened, 0);
    assert_quiet(&ran);
    // Ten connections for two seconds: with a backoff that is dozens of attempts, not thousands.
    assert!(document.errors[0].count < 1_000, "{:?}", document.errors);
}

#[test]
fn unreachable() {
    let _machine = machine();
    // A network namespace of its own, with a route that says no.
    let script = "ip link set lo up && ip route add unreachable 192.0.2.0/24 && exec \"$0\" \"$@\"";
    let mut prefix = vec!["unshare", "--net", "sh", "-c", script];
    if !rustix::process::geteuid().is_root() {
        prefix.splice(0..0, ["sudo", "-n"]);
    }
    let args = [
        "http",
        "-c",
        "10",
        "-d",
        "2s",
        "--json",
        "http://192.0.2.1/",
    ];
    let ran = under(&prefix, &args);
    assert_only(&ran, ("connect", "unreachable"), "target_unreachable", 3);
    assert_quiet(&ran);
}

/// A listener whose queue is full: the kernel answers no further SYN, as a filter would.
fn deaf() -> (Socket, Vec<TcpStream>, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("it listens");
    let address = socket.local_addr().ok().and_then(|a| a.as_socket());
    let address = address.expect("its address");
    let wait = Duration::from_millis(300);
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, wait) {
        queued.push(stream);
    }
    (socket, queued, address.port())
}

#[test]
fn no_answer_to_connect() {
    let _machine = machine();
    let (_socket, _queued, port) = deaf();
    let url = format!("http://127.0.0.1:{port}/");
    let args = [
        "http",
        "-c",
        "4",
        "-d",
        "2s",
        "--connect-timeout",
        "300ms",
        "--json",
        &url,
    ];
    let ran = loadgen(&args);
    assert_only(&ran, ("connect", "timeout"), "target_unreachable", 3);
    assert_quiet(&ran);
}

/// Every request meets the same misbehaviour; not one good reply comes.
#[track_caller]
fn all_fail(act: impl Fn(TcpStream) + Send + Sync + 'static, class: (&str, &str)) -> Document {
    let _machine = machine();
    let target = Raw::start(act);
    let ran = loadgen(&["http", "-c", "2", "-n", "20", "--json", &target.url()]);
    let document = assert_only(&ran, class, "all_failed", 3);
    assert_eq!(document.totals.failed, 20);
    assert_eq!(document.errors[0].count, 20);
    assert_finding(&document, "connections_lost");
    assert_eq!(document.connections.lost, 20);
    assert_quiet(&ran);
    document
}

#[test]
fn reset_before_head() {
    all_fail(
        |mut stream| {
            read_head(&mut stream);
            reset(stream);
        },
        ("wait", "reset"),
    );
}

#[test]
fn reset_after_head() {
    all_fail(
        |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(HALF);
            // What is sent must have been read before the reset overtakes it.
            std::thread::sleep(Duration::from_millis(20));
            reset(stream);
        },
        ("read", "reset"),
    );
}

#[test]
fn closed_before_reply() {
    all_fail(
        |mut stream| {
            read_head(&mut stream);
            close(stream);
        },
        ("wait", "closed_before_reply"),
    );
}

#[test]
fn truncated_head_and_body() {
    for part in [&HALF[..20], HALF] {
        all_fail(
            move |mut stream| {
                read_head(&mut stream);
                let _ = stream.write_all(part);
                close(stream);
            },
            ("read", "truncated"),
        );
    }
}

#[test]
fn garbage() {
    let _machine = machine();
    let target = Raw::start(|mut stream| {
        answer_all(&mut stream, b"220 mail.example.org ESMTP ready\r\n\r\n");
        close(stream);
    });
    let ran = loadgen(&["http", "-c", "2", "-n", "20", "--json", &target.url()]);
    let document = ran.document();
    let [row] = &document.errors[..] else {
        panic!("{:?}", document.errors)
    };
    assert_eq!((row.phase.as_str(), row.count), ("decode", 20));
    assert!(row.cause.starts_with("http."), "{row:?}");
    assert_finding(&document, "all_failed");
    assert_eq!(document.verdict.exit_code, 3);
    assert_quiet(&ran);
}

#[test]
fn stall_beyond_the_timeout() {
    let _machine = machine();
    for (sent, class) in [(&b""[..], ("wait", "timeout")), (HALF, ("read", "timeout"))] {
        let target = Raw::start(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(sent);
            // Silence until the client gives up.
            while read_head(&mut stream) {}
        });
        let url = target.url();
        let args = [
            "http",
            "-c",
            "2",
            "-n",
            "8",
            "--timeout",
            "250ms",
            "--json",
            &url,
        ];
        let ran = loadgen(&args);
        let document = assert_only(&ran, class, "all_failed", 3);
        assert_eq!(document.totals.failed, 8);
        // They took part in the latency, at their age and as lower bounds.
        let latency = &document.summary.response_time;
        assert_eq!(latency.censored, 8);
        assert!(
            latency.p50_ns.is_some_and(|ns| ns >= 249_000_000),
            "{latency:?}"
        );
        assert!(
            latency.max_ns.is_some_and(|ns| ns < 600_000_000),
            "{latency:?}"
        );
        assert_quiet(&ran);
    }
}

#[test]
fn one_failure_among_many() {
    let _machine = machine();
    let target = Raw::start(|mut stream| {
        for _ in 0..100 {
            if !read_head(&mut stream) || stream.write_all(REPLY).is_err() {
                return;
            }
        }
        read_head(&mut stream);
        reset(stream);
    });
    let ran = loadgen(&["http", "-c", "2", "-n", "1000", "--json", &target.url()]);
    let document = assert_only(&ran, ("wait", "reset"), "errors", 0);
    let totals = &document.totals;
    assert_eq!(totals.completed + totals.failed, 1_000);
    assert!((1..=9).contains(&totals.failed), "{totals:?}");
    assert_finding(&document, "connections_lost");
}

#[test]
fn a_reply_to_nothing() {
    let _machine = machine();
    let twice = [REPLY, REPLY].concat();
    let target = Raw::start(move |mut stream| {
        answer_all(&mut stream, &twice);
        close(stream);
    });
    let ran = loadgen(&["http", "-c", "2", "-n", "20", "--json", &target.url()]);
    let document = ran.document();
    // The replies were good; what came after them was not, and no request failed for it.
    assert_eq!(document.totals.completed, 20);
    assert_eq!(document.totals.failed, 0);
    let causes: Vec<_> = document
        .errors
        .iter()
        .map(|e| (e.phase.as_str(), e.cause.as_str()))
        .collect();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0].0, "decode");
    assert!(causes[0].1.ends_with("unsolicited"), "{causes:?}");
    assert_finding(&document, "connections_lost");
    assert_eq!(document.verdict.exit_code, 0);
}

#[test]
fn fd_limit() {
    let _machine = machine();
    let target = Raw::start(|mut stream| answer_all(&mut stream, REPLY));
    let url = target.url();
    let args = ["http", "-c", "64", "-d", "1s", "--json", &url];
    let ran = under(&["prlimit", "--nofile=32:32", "--"], &args);
    let document = ran.document();
    assert!(
        count(&document, "connect", "fd_limit") > 0,
        "{:?}",
        document.errors
    );
    assert_finding(&document, "generator_limit");
    assert_eq!(document.verdict.exit_code, 6);
    // Those that were made worked on, and none was given up.
    assert!(document.totals.completed > 0);
    assert!(
        (8..32).contains(&document.connections.opened),
        "{:?}",
        document.connections
    );
}

#[test]
fn restart_in_mid_run() {
    let _machine = machine();
    let mut nginx = Nginx::start(1);
    let url = nginx.url("/1k");
    let running = start(
        &[],
        &[
            "http", "-c", "8", "-t", "1", "-R", "2k", "-d", "5s", "--json", &url,
        ],
    );
    std::thread::sleep(Duration::from_millis(1_200));
    nginx.kill();
    let before = running.cpu();
    std::thread::sleep(Duration::from_millis(1_000));
    let used = running.cpu() - before;
    nginx.again();
    let ran = running.finish();
    let document = ran.document();
    drop(nginx);
    assert!(
        used <= Duration::from_millis(100),
        "{used:?} of CPU while the target was down"
    );

    assert!(
        count(&document, "connect", "refused") > 0,
        "{:?}",
        document.errors
    );
    assert_finding(&document, "connect_failures");
    // Every connection came back: the last interval has the whole rate again.
    let last = document.intervals.last().expect("intervals");
    assert!(
        last.completed as f64 > 0.8 * 2_000.0 * last.duration_ns as f64 / 1e9,
        "{last:?}"
    );
    assert!(
        document.connections.opened >= 16,
        "{:?}",
        document.connections
    );
    // The schedule forgave nothing: what was due meanwhile waited, and response time says so.
    let summary = &document.summary;
    assert!(
        summary.response_time.max_ns > Some(900_000_000),
        "{:?}",
        summary.response_time
    );
    assert!(
        summary.service_time.p99_ns < Some(200_000_000),
        "{:?}",
        summary.service_time
    );
}

#[test]
fn interrupted() {
    let _machine = machine();
    let target = Raw::start(|mut stream| answer_all(&mut stream, REPLY));
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let url = target.url();
        let running = start(&[], &["http", "-c", "2", "-d", "60s", "--json", &url]);
        std::thread::sleep(Duration::from_millis(700));
        let pid = i32::try_from(running.pid()).ok();
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id");
        rustix::process::kill_process(pid, signal).expect("it runs");
        let ran = running.finish();
        let document = ran.document();
        assert_eq!(document.verdict.exit_code, 130);
        assert_finding(&document, "interrupted");
        assert!(document.totals.completed > 0);
        assert!(ran.elapsed < Duration::from_secs(10));
    }
}
