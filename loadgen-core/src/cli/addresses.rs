//! `--bind-ip`: addresses, lists of them, and networks in CIDR notation.
//!
//! Pure. Nothing here may ask whether an address is configured; the kernel says so at bind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most addresses a run takes.
pub const ADDRESSES_MAX: usize = 65_536;

/// What one value of `--bind-ip` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindIps(pub Vec<IpAddr>);

impl FromStr for BindIps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(Self(vec![address_of(text, text)?]));
        };
        let address = address_of(address, text)?;
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse::<u32>().ok().filter(|p| *p <= bits);
        let prefix = prefix
            .ok_or_else(|| format!("the prefix length of {text:?} is not from 0 to {bits}"))?;
        expand(address, prefix, bits).map(Self)
    }
}

fn address_of(part: &str, text: &str) -> Result<IpAddr, String> {
    part.parse().map_err(|_| {
        format!("{text:?} is not an address or a network such as 10.0.0.1 or 10.0.0.0/24")
    })
}

/// The usable addresses of a network: without its own and the broadcast address in IPv4, without
/// the subnet-router anycast address in IPv6 (RFC 4291 section 2.6.1); /31, /32, /127 and /128
/// whole (RFC 3021, RFC 6164).
fn expand(address: IpAddr, prefix: u32, bits: u32) -> Result<Vec<IpAddr>, String> {
    let host_bits = bits - prefix;
    if host_bits > ADDRESSES_MAX.ilog2() {
        return Err(format!(
            "{address}/{prefix} has 2^{host_bits} addresses, above the limit of {ADDRESSES_MAX}"
        ));
    }
    let base = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let size = 1_u128 << host_bits;
    let make = |number: u128| match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    };
    if base % size != 0 {
        return Err(format!(
            "{address}/{prefix} has bits set behind its prefix; the network is {}/{prefix}",
            make(base - base % size)
        ));
    }
    let (skip_first, skip_last) = match address {
        _ if host_bits < 2 => (0, 0),
        IpAddr::V4(_) => (1, 1),
        IpAddr::V6(_) => (1, 0),
    };
    Ok((skip_first..size - skip_last)
        .map(|offset| make(base + offset))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        let BindIps(all) = text.parse().unwrap();
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn networks_give_their_usable_addresses() {
        assert_eq!(list("10.0.0.7"), ["10.0.0.7"]);
        assert_eq!(list("10.0.0.8/30"), ["10.0.0.9", "10.0.0.10"]);
        assert_eq!(list("10.0.0.8/31"), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(list("10.0.0.8/32"), ["10.0.0.8"]);
        assert_eq!(list("fd00::/126"), ["fd00::1", "fd00::2", "fd00::3"]);
        assert_eq!(list("::1"), ["::1"]);
        assert_eq!(list("10.1.0.0/16").len(), 65_534);
        assert_eq!(list("fd00::/112").len(), 65_535);
    }

    #[test]
    fn refusals_name_the_value_and_the_limit() {
        for (text, part) in [
            ("", "not an address"),
            ("host", "\"host\""),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/x", "0 to 32"),
            ("10.0.0.0/8", "65536"),
            ("fd00::/64", "2^64"),
            ("::/0", "2^128"),
            ("10.0.0.5/24", "10.0.0.0/24"),
        ] {
            let refused = text.parse::<BindIps>().unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
