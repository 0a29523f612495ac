//! What the client knows about the cluster: brokers, topics, leaders.

use super::Address;
use crate::error::ErrorCode;
use crate::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_storage::types::{BrokerId, LeaderEpoch, Nanos, PartitionIndex, TopicPartition, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A topic as the last answer described it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// [`Uuid::ZERO`] from brokers that have no ids.
    pub id: Uuid,
    /// Indexed by partition.
    pub partitions: Vec<Partition>,
}

/// A partition as the last answer described it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Its leader, [`BrokerId::NONE`] if it has none.
    pub leader: BrokerId,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
}

/// The cache, and which topics are to be in it.
#[derive(Debug, Default)]
pub struct Metadata {
    brokers: BTreeMap<BrokerId, Address>,
    controller: Option<BrokerId>,
    cluster_id: Option<String>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Why a wanted topic is not in `topics`.
    errors: BTreeMap<Arc<str>, ErrorCode>,
    wanted: BTreeSet<Arc<str>>,
    /// Whether something is known to be missing or stale.
    stale: bool,
    pub(super) asked: bool,
    updated_at: Option<Nanos>,
    /// Not asked again before this.
    pub(super) retry_at: Nanos,
}

impl Metadata {
    /// The brokers, by id.
    pub fn brokers(&self) -> &BTreeMap<BrokerId, Address> {
        &self.brokers
    }

    /// Where admin requests go.
    pub fn controller(&self) -> Option<&Address> {
        self.brokers.get(&self.controller?)
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// A topic, once it is known.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The name of a topic's id.
    pub(super) fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| Arc::clone(name))
    }

    /// Why a topic is not known, as the broker said last.
    pub fn topic_error(&self, name: &str) -> Option<ErrorCode> {
        self.errors.get(name).copied()
    }

    /// A partition, if its topic is known and has it.
    pub fn partition(&self, partition: &TopicPartition) -> Option<Partition> {
        let index = usize::try_from(partition.partition.get()).ok()?;
        self.topic(&partition.topic)?.partitions.get(index).copied()
    }

    /// Where the leader of a partition listens.
    pub fn leader(&self, partition: &TopicPartition) -> Option<&Address> {
        self.brokers.get(&self.partition(partition)?.leader)
    }

    pub(super) fn want(&mut self, topic: &Arc<str>) {
        if self.wanted.insert(Arc::clone(topic)) {
            self.invalidate();
        }
    }

    /// Says that what is known has turned out wrong.
    pub(super) fn invalidate(&mut self) {
        self.stale = true;
    }

    /// When to ask next; `None` while the question is under way.
    pub(super) fn due(&self, age_max: std::time::Duration) -> Option<Nanos> {
        match self.updated_at {
            _ if self.asked => None,
            Some(at) if !self.stale => Some(at.saturating_add(age_max)),
            _ => Some(self.retry_at),
        }
    }

    pub(super) fn request(&self, allow_auto_topic_creation: bool) -> MetadataRequest {
        let topic = |name: &Arc<str>| MetadataRequestTopic { name: Some(name.to_string()), ..Default::default() };
        let topics = Some(self.wanted.iter().map(topic).collect());
        MetadataRequest { topics, allow_auto_topic_creation, ..MetadataRequest::default() }
    }

    pub(super) fn update(&mut self, response: MetadataResponse, now: Nanos) {
        let brokers = response.brokers.into_iter().filter_map(|broker| {
            let address = Address { host: broker.host, port: u16::try_from(broker.port).ok()? };
            Some((BrokerId::new(broker.node_id), address))
        });
        self.brokers = brokers.collect();
        self.controller = Some(BrokerId::new(response.controller_id)).filter(|id| *id != BrokerId::NONE);
        self.cluster_id = response.cluster_id;
        self.stale = false;
        self.updated_at = Some(now);
        for topic in response.topics {
            let Some(name) = topic.name.map(Arc::from) else { continue };
            let error = ErrorCode::from_wire(topic.error_code);
            if error != ErrorCode::None {
                self.topics.remove(&name);
                self.errors.insert(name, error);
                self.stale |= error.is_retriable();
                continue;
            }
            self.errors.remove(&name);
            let mut partitions = topic.partitions;
            partitions.sort_by_key(|partition| partition.partition_index);
            self.stale |= partitions.iter().any(|partition| partition.leader_id < 0);
            // A gap in the numbers would put partitions in wrong places: what is behind it is left out.
            let dense = (0..).zip(&partitions).take_while(|(index, each)| each.partition_index == *index);
            let partitions = dense.map(|(_, each)| Partition {
                leader: BrokerId::new(each.leader_id),
                leader_epoch: LeaderEpoch::new(each.leader_epoch),
            });
            self.topics.insert(name, Topic { id: topic.topic_id, partitions: partitions.collect() });
        }
    }

    pub(super) fn partition_count(&self, topic: &str) -> Option<u32> {
        let count = self.topic(topic)?.partitions.len();
        u32::try_from(count).ok().filter(|count| *count > 0)
    }
}

/// The partition `index` of `topic`.
pub(super) fn partition(topic: &Arc<str>, index: PartitionIndex) -> TopicPartition {
    TopicPartition { topic: Arc::clone(topic), partition: index }
}
