//! The requests of consumer groups, as bytes: finding the coordinator, joining, committing.
//!
//! What they mean is in `group`. Each function reads one request and writes its reply; `None` is a
//! request that cannot be read.

use super::api::{Head, code};
use super::fields::{Answer, Fields};
use super::group::{Committed, Groups, Member};
use super::serve::{Desk, NODE, Session};

/// `key_type` of `FindCoordinator`: a group.
const GROUP: i8 = 0;

pub(super) fn find_coordinator(
    session: &Session,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let _key = fields.string()?;
    let kind = fields.when(head.version >= 1, GROUP, Fields::i8)?;
    fields.tags()?;
    if head.version >= 1 {
        answer.i32(0);
    }
    let refused = kind != GROUP;
    answer.i16(if refused {
        code::TRANSACTIONAL_ID_REFUSED
    } else {
        code::NONE
    });
    if head.version >= 1 {
        answer.nullable_string(refused.then_some("this target has no transactions"));
    }
    answer.i32(NODE);
    answer.string(&session.advertised.host);
    answer.i32(i32::from(session.advertised.port));
    answer.tags();
    Some(())
}

pub(super) fn join(
    desk: &Desk<'_>,
    session: &mut Session,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let group = fields.string()?;
    let _session_timeout_ms = fields.i32()?;
    fields.when(head.version >= 1, 0, Fields::i32)?;
    let id = fields.string()?;
    fields.when(head.version >= 5, None, Fields::nullable_string)?;
    let protocol_type = fields.string()?;
    // Any of its protocols will do for a group of one: the one it likes best is the first.
    let mut first = None;
    for _ in 0..fields.array()? {
        let protocol = (fields.string()?, fields.bytes()?);
        fields.tags()?;
        first = first.or(Some(protocol));
    }
    fields.tags()?;
    let joined = match first {
        None => Err(code::INVALID_REQUEST),
        Some((name, metadata)) => desk.broker.groups.join(
            group,
            Member {
                id: id.to_owned(),
                metadata: metadata.to_vec(),
                assignment: Vec::new(),
                protocol_type: protocol_type.to_owned(),
                protocol: name.to_owned(),
            },
        ),
    };
    if let Ok((_, member)) = &joined {
        session.joined(group, &member.id);
    }
    write_joined(&joined, head, id, answer);
    Some(())
}

fn write_joined(
    joined: &Result<(i32, Member), i16>,
    head: Head,
    id: &str,
    answer: &mut Answer<'_>,
) {
    if head.version >= 2 {
        answer.i32(0);
    }
    let member = joined.as_ref().ok().map(|(_, member)| member);
    answer.i16(joined.as_ref().err().copied().unwrap_or(code::NONE));
    answer.i32(joined.as_ref().map_or(-1, |(generation, _)| *generation));
    if head.version >= 7 {
        answer.nullable_string(member.map(|m| m.protocol_type.as_str()));
    }
    answer.string(member.map_or("", |m| &m.protocol));
    let id = member.map_or(id, |m| &m.id);
    // The leader is the member itself.
    answer.string(member.map_or("", |m| &m.id));
    answer.string(id);
    answer.array(usize::from(member.is_some()));
    if let Some(member) = member {
        answer.string(&member.id);
        if head.version >= 5 {
            answer.nullable_string(None);
        }
        answer.bytes(&member.metadata);
        answer.tags();
    }
    answer.tags();
}

pub(super) fn sync(
    groups: &Groups,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let (group, generation, id) = (fields.string()?, fields.i32()?, fields.string()?);
    fields.when(head.version >= 3, None, Fields::nullable_string)?;
    if head.version >= 5 {
        fields.nullable_string()?;
        fields.nullable_string()?;
    }
    let mut own = None;
    for _ in 0..fields.array()? {
        let (whose, assignment) = (fields.string()?, fields.bytes()?);
        fields.tags()?;
        if whose == id {
            own = Some(assignment);
        }
    }
    fields.tags()?;
    let synced = groups.sync(group, generation, id, own);
    if head.version >= 1 {
        answer.i32(0);
    }
    let member = synced.as_ref().ok();
    answer.i16(synced.as_ref().err().copied().unwrap_or(code::NONE));
    if head.version >= 5 {
        answer.nullable_string(member.map(|m| m.protocol_type.as_str()));
        answer.nullable_string(member.map(|m| m.protocol.as_str()));
    }
    answer.bytes(member.map_or(&[], |m| &m.assignment));
    answer.tags();
    Some(())
}

