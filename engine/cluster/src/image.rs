//! What the cluster consists of: one immutable value, versioned by the offset of the last metadata record in it.
//!
//! The metadata machine on shard 0 derives the next image from the one before; all shards swap it whole. A clone costs a
//! few reference counts, since the maps share what did not change.

mod changes;
mod quotas;
mod replay;
mod scram;
mod snapshot;

use std::sync::Arc;

use imbl::OrdMap;
use ringlog_storage::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, Uuid};

use crate::config::{ConfigLayers, ConfigMap, Endpoint, SecurityProtocol, StaticConfig, TopicConfig};

pub use changes::TopicChange;
pub(crate) use quotas::quota_record;
pub use quotas::{QuotaEntity, QuotaEntityType, QuotaName, QuotaValues};
pub use replay::ReplayError;
pub use scram::{ScramCredential, ScramMechanism};
pub(crate) use scram::{scram_record, scram_removal_record};
pub(crate) use snapshot::{config_record, feature_record, producer_ids_record};

/// The facts of a cluster at one offset of its metadata log.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// Offset of the last record that is in here; [`Offset::UNKNOWN`] before the first one.
    offset: Offset,
    /// That of the last one that made or changed a topic, or took it away.
    topics_offset: When,
    cluster_id: Arc<str>,
    controller: BrokerId,
    topics: OrdMap<Arc<str>, Arc<TopicImage>>,
    names: OrdMap<Uuid, Arc<str>>,
    /// Names of the topics with a dot or an underscore, by the name with every dot replaced: there can be one of each.
    metric_names: OrdMap<Arc<str>, Arc<str>>,
    partition_count: usize,
    brokers: OrdMap<BrokerId, Arc<BrokerImage>>,
    configs: OrdMap<ConfigResource, Arc<ConfigMap>>,
    features: OrdMap<Arc<str>, i16>,
    quotas: OrdMap<QuotaEntity, Arc<QuotaValues>>,
    scram: OrdMap<(Arc<str>, ScramMechanism), Arc<ScramCredential>>,
    next_producer_id: ProducerId,
}

/// The offset of a change. It is no part of what an image says: a compacted log tells the same at other offsets.
#[derive(Clone, Copy, Debug)]
struct When(Offset);

impl PartialEq for When {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What configuration hangs on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(Arc<str>),
    /// A broker.
    Broker(BrokerId),
    /// All brokers: what Kafka's tools call the default entity.
    AllBrokers,
    /// A group, by its id; there need not be one.
    Group(Arc<str>),
    /// A subscription to metrics of clients, by name.
    ClientMetrics(Arc<str>),
}

/// One topic.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; a topic that is made again has another one.
    pub id: Uuid,
    /// Its partitions; the index is the partition's number.
    pub partitions: Vec<PartitionImage>,
}

/// One partition.
#[derive(Clone, PartialEq, Debug)]
pub struct PartitionImage {
    /// The leader, [`BrokerId::NONE`] if there is none.
    pub leader: BrokerId,
    /// Counts leaders.
    pub leader_epoch: LeaderEpoch,
    /// Counts changes of anything in here.
    pub partition_epoch: i32,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The replicas in sync.
    pub isr: Vec<BrokerId>,
    /// Replicas that may lead although they are not in sync (KIP-966).
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// Replicas that were the last to be eligible (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// Replicas on their way in.
    pub adding_replicas: Vec<BrokerId>,
    /// Replicas on their way out.
    pub removing_replicas: Vec<BrokerId>,
    /// The directory of each replica (KIP-858).
    pub directories: Vec<Uuid>,
    /// Whether an unclean election still has to be recovered from.
    pub is_recovering: bool,
}

/// One broker that is registered.
#[derive(Clone, PartialEq, Debug)]
pub struct BrokerImage {
    /// Its id.
    pub id: BrokerId,
    /// The offset of its registration, which counts its starts.
    pub epoch: i64,
    /// Random for each start of its process.
    pub incarnation_id: Uuid,
    /// Where clients reach it, listener by listener.
    pub listeners: Vec<BrokerListener>,
    /// The features that it supports.
    pub features: Vec<SupportedFeature>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// Whether it is registered but does not lead anything.
    pub is_fenced: bool,
    /// Whether it is about to stop.
    pub is_stopping: bool,
    /// The ids of its data directories.
    pub directories: Vec<Uuid>,
    /// Those of them that get no new partitions.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

/// A listener of a broker as clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerListener {
    /// Its name.
    pub name: Arc<str>,
    /// Where to connect.
    pub endpoint: Endpoint,
    /// How it is secured.
    pub protocol: SecurityProtocol,
}

