//! Making a socket: options, local addresses and ports, and what errors of it mean.
//!
//! Only set-up lives here, nothing of it is on the hot path.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::sys;
use crate::protocol::Cause;
use crate::workload::Endpoint;

/// How sockets are made.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// Leave Nagle's algorithm on; off (`TCP_NODELAY`) is the default.
    pub nagle: bool,
    /// `SO_RCVBUF`, bytes.
    pub receive_buffer_bytes: Option<usize>,
    /// `SO_SNDBUF`, bytes.
    pub send_buffer_bytes: Option<usize>,
    /// Local addresses, dealt over the connections round-robin: IPv4 before IPv6, see
    /// [`SocketOptions::arrange`].
    pub bind_ips: Vec<IpAddr>,
    /// Local ports, dealt deterministically.
    pub source_ports: Option<PortRange>,
}

impl SocketOptions {
    /// Puts the local addresses in order, once: the families apart, each as it was given.
    pub fn arrange(&mut self) {
        self.bind_ips.sort_by_key(IpAddr::is_ipv6);
    }

    /// The local addresses of the family of `address`.
    fn sources(&self, address: SocketAddr) -> &[IpAddr] {
        let (v4, v6) = self
            .bind_ips
            .split_at(self.bind_ips.partition_point(IpAddr::is_ipv4));
        if address.is_ipv4() { v4 } else { v6 }
    }
}

/// Local ports from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub low: u16,
    /// The last.
    pub high: u16,
}

impl PortRange {
    /// How many ports there are.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.high) - u32::from(self.low) + 1
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not LO-HI with 1 <= LO <= HI <= 65535");
        let (low, high) = text.split_once('-').ok_or_else(wrong)?;
        let low: u16 = low.trim().parse().map_err(|_| wrong())?;
        let high: u16 = high.trim().parse().map_err(|_| wrong())?;
        if low == 0 || low > high {
            Err(wrong())
        } else {
            Ok(Self { low, high })
        }
    }
}

/// What an error of `connect`, `send` or `receive` is called.
#[must_use]
pub fn cause_of(error: &std::io::Error) -> Cause {
    match error.raw_os_error().unwrap_or(0) {
        libc::ECONNREFUSED | libc::ENOENT => Cause::Refused,
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EACCES | libc::EPERM => Cause::Unreachable,
        libc::ETIMEDOUT => Cause::Timeout,
        libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED => Cause::Reset,
        libc::EMFILE | libc::ENFILE => Cause::FdLimit,
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => Cause::NoLocalPort,
        errno => Cause::Os(errno),
    }
}

/// Makes a non-blocking socket and begins to connect it. `number` chooses local address and
/// port; where that port is taken, `number` + `step` and so on. Says whether it is connected
/// already.
///
/// # Errors
/// The cause, when no socket could be made, bound or connected.
pub fn begin_connect(
    options: &SocketOptions,
    endpoint: &Endpoint,
    number: u64,
    step: u64,
) -> Result<(Socket, bool), Cause> {
    match endpoint {
        Endpoint::Tcp(address) => connect_tcp(options, *address, number, step),
        Endpoint::Unix(path) => {
            let socket = make(Domain::UNIX, None)?;
            let address = SockAddr::unix(path).map_err(|e| cause_of(&e))?;
            start(socket, &address)
        }
    }
}

fn make(domain: Domain, protocol: Option<Protocol>) -> Result<Socket, Cause> {
    let kind = Type::STREAM.nonblocking().cloexec();
    Socket::new(domain, kind, protocol).map_err(|e| cause_of(&e))
}

