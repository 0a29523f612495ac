//! `RenewDelegationToken`, versions 1 and 2 (KIP-48). Without a secret key to make tokens with there are none.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::renew_delegation_token::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};

use crate::dispatch::{Handled, Incoming};

/// Stands for the time at which a token expires that there is none of.
const NO_TIME: i64 = -1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let _: RenewDelegationTokenRequest = incoming.decode()?;
    let response = RenewDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        expiry_timestamp_ms: NO_TIME,
        ..RenewDelegationTokenResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
