//! `CreateDelegationToken`: there are none without a secret key.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::create_delegation_token::CreateDelegationTokenRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_says_that_there_are_no_tokens() {
    every_version(ApiKey::CreateDelegationToken, |session, version| {
        let request = CreateDelegationTokenRequest { max_lifetime_ms: -1, ..Default::default() };
        let response = session.ask(version, &request);
        expect(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
        assert_eq!((&*response.principal_type, &*response.principal_name), ("User", "ANONYMOUS"));
        assert_eq!((response.token_id.len(), response.hmac.len(), response.expiry_timestamp_ms), (0, 0, -1));
    });
}
