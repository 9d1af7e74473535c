//! A Rust file taken apart just far enough: comments, literals and tests told from code.
//!
//! This is a lexer for comments, strings and characters only. It keeps every line where it was,
//! so that a violation can name its line, and it must never reject a file.

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root of the workspace.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// Without comments.
    pub(crate) uncommented: String,
    /// Without comments and without what is inside literals.
    pub(crate) code: String,
    /// `uncommented` without `#[cfg(test)]` modules.
    pub(crate) shipped: String,
    /// `code` without `#[cfg(test)]` modules.
    pub(crate) shipped_code: String,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let kinds = classify(text.as_bytes());
        let keep = |wanted: &[Kind]| blank(&text, |i| !wanted.contains(&kinds[i]));
        let uncommented = keep(&[Kind::Code, Kind::Literal]);
        let code = keep(&[Kind::Code]);
        let tests = test_modules(&code);
        let outside = |text: &str| blank(text, |i| tests.iter().any(|t| t.contains(&i)));
        Self {
            shipped: outside(&uncommented),
            shipped_code: outside(&code),
            path,
            text,
            uncommented,
            code,
        }
    }

    /// Whether the whole file is only built for tests, examples, benches or fuzzing.
    pub(crate) fn is_test(&self) -> bool {
        let in_room = ["/tests/", "/examples/", "/benches/", "/fuzz/"]
            .iter()
            .any(|room| self.path.contains(room));
        let name = self.path.rsplit('/').next().unwrap_or_default();
        in_room || name == "tests.rs" || name.ends_with("_tests.rs") || name.starts_with("tests_")
    }

    /// `path:line`, for the byte at `offset` of any of the texts.
    pub(crate) fn at(&self, offset: usize) -> String {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        format!("{}:{line}", self.path)
    }
}

/// What a byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// `text` with spaces where `drop` says so; line breaks stay. Works on bytes, so that offsets in
/// the result are offsets in the original.
fn blank(text: &str, drop: impl Fn(usize) -> bool) -> String {
    let keep = |(i, b): (usize, u8)| if b == b'\n' || !drop(i) { b } else { b' ' };
    let bytes: Vec<u8> = text.bytes().enumerate().map(keep).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kind of every byte.
fn classify(text: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let mut i = 0;
    while i < text.len() {
        let rest = &text[i..];
        let after_word = i > 0 && is_word(text[i - 1]);
        let (kind, len) = if rest.starts_with(b"//") {
            (Kind::Comment, find(rest, b"\n").unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (Kind::Comment, block_comment(rest))
        } else if let Some(len) = raw_string(rest).filter(|_| !after_word) {
            (Kind::Literal, len)
        } else if rest[0] == b'"' {
            (Kind::Literal, quoted(rest, b'"'))
        } else if rest[0] == b'\'' && is_character(rest) {
            (Kind::Literal, quoted(rest, b'\''))
        } else {
            (Kind::Code, 1)
        };
        kinds[i..i + len].fill(kind);
        i += len;
    }
    kinds
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|w| w == needle)
}

/// Length of the block comment that `text` begins with; they nest.
fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < text.len() {
        if text[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if text[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    text.len()
}

/// Length of the raw string (`r"…"`, `br#"…"#`) that `text` begins with, if it does.
fn raw_string(text: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"]
        .into_iter()
        .find(|p| text.starts_with(p))?;
    let hashes = text[prefix.len()..]
        .iter()
        .take_while(|b| **b == b'#')
        .count();
    let open = prefix.len() + hashes;
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let end = find(&text[open + 1..], &close)?;
    Some(open + 1 + end + close.len())
}

/// Length of the literal that `text` begins with and `quote` ends.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < text.len() {
        match text[i] {
            b'\\' => i += 2,
            b if b == quote => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

/// Whether the quote that `text` begins with opens a character and not a lifetime.
fn is_character(text: &[u8]) -> bool {
    match text.get(1) {
        Some(b'\\') => true,
        Some(b) if b.is_ascii() => text.get(2) == Some(&b'\''),
        Some(_) => text.iter().skip(1).take(5).any(|b| *b == b'\''),
        None => false,
    }
}

/// The bytes of `#[cfg(test)] mod … { … }` in `code`, where literals and comments are blank.
fn test_modules(code: &str) -> Vec<std::ops::Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find(MARK).map(|at| at + from) {
        let item = &code[at + MARK.len()..];
        from = at + MARK.len();
        if !item.trim_start().starts_with("mod ") {
            continue;
        }
        let Some(open) = item
            .find(['{', ';'])
            .filter(|i| item.as_bytes()[*i] == b'{')
        else {
            continue;
        };
        let mut depth = 0_u32;
        let mut end = item.len();
        for (i, byte) in item.bytes().enumerate().skip(open) {
            depth = match byte {
                b'{' => depth + 1,
                b'}' => depth - 1,
                _ => depth,
            };
            if depth == 0 {
                end = i + 1;
                break;
            }
        }
        found.push(at..from + end);
        from += end;
    }
    found
}

#[test]
fn comments_and_literals_are_told_from_code() {
    let text = "a /* b /* c */ d */ e // f\n\"g // h\\\" i\" j 'k' l<'m> r#\"n\"o\"# p '\\'' q";
    let source = Source::new("x.rs", text);
    let words = |text: &str| -> Vec<String> {
        let split = text.split(|c: char| !c.is_alphanumeric());
        split.filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(words(&source.code), ["a", "e", "j", "l", "m", "p", "q"]);
    let with_literals = [
        "a", "e", "g", "h", "i", "j", "k", "l", "m", "r", "n", "o", "p", "q",
    ];
    assert_eq!(words(&source.uncommented), with_literals);
    assert_eq!(source.code.len(), text.len());
}

#[test]
fn test_modules_are_left_out() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { \"}\" }\n}\nfn c() {}\n";
    let source = Source::new("x.rs", text);
    assert!(source.shipped_code.contains("fn a"));
    assert!(!source.shipped_code.contains("fn b"));
    assert!(source.shipped_code.contains("fn c"));
    let at = source.shipped_code.find("fn c").unwrap();
    assert_eq!(source.at(at), "x.rs:6");
}
