//! `CreateAcls`: none can be made without an authorizer.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::create_acls::{AclCreation, CreateAclsRequest};

use crate::session::{every_version, expect};

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const ALLOW: i8 = 3;

#[test]
fn every_version_refuses_every_one() {
    every_version(ApiKey::CreateAcls, |session, version| {
        let creation = |name: &str| AclCreation {
            resource_type: TOPIC,
            resource_name: name.to_owned(),
            resource_pattern_type: LITERAL,
            principal: "User:somebody".to_owned(),
            host: "*".to_owned(),
            operation: READ,
            permission_type: ALLOW,
        };
        let request = CreateAclsRequest { creations: vec![creation("one"), creation("another")] };
        let results = session.ask(version, &request).results;
        assert_eq!(results.len(), 2);
        for result in results {
            expect(result.error_code, ErrorCode::SecurityDisabled);
        }
    });
}
