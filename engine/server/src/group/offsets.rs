//! The offsets that a group has committed, and the topics that they are of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::bail;
use ringlog_net::messages::metadata::MetadataResponseTopic;
use ringlog_net::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse};
use ringlog_storage::types::{BrokerId, Offset, PartitionIndex, TopicPartition, Uuid};

use super::coordinator;
use crate::offsets::{self, Place};
use crate::session::{AutoCreate, Session, accepted};

/// The topics of a cluster.
#[derive(Debug)]
pub(crate) struct Topics {
    by_name: BTreeMap<Arc<str>, MetadataResponseTopic>,
    names: BTreeMap<Uuid, Arc<str>>,
}

impl Topics {
    /// Asks for all of them: newer brokers tell of committed offsets by ids alone.
    pub(crate) async fn all(session: &Session) -> anyhow::Result<Self> {
        let response = session.topics(None, AutoCreate::No).await?;
        let mut topics = Self { by_name: BTreeMap::new(), names: BTreeMap::new() };
        for topic in response.topics {
            let name: Arc<str> = topic.name.clone().unwrap_or_default().into();
            topics.names.insert(topic.topic_id, Arc::clone(&name));
            topics.by_name.insert(name, topic);
        }
        Ok(topics)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&MetadataResponseTopic> {
        self.by_name.get(name)
    }

    /// The topic that a response names, or tells the id of.
    pub(crate) fn name_of(&self, name: String, id: Uuid) -> Option<Arc<str>> {
        if name.is_empty() { self.names.get(&id).cloned() } else { Some(name.into()) }
    }

    /// The id of a topic, by which newer brokers want it named.
    pub(crate) fn id_of(&self, name: &str) -> Uuid {
        self.get(name).map_or(Uuid::ZERO, |topic| topic.topic_id)
    }

    /// Who leads a partition, if anybody does.
    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<BrokerId> {
        let partitions = &self.get(&partition.topic)?.partitions;
        let found = partitions.iter().find(|each| each.partition_index == partition.partition.get())?;
        Some(BrokerId::new(found.leader_id)).filter(|leader| leader.get() >= 0)
    }

    /// The offsets of a place in partitions. One that has none there, or has no leader, is not in the answer.
    pub(crate) async fn offsets(
        &self,
        session: &Session,
        partitions: impl Iterator<Item = &TopicPartition>,
        place: Place,
    ) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
        let mut by_topic: BTreeMap<&Arc<str>, BTreeSet<i32>> = BTreeMap::new();
        for partition in partitions {
            by_topic.entry(&partition.topic).or_default().insert(partition.partition.get());
        }
        let mut found = BTreeMap::new();
        for (name, wanted) in by_topic {
            let Some(topic) = self.get(name) else { continue };
            let is_wanted = |index: i32| wanted.contains(&index);
            let partitions: Vec<_> =
                topic.partitions.iter().filter(|each| is_wanted(each.partition_index)).cloned().collect();
            let offsets = offsets::list(session, name, &partitions, place).await?;
            let named = offsets
                .into_iter()
                .map(|(index, offset)| (TopicPartition { topic: Arc::clone(name), partition: index }, offset));
            found.extend(named);
        }
        Ok(found)
    }
}

/// All that a group has committed. A group that is not there has nothing.
pub(crate) async fn committed(
    session: &Session,
    topics: &Topics,
    group: &str,
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let asked = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![asked], ..OffsetFetchRequest::default() };
    let code_of = |response: &OffsetFetchResponse| response.groups.first().map_or(0, |each| each.error_code);
    let (_, response) = coordinator::ask(session, group, &request, code_of).await?;
    let Some(said) = response.groups.into_iter().next() else {
        bail!("the broker does not tell the offsets of group {group}");
    };
    accepted(&format!("offsets of group {group}"), said.error_code, None)?;
    let mut committed = BTreeMap::new();
    for topic in said.topics {
        // A topic that is gone has no offsets that could be read on from.
        let Some(name) = topics.name_of(topic.name, topic.topic_id) else { continue };
        for partition in topic.partitions {
            let named = TopicPartition::new(Arc::clone(&name), PartitionIndex::new(partition.partition_index));
            accepted(&format!("offset of group {group} in partition {named}"), partition.error_code, None)?;
            if partition.committed_offset >= 0 {
                committed.insert(named, Offset::new(partition.committed_offset));
            }
        }
    }
    Ok(committed)
}
