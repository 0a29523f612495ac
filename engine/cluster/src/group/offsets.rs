//! Committed offsets: how they are written, read, deleted, and how they expire.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ringlog_net::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ringlog_net::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use ringlog_storage::types::{Millis, Uuid};

use super::consumer::ConsumerGroup;
use super::embedded::CONSUMER_PROTOCOL_TYPE;
use super::limits::OFFSETS_PER_TURN;
use super::request::Caller;
use super::state::GroupOffsets;
use super::{GroupId, Groups, Session, Turn};
use crate::image::TopicImage;

/// From this version on a commit to a group that is not there is told so.
const GROUP_ID_NOT_FOUND_VERSION_MIN: i16 = 9;
/// From this version on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 10;
/// The most that the offsets of one commit may take in the log.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an offset takes in the log besides its names and its metadata.
const RECORD_BYTES: usize = 80;
/// Stands for no offset, no epoch.
const NONE: i32 = -1;

impl Groups {
    pub(super) fn commit_offsets(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: OffsetCommitRequest,
    ) -> Result<OffsetCommitResponse, ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        if !self.sessions.contains_key(request.group_id.as_str()) {
            if generation >= 0 {
                let is_told = caller.api_version >= GROUP_ID_NOT_FOUND_VERSION_MIN;
                return Err(if is_told { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration });
            }
            // An application that assigns partitions by itself, or an administrator.
            self.create(turn, &request.group_id)?;
        }
        let (member, instance) = (request.member_id.as_str(), request.group_instance_id.as_deref());
        let rights = match self.sessions.get_mut(request.group_id.as_str()).expect("is there now") {
            Session::Classic(group) => {
                group.check_commit(turn, generation, member, instance)?;
                None
            }
            Session::Consumer(_) => {
                let group = self.state.consumer(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
                Some(group.check_commit(member, generation, caller.api_version)?)
            }
        };
        if commit_bytes(&request) > COMMIT_BYTES_MAX {
            return Err(ErrorCode::InvalidCommitOffsetSize);
        }
        let expire_timestamp = match request.retention_time_ms {
            // The broker's retention counts.
            ..0 => Millis::NONE,
            own => turn.now.wall.saturating_add(own),
        };
        let mut response = OffsetCommitResponse::default();
        for topic in request.topics {
            let (name, topic_id) = (topic.name, topic.topic_id);
            let mut answered = OffsetCommitResponseTopic { topic_id, ..OffsetCommitResponseTopic::default() };
            let is_there = check_topic(turn, caller, &name, topic_id);
            for partition in topic.partitions {
                let index = partition.partition_index;
                let is_allowed = rights.as_ref().map_or(Ok(()), |rights| rights.check(topic_id, index));
                let code = is_there.and(is_allowed).err().unwrap_or_else(|| check_metadata(turn, &partition));
                answered
                    .partitions
                    .push(OffsetCommitResponsePartition { partition_index: index, error_code: code.code() });
                if code != ErrorCode::None {
                    continue;
                }
                let key = OffsetCommitKey { group: request.group_id.clone(), topic: name.clone(), partition: index };
                let value = OffsetCommitValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.unwrap_or_default(),
                    commit_timestamp: turn.now.wall.get(),
                    expire_timestamp: expire_timestamp.get(),
                    topic_id,
                };
                turn.decision.records.push(GroupRecord::OffsetCommit(key, Some(value)));
            }
            answered.name = name;
            response.topics.push(answered);
        }
        Ok(response)
    }

    /// A group, topic or partition without an offset is no error.
    pub(super) fn fetch_offsets(
        &self,
        request: OffsetFetchRequestGroup,
    ) -> Result<OffsetFetchResponseGroup, ErrorCode> {
        if let Some(group) = self.state.consumer(&request.group_id) {
            group.check_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        let offsets = self.state.offsets(&request.group_id);
        let topics = match request.topics {
            Some(topics) => topics.into_iter().map(|topic| fetch_topic(offsets, topic)).collect(),
            None => offsets.map(fetch_all).unwrap_or_default(),
        };
        Ok(OffsetFetchResponseGroup { group_id: request.group_id, topics, ..OffsetFetchResponseGroup::default() })
    }

    pub(super) fn delete_offsets(
        &self,
        turn: &mut Turn<'_>,
        request: OffsetDeleteRequest,
    ) -> Result<OffsetDeleteResponse, ErrorCode> {
        let group = self.sessions.get(request.group_id.as_str()).ok_or(ErrorCode::GroupIdNotFound)?;
        if let Session::Classic(group) = group
            && !group.is_empty()
            && group.protocol_type() != CONSUMER_PROTOCOL_TYPE
        {
            return Err(ErrorCode::NonEmptyGroup);
        }
        // Consumers whose subscription cannot be read may read anything.
        let subscribed = self.subscribed_topics(&request.group_id, group);
        let offsets = self.state.offsets(&request.group_id);
        let mut response = OffsetDeleteResponse::default();
        for topic in request.topics {
            let is_in_use = subscribed.as_ref().is_none_or(|topics| topics.contains(&topic.name));
            let code = if is_in_use { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            let committed = offsets.and_then(|topics| topics.get(topic.name.as_str()));
            let mut answered = OffsetDeleteResponseTopic::default();
            for partition in topic.partitions {
                let index = partition.partition_index;
                let is_there = committed.is_some_and(|partitions| partitions.contains_key(&index));
                let code = match code {
                    // One decision does not take all of them, and the others may be asked for again.
                    ErrorCode::None if is_there && turn.is_full() => ErrorCode::CoordinatorLoadInProgress,
                    code => code,
                };
                answered
                    .partitions
                    .push(OffsetDeleteResponsePartition { partition_index: index, error_code: code.code() });
                if code == ErrorCode::None && is_there {
                    turn.decision.records.push(tombstone(&request.group_id, &topic.name, index));
                }
            }
            answered.name = topic.name;
            response.topics.push(answered);
        }
        Ok(response)
    }

    /// Deletes the offsets of topics that are gone, of this group and those behind it: as many as one decision takes. Answers
    /// where to go on.
    pub(super) fn forget_missing_topics(&self, turn: &mut Turn<'_>, from: &str) -> Option<GroupId> {
        let mut looked_at = 0;
        for (group, topics) in self.state.offsets_from(from) {
            if looked_at >= OFFSETS_PER_TURN {
                return Some(Arc::clone(group));
            }
            looked_at += topics.values().map(BTreeMap::len).sum::<usize>();
            for (topic, partitions) in topics {
                let current = turn.image.topic(topic).map(|topic| topic.id);
                // An offset without an id is one that was committed before topics had ids.
                let is_gone = |id: Uuid| current.is_none_or(|current| id != Uuid::ZERO && id != current);
                for (index, _) in partitions.iter().filter(|(_, value)| is_gone(value.topic_id)) {
                    if turn.is_full() {
                        return Some(Arc::clone(group));
                    }
                    turn.decision.records.push(tombstone(group, topic, *index));
                }
            }
        }
        None
    }

    /// Deletes offsets that nobody has needed for long, and groups that nothing is left of, of this group and those behind
    /// it: as many as one decision takes. Answers where to go on.
    pub(super) fn clean_up(&mut self, turn: &mut Turn<'_>, from: &str) -> Option<GroupId> {
        let (mut forgotten, mut looked_at, mut next) = (Vec::new(), 0, None);
        for (id, session) in self.sessions.range::<str, _>((Bound::Included(from), Bound::Unbounded)) {
            if turn.is_full() || looked_at >= OFFSETS_PER_TURN {
                next = Some(Arc::clone(id));
                break;
            }
            let offsets = self.state.offsets(id);
            looked_at += 1 + offsets.map_or(0, |topics| topics.values().map(BTreeMap::len).sum());
            let is_left = self.expire(turn, id, session);
            let is_forgettable = match session {
                Session::Classic(group) => group.is_forgettable(),
                Session::Consumer(_) => self.state.consumer(id).is_none_or(ConsumerGroup::is_empty),
            };
            if !is_left && is_forgettable {
                forgotten.push(Arc::clone(id));
            }
        }
        for id in forgotten {
            self.end_group(turn, &id);
        }
        next
    }

    /// Deletes a group that has no members.
    pub(super) fn end_group(&mut self, turn: &mut Turn<'_>, id: &GroupId) {
        if self.state.classic(id).is_some() {
            turn.decision.records.push(Self::tombstone(id));
        }
        if let Some(group) = self.state.consumer(id) {
            turn.decision.records.extend(group.tombstones(id));
        }
        self.sessions.remove(id);
    }

    /// The topics that members read; `None` if that is not known.
    fn subscribed_topics(&self, id: &str, session: &Session) -> Option<BTreeSet<String>> {
        match session {
            Session::Classic(group) if group.is_empty() => Some(BTreeSet::new()),
            Session::Classic(group) => group.subscribed_topics(),
            Session::Consumer(_) => {
                Some(self.state.consumer(id).map(ConsumerGroup::subscribed_topics).unwrap_or_default())
            }
        }
    }

    /// Deletes the offsets of a group whose time is over. Answers whether one is left.
    fn expire(&self, turn: &mut Turn<'_>, id: &GroupId, session: &Session) -> bool {
        let Some(offsets) = self.state.offsets(id) else { return false };
        let (now, retention_ms) = (turn.now.wall, self.config.offsets_retention_minutes.saturating_mul(60_000));
        // Members that read a topic keep its offsets; what they no longer read ages. While they rebalance nothing does.
        let is_settled = match session {
            Session::Classic(group) => group.is_empty() || group.is_stable(),
            Session::Consumer(_) => true,
        };
        let subscribed = self.subscribed_topics(id, session).filter(|_| is_settled);
        let empty_since = match session {
            Session::Classic(group) => group.empty_since(),
            Session::Consumer(_) => None,
        };
        let mut is_left = false;
        for (topic, partitions) in offsets {
            let is_in_use = subscribed.as_ref().is_none_or(|topics| topics.contains(&**topic));
            for (index, value) in partitions {
                let committed = Millis::new(value.commit_timestamp);
                let is_over = if value.expire_timestamp >= 0 {
                    value.expire_timestamp <= now.get()
                } else {
                    now.since(empty_since.map_or(committed, |since| since.max(committed))) >= retention_ms
                };
                if is_over && !is_in_use && !turn.is_full() {
                    turn.decision.records.push(tombstone(id, topic, *index));
                } else {
                    is_left = true;
                }
            }
        }
        is_left
    }
}

pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::OffsetCommit(OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition }, None)
}

