//! Consumer groups (KIP-848): the coordinator itself divides the partitions. Every member has a target, and reconciles what
//! it has with it, heartbeat by heartbeat, at its own pace: nothing stops because somebody else joins.
//!
//! All of a group is in the log. Beside it there are the members' timers alone.

mod assignor;
mod classic_members;
mod describe;
mod heartbeat;
mod migration;
mod reconciliation;
mod sessions;
mod size;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, GroupRecord, TopicPartition,
    TopicPartitions,
};
use ringlog_storage::types::Uuid;

use super::{GroupId, MemberId};

pub(super) use migration::upgraded;
pub(super) use sessions::ConsumerSessions;

/// The epoch with which a member joins.
pub const JOIN_EPOCH: i32 = 0;
/// The epoch with which a member leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// The epoch with which a static member goes that will be back.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// From this version of `OffsetCommit` on members of the consumer protocol can say in which epoch they commit.
const MEMBER_EPOCH_VERSION_MIN: i16 = 9;

/// Partitions by topic.
type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;
/// Partitions by topic, each with the member's epoch when it was given.
type Owned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// One consumer group, as its log says.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct ConsumerGroup {
    /// Raised whenever the partitions have to be divided anew.
    epoch: i32,
    /// What the epoch knows of the topics.
    metadata_hash: i64,
    /// The epoch that the targets are of.
    assignment_epoch: i32,
    members: BTreeMap<MemberId, Member>,
    targets: BTreeMap<MemberId, Partitions>,
    /// What the members' expressions match.
    expressions: BTreeMap<String, ConsumerGroupRegularExpressionValue>,
    /// Who holds a partition: has it, or has not given it back yet.
    holders: BTreeMap<(Uuid, i32), MemberId>,
    /// Members by their instance ids.
    instances: BTreeMap<Arc<str>, MemberId>,
}

#[derive(Clone, PartialEq, Debug)]
struct Member {
    metadata: ConsumerGroupMemberMetadataValue,
    current: Current,
}

impl Default for Member {
    /// One that has said nothing yet; the defaults of the record are empty texts.
    fn default() -> Self {
        let metadata = ConsumerGroupMemberMetadataValue {
            instance_id: None,
            rack_id: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            classic_member_metadata: None,
            ..ConsumerGroupMemberMetadataValue::default()
        };
        Self { metadata, current: Current::default() }
    }
}

impl Member {
    /// The expression that it subscribes to.
    fn expression(&self) -> Option<&str> {
        self.metadata.subscribed_topic_regex.as_deref()
    }

    /// What a member of the classic protocol says beyond what others say.
    fn classic(&self) -> Option<&ClassicMemberMetadata> {
        self.metadata.classic_member_metadata.as_ref()
    }
}

/// How far a member is on the way to its target.
#[derive(Clone, PartialEq, Default, Debug)]
struct Current {
    epoch: i32,
    previous_epoch: i32,
    state: MemberState,
    assigned: Owned,
    /// It has been told to give these back.
    revoking: Owned,
}

/// What a member has to do, or to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum MemberState {
    /// It has what it should have.
    #[default]
    Stable,
    /// It has to give partitions back.
    UnrevokedPartitions,
    /// Others have to give partitions back that it should have.
    UnreleasedPartitions,
}

impl MemberState {
    fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
        }
    }

    /// A number of a newer release is taken for one that asks for a look.
    fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            _ => Self::UnreleasedPartitions,
        }
    }
}

