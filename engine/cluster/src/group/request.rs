//! What is asked of a group coordinator, and what it answers.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_describe::DescribedGroup as DescribedConsumerGroup;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use ringlog_net::messages::delete_groups::DeletableGroupResult;
use ringlog_net::messages::describe_groups::DescribedGroup;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListedGroup};
use ringlog_net::messages::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use ringlog_net::messages::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use ringlog_net::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// Names a request among all that are not answered yet, whichever shard its client is connected to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket {
    /// The shard that waits for the answer.
    pub shard: usize,
    /// The request, on that shard.
    pub id: u64,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Caller {
    /// The client id of the request.
    pub client_id: String,
    /// The client's address, as Kafka writes it: with a slash before it.
    pub client_host: String,
    /// The version of the request.
    pub api_version: i16,
}

/// A request to the coordinator of a group. Topics have both their names and their ids by now.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupRequest {
    /// `JoinGroup`, and random bits for the id of a new member.
    Join(JoinGroupRequest, u128),
    /// `SyncGroup`.
    Sync(SyncGroupRequest),
    /// `Heartbeat`.
    Heartbeat(HeartbeatRequest),
    /// `LeaveGroup`; members that are named in the way of the first versions are in the list too.
    Leave(LeaveGroupRequest),
    /// `OffsetCommit`.
    CommitOffsets(OffsetCommitRequest),
    /// The part of `OffsetFetch` that is about one group.
    FetchOffsets(OffsetFetchRequestGroup),
    /// `OffsetDelete`.
    DeleteOffsets(OffsetDeleteRequest),
    /// The part of `DescribeGroups` that is about one group.
    Describe(String),
    /// `ListGroups`, for the groups of this coordinator.
    List(ListGroupsRequest),
    /// `ConsumerGroupHeartbeat`, whose form has been checked.
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// The part of `ConsumerGroupDescribe` that is about one group.
    ConsumerDescribe(String),
    /// The part of `DeleteGroups` that is about one group.
    Delete(String),
}

/// The answer to a [`GroupRequest`] of the same name.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupResponse {
    /// To [`GroupRequest::Join`].
    Join(JoinGroupResponse),
    /// To [`GroupRequest::Sync`].
    Sync(SyncGroupResponse),
    /// To [`GroupRequest::Heartbeat`].
    Heartbeat,
    /// To [`GroupRequest::Leave`].
    Leave(LeaveGroupResponse),
    /// To [`GroupRequest::CommitOffsets`], in its order.
    CommitOffsets(OffsetCommitResponse),
    /// To [`GroupRequest::FetchOffsets`].
    FetchOffsets(OffsetFetchResponseGroup),
    /// To [`GroupRequest::DeleteOffsets`].
    DeleteOffsets(OffsetDeleteResponse),
    /// To [`GroupRequest::Describe`].
    Describe(DescribedGroup),
    /// To [`GroupRequest::List`].
    List(Vec<ListedGroup>),
    /// To [`GroupRequest::ConsumerHeartbeat`].
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To [`GroupRequest::ConsumerDescribe`].
    ConsumerDescribe(DescribedConsumerGroup),
    /// To [`GroupRequest::Delete`].
    Delete(DeletableGroupResult),
}

/// A response, or why the whole request fails.
pub type GroupReply = Result<GroupResponse, ErrorCode>;

/// The answer to one request. It may come long after the request: a member that joins waits for the others.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Whose it is.
    pub ticket: Ticket,
    /// What it says.
    pub reply: GroupReply,
}
