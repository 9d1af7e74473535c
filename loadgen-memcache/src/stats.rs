//! What a server says of itself: `stats` and `stats settings`, asked before and after a run.
//!
//! The control plane: blocking sockets with a deadline, never in a worker's thread. A server that
//! cannot be asked is no reason to fail; why it could not is kept.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use loadgen_core::workload::Endpoint;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::spec::Credentials;
use crate::wire::HEADER_BYTES;
use crate::wire::header::{Header, REPLY};
use crate::wire::request::sasl_plain;

/// `STAT` in memcached's protocol_binary.h.
const STAT: u8 = 0x10;

/// Rows of one answer; memcached 1.6 has about a hundred.
const ROWS_MAX: usize = 4096;
/// Bytes of one row's name and value.
const ROW_BYTES_MAX: u32 = 64 * 1024;

/// The numbers of a server at one moment, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// `stats`.
    pub counters: BTreeMap<String, String>,
    /// `stats settings`; empty where the server has none.
    pub settings: BTreeMap<String, String>,
    /// Bytes the server had from us on this connection when it said its counters: they are in its
    /// `bytes_read`.
    pub asked_bytes: u64,
}

impl ServerStats {
    /// Asks the server at `endpoint`; `patience` is for all of it.
    ///
    /// # Errors
    /// Why there is no answer, in one sentence.
    pub fn ask(
        endpoint: &Endpoint,
        sasl: Option<&Credentials>,
        patience: Duration,
    ) -> Result<Self, String> {
        let until = Instant::now() + patience;
        let said = Line::open(endpoint, until).and_then(|mut line| {
            if let Some(who) = sasl {
                line.authenticate(who)?;
            }
            // Old and foreign servers have no settings. The counters last: nothing that is sent for
            // this connection is missing in them.
            let settings = line.stats("settings");
            let counters = line.stats("");
            Ok(Self {
                // Who ended the talk at the first question said why there.
                settings: match (settings, &counters) {
                    (Err(why), Err(_)) => return Err(why),
                    (settings, _) => settings.unwrap_or_default(),
                },
                counters: counters?,
                asked_bytes: line.sent_bytes,
            })
        });
        said.map_err(|why| format!("stats of {endpoint}: {why}"))
    }

    /// A counter, when it is there and a number.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        self.counters.get(name)?.parse().ok()
    }

    /// A setting, likewise.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.parse().ok()
    }
}

/// A socket of either kind.
trait Stream: Read + Write {
    fn patience(&self, patience: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
}

impl Stream for UnixStream {
    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
}

/// A connection to a server's control plane.
struct Line {
    stream: Box<dyn Stream>,
    until: Instant,
    sent_bytes: u64,
}

impl Line {
    fn open(endpoint: &Endpoint, until: Instant) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match endpoint {
            Endpoint::Tcp(address) => Box::new(TcpStream::connect_timeout(address, left(until)?)?),
            Endpoint::Unix(path) => Box::new(connect_unix(path, left(until)?)?),
        };
        Ok(Self {
            stream,
            until,
            sent_bytes: 0,
        })
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.patience(left(self.until)?)?;
        self.stream.write_all(bytes)?;
        self.sent_bytes += bytes.len() as u64;
        Ok(())
    }

    /// One reply: its header and its body.
    fn receive(&mut self) -> io::Result<(Header, Vec<u8>)> {
        let mut head = [0; HEADER_BYTES];
        self.fill(&mut head)?;
        let header = Header::decode(&head, REPLY).map_err(|error| nonsense(error.detail))?;
        if header.body_bytes > ROW_BYTES_MAX {
            let bytes = header.body_bytes;
            return Err(nonsense(format!(
                "a reply of {bytes} bytes, above the limit of {ROW_BYTES_MAX}"
            )));
        }
        let mut body = vec![0; header.body_bytes as usize];
        self.fill(&mut body)?;
        Ok((header, body))
    }

