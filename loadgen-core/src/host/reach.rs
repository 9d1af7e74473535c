//! Which addresses this host has a way to.
//!
//! A name often has addresses of a family that the host does not have; every connection dealt to
//! one would fail, and a healthy target would look broken. Nothing may leave the host here: connecting
//! a datagram socket only asks the routing table (`udp(7)`).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::workload::Endpoint;

/// Parts addresses into those to use and those that this host has no route to. When it has a route
/// to none, all are used: the failures then say why.
#[must_use]
pub fn with_route(found: Vec<Endpoint>) -> (Vec<Endpoint>, Vec<Endpoint>) {
    part(found, |address| ask(address).err())
}

fn part(
    found: Vec<Endpoint>,
    ask: impl Fn(SocketAddr) -> Option<io::Error>,
) -> (Vec<Endpoint>, Vec<Endpoint>) {
    let reached = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(address) => !ask(*address).is_some_and(|error| is_no_route(&error)),
        Endpoint::Unix(_) => true,
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = found.into_iter().partition(reached);
    if kept.is_empty() {
        (dropped, kept)
    } else {
        (kept, dropped)
    }
}

fn ask(address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    UdpSocket::bind(any)?.connect(address)
}

/// Whether it is the address that is out of reach. Other errors, such as no descriptor left or a
/// filter, tell nothing about it.
fn is_no_route(error: &io::Error) -> bool {
    // A family that is switched off has no address of its own to send from, or is not there.
    let unreachable = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EADDRNOTAVAIL,
        libc::EAFNOSUPPORT,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| unreachable.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Endpoint {
        Endpoint::Tcp(address.parse().unwrap())
    }

    #[test]
    fn addresses_without_a_route_are_parted_from_the_others() {
        let v6 = [tcp("[2001:db8::1]:80"), tcp("[2001:db8::2]:80")];
        let v4 = [tcp("192.0.2.1:80"), Endpoint::Unix("/run/x".into())];
        let found = [v6.as_slice(), &v4].concat();
        for errno in [libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT] {
            let no_v6 = |a: SocketAddr| a.is_ipv6().then(|| io::Error::from_raw_os_error(errno));
            assert_eq!(part(found.clone(), no_v6), (v4.to_vec(), v6.to_vec()));
            // With nothing else to use, the run itself shall say what is wrong.
            assert_eq!(part(v6.to_vec(), no_v6), (v6.to_vec(), vec![]));
        }
        let filtered = |_| Some(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(part(found.clone(), filtered), (found.clone(), vec![]));
        assert_eq!(part(found.clone(), |_| None), (found, vec![]));
    }

    #[test]
    fn this_very_host_is_reached() {
        let here = vec![tcp("127.0.0.1:9")];
        assert_eq!(with_route(here.clone()), (here, vec![]));
        assert!(ask("127.0.0.1:9".parse().unwrap()).is_ok());
    }
}
