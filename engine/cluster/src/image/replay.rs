//! How each record of the metadata log changes the image.

use std::sync::Arc;

use ringlog_net::messages::metadata_log::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, MetadataRecord, PartitionChangeRecord,
    PartitionRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};
use ringlog_storage::types::{BrokerId, LeaderEpoch, Offset, ProducerId, Uuid};
use thiserror::Error;

use super::{
    BrokerImage, BrokerListener, ConfigResource, Image, PartitionImage, SupportedFeature, TopicImage, When, metric_name,
};
use crate::config::{Endpoint, SecurityProtocol};

/// Numbers of resources in `ConfigRecord`, those of `ConfigResource.Type` in Kafka.
pub(super) const TOPIC_RESOURCE: i8 = 2;
pub(super) const BROKER_RESOURCE: i8 = 4;
pub(super) const CLIENT_METRICS_RESOURCE: i8 = 16;
pub(super) const GROUP_RESOURCE: i8 = 32;

/// The most listeners of one registration.
const LISTENERS_MAX: usize = 256;

/// Why a record of the metadata log cannot be applied: the log is damaged, or a newer release has written it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReplayError {
    /// A kind of record that this release does not write.
    #[error("metadata records of kind {0} are not supported by this release")]
    Unsupported(i16),
    /// A topic that was never made, or is gone.
    #[error("there is no topic with the id {0}")]
    UnknownTopic(Uuid),
    /// A topic that is made twice.
    #[error("topic {0} is made twice")]
    TopicTwice(String),
    /// A partition that is changed before it is made, or made before the one before it.
    #[error("partition {partition} of topic {topic} does not follow the ones before it")]
    PartitionOutOfOrder {
        /// The topic's name.
        topic: String,
        /// The partition's number.
        partition: i32,
    },
    /// A broker that is not registered.
    #[error("broker {0} is not registered")]
    UnknownBroker(BrokerId),
    /// A registration that cannot be understood.
    #[error("the registration of broker {0} cannot be understood")]
    BadRegistration(BrokerId),
    /// A resource that cannot be understood.
    #[error("configuration of resource {kind} named {name:?} is not supported by this release")]
    BadResource {
        /// The number of its kind.
        kind: i8,
        /// Its name.
        name: String,
    },
    /// A quota of something that is no client.
    #[error("quotas of kind {0:?} are not supported by this release")]
    BadQuota(String),
    /// A quota that nobody can have been given.
    #[error("the quota {0} is not a finite number")]
    QuotaNotFinite(String),
    /// A credential of a mechanism that is not known.
    #[error("the SCRAM mechanism {0} is not supported by this release")]
    BadScramMechanism(i8),
}

