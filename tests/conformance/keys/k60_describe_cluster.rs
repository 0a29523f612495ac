//! `DescribeCluster`: who is there.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::metadata::MetadataRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_says_what_metadata_says() {
    every_version(ApiKey::DescribeCluster, |session, version| {
        let metadata = session.ask(10, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
        let response = session.ask(version, &DescribeClusterRequest { endpoint_type: 1, ..Default::default() });
        expect(response.error_code, ErrorCode::None);
        assert_eq!(Some(response.cluster_id), metadata.cluster_id);
        assert_eq!(response.brokers.len(), 1);
        let (one, other) = (&response.brokers[0], &metadata.brokers[0]);
        assert_eq!((one.broker_id, &one.host, one.port), (other.node_id, &other.host, other.port));
        assert_eq!(response.controller_id, one.broker_id);
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
        assert!(!one.is_fenced);
    });
}

#[test]
fn without_an_authorizer_everything_may_be_done() {
    every_version(ApiKey::DescribeCluster, |session, version| {
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            endpoint_type: 1,
            ..Default::default()
        };
        let response = session.ask(version, &request);
        expect(response.error_code, ErrorCode::None);
        // Create, alter, describe, cluster action, describe and alter configurations, idempotent write.
        assert_eq!(response.cluster_authorized_operations, 0b1_1111_1010_0000);
    });
}