fn commit_bytes(request: &OffsetCommitRequest) -> usize {
    let of_topic = |name: &str| RECORD_BYTES + request.group_id.len() + name.len();
    let metadata =
        |partition: &OffsetCommitRequestPartition| partition.committed_metadata.as_ref().map_or(0, String::len);
    let topics = request.topics.iter();
    topics.map(|topic| topic.partitions.iter().map(|of| of_topic(&topic.name) + metadata(of)).sum::<usize>()).sum()
}

/// Whoever asks may have seen the topic before it was deleted, or before the coordinator hears of it. The log has offsets
/// of topics alone that its coordinator knew of: so those of topics that it no longer knows can be deleted.
fn check_topic(turn: &Turn<'_>, caller: &Caller, name: &str, topic_id: Uuid) -> Result<(), ErrorCode> {
    let is_same = |topic: &TopicImage| topic_id == Uuid::ZERO || topic.id == topic_id;
    if turn.image.topic(name).is_some_and(|topic| is_same(topic)) {
        Ok(())
    } else if caller.api_version >= TOPIC_ID_VERSION_MIN {
        Err(ErrorCode::UnknownTopicId)
    } else {
        Err(ErrorCode::UnknownTopicOrPartition)
    }
}

fn check_metadata(turn: &Turn<'_>, partition: &OffsetCommitRequestPartition) -> ErrorCode {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    let most = usize::try_from(turn.config.offset_metadata_bytes_max).unwrap_or(0);
    // In Java's characters, as Kafka counts.
    if metadata.len() > most && metadata.encode_utf16().count() > most {
        ErrorCode::OffsetMetadataTooLarge
    } else {
        ErrorCode::None
    }
}

