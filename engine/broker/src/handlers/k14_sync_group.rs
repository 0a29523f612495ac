//! `SyncGroup`, versions 0 to 5.

use ringlog_cluster::group::{GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{Asked, ask, caller};

/// From this version on a member says which protocol it takes its generation to have (KIP-559).
const PROTOCOL_VERSION_MIN: i16 = 5;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: SyncGroupRequest = incoming.decode()?;
    let (version, group) = (incoming.version(), request.group_id.clone());
    let lacks_protocol =
        version >= PROTOCOL_VERSION_MIN && (request.protocol_type.is_none() || request.protocol_name.is_none());
    let asked = if lacks_protocol {
        Asked::Refused(ErrorCode::InconsistentGroupProtocol)
    } else if group.is_empty() {
        Asked::Refused(ErrorCode::InvalidGroupId)
    } else {
        ask(incoming.connection.shard(), incoming.course, &group, caller(incoming), GroupRequest::Sync(request)).await
    };
    Ok(Handled::later(async move {
        let response = match asked.reply().await {
            Ok(GroupResponse::Sync(response)) => response,
            Ok(other) => unreachable!("a sync is answered by one, not {other:?}"),
            Err(code) => SyncGroupResponse { error_code: code.code(), ..SyncGroupResponse::default() },
        };
        respond(&response, version)
    }))
}
