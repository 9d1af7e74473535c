//! nginx with an access log that can be added up.
//!
//! The log is complete only when the server is gone, so it is read by [`Nginx::stop`] only.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{KB, MB, free_port, write_file};

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// The port it listens on.
    pub(crate) port: u16,
    dir: TempDir,
    daemon: Daemon,
}

/// One line of its access log: one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) status: u16,
    /// Head and body, as they went to the socket.
    pub(crate) bytes_sent: u64,
    /// The same without the head; chunk frames count.
    pub(crate) body_bytes_sent: u64,
    /// Head and body of the request.
    pub(crate) request_bytes: u64,
    pub(crate) method: String,
    pub(crate) uri: String,
    /// Number of the connection.
    pub(crate) connection: u64,
    /// Which request on it this was, from 1.
    pub(crate) nth: u64,
}

/// Length of the body of `/chunked`, which no head tells.
pub(crate) const CHUNKED_BODY: u64 = 3_000 + "GET".len() as u64 + 70_000;

impl Nginx {
    /// Starts one with so many worker processes.
    #[track_caller]
    pub(crate) fn start(workers: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let at = dir.path();
        std::fs::create_dir(at.join("www")).expect("a directory");
        write_file(&at.join("www/1k"), &vec![b'k'; KB as usize]);
        write_file(&at.join("www/1m"), &vec![b'm'; MB as usize]);
        write_file(&at.join("www/tiny"), b"tiny body");
        // A server-side include has no length before it is done, and several parts: chunks.
        let include = "<!--# echo var=\"request_method\" -->";
        let page = ["a".repeat(3_000), include.into(), "b".repeat(70_000)].concat();
        write_file(&at.join("www/chunked"), page.as_bytes());
        std::fs::write(at.join("nginx.conf"), config(port, workers)).expect("its configuration");
        let daemon = Daemon::start(command(&dir), port);
        Self { port, dir, daemon }
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Lets it finish what is under way and ends it. What it logged is kept.
    #[track_caller]
    pub(crate) fn halt(&mut self) {
        self.daemon.stop(Signal::QUIT);
    }

    /// Ends it in the middle of everything.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.daemon.stop(Signal::TERM);
    }

    /// Starts it again on the same port.
    #[track_caller]
    pub(crate) fn again(&mut self) {
        self.daemon = Daemon::start(command(&self.dir), self.port);
    }

    /// Ends it and reads its log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Line> {
        self.halt();
        let path: PathBuf = self.dir.path().join("access.log");
        let log = std::fs::read_to_string(path).expect("an access log");
        log.lines().map(parse).collect()
    }
}

fn command(dir: &TempDir) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir.path());
    command.arg("-c").arg(dir.path().join("nginx.conf"));
    command.args(["-e", "error.log"]);
    // Debian keeps it where an ordinary user's search path does not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn config(port: u16, workers: u32) -> String {
    // As root the workers would become nobody and could not read the temporary directory.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        r#"
{user}
daemon off;
worker_processes {workers};
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
  log_format facts '$status $bytes_sent $body_bytes_sent $request_length '
                   '$request_method $request_uri $connection $connection_requests';
  access_log access.log facts;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} reuseport;
    root www;
    location /chunked {{ ssi on; ssi_types *; }}
    location /limited {{ alias www/1k; keepalive_requests 100; }}
  }}
}}
"#
    )
}

/// Reads one line of the log.
#[track_caller]
fn parse(line: &str) -> Line {
    let mut words = line.split(' ');
    let mut word = || {
        words
            .next()
            .unwrap_or_else(|| panic!("short log line {line:?}"))
    };
    let number = |word: &str| -> u64 {
        word.parse()
            .unwrap_or_else(|_| panic!("no number {word:?} in log line {line:?}"))
    };
    Line {
        status: u16::try_from(number(word())).expect("a status"),
        bytes_sent: number(word()),
        body_bytes_sent: number(word()),
        request_bytes: number(word()),
        method: word().to_owned(),
        uri: word().to_owned(),
        connection: number(word()),
        nth: number(word()),
    }
}
