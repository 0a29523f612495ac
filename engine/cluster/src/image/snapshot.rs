//! The records that make an image from nothing, and records made of domain values.

use ringlog_net::messages::metadata_log::{
    BrokerEndpoint, BrokerFeature, ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, TopicRecord,
};
use ringlog_storage::types::{BrokerId, ProducerId, Uuid};

use super::replay::{BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, TOPIC_RESOURCE};
use super::{BrokerImage, ConfigResource, Image, PartitionImage, quota_record, scram_record};
use crate::metadata::METADATA_VERSION;

impl Image {
    /// A log that leads to this image, in an order in which everything is made before it is referred to. The feature
    /// `metadata.version` comes first, since it says how the rest is to be read.
    pub fn records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        let (first, others): (Vec<_>, Vec<_>) = self.features().partition(|(name, _)| *name == METADATA_VERSION);
        for (name, level) in first.into_iter().chain(others) {
            records.push(feature_record(name, level));
        }
        records.extend(self.brokers().map(|broker| broker.record()));
        for topic in self.topics() {
            let name = topic.name.to_string();
            records.push(MetadataRecord::Topic(TopicRecord { name, topic_id: topic.id }));
            let partitions = (0..).zip(&topic.partitions);
            records.extend(partitions.map(|(index, partition)| partition.record(topic.id, index)));
        }
        for (resource, config) in &self.configs {
            records.extend(config.iter().map(|(key, value)| config_record(resource, key, Some(value))));
        }
        for (entity, values) in self.quotas() {
            records.extend(values.iter().map(|(key, value)| quota_record(entity, key, Some(*value))));
        }
        let credentials = self.scram_credentials();
        records.extend(credentials.map(|(user, mechanism, credential)| scram_record(user, mechanism, credential)));
        if self.next_producer_id != ProducerId::new(0) {
            records.push(producer_ids_record(BrokerId::NONE, -1, self.next_producer_id));
        }
        records
    }
}

impl PartitionImage {
    /// The record that makes this partition.
    pub(crate) fn record(&self, topic_id: Uuid, index: i32) -> MetadataRecord {
        let some = |ids: &[BrokerId]| (!ids.is_empty()).then(|| numbers(ids));
        MetadataRecord::Partition(PartitionRecord {
            partition_id: index,
            topic_id,
            replicas: numbers(&self.replicas),
            isr: numbers(&self.isr),
            removing_replicas: numbers(&self.removing_replicas),
            adding_replicas: numbers(&self.adding_replicas),
            leader: self.leader.get(),
            leader_recovery_state: i8::from(self.is_recovering),
            leader_epoch: self.leader_epoch.get(),
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: some(&self.eligible_leader_replicas),
            last_known_elr: some(&self.last_known_elr),
        })
    }
}

impl BrokerImage {
    /// The record that registers this broker.
    pub(crate) fn record(&self) -> MetadataRecord {
        let end_point = |listener: &super::BrokerListener| BrokerEndpoint {
            name: listener.name.to_string(),
            host: listener.endpoint.host.clone(),
            port: listener.endpoint.port,
            security_protocol: listener.protocol.wire_code(),
        };
        let feature = |feature: &super::SupportedFeature| BrokerFeature {
            name: feature.name.to_string(),
            min_supported_version: feature.level_min,
            max_supported_version: feature.level_max,
        };
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: self.id.get(),
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.listeners.iter().map(end_point).collect(),
            features: self.features.iter().map(feature).collect(),
            rack: self.rack.as_deref().map(str::to_owned),
            fenced: self.is_fenced,
            in_controlled_shutdown: self.is_stopping,
            log_dirs: self.directories.clone(),
            cordoned_log_dirs: self.cordoned_directories.clone(),
        })
    }
}

/// The record that finalizes a feature at a level.
pub(crate) fn feature_record(name: &str, level: i16) -> MetadataRecord {
    MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.to_owned(), feature_level: level })
}

/// The record that sets a key of a resource, or with `None` takes its setting away.
pub(crate) fn config_record(resource: &ConfigResource, key: &str, value: Option<&str>) -> MetadataRecord {
    let (resource_type, resource_name) = match resource {
        ConfigResource::Topic(name) => (TOPIC_RESOURCE, name.to_string()),
        ConfigResource::Broker(id) => (BROKER_RESOURCE, id.to_string()),
        ConfigResource::AllBrokers => (BROKER_RESOURCE, String::new()),
        ConfigResource::Group(name) => (GROUP_RESOURCE, name.to_string()),
        ConfigResource::ClientMetrics(name) => (CLIENT_METRICS_RESOURCE, name.to_string()),
    };
    MetadataRecord::Config(ConfigRecord {
        resource_type,
        resource_name,
        name: key.to_owned(),
        value: value.map(str::to_owned),
    })
}

/// The record that says which producer id comes next.
pub(crate) fn producer_ids_record(broker: BrokerId, broker_epoch: i64, next: ProducerId) -> MetadataRecord {
    MetadataRecord::ProducerIds(ProducerIdsRecord {
        broker_id: broker.get(),
        broker_epoch,
        next_producer_id: next.get(),
    })
}

fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.get()).collect()
}
