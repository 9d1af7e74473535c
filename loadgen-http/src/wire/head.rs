//! The head of a reply: what framing needs of its status line and fields (RFC 9112 4, 5, 6.3).
//!
//! Fields that say nothing about framing are checked for form and not kept. Lenient where RFC 9112
//! allows a user agent to be (bare LF, folded lines, blanks before the colon, no reason), strict
//! where the extent of the reply would become a guess. Nothing here may allocate but for an error.

use memchr::{memchr, memchr3};

use super::{WireError, Wrong, sample};

/// The longest head that is read, bytes, with the empty line at its end.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most fields a head may have.
pub const FIELDS_MAX: usize = 128;
/// The largest body or chunk that is believed: 2^63 − 1 bytes.
pub const LENGTH_MAX: u64 = i64::MAX as u64;
/// The length of a `Date` (RFC 9110 5.6.7, IMF-fixdate), bytes.
pub const DATE_BYTES: usize = 29;

/// How the end of a reply's body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// At its last chunk.
    Chunked,
    /// When the target closes.
    UntilClose,
}

/// A reply's head, as far as framing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length with the empty line, bytes.
    pub bytes: usize,
    /// The status code, 100 to 599.
    pub status: u16,
    /// How the end of the body is found.
    pub body: Body,
    /// Whether the connection may be used again (RFC 9112 9.3).
    pub persistent: bool,
    /// Where the value of a plain [`DATE_BYTES`]-long `Date` begins: the one part of a head that
    /// changes from reply to reply.
    pub date: Option<usize>,
}

/// How many bytes at the beginning are empty lines. They are no part of a reply; like other
/// clients we read over them where a reply is awaited.
#[must_use]
pub fn empty_lines(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [b'\n', ..] => at += 1,
            [b'\r', b'\n', ..] => at += 2,
            _ => return at,
        }
    }
}

/// Whether `bytes`, a beginning of any length, can still become an HTTP/1 reply.
///
/// # Errors
/// [`Wrong::NotHttp1`], at the first byte that differs.
pub fn check_start(bytes: &[u8]) -> Result<(), WireError> {
    const START: &[u8] = b"HTTP/1.";
    let seen = bytes.len().min(START.len());
    // A lone CR may still turn out to be an empty line.
    if bytes[..seen] == START[..seen] || bytes == b"\r" {
        return Ok(());
    }
    let guess = match bytes {
        [b'H', b'T', b'T', b'P', b'/', ..] => " (another version of HTTP)",
        [_, _, _, 4, ..] => " (it looks like HTTP/2)",
        [0x15 | 0x16, 3, ..] => " (it looks like TLS)",
        _ => "",
    };
    let seen = sample(bytes);
    Err(Wrong::NotHttp1.because(format!(
        "a reply begins with \"HTTP/1.\", this one with {seen}{guess}"
    )))
}

/// The length of the head at the start of `bytes`; `None`: it has not all come. The bytes before
/// `from` are known to hold no end; after `None`, `from` may be `bytes.len() - 2`.
///
/// # Errors
/// [`Wrong::HeadTooLarge`].
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, WireError> {
    let seen = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut at = from.min(seen.len());
    while let Some(line) = memchr(b'\n', &seen[at..]) {
        at += line + 1;
        match &seen[at..] {
            [b'\n', ..] => return Ok(Some(at + 1)),
            [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
            _ => {}
        }
    }
    if seen.len() == HEAD_BYTES_MAX {
        return Err(Wrong::HeadTooLarge.because(format!(
            "the head of a reply may have {HEAD_BYTES_MAX} bytes, this one has more"
        )));
    }
    Ok(None)
}

/// Reads a whole head, as long as [`find_end`] said. `to_head`: it answers a HEAD request.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(head: &[u8], to_head: bool) -> Result<Head, WireError> {
    let (status, minor, mut at) = status_line(head)?;
    let mut fields = Fields::default();
    let mut count = 0;
    while !matches!(head.get(at..), None | Some([] | [b'\n'] | [b'\r', b'\n'])) {
        count += 1;
        if count > FIELDS_MAX {
            return Err(Wrong::TooManyHeaders.because(format!(
                "a reply may have {FIELDS_MAX} header fields, this one has more"
            )));
        }
        at = field_line(head, at, &mut fields)?;
    }
    let body = fields.body(status, to_head)?;
    let both = fields.coded && fields.length != Length::Absent;
    let persistent = if minor == 0 {
        fields.keep_alive && !fields.close && !fields.coded
    } else {
        !fields.close
    };
    Ok(Head {
        bytes: head.len(),
        status,
        body,
        persistent: persistent && !both && body != Body::UntilClose,
        date: fields.date,
    })
}

/// The status, the minor version and where the next line begins.
fn status_line(head: &[u8]) -> Result<(u16, u8, usize), WireError> {
    let wrong = |why: &str| {
        let line = memchr(b'\n', head).map_or(head, |end| &head[..end]);
        Wrong::BadStatusLine.because(format!("{why}: {}", sample(line)))
    };
    let [_, _, _, _, _, _, _, minor, b' ', a, b, c, rest @ ..] = head else {
        return Err(wrong("no status line"));
    };
    let digits = [*minor, *a, *b, *c];
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(rest, [b' ' | b'\r' | b'\n', ..]) {
        return Err(wrong("no status line"));
    }
    let [minor, a, b, c] = digits.map(|digit| digit - b'0');
    let status = u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c);
    if !(100..=599).contains(&status) {
        return Err(wrong("a status code is from 100 to 599"));
    }
    let (_, next) = line_end(head, 12).ok_or_else(|| wrong("a bare CR or NUL in a line"))?;
    Ok((status, minor, next))
}

