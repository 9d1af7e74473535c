//! The chunked coding (RFC 9112 7.1), readable from any byte to any byte.
//!
//! Chunk data is counted, never looked at; extensions are ignored, trailers read over. Sizes,
//! lines and trailers are bounded.

use super::head::{FIELDS_MAX, HEAD_BYTES_MAX, LENGTH_MAX};
use super::{WireError, Wrong, sample};

/// The longest line with a chunk's size and extensions, bytes.
pub const CHUNK_LINE_BYTES_MAX: u32 = 4096;

/// Where in a chunked body the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the size.
    Size { digits: bool },
    /// In blanks behind the size.
    Blank,
    /// In an extension.
    Extension,
    /// At the LF behind the size.
    SizeLf,
    /// In the data.
    Data,
    /// At the CR behind the data.
    DataCr,
    /// At the LF behind the data.
    DataLf,
    /// In a trailer line, of which came: nothing, a CR, something.
    Trailer(Line),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    Cr,
    Text,
}

/// A chunked body being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Of the size being read, or of the data still to come.
    left: u64,
    /// Bytes of this line, or of the trailer section.
    line_bytes: u32,
    /// Lines of the trailer section.
    lines: u32,
}

/// How far [`Chunked::read`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are done with.
    pub eaten: usize,
    /// Of these, chunk data.
    pub payload_bytes: u64,
    /// The next so many bytes are chunk data too.
    pub discard: u64,
    /// The body is complete.
    pub done: bool,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            at: At::Size { digits: false },
            left: 0,
            line_bytes: 0,
            lines: 0,
        }
    }
}

