//! The URLs of the command line: `http://HOST[:PORT][/PATH][?QUERY]` and nothing cleverer.
//!
//! Read by hand so that every refusal has a reason a person can act on. No look-ups here.

use loadgen_core::address;

/// The port of `http:` (RFC 9110 4.2.1).
pub const DEFAULT_PORT: u16 = 80;

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host without brackets, in lower case.
    pub host: String,
    /// The port, 80 unless given.
    pub port: u16,
    /// What a request line says: path and query (RFC 9112 3.2.1).
    pub target: String,
}

impl Url {
    /// Reads `text`.
    ///
    /// # Errors
    /// The reason, to be put behind the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("it has no scheme; write http://{text}"))?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(
                "https is not supported yet; put a plain http listener in front of it, or measure \
                 the http port"
                    .to_owned(),
            );
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!("the scheme is http, not {scheme}"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(split);
        let (host, port) = host_and_port(authority)?;
        Ok(Self {
            host,
            port: port.unwrap_or(DEFAULT_PORT),
            target: request_target(target)?,
        })
    }

    /// What `Host` says: the port only when it is not the default one, IPv6 in brackets
    /// (RFC 9110 7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = bracketed(&self.host);
        match self.port {
            DEFAULT_PORT => host,
            port => format!("{host}:{port}"),
        }
    }

    /// Host and port, always both: the name of the place requests go to.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Reads `HOST[:PORT]`, `[IPV6][:PORT]`; the host comes without brackets, in lower case.
///
/// # Errors
/// The reason.
pub fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    if text.contains('@') {
        return Err("credentials in it are not sent; use -H 'Authorization: …' instead".to_owned());
    }
    address::split(text)
}

fn request_target(text: &str) -> Result<String, String> {
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("{odd:?} in it must be percent-encoded"));
    }
    Ok(match text.strip_prefix('/') {
        Some(_) => text.to_owned(),
        None => format!("/{text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.authority(), url.port, url.target)
    }

    fn wanted(authority: &str, port: u16, target: &str) -> (String, u16, String) {
        (authority.to_owned(), port, target.to_owned())
    }

    #[test]
    fn host_says_the_port_only_when_it_must() {
        assert_eq!(parts("http://h"), wanted("h", 80, "/"));
        assert_eq!(parts("HTTP://H:80/a"), wanted("h", 80, "/a"));
        assert_eq!(parts("http://h:/"), wanted("h", 80, "/"));
        assert_eq!(parts("http://h:8080/a?b#c"), wanted("h:8080", 8080, "/a?b"));
        assert_eq!(parts("http://h?x=/"), wanted("h", 80, "/?x=/"));
        assert_eq!(parts("http://10.0.0.1:81"), wanted("10.0.0.1:81", 81, "/"));
        assert_eq!(parts("http://[::1]/"), wanted("[::1]", 80, "/"));
        assert_eq!(
            parts("http://[FE80::1]:81/"),
            wanted("[fe80::1]:81", 81, "/")
        );
        assert_eq!(Url::parse("http://[::1]/").unwrap().origin(), "[::1]:80");
    }

    #[test]
    fn a_refusal_says_why() {
        for (text, why) in [
            ("localhost:8080", "write http://localhost:8080"),
            ("https://h/", "https is not supported yet"),
            ("ftp://h/", "not ftp"),
            ("http:///x", "no host"),
            ("http://:80/", "no host"),
            ("http://h:0/", "from 1 to 65535, not 0"),
            ("http://h:65536/", "not 65536"),
            ("http://h:+1/", "not +1"),
            ("http://h:x/", "not x"),
            ("http://::1/", "brackets"),
            ("http://[::1/", "not closed"),
            ("http://[::1]x/", "x follows"),
            ("http://[nine]/", "no IPv6 address"),
            ("http://a:b@h/", "credentials"),
            ("http://h h/", "' '"),
            ("http://h/a b", "percent-encoded"),
            ("http://h/é", "percent-encoded"),
            ("http://h/\r\nX: y", "percent-encoded"),
        ] {
            let reason = Url::parse(text).unwrap_err();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }
}
