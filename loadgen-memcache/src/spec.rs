//! What can be asked of a run, in the words of a user or a program.
//!
//! Plain data: it may be nonsense. [`crate::plan::MemcachePlan::new`] judges it, and nothing else
//! may.

use std::path::PathBuf;

/// What a request does. The order is that of the rows in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Reads a value.
    Get,
    /// Reads a value and sets its expiry.
    Gat,
    /// Writes a value.
    Set,
    /// Writes a value where there is none.
    Add,
    /// Writes a value where there is one.
    Replace,
    /// Removes a value.
    Delete,
    /// Adds 1 to a counter; a counter that is not there is made. Counters have keys of their own,
    /// beside those of the values.
    Incr,
    /// Sets the expiry of a value.
    Touch,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Gat,
        Self::Set,
        Self::Add,
        Self::Replace,
        Self::Delete,
        Self::Incr,
        Self::Touch,
    ];

    /// The name in the document and in `--op-mix`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Gat => "gat",
            Self::Set => "set",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Incr => "incr",
            Self::Touch => "touch",
        }
    }
}

/// Sizes from `min_bytes` to `max_bytes`, both included, each as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// The smallest.
    pub min_bytes: u32,
    /// The largest.
    pub max_bytes: u32,
    /// How many keys have a size of this range, relative to the other ranges.
    pub weight: u32,
}

/// A distribution of sizes. The size is a property of the key: the same key always has the same
/// length and a value of the same length. Of 1024 keys in a row, every range has its exact share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(pub Vec<SizeRange>);

impl Sizes {
    /// One size.
    #[must_use]
    pub fn fixed(bytes: u32) -> Self {
        Self::range(bytes, bytes)
    }

    /// All sizes from `min_bytes` to `max_bytes`.
    #[must_use]
    pub fn range(min_bytes: u32, max_bytes: u32) -> Self {
        Self(vec![SizeRange {
            min_bytes,
            max_bytes,
            weight: 1,
        }])
    }
}

/// How the ops of the mix follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// Each is drawn by itself, with the seed.
    #[default]
    Random,
    /// A fixed order on every connection, as memaslap does: the exact share of every op in each
    /// round of as many requests as the reduced weights add up to, writes first.
    Rotation,
}

/// Whose the keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum KeySpace {
    /// All connections use the same keys.
    #[default]
    Shared,
    /// Each connection has as many keys of its own.
    PerConnection,
    /// Each connection has a window of as many keys, as memaslap does. A SET makes a new key,
    /// which takes the place of the oldest in the window; any other op takes one of those in it.
    Window {
        /// The share of the SETs, 0 to 1, that reuse a key of the window.
        overwrite: f64,
    },
}

/// Which key is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Popularity {
    /// Each as likely.
    #[default]
    Uniform,
    /// The key of rank k with a probability proportional to 1/k^s. Ranks are spread over the key
    /// space, so that popular keys are not neighbours.
    Zipf(f64),
    /// One after the other, again and again.
    Sequential,
    /// A share of the keys gets a share of the requests.
    Hot {
        /// Share of the keys that are hot, above 0 and below 1.
        keys: f64,
        /// Share of the requests that go to them, above 0 and below 1.
        requests: f64,
    },
}

/// Where a key is when there are several servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Every server has all keys: each is loaded as if it were alone, as memaslap, mutilate and
    /// mc-crusher do.
    #[default]
    Own,
    /// Each key is on one server, by its hash, as an application's client library does.
    Hashed,
}

/// What is written before the measured run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefill {
    /// Nothing.
    #[default]
    None,
    /// Every key once.
    All,
    /// The first so many keys of each key space.
    First(u64),
}

/// SASL PLAIN (RFC 4616), sent before the first request.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Authentication identity.
    pub user: String,
    /// Password; never printed.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What to ask, as said by a user or a program.
#[derive(Clone, Debug)]
pub struct MemcacheSpec {
    /// Where to, each `HOST[:PORT]`; the port is 11211 when it is not given.
    pub servers: Vec<String>,
    /// The unix socket that all connections go to; then there are no servers.
    pub unix_socket: Option<PathBuf>,
    /// The ops and how often each is asked, relative to the others.
    pub ops: Vec<(Op, u32)>,
    /// How they follow each other.
    pub mix: Mix,
    /// Lengths of the keys, with their prefix.
    pub key_bytes: Sizes,
    /// Lengths of the values.
    pub value_bytes: Sizes,
    /// What every key begins with: runs with different prefixes share no key.
    pub key_prefix: String,
    /// How many keys a key space (a window) has.
    pub keys: u64,
    /// Whose they are.
    pub key_space: KeySpace,
    /// Which one is asked for.
    pub popularity: Popularity,
    /// Where they are.
    pub placement: Placement,
    /// Keys of a GET: above 1, it is a batch of quiet GETs closed by a NOOP, one request of so
    /// many units, whose op is `multiget`.
    pub multiget: u32,
    /// Values of a SET: above 1, it is a batch of quiet SETs closed by a NOOP, one request of so
    /// many units, whose op is `multiset`.
    pub multiset: u32,
    /// Ask for the key besides the value (GETK, GETKQ) and check it.
    pub return_keys: bool,
    /// Expiry of what is written and touched, seconds; 0: never.
    pub expiry_s: u32,
    /// The share of the keys, 0 to 1, that have this expiry; the others have none.
    pub expiry_share: f64,
    /// A GET that misses is followed by a SET of the same key on the same connection.
    pub set_on_miss: bool,
    /// Who we are.
    pub sasl: Option<Credentials>,
    /// The share of the values, 0 to 1, that are compared byte by byte with what was written.
    pub verify: f64,
    /// Whether expiry is checked, in a window: hits after it and misses before it are counted.
    pub verify_expiry: bool,
    /// What is written before the measured run.
    pub prefill: Prefill,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for MemcacheSpec {
    /// memaslap's sizes and mix, over 10 000 keys: with their values they are 12 MB, so that a
    /// server with its default of 64 MB keeps them all.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            unix_socket: None,
            ops: vec![(Op::Set, 1), (Op::Get, 9)],
            mix: Mix::default(),
            key_bytes: Sizes::fixed(64),
            value_bytes: Sizes::fixed(1024),
            key_prefix: String::new(),
            keys: 10_000,
            key_space: KeySpace::default(),
            popularity: Popularity::default(),
            placement: Placement::default(),
            multiget: 1,
            multiset: 1,
            return_keys: false,
            expiry_s: 0,
            expiry_share: 1.0,
            set_on_miss: false,
            sasl: None,
            verify: 0.0,
            verify_expiry: false,
            prefill: Prefill::default(),
            seed: 1,
        }
    }
}
