//! `ExpireDelegationToken`: there are none without a secret key.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::expire_delegation_token::ExpireDelegationTokenRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_says_that_there_are_no_tokens() {
    every_version(ApiKey::ExpireDelegationToken, |session, version| {
        let response =
            session.ask(version, &ExpireDelegationTokenRequest { hmac: b"any".to_vec(), expiry_time_period_ms: 1000 });
        expect(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
        assert_eq!(response.expiry_timestamp_ms, -1);
    });
}
