//! Frames of the binary protocol as a server sees them (memcached's protocol_binary.h).
//!
//! No state, no judgement of values: only where the parts are and how long they say they are.

/// Bytes of a header.
pub(super) const HEAD: usize = 24;

/// First byte of a request.
const REQUEST: u8 = 0x80;
/// First byte of a reply.
const REPLY: u8 = 0x81;

/// The longest key, bytes.
pub(super) const KEY_MAX: usize = 250;

/// Statuses of replies.
pub(super) mod status {
    pub(in super::super) const NOT_FOUND: u16 = 1;
    pub(in super::super) const EXISTS: u16 = 2;
    pub(in super::super) const TOO_LARGE: u16 = 3;
    pub(in super::super) const INVALID: u16 = 4;
    pub(in super::super) const NOT_STORED: u16 = 5;
    pub(in super::super) const NOT_A_NUMBER: u16 = 6;
    pub(in super::super) const AUTH: u16 = 0x20;
    pub(in super::super) const UNKNOWN: u16 = 0x81;
    pub(in super::super) const NO_MEMORY: u16 = 0x82;
}

/// The text that memcached puts behind an error's header.
pub(super) const fn text(status: u16) -> &'static str {
    match status {
        status::NOT_FOUND => "Not found",
        status::EXISTS => "Data exists for key.",
        status::TOO_LARGE => "Too large.",
        status::INVALID => "Invalid arguments",
        status::NOT_STORED => "Not stored.",
        status::NOT_A_NUMBER => "Non-numeric server-side value for incr or decr",
        status::AUTH => "Auth failure.",
        status::UNKNOWN => "Unknown command",
        status::NO_MEMORY => "Out of memory",
        _ => "",
    }
}

/// What is asked, quiet or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Get,
    Set,
    Add,
    Replace,
    Delete,
    Increment,
    Decrement,
    Quit,
    Flush,
    Noop,
    Version,
    Append,
    Prepend,
    Stat,
    Verbosity,
    Touch,
    GetAndTouch,
    SaslList,
    SaslAuth,
    SaslStep,
}

/// An opcode, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) op: Op,
    /// Says nothing when there is nothing to say: a miss of a read, a success of a write.
    pub(super) quiet: bool,
    /// The reply carries the key.
    pub(super) with_key: bool,
}

/// What an opcode stands for; `None`: nothing.
pub(super) const fn kind(opcode: u8) -> Option<Kind> {
    let (op, quiet, with_key) = match opcode {
        0x00 => (Op::Get, false, false),
        0x01 => (Op::Set, false, false),
        0x02 => (Op::Add, false, false),
        0x03 => (Op::Replace, false, false),
        0x04 => (Op::Delete, false, false),
        0x05 => (Op::Increment, false, false),
        0x06 => (Op::Decrement, false, false),
        0x07 => (Op::Quit, false, false),
        0x08 => (Op::Flush, false, false),
        0x09 => (Op::Get, true, false),
        0x0a => (Op::Noop, false, false),
        0x0b => (Op::Version, false, false),
        0x0c => (Op::Get, false, true),
        0x0d => (Op::Get, true, true),
        0x0e => (Op::Append, false, false),
        0x0f => (Op::Prepend, false, false),
        0x10 => (Op::Stat, false, false),
        0x11 => (Op::Set, true, false),
        0x12 => (Op::Add, true, false),
        0x13 => (Op::Replace, true, false),
        0x14 => (Op::Delete, true, false),
        0x15 => (Op::Increment, true, false),
        0x16 => (Op::Decrement, true, false),
        0x17 => (Op::Quit, true, false),
        0x18 => (Op::Flush, true, false),
        0x19 => (Op::Append, true, false),
        0x1a => (Op::Prepend, true, false),
        0x1b => (Op::Verbosity, false, false),
        0x1c => (Op::Touch, false, false),
        0x1d => (Op::GetAndTouch, false, false),
        0x1e => (Op::GetAndTouch, true, false),
        0x20 => (Op::SaslList, false, false),
        0x21 => (Op::SaslAuth, false, false),
        0x22 => (Op::SaslStep, false, false),
        0x23 => (Op::GetAndTouch, false, true),
        0x24 => (Op::GetAndTouch, true, true),
        _ => return None,
    };
    Some(Kind {
        op,
        quiet,
        with_key,
    })
}