/// A feature and the levels of it that a broker supports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SupportedFeature {
    /// Its name.
    pub name: Arc<str>,
    /// The lowest level.
    pub level_min: i16,
    /// The highest level.
    pub level_max: i16,
}

impl Image {
    /// The image before the first record.
    pub fn new(cluster_id: impl Into<Arc<str>>, controller: BrokerId) -> Self {
        Self {
            offset: Offset::UNKNOWN,
            topics_offset: When(Offset::UNKNOWN),
            cluster_id: cluster_id.into(),
            controller,
            topics: OrdMap::new(),
            names: OrdMap::new(),
            metric_names: OrdMap::new(),
            partition_count: 0,
            brokers: OrdMap::new(),
            configs: OrdMap::new(),
            features: OrdMap::new(),
            quotas: OrdMap::new(),
            scram: OrdMap::new(),
            next_producer_id: ProducerId::new(0),
        }
    }

    /// Offset of the last record that is in here; [`Offset::UNKNOWN`] before the first one.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Offset of the last record that changed which topics there are, and of which partitions.
    pub fn topics_offset(&self) -> Offset {
        self.topics_offset.0
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The broker that admin requests go to.
    pub fn controller(&self) -> BrokerId {
        self.controller
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// All topics, by name in ascending order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// All topics whose name is not below `name`, in ascending order: for answers in pages.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics
            .range::<_, str>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded))
            .map(|(_, topic)| topic)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions there are in all.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// A topic whose name would have the same name in metrics as `name`: dots and underscores are one there.
    pub fn topic_colliding_with(&self, name: &str) -> Option<&Arc<str>> {
        self.metric_names.get(metric_name(name)?.as_str()).filter(|known| ***known != *name)
    }

    /// The broker of this id.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, by id in ascending order.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// What was set at run time for a resource; empty if nothing was.
    pub fn config(&self, resource: &ConfigResource) -> &ConfigMap {
        const EMPTY: &ConfigMap = &ConfigMap::new();
        self.configs.get(resource).map_or(EMPTY, |config| config)
    }

    /// The settings of one topic.
    pub fn topic_settings(&self, name: &str) -> &ConfigMap {
        self.config(&ConfigResource::Topic(name.into()))
    }

    /// The settings of one group.
    pub fn group_settings(&self, group: &Arc<str>) -> &ConfigMap {
        self.config(&ConfigResource::Group(Arc::clone(group)))
    }

    /// The subscriptions to metrics of clients, by name.
    pub fn client_metrics(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<ConfigMap>)> {
        // No kind of resource stands behind them.
        let all = ConfigResource::ClientMetrics("".into())..;
        self.configs.range(all).filter_map(|(resource, settings)| match resource {
            ConfigResource::ClientMetrics(name) => Some((name, settings)),
            _ => None,
        })
    }

    /// The resources that have settings.
    pub fn configured_resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// The layers of a broker's configuration.
    pub fn layers<'a>(&'a self, broker: BrokerId, fixed: &'a StaticConfig) -> ConfigLayers<'a> {
        let all_brokers = self.config(&ConfigResource::AllBrokers);
        ConfigLayers { broker: self.config(&ConfigResource::Broker(broker)), all_brokers, fixed }
    }

    /// A topic's configuration in force on a broker.
    pub fn topic_config(&self, name: &str, broker: BrokerId, fixed: &StaticConfig) -> TopicConfig {
        TopicConfig::new(self.topic_settings(name), &self.layers(broker, fixed))
    }

    /// The level at which a feature is finalized, 0 if it is not.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// All finalized features with their levels, by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    /// The first producer id of the next block.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }
}

impl TopicImage {
    /// The partition of this number.
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.get()).ok()?)
    }

    /// Whether it belongs to the brokers: clients are told, and may not write to it.
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

/// Whether a topic of this name belongs to the brokers.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state" | "__cluster_metadata")
}

impl BrokerImage {
    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&BrokerListener> {
        self.listeners.iter().find(|listener| *listener.name == *name)
    }
}

/// The name with every dot replaced, `None` if it has neither dots nor underscores and cannot collide.
fn metric_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests;
