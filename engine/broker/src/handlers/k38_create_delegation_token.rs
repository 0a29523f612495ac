//! `CreateDelegationToken`, versions 1 to 3 (KIP-48). Without a secret key to make tokens with there are none.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_delegation_token::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};

use crate::dispatch::{Handled, Incoming};

/// Who asks, without authentication.
const PRINCIPAL_TYPE: &str = "User";
const PRINCIPAL_NAME: &str = "ANONYMOUS";
/// Stands for a time that there is none of.
const NO_TIME: i64 = -1;
/// From this version on the response tells who has asked (KIP-373).
const REQUESTER_VERSION_MIN: i16 = 3;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let _: CreateDelegationTokenRequest = incoming.decode()?;
    let mut response = CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        principal_type: PRINCIPAL_TYPE.to_owned(),
        principal_name: PRINCIPAL_NAME.to_owned(),
        issue_timestamp_ms: NO_TIME,
        expiry_timestamp_ms: NO_TIME,
        max_timestamp_ms: NO_TIME,
        ..CreateDelegationTokenResponse::default()
    };
    if incoming.version() >= REQUESTER_VERSION_MIN {
        PRINCIPAL_TYPE.clone_into(&mut response.token_requester_principal_type);
        PRINCIPAL_NAME.clone_into(&mut response.token_requester_principal_name);
    }
    Ok(Handled::Now(incoming.respond(&response)))
}
