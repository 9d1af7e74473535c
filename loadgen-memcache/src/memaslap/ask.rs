//! What memaslap's flags ask for, flag by flag, and the run that it is here.
//!
//! Defaults are those that memaslap has, not those that its help tells (8 threads, 128
//! connections, 1000000 operations). A flag that cannot be done is refused with the reason.

use std::time::Duration;

use super::config::Config;
use super::values::{positive, scaled, share, time};
use crate::spec::{KeySpace, MemcacheSpec, Mix, Op, Prefill, Sizes};

/// Items in each unit that sizes are laid out in.
const UNIT: u64 = 1024;
/// The largest value of `-X`.
const VALUE_MAX: u64 = 1024 * 1024;
/// When a key with an expiry expires.
const EXPIRY_S: u32 = 60;
/// memaslap keeps it in an int.
const RATE_MAX_PER_S: u64 = i32::MAX as u64;

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// `-s`, as typed; `None`: not given.
    pub servers: Option<String>,
    /// `-T`.
    pub threads: u32,
    /// `-c`: connections, in total.
    pub concurrency: u32,
    /// `-x`: operations, in total; `None`: by time.
    pub operations: Option<u64>,
    /// `-t`; counts only without `-x`.
    pub duration: Duration,
    /// `-F`: the path.
    pub config_path: Option<String>,
    /// What is in that file, or the default.
    pub config: Config,
    /// `-w`: keys in the window of a connection.
    pub window: u64,
    /// `-X`: length of every value.
    pub value_bytes: Option<u32>,
    /// `-v`: the share of values that are compared.
    pub verify: Option<f64>,
    /// `-d`: keys of a GET.
    pub division: u32,
    /// `-S`: latency blocks, and the length of an interval.
    pub stat_every: Option<Duration>,
    /// `-e`: the share of keys with an expiry, which is checked.
    pub expiry: Option<f64>,
    /// `-o`: the share of SETs that reuse a key.
    pub overwrite: Option<f64>,
    /// `-B`. Only the binary protocol is spoken, with and without it.
    pub binary: bool,
    /// `-P`: operations per second, in total.
    pub rate_per_s: Option<u64>,
    /// `-b`: say what was wrong with a value.
    pub verbose: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            servers: None,
            threads: 1,
            concurrency: 16,
            operations: None,
            duration: Duration::from_secs(600),
            config_path: None,
            config: Config::default(),
            window: 10 * UNIT,
            value_bytes: None,
            verify: None,
            division: 1,
            stat_every: None,
            expiry: None,
            overwrite: None,
            binary: false,
            rate_per_s: None,
            verbose: false,
        }
    }
}

/// Why not: one sentence that names the flag, the limit and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAsk(pub String);

impl std::fmt::Display for BadAsk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadAsk {}

const NO_UDP: &str = "-U: UDP is not spoken here, and memcached itself ships with it switched off";
const NO_MIX: &str =
    "-a: reading over UDP is not done here; -d asks for several keys at once over TCP";
const NO_REPLICAS: &str = "-p: writing each key to several servers is not done here; -s HOST,HOST loads each with its own keys";

