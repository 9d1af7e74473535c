//! What a client asks before it reads or writes: versions, metadata, offsets, topics, settings.
//!
//! Each function reads one request and writes its reply; `None` is a request that cannot be read,
//! or whose reply would outgrow its limit.

use super::api::{APIS, Head, code};
use super::fields::{Answer, Fields};
use super::serve::{CLUSTER, Desk, NODE, Session};
use super::topics::Topic;

/// The most bytes of a reply that is not of records.
const REPLY_MAX: usize = 16 << 20;

/// Special timestamps of `ListOffsets`.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// `ApiVersions` of this version; its request has nothing we need.
pub(super) fn api_versions(version: i16, error: i16, answer: &mut Answer<'_>) {
    answer.i16(error);
    answer.array(APIS.len());
    for api in &APIS {
        answer.i16(api.key as i16);
        answer.i16(api.announced_min());
        answer.i16(api.max);
        answer.tags();
    }
    if version >= 1 {
        answer.i32(0);
    }
    answer.tags();
}

pub(super) fn metadata(
    desk: &Desk<'_>,
    session: &Session,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let version = head.version;
    let asked = fields.nullable_array()?;
    let mut rest = *fields;
    for _ in 0..asked.unwrap_or(0) {
        rest.string()?;
        rest.tags()?;
    }
    let create = rest.when(version >= 4, true, Fields::bool)?;
    if version >= 3 {
        answer.i32(0);
    }
    answer.array(1);
    answer.i32(NODE);
    answer.string(&session.advertised.host);
    answer.i32(i32::from(session.advertised.port));
    if version >= 1 {
        answer.nullable_string(None);
    }
    answer.tags();
    if version >= 2 {
        answer.nullable_string(Some(CLUSTER));
    }
    if version >= 1 {
        answer.i32(NODE);
    }
    // Before there was null, an empty list meant all.
    let all = asked.is_none() || (version == 0 && asked == Some(0));
    if all {
        let topics = desk.broker.topics.all();
        answer.array(topics.len());
        for topic in &topics {
            write_topic(version, &topic.name, Ok(topic), answer);
        }
    } else {
        let asked = asked.unwrap_or(0);
        answer.array(asked);
        for _ in 0..asked {
            let name = fields.string()?;
            fields.tags()?;
            let found = find_or_create(desk, name, create);
            write_topic(version, name, found.as_deref().map_err(|e| *e), answer);
            if answer.len() > REPLY_MAX {
                return None;
            }
        }
    }
    if version >= 8 {
        answer.i32(i32::MIN);
    }
    answer.tags();
    Some(())
}

fn find_or_create(desk: &Desk<'_>, name: &str, create: bool) -> Result<std::sync::Arc<Topic>, i16> {
    let topics = &desk.broker.topics;
    if let Some(topic) = topics.find(name.as_bytes()) {
        return Ok(topic);
    }
    if !create || !desk.broker.options.auto_create {
        return Err(code::UNKNOWN_TOPIC_OR_PARTITION);
    }
    match topics.create(name, None, false) {
        // Somebody else was faster.
        Err((code::TOPIC_ALREADY_EXISTS, _)) => topics
            .find(name.as_bytes())
            .ok_or(code::UNKNOWN_TOPIC_OR_PARTITION),
        made => made.map_err(|(code, _)| code),
    }
}

fn write_topic(version: i16, name: &str, found: Result<&Topic, i16>, answer: &mut Answer<'_>) {
    answer.i16(found.err().unwrap_or(code::NONE));
    answer.string(name);
    if version >= 1 {
        answer.bool(false);
    }
    let partitions = found.map_or(0, Topic::partitions);
    answer.array(partitions);
    for partition in 0..partitions {
        answer.i16(code::NONE);
        answer.i32(partition as i32);
        answer.i32(NODE);
        if version >= 7 {
            answer.i32(0);
        }
        // Replicas, and those in sync: this broker.
        for _ in 0..2 {
            answer.array(1);
            answer.i32(NODE);
        }
        if version >= 5 {
            answer.array(0);
        }
        answer.tags();
    }
    if version >= 8 {
        answer.i32(i32::MIN);
    }
    answer.tags();
}

