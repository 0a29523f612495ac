//! `CreateAcls`, versions 1 to 3 (KIP-140). Without an authorizer none can be made.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: CreateAclsRequest = incoming.decode()?;
    let code = ErrorCode::SecurityDisabled;
    let refused = |_| AclCreationResult { error_code: code.code(), error_message: Some(code.message().to_owned()) };
    let results = request.creations.iter().map(refused).collect();
    let response = CreateAclsResponse { throttle_time_ms: 0, results };
    Ok(Handled::Now(incoming.respond(&response)))
}
