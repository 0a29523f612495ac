//! `ListPartitionReassignments`, version 0 (KIP-455): the partitions that have replicas on their way in or out.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_cluster::image::{Image, PartitionImage, TopicImage};
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, ListPartitionReassignmentsTopics,
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use ringlog_storage::types::{BrokerId, PartitionIndex};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ListPartitionReassignmentsRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let topics = match &request.topics {
        Some(topics) => of_named(&image, topics),
        None => image.topics().filter_map(|topic| ongoing(topic, (0..).zip(&topic.partitions))).collect(),
    };
    let response = ListPartitionReassignmentsResponse {
        topics,
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn of_named(image: &Image, topics: &[ListPartitionReassignmentsTopics]) -> Vec<OngoingTopicReassignment> {
    let of_topic = |asked: &ListPartitionReassignmentsTopics| {
        let topic = image.topic(&asked.name)?;
        let partition = |&index: &i32| Some((index, topic.partition(PartitionIndex::new(index))?));
        // Whatever is named twice is told once.
        let partitions: BTreeMap<_, _> = asked.partition_indexes.iter().filter_map(partition).collect();
        ongoing(topic, partitions)
    };
    topics.iter().filter_map(of_topic).collect()
}

/// The partitions of a topic that are being reassigned, if there are any.
fn ongoing<'a>(
    topic: &Arc<TopicImage>,
    partitions: impl IntoIterator<Item = (i32, &'a PartitionImage)>,
) -> Option<OngoingTopicReassignment> {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.get()).collect();
    let is_ongoing = |(_, partition): &(i32, &PartitionImage)| {
        !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty()
    };
    let told = |(partition_index, partition): (i32, &PartitionImage)| OngoingPartitionReassignment {
        partition_index,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding_replicas),
        removing_replicas: ids(&partition.removing_replicas),
    };
    let partitions: Vec<_> = partitions.into_iter().filter(is_ongoing).map(told).collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment { name: topic.name.to_string(), partitions })
}