impl Ask {
    /// Takes a flag, by its letter, and its value.
    ///
    /// # Errors
    /// [`BadAsk`].
    pub fn apply(&mut self, flag: char, value: &str) -> Result<(), BadAsk> {
        let wrong = |wanted: &str| BadAsk(format!("-{flag} {value:?}: {wanted}"));
        let count = || {
            let n = positive(value).and_then(|n| u32::try_from(n).ok());
            n.ok_or_else(|| wrong("a whole number from 1 to 4294967295 is needed"))
        };
        let part = || share(value).ok_or_else(|| wrong("a share above 0 and at most 1 is needed"));
        let span = || {
            let span = time(value).filter(|span| !span.is_zero());
            span.ok_or_else(|| wrong("a time above 0 with its unit s, m, h or d is needed, as 24h"))
        };
        let size = |most: u64| {
            let size = scaled(value).filter(|n| (1..=most).contains(n));
            size.ok_or_else(|| wrong("a number with its unit k, m or g (1024s) is needed, as 10k"))
        };
        match flag {
            's' => self.servers = Some(value.to_owned()),
            'T' => self.threads = count()?,
            'c' => self.concurrency = count()?,
            'n' if value == "1" => {}
            'n' => {
                return Err(wrong(
                    "sockets that take turns are not done here, only one for each of -c",
                ));
            }
            'x' => {
                let n = positive(value);
                let wanted = "a whole number above 0, without a unit, is needed";
                self.operations = Some(n.ok_or_else(|| wrong(wanted))?);
            }
            't' => self.duration = span()?,
            'F' => self.config_path = Some(value.to_owned()),
            'w' => self.window = size(1 << 32)?,
            'X' => {
                let bytes = positive(value).filter(|n| *n <= VALUE_MAX);
                let wanted = "a length from 1 to 1048576 is needed";
                self.value_bytes = Some(bytes.ok_or_else(|| wrong(wanted))? as u32);
            }
            'v' => self.verify = Some(part()?),
            'd' => self.division = count()?,
            'S' => self.stat_every = Some(span()?),
            'e' => self.expiry = Some(part()?),
            'o' => self.overwrite = Some(part()?),
            // A lost connection is made anew, with and without it.
            'R' => {}
            'B' => self.binary = true,
            'P' => self.rate_per_s = Some(size(RATE_MAX_PER_S)?),
            'b' => self.verbose = true,
            'U' => return Err(BadAsk(NO_UDP.to_owned())),
            'a' => return Err(BadAsk(NO_MIX.to_owned())),
            'p' => return Err(BadAsk(NO_REPLICAS.to_owned())),
            _ => return Err(wrong("there is no such flag")),
        }
        Ok(())
    }

    /// Checks what only all flags together tell. `environment` is `MEMCACHED_SERVERS`, which
    /// counts without `-s`.
    ///
    /// # Errors
    /// [`BadAsk`].
    pub fn check(&mut self, environment: Option<String>) -> Result<(), BadAsk> {
        self.servers = self.servers.take().or(environment);
        let servers = self.server_list().len();
        if servers == 0 {
            return Err(BadAsk(
                "no server: give -s HOST:PORT or set MEMCACHED_SERVERS".to_owned(),
            ));
        }
        let (concurrency, threads) = (self.concurrency, self.threads);
        if !concurrency.is_multiple_of(threads) {
            return Err(BadAsk(format!(
                "-c {concurrency} is not a multiple of -T {threads}"
            )));
        }
        if servers > concurrency as usize {
            return Err(BadAsk(format!(
                "-c {concurrency} is fewer connections than the {servers} servers"
            )));
        }
        if !self.window.is_multiple_of(UNIT) {
            let window = self.window;
            return Err(BadAsk(format!("-w {window} is not a multiple of 1024")));
        }
        Ok(())
    }

    /// The servers, one by one.
    #[must_use]
    pub fn server_list(&self) -> Vec<String> {
        let text = self.servers.as_deref().unwrap_or_default();
        let split = text.split(|c: char| c == ',' || c.is_whitespace());
        split.filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }

    /// Thousandths of SET and GET.
    fn weights(&self) -> [u32; 2] {
        self.config.weights()
    }

