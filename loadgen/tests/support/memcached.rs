//! memcached, and its own numbers.
//!
//! They are read in text by hand, so that nothing under test stands between.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use rustix::process::Signal;

use super::daemon::Daemon;
use super::free_port;

/// A running memcached.
#[derive(Debug)]
pub(crate) struct Memcached {
    pub(crate) port: u16,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    daemon: Daemon,
}

impl Memcached {
    /// `memcached ARGS` on a port of its own.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(args, &[])
    }

    /// The same, with more in its environment.
    #[track_caller]
    pub(crate) fn start_in(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let daemon = Daemon::start(command(port, &args, &environment), port);
        Self {
            port,
            args,
            environment,
            daemon,
        }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it in the middle of everything.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.daemon.stop(Signal::KILL);
    }

    /// Lets it do nothing until [`Memcached::thaw`].
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.daemon.signal(Signal::STOP);
    }

    /// Lets it go on.
    #[track_caller]
    pub(crate) fn thaw(&self) {
        self.daemon.signal(Signal::CONT);
    }

    /// Starts it again on the same port.
    #[track_caller]
    pub(crate) fn again(&mut self) {
        self.daemon = Daemon::start(command(self.port, &self.args, &self.environment), self.port);
    }

    /// Its numbers now.
    #[track_caller]
    pub(crate) fn stats(&self) -> Stats {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a server");
        stream.write_all(b"stats\r\n").expect("it listens");
        let mut rows = HashMap::new();
        for line in BufReader::new(stream).lines() {
            let line = line.expect("it answers");
            if line == "END" {
                return Stats(rows);
            }
            let mut words = line.splitn(3, ' ');
            assert_eq!(words.next(), Some("STAT"), "{line:?}");
            let (name, value) = (
                words.next().expect("a name"),
                words.next().expect("a value"),
            );
            if let Ok(value) = value.parse::<u64>() {
                rows.insert(name.to_owned(), value);
            }
        }
        panic!("the answer has no end: {rows:?}");
    }
}

fn command(port: u16, args: &[String], environment: &[(String, String)]) -> Command {
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0"]);
    // It refuses to be root unless it is told so.
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "root"]);
    }
    command.args(args);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// What a server counted.
#[derive(Clone, Debug)]
pub(crate) struct Stats(HashMap<String, u64>);

impl Stats {
    /// One number.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> u64 {
        let value = self.0.get(name).copied();
        value.unwrap_or_else(|| panic!("no {name} in the server's stats"))
    }
}

/// The sum of a number over servers.
#[track_caller]
pub(crate) fn sum(servers: &[Memcached], name: &str) -> u64 {
    servers.iter().map(|server| server.stats().get(name)).sum()
}
