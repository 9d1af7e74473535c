//! The doors: an old tool's flags and report over our engine.
//!
//! A door is opened by `loadgen NAME …`, or by calling the binary NAME, through a link. It must
//! never change what is measured, only what is typed and what is printed.

mod getopt;
mod wrk;
mod wrk_flags;

use std::ffi::OsString;
use std::path::Path;

pub(crate) use wrk::run as wrk;
pub(crate) use wrk_flags::Tool;

/// The door that a command line asks for, and the words behind its name.
pub(crate) fn of(words: &[OsString]) -> Option<(Tool, &[OsString])> {
    let called = words.first().and_then(|word| Path::new(word).file_name());
    if let Some(tool) = called.and_then(|name| named(name.to_str()?)) {
        return Some((tool, &words[1..]));
    }
    let tool = words.get(1).and_then(|word| named(word.to_str()?))?;
    Some((tool, &words[2..]))
}

fn named(name: &str) -> Option<Tool> {
    [Tool::Wrk, Tool::Wrk2]
        .into_iter()
        .find(|tool| tool.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_or_by_the_name_of_the_binary() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        let found = |line: &str| of(&words(line)).map(|(tool, rest)| (tool, rest.len()));
        assert_eq!(found("loadgen wrk -c5 url"), Some((Tool::Wrk, 2)));
        assert_eq!(found("/usr/bin/wrk2 -R5 url"), Some((Tool::Wrk2, 2)));
        assert_eq!(found("wrk wrk2"), Some((Tool::Wrk, 1)));
        assert_eq!(found("loadgen http wrk"), None);
        assert_eq!(found("loadgen"), None);
    }
}