impl Chunked {
    /// Reads on in `bytes`, as far as they go or to the end of the body.
    ///
    /// # Errors
    /// [`Wrong::BadChunk`], [`Wrong::TrailersTooLarge`], [`Wrong::TooManyTrailers`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<Step, WireError> {
        let mut step = Step::default();
        while let Some(&byte) = bytes.get(step.eaten) {
            if self.at == At::Data {
                let have = (bytes.len() - step.eaten) as u64;
                let take = self.left.min(have);
                self.skip(take);
                step.eaten += take as usize;
                step.payload_bytes += take;
                continue;
            }
            step.eaten += 1;
            step.done = self.byte(byte)?;
            if step.done {
                return Ok(step);
            }
        }
        if self.at == At::Data {
            step.discard = self.left;
        }
        Ok(step)
    }

    /// `bytes` of the data were discarded unseen.
    pub fn skip(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.at == At::Data && self.left == 0 {
            self.at = At::DataCr;
        }
    }

    /// Takes one byte of framing; whether the body is complete.
    fn byte(&mut self, byte: u8) -> Result<bool, WireError> {
        if let At::Trailer(line) = self.at {
            return self.trailer(line, byte);
        }
        self.line_bytes += 1;
        if self.line_bytes > CHUNK_LINE_BYTES_MAX {
            return Err(Wrong::BadChunk.because(format!(
                "the line with a chunk's size may have {CHUNK_LINE_BYTES_MAX} bytes, this one has \
                 more"
            )));
        }
        self.at = match (self.at, byte) {
            (At::Size { .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (At::Size { digits: true } | At::Blank | At::Extension, b'\r') => At::SizeLf,
            (At::Size { digits: true } | At::Blank, b' ' | b'\t') => At::Blank,
            (At::Size { digits: true } | At::Blank, b';') => At::Extension,
            (At::Extension, byte) if byte != b'\n' && byte != 0 => At::Extension,
            (At::SizeLf, b'\n') => self.sized(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.line_bytes = 0;
                At::Size { digits: false }
            }
            (at, byte) => return Err(unexpected(at, byte)),
        };
        Ok(false)
    }

    fn digit(&mut self, byte: u8) -> Result<At, WireError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        if self.left > LENGTH_MAX >> 4 {
            return Err(Wrong::BadChunk.because(format!(
                "a chunk may have {LENGTH_MAX} bytes, this one says it has more"
            )));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(At::Size { digits: true })
    }

    /// The line with the size is complete.
    fn sized(&mut self) -> At {
        self.line_bytes = 0;
        if self.left == 0 {
            At::Trailer(Line::Empty)
        } else {
            At::Data
        }
    }

    fn trailer(&mut self, line: Line, byte: u8) -> Result<bool, WireError> {
        self.line_bytes += 1;
        if self.line_bytes as usize > HEAD_BYTES_MAX {
            return Err(Wrong::TrailersTooLarge.because(format!(
                "the trailers of a reply may have {HEAD_BYTES_MAX} bytes, these have more"
            )));
        }
        let line = match (line, byte) {
            (Line::Empty | Line::Cr, b'\n') => return Ok(true),
            (Line::Empty, b'\r') => Line::Cr,
            (Line::Text, b'\n') => Line::Empty,
            _ => Line::Text,
        };
        if line == Line::Empty {
            self.lines += 1;
            if self.lines as usize > FIELDS_MAX {
                return Err(Wrong::TooManyTrailers.because(format!(
                    "a reply may have {FIELDS_MAX} trailer lines, this one has more"
                )));
            }
        }
        self.at = At::Trailer(line);
        Ok(false)
    }
}

fn unexpected(at: At, byte: u8) -> WireError {
    let wanted = match at {
        At::Size { digits: false } => "a chunk begins with its size in hexadecimal",
        At::Size { .. } | At::Blank => "a chunk's size ends with CRLF or a semicolon",
        At::Extension | At::SizeLf => "the line with a chunk's size ends with CRLF",
        _ => "a chunk's data ends with CRLF",
    };
    Wrong::BadChunk.because(format!("{wanted}, here stands {}", sample(&[byte])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<Step, Wrong> {
        Chunked::default().read(bytes).map_err(|error| error.wrong)
    }

    fn done(eaten: usize, payload_bytes: u64) -> Result<Step, Wrong> {
        Ok(Step {
            eaten,
            payload_bytes,
            discard: 0,
            done: true,
        })
    }

    #[test]
    fn sizes_extensions_and_trailers() {
        assert_eq!(whole(b"0\r\n\r\nrest"), done(5, 0));
        assert_eq!(whole(b"3\r\nabc\r\n0\r\n\r\n"), done(13, 3));
        assert_eq!(
            whole(b"00a\r\n0123456789\r\n000\r\n\r\n").map(|s| s.payload_bytes),
            Ok(10)
        );
        assert_eq!(
            whole(b"A;x=\"1;2\"\r\n0123456789\r\n0;y\r\n\r\n").map(|s| s.done),
            Ok(true)
        );
        assert_eq!(
            whole(b"1 \t\r\nx\r\n0\r\nA: b\r\nC: d\n\r\n").map(|s| s.done),
            Ok(true)
        );
    }

    #[test]
    fn data_that_has_not_come_is_discardable() {
        let step = whole(b"100\r\nabc").unwrap();
        assert_eq!(
            (step.eaten, step.payload_bytes, step.discard),
            (8, 3, 0x100 - 3)
        );
        let mut chunked = Chunked::default();
        let step = chunked.read(b"5\r\n").unwrap();
        assert_eq!(step.discard, 5);
        chunked.skip(2);
        assert_eq!(chunked.read(b"").unwrap().discard, 3);
        chunked.skip(3);
        assert!(chunked.read(b"\r\n0\r\n\r\n").unwrap().done);
    }

    #[test]
    fn broken_framing_is_named() {
        for bytes in [
            b"\r\n".as_slice(),
            b"x\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b";a\r\n",
            b"1\n",
            b"1;a\n",
            b"1 x\r\n",
            b"1\rx",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1\r\na\rx",
            b"8000000000000000\r\n",
            b"10000000000000000\r\n",
        ] {
            assert_eq!(whole(bytes), Err(Wrong::BadChunk), "{}", sample(bytes));
        }
        assert!(whole(b"7fffffffffffffff\r\n").is_ok());
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let max = CHUNK_LINE_BYTES_MAX as usize;
        let line = |len: usize| [b"1;".as_slice(), &vec![b'e'; len - 4], b"\r\n"].concat();
        assert!(whole(&line(max)).is_ok());
        assert_eq!(whole(&line(max + 1)), Err(Wrong::BadChunk));
        let trailers = |count: usize| [b"0\r\n".to_vec(), b"A: b\r\n".repeat(count)].concat();
        assert!(whole(&trailers(FIELDS_MAX)).is_ok());
        assert_eq!(
            whole(&trailers(FIELDS_MAX + 1)),
            Err(Wrong::TooManyTrailers)
        );
        let long = |len: usize| [b"0\r\n".to_vec(), vec![b'a'; len]].concat();
        assert!(whole(&long(HEAD_BYTES_MAX)).is_ok());
        assert_eq!(
            whole(&long(HEAD_BYTES_MAX + 1)),
            Err(Wrong::TrailersTooLarge)
        );
    }
}
