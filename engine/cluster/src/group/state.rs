//! What the log of a group coordinator says.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ringlog_net::messages::group_log::{
    ConsumerGroupMetadataKey, GroupMetadataKey, GroupMetadataValue, GroupRecord, OffsetCommitKey, OffsetCommitValue,
};
use ringlog_net::wire::Writer;
use ringlog_storage::types::Uuid;

use super::GroupId;
use super::consumer::ConsumerGroup;

/// The committed offsets of one group, by topic and partition.
pub(super) type GroupOffsets = BTreeMap<Arc<str>, BTreeMap<i32, OffsetCommitValue>>;

/// The state that only replay changes.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct GroupState {
    /// The last generation of each classic group that was written down.
    classic: BTreeMap<GroupId, GroupMetadataValue>,
    consumer: BTreeMap<GroupId, ConsumerGroup>,
    /// A group without offsets is not in here.
    offsets: BTreeMap<GroupId, GroupOffsets>,
}

impl GroupState {
    /// The generation of a classic group that was written last.
    pub(super) fn classic(&self, group: &str) -> Option<&GroupMetadataValue> {
        self.classic.get(group)
    }

    /// A consumer group.
    pub(super) fn consumer(&self, group: &str) -> Option<&ConsumerGroup> {
        self.consumer.get(group)
    }

    /// The offsets of a group.
    pub(super) fn offsets(&self, group: &str) -> Option<&GroupOffsets> {
        self.offsets.get(group)
    }

    /// The offsets of this group, and of those behind it.
    pub(super) fn offsets_from(&self, group: &str) -> impl Iterator<Item = (&GroupId, &GroupOffsets)> {
        self.offsets.range::<str, _>((Bound::Included(group), Bound::Unbounded))
    }

    /// Every group that anything is known of.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let consumer = self.consumer.keys().filter(|group| !self.classic.contains_key(*group));
        let is_known = |group: &&GroupId| self.classic.contains_key(*group) || self.consumer.contains_key(*group);
        self.classic.keys().chain(consumer).chain(self.offsets.keys().filter(move |group| !is_known(group)))
    }

    pub(super) fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::OffsetCommit(key, value) => self.replay_offset(key, value.as_ref()),
            GroupRecord::GroupMetadata(GroupMetadataKey { group }, Some(value)) => {
                self.classic.insert(group.as_str().into(), value.clone());
            }
            GroupRecord::GroupMetadata(GroupMetadataKey { group }, None) => {
                self.classic.remove(group.as_str());
            }
            GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id }, value) => match value {
                Some(value) => self.consumer_of(group_id).replay_metadata(value),
                None => {
                    self.consumer.remove(group_id.as_str());
                }
            },
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                self.replay_consumer(&key.group_id, value.is_some(), |group| {
                    group.replay_member(&key.member_id, value.as_ref());
                });
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => {
                self.replay_consumer(&key.group_id, value.is_some(), |group| {
                    group.replay_target_epoch(value.as_ref().map_or(0, |value| value.assignment_epoch));
                });
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                self.replay_consumer(&key.group_id, value.is_some(), |group| {
                    group.replay_target(&key.member_id, value.as_ref());
                });
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                self.replay_consumer(&key.group_id, value.is_some(), |group| {
                    group.replay_current(&key.member_id, value.as_ref());
                });
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                self.replay_consumer(&key.group_id, value.is_some(), |group| {
                    group.replay_expression(&key.regular_expression, value.as_ref());
                });
            }
        }
    }

    /// Nothing is made for what only says that something is gone.
    fn replay_consumer(&mut self, group: &str, has_value: bool, replay: impl FnOnce(&mut ConsumerGroup)) {
        if has_value {
            replay(self.consumer_of(group));
        } else if let Some(group) = self.consumer.get_mut(group) {
            replay(group);
        }
    }

    /// Records of a group may come before the one that makes it: compaction keeps the last of each.
    fn consumer_of(&mut self, group: &str) -> &mut ConsumerGroup {
        self.consumer.entry(group.into()).or_default()
    }

    fn replay_offset(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        let OffsetCommitKey { group, topic, partition } = key;
        if let Some(value) = value {
            // A name is made once for each group, not for each commit.
            if !self.offsets.contains_key(group.as_str()) {
                self.offsets.insert(group.as_str().into(), GroupOffsets::new());
            }
            let topics = self.offsets.get_mut(group.as_str()).expect("was made just now");
            match topics.get_mut(topic.as_str()) {
                Some(partitions) => {
                    partitions.insert(*partition, value.clone());
                }
                None => {
                    topics.insert(topic.as_str().into(), BTreeMap::from([(*partition, value.clone())]));
                }
            }
            return;
        }
        let Some(topics) = self.offsets.get_mut(group.as_str()) else { return };
        let Some(partitions) = topics.get_mut(topic.as_str()) else { return };
        partitions.remove(partition);
        if partitions.is_empty() {
            topics.remove(topic.as_str());
        }
        if topics.is_empty() {
            self.offsets.remove(group.as_str());
        }
    }
}

/// What compaction leaves of a log: the last record of each key, if it has a value.
pub(super) fn compact(log: &[GroupRecord]) -> Vec<GroupRecord> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = log
        .iter()
        .rev()
        .filter(|record| {
            let mut key = Writer::default();
            record.encode_key(&mut key).expect("the record came out of a log");
            seen.insert(key.into_bytes()) && record.has_value()
        })
        .cloned()
        .collect();
    kept.reverse();
    kept
}

/// The group that a record is about.
pub(super) fn group_of(record: &GroupRecord) -> &str {
    match record {
        GroupRecord::OffsetCommit(key, _) => &key.group,
        GroupRecord::GroupMetadata(key, _) => &key.group,
        GroupRecord::ConsumerGroupMetadata(key, _) => &key.group_id,
        GroupRecord::ConsumerGroupMemberMetadata(key, _) => &key.group_id,
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, _) => &key.group_id,
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, _) => &key.group_id,
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, _) => &key.group_id,
        GroupRecord::ConsumerGroupRegularExpression(key, _) => &key.group_id,
    }
}

/// The most that a record takes in a batch.
pub(super) fn record_bytes(record: &GroupRecord) -> usize {
    /// Lengths, timestamp and offset of the record.
    const FRAME_BYTES: usize = 32;
    let mut writer = Writer::default();
    let mut encoded = record.encode_key(&mut writer);
    if record.has_value() {
        encoded = encoded.and_then(|()| record.encode_value(&mut writer, value_version(record)));
    }
    // What cannot be said at all takes more than there can be.
    encoded.map_or(super::DECISION_BYTES_MAX, |()| FRAME_BYTES + writer.len())
}

/// The version in which a record's value is written: the oldest that holds all of it, so that the most readers understand
/// it.
pub fn value_version(record: &GroupRecord) -> i16 {
    /// The only one in which a single offset has an end of its own.
    const WITH_EXPIRE_TIMESTAMP: i16 = 1;
    /// The newest without tagged fields.
    const PLAIN: i16 = 3;
    match record {
        GroupRecord::OffsetCommit(_, Some(value)) if value.expire_timestamp >= 0 => WITH_EXPIRE_TIMESTAMP,
        GroupRecord::OffsetCommit(_, Some(value)) if value.topic_id == Uuid::ZERO => PLAIN,
        GroupRecord::GroupMetadata(..) => PLAIN,
        other => other.newest_version(),
    }
}
