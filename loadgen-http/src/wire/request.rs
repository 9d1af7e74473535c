//! A request, encoded once and sent again and again (RFC 9112 3, RFC 9110 7).
//!
//! Nothing here judges what the user asked for: `plan` has done that.

use bytes::Bytes;
use loadgen_core::buffer::{Outbox, Region};

/// A header field: name and value.
pub type Field = (String, String);

/// What `User-Agent` says unless the user says something else.
pub const USER_AGENT: &str = concat!("loadgen/", env!("CARGO_PKG_VERSION"));

/// All header fields of a request, in the order they are sent: Host, User-Agent, the user's,
/// Content-Length. A user's field takes the place of ours of the same name.
#[must_use]
pub fn fields(method: &str, host: &str, user: &[Field], body: Option<&Bytes>) -> Vec<Field> {
    let mut fields = Vec::with_capacity(user.len() + 3);
    let given = |name: &str| {
        user.iter()
            .any(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    // Host comes first (RFC 9112 3.2), whoever chose it.
    for (name, value) in [("Host", host), ("User-Agent", USER_AGENT)] {
        let replaced = user
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        if given(name) {
            fields.extend(replaced.cloned());
        } else {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    let rest = user.iter().filter(|(name, _)| {
        !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("user-agent")
    });
    fields.extend(rest.cloned());
    // A method that is expected to carry content says so when it carries none (RFC 9110 8.6).
    let expected = matches!(method, "POST" | "PUT" | "PATCH");
    if !given("content-length") && (body.is_some() || expected) {
        let bytes = body.map_or(0, Bytes::len);
        fields.push(("Content-Length".to_owned(), bytes.to_string()));
    }
    fields
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Template {
    head: Vec<u8>,
    last_head: Vec<u8>,
    body: Option<Region>,
    to_head: bool,
}

impl Template {
    /// Encodes a request. `fields` are all of its header fields, as [`fields`] makes them.
    #[must_use]
    pub fn new(method: &str, target: &str, fields: &[Field], body: Option<Region>) -> Self {
        let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in fields {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        let mut last_head = head.clone();
        if !says_close(fields) {
            last_head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        last_head.extend_from_slice(b"\r\n");
        Self {
            head,
            last_head,
            body,
            to_head: method == "HEAD",
        }
    }

    /// Appends the request to what leaves. `last`: it is the connection's last, and says so
    /// (RFC 9112 9.6).
    #[inline]
    pub fn put(&self, last: bool, out: &mut Outbox) {
        out.put(if last { &self.last_head } else { &self.head });
        if let Some(body) = &self.body {
            out.put_region(body);
        }
    }

    /// The length of its body, bytes.
    #[must_use]
    #[inline]
    pub fn body_bytes(&self) -> u64 {
        self.body
            .as_ref()
            .map_or(0, |body| body.bytes().len() as u64)
    }

    /// Whether it is a HEAD request, whose replies have no body.
    #[must_use]
    #[inline]
    pub fn is_head(&self) -> bool {
        self.to_head
    }
}

/// Whether these fields ask for the connection to be closed after the reply.
#[must_use]
pub fn says_close(fields: &[Field]) -> bool {
    fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_core::buffer::SEND_FILE_BYTES;

    fn field(name: &str, value: &str) -> Field {
        (name.to_owned(), value.to_owned())
    }

    fn sent(method: &str, user: &[Field], body: Option<&'static [u8]>, last: bool) -> String {
        let body = body.map(Bytes::from_static);
        let fields = fields(method, "h:8080", user, body.as_ref());
        let template = Template::new(method, "/p?q=1", &fields, body.map(Region::new));
        let mut out = Outbox::default();
        template.put(last, &mut out);
        String::from_utf8(out.flatten()).unwrap()
    }

    #[test]
    fn a_plain_get() {
        let wanted =
            format!("GET /p?q=1 HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: {USER_AGENT}\r\n\r\n");
        assert_eq!(sent("GET", &[], None, false), wanted);
    }

    #[test]
    fn the_last_one_says_close_once() {
        let wanted = format!(
            "GET /p?q=1 HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: {USER_AGENT}\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(sent("GET", &[], None, true), wanted);
        let user = [field("Connection", "TE, Close")];
        let both = sent("GET", &user, None, true);
        assert_eq!(both, sent("GET", &user, None, false));
        assert_eq!(both.matches("onnection").count(), 1);
    }

    #[test]
    fn a_users_field_takes_the_place_of_ours() {
        let user = [
            field("X-A", "1"),
            field("user-agent", "mine"),
            field("X-A", "2"),
            field("HOST", "other"),
            field("content-length", "3"),
        ];
        assert_eq!(
            sent("POST", &user, Some(b"abc"), false),
            "POST /p?q=1 HTTP/1.1\r\nHOST: other\r\nuser-agent: mine\r\nX-A: 1\r\nX-A: 2\r\n\
             content-length: 3\r\n\r\nabc"
        );
    }

    #[test]
    fn a_body_is_counted_and_a_missing_one_too() {
        assert!(
            sent("PUT", &[], Some(b"abc"), false).ends_with("\r\nContent-Length: 3\r\n\r\nabc")
        );
        assert!(sent("POST", &[], None, false).ends_with("\r\nContent-Length: 0\r\n\r\n"));
        assert!(!sent("DELETE", &[], None, false).contains("Content-Length"));
        assert!(sent("GET", &[], Some(b""), false).ends_with("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_large_body_leaves_from_its_file() {
        let body = Region::new(Bytes::from(vec![b'x'; SEND_FILE_BYTES]));
        let template = Template::new("PUT", "/", &[], Some(body));
        let mut out = Outbox::default();
        template.put(false, &mut out);
        assert_eq!(out.copied(), b"PUT / HTTP/1.1\r\n\r\n");
        assert_eq!(out.inserts().len(), 1);
        assert_eq!(template.body_bytes(), SEND_FILE_BYTES as u64);
    }
}
