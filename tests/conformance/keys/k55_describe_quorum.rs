//! `DescribeQuorum`: one node that leads the metadata log and votes for itself.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, RequestPartitionData, RequestTopicData,
};
use ringlog_storage::types::Uuid;

use crate::session::{Session, every_version, expect};
use crate::topic::Topic;

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) fn describe(session: &mut Session, version: i16, asked: &[(&str, &[i32])]) -> DescribeQuorumResponse {
    let topic = |(name, partitions): &(&str, &[i32])| RequestTopicData {
        topic_name: (*name).to_owned(),
        partitions: partitions.iter().map(|&partition_index| RequestPartitionData { partition_index }).collect(),
    };
    let response = session.ask(version, &DescribeQuorumRequest { topics: asked.iter().map(topic).collect() });
    expect(response.error_code, ErrorCode::None);
    response
}

#[test]
fn every_version_tells_of_the_one_voter() {
    every_version(ApiKey::DescribeQuorum, |session, version| {
        let node = session.ask(0, &DescribeClusterRequest::default()).brokers[0].broker_id;
        let mut ends = Vec::new();
        for _ in 0..2 {
            let response = describe(session, version, &[(METADATA_TOPIC, &[0])]);
            let [topic] = &response.topics[..] else { panic!("one topic: {response:?}") };
            let [partition] = &topic.partitions[..] else { panic!("one partition: {topic:?}") };
            expect(partition.error_code, ErrorCode::None);
            assert_eq!((&*topic.topic_name, partition.partition_index), (METADATA_TOPIC, 0));
            assert_eq!((partition.leader_id, partition.observers.len()), (node, 0));
            assert!(partition.leader_epoch > 0 && partition.high_watermark > 0);
            let [voter] = &partition.current_voters[..] else { panic!("one voter: {partition:?}") };
            assert_eq!(voter.replica_id, node);
            assert!(voter.log_end_offset >= partition.high_watermark);
            ends.push(voter.log_end_offset);
            if version >= 1 {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later");
                let now_ms = i64::try_from(now.as_millis()).expect("fits");
                for time in [voter.last_fetch_timestamp, voter.last_caught_up_timestamp] {
                    assert!((now_ms - time).abs() < 60_000, "{time} is not just now");
                }
            }
            if version >= 2 {
                assert_ne!(voter.replica_directory_id, Uuid::ZERO);
                let [told] = &response.nodes[..] else { panic!("one node: {response:?}") };
                assert_eq!(told.node_id, node);
                assert!(told.listeners.iter().any(|listener| listener.port > 0), "{told:?}");
            }
            Topic::create(session, "logged", 1);
        }
        assert!(ends[1] > ends[0], "a topic was written down: {ends:?}");
    });
}

#[test]
fn there_is_no_other_quorum() {
    every_version(ApiKey::DescribeQuorum, |session, version| {
        let topic = Topic::create(session, "no-quorum", 1);
        for (name, partition) in [(METADATA_TOPIC, 1), (&*topic.name, 0), ("there-is-no-such-topic", 0)] {
            let response = describe(session, version, &[(name, &[partition])]);
            let told = &response.topics[0].partitions[0];
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
            assert_eq!((told.partition_index, told.current_voters.len()), (partition, 0));
        }
        assert_eq!(describe(session, version, &[]).topics, []);
    });
}