pub(super) fn heartbeat(
    groups: &Groups,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let (group, generation, id) = (fields.string()?, fields.i32()?, fields.string()?);
    fields.when(head.version >= 3, None, Fields::nullable_string)?;
    fields.tags()?;
    if head.version >= 1 {
        answer.i32(0);
    }
    answer.i16(groups.heartbeat(group, generation, id));
    answer.tags();
    Some(())
}

pub(super) fn leave(
    groups: &Groups,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let group = fields.string()?;
    if head.version >= 1 {
        answer.i32(0);
    }
    if head.version < 3 {
        answer.i16(groups.leave(group, fields.string()?));
        return Some(());
    }
    answer.i16(code::NONE);
    let count = fields.array()?;
    answer.array(count);
    for _ in 0..count {
        let (id, instance) = (fields.string()?, fields.nullable_string()?);
        fields.tags()?;
        answer.string(id);
        answer.nullable_string(instance);
        answer.i16(groups.leave(group, id));
        answer.tags();
    }
    fields.tags()?;
    answer.tags();
    Some(())
}

pub(super) fn commit(
    groups: &Groups,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let (group, generation, id) = (fields.string()?, fields.i32()?, fields.string()?);
    fields.when(head.version >= 7, None, Fields::nullable_string)?;
    fields.when(head.version <= 4, 0, Fields::i64)?;
    let verdict = groups.may_commit(group, generation, id);
    if head.version >= 3 {
        answer.i32(0);
    }
    let topics = fields.array()?;
    answer.array(topics);
    for _ in 0..topics {
        let topic = fields.string()?;
        let partitions = fields.array()?;
        answer.string(topic);
        answer.array(partitions);
        for _ in 0..partitions {
            let (partition, offset) = (fields.i32()?, fields.i64()?);
            fields.when(head.version >= 6, 0, Fields::i32)?;
            let metadata = fields.nullable_string()?.map(str::to_owned);
            fields.tags()?;
            answer.i32(partition);
            answer.i16(match verdict {
                code::NONE => {
                    groups.commit(group, topic, partition, Committed { offset, metadata })
                }
                refused => refused,
            });
            answer.tags();
        }
        fields.tags()?;
        answer.tags();
    }
    fields.tags()?;
    answer.tags();
    Some(())
}

pub(super) fn fetch_offsets(
    groups: &Groups,
    head: Head,
    fields: &mut Fields<'_>,
    answer: &mut Answer<'_>,
) -> Option<()> {
    let group = fields.string()?;
    let topics = fields.nullable_array()?;
    if head.version >= 3 {
        answer.i32(0);
    }
    match topics {
        None => write_all_offsets(groups, group, head, answer),
        Some(topics) => {
            answer.array(topics);
            for _ in 0..topics {
                let topic = fields.string()?;
                answer.string(topic);
                let partitions = fields.array()?;
                answer.array(partitions);
                for _ in 0..partitions {
                    let partition = fields.i32()?;
                    let found = groups.committed(group, topic, partition);
                    write_offset(partition, found.as_ref(), head, answer);
                }
                fields.tags()?;
                answer.tags();
            }
        }
    }
    fields.when(head.version >= 7, false, Fields::bool)?;
    fields.tags()?;
    if head.version >= 2 {
        answer.i16(code::NONE);
    }
    answer.tags();
    Some(())
}

fn write_all_offsets(groups: &Groups, group: &str, head: Head, answer: &mut Answer<'_>) {
    let all = groups.all_committed(group);
    let topics: Vec<_> = all.chunk_by(|a, b| a.0 == b.0).collect();
    answer.array(topics.len());
    for rows in topics {
        answer.string(rows.first().map_or("", |row| &row.0));
        answer.array(rows.len());
        for (_, partition, found) in rows {
            write_offset(*partition, Some(found), head, answer);
        }
        answer.tags();
    }
}

fn write_offset(partition: i32, found: Option<&Committed>, head: Head, answer: &mut Answer<'_>) {
    answer.i32(partition);
    answer.i64(found.map_or(-1, |found| found.offset));
    if head.version >= 5 {
        answer.i32(-1);
    }
    let metadata = found.map(|found| found.metadata.as_deref());
    answer.nullable_string(metadata.unwrap_or(Some("")));
    answer.i16(code::NONE);
    answer.tags();
}
