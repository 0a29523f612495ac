//! `DeleteTopics`, versions 1 to 6: by name, and by id from version 6 on.

use ringlog_cluster::metadata::TopicRef;
use ringlog_cluster::quota::Enforcement;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ringlog_storage::types::Uuid;

use crate::dispatch::{Handled, Incoming, respond};
use crate::quota::decide_within_quota;
use crate::topic_creation::{Change, Changer};

/// From this version on a topic may be named by its id.
const TOPIC_ID_VERSION_MIN: i16 = 6;

/// From this version on the response has an error for changes beyond a quota (KIP-599).
const STRICT_QUOTA_VERSION_MIN: i16 = 5;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DeleteTopicsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let meter = incoming.meter.cloned();
    let changer = Changer::of(incoming);
    let enforcement = if version >= STRICT_QUOTA_VERSION_MIN { Enforcement::Strict } else { Enforcement::Permissive };
    Ok(Handled::later(async move {
        let topics = topics(request, version);
        let asked = topics.clone();
        let results = decide_within_quota(&shard, meter.as_deref(), enforcement, move |metadata, _, quota| {
            metadata.delete_topics(&asked, quota)
        })
        .await;
        let responses = match results {
            Ok(results) => topics
                .into_iter()
                .zip(results)
                .map(|(topic, result)| {
                    result.map_or_else(
                        |error| failed(topic, error.code(), error.to_string()),
                        |(name, topic_id)| {
                            changer.tell(&name, Change::Deleted);
                            let name = Some(name);
                            DeletableTopicResult { name, topic_id, ..DeletableTopicResult::default() }
                        },
                    )
                })
                .collect(),
            Err(code) => topics.into_iter().map(|topic| failed(topic, code, code.message().to_owned())).collect(),
        };
        respond(&DeleteTopicsResponse { throttle_time_ms: 0, responses }, version)
    }))
}

fn topics(request: DeleteTopicsRequest, version: i16) -> Vec<TopicRef> {
    if version < TOPIC_ID_VERSION_MIN {
        return request.topic_names.into_iter().map(TopicRef::Name).collect();
    }
    let topic = |topic: DeleteTopicState| match (topic.name, topic.topic_id) {
        (Some(name), Uuid::ZERO) => TopicRef::Name(name),
        (Some(name), id) => TopicRef::Both(name, id),
        (None, id) => TopicRef::Id(id),
    };
    request.topics.into_iter().map(topic).collect()
}

fn failed(topic: TopicRef, code: ErrorCode, message: String) -> DeletableTopicResult {
    let (name, topic_id) = match topic {
        TopicRef::Name(name) => (Some(name), Uuid::ZERO),
        TopicRef::Id(id) => (None, id),
        TopicRef::Both(name, id) => (Some(name), id),
    };
    DeletableTopicResult { name, topic_id, error_code: code.code(), error_message: Some(message) }
}
