//! Which brokers hold a new partition, and partitions added to a topic.

use std::collections::BTreeSet;

use ringlog_net::messages::metadata_log::MetadataRecord;
use ringlog_storage::types::{BrokerId, LeaderEpoch, PartitionIndex, Uuid};

use super::topics::{Assignment, PARTITIONS_MAX, PARTITIONS_PER_REQUEST_MAX, named_twice};
use super::{Decision, Intent, Metadata, TopicError};
use crate::config::are_all_cordoned;
use crate::image::{PartitionImage, TopicImage};
use crate::quota::MutationQuota;

/// More partitions for a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// How many partitions it is to have in all.
    pub count: i32,
    /// The replicas of each new partition, if the client chooses them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The replicas of consecutive new partitions; each has the same number of them, and some.
pub(super) struct ReplicaPlan(Vec<Vec<BrokerId>>);

impl ReplicaPlan {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many replicas each partition has.
    pub(super) fn factor(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }
}

impl Metadata {
    /// Adds partitions to topics, each on its own. Answers in the order of the request.
    pub fn create_partitions(
        &self,
        topics: &[NewPartitions],
        intent: Intent,
        quota: &mut MutationQuota<'_>,
    ) -> Decision<Vec<Result<(), TopicError>>> {
        let twice = named_twice(topics.iter().map(|new| new.topic.as_str()));
        let mut records = Vec::new();
        let mut added = 0;
        let mut reply = Vec::with_capacity(topics.len());
        for new in topics {
            let plan = if twice.contains(new.topic.as_str()) {
                Err(TopicError::NamedTwice(new.topic.clone()))
            } else {
                self.plan_of_new_partitions(new, added)
            };
            reply.push(plan.and_then(|(topic, plan)| {
                quota.take(plan.len()).map_err(TopicError::QuotaExceeded)?;
                added += plan.len();
                records.extend(self.partition_records(topic.id, topic.partitions.len(), &plan));
                Ok(())
            }));
        }
        if added > PARTITIONS_PER_REQUEST_MAX {
            let refused = || Err(TopicError::TooManyInRequest(added));
            return Decision::reply(topics.iter().map(|_| refused()).collect());
        }
        if intent == Intent::ValidateOnly {
            records.clear();
        }
        Decision { records, reply }
    }

    fn plan_of_new_partitions(
        &self,
        new: &NewPartitions,
        added: usize,
    ) -> Result<(&TopicImage, ReplicaPlan), TopicError> {
        let topic = self.image.topic(&new.topic).ok_or_else(|| TopicError::UnknownName(new.topic.clone()))?;
        if topic.is_internal() {
            return Err(TopicError::FixedPartitions(new.topic.clone()));
        }
        let has = topic.partitions.len();
        let wanted = usize::try_from(new.count).ok().filter(|wanted| *wanted > has);
        let more = wanted.ok_or(TopicError::NotMore { has, wanted: new.count })? - has;
        if more > PARTITIONS_PER_REQUEST_MAX {
            return Err(TopicError::TooManyInRequest(more));
        }
        if self.image.partition_count() + added + more > PARTITIONS_MAX {
            return Err(TopicError::TooManyInCluster);
        }
        let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let plan = match &new.assignments {
            None => self.plan_spread(has, more, i16::try_from(factor).unwrap_or(i16::MAX))?,
            Some(chosen) => self.plan_of_choices(has, more, factor, chosen)?,
        };
        Ok((topic, plan))
    }

    fn plan_of_choices(
        &self,
        first: usize,
        more: usize,
        factor: usize,
        chosen: &[Vec<BrokerId>],
    ) -> Result<ReplicaPlan, TopicError> {
        if chosen.len() != more {
            let reason = format!("{more} partitions would be new, and replicas are chosen for {}", chosen.len());
            return Err(TopicError::InvalidAssignment { partition: number(first), reason });
        }
        for (at, replicas) in chosen.iter().enumerate() {
            self.check_replicas(number(first + at), replicas, factor)?;
        }
        Ok(ReplicaPlan(chosen.to_vec()))
    }

    /// The plan of a new topic whose replicas the client chose: partitions 0 and up, each once.
    pub(super) fn plan_of_assignments(&self, assignments: &[Assignment]) -> Result<ReplicaPlan, TopicError> {
        let mut sorted: Vec<&Assignment> = assignments.iter().collect();
        sorted.sort_by_key(|assignment| assignment.partition);
        let factor = sorted.first().map_or(0, |first| first.replicas.len());
        let mut plan = Vec::with_capacity(sorted.len());
        for (at, assignment) in sorted.into_iter().enumerate() {
            let partition = assignment.partition;
            if partition != PartitionIndex::new(number(at)) {
                let reason = "partitions must be numbered from 0, each once".to_owned();
                return Err(TopicError::InvalidAssignment { partition: partition.get(), reason });
            }
            self.check_replicas(partition.get(), &assignment.replicas, factor)?;
            plan.push(assignment.replicas.clone());
        }
        Ok(ReplicaPlan(plan))
    }

