//! Files of `java.util.Properties`, and the settings of a client that come from them.
//!
//! The format is that of `Properties.load`: lines that go on behind a backslash, three ways to
//! separate a key, escapes, Latin-1. Pure but for reading the file.

use std::collections::BTreeMap;
use std::path::Path;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Settings by name; whoever understands one takes it out, and what is left is named in a note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence with the path, never with what stands in the file: there are passwords in it.
    pub(super) fn load(flag: &str, path: &Path) -> Result<Self, String> {
        let wrong = |why: String| format!("{flag} {}: {why}", path.display());
        let length = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
        if length.len() > FILE_BYTES_MAX {
            let length = length.len();
            return Err(wrong(format!(
                "{length} bytes are above the limit of {FILE_BYTES_MAX}"
            )));
        }
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        Self::parse(&bytes).map_err(wrong)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// An escape that is none.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        // Latin-1: every byte is the character of its number.
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut settings = Self::default();
        for line in logical_lines(&text) {
            let (key, value) = split(&line);
            settings.set(&unescape(key)?, &unescape(value)?);
        }
        Ok(settings)
    }

    /// Sets one; the last one counts.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Sets one typed as `NAME=VALUE`. `missing`: what a word without `=` is; the consumer's parser
    /// takes it as an empty value, the producer refuses it.
    ///
    /// # Errors
    /// The producer's sentence.
    pub(super) fn typed(&mut self, word: &str, missing: Missing) -> Result<(), String> {
        match (word.split_once('='), missing) {
            (Some((name, value)), _) => self.set(name, value),
            (None, Missing::Empty) => self.set(word, ""),
            (None, Missing::Refused) => return Err(format!("Invalid property: {word}")),
        }
        Ok(())
    }

    /// Takes one out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        // Java's parsers of values trim them.
        self.0.remove(name).map(|value| value.trim().to_owned())
    }

    /// Takes a number out.
    ///
    /// # Errors
    /// A sentence that names the setting, the limits and the value.
    pub(super) fn take_number(
        &mut self,
        name: &str,
        low: i64,
        high: i64,
    ) -> Result<Option<i64>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.parse().ok().filter(|n| (low..=high).contains(n));
        number
            .map(Some)
            .ok_or_else(|| format!("{name}: {value:?} is no whole number from {low} to {high}"))
    }

    /// Names of those that nobody took.
    pub(super) fn left(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// What a word without `=` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// A setting with an empty value.
    Empty,
    /// Nothing to go on with.
    Refused,
}

/// Lines without comments and blank ones, those that go on put together.
fn logical_lines(text: &str) -> Vec<String> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\x0c');
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    // An end of a line of two characters is one: the second is no line that a first one goes on in.
    let text = text.replace("\r\n", "\n");
    for line in text.split(['\n', '\r']) {
        let line = line.trim_start_matches(blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let mut whole = open.take().unwrap_or_default();
        let slashes = line.len() - line.trim_end_matches('\\').len();
        if slashes.is_multiple_of(2) {
            whole.push_str(line);
            lines.push(whole);
        } else {
            whole.push_str(&line[..line.len() - 1]);
            open = Some(whole);
        }
    }
    lines.extend(open);
    lines
}

/// The key ends at the first `=`, `:` or blank that is not escaped; blanks around the separator
/// belong to neither.
fn split(line: &str) -> (&str, &str) {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\x0c');
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (blank(c) || matches!(c, '=' | ':'));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(blank))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut units = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let unit = u16::from_str_radix(&digits, 16);
                    let whole = digits.len() == 4 && !digits.starts_with('+');
                    units.push(
                        unit.ok()
                            .filter(|_| whole)
                            .ok_or("a \\u without four hexadecimal digits")?,
                    );
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        flush(&mut units, &mut out);
        out.push(c);
    }
    flush(&mut units, &mut out);
    Ok(out)
}

/// UTF-16 units in a row are one text: a character may take two of them.
fn flush(units: &mut Vec<u16>, out: &mut String) {
    out.push_str(&String::from_utf16_lossy(units));
    units.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let settings = Properties::parse(text.as_bytes()).unwrap();
        settings.0.into_iter().collect()
    }

    /// The examples of the documentation of `java.util.Properties.load`, and what it says of
    /// escapes.
    #[test]
    fn the_format_is_javas() {
        for (text, expected) in [
            ("Truth = Beauty", vec![("Truth", "Beauty")]),
            (" Truth:Beauty", vec![("Truth", "Beauty")]),
            (
                "Truth                    :Beauty",
                vec![("Truth", "Beauty")],
            ),
            (
                "fruits   apple, banana, pear, \\\n         cantaloupe, watermelon, \\\n   kiwi",
                vec![(
                    "fruits",
                    "apple, banana, pear, cantaloupe, watermelon, kiwi",
                )],
            ),
            ("cheeses\n# c=1\n! d=2\n\n", vec![("cheeses", "")]),
            ("a\\=b\\ c = d=e:f ", vec![("a=b c", "d=e:f ")]),
            (
                "k=\\u00e9\\t\\\\x\\q\r\nl=\\uD83D\\uDE00",
                vec![("k", "é\t\\xq"), ("l", "😀")],
            ),
            (
                "a=b,\\\r\n  c,\\\r\n  d\r\ne=f\rg=h,\\\r  i",
                vec![("a", "b,c,d"), ("e", "f"), ("g", "h,i")],
            ),
            ("a=1\na=2", vec![("a", "2")]),
            ("a=1\\\\\nb=2", vec![("a", "1\\"), ("b", "2")]),
        ] {
            let owned = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
            let expected: Vec<_> = expected.into_iter().map(owned).collect();
            assert_eq!(parsed(text), expected, "{text:?}");
        }
        // A byte is a character.
        let latin = Properties::parse(b"p=\xe9").unwrap().take("p");
        assert_eq!(latin.as_deref(), Some("é"));
        for text in ["a=\\u12", "a=\\u12xz", "a=\\u+123"] {
            assert!(Properties::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_limits_and_what_nobody_takes_is_left() {
        let mut settings = Properties::default();
        settings.typed("a= 5 ", Missing::Refused).unwrap();
        settings.typed("b=x", Missing::Refused).unwrap();
        settings.typed("c", Missing::Empty).unwrap();
        settings.typed("d=e=f", Missing::Refused).unwrap();
        let refused = settings.typed("acks", Missing::Refused).unwrap_err();
        assert_eq!(refused, "Invalid property: acks");
        assert_eq!(settings.take_number("a", 0, 9), Ok(Some(5)));
        assert_eq!(settings.take_number("a", 0, 9), Ok(None));
        let why = settings.take_number("b", -1, 9).unwrap_err();
        assert_eq!(why, "b: \"x\" is no whole number from -1 to 9");
        assert_eq!(settings.take("d").as_deref(), Some("e=f"));
        assert_eq!(settings.left(), ["c"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let why = Properties::load("--command-config", Path::new("/no/such")).unwrap_err();
        assert!(why.starts_with("--command-config /no/such: "), "{why}");
    }
}
