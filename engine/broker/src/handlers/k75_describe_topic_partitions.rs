//! `DescribeTopicPartitions`, version 0: topics in pages (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use ringlog_cluster::image::{Image, PartitionImage, TopicImage};
use ringlog_cluster::metadata::check_topic_name;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ringlog_storage::types::BrokerId;

use crate::dispatch::{Handled, Incoming};

/// Bits of the operations that there are on topics, from `READ` (3) to `ALTER_CONFIGS` (11). This response tells them unasked;
/// without an authorizer everybody may do all of them.
const ALL_OPERATIONS: i32 = 0b1101_1111_1000;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeTopicPartitionsRequest = incoming.decode()?;
    let shard = incoming.connection.shard();
    let of_broker = usize::try_from(shard.settings().broker.described_partitions_max).unwrap_or(usize::MAX);
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, of_broker);
    let image = shard.with(|state| state.image.clone());
    Ok(Handled::Now(incoming.respond(&describe(&image, &request, limit))))
}

fn describe(image: &Image, request: &DescribeTopicPartitionsRequest, limit: usize) -> DescribeTopicPartitionsResponse {
    let first = request.cursor.as_ref().map_or("", |cursor| &cursor.topic_name);
    let mut page = Page { topics: Vec::new(), left: limit };
    let next_cursor = if request.topics.is_empty() {
        let mut topics = image.topics_from(first);
        topics.find_map(|topic| page.add(Ok(topic), &topic.name, request.cursor.as_ref()))
    } else {
        let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
        let mut names = names.range(first..);
        names.find_map(|name| page.add(find(image, name), name, request.cursor.as_ref()))
    };
    DescribeTopicPartitionsResponse { throttle_time_ms: 0, topics: page.topics, next_cursor }
}

fn find<'a>(image: &'a Image, name: &str) -> Result<&'a Arc<TopicImage>, ErrorCode> {
    let missing = || {
        if check_topic_name(name).is_ok() {
            ErrorCode::UnknownTopicOrPartition
        } else {
            ErrorCode::InvalidTopicException
        }
    };
    image.topic(name).ok_or_else(missing)
}

/// The page in the making.
struct Page {
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    left: usize,
}

impl Page {
    /// Adds as much of a topic as fits. Answers where the next page begins, if this one is full.
    fn add(
        &mut self,
        topic: Result<&Arc<TopicImage>, ErrorCode>,
        name: &str,
        cursor: Option<&Cursor>,
    ) -> Option<Cursor> {
        let first = cursor.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index.max(0));
        if self.left == 0 {
            return Some(Cursor { topic_name: name.to_owned(), partition_index: first });
        }
        let topic = match topic {
            Ok(topic) => topic,
            Err(code) => {
                let (error_code, name) = (code.code(), Some(name.to_owned()));
                self.topics.push(DescribeTopicPartitionsResponseTopic { error_code, name, ..Default::default() });
                return None;
            }
        };
        let mut partitions = (0..).zip(&topic.partitions).skip(usize::try_from(first).unwrap_or(0));
        let described: Vec<_> = partitions
            .by_ref()
            .take(self.left)
            .map(|(index, partition)| describe_partition(index, partition))
            .collect();
        self.left -= described.len();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: topic.is_internal(),
            partitions: described,
            topic_authorized_operations: ALL_OPERATIONS,
            ..Default::default()
        });
        let (partition_index, _) = partitions.next()?;
        Some(Cursor { topic_name: topic.name.to_string(), partition_index })
    }
}

fn describe_partition(partition_index: i32, partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.get()).collect::<Vec<i32>>();
    let code = if partition.leader == BrokerId::NONE { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    DescribeTopicPartitionsResponsePartition {
        error_code: code.code(),
        partition_index,
        leader_id: partition.leader.get(),
        leader_epoch: partition.leader_epoch.get(),
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(ids(&partition.eligible_leader_replicas)),
        last_known_elr: Some(ids(&partition.last_known_elr)),
        offline_replicas: Vec::new(),
    }
}
