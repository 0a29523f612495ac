//! `CreateTopics`: defaults, settings, assignments, and what is refused.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_storage::types::Uuid;

use crate::session::{Session, every_version, expect};
use crate::topic::fresh_name;

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions: 2, replication_factor: 1, ..Default::default() }
}

fn create(session: &mut Session, version: i16, topic: CreatableTopic) -> CreatableTopicResult {
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    session.ask(version, &request).topics.remove(0)
}

#[test]
fn every_version_creates_a_topic_once() {
    every_version(ApiKey::CreateTopics, |session, version| {
        let name = fresh_name("create");
        let created = create(session, version, topic(&name));
        expect(created.error_code, ErrorCode::None);
        assert_eq!(created.error_message, if version == 0 { Some(String::new()) } else { None });
        assert_eq!(created.name, name);
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (2, 1));
            assert!(created.configs.is_some_and(|configs| configs.iter().any(|one| one.name == "retention.ms")));
        }
        assert_eq!(created.topic_id != Uuid::default(), version >= 7);
        expect(create(session, version, topic(&name)).error_code, ErrorCode::TopicAlreadyExists);
    });
}

#[test]
fn a_trial_creates_nothing() {
    every_version(ApiKey::CreateTopics, |session, version| {
        let name = fresh_name("trial");
        let request = CreateTopicsRequest { topics: vec![topic(&name)], timeout_ms: 30_000, validate_only: true };
        expect(session.ask(version, &request).topics[0].error_code, ErrorCode::None);
        expect(create(session, version, topic(&name)).error_code, ErrorCode::None);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    every_version(ApiKey::CreateTopics, |session, version| {
        let name = fresh_name("refused");
        let mut refused = |topic, expected| expect(create(session, version, topic).error_code, expected);
        for bad in ["", ".", "..", "no spaces", "slash/slash", &"x".repeat(250)] {
            refused(topic(bad), ErrorCode::InvalidTopicException);
        }
        refused(CreatableTopic { num_partitions: 0, ..topic(&name) }, ErrorCode::InvalidPartitions);
        refused(CreatableTopic { replication_factor: 3, ..topic(&name) }, ErrorCode::InvalidReplicationFactor);
        for (key, value) in [("no.such.key", "1"), ("retention.ms", "soon"), ("segment.bytes", "200")] {
            let configs = vec![CreatableTopicConfig { name: key.to_owned(), value: Some(value.to_owned()) }];
            refused(CreatableTopic { configs, ..topic(&name) }, ErrorCode::InvalidConfig);
        }
        refused(topic(&name), ErrorCode::None);
    });
}

#[test]
fn names_that_differ_in_dots_and_underscores_alone_collide() {
    every_version(ApiKey::CreateTopics, |session, version| {
        let name = fresh_name("collides.here");
        expect(create(session, version, topic(&name)).error_code, ErrorCode::None);
        let other = name.replace('.', "_");
        expect(create(session, version, topic(&other)).error_code, ErrorCode::InvalidTopicException);
    });
}

#[test]
fn the_broker_fills_in_its_defaults() {
    every_version(ApiKey::CreateTopics, |session, version| {
        if version >= 4 {
            let wanted =
                CreatableTopic { num_partitions: -1, replication_factor: -1, ..topic(&fresh_name("defaults")) };
            expect(create(session, version, wanted).error_code, ErrorCode::None);
        }
    });
}

#[test]
fn partitions_may_be_assigned_by_hand() {
    let node =
        Session::open().ask(1, &DescribeClusterRequest { endpoint_type: 1, ..Default::default() }).brokers[0].broker_id;
    every_version(ApiKey::CreateTopics, |session, version| {
        let assigned = |broker| CreatableTopic {
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![broker] }],
            ..topic(&fresh_name("assigned"))
        };
        expect(create(session, version, assigned(node)).error_code, ErrorCode::None);
        expect(create(session, version, assigned(node + 77)).error_code, ErrorCode::InvalidReplicaAssignment);
    });
}

#[test]
fn a_topic_that_is_named_twice_in_one_request_is_refused() {
    every_version(ApiKey::CreateTopics, |session, version| {
        let name = fresh_name("twice");
        let topics = vec![topic(&name), topic(&name)];
        let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false };
        let codes: Vec<_> = session.ask(version, &request).topics.iter().map(|one| one.error_code).collect();
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == ErrorCode::InvalidRequest.code()), "{codes:?}");
    });
}
