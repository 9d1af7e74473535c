//! What an answer must look like before the codec from outside may read it.
//!
//! That codec makes room for as many rows as an array says it has, before it has seen one: a broken
//! peer would take all memory with four bytes. So every answer is first walked by its form, which
//! allocates nothing and lets no array through whose rows are not there. Only versions without
//! compact arrays and tags are spoken: those of Kafka 2.1, which 4.x and Redpanda know as well.
//! (Kafka's message files, `clients/src/main/resources/common/message`.)

use kafka_protocol::protocol::VersionRange;

use crate::wire::prim::Reader;

/// A field of an answer.
#[derive(Clone, Copy, Debug)]
enum Field {
    /// So many bytes.
    Fixed(usize),
    /// STRING or `NULLABLE_STRING`.
    Text,
    /// ARRAY of rows with these fields.
    Rows(&'static [Self]),
    /// INT32, from this version on.
    Int32Since(i16),
    /// ARRAY of INT32, from this version on.
    Int32sSince(i16),
}

use Field::{Fixed, Int32Since, Int32sSince, Rows, Text};

const INT8: Field = Fixed(1);
const INT16: Field = Fixed(2);
const INT32: Field = Fixed(4);
const INT64: Field = Fixed(8);
const INT32S: Field = Rows(&[INT32]);

/// The versions of a request that are spoken, and the answer they all have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The versions.
    pub(super) versions: VersionRange,
    answer: &'static [Field],
}

const fn versions(min: i16, max: i16) -> VersionRange {
    VersionRange { min, max }
}

/// `Metadata`. 4: one may ask without creating; 7: epochs of leaders.
pub(super) const METADATA: Form = Form {
    versions: versions(4, 7),
    answer: &[
        INT32,
        Rows(&[INT32, Text, INT32, Text]),
        Text,
        INT32,
        Rows(&[INT16, Text, INT8, PARTITIONS]),
    ],
};

const PARTITIONS: Field = Rows(&[
    INT16,
    INT32,
    INT32,
    Int32Since(7),
    INT32S,
    INT32S,
    Int32sSince(5),
]);

/// `ListOffsets`. 2: isolation levels; 5: a new leader says that it does not know yet.
pub(super) const LIST_OFFSETS: Form = Form {
    versions: versions(2, 5),
    answer: &[
        INT32,
        Rows(&[Text, Rows(&[INT32, INT16, INT64, INT64, Int32Since(4)])]),
    ],
};

/// `CreateTopics`.
pub(super) const CREATE_TOPICS: Form = Form {
    versions: versions(2, 4),
    answer: &[INT32, Rows(&[Text, INT16, Text])],
};

/// `CreateTopics` where the broker's defaults are asked for (KIP-464).
pub(super) const CREATE_TOPICS_BY_DEFAULT: Form = Form {
    versions: versions(4, 4),
    ..CREATE_TOPICS
};

/// `DeleteTopics`.
pub(super) const DELETE_TOPICS: Form = Form {
    versions: versions(1, 3),
    answer: &[INT32, Rows(&[Text, INT16])],
};

/// `DescribeConfigs`.
pub(super) const DESCRIBE_CONFIGS: Form = Form {
    versions: versions(1, 2),
    answer: &[INT32, Rows(&[INT16, Text, INT8, Text, SETTINGS])],
};

const SETTINGS: Field = Rows(&[Text, Text, INT8, INT8, INT8, Rows(&[Text, Text, INT8])]);

impl Form {
    /// Walks the body of an answer in `version`.
    ///
    /// # Errors
    /// What is missing, in half a sentence.
    pub(super) fn check(&self, version: i16, body: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(body);
        walk(&mut reader, version, self.answer)?;
        match reader.rest().len() {
            0 => Ok(()),
            more => Err(format!("{more} bytes follow its last field")),
        }
    }
}

fn walk(reader: &mut Reader<'_>, version: i16, fields: &[Field]) -> Result<(), String> {
    for field in fields {
        match *field {
            Fixed(bytes) => skip(reader, bytes)?,
            Int32Since(since) if version >= since => skip(reader, 4)?,
            Text => {
                let length = reader.i16().ok_or_else(|| cut(2, reader))?;
                // −1: null.
                skip(reader, usize::try_from(length).unwrap_or(0))?;
            }
            Rows(fields) => rows(reader, version, fields)?,
            Int32sSince(since) if version >= since => rows(reader, version, &[INT32])?,
            Int32Since(_) | Int32sSince(_) => {}
        }
    }
    Ok(())
}

