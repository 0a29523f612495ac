//! The partitions that this shard owns: what they are called, what their topic asks of a batch, and who waits for them.

use std::collections::BTreeMap;
use std::ops::Bound;

use ringlog_cluster::config::TopicConfig;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::PartitionId;
use ringlog_storage::types::LeaderEpoch;
use std::sync::Arc;

use super::commit::Commits;
use crate::group::GROUP_TOPIC;
use crate::metrics::counters::Traffic;

pub(crate) use ringlog_storage::PartitionKey;

/// One partition of this shard.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: PartitionKey,
    pub(crate) topic: Arc<str>,
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) commits: Commits,
    /// What passed through it.
    pub(crate) traffic: Traffic,
}

impl Slot {
    /// Whether it is the log of a group coordinator.
    pub(crate) fn is_group_log(&self) -> bool {
        *self.topic == *GROUP_TOPIC
    }
}

/// All partitions of this shard.
#[derive(Debug, Default)]
pub(crate) struct Table {
    ids: BTreeMap<PartitionKey, PartitionId>,
    slots: BTreeMap<PartitionId, Slot>,
    /// Those that there are and that are not served here, with what their clients are told.
    unserved: BTreeMap<PartitionKey, ErrorCode>,
}

impl Table {
    pub(crate) fn id(&self, key: PartitionKey) -> Option<PartitionId> {
        self.ids.get(&key).copied()
    }

    /// The partition, or what a client is told that wants it.
    pub(crate) fn find(&self, key: PartitionKey) -> Result<PartitionId, ErrorCode> {
        self.id(key).ok_or_else(|| self.unserved.get(&key).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition))
    }

    /// Notes that a partition could not be opened. Answers whether that is new.
    pub(crate) fn note_unopened(&mut self, key: PartitionKey) -> bool {
        self.unserved.insert(key, ErrorCode::KafkaStorageError) != Some(ErrorCode::KafkaStorageError)
    }

    /// The partition is no more, or may be opened by now.
    pub(crate) fn forget_unserved(&mut self, key: PartitionKey) {
        self.unserved.remove(&key);
    }

    /// The partition goes to another shard: it is not found here any more. Its slot is there until it has gone.
    pub(crate) fn leave(&mut self, id: PartitionId) {
        let slot = self.slots.get(&id).expect("a partition that is found has its slot");
        self.ids.remove(&slot.key);
        self.unserved.insert(slot.key, ErrorCode::NotLeaderOrFollower);
    }

    /// It does not go after all.
    pub(crate) fn stay(&mut self, id: PartitionId) -> &Slot {
        let slot = self.slots.get(&id).expect("it has not gone");
        self.unserved.remove(&slot.key);
        self.ids.insert(slot.key, id);
        slot
    }

    pub(crate) fn get(&self, id: PartitionId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: PartitionId) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    pub(crate) fn insert(&mut self, id: PartitionId, slot: Slot) {
        self.ids.insert(slot.key, id);
        self.slots.insert(id, slot);
    }

    pub(crate) fn remove(&mut self, id: PartitionId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.ids.remove(&slot.key);
        Some(slot)
    }

    /// All of them, those too that are leaving.
    pub(crate) fn all(&self) -> impl Iterator<Item = PartitionId> {
        self.slots.keys().copied()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Those from a place on, in order.
    pub(crate) fn range(&self, from: Bound<PartitionKey>) -> impl Iterator<Item = (PartitionKey, PartitionId)> {
        self.ids.range((from, Bound::Unbounded)).map(|(key, id)| (*key, *id))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (PartitionKey, PartitionId)> {
        self.ids.iter().map(|(key, id)| (*key, *id))
    }
}
