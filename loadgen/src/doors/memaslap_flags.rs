//! The flags of memaslap: how they are typed. What they mean is loadgen-memcache's business.
//!
//! Pure but for the `-F` file, which is read here.

use std::path::PathBuf;

use loadgen_memcache::memaslap::{Ask, Config};

use super::getopt::{Flag, Item, Takes, parse};

/// The name in messages.
pub(super) const NAME: &str = "memaslap";

/// A letter, its long name and whether it takes a value.
const FLAGS: [(char, &str, Takes); 24] = [
    ('s', "servers", Takes::Value),
    ('T', "threads", Takes::Value),
    ('c', "concurrency", Takes::Value),
    ('n', "conn_sock", Takes::Value),
    ('x', "execute_number", Takes::Value),
    ('t', "time", Takes::Value),
    ('F', "cfg_cmd", Takes::Value),
    ('w', "win_size", Takes::Value),
    ('X', "fixed_size", Takes::Value),
    ('v', "verify", Takes::Value),
    ('d', "division", Takes::Value),
    ('S', "stat_freq", Takes::Value),
    ('e', "exp_verify", Takes::Value),
    ('o', "overwrite", Takes::Value),
    ('R', "reconnect", Takes::Nothing),
    ('U', "udp", Takes::Nothing),
    ('a', "facebook", Takes::Nothing),
    ('B', "binary", Takes::Nothing),
    ('P', "tps", Takes::Value),
    ('p', "rep_write", Takes::Value),
    ('b', "verbose", Takes::Nothing),
    ('h', "help", Takes::Nothing),
    ('V', "version", Takes::Nothing),
    ('j', "json", Takes::Optional),
];

/// The help text: the same flags, their real defaults, and what is ours besides.
pub(super) const USAGE: &str = "\
Usage: memaslap -s HOST:PORT[,HOST:PORT] [options]
  -s, --servers=LIST        Servers [default: MEMCACHED_SERVERS]
  -T, --threads=N           Worker threads [default: 1]
  -c, --concurrency=N       Connections, in total; a multiple of -T [default: 16]
  -n, --conn_sock=1         Accepted as 1 only: no sockets that take turns
  -x, --execute_number=N    Operations, in total [default: by time]
  -t, --time=TIME           How long, without -x; needs s, m, h or d [default: 600s]
  -F, --cfg_cmd=FILE        Sizes and shares [default: keys 64, values 1024, set 0.1, get 0.9]
  -w, --win_size=N          Keys in the window of a connection; needs k, m or g [default: 10k]
  -X, --fixed_size=BYTES    Length of every value
  -v, --verify=SHARE        Compare this share of the values
  -d, --division=N          Keys of a GET [default: 1]
  -S, --stat_freq=TIME      Latency blocks in the report, and the length of an interval
  -e, --exp_verify=SHARE    Let this share of the keys expire after 60 s, and check it
  -o, --overwrite=SHARE     SETs that reuse a key [default: none]
  -R, --reconnect           Accepted: lost connections are always made anew
  -B, --binary              The binary protocol; the only one that is spoken
  -P, --tps=N               Operations per second, kept; needs k, m or g (1024s)
  -b, --verbose             Say what was wrong with a value
  -U, -a, -p                Refused: UDP, and writing to several servers
      --json=FILE           Write the results document of loadgen to FILE
  -h, --help                This text
  -V, --version             The version
";

/// What was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Typed {
    /// A run.
    Run {
        /// What is asked of it.
        ask: Box<Ask>,
        /// Where the document goes.
        json: Option<PathBuf>,
    },
    /// The help text.
    Help,
    /// The version.
    Version,
}

/// Reads the words behind the name; words that are no flags are ignored, as memaslap does.
///
/// # Errors
/// One sentence.
pub(super) fn read(words: &[String], environment: Option<String>) -> Result<Typed, String> {
    let flags = FLAGS.map(|(id, long, value)| Flag {
        short: (id != 'j').then_some(id),
        long,
        value,
        id,
    });
    let mut ask = Ask::default();
    let mut json = None;
    for item in parse(NAME, &flags, words)? {
        match item {
            Item::Flag('h', _) => return Ok(Typed::Help),
            Item::Flag('V', _) => return Ok(Typed::Version),
            Item::Flag('j', value) => {
                let path = value.filter(|path| !path.is_empty());
                let path = path.ok_or("--json needs =FILE: stdout carries the report")?;
                json = Some(path.into());
            }
            Item::Flag(id, value) => {
                let value = value.unwrap_or_default();
                ask.apply(id, &value).map_err(|why| why.to_string())?;
            }
            Item::Word(_) => {}
        }
    }
    if let Some(path) = &ask.config_path {
        let text = std::fs::read_to_string(path).map_err(|e| format!("-F {path}: {e}"))?;
        ask.config = Config::parse(&text).map_err(|why| format!("-F {path}: {why}"))?;
    }
    ask.check(environment).map_err(|why| why.to_string())?;
    Ok(Typed::Run {
        ask: Box::new(ask),
        json,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Typed, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words, None)
    }

    fn ask(line: &str) -> Ask {
        match typed(line) {
            Ok(Typed::Run { ask, .. }) => *ask,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn short_long_attached_and_clustered() {
        let expected = ask("-s h -T 2 -c 8 -B -x 100");
        for line in [
            "--servers=h --threads=2 --concurrency=8 --binary --execute_number=100",
            "-sh -T2 -c8 -Bx100",
            "--servers h --thr 2 --conc 8 --bin --exec 100",
            "-s h -T 2 -c 8 -B -x 100 surplus",
        ] {
            assert_eq!(ask(line), expected, "{line}");
        }
        let servers = read(&[], Some("from-environment".to_owned()));
        assert!(matches!(servers, Ok(Typed::Run { .. })));
    }

    #[test]
    fn every_flag_is_in_the_help() {
        for (id, long, _) in FLAGS {
            let known = USAGE.contains(&format!("--{long}")) || USAGE.contains(&format!("-{id},"));
            assert!(known || "UapR".contains(id), "--{long} is not in the help");
        }
        assert_eq!(typed("-h"), Ok(Typed::Help));
        assert_eq!(typed("-V"), Ok(Typed::Version));
    }

    #[test]
    fn a_file_is_read_and_named_when_it_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let path = path.to_str().unwrap();
        std::fs::write(path, "key\n32 32 1\nvalue\n10 20 1\ncmd\n0 0.5\n1.0 0.5\n").unwrap();
        let config = ask(&format!("-s h -F {path}")).config;
        assert_eq!(config.key[0].min_bytes, 32);
        assert_eq!((config.set, config.get), (0.5, 0.5));
        std::fs::write(path, "key\n3 32 1\n").unwrap();
        let why = typed(&format!("-s h -F {path}")).unwrap_err();
        assert!(why.contains(path) && why.contains("line 2"), "{why}");
        let why = typed("-s h -F /no/such/file").unwrap_err();
        assert!(why.starts_with("-F /no/such/file: "), "{why}");
    }

    #[test]
    fn refusals_name_the_flag() {
        for (line, said) in [
            ("", "MEMCACHED_SERVERS"),
            ("-s h -Q", "memaslap: invalid option -- 'Q'"),
            ("-s", "memaslap: option requires an argument -- 's'"),
            ("-s h --json", "--json needs =FILE"),
            ("-s h -U", "-U: UDP"),
            ("-s h --facebook -d 50", "-a: reading over UDP"),
            ("-s h -t 10", "-t \"10\""),
        ] {
            let why = typed(line).unwrap_err();
            assert!(why.contains(said), "{line}: {why}");
        }
    }
}