    /// How many requests the operations are: a GET of `-d` keys is one request.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        let operations = self.operations?;
        Some(self.as_requests(operations as f64).max(1.0) as u64)
    }

    /// The rate likewise.
    #[must_use]
    pub fn requests_per_s(&self) -> Option<f64> {
        self.rate_per_s.map(|rate| self.as_requests(rate as f64))
    }

    fn as_requests(&self, operations: f64) -> f64 {
        let [set, get] = self.weights().map(f64::from);
        let each = get / f64::from(self.division);
        operations * (set + each) / (set + get)
    }

    /// The same work in this crate's words. `prefix` keeps the keys of two runs apart.
    #[must_use]
    pub fn spec(&self, prefix: &str) -> MemcacheSpec {
        let [set, get] = self.weights();
        // The shares are of keys, and a GET takes several.
        let (sets, gets) = (u64::from(set) * u64::from(self.division), u64::from(get));
        let common = common_divisor(sets, gets).max(1);
        let weight = |n: u64| u32::try_from(n / common).unwrap_or(u32::MAX);
        let ops = [(Op::Set, weight(sets)), (Op::Get, weight(gets))];
        MemcacheSpec {
            servers: self.server_list(),
            ops: ops.into_iter().filter(|(_, weight)| *weight > 0).collect(),
            mix: Mix::Rotation,
            key_bytes: self.config.key_bytes(),
            value_bytes: match self.value_bytes {
                Some(bytes) => Sizes::fixed(bytes),
                None => self.config.value_bytes(),
            },
            key_prefix: prefix.to_owned(),
            keys: self.window,
            key_space: KeySpace::Window {
                overwrite: self.overwrite.unwrap_or_default(),
            },
            multiget: if get > 0 { self.division } else { 1 },
            expiry_s: if self.expiry.is_some() { EXPIRY_S } else { 0 },
            expiry_share: self.expiry.unwrap_or(1.0),
            verify: self.verify.unwrap_or_default(),
            verify_expiry: self.expiry.is_some(),
            // memaslap fills its windows only where nothing else would.
            prefill: if set == 0 {
                Prefill::All
            } else {
                Prefill::None
            },
            ..MemcacheSpec::default()
        }
    }
}

