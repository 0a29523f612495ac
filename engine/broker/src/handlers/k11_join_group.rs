//! `JoinGroup`, versions 0 to 9.

use ringlog_cluster::group::{GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{Asked, ask, caller};
use crate::random::random_bits;

/// From this version on a response may have no protocol.
const NO_PROTOCOL_VERSION_MIN: i16 = 7;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: JoinGroupRequest = incoming.decode()?;
    let (version, shard) = (incoming.version(), incoming.connection.shard());
    let (group, member_id) = (request.group_id.clone(), request.member_id.clone());
    let asked = if group.is_empty() {
        Asked::Refused(ErrorCode::InvalidGroupId)
    } else {
        let id_bits = random_bits(shard.reactor());
        ask(shard, incoming.course, &group, caller(incoming), GroupRequest::Join(request, id_bits)).await
    };
    Ok(Handled::later(async move {
        let mut response = match asked.reply().await {
            Ok(GroupResponse::Join(response)) => response,
            Ok(other) => unreachable!("a join is answered by one, not {other:?}"),
            Err(code) => JoinGroupResponse {
                error_code: code.code(),
                member_id,
                protocol_name: None,
                ..JoinGroupResponse::default()
            },
        };
        if version < NO_PROTOCOL_VERSION_MIN {
            response.protocol_name.get_or_insert_default();
        }
        respond(&response, version)
    }))
}
