//! `AddRaftVoter`: to a quorum of one, which nobody joins.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::add_raft_voter::{AddRaftVoterRequest, Listener};
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_storage::types::Uuid;

use crate::k55_describe_quorum::describe;
use crate::session::{every_version, expect};

#[test]
fn every_version_says_who_cannot_join() {
    every_version(ApiKey::AddRaftVoter, |session, version| {
        let cluster_id = session.ask(0, &DescribeClusterRequest::default()).cluster_id;
        let quorum = describe(session, 2, &[("__cluster_metadata", &[0])]);
        let voter = quorum.topics[0].partitions[0].current_voters[0].clone();
        let listener = quorum.nodes[0].listeners[0].name.clone();
        let (own, other) = (voter.replica_directory_id, Uuid::from_u128(7));
        for (cluster_id, voter_id, voter_directory_id, listener, code) in [
            (Some(&*cluster_id), voter.replica_id, own, &*listener, ErrorCode::DuplicateVoter),
            (Some(&cluster_id), voter.replica_id, other, &listener, ErrorCode::DuplicateVoter),
            (None, voter.replica_id, other, &listener, ErrorCode::DuplicateVoter),
            (Some("another"), 77, other, &listener, ErrorCode::InconsistentClusterId),
            (Some(&cluster_id), -1, other, &listener, ErrorCode::InvalidRequest),
            (Some(&cluster_id), 77, Uuid::ZERO, &listener, ErrorCode::InvalidRequest),
            (Some(&cluster_id), 77, other, "ANOTHER", ErrorCode::InvalidRequest),
            (Some(&cluster_id), 77, other, "", ErrorCode::InvalidRequest),
            // Nobody answers at port 1.
            (Some(&cluster_id), 77, other, &listener, ErrorCode::RequestTimedOut),
        ] {
            let named = Listener { name: listener.to_owned(), host: "127.0.0.1".to_owned(), port: 1 };
            let request = AddRaftVoterRequest {
                cluster_id: cluster_id.map(str::to_owned),
                timeout_ms: 1000,
                voter_id,
                voter_directory_id,
                listeners: if listener.is_empty() { Vec::new() } else { vec![named] },
                ack_when_committed: true,
            };
            println!("{request:?}");
            let response = session.ask(version, &request);
            expect(response.error_code, code);
            assert!(response.error_message.is_some());
        }
    });
}