fn fetch_topic(offsets: Option<&GroupOffsets>, topic: OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let committed = offsets.and_then(|topics| topics.get(topic.name.as_str()));
    let partition = |index: i32| {
        let value = committed.and_then(|partitions| partitions.get(&index));
        // An offset of a topic that was deleted is none of the one that has its name now.
        let is_of_topic = |value: &&OffsetCommitValue| {
            value.topic_id == Uuid::ZERO || topic.topic_id == Uuid::ZERO || value.topic_id == topic.topic_id
        };
        fetched(index, value.filter(is_of_topic))
    };
    let partitions = topic.partition_indexes.iter().map(|index| partition(*index)).collect();
    OffsetFetchResponseTopics { name: topic.name, topic_id: topic.topic_id, partitions }
}

fn fetch_all(offsets: &GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
    let topic = |(name, partitions): (&Arc<str>, &std::collections::BTreeMap<i32, OffsetCommitValue>)| {
        let topic_id = partitions.values().next().map(|value| value.topic_id).unwrap_or_default();
        let partitions = partitions.iter().map(|(index, value)| fetched(*index, Some(value))).collect();
        OffsetFetchResponseTopics { name: name.to_string(), topic_id, partitions }
    };
    offsets.iter().map(topic).collect()
}

fn fetched(index: i32, value: Option<&OffsetCommitValue>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: value.map_or(i64::from(NONE), |value| value.offset),
        committed_leader_epoch: value.map_or(NONE, |value| value.leader_epoch),
        metadata: Some(value.map(|value| value.metadata.clone()).unwrap_or_default()),
        error_code: ErrorCode::None.code(),
    }
}