impl Image {
    /// Applies the record at `offset`. After an error the image is what it was before.
    pub fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::NoOp(_) => {}
            MetadataRecord::FeatureLevel(record) => self.replay_feature(&record.name, record.feature_level),
            MetadataRecord::RegisterBroker(record) => self.replay_registration(record)?,
            MetadataRecord::UnregisterBroker(record) => {
                self.brokers.remove(&BrokerId::new(record.broker_id));
            }
            MetadataRecord::FenceBroker(record) => {
                self.broker_mut(record.id)?.is_fenced = true;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.broker_mut(record.id)?.is_fenced = false;
            }
            MetadataRecord::BrokerRegistrationChange(record) => self.replay_registration_change(record)?,
            MetadataRecord::Topic(record) => self.replay_topic(record)?,
            MetadataRecord::RemoveTopic(record) => self.replay_removal(record)?,
            MetadataRecord::Partition(record) => self.replay_partition(record)?,
            MetadataRecord::PartitionChange(record) => self.replay_partition_change(record)?,
            MetadataRecord::ClearElr(record) => self.replay_clear_elr(record),
            MetadataRecord::Config(record) => self.replay_config(record)?,
            MetadataRecord::ClientQuota(record) => self.replay_quota(record)?,
            MetadataRecord::UserScramCredential(record) => self.replay_scram(record)?,
            MetadataRecord::RemoveUserScramCredential(record) => self.replay_scram_removal(record)?,
            MetadataRecord::ProducerIds(record) => self.next_producer_id = ProducerId::new(record.next_producer_id),
            other => return Err(ReplayError::Unsupported(other.key())),
        }
        if matches!(record, MetadataRecord::Topic(_) | MetadataRecord::RemoveTopic(_) | MetadataRecord::Partition(_)) {
            self.topics_offset = When(offset);
        }
        self.offset = offset;
        Ok(())
    }

    fn replay_feature(&mut self, name: &str, level: i16) {
        if level == 0 {
            self.features.remove(name);
        } else {
            self.features.insert(name.into(), level);
        }
    }

    fn replay_registration(&mut self, record: &RegisterBrokerRecord) -> Result<(), ReplayError> {
        let id = BrokerId::new(record.broker_id);
        let mut listeners = Vec::new();
        for end_point in record.end_points.iter().take(LISTENERS_MAX) {
            let protocol = SecurityProtocol::from_wire_code(end_point.security_protocol);
            listeners.push(BrokerListener {
                name: end_point.name.as_str().into(),
                endpoint: Endpoint { host: end_point.host.clone(), port: end_point.port },
                protocol: protocol.ok_or(ReplayError::BadRegistration(id))?,
            });
        }
        let features = record.features.iter().map(|feature| SupportedFeature {
            name: feature.name.as_str().into(),
            level_min: feature.min_supported_version,
            level_max: feature.max_supported_version,
        });
        let broker = BrokerImage {
            id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            listeners,
            features: features.collect(),
            rack: record.rack.as_deref().map(Arc::from),
            is_fenced: record.fenced,
            is_stopping: record.in_controlled_shutdown,
            directories: record.log_dirs.clone(),
            cordoned_directories: record.cordoned_log_dirs.clone(),
        };
        self.brokers.insert(id, Arc::new(broker));
        Ok(())
    }

    fn replay_registration_change(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<(), ReplayError> {
        let broker = self.broker_mut(record.broker_id)?;
        match record.fenced {
            -1 => broker.is_fenced = false,
            1 => broker.is_fenced = true,
            _ => {}
        }
        broker.is_stopping |= record.in_controlled_shutdown == 1;
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
        }
        if record.cordoned_log_dirs.is_some() {
            broker.cordoned_directories.clone_from(&record.cordoned_log_dirs);
        }
        Ok(())
    }

    fn broker_mut(&mut self, id: i32) -> Result<&mut BrokerImage, ReplayError> {
        let id = BrokerId::new(id);
        self.brokers.get_mut(&id).map(Arc::make_mut).ok_or(ReplayError::UnknownBroker(id))
    }

    fn replay_topic(&mut self, record: &TopicRecord) -> Result<(), ReplayError> {
        let name: Arc<str> = record.name.as_str().into();
        if self.topics.contains_key(&name) || self.names.contains_key(&record.topic_id) {
            return Err(ReplayError::TopicTwice(record.name.clone()));
        }
        let topic = TopicImage { name: Arc::clone(&name), id: record.topic_id, partitions: Vec::new() };
        self.topics.insert(Arc::clone(&name), Arc::new(topic));
        if let Some(metric_name) = metric_name(&name) {
            self.metric_names.insert(metric_name.into(), Arc::clone(&name));
        }
        self.names.insert(record.topic_id, name);
        Ok(())
    }

    fn replay_removal(&mut self, record: &RemoveTopicRecord) -> Result<(), ReplayError> {
        let name = self.names.remove(&record.topic_id).ok_or(ReplayError::UnknownTopic(record.topic_id))?;
        let topic = self.topics.remove(&name).expect("every id belongs to a topic");
        self.partition_count -= topic.partitions.len();
        if let Some(metric_name) = metric_name(&name) {
            self.metric_names.remove(metric_name.as_str());
        }
        self.configs.remove(&ConfigResource::Topic(name));
        Ok(())
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut TopicImage, ReplayError> {
        let name = self.names.get(&id).ok_or(ReplayError::UnknownTopic(id))?;
        Ok(Arc::make_mut(self.topics.get_mut(name).expect("every id belongs to a topic")))
    }

    fn replay_partition(&mut self, record: &PartitionRecord) -> Result<(), ReplayError> {
        let topic = self.topic_mut(record.topic_id)?;
        let at = usize::try_from(record.partition_id).ok().filter(|at| *at <= topic.partitions.len());
        let at = at.ok_or_else(|| out_of_order(topic, record.partition_id))?;
        let partition = PartitionImage {
            leader: BrokerId::new(record.leader),
            leader_epoch: LeaderEpoch::new(record.leader_epoch),
            partition_epoch: record.partition_epoch,
            replicas: brokers(&record.replicas),
            isr: brokers(&record.isr),
            eligible_leader_replicas: brokers(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: brokers(record.last_known_elr.as_deref().unwrap_or_default()),
            adding_replicas: brokers(&record.adding_replicas),
            removing_replicas: brokers(&record.removing_replicas),
            directories: record.directories.clone(),
            is_recovering: record.leader_recovery_state == 1,
        };
        if at < topic.partitions.len() {
            topic.partitions[at] = partition;
        } else {
            topic.partitions.push(partition);
            self.partition_count += 1;
        }
        Ok(())
    }

    fn replay_partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), ReplayError> {
        let topic = self.topic_mut(record.topic_id)?;
        let at = usize::try_from(record.partition_id).ok().filter(|at| *at < topic.partitions.len());
        let at = at.ok_or_else(|| out_of_order(topic, record.partition_id))?;
        let partition = &mut topic.partitions[at];
        let set = |target: &mut Vec<BrokerId>, given: &Option<Vec<i32>>| {
            if let Some(ids) = given {
                *target = brokers(ids);
            }
        };
        set(&mut partition.isr, &record.isr);
        set(&mut partition.replicas, &record.replicas);
        set(&mut partition.removing_replicas, &record.removing_replicas);
        set(&mut partition.adding_replicas, &record.adding_replicas);
        set(&mut partition.eligible_leader_replicas, &record.eligible_leader_replicas);
        set(&mut partition.last_known_elr, &record.last_known_elr);
        if let Some(directories) = &record.directories {
            partition.directories.clone_from(directories);
        }
        match record.leader_recovery_state {
            0 => partition.is_recovering = false,
            1 => partition.is_recovering = true,
            _ => {}
        }
        if record.leader != NO_LEADER_CHANGE {
            partition.leader = BrokerId::new(record.leader);
            partition.leader_epoch = LeaderEpoch::new(partition.leader_epoch.get().saturating_add(1));
        }
        partition.partition_epoch = partition.partition_epoch.saturating_add(1);
        Ok(())
    }

    fn replay_clear_elr(&mut self, record: &ClearElrRecord) {
        let names: Vec<Arc<str>> = match record.topic_name.as_str() {
            "" => self.topics.keys().cloned().collect(),
            name => vec![name.into()],
        };
        for name in names {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            for partition in &mut Arc::make_mut(topic).partitions {
                partition.eligible_leader_replicas.clear();
                partition.last_known_elr.clear();
            }
        }
    }

    fn replay_config(&mut self, record: &ConfigRecord) -> Result<(), ReplayError> {
        let resource = resource(record.resource_type, &record.resource_name)?;
        let mut config = self.configs.get(&resource).map(|config| (**config).clone()).unwrap_or_default();
        match &record.value {
            Some(value) => config.insert(record.name.clone(), value.clone()),
            None => config.remove(&record.name),
        };
        if config.is_empty() {
            self.configs.remove(&resource);
        } else {
            self.configs.insert(resource, Arc::new(config));
        }
        Ok(())
    }
}

/// `PartitionChangeRecord.Leader` of a change that is not about the leader.
const NO_LEADER_CHANGE: i32 = -2;

fn resource(kind: i8, name: &str) -> Result<ConfigResource, ReplayError> {
    match (kind, name) {
        (TOPIC_RESOURCE, name) => Some(ConfigResource::Topic(name.into())),
        (GROUP_RESOURCE, name) => Some(ConfigResource::Group(name.into())),
        (CLIENT_METRICS_RESOURCE, name) => Some(ConfigResource::ClientMetrics(name.into())),
        (BROKER_RESOURCE, "") => Some(ConfigResource::AllBrokers),
        (BROKER_RESOURCE, name) => name.parse().ok().map(|id| ConfigResource::Broker(BrokerId::new(id))),
        _ => None,
    }
    .ok_or_else(|| ReplayError::BadResource { kind, name: name.to_owned() })
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId::new).collect()
}

fn out_of_order(topic: &TopicImage, partition: i32) -> ReplayError {
    ReplayError::PartitionOutOfOrder { topic: topic.name.to_string(), partition }
}
