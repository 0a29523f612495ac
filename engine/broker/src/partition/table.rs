//! The partitions that this shard owns: what they are called, what their topic asks of a batch, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Those that there are, and that could not be opened.
    unopened: BTreeSet<PartitionKey>,
}

impl Table {
    pub(crate) fn id(&self, key: PartitionKey) -> Option<PartitionId> {
        self.ids.get(&key).copied()
    }

    /// The partition, or what a client is told that wants it.
    pub(crate) fn find(&self, key: PartitionKey) -> Result<PartitionId, ErrorCode> {
        self.id(key).ok_or_else(|| {
            if self.unopened.contains(&key) { ErrorCode::KafkaStorageError } else { ErrorCode::UnknownTopicOrPartition }
        })
    }

    /// Notes that a partition could not be opened. Answers whether that is new.
    pub(crate) fn note_unopened(&mut self, key: PartitionKey) -> bool {
        self.unopened.insert(key)
    }

    /// The partition is no more, or may be opened by now.
    pub(crate) fn forget_unopened(&mut self, key: PartitionKey) {
        self.unopened.remove(&key);
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
