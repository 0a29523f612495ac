//! Members of the classic protocol on their way into a consumer group, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_net::messages::consumer_protocol_assignment::TopicPartition;
use ringlog_net::messages::group_log::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue, GroupRecord,
};
use ringlog_storage::types::Uuid;

use super::{
    ConsumerGroup, Current, Member, MemberState, Owned, Partitions, current_record, group_record, member_record,
    target_epoch_record, target_record,
};
use crate::group::embedded;
use crate::group::migration::Migrant;
use crate::group::{GroupId, MemberId, Turn};
use crate::image::Image;

/// The records of a consumer group that classic members have been in until now, each with what it was assigned last; `None`
/// if their subscriptions or assignments cannot be understood. The group is divided anew when they join it.
pub(in crate::group) fn upgraded(
    turn: &Turn<'_>,
    id: &GroupId,
    generation: i32,
    members: &[Migrant],
) -> Option<Vec<GroupRecord>> {
    // Topics are looked at again by whoever joins, so it does not matter what the group knows of them.
    let mut records = vec![group_record(id, generation, 0), target_epoch_record(id, generation, turn.now.wall.get())];
    let mut understood = Vec::with_capacity(members.len());
    let mut taken = BTreeSet::new();
    for migrant in members {
        let (_, subscribed) = migrant.protocols.first()?;
        let subscription = embedded::subscription(subscribed)?;
        let assignment = embedded::assignment(&migrant.assignment)?;
        if assignment.user_data.is_some_and(|data| !data.is_empty()) {
            // An assignor of their own speaks to them in it.
            return None;
        }
        let given = assignment.assigned_partitions.iter().map(|topic| (&*topic.topic, &*topic.partitions));
        let target = untaken(partitions(turn.image, given), &mut taken);
        understood.push((migrant, subscription, target));
    }
    for (migrant, subscription, target) in understood {
        // One that has not asked for its assignment yet still has what it had when it joined.
        let had = subscription.owned_partitions.iter().map(|topic| (&*topic.topic, &*topic.partitions));
        let mut assigned = target.clone();
        for (topic, of) in untaken(partitions(turn.image, had), &mut taken) {
            assigned.entry(topic).or_default().extend(of);
        }
        let metadata = ConsumerGroupMemberMetadataValue {
            instance_id: migrant.instance_id.clone(),
            rack_id: subscription.rack_id,
            client_id: migrant.client_id.clone(),
            client_host: migrant.client_host.clone(),
            subscribed_topic_names: subscription.topics,
            subscribed_topic_regex: None,
            rebalance_timeout_ms: migrant.rebalance_timeout_ms,
            server_assignor: None,
            classic_member_metadata: Some(ClassicMemberMetadata {
                session_timeout_ms: migrant.session_timeout_ms,
                supported_protocols: protocols(migrant.protocols.iter().cloned()),
            }),
        };
        let epochs = |of: &BTreeSet<i32>| of.iter().map(|partition| (*partition, generation)).collect();
        let current = Current {
            epoch: generation,
            previous_epoch: generation,
            state: MemberState::Stable,
            assigned: assigned.iter().map(|(topic, of)| (*topic, epochs(of))).collect(),
            revoking: Owned::new(),
        };
        records.push(member_record(id, &migrant.id, Some(metadata)));
        records.push(target_record(id, &migrant.id, Some(&target)));
        records.push(current_record(id, &migrant.id, Some(&current)));
    }
    Some(records)
}

/// Those that nobody has; they are taken by that.
fn untaken(partitions: Partitions, taken: &mut BTreeSet<(Uuid, i32)>) -> Partitions {
    let mut free =
        |topic, of: BTreeSet<i32>| of.into_iter().filter(|partition| taken.insert((topic, *partition))).collect();
    partitions.into_iter().map(|(topic, of)| (topic, free(topic, of))).collect()
}

/// Partitions by topic, of the topics that there are.
pub(super) fn partitions<'n>(image: &Image, topics: impl Iterator<Item = (&'n str, &'n [i32])>) -> Partitions {
    let known = topics.filter_map(|(name, of)| Some((image.topic(name)?.id, of.iter().copied().collect())));
    known.collect()
}

/// Protocols for the log.
pub(super) fn protocols(protocols: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<ClassicProtocol> {
    protocols.map(|(name, metadata)| ClassicProtocol { name, metadata }).collect()
}

/// What a classic member hears of its partitions, in the version that it speaks.
pub(super) fn assignment(image: &Image, classic: &ClassicMemberMetadata, assigned: &Owned) -> Vec<u8> {
    let subscribed = classic.supported_protocols.first().map(|first| first.metadata.as_slice()).unwrap_or_default();
    let topic = |(id, of): (&Uuid, &BTreeMap<i32, i32>)| {
        let name = image.topic_by_id(*id)?.name.to_string();
        Some(TopicPartition { topic: name, partitions: of.keys().copied().collect() })
    };
    embedded::encode_assignment(subscribed, assigned.iter().filter_map(topic).collect())
}

impl ConsumerGroup {
    /// Those who stay when `gone` have gone, each with what it has; `None` if somebody among them is not of the
    /// classic protocol.
    pub(in crate::group) fn migrants(&self, image: &Image, gone: &BTreeSet<MemberId>) -> Option<Vec<Migrant>> {
        let staying = self.members.iter().filter(|(id, _)| !gone.contains(*id));
        staying.map(|(id, member)| member.migrant(image, id)).collect()
    }
}

impl Member {
    fn migrant(&self, image: &Image, id: &MemberId) -> Option<Migrant> {
        let (metadata, classic) = (&self.metadata, self.classic()?);
        let protocols = classic.supported_protocols.iter();
        Some(Migrant {
            id: Arc::clone(id),
            instance_id: metadata.instance_id.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            protocols: protocols.map(|offered| (offered.name.clone(), offered.metadata.clone())).collect(),
            assignment: assignment(image, classic, &self.current.assigned),
        })
    }
}
