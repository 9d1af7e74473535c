//! The reply to a Produce request for one partition, v3 to v12, read as it comes.
//!
//! A field is read when all of it is there, so the verdict does not depend on how the bytes are cut;
//! texts and tagged fields are passed over and need not fit any buffer. Nothing may be read past the
//! frame. Source: Kafka protocol guide, "Produce API"; `ProduceResponse.json`.

use super::prim::Reader;
use super::produce::FLEXIBLE_FROM;
use super::{WireError, Wrong};

/// The most bytes of a reply: one for each record that was refused, with a reason, is far less.
pub const REPLY_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// A reason longer than this is passed over.
const MESSAGE_BYTES_MAX: u32 = 1024;
/// The log's start is told.
const LOG_START_FROM: i16 = 5;
/// Records have errors of their own, with texts (KIP-467).
const RECORD_ERRORS_FROM: i16 = 8;
/// The partition's leader is told when it is another one (KIP-951).
const LEADER_FROM: i16 = 10;
/// An index, and a text that is null: the least a record's error has.
const RECORD_ERROR_BYTES_MIN: u64 = 5;
/// A tag and its size.
const TAG_BYTES_MIN: u64 = 2;

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The version of the request.
    pub version: i16,
    /// Its correlation id.
    pub correlation: i32,
    /// The topic.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
}

/// What the broker says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// An error code; 0: the batch is in the log.
    pub error: i16,
    /// The offset of its first record; −1 where there is none.
    pub base_offset: i64,
    /// When the broker says it was appended, ms; −1 where the producer's timestamps count.
    pub log_append_time_ms: i64,
    /// The quota was exceeded: how long nothing should be sent, ms.
    pub throttle_ms: u32,
    /// Who leads the partition, node id and epoch, when it is another one.
    pub leader: Option<(i32, i32)>,
    /// What the broker says about the error.
    pub message: Option<String>,
}

/// How far a reply was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are done with.
    pub eaten: usize,
    /// So many of the next bytes belong to it and need not be seen.
    pub discard: u64,
    /// It is complete.
    pub done: Option<Produced>,
}

/// Whose tagged fields they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Header,
    RecordError,
    Partition,
    Topic,
    Reply,
}

/// What is due next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Due {
    #[default]
    Head,
    Topics,
    Name,
    Partitions,
    Partition,
    RecordErrors,
    RecordError,
    Message,
    Tags(Of),
    Tag(Of),
    Throttle,
    End,
}

/// One reply, as far as it has come. Used again for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    due: Due,
    /// Bytes of the frame that were not read.
    left: u64,
    /// Of those, bytes to pass over.
    skip: u64,
    record_errors: u32,
    tags: u32,
    got: Produced,
}

type Moved = Result<Option<Due>, WireError>;

impl Reading {
    /// Reads on. `skipped` bytes in front of `bytes` were discarded, as the last step said.
    ///
    /// # Errors
    /// When it is no reply to what was asked.
    pub fn feed(
        &mut self,
        asked: &Asked<'_>,
        bytes: &[u8],
        skipped: u64,
    ) -> Result<Step, WireError> {
        self.pass(skipped.min(self.skip));
        let mut eaten = 0;
        loop {
            let rest = &bytes[eaten..];
            let passed = self.skip.min(rest.len() as u64);
            self.pass(passed);
            eaten += passed as usize;
            if self.skip > 0 {
                return Ok(step(eaten, self.skip, None));
            }
            if self.due == Due::End {
                if self.left > 0 {
                    return Err(length(format!(
                        "a Produce reply has {} bytes behind its end",
                        self.left
                    )));
                }
                let got = std::mem::take(self).got;
                return Ok(step(eaten, 0, Some(got)));
            }
            let rest = &bytes[eaten..];
            let frame = if self.due == Due::Head {
                u64::MAX
            } else {
                self.left
            };
            let there = frame.min(rest.len() as u64) as usize;
            let mut reader = Reader::new(&rest[..there]);
            let Some(due) = self.read(&mut reader, asked)? else {
                if there as u64 == frame {
                    return Err(length(format!(
                        "a Produce reply has {:?} past its end: {frame} bytes are left",
                        self.due
                    )));
                }
                return Ok(step(eaten, 0, None));
            };
            eaten += reader.at();
            self.left -= if self.due == Due::Head {
                0
            } else {
                reader.at() as u64
            };
            self.due = due;
            if self.skip > self.left {
                return Err(length(format!(
                    "a Produce reply has a field of {} bytes where {} are left",
                    self.skip, self.left
                )));
            }
        }
    }

    fn pass(&mut self, bytes: u64) {
        self.skip -= bytes;
        self.left -= bytes;
    }