fn connect_tcp(
    options: &SocketOptions,
    address: SocketAddr,
    number: u64,
    step: u64,
) -> Result<(Socket, bool), Cause> {
    let pairs =
        |ports: PortRange| u64::from(ports.count()) * options.sources(address).len().max(1) as u64;
    let tries = options
        .source_ports
        .map_or(1, |ports| pairs(ports).div_ceil(step));
    let mut last = Cause::NoLocalPort;
    for attempt in 0..tries {
        let socket = make(Domain::for_address(address), Some(Protocol::TCP))?;
        let ready = prepare(&socket, options, address, number + attempt * step);
        match ready
            .map_err(|e| cause_of(&e))
            .and_then(|()| start(socket, &address.into()))
        {
            // A port of the range that is still in use, or in TIME_WAIT towards the same target:
            // the next one of this connection's ports.
            Err(Cause::NoLocalPort) => last = Cause::NoLocalPort,
            other => return other,
        }
    }
    Err(last)
}

fn prepare(
    socket: &Socket,
    options: &SocketOptions,
    address: SocketAddr,
    number: u64,
) -> std::io::Result<()> {
    if !options.nagle {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    let local = options.sources(address);
    let addresses = local.len().max(1) as u64;
    let ip = local.get((number % addresses) as usize).copied();
    if let Some(ports) = options.source_ports {
        socket.set_reuse_address(true)?;
        // Every address with every port before a pair comes again.
        let offset = (number / addresses % u64::from(ports.count())) as u16;
        let any = if address.is_ipv4() {
            IpAddr::from([0_u8; 4])
        } else {
            IpAddr::from([0_u16; 8])
        };
        return socket.bind(&SocketAddr::new(ip.unwrap_or(any), ports.low + offset).into());
    }
    if let Some(ip) = ip {
        // The port is then chosen at connect(), by 4-tuple: one address serves more than 28 k
        // connections (ip(7)). Where the option is missing, an early port is only a smaller pool.
        let _ = sys::bind_address_no_port(socket);
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    Ok(())
}

fn start(socket: Socket, address: &SockAddr) -> Result<(Socket, bool), Cause> {
    match socket.connect(address) {
        Ok(()) => Ok((socket, true)),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, false)),
        Err(e) => Err(cause_of(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges() {
        assert_eq!(
            "1000-1999".parse(),
            Ok(PortRange {
                low: 1000,
                high: 1999
            })
        );
        assert_eq!("1-65535".parse::<PortRange>().unwrap().count(), 65_535);
        for wrong in ["", "5", "0-5", "9-5", "1-70000", "a-b"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_pair_of_address_and_port_is_used_before_one_comes_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bind_ips = ["::1", "127.0.0.2", "127.0.0.3"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let low = free.local_addr().unwrap().port();
        drop(free);
        let Some(high) = low.checked_add(1) else {
            return;
        };
        let source_ports = Some(PortRange { low, high });
        let mut options = SocketOptions {
            bind_ips,
            source_ports,
            ..Default::default()
        };
        options.arrange();
        let to = Endpoint::Tcp(listener.local_addr().unwrap());
        let mut sockets = Vec::new();
        let mut pairs = std::collections::BTreeSet::new();
        for number in 0..4 {
            let (socket, _) = begin_connect(&options, &to, number, 4).unwrap();
            pairs.insert(socket.local_addr().unwrap().as_socket().unwrap());
            sockets.push(socket);
        }
        assert_eq!(pairs.len(), 4, "{pairs:?}");
        assert_eq!(
            begin_connect(&options, &to, 0, 4).unwrap_err(),
            Cause::NoLocalPort
        );
    }

    #[test]
    fn a_port_in_use_is_stepped_over() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let low = busy.local_addr().unwrap().port();
        let Some(high) = low.checked_add(3) else {
            return;
        };
        let options = SocketOptions {
            source_ports: Some(PortRange { low, high }),
            ..Default::default()
        };
        let to = Endpoint::Tcp(listener.local_addr().unwrap());
        let (socket, _) = begin_connect(&options, &to, 0, 1).unwrap();
        let got = socket.local_addr().unwrap().as_socket().unwrap().port();
        assert!(got > low && got <= high, "{got} of {low}-{high}");
    }
}
