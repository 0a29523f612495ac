//! `ElectLeaders`: of one node, which leads everything already.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use crate::session::every_version;
use crate::topic::Topic;

#[test]
fn no_version_finds_an_election_that_is_needed() {
    every_version(ApiKey::ElectLeaders, |session, version| {
        let topic = Topic::create(session, "led", 1);
        let asked = |topic: &str, partition| TopicPartitions { topic: topic.to_owned(), partitions: vec![partition] };
        let election_types: &[i8] = if version >= 1 { &[0, 1] } else { &[0] };
        for &election_type in election_types {
            for (partitions, code) in [
                (asked(&topic.name, 0), ErrorCode::ElectionNotNeeded),
                (asked(&topic.name, 1), ErrorCode::UnknownTopicOrPartition),
                (asked("there-is-no-such-topic", 0), ErrorCode::UnknownTopicOrPartition),
            ] {
                let topic_partitions = Some(vec![partitions]);
                let request = ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 30_000 };
                let results = session.ask(version, &request).replica_election_results;
                assert_eq!(results[0].partition_result[0].error_code, code.code());
            }
        }
        let all = ElectLeadersRequest { election_type: 0, topic_partitions: None, timeout_ms: 30_000 };
        let results = session.ask(version, &all).replica_election_results;
        assert!(results.iter().any(|result| result.topic == topic.name));
        assert!(results.iter().all(|result| result.partition_result.is_empty()), "{results:?}");
    });
}