fn rows(reader: &mut Reader<'_>, version: i16, fields: &[Field]) -> Result<(), String> {
    let count = reader.i32().ok_or_else(|| cut(4, reader))?;
    let left = reader.rest().len();
    // Every row has a byte at least; the walk finds the others.
    match usize::try_from(count) {
        Ok(count) if count <= left => (0..count).try_for_each(|_| walk(reader, version, fields)),
        _ => Err(format!(
            "an array says it has {count} rows, and {left} bytes are left"
        )),
    }
}

fn skip(reader: &mut Reader<'_>, bytes: usize) -> Result<(), String> {
    match reader.take(bytes) {
        Some(_) => Ok(()),
        None => Err(cut(bytes, reader)),
    }
}

fn cut(wanted: usize, reader: &Reader<'_>) -> String {
    format!(
        "a field has {wanted} bytes, and {} are left",
        reader.rest().len()
    )
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
    use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
    use kafka_protocol::messages::describe_configs_response::{
        DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
    };
    use kafka_protocol::messages::list_offsets_response::{
        ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
    };
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{
        BrokerId, CreateTopicsResponse, DeleteTopicsResponse, DescribeConfigsResponse,
        ListOffsetsResponse, MetadataResponse, TopicName,
    };
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    use super::*;

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    fn name() -> TopicName {
        TopicName(text("topic"))
    }

    /// What another encoder makes of `answer` in every version of `form`: whole it is let through,
    /// cut anywhere or longer it is not. With any four bytes of it as the largest count it is let
    /// through only where no count was, and then the codec may read it.
    fn holds<A: Encodable + Decodable>(form: &Form, answer: &A) {
        for version in form.versions.min..=form.versions.max {
            let mut bytes = BytesMut::new();
            answer.encode(&mut bytes, version).unwrap();
            assert_eq!(form.check(version, &bytes), Ok(()), "version {version}");
            for cut in 0..bytes.len() {
                assert!(
                    form.check(version, &bytes[..cut]).is_err(),
                    "version {version} at {cut}"
                );
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(form.check(version, &longer).is_err());
            let mut refused = 0;
            for at in 0..bytes.len() - 3 {
                let mut odd = bytes.to_vec();
                odd[at..at + 4].copy_from_slice(&i32::MAX.to_be_bytes());
                match form.check(version, &odd) {
                    Ok(()) => drop(A::decode(&mut bytes::Bytes::from(odd), version)),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 0, "version {version}");
        }
    }

    #[test]
    fn what_another_encoder_writes_is_walked_to_its_end() {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(1))
            .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
            .with_isr_nodes(vec![BrokerId(1)])
            .with_offline_replicas(vec![BrokerId(2)]);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(name()))
            .with_partitions(vec![partition.clone(), partition]);
        let broker = MetadataResponseBroker::default().with_host(text("host"));
        let metadata = MetadataResponse::default()
            .with_brokers(vec![broker.clone(), broker.with_rack(Some(text("r")))])
            .with_cluster_id(Some(text("cluster")))
            .with_topics(vec![topic.clone(), topic]);
        holds(&METADATA, &metadata);
        let topic = ListOffsetsTopicResponse::default()
            .with_name(name())
            .with_partitions(vec![ListOffsetsPartitionResponse::default(); 3]);
        let offsets = ListOffsetsResponse::default().with_topics(vec![topic]);
        holds(&LIST_OFFSETS, &offsets);
        let topic = CreatableTopicResult::default()
            .with_name(name())
            .with_error_message(Some(text("because")));
        let created = CreateTopicsResponse::default().with_topics(vec![topic]);
        holds(&CREATE_TOPICS, &created);
        let topic = DeletableTopicResult::default().with_name(Some(name()));
        let deleted = DeleteTopicsResponse::default().with_responses(vec![topic]);
        holds(&DELETE_TOPICS, &deleted);
        let setting = DescribeConfigsResourceResult::default()
            .with_name(text("a.b"))
            .with_value(Some(text("1")))
            .with_synonyms(vec![DescribeConfigsSynonym::default(); 2]);
        let of_one = DescribeConfigsResult::default()
            .with_resource_name(text("1"))
            .with_configs(vec![setting.clone(), setting.with_value(None)]);
        let settings = DescribeConfigsResponse::default().with_results(vec![of_one]);
        holds(&DESCRIBE_CONFIGS, &settings);
    }

    #[test]
    fn counts_are_held_against_what_is_there() {
        for (count, said) in [
            (i32::MAX, "2147483647 rows, and 8 bytes"),
            (9, "9 rows, and 8 bytes"),
            (-1, "-1 rows"),
            (3, "a field has 2 bytes, and 0 are left"),
        ] {
            let mut body = vec![0; 4];
            body.extend(count.to_be_bytes());
            body.extend([0; 8]);
            let error = DELETE_TOPICS.check(1, &body).unwrap_err();
            assert!(error.contains(said), "{count}: {error}");
        }
    }
}
