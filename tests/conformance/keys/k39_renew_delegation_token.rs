//! `RenewDelegationToken`: there are none without a secret key.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::renew_delegation_token::RenewDelegationTokenRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_says_that_there_are_no_tokens() {
    every_version(ApiKey::RenewDelegationToken, |session, version| {
        let response =
            session.ask(version, &RenewDelegationTokenRequest { hmac: b"any".to_vec(), renew_period_ms: 1000 });
        expect(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
        assert_eq!(response.expiry_timestamp_ms, -1);
    });
}