/// Where the line's content ends and where the next line begins; `None`: it holds a bare CR or a
/// NUL (RFC 9110 5.5 calls them dangerous).
fn line_end(head: &[u8], from: usize) -> Option<(usize, usize)> {
    let end = from + memchr3(b'\n', b'\r', 0, head.get(from..)?)?;
    match &head[end..] {
        [b'\n', ..] => Some((end, end + 1)),
        [b'\r', b'\n', ..] => Some((end, end + 2)),
        _ => None,
    }
}

/// Reads the field that begins at `start`, with its folded lines; where the next line begins.
fn field_line<'a>(
    head: &'a [u8],
    start: usize,
    fields: &mut Fields<'a>,
) -> Result<usize, WireError> {
    let wrong = |why: &str| {
        let rest = &head[start..];
        let line = memchr(b'\n', rest).map_or(rest, |end| &rest[..end]);
        Wrong::BadHeader.because(format!("{why}: {}", sample(line)))
    };
    let mut at = start;
    while head.get(at).is_some_and(|byte| is_token(*byte)) {
        at += 1;
    }
    let name = &head[start..at];
    if name.is_empty() {
        return Err(wrong("a header field begins with its name"));
    }
    while matches!(head.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    if head.get(at) != Some(&b':') {
        return Err(wrong("a header field is a name, a colon and a value"));
    }
    let value = at + 1;
    let (mut end, mut next) = line_end(head, value).ok_or_else(|| wrong("a bare CR or NUL"))?;
    let folded = matches!(head.get(next), Some(b' ' | b'\t'));
    while matches!(head.get(next), Some(b' ' | b'\t')) {
        (end, next) = line_end(head, next).ok_or_else(|| wrong("a bare CR or NUL"))?;
    }
    fields.note(name, head, value..end, folded);
    Ok(next)
}

/// `tchar` (RFC 9110 5.6.2).
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let c = byte as u8;
            table[byte] = c.is_ascii_alphanumeric()
                || matches!(c, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
                || matches!(c, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// What `Content-Length` says, over all its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Absent,
    Known(u64),
    /// Not a number, too large a number, or two different ones.
    Wrong,
}

/// The fields that matter for framing.
#[derive(Debug, Default)]
struct Fields<'a> {
    length: Length,
    /// The value that made [`Length::Wrong`] of it.
    wrong_length: &'a [u8],
    /// `Transfer-Encoding` is there.
    coded: bool,
    /// Its last coding is `chunked`.
    chunked: bool,
    /// It gives `chunked` parameters.
    chunked_params: bool,
    close: bool,
    keep_alive: bool,
    date: Option<usize>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn note(&mut self, name: &[u8], head: &'a [u8], at: std::ops::Range<usize>, folded: bool) {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => {
                let plain = !folded && at.len() == DATE_BYTES + 1 && head[at.start] == b' ';
                self.date = plain.then_some(at.start + 1);
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(&head[at]),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(&head[at]),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(&head[at]),
            _ => {}
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn content_length(&mut self, value: &'a [u8]) {
        for member in members(value) {
            self.length = match (self.length, decimal(member)) {
                (Length::Absent, Some(bytes)) => Length::Known(bytes),
                (Length::Known(before), Some(bytes)) if before == bytes => Length::Known(bytes),
                _ => {
                    self.wrong_length = value;
                    Length::Wrong
                }
            };
        }
    }

    fn coding(&mut self, value: &[u8]) {
        self.coded = true;
        for member in members(value).filter(|member| !member.is_empty()) {
            let mut parts = member.splitn(2, |byte| *byte == b';');
            let name = trim(parts.next().unwrap_or_default());
            let is_chunked = name.eq_ignore_ascii_case(b"chunked");
            self.chunked_params |= is_chunked && parts.next().is_some();
            self.chunked = is_chunked;
        }
    }

    /// RFC 9112 6.3, rule by rule.
    fn body(&self, status: u16, to_head: bool) -> Result<Body, WireError> {
        if to_head || status < 200 || status == 204 || status == 304 {
            return Ok(Body::None);
        }
        if self.coded {
            if self.chunked_params {
                return Err(Wrong::BadTransferEncoding
                    .because("the chunked coding has no parameters, this reply gives it some"));
            }
            return Ok(if self.chunked {
                Body::Chunked
            } else {
                Body::UntilClose
            });
        }
        match self.length {
            Length::Absent => Ok(Body::UntilClose),
            Length::Known(0) => Ok(Body::None),
            Length::Known(bytes) => Ok(Body::Length(bytes)),
            Length::Wrong => Err(Wrong::BadContentLength.because(format!(
                "Content-Length is one decimal number up to {LENGTH_MAX}; in this reply it is not: {}",
                sample(self.wrong_length)
            ))),
        }
    }
}

/// The members of a comma-separated list, without the blanks around them. Where a line was folded,
/// CR and LF are blanks too.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..]
    | [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text
    {
        text = rest;
    }
    text
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| {
        let value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
        (value <= LENGTH_MAX).then_some(value)
    })
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
