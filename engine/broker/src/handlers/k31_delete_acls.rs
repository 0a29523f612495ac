//! `DeleteAcls`, versions 1 to 3 (KIP-140). Without an authorizer there are none.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_acls::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DeleteAclsRequest = incoming.decode()?;
    let code = ErrorCode::SecurityDisabled;
    let refused = |_| DeleteAclsFilterResult {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..DeleteAclsFilterResult::default()
    };
    let filter_results = request.filters.iter().map(refused).collect();
    let response = DeleteAclsResponse { throttle_time_ms: 0, filter_results };
    Ok(Handled::Now(incoming.respond(&response)))
}
