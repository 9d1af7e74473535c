//! The flags of wrk and wrk2: what can be typed, its defaults, its checks.
//!
//! Pure. What they refuse, this refuses, and in the same order, so that a script that looks at
//! exit code and message sees no difference.

use std::path::PathBuf;
use std::time::Duration;

use super::getopt::{Flag, Item, Takes, parse};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// wrk: closed loop.
    Wrk,
    /// wrk2: a rate.
    Wrk2,
}

impl Tool {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Wrk2 => "wrk2",
        }
    }

    fn flags(self) -> Vec<Flag> {
        let mut flags = vec![
            flag('c', Some('c'), "connections", Takes::Value),
            flag('d', Some('d'), "duration", Takes::Value),
            flag('t', Some('t'), "threads", Takes::Value),
            flag('s', Some('s'), "script", Takes::Value),
            flag('H', Some('H'), "header", Takes::Value),
            flag('L', Some('L'), "latency", Takes::Nothing),
            flag('T', Some('T'), "timeout", Takes::Value),
            flag('v', Some('v'), "version", Takes::Nothing),
            flag('h', None, "help", Takes::Nothing),
            flag('j', None, "json", Takes::Optional),
        ];
        if self == Self::Wrk2 {
            flags.push(flag('R', Some('R'), "rate", Takes::Value));
            flags.push(flag('U', Some('U'), "u_latency", Takes::Nothing));
            flags.push(flag('B', Some('B'), "batch_latency", Takes::Nothing));
        }
        flags
    }

    /// The help text: the same facts, and what is ours besides.
    pub(crate) fn usage(self) -> String {
        let name = self.name();
        let more = match self {
            Self::Wrk => "        --latency          Print the latency distribution\n",
            Self::Wrk2 => concat!(
                "    -R, --rate        <N>  Requests per second, in total; required\n",
                "    -L, --latency          Print the latency distribution\n",
                "    -U, --u_latency        Print the distribution from sent as well\n",
                "    -B, --batch_latency    Accepted; every reply is timed by itself\n",
            ),
        };
        format!(
            "Usage: {name} <options> <url>\n\
             \x20 Options:\n\
             \x20   -c, --connections <N>  Connections, in total [default: 10]\n\
             \x20   -d, --duration    <T>  How long to run [default: 10s]\n\
             \x20   -t, --threads     <N>  Worker threads [default: 2]\n\
             \n\
             \x20   -s, --script      <S>  Refused: Lua scripts are not run\n\
             \x20   -H, --header      <H>  Header to send, \"Name: value\"; may be repeated\n\
             {more}\
             \x20       --timeout     <T>  How long a request may take [default: 2s]\n\
             \x20       --json=<FILE>      Write the results document of loadgen to FILE\n\
             \x20   -v, --version          Print the version\n\
             \n\
             \x20 Numbers take k, M, G behind them; times take s, m, h\n"
        )
    }
}

const fn flag(id: char, short: Option<char>, long: &'static str, value: Takes) -> Flag {
    Flag {
        short,
        long,
        value,
        id,
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) threads: u32,
    pub(crate) connections: u32,
    pub(crate) duration: Duration,
    pub(crate) timeout: Duration,
    pub(crate) headers: Vec<String>,
    pub(crate) latency: bool,
    pub(crate) uncorrected: bool,
    pub(crate) rate: Option<f64>,
    pub(crate) url: String,
    pub(crate) json: Option<PathBuf>,
}

/// Why not, for stderr and stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One line for stderr.
    pub(crate) line: Option<String>,
    /// Whether the help text follows, on stdout as the old tools have it.
    pub(crate) usage: bool,
    /// Whether the version comes first.
    pub(crate) version: bool,
}

impl Refusal {
    fn usage(line: Option<String>) -> Self {
        Self {
            line,
            usage: true,
            version: false,
        }
    }
}

/// What a script does in wrk, and how it is said here.
const NO_SCRIPT: &str = "-s: Lua scripts are not run here; loadgen http has --method, --body, -H, several URLs with weights and --requests-per-conn for what scripts usually do";

/// Reads the words behind the name.
pub(crate) fn read(tool: Tool, words: &[String]) -> Result<Ask, Refusal> {
    let items =
        parse(tool.name(), &tool.flags(), words).map_err(|line| Refusal::usage(Some(line)))?;
    let mut ask = Ask {
        threads: 2,
        connections: 10,
        duration: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        headers: Vec::new(),
        latency: false,
        uncorrected: false,
        rate: None,
        url: String::new(),
        json: None,
    };
    let mut urls = Vec::new();
    let mut version = false;
    for item in items {
        match item {
            Item::Word(word) => urls.push(word),
            Item::Flag('v', _) => version = true,
            Item::Flag(id, value) => apply(&mut ask, id, value.unwrap_or_default())?,
        }
    }
    if version {
        return Err(Refusal {
            version: true,
            ..Refusal::usage(None)
        });
    }
    check(tool, &ask, &urls)?;
    // Like the old tools: the first word is the URL, what follows is ignored.
    ask.url = urls.swap_remove(0);
    Ok(ask)
}

