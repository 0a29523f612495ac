//! `DeleteTopics`: by name, by id, and what comes after.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_topics::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_storage::types::Uuid;

use crate::session::{Session, every_version, expect};
use crate::topic::{Topic, batch};

/// The first version that can name a topic by its id.
const BY_ID: i16 = 6;

fn delete(session: &mut Session, version: i16, name: &str) -> DeletableTopicResult {
    let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
    if version >= BY_ID {
        request.topics = vec![DeleteTopicState { name: Some(name.to_owned()), topic_id: Uuid::default() }];
    } else {
        request.topic_names = vec![name.to_owned()];
    }
    session.ask(version, &request).responses.remove(0)
}

#[test]
fn every_version_deletes_and_what_is_made_again_is_empty() {
    every_version(ApiKey::DeleteTopics, |session, version| {
        let topic = Topic::create(session, "delete", 1);
        topic.produce(session, 9, &[(0, &batch(&["old"]))]);
        let deleted = delete(session, version, &topic.name);
        expect(deleted.error_code, ErrorCode::None);
        assert_eq!(deleted.name.as_deref(), Some(&*topic.name));
        let asked = MetadataRequestTopic { topic_id: Uuid::default(), name: Some(topic.name.clone()) };
        let request =
            MetadataRequest { topics: Some(vec![asked]), allow_auto_topic_creation: false, ..Default::default() };
        // Apache Kafka answers before its broker has heard of it.
        while session.ask(12, &request).topics[0].error_code != ErrorCode::UnknownTopicOrPartition.code() {
            assert!(std::env::var_os(ringlog_kit::target::BOOTSTRAP).is_some(), "a deleted topic is gone at once");
        }
        expect(delete(session, version, &topic.name).error_code, ErrorCode::UnknownTopicOrPartition);
    });
}

#[test]
fn topics_are_deleted_by_id() {
    every_version(ApiKey::DeleteTopics, |session, version| {
        if version < BY_ID {
            return;
        }
        let topic = Topic::create(session, "by-id", 1);
        let mut by_id = |topic_id| {
            let topics = vec![DeleteTopicState { name: None, topic_id }];
            session
                .ask(version, &DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() })
                .responses
                .remove(0)
        };
        let deleted = by_id(topic.id);
        expect(deleted.error_code, ErrorCode::None);
        assert_eq!(deleted.name.as_deref(), Some(&*topic.name));
        expect(by_id(topic.id).error_code, ErrorCode::UnknownTopicId);
    });
}

#[test]
fn who_contradicts_themselves_deletes_nothing() {
    every_version(ApiKey::DeleteTopics, |session, version| {
        if version < BY_ID {
            return;
        }
        let [one, other] = ["one", "other"].map(|base| Topic::create(session, base, 1));
        let named = |name: &Topic, id: Uuid| DeleteTopicState { name: Some(name.name.clone()), topic_id: id };
        let by_name = named(&one, Uuid::default());
        let by_id = DeleteTopicState { name: None, topic_id: one.id };
        for topics in [vec![named(&one, other.id)], vec![by_name.clone(), by_name.clone()], vec![by_name, by_id]] {
            let request = DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
            for answer in session.ask(version, &request).responses {
                expect(answer.error_code, ErrorCode::InvalidRequest);
            }
        }
        for topic in [one, other] {
            assert_eq!(topic.offset(session, 0, -1), (0, 0), "{} is there", topic.name);
        }
    });
}
