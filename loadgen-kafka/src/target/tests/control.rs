//! Versions, metadata, offsets, topics, settings; and requests nobody should send.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, TransactionalId,
};

use super::super::api::{APIS, Key, code};
use super::super::topics::ENDLESS;
use super::*;

#[test]
fn versions_are_said_in_every_version_and_to_those_too_new() {
    let (_target, mut client) = start(options());
    for version in versions(Key::ApiVersions) {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request = request
                .with_client_software_name(text("a"))
                .with_client_software_version(text("1"));
        }
        let reply = client.ask(version, &request);
        assert_eq!((reply.error_code, reply.api_keys.len()), (0, APIS.len()));
        for (said, api) in reply.api_keys.iter().zip(&APIS) {
            assert_eq!(said.api_key, api.key as i16);
            assert_eq!(said.max_version, api.max);
            // KAFKA-18659: brokers announce Produce from 0 on, and so do we.
            let min = if api.key == Key::Produce { 0 } else { api.min };
            assert_eq!(said.min_version, min);
        }
    }
    // Version 4 is told in version 0 what there is (KIP-511).
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("a"))
        .with_client_software_version(text("1"));
    client.send(&frame(4, &request));
    let reply = understand::<ApiVersionsRequest>(0, client.read());
    assert_eq!(reply.error_code, code::UNSUPPORTED_VERSION);
    assert_eq!(reply.api_keys.len(), APIS.len());
}

