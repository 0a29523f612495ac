//! `FindCoordinator`, versions 0 to 6. This broker coordinates neither groups nor transactions, and says so with the code
//! that lets clients ask again.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use crate::dispatch::{Handled, Incoming};

/// From this version on one request asks for several keys (KIP-699).
const SEVERAL_KEYS_VERSION_MIN: i16 = 4;
/// Stands for the node and the port of a coordinator that there is none of.
const NOBODY: i32 = -1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: FindCoordinatorRequest = incoming.decode()?;
    let (code, message) = (ErrorCode::CoordinatorNotAvailable, ErrorCode::CoordinatorNotAvailable.message());
    let response = if incoming.version() >= SEVERAL_KEYS_VERSION_MIN {
        let coordinator = |key| Coordinator {
            key,
            node_id: NOBODY,
            host: String::new(),
            port: NOBODY,
            error_code: code.code(),
            error_message: Some(message.to_owned()),
        };
        let coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
        FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
    } else {
        FindCoordinatorResponse {
            error_code: code.code(),
            error_message: Some(message.to_owned()),
            node_id: NOBODY,
            port: NOBODY,
            ..FindCoordinatorResponse::default()
        }
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
