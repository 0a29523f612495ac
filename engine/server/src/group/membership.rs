//! What a group is at the moment: its state and its members, whichever protocol they speak.

use anyhow::bail;
use ringlog_cluster::group::embedded::CONSUMER_PROTOCOL_TYPE;
use ringlog_net::client::ClientError;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup as DescribedConsumerGroup,
    Member as ConsumerMember,
};
use ringlog_net::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup as DescribedClassicGroup, DescribedGroupMember,
};
use ringlog_storage::types::BrokerId;
use serde::Serialize;

use super::assignment::{AssignedTopic, assigned_topics, subscribed_topics};
use super::coordinator;
use crate::session::{Session, refusal};

/// The state of a group that is not there, as brokers said it before they had an error for it.
const DEAD: &str = "Dead";

/// A group.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    #[serde(rename = "group")]
    pub(super) name: String,
    pub(super) r#type: GroupType,
    pub(super) state: String,
    /// The broker that coordinates it.
    pub(super) coordinator: i32,
    /// What its members are: consumers, Connect workers, ...
    pub(super) protocol_type: String,
    /// Who assigns partitions, or the protocol that a classic group has agreed on.
    pub(super) assignor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) assignment_epoch: Option<i32>,
    pub(super) members: Vec<Member>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GroupType {
    /// Members agree among themselves.
    Classic,
    /// The coordinator assigns (KIP-848).
    Consumer,
}

impl GroupType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// One of its members.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    #[serde(rename = "member_id")]
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<i32>,
    /// The topics that it wants; unknown if its words cannot be read.
    pub(super) subscribed_topics: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subscribed_regex: Option<String>,
    /// What it has; unknown if the assignment cannot be read.
    pub(super) assignment: Option<Vec<AssignedTopic>>,
    /// What it will have once others have let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_assignment: Option<Vec<AssignedTopic>>,
}

/// What is said of a group that is not there.
pub(super) fn missing(group: &str) -> anyhow::Error {
    anyhow::anyhow!("group {group} does not exist; see those that do with: ringlog group list")
}

/// Looks a group up; `None` if there is none.
pub(super) async fn look_up(session: &Session, group: &str) -> anyhow::Result<Option<Group>> {
    if let Some(found) = look_up_consumer(session, group).await? {
        return Ok(Some(found));
    }
    look_up_classic(session, group).await
}

/// `None` also for groups of other types, and from brokers that know no consumer groups.
async fn look_up_consumer(session: &Session, group: &str) -> anyhow::Result<Option<Group>> {
    let group_ids = vec![group.to_owned()];
    let request = ConsumerGroupDescribeRequest { group_ids, include_authorized_operations: false };
    let code_of = |response: &ConsumerGroupDescribeResponse| response.groups.first().map_or(0, |each| each.error_code);
    let (coordinator, response) = match coordinator::ask(session, group, &request, code_of).await {
        Ok(answered) => answered,
        Err(error) if is_not_served(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(said) = response.groups.into_iter().next() else { bail!("the broker does not tell about group {group}") };
    match ErrorCode::from_wire(said.error_code) {
        ErrorCode::None => Ok(Some(consumer_group(said, coordinator))),
        ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion => Ok(None),
        error => Err(refusal(&format!("group {group}"), error, said.error_message.as_deref())),
    }
}

fn is_not_served(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ClientError>(), Some(ClientError::NotServed(_)))
}

async fn look_up_classic(session: &Session, group: &str) -> anyhow::Result<Option<Group>> {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..DescribeGroupsRequest::default() };
    let code_of = |response: &DescribeGroupsResponse| response.groups.first().map_or(0, |each| each.error_code);
    let (coordinator, response) = coordinator::ask(session, group, &request, code_of).await?;
    let Some(said) = response.groups.into_iter().next() else { bail!("the broker does not tell about group {group}") };
    match ErrorCode::from_wire(said.error_code) {
        ErrorCode::None if said.group_state == DEAD => Ok(None),
        ErrorCode::None => Ok(Some(classic_group(said, coordinator))),
        ErrorCode::GroupIdNotFound => Ok(None),
        error => Err(refusal(&format!("group {group}"), error, said.error_message.as_deref())),
    }
}

fn consumer_group(said: DescribedConsumerGroup, coordinator: BrokerId) -> Group {
    let mut members: Vec<Member> = said.members.into_iter().map(consumer_member).collect();
    members.sort_by(|left, right| left.id.cmp(&right.id));
    Group {
        name: said.group_id,
        r#type: GroupType::Consumer,
        state: said.group_state,
        coordinator: coordinator.get(),
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
        assignor: said.assignor_name,
        epoch: Some(said.group_epoch),
        assignment_epoch: Some(said.assignment_epoch),
        members,
    }
}

fn consumer_member(said: ConsumerMember) -> Member {
    let topics = |assignment: Assignment| {
        let topics = assignment.topic_partitions.into_iter().map(|topic| {
            let mut partitions = topic.partitions;
            partitions.sort_unstable();
            AssignedTopic { topic: topic.topic_name, partitions }
        });
        let mut topics: Vec<_> = topics.collect();
        topics.sort();
        Some(topics)
    };
    Member {
        id: said.member_id,
        instance_id: said.instance_id,
        client_id: said.client_id,
        host: said.client_host,
        rack: said.rack_id,
        epoch: Some(said.member_epoch),
        subscribed_topics: Some(said.subscribed_topic_names),
        subscribed_regex: said.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
        assignment: topics(said.assignment),
        target_assignment: topics(said.target_assignment),
    }
}

fn classic_group(said: DescribedClassicGroup, coordinator: BrokerId) -> Group {
    let is_of_consumers = said.protocol_type == CONSUMER_PROTOCOL_TYPE;
    let member = |said: DescribedGroupMember| Member {
        id: said.member_id,
        instance_id: said.group_instance_id,
        client_id: said.client_id,
        host: said.client_host,
        rack: None,
        epoch: None,
        // Only consumers are known to say it in this way.
        subscribed_topics: is_of_consumers.then(|| subscribed_topics(&said.member_metadata)).flatten(),
        subscribed_regex: None,
        assignment: is_of_consumers.then(|| assigned_topics(&said.member_assignment)).flatten(),
        target_assignment: None,
    };
    let mut members: Vec<Member> = said.members.into_iter().map(member).collect();
    members.sort_by(|left, right| left.id.cmp(&right.id));
    Group {
        name: said.group_id,
        r#type: GroupType::Classic,
        state: said.group_state,
        coordinator: coordinator.get(),
        protocol_type: said.protocol_type,
        assignor: said.protocol_data,
        epoch: None,
        assignment_epoch: None,
        members,
    }
}