pub(super) fn list_offsets(
    desk: &Desk<'_>,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let version = head.version;
    let _replica = fields.i32()?;
    fields.when(version >= 2, 0, Fields::i8)?;
    if version >= 2 {
        answer.i32(0);
    }
    let topics = fields.array()?;
    answer.array(topics);
    for _ in 0..topics {
        let name = fields.string()?;
        let topic = desk.broker.topics.find(name.as_bytes());
        let partitions = fields.array()?;
        answer.string(name);
        answer.array(partitions);
        for _ in 0..partitions {
            let partition = fields.i32()?;
            fields.when(version >= 4, 0, Fields::i32)?;
            let when = fields.i64()?;
            fields.tags()?;
            let end = topic.as_ref().and_then(|topic| topic.end(partition));
            let (timestamp, offset) = end.map_or((-1, -1), |end| offset_at(desk, when, end));
            answer.i32(partition);
            answer.i16(match end {
                Some(_) => code::NONE,
                None => code::UNKNOWN_TOPIC_OR_PARTITION,
            });
            answer.i64(timestamp);
            answer.i64(offset);
            if version >= 4 {
                answer.i32(if end.is_some() { 0 } else { -1 });
            }
            answer.tags();
        }
        fields.tags()?;
        answer.tags();
    }
    fields.tags()?;
    answer.tags();
    Some(())
}

/// Timestamp and offset of the record that is asked for; −1 twice: there is none.
fn offset_at(desk: &Desk<'_>, when: i64, end: i64) -> (i64, i64) {
    // All records have one timestamp.
    let theirs = desk.broker.log.timestamp_ms;
    match when {
        LATEST => (-1, end),
        EARLIEST => (-1, 0),
        MAX_TIMESTAMP if end > 0 => (theirs, 0),
        when if when >= 0 && when <= theirs && end > 0 => (theirs, 0),
        _ => (-1, -1),
    }
}

pub(super) fn create_topics(
    desk: &Desk<'_>,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    // Behind the topics it says whether they are only judged.
    let mut ahead = *fields;
    let count = ahead.array()?;
    for _ in 0..count {
        NewTopic::read(&mut ahead)?;
    }
    let _timeout_ms = ahead.i32()?;
    let judge_only = ahead.bool()?;
    ahead.tags()?;
    answer.i32(0);
    answer.array(fields.array()?);
    for _ in 0..count {
        let new = NewTopic::read(fields)?;
        let made = new.partitions().and_then(|partitions| {
            let topics = &desk.broker.topics;
            topics.create(new.name, partitions, judge_only)
        });
        answer.string(new.name);
        let error = made.as_ref().err();
        answer.i16(error.map_or(code::NONE, |(code, _)| *code));
        answer.nullable_string(error.map(|(_, why)| why.as_str()));
        if head.version >= 5 {
            let partitions = made.as_ref().map_or(-1, |topic| topic.partitions() as i32);
            answer.i32(partitions);
            answer.i16(if made.is_ok() { 1 } else { -1 });
            answer.array(0);
        }
        answer.tags();
        if answer.len() > REPLY_MAX {
            return None;
        }
    }
    answer.tags();
    Some(())
}

/// A topic of `CreateTopics`. Its settings are read and change nothing here.
struct NewTopic<'a> {
    name: &'a str,
    partitions: i32,
    replication: i16,
    /// Partitions that were assigned to brokers by hand.
    assigned: usize,
}

