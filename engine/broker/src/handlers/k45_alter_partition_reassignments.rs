//! `AlterPartitionReassignments`, versions 0 and 1 (KIP-455, KIP-860). A partition is where one node can have it, so a
//! reassignment to where it is has ended already, there is none to cancel, and there is nowhere else.

use std::collections::BTreeSet;

use ringlog_cluster::image::{Image, PartitionImage};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use ringlog_storage::types::{BrokerId, PartitionIndex};

use crate::dispatch::{Handled, Incoming};

/// Why a partition is not reassigned: the code, and words for people.
type Refusal = (ErrorCode, String);

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterPartitionReassignmentsRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    // Who gives no time does not get an answer in time.
    let late = request.timeout_ms <= 0;
    let responses = request.topics.into_iter().map(|topic| of_topic(&image, topic, late)).collect();
    let mut response = AlterPartitionReassignmentsResponse {
        responses,
        error_message: None,
        ..AlterPartitionReassignmentsResponse::default()
    };
    if late {
        response.error_code = ErrorCode::RequestTimedOut.code();
    } else {
        response.allow_replication_factor_change = request.allow_replication_factor_change;
    }
    Ok(Handled::Now(incoming.respond(&response)))
}

fn of_topic(image: &Image, topic: ReassignableTopic, late: bool) -> ReassignableTopicResponse {
    let answer = |asked: &ReassignablePartition| {
        let result = if late { Err((ErrorCode::RequestTimedOut, None)) } else { reassign(image, &topic.name, asked) };
        let (code, error_message) = result.err().unwrap_or((ErrorCode::None, None));
        let partition_index = asked.partition_index;
        ReassignablePartitionResponse { partition_index, error_code: code.code(), error_message }
    };
    let partitions = topic.partitions.iter().map(answer).collect();
    ReassignableTopicResponse { partitions, name: topic.name }
}

fn reassign(image: &Image, topic: &str, asked: &ReassignablePartition) -> Result<(), (ErrorCode, Option<String>)> {
    let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, Some(what));
    let found = image.topic(topic).ok_or_else(|| unknown(format!("there is no topic {topic}")))?;
    let index = PartitionIndex::new(asked.partition_index);
    let partition = found.partition(index);
    let partition = partition.ok_or_else(|| unknown(format!("topic {topic} has no partition {index}")))?;
    match &asked.replicas {
        Some(replicas) => check_replicas(image, partition, replicas).map_err(|(code, message)| (code, Some(message))),
        None => Err((ErrorCode::NoReassignmentInProgress, None)),
    }
}

fn check_replicas(image: &Image, partition: &PartitionImage, replicas: &[i32]) -> Result<(), Refusal> {
    let invalid = |why: String| Err((ErrorCode::InvalidReplicaAssignment, why));
    if replicas.is_empty() {
        return invalid("a partition needs a replica".to_owned());
    }
    let mut seen = BTreeSet::new();
    for &id in replicas {
        if image.broker(BrokerId::new(id)).is_none() {
            return invalid(format!("broker {id} is not registered"));
        }
        if !seen.insert(id) {
            return invalid(format!("broker {id} is named twice"));
        }
    }
    if seen != partition.replicas.iter().map(|id| id.get()).collect() {
        return invalid("partitions do not move between brokers in this release".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringlog_net::messages::metadata_log::{MetadataRecord, RegisterBrokerRecord};

    use super::*;
    use crate::handlers::sample_image::sample_image;

    #[test]
    fn a_partition_stays_where_it_is() {
        let mut image = sample_image(&[("a", 2)]);
        let node = 1;
        let broker = RegisterBrokerRecord { broker_id: node, ..RegisterBrokerRecord::default() };
        image.replay(image.offset().next(), &MetadataRecord::RegisterBroker(broker)).expect("it can be registered");
        let check = |partition_index, replicas: Option<&[i32]>, expected: Result<(), ErrorCode>| {
            let asked = ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) };
            let result = reassign(&image, "a", &asked).map_err(|(code, _)| code);
            assert_eq!(result, expected, "{asked:?}");
        };
        check(0, Some(&[node]), Ok(()));
        check(0, Some(&[]), Err(ErrorCode::InvalidReplicaAssignment));
        check(0, Some(&[node, node]), Err(ErrorCode::InvalidReplicaAssignment));
        check(0, Some(&[node, 99]), Err(ErrorCode::InvalidReplicaAssignment));
        check(0, None, Err(ErrorCode::NoReassignmentInProgress));
        check(-1, None, Err(ErrorCode::UnknownTopicOrPartition));
        check(i32::MAX, Some(&[node]), Err(ErrorCode::UnknownTopicOrPartition));
    }
}