    fn check_replicas(&self, partition: i32, replicas: &[BrokerId], factor: usize) -> Result<(), TopicError> {
        let refuse = |reason: String| Err(TopicError::InvalidAssignment { partition, reason });
        if replicas.is_empty() {
            return refuse("there must be a replica".to_owned());
        }
        if replicas.len() != factor {
            return refuse(format!("{} replicas where the others have {factor}", replicas.len()));
        }
        let mut seen = BTreeSet::new();
        for replica in replicas {
            if !seen.insert(replica) {
                return refuse(format!("broker {replica} is named twice"));
            }
            if self.image.broker(*replica).is_none() {
                return refuse(format!("there is no broker {replica}"));
            }
        }
        if self.usable_brokers().all(|broker| !replicas.contains(&broker)) {
            return refuse("none of the brokers is there at the moment".to_owned());
        }
        if let Some(cordoned) = replicas.iter().find(|replica| self.is_cordoned(**replica)) {
            return refuse(format!("all directories of broker {cordoned} are cordoned (cordoned.log.dirs)"));
        }
        Ok(())
    }

    /// Spreads partitions over the brokers that are there: leaders go round, followers are the brokers after them.
    pub(super) fn plan_spread(&self, first: usize, count: usize, factor: i16) -> Result<ReplicaPlan, TopicError> {
        let brokers: Vec<BrokerId> = self.usable_brokers().filter(|broker| !self.is_cordoned(*broker)).collect();
        let replicas = usize::try_from(factor).ok().filter(|replicas| *replicas > 0);
        let replicas = replicas.ok_or(TopicError::InvalidReplicationFactor(factor))?;
        if brokers.is_empty() {
            return Err(TopicError::AllCordoned);
        }
        if replicas > brokers.len() {
            return Err(TopicError::TooFewBrokers { wanted: factor, brokers: brokers.len() });
        }
        let around = |partition: usize| (0..replicas).map(|at| brokers[(partition + at) % brokers.len()]).collect();
        Ok(ReplicaPlan((first..first + count).map(around).collect()))
    }

    /// Whether the broker takes no new partitions (KIP-1066). This one's settings are those that are known.
    fn is_cordoned(&self, broker: BrokerId) -> bool {
        broker == self.image.controller() && are_all_cordoned(&self.layers())
    }

    fn usable_brokers(&self) -> impl Iterator<Item = BrokerId> {
        self.image.brokers().filter(|broker| !broker.is_fenced && !broker.is_stopping).map(|broker| broker.id)
    }

    /// The records that make the partitions of a plan, from partition `first` on.
    pub(super) fn partition_records(&self, topic: Uuid, first: usize, plan: &ReplicaPlan) -> Vec<MetadataRecord> {
        let usable: BTreeSet<BrokerId> = self.usable_brokers().collect();
        let record = |(at, replicas): (usize, &Vec<BrokerId>)| {
            let isr: Vec<BrokerId> = replicas.iter().copied().filter(|replica| usable.contains(replica)).collect();
            let partition = PartitionImage {
                leader: isr.first().copied().unwrap_or(BrokerId::NONE),
                leader_epoch: LeaderEpoch::FIRST,
                partition_epoch: 0,
                directories: replicas.iter().map(|replica| self.directory(*replica)).collect(),
                replicas: replicas.clone(),
                isr,
                eligible_leader_replicas: Vec::new(),
                last_known_elr: Vec::new(),
                adding_replicas: Vec::new(),
                removing_replicas: Vec::new(),
                is_recovering: false,
            };
            partition.record(topic, number(first + at))
        };
        plan.0.iter().enumerate().map(record).collect()
    }

    /// Where a broker keeps a new partition: its one directory, or what it chooses itself if it has several.
    fn directory(&self, broker: BrokerId) -> Uuid {
        match self.image.broker(broker).map(|broker| broker.directories.as_slice()) {
            Some([directory]) => *directory,
            _ => Uuid::ZERO,
        }
    }
}

fn number(partition: usize) -> i32 {
    i32::try_from(partition).expect("a cluster has a limit of partitions")
}
