//! Topics: made, by request or because a client named them, and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata_log::{MetadataRecord, RemoveTopicRecord, TopicRecord};
use ringlog_storage::types::{BrokerId, PartitionIndex, Uuid};
use thiserror::Error;

use super::partitions::ReplicaPlan;
use super::{Decision, Intent, InvalidTopicName, Metadata, check_topic_name};
use crate::config::{AlterError, ConfigMap, ConfigTarget, DescribedConfig, check_new_topic, describe_topic};
use crate::image::{ConfigResource, config_record};
use crate::quota::MutationQuota;

/// The most partitions that one request may make; so many are written in one batch.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// The most partitions of a cluster.
pub const PARTITIONS_MAX: usize = 1_000_000;

/// A topic to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default, or where `assignments` say it.
    pub partition_count: i32,
    /// How many replicas; -1 for the default, or where `assignments` say it.
    pub replication_factor: i16,
    /// The replicas of each partition, if the client chooses them.
    pub assignments: Vec<Assignment>,
    /// Settings; one without a value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic made for a client that only named it.
    pub fn with_defaults(name: impl Into<String>) -> Self {
        let (assignments, configs) = (Vec::new(), Vec::new());
        Self { name: name.into(), partition_count: -1, replication_factor: -1, assignments, configs }
    }
}

/// The replicas of one partition, as the client chose them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The partition.
    pub partition: PartitionIndex,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
}

/// A topic that was made, or would have been.
#[derive(Clone, PartialEq, Debug)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partition_count: i32,
    /// How many replicas each of them has.
    pub replication_factor: i16,
    /// All its configuration.
    pub configs: Vec<DescribedConfig>,
}

/// What a request calls a topic by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TopicRef {
    /// Its name.
    Name(String),
    /// Its id.
    Id(Uuid),
    /// Both, which may be two topics.
    Both(String, Uuid),
}

/// Why a topic is not made, changed or deleted.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum TopicError {
    /// The name is not one of a topic.
    #[error(transparent)]
    InvalidName(#[from] InvalidTopicName),
    /// The metadata log is no ordinary topic.
    #[error("the topic {0} is made by the cluster alone")]
    Reserved(String),
    /// Another topic has the same name in metrics.
    #[error("topic {name} collides with {other}: a dot and an underscore are the same in metrics")]
    Collision {
        /// The name asked for.
        name: String,
        /// The topic that is there.
        other: String,
    },
    /// There is a topic of this name.
    #[error("topic {0} already exists")]
    AlreadyExists(String),
    /// The request names one topic twice.
    #[error("the request names {0} twice")]
    NamedTwice(String),
    /// A name and an id, where either would do.
    #[error("topic {0} is named together with an id; name one of the two")]
    NameAndId(String),
    /// There is no topic of this name.
    #[error("there is no topic {0}")]
    UnknownName(String),
    /// There is no topic of this id.
    #[error("there is no topic with the id {0}")]
    UnknownId(Uuid),
    /// `delete.topic.enable` is false.
    #[error("deleting topics is switched off by delete.topic.enable")]
    DeletionDisabled,
    /// A count of partitions that is none.
    #[error("{0} is not a number of partitions")]
    InvalidPartitionCount(i32),
    /// Partitions are only ever added.
    #[error("the topic has {has} partitions, and {wanted} would not be more")]
    NotMore {
        /// How many there are.
        has: usize,
        /// How many were asked for.
        wanted: i32,
    },
    /// Which partition a group's offsets are in follows from how many there are.
    #[error("topic {0} keeps the partitions that it was made with: they decide where the offsets of a group are")]
    FixedPartitions(String),
    /// A count of replicas that is none.
    #[error("{0} is not a number of replicas")]
    InvalidReplicationFactor(i16),
    /// More replicas than brokers.
    #[error("{wanted} replicas are more than the {brokers} brokers that could hold them")]
    TooFewBrokers {
        /// How many were asked for.
        wanted: i16,
        /// How many brokers there are.
        brokers: usize,
    },
    /// No broker takes new partitions.
    #[error("all directories of all brokers that are there are cordoned (cordoned.log.dirs)")]
    AllCordoned,
    /// Counts next to chosen replicas.
    #[error("where replicas are chosen, the counts of partitions and replicas must be -1")]
    CountsAndAssignments,
    /// Chosen replicas that cannot be.
    #[error("partition {partition}: {reason}")]
    InvalidAssignment {
        /// The partition.
        partition: i32,
        /// What is wrong.
        reason: String,
    },
    /// Settings that are refused.
    #[error(transparent)]
    Config(#[from] AlterError),
    /// The client's quota is used up.
    #[error("the client has made and deleted more partitions than its quota allows; try again in {} ms", .0.as_millis())]
    QuotaExceeded(Duration),
    /// More partitions than one request may make.
    #[error("{0} partitions are more than the {PARTITIONS_PER_REQUEST_MAX} of one request")]
    TooManyInRequest(usize),
    /// More partitions than a cluster may have.
    #[error("the cluster would have more than {PARTITIONS_MAX} partitions")]
    TooManyInCluster,
}

impl TopicError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidName(_) | Self::Collision { .. } | Self::FixedPartitions(_) => {
                ErrorCode::InvalidTopicException
            }
            Self::AlreadyExists(_) => ErrorCode::TopicAlreadyExists,
            Self::Reserved(_) | Self::NamedTwice(_) | Self::NameAndId(_) | Self::CountsAndAssignments => {
                ErrorCode::InvalidRequest
            }
            Self::UnknownName(_) => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownId(_) => ErrorCode::UnknownTopicId,
            Self::DeletionDisabled => ErrorCode::TopicDeletionDisabled,
            Self::InvalidPartitionCount(_) | Self::NotMore { .. } => ErrorCode::InvalidPartitions,
            Self::InvalidReplicationFactor(_) | Self::TooFewBrokers { .. } | Self::AllCordoned => {
                ErrorCode::InvalidReplicationFactor
            }
            Self::InvalidAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::Config(error) => error.code(ConfigTarget::Topic),
            Self::QuotaExceeded(_) => ErrorCode::ThrottlingQuotaExceeded,
            Self::TooManyInRequest(_) | Self::TooManyInCluster => ErrorCode::PolicyViolation,
        }
    }
}

