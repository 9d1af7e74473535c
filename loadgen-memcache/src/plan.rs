//! What was asked for, judged: the one place that refuses a combination.
//!
//! [`MemcacheSpec`] is what a user or a program says, [`MemcachePlan`] what will be done. Names are
//! looked up here, once; nothing connects.

use std::collections::BTreeSet;
use std::sync::Arc;

use loadgen_core::address;
pub use loadgen_core::plan::PlanError;
use loadgen_core::plan::refuse;
use loadgen_core::workload::{Endpoint, Random, Route};
use serde_json::{Value, json};

use crate::mix::Blend;
use crate::objects::{KEYS_MAX, Key, Objects, SPACE_DIGITS, index_digits};
use crate::popularity::Law;
use crate::rules::Rules;
use crate::spec::{KeySpace, MemcacheSpec, Op, Placement, Popularity, Prefill, Sizes};
use crate::wire::KEY_BYTES_MAX;
use crate::workload::{Script, server_of};

/// The port of a server that is named without one.
pub const PORT_DEFAULT: u16 = 11211;
/// The most servers of one run.
pub const SERVERS_MAX: usize = 1024;
/// The largest weight of an op or of a range of sizes.
pub const WEIGHT_MAX: u32 = 100_000;
/// The most ranges of one distribution of sizes: one of 1024 keys each.
pub const RANGES_MAX: usize = 1024;
/// The longest value: half of the largest item memcached can be told to take (`-I`).
pub const VALUE_BYTES_MAX: u32 = 512 * 1024 * 1024;
/// The most keys of a batch.
pub const BATCH_MAX: u32 = 1 << 20;
/// A longer expiry is a point in time for memcached (`REALTIME_MAXDELTA`).
pub const EXPIRY_MAX_S: u32 = 30 * 24 * 3600;
/// The steepest Zipf law: of 10, one key in a thousand is not the first.
pub const ZIPF_MAX: f64 = 10.0;
/// The largest window whose expiry is checked: each connection remembers when it wrote each key.
pub const WATCHED_KEYS_MAX: u64 = 1 << 20;
/// The longest user and the longest password (RFC 4616 section 2).
pub const CREDENTIAL_BYTES_MAX: usize = 255;

type Checked = Result<(), PlanError>;

/// What will be done.
#[derive(Clone, Debug)]
pub struct MemcachePlan {
    routes: Vec<Route>,
    spec: MemcacheSpec,
}

impl MemcachePlan {
    /// Judges a spec and looks up its names.
    ///
    /// # Errors
    /// [`PlanError`]: one sentence with the flag, the limit and the value.
    pub fn new(spec: MemcacheSpec) -> Result<Self, PlanError> {
        check_ops(&spec)?;
        check_keys(&spec)?;
        check_sizes("--value-size", &spec.value_bytes, 0, VALUE_BYTES_MAX)?;
        check_popularity(&spec)?;
        check_expiry(&spec)?;
        check_share("--verify", spec.verify)?;
        check_sasl(&spec)?;
        let routes = routes(&spec)?;
        let mut plan = Self { routes, spec };
        plan.place()?;
        Ok(plan)
    }

