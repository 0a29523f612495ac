//! `ListGroups`, versions 0 to 5.

use ringlog_cluster::group::{GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask_all, caller};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ListGroupsRequest = incoming.decode()?;
    let (version, course, caller) = (incoming.version(), incoming.course, caller(incoming));
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let mut response = ListGroupsResponse::default();
        for reply in ask_all(&shard, course, &caller, &GroupRequest::List(request)).await {
            match reply {
                Ok(GroupResponse::List(listed)) => response.groups.extend(listed),
                Ok(other) => unreachable!("a list is answered by one, not {other:?}"),
                Err(code) => response.error_code = code.code(),
            }
        }
        respond(&response, version)
    }))
}
