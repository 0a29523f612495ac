//! `OffsetDelete`, version 0 (KIP-496). Topics and partitions that are not there are answered here.

use ringlog_cluster::group::{GroupRequest, GroupResponse};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{Asked, ask, caller};
use crate::topics::{find_partition, find_topic};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let mut request: OffsetDeleteRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard();
    let image = shard.with(|state| state.image.clone());
    let mut response = OffsetDeleteResponse::default();
    for topic in &mut request.topics {
        let found = find_topic(&image, TopicRef::Name(&topic.name));
        // What is known, and nothing is deleted of, is not spoken of.
        if found.is_ok() && topic.partitions.is_empty() {
            continue;
        }
        let check = |partition: i32| {
            let found = found.and_then(|found| find_partition(found, PartitionIndex::new(partition)));
            found.err().unwrap_or(ErrorCode::None)
        };
        let partitions = topic.partitions.iter().map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: check(partition.partition_index).code(),
        });
        response.topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() });
        topic.partitions.retain(|partition| check(partition.partition_index) == ErrorCode::None);
    }
    let group = request.group_id.clone();
    let asked = if group.is_empty() {
        Asked::Refused(ErrorCode::InvalidGroupId)
    } else {
        ask(shard, incoming.course, &group, caller(incoming), GroupRequest::DeleteOffsets(request)).await
    };
    Ok(Handled::later(async move {
        match asked.reply().await {
            Ok(GroupResponse::DeleteOffsets(deleted)) => {
                let there = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                let there = there.filter(|partition| partition.error_code == ErrorCode::None.code());
                for (partition, deleted) in there.zip(deleted.topics.into_iter().flat_map(|topic| topic.partitions)) {
                    partition.error_code = deleted.error_code;
                }
            }
            Ok(other) => unreachable!("a deletion of offsets is answered by one, not {other:?}"),
            Err(code) => {
                response = OffsetDeleteResponse { error_code: code.code(), ..OffsetDeleteResponse::default() };
            }
        }
        respond(&response, version)
    }))
}
