//! `CreatePartitions`, versions 0 to 3.

use ringlog_cluster::metadata::{Intent, NewPartitions};
use ringlog_cluster::quota::Enforcement;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ringlog_storage::types::BrokerId;

use crate::dispatch::{Handled, Incoming, respond};
use crate::quota::decide_within_quota;

/// From this version on the response has an error for changes beyond a quota (KIP-599).
const STRICT_QUOTA_VERSION_MIN: i16 = 3;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: CreatePartitionsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let meter = incoming.meter.cloned();
    let enforcement = if version >= STRICT_QUOTA_VERSION_MIN { Enforcement::Strict } else { Enforcement::Permissive };
    Ok(Handled::later(async move {
        let intent = if request.validate_only { Intent::ValidateOnly } else { Intent::Apply };
        let topics: Vec<_> = request.topics.iter().map(new_partitions).collect();
        let results = decide_within_quota(&shard, meter.as_deref(), enforcement, move |metadata, _, quota| {
            metadata.create_partitions(&topics, intent, quota)
        })
        .await;
        let names = request.topics.into_iter().map(|topic| topic.name);
        let results = match results {
            Ok(results) => names
                .zip(results)
                .map(|(name, result)| match result {
                    Ok(()) => answer(name, ErrorCode::None, None),
                    Err(error) => answer(name, error.code(), Some(error.to_string())),
                })
                .collect(),
            Err(code) => names.map(|name| answer(name, code, Some(code.message().to_owned()))).collect(),
        };
        respond(&CreatePartitionsResponse { throttle_time_ms: 0, results }, version)
    }))
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let brokers = |ids: &Vec<i32>| ids.iter().copied().map(BrokerId::new).collect();
        assignments.iter().map(|assignment| brokers(&assignment.broker_ids)).collect()
    });
    NewPartitions { topic: topic.name.clone(), count: topic.count, assignments }
}

fn answer(name: String, code: ErrorCode, error_message: Option<String>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult { name, error_code: code.code(), error_message }
}
