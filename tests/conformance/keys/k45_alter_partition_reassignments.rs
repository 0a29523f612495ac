//! `AlterPartitionReassignments`: of one node, where every partition is already.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition, ReassignableTopic,
};
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

fn ask(
    session: &mut Session,
    version: i16,
    timeout_ms: i32,
    name: &str,
    partitions: &[(i32, Option<&[i32]>)],
) -> AlterPartitionReassignmentsResponse {
    let partition = |(partition_index, replicas): &(i32, Option<&[i32]>)| ReassignablePartition {
        partition_index: *partition_index,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let partitions = partitions.iter().map(partition).collect();
    let topics = vec![ReassignableTopic { name: name.to_owned(), partitions }];
    session.ask(version, &AlterPartitionReassignmentsRequest { timeout_ms, topics, ..Default::default() })
}

#[test]
fn every_version_moves_nothing() {
    every_version(ApiKey::AlterPartitionReassignments, |session, version| {
        let topic = Topic::create(session, "reassigned", 2);
        let node = session.ask(0, &DescribeClusterRequest::default()).brokers[0].broker_id;
        for (name, partition, replicas, expected) in [
            (&*topic.name, 0, Some(&[node][..]), ErrorCode::None),
            (&topic.name, 0, Some(&[]), ErrorCode::InvalidReplicaAssignment),
            (&topic.name, 0, Some(&[99]), ErrorCode::InvalidReplicaAssignment),
            (&topic.name, 0, Some(&[node, 99]), ErrorCode::InvalidReplicaAssignment),
            (&topic.name, 0, Some(&[node, node]), ErrorCode::InvalidReplicaAssignment),
            (&topic.name, 0, Some(&[-1]), ErrorCode::InvalidReplicaAssignment),
            (&topic.name, 0, None, ErrorCode::NoReassignmentInProgress),
            (&topic.name, 2, Some(&[node]), ErrorCode::UnknownTopicOrPartition),
            (&topic.name, -1, None, ErrorCode::UnknownTopicOrPartition),
            ("there-is-no-such-topic", 0, Some(&[node]), ErrorCode::UnknownTopicOrPartition),
        ] {
            let response = ask(session, version, 30_000, name, &[(1, Some(&[node])), (partition, replicas)]);
            expect(response.error_code, ErrorCode::None);
            assert!(response.allow_replication_factor_change);
            let [told] = &response.responses[..] else { panic!("one topic: {response:?}") };
            assert_eq!(told.name, name);
            assert_eq!(told.partitions.iter().map(|it| it.partition_index).collect::<Vec<_>>(), [1, partition]);
            expect(told.partitions[1].error_code, expected);
            let is_told = [ErrorCode::None, ErrorCode::NoReassignmentInProgress].contains(&expected);
            assert_eq!(told.partitions[1].error_message.is_none(), is_told, "{told:?}");
        }
    });
}

#[test]
fn who_gives_no_time_is_late() {
    every_version(ApiKey::AlterPartitionReassignments, |session, version| {
        let topic = Topic::create(session, "late", 1);
        let response = ask(session, version, -1, &topic.name, &[(0, None)]);
        expect(response.error_code, ErrorCode::RequestTimedOut);
        expect(response.responses[0].partitions[0].error_code, ErrorCode::RequestTimedOut);
    });
}
