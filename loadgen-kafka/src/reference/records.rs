//! Records as an application hands them over, one by one: those of the batches that the native client
//! sends.
//!
//! They are cut out of batches once, before the run. Nothing here may compose a record of its own.

use std::ops::Range;

use loadgen_core::buffer::Outbox;
use loadgen_core::time::Tick;

use crate::produce::ProduceRules;
use crate::produce::template::Template;
use crate::wire::batch::HEADER_BYTES;
use crate::wire::prim::Reader;

/// The records of one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    cuts: Vec<Cut>,
    /// Of every record: name and value.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// Bytes of keys and values.
    pub(super) payload_bytes: u64,
}

#[derive(Clone, Debug)]
struct Cut {
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Batch {
    /// `None`: what is there is no batch of ours without compression.
    fn of(template: &Template) -> Option<Self> {
        let mut out = Outbox::default();
        template.put(0, Tick(0), &mut out);
        let bytes = out.flatten();
        let mut reader = Reader::new(&bytes);
        reader.take(HEADER_BYTES)?;
        let mut cuts = Vec::with_capacity(template.records as usize);
        let mut headers = Vec::new();
        while !reader.rest().is_empty() {
            let (_length, _attributes) = (reader.varint()?, reader.i8()?);
            let (_timestamp, _offset) = (reader.varlong()?, reader.varint()?);
            let key = field(&mut reader)?;
            let value = field(&mut reader)??;
            cuts.push(Cut { key, value });
            headers = read_headers(&bytes, &mut reader)?;
        }
        (cuts.len() == template.records as usize).then_some(Self {
            bytes,
            cuts,
            headers,
            payload_bytes: template.payload_bytes,
        })
    }

    /// How many.
    pub(super) fn records(&self) -> u32 {
        self.cuts.len() as u32
    }

    /// Key and value of each.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
        self.cuts.iter().map(|cut| {
            let key = cut.key.clone().map(|key| &self.bytes[key]);
            (key, &self.bytes[cut.value.clone()])
        })
    }
}

/// Where a length and so many bytes are; −1 is null.
fn field(reader: &mut Reader<'_>) -> Option<Option<Range<usize>>> {
    let length = reader.varint()?;
    if length == -1 {
        return Some(None);
    }
    let from = reader.at();
    reader.take(usize::try_from(length).ok()?)?;
    Some(Some(from..reader.at()))
}

fn read_headers(bytes: &[u8], reader: &mut Reader<'_>) -> Option<Vec<(String, Vec<u8>)>> {
    let count = u32::try_from(reader.varint()?).ok()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let (name, value) = (field(reader)??, field(reader)??);
        let name = String::from_utf8(bytes[name].to_vec()).ok()?;
        headers.push((name, bytes[value].to_vec()));
    }
    Some(headers)
}

/// All batches of a run, by partition.
#[derive(Debug)]
pub(super) struct Batches {
    /// Positions in `all`, by partition: full and last.
    of: Vec<[Option<usize>; 2]>,
    all: Vec<Batch>,
}

impl Batches {
    /// # Errors
    /// A bug of ours: a batch that cannot be taken apart.
    pub(super) fn new(rules: &ProduceRules) -> Result<Self, String> {
        let mut all: Vec<Batch> = Vec::new();
        let mut known: [Option<(&Template, usize)>; 2] = [None, None];
        let mut of = Vec::new();
        for partition in 0..rules.topic.partitions.len() {
            let mut row = [None, None];
            for last in [false, true] {
                let Some(template) = rules.template(partition, last) else {
                    continue;
                };
                // Most runs have one for all partitions.
                let mut known_ones = known.iter().flatten();
                let same = known_ones.find(|(other, _)| std::ptr::eq(*other, template));
                let at = match same {
                    Some((_, at)) => *at,
                    None => {
                        let batch = Batch::of(template);
                        all.push(batch.ok_or("a batch for --client librdkafka has no records")?);
                        all.len() - 1
                    }
                };
                known[usize::from(last)] = Some((template, at));
                row[usize::from(last)] = Some(at);
            }
            of.push(row);
        }
        Ok(Self { of, all })
    }

    /// The batch for the partition at this position.
    pub(super) fn of(&self, partition: usize, last: bool) -> Option<&Batch> {
        let at = (*self.of.get(partition)?)[usize::from(last)]?;
        self.all.get(at)
    }

    /// Bytes of the largest one.
    pub(super) fn bytes_max(&self) -> u64 {
        let bytes = self.all.iter().map(|batch| batch.bytes.len() as u64);
        bytes.max().unwrap_or(0)
    }
}
