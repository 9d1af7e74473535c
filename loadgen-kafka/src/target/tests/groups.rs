//! A consumer group of one: joining, committing, going.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

use super::super::api::{Key, code};
use super::*;

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Asks to be a member: a new one with an empty id.
pub(super) fn member_of(name: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"topics"));
    JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_session_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn join(client: &mut Client, version: i16, name: &str, member: &str) -> JoinGroupResponse {
    client.ask(version, &member_of(name, member))
}

#[test]
fn the_coordinator_is_here() {
    let (target, mut client) = start(options());
    for version in versions(Key::FindCoordinator) {
        let request = FindCoordinatorRequest::default().with_key(text("g"));
        let reply = client.ask(version, &request);
        let port = i32::from(target.socket_addr().unwrap().port());
        assert_eq!((reply.error_code, reply.port), (0, port));
        assert_eq!(reply.host.as_str(), "127.0.0.1");
        if version >= 1 {
            let reply = client.ask(version, &request.with_key_type(1));
            assert_eq!(reply.error_code, code::TRANSACTIONAL_ID_REFUSED);
        }
    }
}

#[test]
fn a_member_joins_in_every_version() {
    let (_target, mut client) = start(options());
    for version in versions(Key::JoinGroup) {
        let name = format!("g{version}");
        let joined = join(&mut client, version, &name, "");
        assert_eq!(joined.error_code, 0);
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.members[0].member_id, joined.member_id);
        assert_eq!(&joined.members[0].metadata[..], b"topics");
        assert_eq!(joined.protocol_name, Some(text("range")));
        let (generation, member) = (joined.generation_id, joined.member_id);

        let sync = versions(Key::SyncGroup).end().min(&version).to_owned();
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(member.clone())
            .with_assignment(Bytes::from_static(b"all of it"));
        let request = SyncGroupRequest::default()
            .with_group_id(group(&name))
            .with_generation_id(generation)
            .with_member_id(member.clone())
            .with_assignments(vec![assignment]);
        let synced = client.ask(sync, &request);
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"all of it"[..])
        );

        let beat = versions(Key::Heartbeat).end().min(&version).to_owned();
        let request = HeartbeatRequest::default()
            .with_group_id(group(&name))
            .with_generation_id(generation)
            .with_member_id(member.clone());
        assert_eq!(client.ask(beat, &request).error_code, 0);
        let stale = request.with_generation_id(generation + 1);
        let refused = client.ask(beat, &stale).error_code;
        assert_eq!(refused, code::ILLEGAL_GENERATION);

        let leave = versions(Key::LeaveGroup).end().min(&version).to_owned();
        let mut request = LeaveGroupRequest::default().with_group_id(group(&name));
        if leave < 3 {
            request.member_id = member;
            assert_eq!(client.ask(leave, &request).error_code, 0);
        } else {
            let who = |id| MemberIdentity::default().with_member_id(id);
            request.members = vec![who(member), who(text("nobody"))];
            let members = client.ask(leave, &request).members;
            let codes: Vec<i16> = members.iter().map(|m| m.error_code).collect();
            assert_eq!(codes, [0, code::UNKNOWN_MEMBER_ID]);
        }
    }
}

#[test]
fn a_second_member_waits_for_the_end_of_the_first() {
    let (target, mut first) = start(options());
    let joined = join(&mut first, 5, "g", "");
    let again = join(&mut first, 5, "g", &joined.member_id);
    assert_eq!(again.generation_id, joined.generation_id + 1);
    let mut second = Client::new(&target);
    let refused = join(&mut second, 5, "g", "").error_code;
    assert_eq!(refused, code::GROUP_MAX_SIZE_REACHED);
    drop(first);
    let begun = std::time::Instant::now();
    while join(&mut second, 5, "g", "").error_code != 0 {
        assert!(begun.elapsed() < PATIENCE, "its connection is gone");
    }
}

#[test]
fn offsets_are_kept_in_every_version() {
    let (_target, mut client) = start(options());
    for version in versions(Key::OffsetCommit) {
        let commit = |offset, generation| {
            let part = OffsetCommitRequestPartition::default()
                .with_partition_index(3)
                .with_committed_offset(offset)
                .with_committed_metadata(Some(text("note")));
            let wanted = OffsetCommitRequestTopic::default()
                .with_name(topic("t"))
                .with_partitions(vec![part]);
            OffsetCommitRequest::default()
                .with_group_id(group("g"))
                .with_generation_id_or_member_epoch(generation)
                .with_topics(vec![wanted])
        };
        let offset = 100 + i64::from(version);
        let reply = client.ask(version, &commit(offset, -1));
        assert_eq!(reply.topics[0].partitions[0].error_code, 0);
        let reply = client.ask(version, &commit(1, 5));
        let refused = reply.topics[0].partitions[0].error_code;
        assert_eq!(refused, code::UNKNOWN_MEMBER_ID);

        let fetch = version - 1;
        let wanted = OffsetFetchRequestTopic::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![3, 0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group("g"))
            .with_topics(Some(vec![wanted]));
        let reply = client.ask(fetch, &request);
        let found = &reply.topics[0].partitions;
        assert_eq!(
            (found[0].committed_offset, found[1].committed_offset),
            (offset, -1)
        );
        assert_eq!(found[0].metadata, Some(text("note")));
        if fetch >= 2 {
            let reply = client.ask(fetch, &request.with_topics(None));
            assert_eq!(reply.topics[0].partitions.len(), 1);
            assert_eq!(reply.topics[0].partitions[0].committed_offset, offset);
        }
    }
}