impl ConsumerGroup {
    /// What the log calls the group's state.
    pub(super) fn state_name(&self) -> &'static str {
        let is_reconciled = |member: &Member| {
            member.current.state == MemberState::Stable && member.current.epoch == self.assignment_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(is_reconciled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The member of the consumer protocol that has this instance id.
    pub(super) fn consumer_of_instance(&self, instance: &str) -> Option<&MemberId> {
        self.instances.get(instance).filter(|id| self.members[*id].classic().is_none())
    }

    /// The topics that members subscribe to, by name or by an expression.
    pub(super) fn subscribed_topics(&self) -> BTreeSet<String> {
        let named = self.members.values().flat_map(|member| &member.metadata.subscribed_topic_names);
        let matched = self.expressions.values().flat_map(|matches| &matches.topics);
        named.chain(matched).cloned().collect()
    }

    /// Checks a commit in the name of a member, or of nobody. Partitions that the member has had since before the epoch
    /// that it knows may be committed in that epoch (KIP-1251).
    pub(super) fn check_commit(&self, id: &str, epoch: i32, api_version: i16) -> Result<CommitRights<'_>, ErrorCode> {
        if epoch < 0 && self.is_empty() {
            return Ok(CommitRights { epoch, current: None });
        }
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        match member.classic() {
            Some(_) if epoch != member.current.epoch => return Err(ErrorCode::IllegalGeneration),
            None if api_version < MEMBER_EPOCH_VERSION_MIN => return Err(ErrorCode::UnsupportedVersion),
            _ => {}
        }
        if epoch > member.current.epoch {
            return Err(ErrorCode::StaleMemberEpoch);
        }
        let is_older = epoch < member.current.epoch;
        Ok(CommitRights { epoch, current: is_older.then_some(&member.current) })
    }

    /// Whether somebody may ask for the offsets in the name of a member.
    pub(super) fn check_fetch(&self, id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(id) = id else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        if epoch == member.current.epoch {
            return Ok(());
        }
        Err(if member.classic().is_some() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch })
    }

    pub(super) fn replay_metadata(&mut self, value: &ConsumerGroupMetadataValue) {
        (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
    }

    pub(super) fn replay_member(&mut self, id: &str, value: Option<&ConsumerGroupMemberMetadataValue>) {
        let Some(value) = value else {
            self.replay_current(id, None);
            if let Some(member) = self.members.remove(id) {
                self.forget_instance(id, &member.metadata);
            }
            return;
        };
        let id = MemberId::from(id);
        if let Some(before) = self.members.get(&id).map(|member| member.metadata.clone()) {
            self.forget_instance(&id, &before);
        }
        if let Some(instance) = &value.instance_id {
            self.instances.insert(instance.as_str().into(), Arc::clone(&id));
        }
        self.members.entry(id).or_default().metadata = value.clone();
    }

    /// The instance may belong to another member by now.
    fn forget_instance(&mut self, id: &str, metadata: &ConsumerGroupMemberMetadataValue) {
        let Some(instance) = metadata.instance_id.as_deref() else { return };
        if self.instances.get(instance).is_some_and(|current| **current == *id) {
            self.instances.remove(instance);
        }
    }

    pub(super) fn replay_target_epoch(&mut self, epoch: i32) {
        self.assignment_epoch = epoch;
    }

    pub(super) fn replay_target(&mut self, id: &str, value: Option<&ConsumerGroupTargetAssignmentMemberValue>) {
        match value {
            Some(value) => {
                let partitions = value.topic_partitions.iter();
                let partitions = partitions.map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect()));
                self.targets.insert(id.into(), partitions.collect());
            }
            None => {
                self.targets.remove(id);
            }
        }
    }

    pub(super) fn replay_current(&mut self, id: &str, value: Option<&ConsumerGroupCurrentMemberAssignmentValue>) {
        if value.is_none() && !self.members.contains_key(id) {
            return;
        }
        let id = MemberId::from(id);
        let member = self.members.entry(Arc::clone(&id)).or_default();
        let before = std::mem::replace(&mut member.current, value.map(Current::from_record).unwrap_or_default());
        for key in before.held() {
            // It may have been given to another member already.
            if self.holders.get(&key) == Some(&id) {
                self.holders.remove(&key);
            }
        }
        let held: Vec<_> = self.members[&id].current.held().collect();
        self.holders.extend(held.into_iter().map(|key| (key, Arc::clone(&id))));
    }

    pub(super) fn replay_expression(&mut self, text: &str, value: Option<&ConsumerGroupRegularExpressionValue>) {
        match value {
            Some(value) => self.expressions.insert(text.to_owned(), value.clone()),
            None => self.expressions.remove(text),
        };
    }

    /// What ends a group.
    pub(super) fn tombstones(&self, group: &GroupId) -> Vec<GroupRecord> {
        let group_id = || group.to_string();
        let members = self.members.keys().flat_map(|id| member_tombstones(group, id));
        let expressions = self.expressions.keys().map(|text| expression_record(group, text, None));
        let mut records: Vec<_> = members.chain(expressions).collect();
        records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata(
            ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id() },
            None,
        ));
        records.push(GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id: group_id() }, None));
        records
    }
}