#[test]
fn metadata_makes_topics_and_says_where_to_go() {
    let target = Target::start(options()).unwrap();
    let port = i32::from(target.socket_addr().unwrap().port());
    let mut client = Client::new(&target);
    for version in versions(Key::Metadata) {
        let name = format!("v{version}");
        let ask = |name: &str| {
            let wanted = MetadataRequestTopic::default().with_name(Some(topic(name)));
            MetadataRequest::default().with_topics(Some(vec![wanted]))
        };
        let reply = client.ask(version, &ask(&name));
        let broker = &reply.brokers[0];
        assert_eq!((broker.host.as_str(), broker.port), ("127.0.0.1", port));
        let made = &reply.topics[0];
        assert_eq!((made.error_code, made.partitions.len()), (0, 4));
        for (index, partition) in made.partitions.iter().enumerate() {
            assert_eq!(partition.partition_index, index as i32);
            assert_eq!(partition.leader_id, broker.node_id);
            assert_eq!(partition.isr_nodes, [broker.node_id]);
        }
        let reply = client.ask(version, &ask("a b"));
        assert_eq!(reply.topics[0].error_code, code::INVALID_TOPIC);
        let all = MetadataRequest::default().with_topics((version > 0).then(Vec::new));
        let none = client.ask(version.max(1), &all).topics;
        assert!(version == 0 || none.is_empty());
        if version >= 4 {
            let reply = client.ask(version, &ask("x").with_allow_auto_topic_creation(false));
            assert_eq!(reply.topics[0].error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    let all = MetadataRequest::default().with_topics(None);
    assert_eq!(client.ask(9, &all).topics.len(), 10);
    let all = MetadataRequest::default().with_topics(Some(Vec::new()));
    assert_eq!(client.ask(0, &all).topics.len(), 10);
}

#[test]
fn an_advertised_address_is_said_instead() {
    let target = Target::start(TargetOptions {
        advertise: Some(("far.example".into(), Some(7))),
        auto_create: false,
        topics: vec!["there".into()],
        ..options()
    })
    .unwrap();
    let mut client = Client::new(&target);
    let reply = client.ask(9, &MetadataRequest::default());
    let broker = &reply.brokers[0];
    assert_eq!((broker.host.as_str(), broker.port), ("far.example", 7));
    let all = client.ask(9, &MetadataRequest::default().with_topics(None));
    assert_eq!(all.topics[0].name, Some(topic("there")));
    let wanted = MetadataRequestTopic::default().with_name(Some(topic("t")));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let reply = client.ask(9, &request);
    assert_eq!(reply.topics[0].error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(target.stop().get("topics"), 1);
    let wrong = Target::start(TargetOptions {
        topics: vec!["a b".into()],
        ..options()
    });
    let said = wrong.unwrap_err().to_string();
    assert!(said.contains("a b"), "{said}");
}

#[test]
fn offsets_are_those_of_the_log() {
    let (_target, mut client) = start(TargetOptions {
        records: Some(25),
        ..options()
    });
    let ask = |name: &str, partition, timestamp| {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(timestamp);
        let wanted = ListOffsetsTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_topics(vec![wanted])
    };
    for version in versions(Key::ListOffsets) {
        let mut offset = |name, partition, when| {
            let reply = client.ask(version, &ask(name, partition, when));
            let found = &reply.topics[0].partitions[0];
            (found.error_code, found.offset)
        };
        assert_eq!(offset("t", 3, -1), (0, 25));
        assert_eq!(offset("t", 3, -2), (0, 0));
        assert_eq!(offset("t", 3, 0), (0, 0));
        assert_eq!(offset("t", 3, i64::MAX), (0, -1));
        assert_eq!(offset("t", 4, -1), (3, -1));
        assert_eq!(offset("u", 0, -1), (3, -1));
    }
    let (_target, mut client) = start(options());
    let reply = client.ask(7, &ask("t", 0, -1));
    assert_eq!(reply.topics[0].partitions[0].offset, ENDLESS);
}

#[test]
fn topics_are_made_and_taken_away() {
    let (_target, mut client) = start(options());
    for version in versions(Key::CreateTopics) {
        let name = format!("v{version}");
        let new = |name: &str, partitions, replication| {
            CreatableTopic::default()
                .with_name(topic(name))
                .with_num_partitions(partitions)
                .with_replication_factor(replication)
                .with_configs(vec![
                    CreatableTopicConfig::default()
                        .with_name(text("retention.ms"))
                        .with_value(Some(text("-1"))),
                ])
        };
        let topics = vec![
            new(&name, 50, 1),
            new("t", 1, 1),
            new("u", 1, 3),
            new("u", 0, 1),
            new("?", 1, 1),
        ];
        let request = CreateTopicsRequest::default().with_topics(topics);
        let judged = client.ask(version, &request.clone().with_validate_only(true));
        assert_eq!(judged.topics[0].error_code, 0);
        let reply = client.ask(version, &request);
        let codes: Vec<i16> = reply.topics.iter().map(|t| t.error_code).collect();
        assert_eq!(codes, [0, 36, 38, 37, 17]);
        assert!(reply.topics[2].error_message.is_some());
        if version >= 5 {
            assert_eq!(reply.topics[0].num_partitions, 50);
        }
        let delete = versions(Key::DeleteTopics).end() - (6 - version);
        let names = vec![topic(&name), topic("nothing")];
        let request = DeleteTopicsRequest::default().with_topic_names(names);
        let reply = client.ask(delete, &request);
        let codes: Vec<i16> = reply.responses.iter().map(|t| t.error_code).collect();
        assert_eq!(codes, [0, 3], "{delete}");
    }
}

#[test]
fn settings_and_producer_ids_are_given() {
    let (_target, mut client) = start(options());
    for version in versions(Key::DescribeConfigs) {
        let about = |kind, name: &str, keys: Option<Vec<_>>| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(keys)
        };
        let key = "group.initial.rebalance.delay.ms";
        let request = DescribeConfigsRequest::default().with_resources(vec![
            about(4, "1", Some(vec![text(key), text("nothing")])),
            about(2, "t", None),
            about(2, "u", None),
        ]);
        let reply = client.ask(version, &request);
        let settings = &reply.results[0].configs;
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].name.as_str(), key);
        assert_eq!(settings[0].value, Some(text("0")));
        assert!(reply.results[1].configs.len() > 2);
        assert_eq!(
            reply.results[2].error_code,
            code::UNKNOWN_TOPIC_OR_PARTITION
        );
    }
    let mut last = -1;
    for version in versions(Key::InitProducerId) {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let reply = client.ask(version, &request);
        assert_eq!((reply.error_code, reply.producer_epoch), (0, 0));
        assert!(reply.producer_id.0 > last);
        last = reply.producer_id.0;
        let id = TransactionalId(text("mine"));
        let request = InitProducerIdRequest::default().with_transactional_id(Some(id));
        let reply = client.ask(version, &request);
        assert_eq!(reply.error_code, code::TRANSACTIONAL_ID_REFUSED);
    }
}

#[test]
fn requests_that_cannot_be_end_the_connection() {
    let (target, _client) = start(options());
    let metadata = frame(1, &MetadataRequest::default().with_topics(None));
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = metadata.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let count_at = metadata.len() - 4;
    let cases = [
        // Lengths: negative, beyond any limit, beyond that of a small request.
        with(0, &(-1_i32).to_be_bytes()),
        with(0, &i32::MAX.to_be_bytes()),
        with(0, &((1 << 20) + 1_u32).to_be_bytes()),
        // Keys and versions that are not served; Produce v2 is announced, and refused.
        with(4, &60_i16.to_be_bytes()),
        with(6, &99_i16.to_be_bytes()),
        with(6, &(-1_i16).to_be_bytes()),
        with(4, &[0, 0, 0, 2]),
        // A client id beyond the end, more topics than bytes, a count nobody could mean.
        with(12, &i16::MAX.to_be_bytes()),
        with(count_at, &1_i32.to_be_bytes()),
        with(count_at, &i32::MAX.to_be_bytes()),
        with(count_at, &(-2_i32).to_be_bytes()),
    ];
    for (number, case) in cases.iter().enumerate() {
        let mut client = Client::new(&target);
        client.send(case);
        assert!(client.is_closed(), "{number}");
    }
    assert_eq!(target.stop().get("bad_requests"), cases.len() as u64);
}

/// Requests with something in every field, in every version.
fn all_kinds() -> Vec<Vec<u8>> {
    let new = CreatableTopic::default()
        .with_name(topic("n"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let new = CreateTopicsRequest::default().with_topics(vec![new]);
    let about = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_configuration_keys(Some(vec![text("x")]));
    let about = DescribeConfigsRequest::default().with_resources(vec![about]);
    let wanted = MetadataRequestTopic::default().with_name(Some(topic("t")));
    let metadata = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let fetch = fetch::fetch("t", &[(0, 0, 1)], 1, 0, 1);
    let produce = produce::produce("t", 0, produce::batch(1), 1);
    let member = groups::member_of("g", "");
    let mut all = Vec::new();
    all.extend(versions(Key::CreateTopics).map(|v| frame(v, &new)));
    all.extend(versions(Key::DescribeConfigs).map(|v| frame(v, &about)));
    all.extend(versions(Key::Metadata).map(|v| frame(v, &metadata)));
    all.extend(versions(Key::Fetch).map(|v| frame(v, &fetch)));
    all.extend(versions(Key::Produce).map(|v| frame(v, &produce)));
    all.extend(versions(Key::JoinGroup).map(|v| frame(v, &member)));
    all
}

/// The length fits, what is in it does not: a thread that fell over would answer nobody.
#[test]
fn a_request_that_is_too_short_for_itself_harms_nobody() {
    let (target, mut client) = start(options());
    for whole in all_kinds() {
        for cut in 4..whole.len() {
            let mut short = whole[..cut].to_vec();
            short[..4].copy_from_slice(&(cut as u32 - 4).to_be_bytes());
            let mut other = Client::new(&target);
            other.send(&short);
            other.0.shutdown(std::net::Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            other.0.read_to_end(&mut rest).unwrap();
        }
    }
    let reply = client.ask(9, &MetadataRequest::default().with_topics(None));
    assert!(reply.topics.iter().any(|t| t.name == Some(topic("t"))));
    assert_eq!(target.stop().get("produced_records"), 0);
}

#[test]
fn a_request_may_be_cut_anywhere_and_followed_at_once() {
    let (_target, mut client) = start(options());
    let mut bytes = frame(9, &MetadataRequest::default().with_topics(None));
    bytes.extend(frame(0, &ApiVersionsRequest::default()));
    for byte in bytes {
        client.send(&[byte]);
    }
    let reply = understand::<MetadataRequest>(9, client.read());
    assert_eq!(reply.topics.len(), 1);
    understand::<ApiVersionsRequest>(0, client.read());
}
