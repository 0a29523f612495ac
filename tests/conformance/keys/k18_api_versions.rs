//! `ApiVersions`: the one request that a client of any age can begin with.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_net::wire::Reader;

use crate::session::{Session, every_version, expect};

/// What this broker serves, at the least.
const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeAcls,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::AlterReplicaLogDirs,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::CreateDelegationToken,
    ApiKey::RenewDelegationToken,
    ApiKey::ExpireDelegationToken,
    ApiKey::DescribeDelegationToken,
    ApiKey::DeleteGroups,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::OffsetDelete,
    ApiKey::DescribeClientQuotas,
    ApiKey::AlterClientQuotas,
    ApiKey::DescribeUserScramCredentials,
    ApiKey::AlterUserScramCredentials,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::UnregisterBroker,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::ListConfigResources,
    ApiKey::DescribeTopicPartitions,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
    ApiKey::UnregisterController,
];

fn named() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "conformance".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..Default::default()
    }
}

#[test]
fn every_version_lists_what_is_served_with_all_its_versions() {
    every_version(ApiKey::ApiVersions, |session, version| {
        let response = session.ask(version, &named());
        expect(response.error_code, ErrorCode::None);
        for key in SERVED {
            let row = response.api_keys.iter().find(|row| row.api_key == key.code());
            let row = row.unwrap_or_else(|| panic!("{key} is not listed"));
            let (first, last) = key.valid_versions().into_inner();
            assert_eq!(row.max_version, last, "{key}");
            // Produce is listed from 0 on, for clients that look for an old version before they use a new one.
            assert_eq!(row.min_version, if *key == ApiKey::Produce { 0 } else { first }, "{key}");
        }
    });
}

#[test]
fn a_version_from_the_future_is_answered_in_the_oldest_form() {
    let mut session = Session::open();
    let frame = session.ask_raw(ApiKey::ApiVersions.code(), 99, 2, b"whatever this version says").expect("an answer");
    let mut reader = Reader::new(&frame);
    let response = ApiVersionsResponse::decode(&mut reader, 0).expect("version 0");
    reader.finish().expect("no more than that");
    expect(response.error_code, ErrorCode::UnsupportedVersion);
    let rows: Vec<_> = response.api_keys.iter().map(|row| row.api_key).collect();
    assert_eq!(rows, [ApiKey::ApiVersions.code()]);
    // The connection goes on.
    expect(session.ask(3, &named()).error_code, ErrorCode::None);
}

#[test]
fn a_malformed_name_of_the_client_is_refused() {
    every_version(ApiKey::ApiVersions, |session, version| {
        if version >= 3 {
            let request = ApiVersionsRequest { client_software_name: "no spaces, please!".to_owned(), ..named() };
            expect(session.ask(version, &request).error_code, ErrorCode::InvalidRequest);
        }
    });
}

#[test]
fn a_client_that_means_another_broker_is_told_to_start_again() {
    every_version(ApiKey::ApiVersions, |session, version| {
        if version < 5 {
            return;
        }
        let metadata = session.ask(12, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
        let (ours, node) = (metadata.cluster_id.expect("a cluster"), metadata.brokers[0].node_id);
        for (cluster_id, node_id, code) in [
            (Some(ours.as_str()), node, ErrorCode::None),
            (None, -1, ErrorCode::None),
            (Some("another"), node, ErrorCode::RebootstrapRequired),
            (Some(""), node, ErrorCode::RebootstrapRequired),
            (Some(ours.as_str()), node + 1, ErrorCode::RebootstrapRequired),
            (Some("another"), -1, ErrorCode::InvalidRequest),
            (Some(ours.as_str()), -1, ErrorCode::InvalidRequest),
            (None, node, ErrorCode::InvalidRequest),
        ] {
            let cluster_id = cluster_id.map(str::to_owned);
            let response = session.ask(version, &ApiVersionsRequest { cluster_id, node_id, ..named() });
            expect(response.error_code, code);
            assert_eq!(response.api_keys.is_empty(), code != ErrorCode::None, "{code:?}");
        }
    });
}

#[test]
fn any_other_unknown_key_or_version_closes_the_connection() {
    for (key, version) in [(9999, 0), (-1, 0), (ApiKey::Metadata.code(), 99), (ApiKey::Fetch.code(), 0)] {
        assert_eq!(Session::open().ask_raw(key, version, 1, b""), None, "key {key}, version {version}");
    }
}

#[test]
fn frames_that_cannot_be_close_the_connection() {
    for frame in [&(-1_i32).to_be_bytes()[..], &i32::MAX.to_be_bytes(), &[0, 0, 0, 2, 0, 18], &[0, 0, 0, 0]] {
        let mut session = Session::open();
        session.send_bytes(frame);
        assert_eq!(session.receive(), None, "{frame:?}");
    }
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let mut session = Session::open();
    for _ in 0..200 {
        session.tell(3, &named());
    }
    for correlation_id in 1..=200_i32 {
        let frame = session.receive().expect("an answer");
        assert_eq!(frame[..4], correlation_id.to_be_bytes());
    }
}
