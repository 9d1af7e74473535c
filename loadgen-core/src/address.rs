//! Where a target is, from what a user typed: names, ports, paths.
//!
//! Names are looked up here and nowhere else, once, before a run; nothing connects.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use crate::workload::Endpoint;

/// The longest path of a unix socket, bytes (`unix(7)`, `sun_path` without its NUL).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Reads `HOST[:PORT]`, `[IPV6][:PORT]`; the host comes without brackets, in lower case.
///
/// # Errors
/// The reason.
pub fn split(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            let address: Result<Ipv6Addr, _> = host.parse();
            address.map_err(|_| format!("[{host}] is no IPv6 address"))?;
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err(format!("{port} follows the bracket")),
                port => (host, port),
            }
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets, as in [::1]:80".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | ':'));
    if let Some(odd) = host.chars().find(odd) {
        return Err(format!("a host name has no {odd:?}"));
    }
    let port = match port {
        None | Some("") => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Some(port),
            _ => return Err(format!("a port is a number from 1 to 65535, not {text}")),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// The unix socket at `path`.
///
/// # Errors
/// The reason, with the limit and the actual value.
pub fn unix(path: &Path) -> Result<Endpoint, String> {
    let bytes = path.as_os_str().len();
    if bytes == 0 || bytes > SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "a path has from 1 to {SOCKET_PATH_BYTES_MAX} bytes, this one {bytes}"
        ));
    }
    Ok(Endpoint::Unix(path.to_owned()))
}

/// All addresses of `host`, each once; one at least.
///
/// # Errors
/// The host and the reason.
pub fn look_up(host: &str, port: u16) -> Result<Vec<Endpoint>, String> {
    let found = (host, port).to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|error| format!("{host}: {error}"))?.collect();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for endpoint in one_family_of_loopback(found).into_iter().map(Endpoint::Tcp) {
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    if endpoints.is_empty() {
        return Err(format!("{host}: the name has no address"));
    }
    Ok(endpoints)
}

/// A name for this very machine (`localhost`) has an address in both families, and most servers
/// listen on one: of such a name IPv4 counts. `[::1]` says the other.
fn one_family_of_loopback(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let local = found.iter().all(|address| address.ip().is_loopback());
    if local && found.iter().any(SocketAddr::is_ipv4) {
        found.into_iter().filter(SocketAddr::is_ipv4).collect()
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_ipv4_and_names_elsewhere_keep_all_addresses() {
        let both: Vec<SocketAddr> =
            vec!["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()];
        assert_eq!(one_family_of_loopback(both.clone()), [both[1]]);
        assert_eq!(one_family_of_loopback(vec![both[0]]), [both[0]]);
        let far: Vec<SocketAddr> = vec![
            "[2001:db8::1]:80".parse().unwrap(),
            "192.0.2.1:80".parse().unwrap(),
        ];
        assert_eq!(one_family_of_loopback(far.clone()), far);
    }

    #[test]
    fn a_path_has_its_limit() {
        assert!(unix(Path::new("/run/x.sock")).is_ok());
        assert!(unix(Path::new("")).unwrap_err().contains("this one 0"));
        let long = "x".repeat(108);
        assert!(unix(Path::new(&long)).unwrap_err().contains("107"));
    }
}
