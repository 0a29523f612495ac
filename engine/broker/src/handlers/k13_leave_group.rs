//! `LeaveGroup`, versions 0 to 5: one member, or several (KIP-345).

use ringlog_cluster::group::{GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{Asked, ask, caller};

/// From this version on several members leave at once.
const SEVERAL_MEMBERS_VERSION_MIN: i16 = 3;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let mut request: LeaveGroupRequest = incoming.decode()?;
    let (version, group) = (incoming.version(), request.group_id.clone());
    if version < SEVERAL_MEMBERS_VERSION_MIN {
        let member_id = std::mem::take(&mut request.member_id);
        request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
    }
    let asked = if group.is_empty() {
        Asked::Refused(ErrorCode::InvalidGroupId)
    } else {
        ask(incoming.connection.shard(), incoming.course, &group, caller(incoming), GroupRequest::Leave(request)).await
    };
    Ok(Handled::later(async move {
        let mut response = match asked.reply().await {
            Ok(GroupResponse::Leave(response)) => response,
            Ok(other) => unreachable!("a leave is answered by one, not {other:?}"),
            Err(code) => LeaveGroupResponse { error_code: code.code(), ..LeaveGroupResponse::default() },
        };
        if version < SEVERAL_MEMBERS_VERSION_MIN
            && let Some(member) = response.members.pop()
        {
            response.error_code = member.error_code;
        }
        respond(&response, version)
    }))
}
