//! `DescribeDelegationToken`, versions 1 to 3 (KIP-48). Without a secret key to make tokens with there are none.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_delegation_token::{
    DescribeDelegationTokenRequest, DescribeDelegationTokenResponse,
};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let _: DescribeDelegationTokenRequest = incoming.decode()?;
    let response = DescribeDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        ..DescribeDelegationTokenResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
