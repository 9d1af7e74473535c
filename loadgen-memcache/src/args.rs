//! The flags of `loadgen memcache` that no other protocol has. What they mean is `plan`'s business.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use loadgen_core::cli;

use crate::plan::PlanError;
use crate::spec::{
    Credentials, KeySpace, MemcacheSpec, Mix, Op, Placement, Popularity, Prefill, SizeRange, Sizes,
};

/// What was typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "memcached")]
pub struct MemcacheArgs {
    /// Where to, as HOST[:PORT]; several are loaded side by side [default: those of the environment
    /// variable MEMCACHED_SERVERS, separated by commas; default port: 11211]
    #[arg(value_name = "HOST:PORT", help_heading = None)]
    pub servers: Vec<String>,

    /// Connect to this unix socket instead [default: none]
    #[arg(long, value_name = "PATH", conflicts_with = "servers")]
    pub unix_socket: Option<PathBuf>,

    /// How many SETs to how many GETs
    #[arg(long, value_name = "SET:GET", default_value = "1:9", value_parser = ratio)]
    pub ratio: Ratio,

    /// Ops and their weights, such as get=8,set=1,delete=1; ops are get, gat, set, add, replace,
    /// delete, incr, touch [default: --ratio]
    #[arg(long, value_name = "OP=N,...", value_parser = ops, conflicts_with = "ratio")]
    pub op_mix: Option<Ops>,

    /// Order of the ops: drawn one by one, or the same on every connection with exact shares
    #[arg(long, value_name = "ORDER", value_enum, default_value = "random")]
    pub op_order: OrderArg,

    /// Length of the keys, bytes: SIZE, LOW-HIGH, or a list of them with weights such as
    /// 16:1,32-64:3
    #[arg(long, value_name = "SIZES", default_value = "64", value_parser = sizes)]
    pub key_size: Sizes,

    /// Length of the values, bytes, in the same way; Ki and Mi are understood
    #[arg(long, value_name = "SIZES", default_value = "1024", value_parser = sizes)]
    pub value_size: Sizes,

    /// What every key begins with [default: nothing]
    #[arg(long, value_name = "TEXT")]
    pub key_prefix: Option<String>,

    /// How many keys there are; with values of 1 KiB, 10k fit into a server with its default of
    /// 64 MB five times
    #[arg(long, value_name = "N", default_value = "10k", value_parser = cli::positive)]
    pub keys: u64,

    /// Whose the keys are: shared by all connections, or so many for each
    #[arg(long, value_name = "WHOSE", value_enum, default_value = "shared")]
    pub key_space: KeySpaceArg,

    /// Which key is asked for: uniform, zipf:S, sequential, hot:KEYS:REQUESTS (the shares of the
    /// keys that are hot and of the requests they get, such as hot:0.1:0.9)
    #[arg(long, value_name = "LAW", default_value = "uniform", value_parser = popularity)]
    pub popularity: Popularity,

    /// With several servers: own, every server has all keys; hashed, each key is on one of them
    #[arg(long, value_name = "WHERE", value_enum, default_value = "own")]
    pub placement: PlacementArg,

    /// Keys of a GET; above 1, one request is so many quiet GETs closed by a NOOP
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub multiget: u32,

    /// Values of a SET; above 1, one request is so many quiet SETs closed by a NOOP
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub multiset: u32,

    /// Expiry of what is written or touched, such as 60s; whole seconds [default: never]
    #[arg(long, value_name = "TIME", value_parser = cli::duration)]
    pub expiry: Option<Duration>,

    /// Follow a GET that misses with a SET of the same key [default: no]
    #[arg(long)]
    pub on_miss_set: bool,

    /// Before the run, SET every key once, or the first N of them [default: no prefill]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true,
        value_parser = cli::positive)]
    pub prefill: Option<Option<u64>>,

    /// Authenticate every connection with SASL PLAIN [default: no]
    #[arg(long, value_name = "USER:PASS", value_parser = credentials)]
    pub sasl: Option<Credentials>,

    /// Compare every value with what was written under its key, or this share of them, 0 to 1
    /// [default: none]
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true)]
    pub verify: Option<Option<f64>>,

    /// Ask for the key with every value, and check it [default: no]
    #[arg(long)]
    pub return_keys: bool,
}

/// `--ratio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// SETs.
    pub set: u32,
    /// GETs.
    pub get: u32,
}

/// `--op-mix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ops(pub Vec<(Op, u32)>);

/// `--op-order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// Each drawn by itself, with the seed
    Random,
    /// The same order on every connection, exact shares, writes first
    Fixed,
}

/// `--key-space`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeySpaceArg {
    /// All connections use the same keys
    Shared,
    /// Each connection has keys of its own
    PerConnection,
}

/// `--placement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlacementArg {
    /// Every server has all keys
    Own,
    /// Each key is on one server
    Hashed,
}