fn apply(ask: &mut Ask, id: char, value: String) -> Result<(), Refusal> {
    let wrong = || Refusal::usage(None);
    let number = || scan(&value, &NUMBERS).ok_or_else(wrong);
    let narrow = || number().and_then(|n| u32::try_from(n).map_err(|_| wrong()));
    let time = || {
        scan(&value, &TIMES)
            .map(Duration::from_secs)
            .ok_or_else(wrong)
    };
    match id {
        'c' => ask.connections = narrow()?,
        't' => ask.threads = narrow()?,
        'd' => ask.duration = time()?,
        'T' => ask.timeout = time()?,
        'R' => ask.rate = Some(number()? as f64),
        'H' => ask.headers.push(value),
        'L' => ask.latency = true,
        'U' => (ask.latency, ask.uncorrected) = (true, true),
        'j' if value.is_empty() => {
            let line = "--json needs =FILE: stdout carries the report".to_owned();
            return Err(Refusal::usage(Some(line)));
        }
        'j' => ask.json = Some(value.into()),
        'B' => {}
        's' => {
            return Err(Refusal {
                line: Some(NO_SCRIPT.to_owned()),
                ..Refusal::default()
            });
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn check(tool: Tool, ask: &Ask, urls: &[String]) -> Result<(), Refusal> {
    let refuse = |line: &str| Err(Refusal::usage(Some(line.to_owned())));
    if urls.is_empty() || ask.threads == 0 || ask.duration.is_zero() {
        return Err(Refusal::usage(None));
    }
    if ask.connections < ask.threads {
        return refuse("number of connections must be >= threads");
    }
    if tool == Tool::Wrk2 && ask.rate.unwrap_or_default() <= 0.0 {
        return refuse("wrk2 needs a rate: give -R or --rate, in requests per second");
    }
    // Ours: wrk would divide by a timeout of nothing.
    if ask.timeout.is_zero() {
        return refuse("--timeout must be at least 1s");
    }
    Ok(())
}

const NUMBERS: [(&str, u64); 4] = [
    ("", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
];
const TIMES: [(&str, u64); 4] = [("", 1), ("s", 1), ("m", 60), ("h", 3600)];

/// A whole number and a unit of either case.
fn scan(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(tool: Tool, line: &str) -> Result<Ask, Refusal> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(tool, &words)
    }

    #[test]
    fn the_defaults_are_the_old_ones() {
        let ask = typed(Tool::Wrk, "http://h/").unwrap();
        assert_eq!((ask.threads, ask.connections), (2, 10));
        assert_eq!(ask.duration, Duration::from_secs(10));
        assert_eq!(ask.timeout, Duration::from_secs(2));
        assert!(!ask.latency && ask.rate.is_none() && ask.json.is_none());
    }

    #[test]
    fn flags_as_they_are_written_in_scripts() {
        let line = "-t4 -c1k -d2m --latency -HA:b --header X:y --timeout 1h http://h/ --json=f";
        let ask = typed(Tool::Wrk, line).unwrap();
        assert_eq!((ask.threads, ask.connections), (4, 1000));
        assert_eq!(ask.duration, Duration::from_secs(120));
        assert_eq!(ask.timeout, Duration::from_secs(3600));
        assert_eq!(ask.headers, ["A:b", "X:y"]);
        assert_eq!(ask.json, Some("f".into()));
        assert!(ask.latency);
        let ask = typed(Tool::Wrk2, "-R2K -U -B http://h/").unwrap();
        assert_eq!(ask.rate, Some(2000.0));
        assert!(ask.latency && ask.uncorrected);
    }

    #[test]
    fn what_they_refuse_is_refused() {
        for (line, said) in [
            ("", None),
            ("-t0 http://h/", None),
            ("-d0 http://h/", None),
            ("-c2x http://h/", None),
            ("-c1.5 http://h/", None),
            ("-d500ms http://h/", None),
            ("-c5G http://h/", None),
            (
                "-c1 http://h/",
                Some("number of connections must be >= threads"),
            ),
            ("-R5 http://h/", Some("wrk: invalid option -- 'R'")),
            ("-d", Some("wrk: option requires an argument -- 'd'")),
        ] {
            let refusal = typed(Tool::Wrk, line).unwrap_err();
            assert!(refusal.usage, "{line}");
            assert_eq!(refusal.line.as_deref(), said, "{line}");
        }
        assert!(typed(Tool::Wrk, "-v").unwrap_err().version);
        let script = typed(Tool::Wrk, "-s post.lua http://h/").unwrap_err();
        assert!(!script.usage && script.line.unwrap().contains("--body"));
        let no_rate = typed(Tool::Wrk2, "http://h/").unwrap_err();
        assert!(no_rate.line.unwrap().contains("-R"));
    }
}
