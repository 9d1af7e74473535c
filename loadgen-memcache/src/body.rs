//! The body of one reply, streaming by: extras, key and value, none of it kept.

use crate::objects::{Check, Objects};

/// Flags, in front of the key of a value.
const FLAGS_BYTES: u64 = 4;

/// What is still to come of a body, and what it is compared with.
#[derive(Debug, Default)]
pub(crate) struct Body {
    left: u64,
    at: u64,
    /// Where the value begins.
    value_at: u64,
    key_wrong: bool,
    check: Option<Check>,
}

impl Body {
    /// A body of `body_bytes` whose value begins at `value_at`. `check`: its value is compared.
    #[must_use]
    #[inline]
    pub(crate) fn new(body_bytes: u32, value_at: u32, check: Option<Check>) -> Self {
        Self {
            left: u64::from(body_bytes),
            at: 0,
            value_at: u64::from(value_at),
            key_wrong: false,
            check,
        }
    }

    /// Bytes that are still to come.
    #[must_use]
    #[inline]
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Of those, how many need not be seen; `key` is the key that is compared, if one is.
    #[must_use]
    #[inline]
    pub(crate) fn unneeded(&self, key: &[u8]) -> u64 {
        let key_is_over = key.is_empty() || self.at >= self.value_at;
        if self.check.is_none() && key_is_over {
            self.left
        } else {
            0
        }
    }

    /// So many bytes came and were not seen.
    pub(crate) fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.at += bytes;
    }

    /// Bytes came; how many of them belong to this body. `key`: the key that must come back.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], key: &[u8], objects: &Objects) -> usize {
        let take = self.left.min(bytes.len() as u64) as usize;
        if self.check.is_some() || !key.is_empty() {
            self.compare(&bytes[..take], key, objects);
        }
        self.left -= take as u64;
        self.at += take as u64;
        take
    }

    fn compare(&mut self, bytes: &[u8], key: &[u8], objects: &Objects) {
        if !key.is_empty() {
            for (at, byte) in (self.at..self.value_at).zip(bytes) {
                if at >= FLAGS_BYTES {
                    let wanted = key.get((at - FLAGS_BYTES) as usize);
                    self.key_wrong |= wanted != Some(byte);
                }
            }
        }
        if let Some(check) = &mut self.check {
            let before = self.value_at.saturating_sub(self.at) as usize;
            if let Some(value) = bytes.get(before..) {
                check.read(objects, value);
            }
        }
    }

    /// Whether the key was another one.
    #[must_use]
    pub(crate) const fn key_is_wrong(&self) -> bool {
        self.key_wrong
    }

    /// The comparison of the value, when there was one.
    #[must_use]
    pub(crate) const fn check(&self) -> Option<&Check> {
        self.check.as_ref()
    }
}
