//! `DescribeAcls`, versions 1 to 3 (KIP-140). Without an authorizer there are none.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let _: DescribeAclsRequest = incoming.decode()?;
    let code = ErrorCode::SecurityDisabled;
    let response = DescribeAclsResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..DescribeAclsResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
