//! `DeleteAcls`: there are none without an authorizer.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};

use crate::session::{every_version, expect};

/// Any type, operation and permission; any pattern.
const ANY: i8 = 1;

#[test]
fn every_version_refuses_every_filter() {
    every_version(ApiKey::DeleteAcls, |session, version| {
        let filter = DeleteAclsFilter {
            resource_type_filter: ANY,
            resource_name_filter: None,
            pattern_type_filter: ANY,
            principal_filter: None,
            host_filter: None,
            operation: ANY,
            permission_type: ANY,
        };
        let results = session.ask(version, &DeleteAclsRequest { filters: vec![filter.clone(), filter] }).filter_results;
        assert_eq!(results.len(), 2);
        for result in results {
            expect(result.error_code, ErrorCode::SecurityDisabled);
            assert_eq!(result.matching_acls, []);
        }
    });
}
