//! The doors: an old tool's flags and report over our engine.
//!
//! A door is opened by `loadgen NAME …`, or by calling the binary NAME, through a link. It must
//! never change what is measured, only what is typed and what is printed.

mod getopt;
mod kafka;
mod memaslap;
mod memaslap_flags;
mod wrk;
mod wrk_flags;

use std::ffi::OsString;
use std::path::Path;

use wrk_flags::Tool;

/// One of the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// wrk.
    Wrk,
    /// wrk2.
    Wrk2,
    /// memaslap, which Debian calls memcaslap.
    Memaslap,
    /// kafka-consumer-perf-test.
    KafkaConsumer,
    /// kafka-producer-perf-test.
    KafkaProducer,
}

impl Door {
    /// Opens it: `words` is what follows the name, `typed` the whole command line. The exit code.
    pub(crate) fn open(self, words: &[OsString], typed: &[OsString]) -> u8 {
        match self {
            Self::Wrk => wrk::run(Tool::Wrk, words, typed),
            Self::Wrk2 => wrk::run(Tool::Wrk2, words, typed),
            Self::Memaslap => memaslap::run(words, typed),
            Self::KafkaConsumer => kafka::consumer_perf(words, typed),
            Self::KafkaProducer => kafka::producer_perf(words, typed),
        }
    }
}

/// The door that a command line asks for, and the words behind its name.
pub(crate) fn of(words: &[OsString]) -> Option<(Door, &[OsString])> {
    let called = words.first().and_then(|word| Path::new(word).file_name());
    if let Some(door) = called.and_then(|name| named(name.to_str()?)) {
        return Some((door, &words[1..]));
    }
    let door = words.get(1).and_then(|word| named(word.to_str()?))?;
    Some((door, &words[2..]))
}

fn named(name: &str) -> Option<Door> {
    let doors = [
        (Tool::Wrk.name(), Door::Wrk),
        (Tool::Wrk2.name(), Door::Wrk2),
        ("memaslap", Door::Memaslap),
        ("memcaslap", Door::Memaslap),
        (kafka::CONSUMER[0], Door::KafkaConsumer),
        (kafka::CONSUMER[1], Door::KafkaConsumer),
        (kafka::PRODUCER[0], Door::KafkaProducer),
        (kafka::PRODUCER[1], Door::KafkaProducer),
    ];
    let found = doors.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, door)| door)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_or_by_the_name_of_the_binary() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        let found = |line: &str| of(&words(line)).map(|(door, rest)| (door, rest.len()));
        assert_eq!(found("loadgen wrk -c5 url"), Some((Door::Wrk, 2)));
        assert_eq!(found("/usr/bin/wrk2 -R5 url"), Some((Door::Wrk2, 2)));
        assert_eq!(found("wrk wrk2"), Some((Door::Wrk, 1)));
        assert_eq!(found("loadgen memaslap -B"), Some((Door::Memaslap, 1)));
        assert_eq!(found("./memcaslap -s h"), Some((Door::Memaslap, 2)));
        let line = "bin/kafka-consumer-perf-test.sh --topic t";
        assert_eq!(found(line), Some((Door::KafkaConsumer, 2)));
        let line = "loadgen kafka-producer-perf-test";
        assert_eq!(found(line), Some((Door::KafkaProducer, 0)));
        assert_eq!(found("loadgen http wrk"), None);
        assert_eq!(found("loadgen"), None);
    }
}
