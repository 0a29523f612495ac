//! `OffsetFetch`, versions 1 to 10: one group, or several (KIP-709), topics by name or by id (KIP-848).

use std::collections::BTreeSet;

use ringlog_cluster::group::{GroupReply, GroupRequest, GroupResponse};
use ringlog_cluster::image::Image;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use ringlog_storage::types::Uuid;

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask_each, caller};

/// From this version on a whole request may fail; before, each of its partitions does.
const TOP_LEVEL_ERROR_VERSION_MIN: i16 = 2;
/// From this version on a request is about several groups.
const GROUPS_VERSION_MIN: i16 = 8;
/// From this version on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 10;
/// Stands for no offset, no epoch.
const NONE: i32 = -1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: OffsetFetchRequest = incoming.decode()?;
    let (version, course, caller) = (incoming.version(), incoming.course, caller(incoming));
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    let mut groups = if version >= GROUPS_VERSION_MIN { request.groups } else { vec![as_group(request)] };
    // A small request cannot have the same large answer again and again.
    let mut told_wholly = BTreeSet::new();
    groups.retain(|group| group.topics.is_some() || told_wholly.insert(group.group_id.clone()));
    let unknown: Vec<_> = groups.iter_mut().map(|group| take_unknown(&image, group, version)).collect();
    let ids: Vec<_> = groups.iter().map(|group| group.group_id.clone()).collect();
    Ok(Handled::later(async move {
        let replies =
            ask_each(&shard, course, &caller, &ids, |index| GroupRequest::FetchOffsets(groups[index].clone())).await;
        let answered = groups.into_iter().zip(replies).zip(unknown);
        let answered = answered.map(|((group, reply), unknown)| answer(&image, group, reply, unknown, version));
        let response = if version >= GROUPS_VERSION_MIN {
            OffsetFetchResponse { groups: answered.collect(), ..OffsetFetchResponse::default() }
        } else {
            let mut answered = answered;
            as_single(answered.next().expect("one group, one answer"), version)
        };
        respond(&response, version)
    }))
}

/// A request of the versions that know one group.
fn as_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() }
}

/// Gives topics both their names and their ids. Ids that no topic has are taken out, and answered here.
fn take_unknown(image: &Image, group: &mut OffsetFetchRequestGroup, version: i16) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = &mut group.topics else { return Vec::new() };
    let mut unknown = Vec::new();
    topics.retain_mut(|topic| {
        if version < TOPIC_ID_VERSION_MIN {
            topic.topic_id = image.topic(&topic.name).map_or(Uuid::ZERO, |found| found.id);
            return true;
        }
        let found = image.topic_by_id(topic.topic_id);
        match found {
            Some(found) => topic.name = found.name.to_string(),
            None => unknown.push(failed_topic(topic, ErrorCode::UnknownTopicId)),
        }
        found.is_some()
    });
    unknown
}

fn failed_topic(topic: &OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: NONE.into(),
        committed_leader_epoch: NONE,
        metadata: Some(String::new()),
        error_code: code.code(),
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
    }
}

fn answer(
    image: &Image,
    group: OffsetFetchRequestGroup,
    reply: GroupReply,
    unknown: Vec<OffsetFetchResponseTopics>,
    version: i16,
) -> OffsetFetchResponseGroup {
    match reply {
        Ok(GroupResponse::FetchOffsets(mut fetched)) => {
            if version >= TOPIC_ID_VERSION_MIN {
                // Those of topics that are gone have no id to be told by.
                fetched.topics.retain_mut(|topic| match image.topic(&topic.name) {
                    Some(found) => {
                        topic.topic_id = found.id;
                        true
                    }
                    None => false,
                });
            }
            fetched.topics.extend(unknown);
            fetched
        }
        Ok(other) => unreachable!("a fetch of offsets is answered by them, not {other:?}"),
        Err(code) => {
            let topics = if version < TOP_LEVEL_ERROR_VERSION_MIN {
                group.topics.iter().flatten().map(|topic| failed_topic(topic, code)).collect()
            } else {
                Vec::new()
            };
            OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code: code.code() }
        }
    }
}

/// The answer in the versions that know one group.
fn as_single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    let error_code = if version >= TOP_LEVEL_ERROR_VERSION_MIN { group.error_code } else { ErrorCode::None.code() };
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(topic).collect(),
        error_code,
        ..OffsetFetchResponse::default()
    }
}
