//! `ConsumerGroupDescribe`, versions 0 and 1 (KIP-848).

use ringlog_cluster::group::{GroupReply, GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask_each, caller};
use crate::operations;
use crate::scatter::once_each;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ConsumerGroupDescribeRequest = incoming.decode()?;
    let (version, course, caller) = (incoming.version(), incoming.course, caller(incoming));
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let groups = once_each(request.group_ids, String::clone);
        let ask = |index: usize| GroupRequest::ConsumerDescribe(groups[index].clone());
        let replies = ask_each(&shard, course, &caller, &groups, ask).await;
        let described = groups.iter().zip(replies).map(|(group, reply)| {
            let mut described = answer(group, reply);
            if request.include_authorized_operations && described.error_code == ErrorCode::None.code() {
                described.authorized_operations = operations::OF_GROUPS;
            }
            described
        });
        let response =
            ConsumerGroupDescribeResponse { groups: described.collect(), ..ConsumerGroupDescribeResponse::default() };
        respond(&response, version)
    }))
}

fn answer(group: &str, reply: GroupReply) -> DescribedGroup {
    match reply {
        Ok(GroupResponse::ConsumerDescribe(described)) => described,
        Ok(other) => unreachable!("a description is answered by one, not {other:?}"),
        Err(code) => DescribedGroup {
            error_code: code.code(),
            error_message: Some(code.message().to_owned()),
            group_id: group.to_owned(),
            ..DescribedGroup::default()
        },
    }
}
