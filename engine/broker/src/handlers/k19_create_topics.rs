//! `CreateTopics`, versions 2 to 7.

use ringlog_cluster::config::DescribedConfig;
use ringlog_cluster::metadata::{Assignment, CreatedTopic, Intent, NewTopic, TopicError};
use ringlog_cluster::quota::Enforcement;
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_storage::types::{BrokerId, PartitionIndex};

use crate::dispatch::{Handled, Incoming, respond};
use crate::quota::decide_within_quota;
use crate::topic_creation::{Change, Changer};

/// From this version on the response has an error for changes beyond a quota (KIP-599).
const STRICT_QUOTA_VERSION_MIN: i16 = 6;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: CreateTopicsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let meter = incoming.meter.cloned();
    let changer = Changer::of(incoming);
    let enforcement = if version >= STRICT_QUOTA_VERSION_MIN { Enforcement::Strict } else { Enforcement::Permissive };
    Ok(Handled::later(async move {
        let intent = if request.validate_only { Intent::ValidateOnly } else { Intent::Apply };
        let topics: Vec<_> = request.topics.iter().map(new_topic).collect();
        let results = decide_within_quota(&shard, meter.as_deref(), enforcement, move |metadata, random, quota| {
            metadata.create_topics(&topics, intent, random, quota)
        })
        .await;
        let topics = match results {
            Ok(results) => {
                let answered = request.topics.into_iter().zip(results).map(|(topic, result)| {
                    if result.is_ok() && intent == Intent::Apply {
                        changer.tell(&topic.name, Change::Created);
                    }
                    answer(topic.name, result)
                });
                answered.collect()
            }
            Err(code) => {
                let failed = |topic: CreatableTopic| CreatableTopicResult {
                    name: topic.name,
                    error_code: code.code(),
                    error_message: Some(code.message().to_owned()),
                    ..CreatableTopicResult::default()
                };
                request.topics.into_iter().map(failed).collect()
            }
        };
        respond(&CreateTopicsResponse { throttle_time_ms: 0, topics }, version)
    }))
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let assignment = |assignment: &ringlog_net::messages::create_topics::CreatableReplicaAssignment| Assignment {
        partition: PartitionIndex::new(assignment.partition_index),
        replicas: assignment.broker_ids.iter().copied().map(BrokerId::new).collect(),
    };
    NewTopic {
        name: topic.name.clone(),
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.iter().map(assignment).collect(),
        configs: topic.configs.iter().map(|config| (config.name.clone(), config.value.clone())).collect(),
    }
}

fn answer(name: String, result: Result<CreatedTopic, TopicError>) -> CreatableTopicResult {
    match result {
        Ok(created) => CreatableTopicResult {
            name,
            topic_id: created.id,
            num_partitions: created.partition_count,
            replication_factor: created.replication_factor,
            configs: Some(created.configs.into_iter().map(config).collect()),
            error_message: None,
            ..CreatableTopicResult::default()
        },
        Err(error) => CreatableTopicResult {
            name,
            error_code: error.code().code(),
            error_message: Some(error.to_string()),
            ..CreatableTopicResult::default()
        },
    }
}

fn config(config: DescribedConfig) -> CreatableTopicConfigs {
    CreatableTopicConfigs {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.wire_code(),
        is_sensitive: config.is_sensitive,
    }
}