    /// One for each address of each server.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> &MemcacheSpec {
        &self.spec
    }

    /// How many keys of each key space are written before the run; `None`: there is no prefill.
    #[must_use]
    pub fn prefill_keys(&self) -> Option<u64> {
        match self.spec.prefill {
            Prefill::None => None,
            Prefill::All => Some(self.spec.keys),
            Prefill::First(keys) => Some(keys),
        }
    }

    /// Keys and values as the plan lays them out.
    #[must_use]
    pub fn objects(&self) -> Objects {
        let spec = &self.spec;
        let (spaced, digits) = digits(spec);
        let (keys, values) = (&spec.key_bytes, &spec.value_bytes);
        Objects::new(&spec.key_prefix, spaced, digits, keys, values)
    }

    /// The constants of the workload.
    #[must_use]
    pub(crate) fn script(&self) -> Script {
        let spec = &self.spec;
        let rules = Rules {
            objects: self.objects(),
            return_keys: spec.return_keys,
            tell_misses: spec.set_on_miss,
            verify: spec.verify,
            expiry_s: spec.expiry_s,
            expiry_share: spec.expiry_share,
            watch: spec.verify_expiry.then_some(spec.keys),
            sasl: spec.sasl.clone(),
        };
        Script {
            rules: Arc::new(rules),
            blend: Blend::new(&spec.ops, spec.mix),
            law: Law::new(spec.popularity, spec.keys),
            key_space: spec.key_space,
            placement: spec.placement,
            routes: self.routes.len(),
            multiget: spec.multiget,
            multiset: spec.multiset,
            written: self.prefill_keys().unwrap_or(0),
            seed: spec.seed,
        }
    }

    /// Keys by hash: each server's share of the connections and of the rate is that of the requests
    /// its keys get, as far as some ten thousand draws can tell.
    fn place(&mut self) -> Checked {
        const DRAWS: u32 = 1 << 16;
        if self.spec.placement == Placement::Own {
            return Ok(());
        }
        let law = Law::new(self.spec.popularity, self.spec.keys);
        let (mut random, mut cursor) = (Random::new(0), 0);
        let mut counts = vec![0; self.routes.len()];
        for _ in 0..DRAWS {
            let key = Key::new(0, law.next(&mut cursor, &mut random));
            counts[server_of(key, self.routes.len())] += 1;
        }
        for (route, count) in self.routes.iter_mut().zip(counts) {
            if count == 0 {
                return refuse(format!(
                    "--placement hashed: of --keys {} none that is asked for is on {}; give more \
                     keys or fewer servers",
                    self.spec.keys, route.name
                ));
            }
            (route.weight, route.rate_weight) = (count, count);
        }
        Ok(())
    }

    /// What goes into `plan.memcache` of the document. The password is left out.
    #[must_use]
    pub fn document(&self) -> Value {
        let spec = &self.spec;
        let sizes = |sizes: &Sizes| -> Vec<Value> {
            let row = |r: &crate::spec::SizeRange| json!({"min_bytes": r.min_bytes, "max_bytes": r.max_bytes, "weight": r.weight});
            sizes.0.iter().map(row).collect()
        };
        let op = |(op, weight): &(Op, u32)| json!({"op": op.name(), "weight": weight});
        json!({
            "servers": self.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(),
            "ops": spec.ops.iter().map(op).collect::<Vec<_>>(),
            "mix": format!("{:?}", spec.mix).to_lowercase(),
            "key_sizes": sizes(&spec.key_bytes),
            "value_sizes": sizes(&spec.value_bytes),
            "key_prefix": spec.key_prefix,
            "keys": spec.keys,
            "key_space": match spec.key_space {
                KeySpace::Shared => "shared",
                KeySpace::PerConnection => "per-connection",
                KeySpace::Window { .. } => "window",
            },
            "overwrite": match spec.key_space {
                KeySpace::Window { overwrite } => json!(overwrite),
                _ => Value::Null,
            },
            "popularity": popularity_text(spec.popularity),
            "placement": format!("{:?}", spec.placement).to_lowercase(),
            "multiget": spec.multiget,
            "multiset": spec.multiset,
            "return_keys": spec.return_keys,
            "expiry_s": spec.expiry_s,
            "expiry_share": spec.expiry_share,
            "set_on_miss": spec.set_on_miss,
            "sasl": spec.sasl.is_some(),
            "verify": spec.verify,
            "verify_expiry": spec.verify_expiry,
            "prefill_keys": self.prefill_keys(),
        })
    }
}

/// As it is typed.
fn popularity_text(popularity: Popularity) -> String {
    match popularity {
        Popularity::Uniform => "uniform".to_owned(),
        Popularity::Zipf(s) => format!("zipf:{s}"),
        Popularity::Sequential => "sequential".to_owned(),
        Popularity::Hot { keys, requests } => format!("hot:{keys}:{requests}"),
    }
}

/// Whether keys hold the number of their space, and how many digits their own number has.
fn digits(spec: &MemcacheSpec) -> (bool, usize) {
    match spec.key_space {
        KeySpace::Shared => (false, index_digits(spec.keys)),
        KeySpace::PerConnection => (true, index_digits(spec.keys)),
        // New keys are made without end.
        KeySpace::Window { .. } => (true, index_digits(KEYS_MAX)),
    }
}

fn routes(spec: &MemcacheSpec) -> Result<Vec<Route>, PlanError> {
    routes_by(spec, address::look_up)
}

