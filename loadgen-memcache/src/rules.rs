//! What all sessions of a run go by: constants, made from the plan.

use loadgen_core::workload::Random;

use crate::objects::{Key, Objects};
use crate::spec::Credentials;

/// A value may be seen so much longer or shorter than its expiry: the server's clock ticks in
/// seconds, and a request takes its time. As in memaslap.
pub const EXPIRY_TOLERANCE_S: u64 = 5;

/// The constants.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Keys and values.
    pub objects: Objects,
    /// Ask for keys and check them.
    pub return_keys: bool,
    /// A miss is told to the workload.
    pub tell_misses: bool,
    /// The share of the values that are compared.
    pub verify: f64,
    /// Expiry, seconds, and the share of the keys that have it.
    pub expiry_s: u32,
    /// The share of the keys that have it.
    pub expiry_share: f64,
    /// Expiry is checked; so many keys a connection has in its window.
    pub watch: Option<u64>,
    /// Who we are.
    pub sasl: Option<Credentials>,
}

impl Rules {
    /// The expiry of a key, seconds; 0: never.
    #[must_use]
    #[inline]
    pub fn expiry_s(&self, key: Key) -> u32 {
        if self.expiry_s == 0 || self.expiry_share >= 1.0 {
            return self.expiry_s;
        }
        // Independent of both sizes.
        if Random::new(key.hash()).unit() <= self.expiry_share {
            self.expiry_s
        } else {
            0
        }
    }

    /// Whether a session must know which key each reply is about.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.return_keys || self.tell_misses || self.verify > 0.0 || self.watch.is_some()
    }
}
