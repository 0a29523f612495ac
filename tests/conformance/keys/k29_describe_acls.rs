//! `DescribeAcls`: there are none without an authorizer.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_acls::DescribeAclsRequest;

use crate::session::{every_version, expect};

/// Any type, operation and permission; any pattern.
const ANY: i8 = 1;

#[test]
fn every_version_says_that_there_is_no_authorizer() {
    every_version(ApiKey::DescribeAcls, |session, version| {
        let request = DescribeAclsRequest {
            resource_type_filter: ANY,
            resource_name_filter: None,
            pattern_type_filter: ANY,
            principal_filter: None,
            host_filter: None,
            operation: ANY,
            permission_type: ANY,
        };
        let response = session.ask(version, &request);
        expect(response.error_code, ErrorCode::SecurityDisabled);
        assert_eq!(response.resources, []);
    });
}
