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
use crate::operations;

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
            // This response tells them unasked.
            topic_authorized_operations: operations::OF_TOPICS,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::sample_image::sample_image;
    use ringlog_net::messages::describe_topic_partitions::TopicRequest;

    const TOPICS: [(&str, i32); 3] = [("a", 3), ("b", 1), ("c", 4)];

    fn request(topics: &[&str], cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let topic = |name: &&str| TopicRequest { name: (*name).to_owned() };
        let cursor = cursor.map(|(name, partition_index)| Cursor { topic_name: name.to_owned(), partition_index });
        DescribeTopicPartitionsRequest { topics: topics.iter().map(topic).collect(), cursor, ..Default::default() }
    }

    /// Topics with the partitions that a page tells, and where the next one begins.
    fn page(request: &DescribeTopicPartitionsRequest, limit: usize) -> (Vec<String>, Option<(String, i32)>) {
        let response = describe(&sample_image(&TOPICS), request, limit);
        let topic = |topic: &DescribeTopicPartitionsResponseTopic| {
            let partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
            format!("{} {} {partitions:?}", topic.name.as_deref().unwrap_or("null"), topic.error_code)
        };
        let next = response.next_cursor.map(|cursor| (cursor.topic_name, cursor.partition_index));
        (response.topics.iter().map(topic).collect(), next)
    }

    fn check(asked: &[&str], cursor: Option<(&str, i32)>, limit: usize, told: &[&str], next: Option<(&str, i32)>) {
        let next = next.map(|(name, index)| (name.to_owned(), index));
        let told: Vec<_> = told.iter().map(|told| (*told).to_owned()).collect();
        assert_eq!(page(&request(asked, cursor), limit), (told, next), "{asked:?} from {cursor:?}");
    }

    #[test]
    fn pages_hold_as_many_partitions_as_they_may() {
        check(&[], None, 100, &["a 0 [0, 1, 2]", "b 0 [0]", "c 0 [0, 1, 2, 3]"], None);
        check(&[], None, 2, &["a 0 [0, 1]"], Some(("a", 2)));
        check(&[], Some(("a", 2)), 2, &["a 0 [2]", "b 0 [0]"], Some(("c", 0)));
        check(&[], Some(("c", 0)), 2, &["c 0 [0, 1]"], Some(("c", 2)));
        check(&[], Some(("c", 2)), 2, &["c 0 [2, 3]"], None);
    }

    #[test]
    fn topics_that_are_named_come_in_order_and_once() {
        check(&["c", "a", "c"], None, 4, &["a 0 [0, 1, 2]", "c 0 [0]"], Some(("c", 1)));
        check(&["c", "a"], Some(("c", 1)), 4, &["c 0 [1, 2, 3]"], None);
        check(&["x", "a", "?"], None, 100, &["? 17 []", "a 0 [0, 1, 2]", "x 3 []"], None);
    }

    #[test]
    fn a_cursor_may_point_to_what_is_gone() {
        check(&[], Some(("aa", 5)), 100, &["b 0 [0]", "c 0 [0, 1, 2, 3]"], None);
        check(&[], Some(("c", 9)), 100, &["c 0 []"], None);
        check(&[], Some(("c", -9)), 1, &["c 0 [0]"], Some(("c", 1)));
        check(&[], Some(("z", 0)), 1, &[], None);
    }

    #[test]
    fn a_partition_without_a_leader_says_so() {
        let response = describe(&sample_image(&TOPICS), &request(&["a"], None), 100);
        let codes: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(codes, [0, 0, ErrorCode::LeaderNotAvailable.code()]);
        assert_eq!(response.topics[0].topic_id, ringlog_storage::types::Uuid::from_u128(101));
    }
}
