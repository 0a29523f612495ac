//! From what a request calls a topic to the partition of the image.

use std::sync::Arc;

use ringlog_cluster::config::Endpoint;
use ringlog_cluster::image::{BrokerImage, Image, PartitionImage, TopicImage};
use ringlog_net::error::ErrorCode;
use ringlog_net::views::TopicRef;
use ringlog_storage::types::PartitionIndex;

use crate::partition::table::PartitionKey;
use crate::shard::Shard;

/// The topic of a name or an id.
pub(crate) fn find_topic<'a>(image: &'a Image, topic: TopicRef<'_>) -> Result<&'a Arc<TopicImage>, ErrorCode> {
    match topic {
        TopicRef::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        TopicRef::Id(id) => image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId),
    }
}

/// A partition of the topic.
pub(crate) fn find_partition(topic: &TopicImage, partition: PartitionIndex) -> Result<PartitionKey, ErrorCode> {
    topic.partition(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok(PartitionKey { topic_id: topic.id, partition })
}

/// All partitions of the topic.
pub(crate) fn partitions(topic: &TopicImage) -> impl Iterator<Item = (PartitionKey, &PartitionImage)> {
    let key = |index| PartitionKey { topic_id: topic.id, partition: PartitionIndex::new(index) };
    (0..).zip(&topic.partitions).map(move |(index, partition)| (key(index), partition))
}

/// All partitions of all topics.
pub(crate) fn all_partitions(image: &Image) -> impl Iterator<Item = PartitionKey> {
    image.topics().flat_map(|topic| partitions(topic).map(|(key, _)| key))
}

/// Where clients that came in through a listener of this broker reach `broker`: through its listener of the same name. Those
/// of controllers are not registered, and this broker is the one that there is.
pub(crate) fn endpoint_of<'a>(shard: &'a Shard, broker: &'a BrokerImage, listener: usize) -> Option<&'a Endpoint> {
    let own = shard.settings().broker.listeners.get(listener)?;
    if own.is_controller {
        return Some(&own.advertised);
    }
    broker.listener(&own.name).map(|listener| &listener.endpoint)
}
