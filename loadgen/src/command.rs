//! The command line as the document keeps it: everything that was typed, without its secrets.
//!
//! A document is made to be passed on, and nobody can tell a secret header or body from another: the
//! values of all are masked, and credentials in URLs. Pure.

use std::ffi::OsString;

/// What takes a secret's place.
const MASK: &str = "…";

/// Short flags of all doors that take no value: others may follow in the same word.
const ALONE: [char; 6] = ['L', 'U', 'B', 'v', 'h', 'V'];

/// The words of the command line; headers keep their names, bodies the name of their file.
pub(crate) fn recorded(words: &[OsString]) -> Vec<String> {
    let mut kept = Vec::with_capacity(words.len());
    let mut behind: Option<Secret> = None;
    let mut flags = true;
    for word in words {
        let word = word.to_string_lossy();
        let masked = match behind.take() {
            Some(secret) => secret.mask(&word),
            None if flags && word == "--" => {
                flags = false;
                word.into_owned()
            }
            None if flags => match secret_flag(&word) {
                Some((secret, at)) if at == word.len() => {
                    behind = Some(secret);
                    word.into_owned()
                }
                Some((secret, at)) => format!("{}{}", &word[..at], secret.mask(&word[at..])),
                None => mask_word(&word),
            },
            None => mask_word(&word),
        };
        kept.push(masked);
    }
    kept
}

/// What a flag's value is.
#[derive(Clone, Copy, Debug)]
enum Secret {
    /// `NAME: VALUE`.
    Header,
    /// The bytes themselves, or `@FILE`.
    Body,
}

impl Secret {
    fn mask(self, value: &str) -> String {
        match self {
            Self::Header => match value.split_once(':') {
                Some((name, _)) => format!("{}: {MASK}", name.trim()),
                None => MASK.to_owned(),
            },
            Self::Body if value.starts_with('@') => value.to_owned(),
            Self::Body => MASK.to_owned(),
        }
    }
}

/// The secret that `word` announces, and where in it the value begins: at its end when the value is
/// the next word.
fn secret_flag(word: &str) -> Option<(Secret, usize)> {
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split('=').next().unwrap_or_default();
        let value_at = word.len().min(2 + name.len() + 1);
        // The doors take any beginning that is nobody else's; --he could still be --help.
        let is_header = name.len() > 2 && "header".starts_with(name);
        return match name {
            "body" | "sasl" => Some((Secret::Body, value_at)),
            _ if is_header => Some((Secret::Header, value_at)),
            _ => None,
        };
    }
    let cluster = word.strip_prefix('-')?;
    let at = cluster.find(|c| !ALONE.contains(&c))?;
    let secret = match cluster[at..].chars().next()? {
        'H' => Secret::Header,
        'b' => Secret::Body,
        _ => return None,
    };
    let value_at = 1 + at + 1;
    let has_sign = word[value_at..].starts_with('=');
    Some((secret, value_at + usize::from(has_sign)))
}

/// A word that may hold a secret whatever stands before it.
fn mask_word(word: &str) -> String {
    mask_setting(word).unwrap_or_else(|| mask_url(word))
}

/// `sasl.jaas.config=…`, a setting of a Java client, also behind `--command-property=`. `None`: it
/// is no such setting, or none with a secret.
fn mask_setting(word: &str) -> Option<String> {
    let (name, value) = word.split_once('=')?;
    if name.starts_with("--") {
        return mask_setting(value).map(|masked| format!("{name}={masked}"));
    }
    let secret = ["jaas", "password", "secret", "token", "key"];
    let is_secret = name.contains('.') && secret.iter().any(|part| name.contains(part));
    is_secret.then(|| format!("{name}={MASK}"))
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

    fn kept(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        recorded(&words)
    }

    #[test]
    fn values_of_headers_and_bodies_are_masked_however_they_are_typed() {
        for (typed, masked) in [
            (
                &["-H", "Authorization: Bearer x"][..],
                &["-H", "Authorization: …"][..],
            ),
            (&["-H", " X-Api-Key : x:y "], &["-H", "X-Api-Key: …"]),
            (&["-Hcookie:a=b"], &["-Hcookie: …"]),
            (&["-H=cookie:a=b"], &["-H=cookie: …"]),
            (&["-LH", "Cookie: a"], &["-LH", "Cookie: …"]),
            (&["--header", "X-Key: x"], &["--header", "X-Key: …"]),
            (&["--header=X-Key: x"], &["--header=X-Key: …"]),
            (&["--head", "X-Key: x"], &["--head", "X-Key: …"]),
            (&["-H", "nonsense"], &["-H", "…"]),
            (&["-b", "password=x"], &["-b", "…"]),
            (&["-bpassword=x"], &["-b…"]),
            (&["--body=password=x"], &["--body=…"]),
            (&["--body", "-H"], &["--body", "…"]),
            (&["--sasl", "name:secret"], &["--sasl", "…"]),
            (
                &["sasl.jaas.config=x required password=\"y\";", "acks=1"],
                &["sasl.jaas.config=…", "acks=1"],
            ),
            (
                &["--command-property=ssl.keystore.password=x"],
                &["--command-property=ssl.keystore.password=…"],
            ),
            (&["-b", "@file.json"], &["-b", "@file.json"]),
            (&["http://u:p@host:80/a@b"], &["http://…@host:80/a@b"]),
        ] {
            assert_eq!(kept(typed), masked, "{typed:?}");
        }
    }

    #[test]
    fn nothing_else_is_masked() {
        for typed in [
            &["loadgen", "http", "-c100", "-d", "10s", "http://host/a@b"][..],
            &[
                "wrk2",
                "-t2",
                "-R1k",
                "--help",
                "--batch_latency",
                "http://host/",
            ],
            &["--label", "H=b", "-LUB", "--bind-ip", "10.0.0.1", "-"],
            &["--", "-H", "http://host/"],
            &["--sasl-password-file=x", "--label", "key=b"],
            &[
                "--producer-props",
                "bootstrap.servers=h:1",
                "batch.size=16384",
            ],
        ] {
            assert_eq!(kept(typed), typed);
        }
    }
}