impl<'a> NewTopic<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let (name, partitions, replication) = (fields.string()?, fields.i32()?, fields.i16()?);
        let assigned = fields.array()?;
        for _ in 0..assigned {
            fields.i32()?;
            for _ in 0..fields.array()? {
                fields.i32()?;
            }
            fields.tags()?;
        }
        for _ in 0..fields.array()? {
            fields.string()?;
            fields.nullable_string()?;
            fields.tags()?;
        }
        fields.tags()?;
        Some(Self {
            name,
            partitions,
            replication,
            assigned,
        })
    }

    /// Partitions it should have; `None`: as is usual here.
    fn partitions(&self) -> Result<Option<i32>, (i16, String)> {
        if !matches!(self.replication, -1 | 1) {
            return Err((
                code::INVALID_REPLICATION_FACTOR,
                format!(
                    "a topic has 1 replica here, as there is 1 broker; {} were asked for",
                    self.replication
                ),
            ));
        }
        Ok(match (self.assigned, self.partitions) {
            (0, -1) => None,
            (0, count) => Some(count),
            (assigned, _) => Some(i32::try_from(assigned).unwrap_or(i32::MAX)),
        })
    }
}

pub(super) fn delete_topics(
    desk: &Desk<'_>,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let count = fields.array()?;
    answer.i32(0);
    answer.array(count);
    for _ in 0..count {
        let name = fields.string()?;
        answer.string(name);
        answer.i16(if desk.broker.topics.delete(name) {
            code::NONE
        } else {
            code::UNKNOWN_TOPIC_OR_PARTITION
        });
        if head.version >= 5 {
            answer.nullable_string(None);
        }
        answer.tags();
    }
    let _timeout_ms = fields.i32()?;
    fields.tags()?;
    answer.tags();
    Some(())
}

pub(super) fn init_producer_id(
    desk: &Desk<'_>,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let transactional = fields.nullable_string()?.is_some();
    let _timeout_ms = fields.i32()?;
    if head.version >= 3 {
        fields.i64()?;
        fields.i16()?;
    }
    fields.tags()?;
    answer.i32(0);
    if transactional {
        answer.i16(code::TRANSACTIONAL_ID_REFUSED);
        answer.i64(-1);
        answer.i16(-1);
    } else {
        answer.i16(code::NONE);
        answer.i64(desk.broker.next_producer_id());
        answer.i16(0);
    }
    answer.tags();
    Some(())
}

/// `resource_type` of `DescribeConfigs`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

pub(super) fn describe_configs(
    desk: &Desk<'_>,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let count = fields.array()?;
    answer.i32(0);
    answer.array(count);
    for _ in 0..count {
        let (kind, name) = (fields.i8()?, fields.string()?);
        let keys = fields.nullable_array()?;
        let mut wanted = *fields;
        for _ in 0..keys.unwrap_or(0) {
            fields.string()?;
        }
        fields.tags()?;
        let (error, mut settings) = match kind {
            TOPIC if desk.broker.topics.find(name.as_bytes()).is_none() => {
                (code::UNKNOWN_TOPIC_OR_PARTITION, Vec::new())
            }
            TOPIC => (code::NONE, desk.broker.topic_settings()),
            BROKER => (code::NONE, desk.broker.settings()),
            _ => (code::INVALID_REQUEST, Vec::new()),
        };
        if keys.is_some() {
            let keys: Option<Vec<&str>> = (0..keys.unwrap_or(0)).map(|_| wanted.string()).collect();
            let keys = keys?;
            settings.retain(|(name, _)| keys.contains(name));
        }
        answer.i16(error);
        answer.nullable_string(None);
        answer.i8(kind);
        answer.string(name);
        answer.array(settings.len());
        for (name, value) in &settings {
            write_setting(head.version, name, value, answer);
        }
        answer.tags();
        if answer.len() > REPLY_MAX {
            return None;
        }
    }
    fields.bool()?;
    fields.when(head.version >= 3, false, Fields::bool)?;
    fields.tags()?;
    answer.tags();
    Some(())
}

fn write_setting(version: i16, name: &str, value: &str, answer: &mut Answer<'_>) {
    /// `config_source`: set when the broker was started.
    const STATIC: i8 = 4;
    answer.string(name);
    answer.nullable_string(Some(value));
    answer.bool(true);
    answer.i8(STATIC);
    answer.bool(false);
    answer.array(0);
    if version >= 3 {
        // Its type is not said, nor what it is for.
        answer.i8(0);
        answer.nullable_string(None);
    }
    answer.tags();
}
