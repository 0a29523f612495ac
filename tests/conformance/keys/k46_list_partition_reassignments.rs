//! `ListPartitionReassignments`: of one node, where there are none.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};

use crate::session::{every_version, expect};
use crate::topic::Topic;

#[test]
fn every_version_finds_none() {
    every_version(ApiKey::ListPartitionReassignments, |session, version| {
        let topic = Topic::create(session, "settled", 2);
        let named =
            |name: &str| ListPartitionReassignmentsTopics { name: name.to_owned(), partition_indexes: vec![0, 7] };
        for topics in [None, Some(Vec::new()), Some(vec![named(&topic.name), named("there-is-no-such-topic")])] {
            let response = session.ask(version, &ListPartitionReassignmentsRequest { timeout_ms: 30_000, topics });
            expect(response.error_code, ErrorCode::None);
            assert_eq!(response.topics, []);
        }
    });
}