/// What a member, or whoever speaks for none, may commit.
pub(super) struct CommitRights<'a> {
    epoch: i32,
    /// Of a member that has a newer epoch by now.
    current: Option<&'a Current>,
}

impl CommitRights<'_> {
    pub(super) fn check(&self, topic: Uuid, partition: i32) -> Result<(), ErrorCode> {
        let Some(current) = self.current else { return Ok(()) };
        let given = |owned: &Owned| owned.get(&topic).and_then(|partitions| partitions.get(&partition)).copied();
        let given = given(&current.assigned).or_else(|| given(&current.revoking));
        if given.is_some_and(|given| given <= self.epoch) { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }
}

impl Current {
    /// All that nobody else may have.
    fn held(&self) -> impl Iterator<Item = (Uuid, i32)> {
        let of = |owned: &Owned| -> Vec<(Uuid, i32)> {
            owned.iter().flat_map(|(topic, of)| of.keys().map(|partition| (*topic, *partition))).collect()
        };
        of(&self.assigned).into_iter().chain(of(&self.revoking))
    }

    fn from_record(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Self {
        let owned = |topics: &[TopicPartitions]| -> Owned {
            let epochs = |topic: &TopicPartitions| {
                // Records of releases without epochs of their own: the member's counts.
                let epoch_at = |at: usize| topic.assignment_epochs.as_ref().and_then(|epochs| epochs.get(at).copied());
                let partitions = topic.partitions.iter().enumerate();
                partitions.map(|(at, partition)| (*partition, epoch_at(at).unwrap_or(value.member_epoch))).collect()
            };
            topics.iter().map(|topic| (topic.topic_id, epochs(topic))).collect()
        };
        Self {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::from_code(value.state),
            assigned: owned(&value.assigned_partitions),
            revoking: owned(&value.partitions_pending_revocation),
        }
    }

    fn to_record(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        let topics = |owned: &Owned| {
            let topic = |(topic_id, partitions): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.keys().copied().collect(),
                assignment_epochs: Some(partitions.values().copied().collect()),
            };
            owned.iter().map(topic).collect()
        };
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned_partitions: topics(&self.assigned),
            partitions_pending_revocation: topics(&self.revoking),
        }
    }
}

fn group_record(group: &str, epoch: i32, metadata_hash: i64) -> GroupRecord {
    let key = ConsumerGroupMetadataKey { group_id: group.to_owned() };
    GroupRecord::ConsumerGroupMetadata(key, Some(ConsumerGroupMetadataValue { epoch, metadata_hash }))
}

fn member_record(group: &str, id: &str, value: Option<ConsumerGroupMemberMetadataValue>) -> GroupRecord {
    let key = ConsumerGroupMemberMetadataKey { group_id: group.to_owned(), member_id: id.to_owned() };
    GroupRecord::ConsumerGroupMemberMetadata(key, value)
}

/// What ends a member.
fn member_tombstones(group: &str, id: &str) -> [GroupRecord; 3] {
    [current_record(group, id, None), target_record(group, id, None), member_record(group, id, None)]
}

fn target_record(group: &str, id: &str, partitions: Option<&Partitions>) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group.to_owned(), member_id: id.to_owned() };
    let topic = |(topic_id, partitions): (&Uuid, &BTreeSet<i32>)| TopicPartition {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
    };
    let value = partitions.map(|partitions| ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: partitions.iter().map(topic).collect(),
    });
    GroupRecord::ConsumerGroupTargetAssignmentMember(key, value)
}

fn target_epoch_record(group: &str, assignment_epoch: i32, assignment_timestamp: i64) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.to_owned() };
    let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, Some(value))
}

fn current_record(group: &str, id: &str, current: Option<&Current>) -> GroupRecord {
    let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: group.to_owned(), member_id: id.to_owned() };
    GroupRecord::ConsumerGroupCurrentMemberAssignment(key, current.map(Current::to_record))
}

fn expression_record(group: &str, text: &str, value: Option<ConsumerGroupRegularExpressionValue>) -> GroupRecord {
    let key = ConsumerGroupRegularExpressionKey { group_id: group.to_owned(), regular_expression: text.to_owned() };
    GroupRecord::ConsumerGroupRegularExpression(key, value)
}
