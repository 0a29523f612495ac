//! `ConsumerGroupDescribe`.

use ringlog_net::messages::consumer_group_describe::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use ringlog_storage::types::Uuid;

use super::assignor::preferred;
use super::{ConsumerGroup, Member};
use crate::group::MemberId;
use crate::image::Image;

/// A member of the classic protocol.
const CLASSIC_MEMBER: i8 = 0;
/// A member of the consumer protocol.
const CONSUMER_MEMBER: i8 = 1;

impl ConsumerGroup {
    /// Describes it. Topics that are gone have no names to be described by.
    pub(in crate::group) fn describe(&self, image: &Image, id: &str, default_assignor: &str) -> DescribedGroup {
        let asked = self.members.values().filter_map(|member| member.metadata.server_assignor.as_deref());
        let assignor = preferred(asked, default_assignor);
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: self.state_name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: assignor.to_owned(),
            members: self.members.iter().map(|(id, member)| self.describe_member(image, id, member)).collect(),
            ..DescribedGroup::default()
        }
    }

    fn describe_member(&self, image: &Image, id: &MemberId, member: &Member) -> DescribedMember {
        let metadata = &member.metadata;
        let assigned = member.current.assigned.iter();
        let assigned = assigned.map(|(topic, of)| (*topic, of.keys().copied().collect()));
        let target = self.targets.get(id).into_iter().flatten();
        let target = target.map(|(topic, of)| (*topic, of.iter().copied().collect()));
        DescribedMember {
            member_id: id.to_string(),
            instance_id: metadata.instance_id.clone(),
            rack_id: metadata.rack_id.clone(),
            member_epoch: member.current.epoch,
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            subscribed_topic_names: metadata.subscribed_topic_names.clone(),
            subscribed_topic_regex: Some(metadata.subscribed_topic_regex.clone().unwrap_or_default()),
            assignment: named(image, assigned),
            target_assignment: named(image, target),
            member_type: if member.classic().is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
        }
    }
}

fn named(image: &Image, topics: impl Iterator<Item = (Uuid, Vec<i32>)>) -> Assignment {
    let topic = |(topic_id, partitions)| {
        let name = image.topic_by_id(topic_id)?.name.to_string();
        Some(TopicPartitions { topic_id, topic_name: name, partitions })
    };
    Assignment { topic_partitions: topics.filter_map(topic).collect() }
}