/// A topic that passed every check.
struct Checked {
    id: Uuid,
    replicas: ReplicaPlan,
    settings: ConfigMap,
}

impl Metadata {
    /// Makes topics, each on its own: one that is refused does not stop the others. Answers in the order of the request.
    /// `random` gives the bits of ids.
    pub fn create_topics(
        &self,
        topics: &[NewTopic],
        intent: Intent,
        random: &mut dyn FnMut() -> u128,
        quota: &mut MutationQuota<'_>,
    ) -> Decision<Vec<Result<CreatedTopic, TopicError>>> {
        let twice = named_twice(topics.iter().map(|topic| topic.name.as_str()));
        let mut batch = Batch::default();
        let mut reply = Vec::with_capacity(topics.len());
        for topic in topics {
            let checked = if twice.contains(topic.name.as_str()) {
                Err(TopicError::NamedTwice(topic.name.clone()))
            } else {
                self.check_new_topic(topic, &batch, random)
            };
            let checked = checked.and_then(|checked| {
                quota.take(checked.replicas.len()).map_err(TopicError::QuotaExceeded)?;
                Ok(checked)
            });
            reply.push(checked.map(|checked| self.create_topic(topic, &checked, &mut batch)));
        }
        if batch.partition_count > PARTITIONS_PER_REQUEST_MAX {
            let refused = || Err(TopicError::TooManyInRequest(batch.partition_count));
            return Decision::reply(topics.iter().map(|_| refused()).collect());
        }
        let records = if intent == Intent::Apply { batch.records } else { Vec::new() };
        Decision { records, reply }
    }

    fn check_new_topic(
        &self,
        topic: &NewTopic,
        batch: &Batch,
        random: &mut dyn FnMut() -> u128,
    ) -> Result<Checked, TopicError> {
        check_topic_name(&topic.name)?;
        if topic.name == "__cluster_metadata" {
            return Err(TopicError::Reserved(topic.name.clone()));
        }
        if self.image.topic(&topic.name).is_some() {
            return Err(TopicError::AlreadyExists(topic.name.clone()));
        }
        self.check_collision(&topic.name, batch)?;
        let settings = check_new_topic(&topic.configs, &self.layers())?;
        let replicas = self.plan_of_new_topic(topic)?;
        if self.image.partition_count() + batch.partition_count + replicas.len() > PARTITIONS_MAX {
            return Err(TopicError::TooManyInCluster);
        }
        Ok(Checked { id: self.new_topic_id(random), replicas, settings })
    }

    fn check_collision(&self, name: &str, batch: &Batch) -> Result<(), TopicError> {
        let in_image = self.image.topic_colliding_with(name).map(ToString::to_string);
        let in_batch = batch.metric_names.get(&name.replace('.', "_")).filter(|other| *other != name).cloned();
        match in_image.or(in_batch) {
            Some(other) => Err(TopicError::Collision { name: name.to_owned(), other }),
            None => Ok(()),
        }
    }