fn routes_by(
    spec: &MemcacheSpec,
    look_up: impl Fn(&str, u16) -> Result<Vec<Endpoint>, String>,
) -> Result<Vec<Route>, PlanError> {
    if let Some(path) = &spec.unix_socket {
        if !spec.servers.is_empty() {
            return refuse("--unix-socket and servers exclude each other");
        }
        let endpoint =
            address::unix(path).or_else(|why| refuse(format!("--unix-socket: {why}")))?;
        return Ok(vec![Route {
            name: endpoint.to_string(),
            endpoints: vec![endpoint],
            weight: 1,
            rate_weight: 1,
            paced: true,
        }]);
    }
    if spec.servers.is_empty() || spec.servers.len() > SERVERS_MAX {
        return refuse(format!(
            "give from 1 to {SERVERS_MAX} servers as HOST:PORT, not {}",
            spec.servers.len()
        ));
    }
    let mut routes: Vec<Route> = Vec::with_capacity(spec.servers.len());
    let mut names = BTreeSet::new();
    for (position, typed) in spec.servers.iter().enumerate() {
        let what = format!("server {} ({typed})", position + 1);
        let place = address::split(typed).or_else(|why| refuse(format!("{what}: {why}")))?;
        let (host, port) = (place.0, place.1.unwrap_or(PORT_DEFAULT));
        let name = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        if !names.insert(name.clone()) {
            return refuse(format!("{what}: give each server once"));
        }
        let endpoints =
            look_up(&host, port).map_err(|why| PlanError::Target(format!("{what}: {why}")))?;
        // Of a name with several addresses each is a server: its keys are its own.
        let several = endpoints.len() > 1;
        routes.extend(endpoints.into_iter().map(|endpoint| Route {
            name: if several {
                format!("{name} ({endpoint})")
            } else {
                name.clone()
            },
            endpoints: vec![endpoint],
            weight: 1,
            rate_weight: 1,
            paced: true,
        }));
    }
    if routes.len() > SERVERS_MAX {
        return refuse(format!(
            "the servers have {} addresses, more than the {SERVERS_MAX} that there may be",
            routes.len()
        ));
    }
    Ok(routes)
}

fn check_ops(spec: &MemcacheSpec) -> Checked {
    for (position, (op, weight)) in spec.ops.iter().enumerate() {
        let name = op.name();
        if *weight > WEIGHT_MAX {
            return refuse(format!(
                "--op-mix {name}={weight} is above the limit of {WEIGHT_MAX}"
            ));
        }
        if spec.ops[..position].iter().any(|(other, _)| other == op) {
            return refuse(format!("--op-mix: {name} stands there twice"));
        }
    }
    let asked = |wanted: Op| spec.ops.iter().any(|(op, w)| *op == wanted && *w > 0);
    if spec.ops.iter().all(|(_, weight)| *weight == 0) {
        return refuse("--op-mix: no op has a weight above 0, so there is nothing to ask");
    }
    for (flag, units, op) in [
        ("--multiget", spec.multiget, Op::Get),
        ("--multiset", spec.multiset, Op::Set),
    ] {
        if !(1..=BATCH_MAX).contains(&units) {
            return refuse(format!("{flag} is from 1 to {BATCH_MAX} keys, not {units}"));
        }
        if units > 1 && !asked(op) {
            return refuse(format!(
                "{flag} {units}: no {} is asked for, so there is nothing to batch",
                op.name()
            ));
        }
    }
    if spec.set_on_miss && !asked(Op::Get) && !asked(Op::Gat) {
        return refuse("--on-miss-set: nothing is read, so nothing can be missed");
    }
    Ok(())
}

