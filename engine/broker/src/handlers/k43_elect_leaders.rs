//! `ElectLeaders`, versions 0 to 2 (KIP-183, KIP-460). One node leads every partition, and is preferred by all of them: no
//! election is ever needed.

use std::sync::Arc;

use ringlog_cluster::image::{Image, TopicImage};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming};
use crate::topics::{find_partition, find_topic};

/// The kinds of election: of the preferred replica, and of whichever there is.
const ELECTION_TYPES: [i8; 2] = [0, 1];

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ElectLeadersRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let response = if ELECTION_TYPES.contains(&request.election_type) {
        // Without names all are meant; then only those partitions are told that needed one.
        let of_all = |topic: &Arc<TopicImage>| ReplicaElectionResult {
            topic: topic.name.to_string(),
            partition_result: Vec::new(),
        };
        let replica_election_results = match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| result(&image, topic)).collect(),
            None => image.topics().map(of_all).collect(),
        };
        ElectLeadersResponse { replica_election_results, ..ElectLeadersResponse::default() }
    } else {
        ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code(), ..ElectLeadersResponse::default() }
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn result(image: &Image, topic: &TopicPartitions) -> ReplicaElectionResult {
    let found = find_topic(image, TopicRef::Name(&topic.topic));
    let partition = |&partition_id: &i32| {
        let known = found.and_then(|found| find_partition(found, PartitionIndex::new(partition_id)));
        let code = known.err().unwrap_or(ErrorCode::ElectionNotNeeded);
        PartitionResult { partition_id, error_code: code.code(), error_message: Some(code.message().to_owned()) }
    };
    let partition_result = topic.partitions.iter().map(partition).collect();
    ReplicaElectionResult { topic: topic.topic.clone(), partition_result }
}
