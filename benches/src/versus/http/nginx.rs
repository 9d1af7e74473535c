//! nginx as distributions configure it (sendfile, tcp_nopush): one worker, long keep-alive, no log.
//!
//! Its own counter of requests (`stub_status`) is read through a unix socket, which no network
//! namespace hides.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::super::lane::{Lane, free_address};
use super::super::model::{Served, Target, Work, number_after, on_path};
use super::{KB, MB};
use crate::sys;

/// A running nginx, ended when dropped.
pub(crate) struct Nginx {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
    version: String,
    /// Questions asked of its counter so far; it counts them too.
    asked: u64,
}

impl Nginx {
    /// Starts one on the lane's target side.
    pub(crate) fn start(lane: &Lane) -> Result<Self, String> {
        let program = on_path("nginx")?;
        let dir = prepare().map_err(|error| format!("nginx's files: {error}"))?;
        let address = free_address(lane)?;
        let conf = dir.path().join("nginx.conf");
        std::fs::write(&conf, config(&address)).map_err(|error| format!("nginx.conf: {error}"))?;
        let mut command = Command::new(&program);
        // A unix socket's name is relative to where it was started, not to -p.
        command.current_dir(dir.path());
        command.arg("-p").arg(dir.path()).arg("-c").arg(&conf);
        command.args(["-e", "error.log"]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        sys::place(&mut command, lane.target_cpus(), lane.target_namespace());
        let child = command.spawn().map_err(|error| format!("nginx: {error}"))?;
        let mut nginx = Self {
            child,
            dir,
            address,
            version: version(&program),
            asked: 0,
        };
        nginx.wait_ready()?;
        Ok(nginx)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if self.served().is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("its log is empty");
        Err(format!("nginx does not answer after 5 s: {last}"))
    }

    fn ask(&self) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(self.dir.path().join("status"))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"GET /status HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Target for Nginx {
    fn name(&self) -> String {
        self.version.clone()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn resource(&self, work: &Work) -> String {
        let file = if work.payload_bytes == MB { "1m" } else { "1k" };
        format!("/{file}")
    }

    fn served(&mut self) -> Result<Served, String> {
        let answer = self.ask().map_err(|error| format!("nginx: {error}"))?;
        self.asked += 1;
        let counted = parse(&answer).ok_or_else(|| format!("not nginx's counters: {answer:?}"))?;
        Ok(Served {
            requests: counted.requests.saturating_sub(self.asked),
            connections: counted.connections.saturating_sub(1),
            ..counted
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The page of `ngx_http_stub_status_module`: the third number of its third line are the requests.
fn parse(answer: &str) -> Option<Served> {
    let connections = number_after(answer, "Active connections:")? as u64;
    let (_, rest) = answer.split_once("server accepts handled requests")?;
    let mut numbers = rest.split_whitespace().map_while(|n| n.parse().ok());
    let requests = numbers.nth(2)?;
    Some(Served {
        requests,
        misses: 0,
        connections,
    })
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("-v").output();
    let said = output.map(|o| String::from_utf8_lossy(&o.stderr).trim().to_owned());
    let said = said.unwrap_or_default();
    let name = said.rsplit(' ').next().unwrap_or_default();
    if name.is_empty() { "nginx" } else { name }.to_owned()
}

fn prepare() -> std::io::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let www: PathBuf = dir.path().join("www");
    std::fs::create_dir(&www)?;
    std::fs::write(www.join("1k"), vec![b'k'; KB as usize])?;
    std::fs::write(www.join("1m"), vec![b'm'; MB as usize])?;
    Ok(dir)
}

fn config(address: &SocketAddr) -> String {
    // As root its worker would become somebody who cannot read a temporary directory.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        r"
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 18000; }}
http {{
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    # A generator that ends resets its connections; a reset that is lost leaves a ghost.
    listen {address} backlog=16384 so_keepalive=2s:1s:3;
    root www;
  }}
  server {{
    listen unix:status;
    location = /status {{ stub_status; }}
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_counters_are_read() {
        let page = "HTTP/1.1 200 OK\r\n\r\nActive connections: 291 \nserver accepts handled \
                    requests\n 16630948 16630949 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n";
        let served = parse(page).unwrap();
        assert_eq!((served.requests, served.connections), (31_070_465, 291));
        assert_eq!(parse("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }
}