fn check_keys(spec: &MemcacheSpec) -> Checked {
    if !(1..=KEYS_MAX).contains(&spec.keys) {
        return refuse(format!(
            "--keys is from 1 to {KEYS_MAX} keys, not {}",
            spec.keys
        ));
    }
    if let Some(odd) = spec.key_prefix.chars().find(|c| !c.is_ascii_graphic()) {
        return refuse(format!(
            "--key-prefix: {odd:?} is no visible ASCII character, and text clients of the server \
             could not name such a key"
        ));
    }
    check_sizes("--key-size", &spec.key_bytes, 1, KEY_BYTES_MAX as u32)?;
    let (spaced, digits) = digits(spec);
    let spaces = if spaced { SPACE_DIGITS } else { 0 };
    let needed = spec.key_prefix.len() + spaces + digits;
    let smallest = spec.key_bytes.0.iter().map(|range| range.min_bytes).min();
    if let Some(smallest) = smallest
        && (smallest as usize) < needed
    {
        return refuse(format!(
            "--key-size: a key of {smallest} bytes is too short to tell {} keys apart, {needed} \
             bytes are needed ({} of prefix, {spaces} for the connection, {digits} for the key)",
            spec.keys,
            spec.key_prefix.len()
        ));
    }
    if let KeySpace::Window { overwrite } = spec.key_space {
        check_share("overwrite", overwrite)?;
        if spec.popularity != Popularity::Uniform {
            return refuse("--popularity: in a window every key is as likely, it is uniform");
        }
    }
    if spec.placement == Placement::Hashed && spec.key_space != KeySpace::Shared {
        return refuse(
            "--placement hashed: the keys of a connection are on the server it goes to; it needs \
             --key-space shared",
        );
    }
    match spec.prefill {
        Prefill::First(keys) if !(1..=spec.keys).contains(&keys) => refuse(format!(
            "--prefill={keys}: there are from 1 to {} keys to write (--keys)",
            spec.keys
        )),
        _ => Ok(()),
    }
}

fn check_sizes(flag: &str, sizes: &Sizes, low: u32, high: u32) -> Checked {
    let ranges = &sizes.0;
    if ranges.is_empty() || ranges.len() > RANGES_MAX {
        return refuse(format!(
            "{flag}: give from 1 to {RANGES_MAX} sizes, not {}",
            ranges.len()
        ));
    }
    for range in ranges {
        let (min, max) = (range.min_bytes, range.max_bytes);
        if min > max {
            return refuse(format!(
                "{flag}: in the range {min}-{max} the smaller size comes first"
            ));
        }
        for bytes in [min, max] {
            if !(low..=high).contains(&bytes) {
                return refuse(format!("{flag} is from {low} to {high} bytes, not {bytes}"));
            }
        }
        if !(1..=WEIGHT_MAX).contains(&range.weight) {
            return refuse(format!(
                "{flag}: a weight is from 1 to {WEIGHT_MAX}, not {}",
                range.weight
            ));
        }
    }
    Ok(())
}

fn check_popularity(spec: &MemcacheSpec) -> Checked {
    match spec.popularity {
        Popularity::Zipf(s) if !(s > 0.0 && s <= ZIPF_MAX) => refuse(format!(
            "--popularity zipf: the exponent is above 0 and at most {ZIPF_MAX}, not {s}"
        )),
        Popularity::Hot { keys, requests } => {
            for (what, share) in [("keys", keys), ("requests", requests)] {
                if !(share > 0.0 && share < 1.0) {
                    return refuse(format!(
                        "--popularity hot: the share of the {what} is above 0 and below 1, not \
                         {share}"
                    ));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_share(flag: &str, share: f64) -> Checked {
    if (0.0..=1.0).contains(&share) {
        Ok(())
    } else {
        refuse(format!("{flag} is a share from 0 to 1, not {share}"))
    }
}

fn check_expiry(spec: &MemcacheSpec) -> Checked {
    if spec.expiry_s > EXPIRY_MAX_S {
        return refuse(format!(
            "--expiry {}s is above the limit of {EXPIRY_MAX_S}s: memcached takes more for a date",
            spec.expiry_s
        ));
    }
    check_share("the share of the keys with an expiry", spec.expiry_share)?;
    if !spec.verify_expiry {
        return Ok(());
    }
    if spec.expiry_s == 0 {
        return refuse("expiry cannot be checked: nothing expires");
    }
    if !matches!(spec.key_space, KeySpace::Window { .. }) {
        return refuse("expiry can be checked in a window only: elsewhere others write the keys");
    }
    if spec.keys > WATCHED_KEYS_MAX {
        return refuse(format!(
            "expiry is checked in windows of at most {WATCHED_KEYS_MAX} keys, not {}",
            spec.keys
        ));
    }
    Ok(())
}

fn check_sasl(spec: &MemcacheSpec) -> Checked {
    let Some(who) = &spec.sasl else {
        return Ok(());
    };
    for (what, text) in [("user", &who.user), ("password", &who.password)] {
        let bytes = text.len();
        if bytes == 0 || bytes > CREDENTIAL_BYTES_MAX {
            return refuse(format!(
                "--sasl: a {what} has from 1 to {CREDENTIAL_BYTES_MAX} bytes, this one {bytes}"
            ));
        }
        if text.contains('\0') {
            return refuse(format!("--sasl: a {what} has no NUL"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
