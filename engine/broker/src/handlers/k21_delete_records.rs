//! `DeleteRecords`, versions 0 to 2: moves the starts of logs (KIP-107).

use std::time::Duration;

use ringlog_cluster::image::{Image, TopicImage};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::{Offset, PartitionIndex};

use crate::dispatch::{Handled, Incoming, respond};
use crate::message::{Call, Reply};
use crate::partition::append::WAIT_MIN;
use crate::partition::deletion::{self, DeleteItem};
use crate::scatter::scatter;
use crate::shard::Shard;
use crate::topics::{find_partition, find_topic};

/// What the answer to a partition with an error has in the place of its log start.
const UNKNOWN_LOW_WATERMARK: i64 = -1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DeleteRecordsRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    let mut items = Vec::new();
    for topic in &request.topics {
        let found = find_topic(&image, TopicRef::Name(&topic.name));
        let found = found.and_then(|found| refusal(&shard, &image, found).map_or(Ok(found), Err));
        for partition in &topic.partitions {
            items.push(found.and_then(|found| {
                let key = find_partition(found, PartitionIndex::new(partition.partition_index))?;
                Ok((key, DeleteItem { key, before: Offset::new(partition.offset) }))
            }));
        }
    }
    let wait_max = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).max(WAIT_MIN);
    Ok(Handled::later(async move {
        let here = |items: Vec<DeleteItem>| deletion::begin(&shard, &items, wait_max).outcomes();
        let outcomes = scatter(
            &shard,
            course,
            items,
            here,
            |items| Call::Delete(items, wait_max),
            |reply| match reply {
                Reply::Delete(outcomes) => outcomes,
                other => unreachable!("a call for deletions is answered by log starts, not {other:?}"),
            },
        );
        let mut outcomes = outcomes.await.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut outcomes).map(|(asked, outcome)| {
                let (low_watermark, code) = match outcome {
                    Ok(log_start) => (log_start.get(), ErrorCode::None),
                    Err(code) => (UNKNOWN_LOW_WATERMARK, code),
                };
                let partition_index = asked.partition_index;
                DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() }
            });
            DeleteRecordsTopicResult { partitions: partitions.collect(), name: topic.name }
        });
        let response = DeleteRecordsResponse { throttle_time_ms: 0, topics: topics.collect() };
        respond(&response, version)
    }))
}

/// Why nothing of a topic may be deleted: it is the brokers' own, or keeps the last record of every key.
fn refusal(shard: &Shard, image: &Image, topic: &TopicImage) -> Option<ErrorCode> {
    if topic.is_internal() {
        return Some(ErrorCode::InvalidTopicException);
    }
    let settings = shard.settings();
    let config = image.topic_config(&topic.name, settings.broker.node_id, &settings.fixed);
    (!config.cleanup.delete).then_some(ErrorCode::PolicyViolation)
}
