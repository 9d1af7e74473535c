//! All batches of a run, composed before it.
//!
//! One for all partitions, or, where keys choose the partition, one for each; and a shorter one for
//! the end of a run of so many records. Their bodies lie in one region. What is in them is a function
//! of the spec and the seed; nothing here may depend on time.

use bytes::Bytes;
use loadgen_core::buffer::Region;
use loadgen_core::workload::Random;

use super::keys;
use super::template::{Composed, STAMP_BYTES, Template};
use crate::cluster::Topic;
use crate::spec::{Partitioner, RecordSpec};
use crate::wire::batch::{Codec, HEADER_BYTES};
use crate::wire::compose::{Composer, Draft};
use crate::wire::{WireError, Wrong};

/// The most bytes of all batches of a run: each partition has one of its own where keys choose.
pub const BATCHES_BYTES_MAX: u64 = 1 << 30;

/// What templates are made from.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The records.
    pub records: &'a RecordSpec,
    /// Who chooses the partition.
    pub partitioner: Partitioner,
    /// The partitions of the run.
    pub topic: &'a Topic,
    /// Partitions of the topic: keys choose among all of them.
    pub partition_count: u32,
    /// Records of the whole run.
    pub wanted: Option<u64>,
    /// Values begin with a stamp that has this mark.
    pub mark: Option<u64>,
    /// Seed of contents.
    pub seed: u64,
}

/// The batches of a run.
#[derive(Debug)]
pub struct Templates {
    /// One, or one by partition; `None`: no key goes there.
    full: Vec<Option<Template>>,
    /// With fewer records. Empty where none is needed.
    short: Vec<Option<Template>>,
    batch_records: u32,
    batch_bytes: usize,
}

impl Templates {
    /// Composes them.
    ///
    /// # Errors
    /// One sentence: a batch cannot be composed, they would take too much memory, no key goes to any
    /// of the partitions, or values cannot be stamped.
    pub fn new(order: &Order<'_>) -> Result<Self, WireError> {
        check_stamps(order)?;
        let contents = Contents::new(order);
        let limit = order.wanted.unwrap_or(u64::MAX);
        let any = contents.compose(Numbers::All, limit, 0)?;
        let (batch_records, batch_bytes) = (any.records, any.batch.len());
        let rest = order.wanted.unwrap_or(0) % u64::from(batch_records);
        let (full, short) = if order.partitioner == Partitioner::ByKey {
            by_partition(order, &contents, u64::from(batch_records), rest)?
        } else {
            let short = match rest {
                0 => Vec::new(),
                rest => vec![Some(contents.compose(Numbers::All, rest, 0)?)],
            };
            (vec![Some(any)], short)
        };
        let classes = full.len();
        let mut templates = placed(full.into_iter().chain(short));
        let short = templates.split_off(classes);
        Ok(Self {
            full: templates,
            short,
            batch_records,
            batch_bytes,
        })
    }

    /// The batch for the partition at this position; `None`: no key goes there. `last`: it ends a
    /// run, and may be shorter.
    #[must_use]
    #[inline]
    pub fn of(&self, partition: usize, last: bool) -> Option<&Template> {
        let all = if last && self.has_short() {
            &self.short
        } else {
            &self.full
        };
        let class = if all.len() == 1 { 0 } else { partition };
        all.get(class)?.as_ref()
    }

    /// Whether the last batch of the run is shorter than the others.
    #[must_use]
    pub fn has_short(&self) -> bool {
        !self.short.is_empty()
    }

    /// Records of a batch that is not the last.
    #[must_use]
    pub const fn batch_records(&self) -> u32 {
        self.batch_records
    }

    /// Bytes of a batch that is not the last, its header included. Where keys choose, compressed
    /// ones differ a little; this is about what they have.
    #[must_use]
    pub const fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }
}

fn check_stamps(order: &Order<'_>) -> Result<(), WireError> {
    if order.mark.is_none() {
        return Ok(());
    }
    let RecordSpec {
        codec, value_bytes, ..
    } = *order.records;
    if codec != Codec::None {
        return Err(Wrong::Codec.because(format!(
            "--codec {}: stamps are written into batches as they are sent, which must not be \
             compressed",
            codec.name()
        )));
    }
    if (value_bytes as usize) < STAMP_BYTES {
        return Err(Wrong::Length.because(format!(
            "--record-size is {value_bytes} bytes, a stamp needs {STAMP_BYTES}"
        )));
    }
    Ok(())
}

type Row = Vec<Option<Composed>>;