    /// One field; what is due behind it, or `None` while bytes of it are missing.
    fn read(&mut self, r: &mut Reader<'_>, asked: &Asked<'_>) -> Moved {
        let flexible = asked.version >= FLEXIBLE_FROM;
        match self.due {
            Due::Head => self.head(r, asked),
            Due::Topics => one(r, flexible, "topics", Due::Name),
            Due::Name => name(r, flexible, asked),
            Due::Partitions => one(r, flexible, "partitions", Due::Partition),
            Due::Partition => self.partition(r, asked),
            Due::RecordErrors => self.record_errors(r, flexible),
            Due::RecordError => self.record_error(r, flexible),
            Due::Message => self.message(r, flexible),
            Due::Tags(of) => self.tags(r, of),
            Due::Tag(of) => self.tag(r, of, asked.version),
            Due::Throttle => self.throttle(r, flexible),
            Due::End => Ok(Some(Due::End)),
        }
    }

    fn head(&mut self, r: &mut Reader<'_>, asked: &Asked<'_>) -> Moved {
        let (Some(bytes), Some(correlation)) = (r.i32(), r.i32()) else {
            return Ok(None);
        };
        if !(4..=REPLY_BYTES_MAX as i32).contains(&bytes) {
            return Err(length(format!(
                "a Produce reply says it has {bytes} bytes, from 4 to {REPLY_BYTES_MAX} may be"
            )));
        }
        if correlation != asked.correlation {
            return Err(Wrong::Correlation.because(format!(
                "a reply has correlation id {correlation}, {} is due",
                asked.correlation
            )));
        }
        self.left = u64::from(bytes as u32) - 4;
        Ok(Some(if asked.version >= FLEXIBLE_FROM {
            Due::Tags(Of::Header)
        } else {
            Due::Topics
        }))
    }

    fn partition(&mut self, r: &mut Reader<'_>, asked: &Asked<'_>) -> Moved {
        let (Some(index), Some(error), Some(base_offset), Some(append_time)) =
            (r.i32(), r.i16(), r.i64(), r.i64())
        else {
            return Ok(None);
        };
        if asked.version >= LOG_START_FROM && r.i64().is_none() {
            return Ok(None);
        }
        if index != asked.partition {
            return Err(Wrong::Partition.because(format!(
                "a Produce reply is about partition {index}, {} was written to",
                asked.partition
            )));
        }
        self.got.error = error;
        self.got.base_offset = base_offset;
        self.got.log_append_time_ms = append_time;
        Ok(Some(if asked.version >= RECORD_ERRORS_FROM {
            Due::RecordErrors
        } else {
            Due::Throttle
        }))
    }

    fn record_errors(&mut self, r: &mut Reader<'_>, flexible: bool) -> Moved {
        let Some(count) = count(r, flexible)? else {
            return Ok(None);
        };
        self.record_errors = within(count, self.left, RECORD_ERROR_BYTES_MIN, "record errors")?;
        Ok(Some(self.next_record_error()))
    }

    fn next_record_error(&mut self) -> Due {
        if self.record_errors == 0 {
            return Due::Message;
        }
        self.record_errors -= 1;
        Due::RecordError
    }

    fn record_error(&mut self, r: &mut Reader<'_>, flexible: bool) -> Moved {
        if r.i32().is_none() {
            return Ok(None);
        }
        let Some(bytes) = text(r, flexible)? else {
            return Ok(None);
        };
        self.skip = u64::from(bytes.unwrap_or(0));
        Ok(Some(if flexible {
            Due::Tags(Of::RecordError)
        } else {
            self.next_record_error()
        }))
    }

    fn message(&mut self, r: &mut Reader<'_>, flexible: bool) -> Moved {
        let Some(bytes) = text(r, flexible)? else {
            return Ok(None);
        };
        match bytes {
            Some(bytes) if bytes > MESSAGE_BYTES_MAX => self.skip = u64::from(bytes),
            Some(bytes) => {
                let Some(text) = r.take(bytes as usize) else {
                    return Ok(None);
                };
                self.got.message = Some(String::from_utf8_lossy(text).into_owned());
            }
            None => {}
        }
        Ok(Some(if flexible {
            Due::Tags(Of::Partition)
        } else {
            Due::Throttle
        }))
    }

    fn throttle(&mut self, r: &mut Reader<'_>, flexible: bool) -> Moved {
        let Some(ms) = r.i32() else {
            return Ok(None);
        };
        self.got.throttle_ms = u32::try_from(ms)
            .map_err(|_| length(format!("a Produce reply throttles for {ms} ms")))?;
        Ok(Some(if flexible {
            Due::Tags(Of::Reply)
        } else {
            Due::End
        }))
    }

