//! `CreatePartitions`: topics grow and never shrink.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

fn grow(session: &mut Session, version: i16, name: &str, count: i32, validate_only: bool) -> i16 {
    let topics = vec![CreatePartitionsTopic { name: name.to_owned(), count, assignments: None }];
    let request = CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only };
    session.ask(version, &request).results[0].error_code
}

#[test]
fn every_version_adds_partitions_that_can_be_used() {
    every_version(ApiKey::CreatePartitions, |session, version| {
        let topic = Topic::create(session, "grow", 1);
        expect(grow(session, version, &topic.name, 4, true), ErrorCode::None);
        expect(grow(session, version, &topic.name, 3, false), ErrorCode::None);
        topic.settle(session, 3);
        assert_eq!(topic.offset(session, 2, -1), (0, 0));
        assert_eq!(topic.offset(session, 3, -1).0, ErrorCode::UnknownTopicOrPartition.code(), "a trial adds nothing");
    });
}

#[test]
fn what_does_not_grow_is_refused() {
    every_version(ApiKey::CreatePartitions, |session, version| {
        let topic = Topic::create(session, "shrink", 2);
        for count in [2, 1, 0, -1] {
            expect(grow(session, version, &topic.name, count, false), ErrorCode::InvalidPartitions);
        }
        expect(grow(session, version, "nowhere", 2, false), ErrorCode::UnknownTopicOrPartition);
    });
}
