//! `DescribeTopicPartitions`: topics in order, page by page.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest};

use crate::session::{every_version, expect};
use crate::topic::Topic;

/// Bits of the operations that there are on topics: they are told unasked, and without an authorizer all are allowed.
const ALL_OPERATIONS: i32 = 0b1101_1111_1000;

#[test]
fn every_version_describes_partitions_page_by_page() {
    every_version(ApiKey::DescribeTopicPartitions, |session, version| {
        let topics = [Topic::create(session, "pages", 3), Topic::create(session, "pages", 2)];
        let mut request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|topic| TopicRequest { name: topic.name.clone() }).collect(),
            response_partition_limit: 2,
            cursor: None,
        };
        let mut found = Vec::new();
        for _ in 0..3 {
            let response = session.ask(version, &request);
            for topic in response.topics {
                expect(topic.error_code, ErrorCode::None);
                assert_eq!(topic.topic_authorized_operations, ALL_OPERATIONS);
                for partition in topic.partitions {
                    expect(partition.error_code, ErrorCode::None);
                    assert_eq!((partition.replica_nodes.len(), partition.isr_nodes.len()), (1, 1));
                    assert!(partition.leader_id >= 0 && partition.leader_epoch >= 0);
                    found.push((topic.topic_id, partition.partition_index));
                }
            }
            request.cursor = response.next_cursor;
        }
        assert!(request.cursor.is_none(), "five partitions are three pages of two");
        let mut expected: Vec<_> = topics.iter().zip([3, 2]).collect();
        expected.sort_by_key(|(topic, _)| topic.name.clone());
        let expected: Vec<_> =
            expected.into_iter().flat_map(|(topic, count)| (0..count).map(|index| (topic.id, index))).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn an_unknown_topic_is_told() {
    every_version(ApiKey::DescribeTopicPartitions, |session, version| {
        let topics = vec![TopicRequest { name: "nowhere".to_owned() }];
        let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 10, cursor: None };
        expect(session.ask(version, &request).topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
    });
}
