//! `UnregisterController`, version 0. The active controller stays, and there is no other.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::unregister_controller::{UnregisterControllerRequest, UnregisterControllerResponse};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: UnregisterControllerRequest = incoming.decode()?;
    let is_own = request.controller_id == incoming.connection.shard().settings().broker.node_id.get();
    let (code, message) = if is_own {
        (ErrorCode::InvalidRequest, "the active controller cannot be unregistered")
    } else {
        (ErrorCode::ControllerIdNotRegistered, ErrorCode::ControllerIdNotRegistered.message())
    };
    let response = UnregisterControllerResponse {
        error_code: code.code(),
        error_message: Some(message.to_owned()),
        ..UnregisterControllerResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
