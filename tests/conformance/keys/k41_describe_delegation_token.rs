//! `DescribeDelegationToken`: there are none without a secret key.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_delegation_token::DescribeDelegationTokenRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_says_that_there_are_no_tokens() {
    every_version(ApiKey::DescribeDelegationToken, |session, version| {
        for owners in [None, Some(Vec::new())] {
            let response = session.ask(version, &DescribeDelegationTokenRequest { owners });
            expect(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
            assert_eq!(response.tokens, []);
        }
    });
}
