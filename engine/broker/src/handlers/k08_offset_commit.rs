//! `OffsetCommit`, versions 2 to 10. Topics and partitions that are not there are answered here; the others go to the
//! group's coordinator.

use ringlog_cluster::group::{GroupReply, GroupRequest, GroupResponse};
use ringlog_cluster::image::Image;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask, caller};
use crate::topics::{find_partition, find_topic};

/// From this version on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 10;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let mut request: OffsetCommitRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard();
    let image = shard.with(|state| state.image.clone());
    let mut response = OffsetCommitResponse::default();
    // What is known, and nothing is committed of, is not spoken of.
    request.topics.retain(|topic| !topic.partitions.is_empty() || find_topic(&image, named(topic, version)).is_err());
    for topic in &mut request.topics {
        response.topics.push(check_topic(&image, topic, version));
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    if request.topics.is_empty() {
        return Ok(Handled::Now(incoming.respond(&response)));
    }
    let group = request.group_id.clone();
    let asked = ask(shard, incoming.course, &group, caller(incoming), GroupRequest::CommitOffsets(request)).await;
    Ok(Handled::later(async move {
        fill_in(&mut response, asked.reply().await);
        respond(&response, version)
    }))
}

fn named(topic: &OffsetCommitRequestTopic, version: i16) -> TopicRef<'_> {
    if version >= TOPIC_ID_VERSION_MIN { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(&topic.name) }
}

/// Leaves those partitions in the topic that are there, and answers all of them, as if they were committed.
fn check_topic(image: &Image, topic: &mut OffsetCommitRequestTopic, version: i16) -> OffsetCommitResponseTopic {
    let found = find_topic(image, named(topic, version));
    let check = |partition: i32| match found {
        Ok(found) => find_partition(found, PartitionIndex::new(partition)).err().unwrap_or(ErrorCode::None),
        Err(code) => code,
    };
    let answered = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: check(partition.partition_index).code(),
    });
    let mut answered = OffsetCommitResponseTopic {
        partitions: answered.collect(),
        topic_id: topic.topic_id,
        ..OffsetCommitResponseTopic::default()
    };
    topic.partitions.retain(|partition| check(partition.partition_index) == ErrorCode::None);
    if let Ok(found) = found {
        topic.topic_id = found.id;
        if version >= TOPIC_ID_VERSION_MIN {
            topic.name = found.name.to_string();
        }
    }
    answered.name.clone_from(&topic.name);
    answered
}

/// Puts the coordinator's answer in the place of those that were as good as committed.
fn fill_in(response: &mut OffsetCommitResponse, reply: GroupReply) {
    let asked = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let asked = asked.filter(|partition| partition.error_code == ErrorCode::None.code());
    match reply {
        Ok(GroupResponse::CommitOffsets(committed)) => {
            let codes = committed.topics.into_iter().flat_map(|topic| topic.partitions);
            for (partition, committed) in asked.zip(codes) {
                partition.error_code = committed.error_code;
            }
        }
        Ok(other) => unreachable!("a commit is answered by one, not {other:?}"),
        Err(code) => asked.for_each(|partition| partition.error_code = code.code()),
    }
}