/// A full batch and, where the run's last one has `rest` records, a short one for each partition.
fn by_partition(
    order: &Order<'_>,
    contents: &Contents<'_>,
    records: u64,
    rest: u64,
) -> Result<(Row, Row), WireError> {
    let indexes: Vec<i32> = order.topic.partitions.iter().map(|p| p.index).collect();
    let about = contents.about_bytes(records + rest) * indexes.len() as u64;
    if about > BATCHES_BYTES_MAX {
        return Err(Wrong::Length.because(format!(
            "--partitioner key: the batches of {} partitions have about {about} bytes together, above \
             the limit of {BATCHES_BYTES_MAX}; choose a smaller --batch-bytes or fewer --partitions",
            indexes.len()
        )));
    }
    let bytes = order.records.key_bytes.unwrap_or(0);
    let numbers = keys::by_partition(&indexes, order.partition_count, bytes, records as usize);
    if numbers.iter().all(Vec::is_empty) {
        return Err(Wrong::Partition.because(format!(
            "--partitioner key: no key of {bytes} bytes goes to any of the {} partitions; give a larger \
             --key-size",
            indexes.len()
        )));
    }
    let row = |limit: u64| -> Result<Row, WireError> {
        let each = numbers.iter().enumerate();
        each.map(|(at, numbers)| {
            let some = !numbers.is_empty();
            let compose = || contents.compose(Numbers::Of(numbers), limit, at as u64);
            some.then(compose).transpose()
        })
        .collect()
    };
    let short = if rest > 0 { row(rest)? } else { Vec::new() };
    Ok((row(records)?, short))
}

/// Puts all bodies into one region: one file, however many there are.
fn placed(all: impl Iterator<Item = Option<Composed>>) -> Vec<Option<Template>> {
    let all: Row = all.collect();
    let bodies = all.iter().flatten().map(|c| &c.batch[HEADER_BYTES..]);
    let bodies: Vec<&[u8]> = bodies.collect();
    let region = Region::new(Bytes::from(bodies.concat()));
    let mut from = 0;
    let mut place = |composed: Composed| {
        let end = from + composed.batch.len() - HEADER_BYTES;
        let body = region.slice(from..end);
        from = end;
        Template::new(composed, body)
    };
    all.into_iter().map(|one| one.map(&mut place)).collect()
}

/// Which numbers keys have.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    /// 0, 1, 2…
    All,
    /// These, and then again from the first. Not empty.
    Of(&'a [u64]),
}

/// What is in records.
struct Contents<'a> {
    spec: &'a RecordSpec,
    headers: Vec<(&'a str, Vec<u8>)>,
    mark: Option<u64>,
    seed: u64,
}

impl<'a> Contents<'a> {
    fn new(order: &Order<'a>) -> Self {
        let mut random = Random::new(order.seed);
        let header = |(name, bytes): &'a (String, u32)| {
            let mut value = vec![0; *bytes as usize];
            letters(&mut random, &mut value);
            (name.as_str(), value)
        };
        Self {
            spec: order.records,
            headers: order.records.headers.iter().map(header).collect(),
            mark: order.mark,
            seed: order.seed,
        }
    }

    /// Bytes of so many records before compression, a little too many.
    fn about_bytes(&self, records: u64) -> u64 {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 10)
            .sum();
        let record = u64::from(self.spec.value_bytes) + u64::from(self.spec.key_bytes.unwrap_or(0));
        records * (record + headers as u64 + 20)
    }

    /// As many records as fit into the batch, `limit` at the most and one at least. Of the same
    /// `class`, fewer records are the first ones of more.
    fn compose(&self, numbers: Numbers<'_>, limit: u64, class: u64) -> Result<Composed, WireError> {
        let headers = self.headers.iter();
        let headers: Vec<(&str, Option<&[u8]>)> = headers
            .map(|(name, value)| (*name, Some(&value[..])))
            .collect();
        let mut random = Random::new(Random::new(self.seed ^ (class << 32)).next_u64());
        let mut value = vec![0; self.spec.value_bytes as usize];
        let mut composer = Composer::new();
        let mut stamps = Vec::new();
        for number in 0..limit {
            // Each value is another one: else a codec would find the same bytes again.
            letters(&mut random, &mut value);
            if let Some(mark) = self.mark {
                value[..8].fill(0);
                value[8..STAMP_BYTES].copy_from_slice(&mark.to_be_bytes());
            }
            let number = match numbers {
                Numbers::All => number,
                Numbers::Of(some) => some[number as usize % some.len()],
            };
            let key = self.spec.key_bytes.map(|bytes| keys::key(number, bytes));
            let draft = Draft {
                key: key.as_deref(),
                value: Some(&value),
                headers: &headers,
                timestamp_delta_ms: 0,
            };
            let before = composer.mark();
            let value_at = composer.push(&draft)?;
            if composer.records() > 1 && composer.plain_bytes() > self.spec.batch_bytes as usize {
                composer.back_to(before);
                break;
            }
            stamps.push(value_at as u32);
        }
        Ok(Composed {
            batch: composer.finish(self.spec.codec, 0)?,
            stamps: if self.mark.is_some() {
                stamps
            } else {
                Vec::new()
            },
            records: composer.records(),
            payload_bytes: composer.payload_bytes(),
        })
    }
}

/// Capital letters, as the Java tool draws them.
fn letters(random: &mut Random, bytes: &mut [u8]) {
    for byte in bytes {
        *byte = b'A' + random.below(26) as u8;
    }
}

#[cfg(test)]
#[path = "templates_tests.rs"]
mod tests;
