//! `Heartbeat`, versions 0 to 4.

use ringlog_cluster::group::GroupRequest;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{Asked, ask, caller};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: HeartbeatRequest = incoming.decode()?;
    let (version, group) = (incoming.version(), request.group_id.clone());
    let asked = if group.is_empty() {
        Asked::Refused(ErrorCode::InvalidGroupId)
    } else {
        ask(incoming.connection.shard(), incoming.course, &group, caller(incoming), GroupRequest::Heartbeat(request))
            .await
    };
    Ok(Handled::later(async move {
        let code = asked.reply().await.err().unwrap_or(ErrorCode::None);
        respond(&HeartbeatResponse { error_code: code.code(), ..HeartbeatResponse::default() }, version)
    }))
}
