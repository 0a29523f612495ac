//! Metadata: which topics an empty and a missing list mean, auto-creation, topics by id.

use std::ops::RangeInclusive;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_storage::types::Uuid;

use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, fresh_name};

fn named(name: &str, allow_auto_topic_creation: bool) -> MetadataRequest {
    let topic = MetadataRequestTopic { topic_id: Uuid::default(), name: Some(name.to_owned()) };
    MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation, ..Default::default() }
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    response.topics.iter().filter_map(|topic| topic.name.as_deref()).collect()
}

/// The first version that lets a client forbid creation.
const FORBIDS_CREATION: i16 = 4;
/// The first version that tells what may be done with topics, and those that tell it of the cluster.
const TELLS_OPERATIONS: i16 = 8;
const TELLS_OPERATIONS_OF_THE_CLUSTER: RangeInclusive<i16> = 8..=10;

#[test]
fn every_version_describes_a_topic_and_the_broker() {
    every_version(ApiKey::Metadata, |session, version| {
        let topic = Topic::create(session, "metadata", 3);
        let response = session.ask(version, &named(&topic.name, true));
        assert_eq!(response.brokers.len(), 1);
        assert!(response.brokers[0].port > 0 && !response.brokers[0].host.is_empty());
        let node = response.brokers[0].node_id;
        if version >= 1 {
            assert_eq!(response.controller_id, node, "the controller is a live broker");
        }
        if version >= 2 {
            assert_eq!(response.cluster_id.map(|id| id.len()), Some(22));
        }
        let found = &response.topics[0];
        expect(found.error_code, ErrorCode::None);
        assert_eq!((found.name.as_deref(), found.is_internal), (Some(&*topic.name), false));
        if version >= 10 {
            assert_eq!(found.topic_id, topic.id);
        }
        if version >= 8 {
            assert_eq!(found.topic_authorized_operations, i32::MIN);
        }
        let mut indexes: Vec<_> = found.partitions.iter().map(|partition| partition.partition_index).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1, 2]);
        for partition in &found.partitions {
            expect(partition.error_code, ErrorCode::None);
            assert_eq!(
                (partition.leader_id, &*partition.replica_nodes, &*partition.isr_nodes),
                (node, &[node][..], &[node][..])
            );
            assert!(partition.offline_replicas.is_empty());
            assert!(version < 7 || partition.leader_epoch >= 0);
        }
    });
}

#[test]
fn without_an_authorizer_everything_may_be_done() {
    every_version(ApiKey::Metadata, |session, version| {
        if version < TELLS_OPERATIONS {
            return;
        }
        let topic = Topic::create(session, "operations", 1);
        let missing = fresh_name("operations");
        let mut request = named(&topic.name, false);
        request.include_topic_authorized_operations = true;
        request
            .topics
            .as_mut()
            .expect("it names a topic")
            .extend(named(&missing, false).topics.expect("and so does this"));
        request.include_cluster_authorized_operations = TELLS_OPERATIONS_OF_THE_CLUSTER.contains(&version);
        let response = session.ask(version, &request);
        let told = |name: &str| {
            let topic = response.topics.iter().find(|topic| topic.name.as_deref() == Some(name));
            topic.expect("it was asked for").topic_authorized_operations
        };
        // Read, write, create, delete, alter, describe, describe and alter configurations.
        assert_eq!((told(&topic.name), told(&missing)), (0b1101_1111_1000, 0b1101_1111_1000));
        if TELLS_OPERATIONS_OF_THE_CLUSTER.contains(&version) {
            assert_eq!(response.cluster_authorized_operations, 0b1_1111_1010_0000);
        }
    });
}

#[test]
fn no_list_means_all_and_an_empty_list_none() {
    every_version(ApiKey::Metadata, |session, version| {
        let topic = Topic::create(session, "all", 1);
        let mut ask = |topics| session.ask(version, &MetadataRequest { topics, ..MetadataRequest::default() });
        let empty = ask(Some(Vec::new()));
        if version == 0 {
            assert!(names(&empty).contains(&&*topic.name), "version 0 has no other way to ask for all");
        } else {
            assert!(empty.topics.is_empty());
            assert!(names(&ask(None)).contains(&&*topic.name));
        }
    });
}

#[test]
fn a_topic_is_created_where_broker_and_request_allow_it() {
    every_version(ApiKey::Metadata, |session, version| {
        let name = fresh_name("auto");
        if version >= FORBIDS_CREATION {
            let found = session.ask(version, &named(&name, false)).topics.remove(0);
            expect(found.error_code, ErrorCode::UnknownTopicOrPartition);
            assert!(!exists(session, &name), "a request that forbids it creates nothing");
        }
        let first = session.ask(version, &named(&name, true)).topics.remove(0);
        assert!(
            [ErrorCode::UnknownTopicOrPartition, ErrorCode::LeaderNotAvailable, ErrorCode::None]
                .contains(&ErrorCode::from_wire(first.error_code))
        );
        while !exists(session, &name) {}
    });
}

fn exists(session: &mut Session, name: &str) -> bool {
    session.ask(12, &named(name, false)).topics[0].error_code == 0
}

#[test]
fn a_bad_name_is_no_topic() {
    every_version(ApiKey::Metadata, |session, version| {
        let found = session.ask(version, &named("not/a/topic", true)).topics.remove(0);
        expect(found.error_code, ErrorCode::InvalidTopicException);
    });
}

#[test]
fn topics_are_found_by_id() {
    every_version(ApiKey::Metadata, |session, version| {
        if version < 12 {
            return;
        }
        let topic = Topic::create(session, "by-id", 1);
        let mut ask = |topics: &[(Uuid, Option<&str>)]| {
            let asked = topics
                .iter()
                .map(|(topic_id, name)| MetadataRequestTopic { topic_id: *topic_id, name: name.map(str::to_owned) });
            session.ask(version, &MetadataRequest { topics: Some(asked.collect()), ..Default::default() }).topics
        };
        let other = Uuid::new([7; 16]);
        // Java's client sends an empty name with an id.
        for name in [None, Some(""), Some("another")] {
            let found = ask(&[(topic.id, name)]).remove(0);
            expect(found.error_code, ErrorCode::None);
            assert_eq!((found.name.as_deref(), found.topic_id), (Some(&*topic.name), topic.id));
            let missing = ask(&[(other, name)]).remove(0);
            expect(missing.error_code, ErrorCode::UnknownTopicId);
            assert_eq!((missing.name, missing.topic_id), (None, other));
        }
        // Each is told once; names count where there are no ids.
        assert_eq!(ask(&[(topic.id, None), (topic.id, Some("")), (Uuid::ZERO, Some("another"))]).len(), 1);
        assert_eq!(ask(&[(Uuid::ZERO, Some(&*topic.name)); 2]).len(), 1);
    });
}

#[test]
fn versions_without_ids_refuse_them() {
    let topics = |topic_id, name: Option<&str>| {
        let asked = MetadataRequestTopic { topic_id, name: name.map(str::to_owned) };
        MetadataRequest { topics: Some(vec![asked]), ..Default::default() }
    };
    every_version(ApiKey::Metadata, |session, version| {
        if matches!(version, 10 | 11) {
            for (topic_id, name) in
                [(Uuid::new([7; 16]), Some("named")), (Uuid::new([7; 16]), None), (Uuid::ZERO, None)]
            {
                let refused = session.ask(version, &topics(topic_id, name)).topics.remove(0);
                expect(refused.error_code, ErrorCode::InvalidRequest);
            }
        }
    });
}
