//! HTTP/1.1 on the wire: encode requests, read replies. RFC 9112 (syntax) and RFC 9110 (meaning).
//!
//! Values only: bytes in, values out. Nothing here may know of connections, time or workloads, and
//! nothing may panic on any input.

pub mod chunked;
pub mod head;
pub mod request;

/// What can be wrong with a reply: the protocol's closed table of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wrong {
    /// It does not begin with `HTTP/1.`: HTTP/0.9, HTTP/2, TLS or something else (RFC 9112 2.3).
    NotHttp1,
    /// The status line is none, or its code is outside 100–599 (RFC 9112 4, RFC 9110 15).
    BadStatusLine,
    /// The head is longer than [`head::HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// The head has more fields than [`head::FIELDS_MAX`].
    TooManyHeaders,
    /// A field line is none (RFC 9112 5).
    BadHeader,
    /// `Content-Length` is not one number (RFC 9112 6.3, rule 5).
    BadContentLength,
    /// `Transfer-Encoding` gives `chunked` parameters, and it has none (RFC 9112 7.1).
    BadTransferEncoding,
    /// The framing of a chunk is broken (RFC 9112 7.1).
    BadChunk,
    /// The trailer section is longer than [`head::HEAD_BYTES_MAX`].
    TrailersTooLarge,
    /// The trailer section has more lines than [`head::FIELDS_MAX`].
    TooManyTrailers,
    /// `101 Switching Protocols`, which loadgen never asks for (RFC 9110 15.2.2).
    UnexpectedUpgrade,
}

impl Wrong {
    /// The names in the results document, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "not_http1",
        "bad_status_line",
        "head_too_large",
        "too_many_headers",
        "bad_header",
        "bad_content_length",
        "bad_transfer_encoding",
        "bad_chunk",
        "trailers_too_large",
        "too_many_trailers",
        "unexpected_upgrade",
    ];

    /// The name in the results document.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The error with this cause; `detail` is one sentence with the limit and the actual value.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> WireError {
        WireError {
            wrong: self,
            detail: detail.into(),
        }
    }
}

/// Why a reply could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The cause.
    pub wrong: Wrong,
    /// One sentence with the limit and the actual value.
    pub detail: String,
}

/// The beginning of `bytes` as printable text, for an error's detail.
#[must_use]
pub fn sample(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(40)];
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cause_has_the_last_name() {
        assert_eq!(Wrong::UnexpectedUpgrade.name(), "unexpected_upgrade");
        assert_eq!(Wrong::NAMES.len(), Wrong::UnexpectedUpgrade as usize + 1);
        assert_eq!(Wrong::BadChunk.name(), "bad_chunk");
    }
}
