//! Apache httpd with a log that can be added up (`mod_logio`).
//!
//! The log is complete only when the server is gone, so it is read by [`Httpd::stop`] only.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{KB, MB, free_port, write_file};

/// A running httpd.
#[derive(Debug)]
pub(crate) struct Httpd {
    port: u16,
    dir: TempDir,
    daemon: Daemon,
}

/// One line of its log: one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) status: u16,
    /// Head and body, as they went to the socket (`%O`).
    pub(crate) bytes_sent: u64,
    /// Head and body of the request (`%I`).
    pub(crate) request_bytes: u64,
    pub(crate) method: String,
    pub(crate) uri: String,
}

/// Length of the body of `/chunked.shtml`, which no head tells.
pub(crate) const CHUNKED_BODY: u64 = 3_000 + "GET".len() as u64 + 70_000;

/// Where distributions keep the modules.
const MODULES: [&str; 3] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
];

impl Httpd {
    /// Starts one.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let at = dir.path();
        std::fs::create_dir(at.join("www")).expect("a directory");
        write_file(&at.join("www/1k"), &vec![b'k'; KB as usize]);
        write_file(&at.join("www/1m"), &vec![b'm'; MB as usize]);
        write_file(&at.join("www/tiny"), b"tiny body");
        let include = "<!--#echo var=\"REQUEST_METHOD\" -->";
        let page = ["a".repeat(3_000), include.into(), "b".repeat(70_000)].concat();
        write_file(&at.join("www/chunked.shtml"), page.as_bytes());
        // Its children become another user, who must be able to look into the directory.
        open_to_all(at);
        std::fs::write(at.join("httpd.conf"), config(at, port)).expect("its configuration");
        let daemon = Daemon::start(command(&dir), port);
        Self { port, dir, daemon }
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Ends it and reads its log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Line> {
        self.daemon.stop(Signal::WINCH);
        let path: PathBuf = self.dir.path().join("access.log");
        let log = std::fs::read_to_string(path).expect("an access log");
        log.lines().map(parse).collect()
    }
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir, mode).expect("its mode");
}

fn command(dir: &TempDir) -> Command {
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-d"]).arg(dir.path());
    command.arg("-f").arg(dir.path().join("httpd.conf"));
    // Debian keeps it where an ordinary user's search path does not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn config(dir: &Path, port: u16) -> String {
    let modules = MODULES.iter().find(|path| Path::new(path).is_dir());
    let modules = modules.expect("httpd's modules are installed");
    let wanted = [
        "mpm_event",
        "authz_core",
        "log_config",
        "logio",
        "unixd",
        "dir",
        "include",
        "alias",
    ];
    // What a distribution links in statically is not there as a file.
    let load = |name: &&str| {
        let file = format!("{modules}/mod_{name}.so");
        let line = format!("LoadModule {name}_module {file}\n");
        Path::new(&file).exists().then_some(line)
    };
    let load: String = wanted.iter().filter_map(load).collect();
    let user = if rustix::process::geteuid().is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    let dir = dir.display();
    format!(
        r#"{load}{user}
ServerName localhost
ServerRoot {dir}
Listen 127.0.0.1:{port}
PidFile {dir}/httpd.pid
DefaultRuntimeDir {dir}
Mutex pthread
ErrorLog {dir}/error.log
LogFormat "%>s %O %I %m %U" facts
CustomLog {dir}/access.log facts
DocumentRoot {dir}/www
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
GracefulShutdownTimeout 10
<Directory {dir}/www>
  Require all granted
  Options +Includes
</Directory>
<Files "*.shtml">
  ForceType text/html
  SetOutputFilter INCLUDES
</Files>
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
        request_bytes: number(word()),
        method: word().to_owned(),
        uri: word().to_owned(),
    }
}
