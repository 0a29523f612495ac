//! `DeleteGroups`, versions 0 to 3.

use ringlog_cluster::group::{GroupReply, GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask_each, caller};
use crate::scatter::once_each;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DeleteGroupsRequest = incoming.decode()?;
    let (version, course, caller) = (incoming.version(), incoming.course, caller(incoming));
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let groups = once_each(request.groups_names, String::clone);
        let replies =
            ask_each(&shard, course, &caller, &groups, |index| GroupRequest::Delete(groups[index].clone())).await;
        let results = groups.iter().zip(replies).map(|(group, reply)| answer(group, reply));
        let response = DeleteGroupsResponse { results: results.collect(), ..DeleteGroupsResponse::default() };
        respond(&response, version)
    }))
}

fn answer(group: &str, reply: GroupReply) -> DeletableGroupResult {
    match reply {
        Ok(GroupResponse::Delete(result)) => result,
        Ok(other) => unreachable!("a deletion is answered by one, not {other:?}"),
        Err(code) => DeletableGroupResult {
            group_id: group.to_owned(),
            error_code: code.code(),
            ..DeletableGroupResult::default()
        },
    }
}