    fn tags(&mut self, r: &mut Reader<'_>, of: Of) -> Moved {
        let Some(count) = uvarint(r)? else {
            return Ok(None);
        };
        self.tags = within(count, self.left, TAG_BYTES_MIN, "tagged fields")?;
        Ok(Some(self.next_tag(of)))
    }

    fn next_tag(&mut self, of: Of) -> Due {
        if self.tags > 0 {
            self.tags -= 1;
            return Due::Tag(of);
        }
        match of {
            Of::Header => Due::Topics,
            Of::RecordError => self.next_record_error(),
            Of::Partition => Due::Tags(Of::Topic),
            Of::Topic => Due::Throttle,
            Of::Reply => Due::End,
        }
    }

    fn tag(&mut self, r: &mut Reader<'_>, of: Of, version: i16) -> Moved {
        let Some(tag) = uvarint(r)? else {
            return Ok(None);
        };
        let Some(bytes) = uvarint(r)? else {
            return Ok(None);
        };
        let mut skip = u64::from(bytes);
        if version >= LEADER_FROM && of == Of::Partition && tag == 0 && bytes >= 8 {
            let (Some(node), Some(epoch)) = (r.i32(), r.i32()) else {
                return Ok(None);
            };
            self.got.leader = (node >= 0).then_some((node, epoch));
            skip -= 8;
        }
        self.skip = skip;
        Ok(Some(self.next_tag(of)))
    }
}

/// An array of exactly one element: what was asked has one.
fn one(r: &mut Reader<'_>, flexible: bool, what: &str, due: Due) -> Moved {
    match count(r, flexible)? {
        None => Ok(None),
        Some(1) => Ok(Some(due)),
        Some(count) => Err(Wrong::Partition.because(format!(
            "a Produce reply is about {count} {what}, 1 was written to"
        ))),
    }
}

fn name(r: &mut Reader<'_>, flexible: bool, asked: &Asked<'_>) -> Moved {
    let Some(bytes) = text(r, flexible)? else {
        return Ok(None);
    };
    let other = |name: &str| {
        Wrong::Partition.because(format!(
            "a Produce reply is about topic {name:?}, {} was written to",
            asked.topic
        ))
    };
    if bytes != Some(asked.topic.len() as u32) {
        return Err(other("of another length"));
    }
    let Some(name) = r.take(asked.topic.len()) else {
        return Ok(None);
    };
    if name != asked.topic.as_bytes() {
        return Err(other(&String::from_utf8_lossy(name)));
    }
    Ok(Some(Due::Partitions))
}

/// The elements of an array.
fn count(r: &mut Reader<'_>, flexible: bool) -> Result<Option<u32>, WireError> {
    let count = if flexible {
        uvarint(r)?.map(|raw| i64::from(raw) - 1)
    } else {
        r.i32().map(i64::from)
    };
    match count {
        None => Ok(None),
        Some(count) => match u32::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(length(format!(
                "a Produce reply has an array of {count} elements"
            ))),
        },
    }
}

/// The bytes of a nullable text; `Some(None)` for null.
fn text(r: &mut Reader<'_>, flexible: bool) -> Result<Option<Option<u32>>, WireError> {
    let bytes = if flexible {
        uvarint(r)?.map(|raw| i64::from(raw) - 1)
    } else {
        r.i16().map(i64::from)
    };
    match bytes {
        None => Ok(None),
        Some(-1) => Ok(Some(None)),
        Some(bytes) => match u32::try_from(bytes) {
            Ok(bytes) => Ok(Some(Some(bytes))),
            Err(_) => Err(length(format!(
                "a Produce reply has a text of {bytes} bytes"
            ))),
        },
    }
}

/// `None` while bytes of it are missing.
fn uvarint(r: &mut Reader<'_>) -> Result<Option<u32>, WireError> {
    let rest = r.rest();
    match r.uvarint() {
        None if rest.len() >= 5 => Err(length(
            "a Produce reply has a varint of more than 32 bits".into(),
        )),
        value => Ok(value),
    }
}

/// So many things of at least so many bytes must fit into what is left.
fn within(count: u32, left: u64, each_bytes: u64, what: &str) -> Result<u32, WireError> {
    if u64::from(count) * each_bytes > left {
        return Err(length(format!(
            "a Produce reply says it has {count} {what} in {left} bytes"
        )));
    }
    Ok(count)
}

#[cold]
fn length(detail: String) -> WireError {
    Wrong::Length.because(detail)
}

fn step(eaten: usize, discard: u64, done: Option<Produced>) -> Step {
    Step {
        eaten,
        discard,
        done,
    }
}

#[cfg(test)]
#[path = "produced_tests.rs"]
mod tests;
