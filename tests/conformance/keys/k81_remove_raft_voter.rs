//! `RemoveRaftVoter`: of a quorum of one, which nobody can leave.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::remove_raft_voter::RemoveRaftVoterRequest;
use ringlog_storage::types::Uuid;

use crate::k55_describe_quorum::describe;
use crate::session::{every_version, expect};

#[test]
fn every_version_keeps_the_one_voter() {
    every_version(ApiKey::RemoveRaftVoter, |session, version| {
        let cluster_id = session.ask(0, &DescribeClusterRequest::default()).cluster_id;
        let quorum = describe(session, 2, &[("__cluster_metadata", &[0])]);
        let voter = quorum.topics[0].partitions[0].current_voters[0].clone();
        let (own, other) = (voter.replica_directory_id, Uuid::from_u128(7));
        for (cluster_id, voter_id, voter_directory_id, code) in [
            (Some(&*cluster_id), voter.replica_id, own, ErrorCode::VoterNotFound),
            (Some(&cluster_id), voter.replica_id, other, ErrorCode::VoterNotFound),
            (None, 77, other, ErrorCode::VoterNotFound),
            (Some("another"), voter.replica_id, own, ErrorCode::InconsistentClusterId),
            (Some(&cluster_id), -1, other, ErrorCode::InvalidRequest),
            (Some(&cluster_id), 77, Uuid::ZERO, ErrorCode::InvalidRequest),
        ] {
            let cluster_id = cluster_id.map(str::to_owned);
            let response = session.ask(version, &RemoveRaftVoterRequest { cluster_id, voter_id, voter_directory_id });
            expect(response.error_code, code);
            assert!(response.error_message.is_some());
        }
    });
}