impl MemcacheArgs {
    /// What was typed, for [`crate::plan::MemcachePlan::new`] to judge. `environment` is the value
    /// of `MEMCACHED_SERVERS`; it counts when no server and no socket was typed. `seed` is the
    /// run's.
    ///
    /// # Errors
    /// [`PlanError::Refused`]: an expiry that is no whole number of seconds.
    pub fn spec(&self, environment: Option<&str>, seed: u64) -> Result<MemcacheSpec, PlanError> {
        let ratio = [(Op::Set, self.ratio.set), (Op::Get, self.ratio.get)];
        let ops = self.op_mix.clone().map_or(ratio.to_vec(), |mix| mix.0);
        Ok(MemcacheSpec {
            servers: self.servers(environment),
            unix_socket: self.unix_socket.clone(),
            ops,
            mix: match self.op_order {
                OrderArg::Random => Mix::Random,
                OrderArg::Fixed => Mix::Rotation,
            },
            key_bytes: self.key_size.clone(),
            value_bytes: self.value_size.clone(),
            key_prefix: self.key_prefix.clone().unwrap_or_default(),
            keys: self.keys,
            key_space: match self.key_space {
                KeySpaceArg::Shared => KeySpace::Shared,
                KeySpaceArg::PerConnection => KeySpace::PerConnection,
            },
            popularity: self.popularity,
            placement: match self.placement {
                PlacementArg::Own => Placement::Own,
                PlacementArg::Hashed => Placement::Hashed,
            },
            multiget: self.multiget,
            multiset: self.multiset,
            return_keys: self.return_keys,
            expiry_s: self.expiry_s()?,
            set_on_miss: self.on_miss_set,
            sasl: self.sasl.clone(),
            verify: self.verify.map_or(0.0, |share| share.unwrap_or(1.0)),
            prefill: match self.prefill {
                None => Prefill::None,
                Some(None) => Prefill::All,
                Some(Some(keys)) => Prefill::First(keys),
            },
            seed,
            ..MemcacheSpec::default()
        })
    }

    fn servers(&self, environment: Option<&str>) -> Vec<String> {
        if !self.servers.is_empty() || self.unix_socket.is_some() {
            return self.servers.clone();
        }
        let names = environment.unwrap_or_default().split(',');
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    fn expiry_s(&self) -> Result<u32, PlanError> {
        let Some(expiry) = self.expiry else {
            return Ok(0);
        };
        if expiry.subsec_nanos() > 0 {
            return Err(PlanError::Refused(format!(
                "--expiry {expiry:?}: memcached counts whole seconds"
            )));
        }
        Ok(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX))
    }
}

fn weight(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a weight; write a whole number"))
}

fn ratio(text: &str) -> Result<Ratio, String> {
    let Some((set, get)) = text.split_once(':') else {
        return Err(format!("{text:?} is not SET:GET, such as 1:9"));
    };
    Ok(Ratio {
        set: weight(set)?,
        get: weight(get)?,
    })
}

fn ops(text: &str) -> Result<Ops, String> {
    let one = |part: &str| {
        let (name, count) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is not OP=WEIGHT, such as get=9"))?;
        let op = Op::ALL.into_iter().find(|op| op.name() == name);
        let op = op.ok_or_else(|| {
            let known: Vec<&str> = Op::ALL.iter().map(|op| op.name()).collect();
            format!("{name:?} is not an op; there are {}", known.join(", "))
        })?;
        Ok((op, weight(count)?))
    };
    let all: Result<Vec<_>, String> = text.split(',').map(one).collect();
    all.map(Ops)
}

fn sizes(text: &str) -> Result<Sizes, String> {
    let size = |part: &str| {
        let bytes = cli::count(part)?;
        u32::try_from(bytes).map_err(|_| format!("{part} is above the limit of {}", u32::MAX))
    };
    let one = |part: &str| {
        let (range, share) = match part.split_once(':') {
            Some((range, share)) => (range, weight(share)?),
            None => (part, 1),
        };
        let (min_bytes, max_bytes) = match range.split_once('-') {
            Some((low, high)) => (size(low)?, size(high)?),
            None => (size(range)?, size(range)?),
        };
        Ok(SizeRange {
            min_bytes,
            max_bytes,
            weight: share,
        })
    };
    let all: Result<Vec<_>, String> = text.split(',').map(one).collect();
    all.map(Sizes)
}

fn popularity(text: &str) -> Result<Popularity, String> {
    let number = |part: &str| {
        part.parse::<f64>()
            .map_err(|_| format!("{part:?} in {text:?} is not a number"))
    };
    match text.split(':').collect::<Vec<_>>()[..] {
        ["uniform"] => Ok(Popularity::Uniform),
        ["sequential"] => Ok(Popularity::Sequential),
        ["zipf", s] => Ok(Popularity::Zipf(number(s)?)),
        ["hot", keys, requests] => Ok(Popularity::Hot {
            keys: number(keys)?,
            requests: number(requests)?,
        }),
        _ => Err(format!(
            "{text:?} is not a popularity; write uniform, zipf:0.99, sequential or hot:0.1:0.9"
        )),
    }
}

fn credentials(text: &str) -> Result<Credentials, String> {
    // The text itself is not repeated: there is a password in it.
    let (user, password) = text
        .split_once(':')
        .ok_or("write USER:PASS, the colon is missing")?;
    Ok(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