/// The most extras, bytes: those of an increment.
const EXTRAS_MAX: usize = 20;

/// The longest SASL response, bytes: two names and a password.
const SASL_MAX: usize = 4096;

impl Op {
    /// Whether a request may have these lengths; the value's is judged against `value_max`
    /// elsewhere, for those that store one.
    pub(super) const fn allows(self, extras: usize, key: usize, value: usize) -> bool {
        if extras > EXTRAS_MAX || key > KEY_MAX {
            return false;
        }
        match self {
            Self::Set | Self::Add | Self::Replace => extras == 8 && key > 0,
            Self::Append | Self::Prepend => extras == 0 && key > 0,
            Self::Get | Self::Delete => extras == 0 && key > 0 && value == 0,
            Self::Increment | Self::Decrement => extras == 20 && key > 0 && value == 0,
            Self::Touch | Self::GetAndTouch => extras == 4 && key > 0 && value == 0,
            Self::Flush => (extras == 0 || extras == 4) && key == 0 && value == 0,
            Self::Verbosity => extras == 4 && key == 0 && value == 0,
            Self::Stat => extras == 0 && value == 0,
            Self::Quit | Self::Noop | Self::Version | Self::SaslList => {
                extras == 0 && key == 0 && value == 0
            }
            Self::SaslAuth | Self::SaslStep => extras == 0 && key > 0 && value <= SASL_MAX,
        }
    }

    /// Whether the value is an item's.
    pub(super) const fn stores(self) -> bool {
        matches!(
            self,
            Self::Set | Self::Add | Self::Replace | Self::Append | Self::Prepend
        )
    }
}

/// A request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: u8,
    pub(super) key_bytes: usize,
    pub(super) extras_bytes: usize,
    pub(super) body_bytes: usize,
    pub(super) opaque: [u8; 4],
    pub(super) cas: u64,
}

impl Head {
    /// Reads one; `None` when the first byte is no request's.
    pub(super) fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let [magic, opcode, key_1, key_0, extras, ..] = *bytes;
        let [.., cas_7, cas_6, cas_5, cas_4, cas_3, cas_2, cas_1, cas_0] = *bytes;
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        (magic == REQUEST).then(|| Self {
            opcode,
            key_bytes: usize::from(u16::from_be_bytes([key_1, key_0])),
            extras_bytes: usize::from(extras),
            body_bytes: u32::from_be_bytes(word(8)) as usize,
            opaque: word(12),
            cas: u64::from_be_bytes([cas_7, cas_6, cas_5, cas_4, cas_3, cas_2, cas_1, cas_0]),
        })
    }
}

/// What a reply is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) cas: u64,
    pub(super) extras: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Reply<'_> {
    /// Appends it, as the answer to `request`.
    pub(super) fn write(&self, request: &Head, out: &mut Vec<u8>) {
        let body = self.extras.len() + self.key.len() + self.value.len();
        out.reserve(HEAD + body);
        out.extend_from_slice(&[REPLY, request.opcode]);
        // Keys are at most 250 bytes, values at most what an item holds: both fit.
        out.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        out.extend_from_slice(&[self.extras.len() as u8, 0]);
        out.extend_from_slice(&self.status.to_be_bytes());
        out.extend_from_slice(&(body as u32).to_be_bytes());
        out.extend_from_slice(&request.opaque);
        out.extend_from_slice(&self.cas.to_be_bytes());
        out.extend_from_slice(self.extras);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
    }
}