    /// Reads with the deadline before every piece: a server that drips must not hold us.
    fn fill(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            self.stream.patience(left(self.until)?)?;
            match self.stream.read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => into = &mut into[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn authenticate(&mut self, who: &Credentials) -> io::Result<()> {
        let mut bytes = Vec::new();
        sasl_plain(&who.user, &who.password, 0, &mut bytes);
        self.send(&bytes)?;
        match self.receive()? {
            (header, _) if header.status == 0 => Ok(()),
            (header, text) => Err(refused(&header, &text)),
        }
    }

    fn stats(&mut self, of: &str) -> io::Result<BTreeMap<String, String>> {
        let mut bytes = Header::request(STAT, 0, of.len() as u16, 0, 0)
            .encode()
            .to_vec();
        bytes.extend_from_slice(of.as_bytes());
        self.send(&bytes)?;
        let mut rows = BTreeMap::new();
        for _ in 0..ROWS_MAX {
            let (header, body) = self.receive()?;
            if header.status != 0 {
                return Err(refused(&header, &body));
            }
            // The end has neither a name nor a value.
            if body.is_empty() {
                return Ok(rows);
            }
            let front = usize::from(header.extras_bytes);
            let (name, value) = body[front..].split_at(usize::from(header.key_bytes));
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            rows.insert(text(name), text(value));
        }
        Err(nonsense(format!("more than {ROWS_MAX} rows")))
    }
}

/// A server whose backlog is full holds a connect to its unix socket until there is room; how long,
/// the timeout of a send says (`unix(7)`, `SO_SNDTIMEO`).
fn connect_unix(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(patience))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

/// The time that is left, which must not be nothing: a timeout of 0 would mean none at all.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn nonsense(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn refused(header: &Header, text: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(text);
    io::Error::other(format!("status {:#04x}, {text:?}", header.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Target, TargetOptions};

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_server_says_its_numbers_and_its_settings() {
        let target = Target::start(TargetOptions {
            memory_bytes: 5 << 20,
            ..TargetOptions::default()
        });
        let target = target.unwrap();
        let stats = ServerStats::ask(target.address(), None, PATIENCE).unwrap();
        assert_eq!(stats.count("cmd_get"), Some(0));
        assert_eq!(stats.count("version"), None, "no number");
        assert_eq!(stats.setting("maxbytes"), Some(5 << 20));
        assert_eq!(stats.setting("nothing"), None);
        // All that was asked was read when it said so, and the words of both questions are in it.
        assert_eq!(stats.count("bytes_read"), Some(stats.asked_bytes));
        assert_eq!(stats.asked_bytes, 2 * 24 + 8);
    }

    #[test]
    fn a_unix_socket_with_a_full_backlog_is_given_up_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let patience = Duration::from_millis(100);
        let waiting: Vec<_> = (0..8)
            .map_while(|_| connect_unix(&path, patience).ok())
            .collect();
        assert!(waiting.len() < 8, "the backlog is full");
        let begun = Instant::now();
        let endpoint = Endpoint::Unix(path);
        let said = ServerStats::ask(&endpoint, None, Duration::from_millis(200)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{said}");
        assert!(said.starts_with("stats of unix:"), "{said}");
    }

    #[test]
    fn with_a_password_where_one_is_needed() {
        let target = Target::start(TargetOptions {
            user: Some(("me".into(), "secret".into())),
            ..TargetOptions::default()
        });
        let target = target.unwrap();
        let who = |password: &str| Credentials {
            user: "me".into(),
            password: password.into(),
        };
        let ask = |who: Option<&Credentials>| ServerStats::ask(target.address(), who, PATIENCE);
        assert!(ask(Some(&who("secret"))).is_ok());
        let wrong = ask(Some(&who("guess"))).unwrap_err();
        assert!(wrong.contains("0x20"), "{wrong}");
        let without = ask(None).unwrap_err();
        assert!(without.contains("Auth failure"), "{without}");
    }

    #[test]
    fn nobody_there_silence_and_nonsense_are_said_in_time() {
        use std::net::TcpListener;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let begun = Instant::now();
        let silent = ServerStats::ask(&endpoint, None, Duration::from_millis(200)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(silent.starts_with("stats of 127.0.0.1:"), "{silent}");
        let teller = std::thread::spawn(move || {
            // The first one in the queue was the silent one's.
            let _ = listener.accept();
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"ERROR this is another protocol\r\n");
            let _ = stream.read(&mut [0; 64]);
        });
        let nonsense = ServerStats::ask(&endpoint, None, PATIENCE).unwrap_err();
        teller.join().unwrap();
        assert!(nonsense.contains("0x81"), "{nonsense}");
        let refused = ServerStats::ask(&endpoint, None, PATIENCE).unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }
}
