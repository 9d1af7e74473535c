//! The command line as the document keeps it: everything that was typed, without its secrets.
//!
//! Pure.

use std::ffi::OsString;

/// Headers whose values are nobody's business but the target's.
const SECRET: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// What takes a secret's place.
const MASK: &str = "…";

/// The flag whose value is a name and a password.
const CREDENTIALS: &str = "--sasl";

/// The words of the command line; credentials in flags, headers and URLs are masked.
pub(crate) fn recorded(words: &[OsString]) -> Vec<String> {
    let mut is_secret = false;
    let mask = |word: &OsString| {
        let word = word.to_string_lossy();
        let was_announced = std::mem::replace(&mut is_secret, word == CREDENTIALS);
        if was_announced {
            MASK.to_owned()
        } else {
            mask_url(&mask_header(&mask_credentials(&word)))
        }
    };
    words.iter().map(mask).collect()
}

/// `--sasl=NAME:PASSWORD`.
fn mask_credentials(word: &str) -> String {
    match word.split_once('=') {
        Some((CREDENTIALS, _)) => format!("{CREDENTIALS}={MASK}"),
        _ => word.to_owned(),
    }
}

/// `-H`, `-HName: value` and `--header=Name: value` all have the name and a colon in one word.
fn mask_header(word: &str) -> String {
    let Some((before, _)) = word.split_once(':') else {
        return word.to_owned();
    };
    let name = before.trim_end().to_ascii_lowercase();
    let is_secret = SECRET.iter().any(|secret| {
        name.strip_suffix(secret)
            .is_some_and(|rest| rest.is_empty() || rest == "-h" || rest.ends_with('='))
    });
    if is_secret {
        format!("{before}: {MASK}")
    } else {
        word.to_owned()
    }
}

/// `http://user:password@host/`.
fn mask_url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        for (word, kept) in [
            ("Authorization: Bearer x", "Authorization: …"),
            ("-Hcookie:a=b", "-Hcookie: …"),
            (
                "--header=Proxy-Authorization: x",
                "--header=Proxy-Authorization: …",
            ),
            ("X-Authorization: y", "X-Authorization: y"),
            ("Accept: */*", "Accept: */*"),
            ("http://u:p@host:80/a@b", "http://…@host:80/a@b"),
            ("http://host/a@b", "http://host/a@b"),
            ("-c100", "-c100"),
            ("--sasl=me:secret", "--sasl=…"),
            ("--sasl-less=me:x", "--sasl-less=me:x"),
        ] {
            assert_eq!(recorded(&[word.into()]), [kept]);
        }
        let words = ["--sasl", "me:secret", "host:1"].map(OsString::from);
        assert_eq!(recorded(&words), ["--sasl", "…", "host:1"]);
    }
}