/// Euclid's.
fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command line as in memaslap's documentation, its flags one by one.
    fn typed(line: &str) -> Result<Ask, BadAsk> {
        let mut ask = Ask::default();
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let flag = word.chars().nth(1).unwrap();
            let value = if "RBbUa".contains(flag) {
                ""
            } else {
                words.next().unwrap()
            };
            ask.apply(flag, value)?;
        }
        ask.check(Some("from-environment".to_owned()))?;
        Ok(ask)
    }

    #[test]
    fn the_defaults_are_the_real_ones() {
        let ask = typed("-s h").unwrap();
        assert_eq!(
            (ask.threads, ask.concurrency, ask.operations),
            (1, 16, None)
        );
        assert_eq!(ask.duration, Duration::from_secs(600));
        assert_eq!((ask.window, ask.division), (10_240, 1));
        let spec = ask.spec("p");
        assert_eq!(spec.ops, [(Op::Set, 1), (Op::Get, 9)]);
        assert_eq!(spec.key_bytes, Sizes(vec![one(64)]));
        assert_eq!(spec.value_bytes, Sizes(vec![one(1024)]));
        assert_eq!(spec.key_space, KeySpace::Window { overwrite: 0.0 });
        assert_eq!((spec.mix, spec.prefill), (Mix::Rotation, Prefill::None));
        assert_eq!((spec.verify, spec.expiry_s, spec.multiget), (0.0, 0, 1));
    }

    fn one(bytes: u32) -> crate::spec::SizeRange {
        crate::spec::SizeRange {
            min_bytes: bytes,
            max_bytes: bytes,
            weight: 1000,
        }
    }

    #[test]
    fn the_documented_command_lines() {
        let seconds = Duration::from_secs;
        let ask = typed("-s 127.0.0.1:11211 -S 5s").unwrap();
        assert_eq!(ask.stat_every, Some(seconds(5)));
        let ask = typed("-s 127.0.0.1:11211 -t 2m -v 0.2 -e 0.05 -b").unwrap();
        assert_eq!((ask.duration, ask.verbose), (seconds(120), true));
        let spec = ask.spec("");
        assert_eq!(
            (spec.verify, spec.expiry_share, spec.expiry_s),
            (0.2, 0.05, 60)
        );
        assert!(spec.verify_expiry);
        let ask = typed("-s 127.0.0.1:11211 -F config -t 2m -w 40k -S 20s -o 0.2").unwrap();
        assert_eq!(ask.config_path.as_deref(), Some("config"));
        let spec = ask.spec("");
        assert_eq!(spec.keys, 40_960);
        assert_eq!(spec.key_space, KeySpace::Window { overwrite: 0.2 });
        let ask = typed("-s 127.0.0.1:11211 -F config -t 2m -T 4 -c 128 -d 20 -P 40k").unwrap();
        assert_eq!((ask.threads, ask.concurrency), (4, 128));
        assert_eq!(ask.rate_per_s, Some(40_960));
        let spec = ask.spec("");
        assert_eq!(spec.multiget, 20);
        assert_eq!(spec.ops, [(Op::Set, 20), (Op::Get, 9)]);
        let ask = typed("-s 127.0.0.1:11211,127.0.0.1:11212 -F config -t 2m").unwrap();
        assert_eq!(ask.server_list(), ["127.0.0.1:11211", "127.0.0.1:11212"]);
        let ask = typed("-s localhost:11108,localhost:11109 -B -x 10000000 -X 100 -R").unwrap();
        assert_eq!((ask.requests(), ask.binary), (Some(10_000_000), true));
        assert_eq!(ask.spec("").value_bytes, Sizes::fixed(100));
        for line in ["-T 2 -c 128", "-T 8 -c 256", "-T 12 -c 144", "-T 24 -c 288"] {
            assert!(typed(line).is_ok(), "{line}");
        }
        assert_eq!(typed("-x 5").unwrap().server_list(), ["from-environment"]);
    }

    #[test]
    fn a_batch_of_keys_is_one_request() {
        let ask = typed("-x 1000 -d 10 -P 1k").unwrap();
        // 100 SETs and 900 keys in 90 GETs.
        assert_eq!(ask.requests(), Some(190));
        let rate = ask.requests_per_s().unwrap();
        assert!((rate - 1024.0 * 0.19).abs() < 1e-9, "{rate}");
        let mut gets = ask;
        (gets.config.set, gets.config.get) = (0.0, 1.0);
        assert_eq!(gets.requests(), Some(100));
        assert_eq!(gets.spec("").prefill, Prefill::All);
        assert_eq!(gets.spec("").ops, [(Op::Get, 1)]);
    }

    #[test]
    fn what_is_not_done_or_makes_no_sense_is_refused_by_name() {
        for (line, said) in [
            ("-U", "-U: UDP"),
            ("-F config -t 2m -d 50 -a -n 40", "-a: reading over UDP"),
            ("-s a,b -F config -t 2m -p 2", "-p: writing"),
            ("-n 40", "-n \"40\": sockets that take turns"),
            ("-c 0", "-c \"0\""),
            ("-T 3 -c 16", "-c 16 is not a multiple of -T 3"),
            ("-x 0", "-x \"0\""),
            ("-x 1k", "-x \"1k\""),
            ("-t 10", "-t \"10\""),
            ("-t 0s", "-t \"0s\""),
            ("-w 10", "-w \"10\""),
            ("-P 5", "-P \"5\""),
            ("-X 1048577", "-X \"1048577\": a length from 1 to 1048576"),
            ("-v 2", "-v \"2\""),
            ("-o 0", "-o \"0\""),
            ("-d 0", "-d \"0\""),
            (
                "-s a,b,c -c 2",
                "-c 2 is fewer connections than the 3 servers",
            ),
            ("-s ,", "no server"),
            ("-Q 1", "-Q"),
        ] {
            let why = typed(line).unwrap_err().to_string();
            assert!(why.contains(said), "{line}: {why}");
        }
        let why = Ask::default().check(None).unwrap_err().to_string();
        assert!(why.contains("MEMCACHED_SERVERS"), "{why}");
    }
}