    fn plan_of_new_topic(&self, topic: &NewTopic) -> Result<ReplicaPlan, TopicError> {
        if !topic.assignments.is_empty() {
            if topic.partition_count != -1 || topic.replication_factor != -1 {
                return Err(TopicError::CountsAndAssignments);
            }
            return self.plan_of_assignments(&topic.assignments);
        }
        let integer = |key| self.layers().integer(key);
        let partition_count = match topic.partition_count {
            -1 => i32::try_from(integer("num.partitions")).expect("the key is a whole number of 32 bits"),
            count => count,
        };
        let count = usize::try_from(partition_count).ok().filter(|count| *count > 0);
        let count = count.ok_or(TopicError::InvalidPartitionCount(partition_count))?;
        let factor = match topic.replication_factor {
            // A default beyond 16 bits is beyond any number of brokers too.
            -1 => i16::try_from(integer("default.replication.factor")).unwrap_or(i16::MAX),
            factor => factor,
        };
        if count > PARTITIONS_PER_REQUEST_MAX {
            return Err(TopicError::TooManyInRequest(count));
        }
        self.plan_spread(0, count, factor)
    }

    /// Ids are random; a reserved or taken one is thrown again.
    fn new_topic_id(&self, random: &mut dyn FnMut() -> u128) -> Uuid {
        /// With 128 random bits, two throws in a row that do not do are already a broken source.
        const THROWS_MAX: usize = 100;
        (0..THROWS_MAX)
            .filter_map(|_| Uuid::from_random(random()))
            .find(|id| self.image.topic_by_id(*id).is_none())
            .expect("a source of random bits does not give the same ones for ever")
    }

    fn create_topic(&self, topic: &NewTopic, checked: &Checked, batch: &mut Batch) -> CreatedTopic {
        let Checked { id, replicas, settings } = checked;
        let resource = ConfigResource::Topic(topic.name.as_str().into());
        batch.metric_names.insert(topic.name.replace('.', "_"), topic.name.clone());
        batch.partition_count += replicas.len();
        batch.records.push(MetadataRecord::Topic(TopicRecord { name: topic.name.clone(), topic_id: *id }));
        batch.records.extend(settings.iter().map(|(key, value)| config_record(&resource, key, Some(value))));
        batch.records.extend(self.partition_records(*id, 0, replicas));
        CreatedTopic {
            id: *id,
            partition_count: i32::try_from(replicas.len()).expect("a request has a limit of partitions"),
            replication_factor: i16::try_from(replicas.factor()).expect("a broker replicates a partition once"),
            configs: describe_topic(settings, &self.layers()),
        }
    }

    /// Deletes topics, each on its own; one that is named twice stays. Answers names and ids in the order of the request.
    pub fn delete_topics(
        &self,
        topics: &[TopicRef],
        quota: &mut MutationQuota<'_>,
    ) -> Decision<Vec<Result<(String, Uuid), TopicError>>> {
        let is_enabled = self.layers().boolean("delete.topic.enable");
        let find = |topic: &TopicRef| match topic {
            _ if !is_enabled => Err(TopicError::DeletionDisabled),
            TopicRef::Name(name) => self.image.topic(name).ok_or_else(|| TopicError::UnknownName(name.clone())),
            TopicRef::Id(id) => self.image.topic_by_id(*id).ok_or(TopicError::UnknownId(*id)),
            TopicRef::Both(name, _) => Err(TopicError::NameAndId(name.clone())),
        };
        let mut seen = BTreeSet::new();
        let ids = topics.iter().filter_map(|topic| Some(find(topic).ok()?.id));
        let twice: BTreeSet<Uuid> = ids.filter(|id| !seen.insert(*id)).collect();
        let mut records = Vec::new();
        let mut reply = Vec::with_capacity(topics.len());
        for topic in topics {
            reply.push(find(topic).and_then(|found| {
                if twice.contains(&found.id) {
                    return Err(TopicError::NamedTwice(found.name.to_string()));
                }
                quota.take(found.partitions.len()).map_err(TopicError::QuotaExceeded)?;
                records.push(MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: found.id }));
                Ok((found.name.to_string(), found.id))
            }));
        }
        Decision { records, reply }
    }
}

/// What one request makes.
#[derive(Default)]
struct Batch {
    records: Vec<MetadataRecord>,
    partition_count: usize,
    /// Names by what they are in metrics.
    metric_names: BTreeMap<String, String>,
}

/// The names that stand in a request more than once.
pub(super) fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}
