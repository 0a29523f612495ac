//! Groups and their members: what most cases of groups begin with. A member has a connection of its own, because it may wait
//! there for others.

use ringlog_cluster::group::embedded;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_protocol_assignment::TopicPartition;
use ringlog_net::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ringlog_net::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponsePartitions,
};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use ringlog_storage::types::Uuid;

use crate::session::{Session, expect};
use crate::topic::{Topic, fresh_name};

/// The first version of `JoinGroup` that gives dynamic members their ids before they join.
pub(crate) const ID_FIRST: i16 = 4;
/// The first version of `JoinGroup` that knows static members.
pub(crate) const STATIC_JOIN: i16 = 5;
/// The newest versions, for what surrounds the request that a case is about.
pub(crate) const JOIN: i16 = 9;
pub(crate) const SYNC: i16 = 5;
pub(crate) const HEARTBEAT: i16 = 4;
pub(crate) const LEAVE: i16 = 5;
pub(crate) const DESCRIBE: i16 = 5;

/// A group that there never is.
pub(crate) const NONE_SUCH: &str = "none-such";
/// Longer than any case runs.
pub(crate) const LONG_MS: i32 = 60_000;
/// What a case can wait for to pass.
pub(crate) const SHORT_MS: i32 = 300;

/// A group's name that nobody has used, whose coordinator serves.
pub(crate) fn fresh_group(session: &mut Session, base: &str) -> String {
    let group = fresh_name(base);
    await_coordinator(session, &group);
    await_coordinator(session, NONE_SUCH);
    group
}

/// The first group that is ever looked for makes the coordinators' topic, and Apache Kafka answers before they have loaded.
pub(crate) fn await_coordinator(session: &mut Session, group: &str) {
    let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
    let is_retriable = |code| {
        let code = ErrorCode::from_wire(code);
        matches!(
            code,
            ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator
        )
    };
    while is_retriable(session.ask(0, &request).error_code) {}
    while is_retriable(describe(session, DESCRIBE, group).error_code) {}
}

/// One group of `DescribeGroups`.
pub(crate) fn describe(session: &mut Session, version: i16, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    session.ask(version, &request).groups.remove(0)
}

/// Asks until the group is in a state.
pub(crate) fn await_state(session: &mut Session, group: &str, state: &str) {
    await_group(session, group, |described| described.group_state == state);
}

/// Asks until the group is as it should be.
pub(crate) fn await_group(session: &mut Session, group: &str, is_there: impl Fn(&DescribedGroup) -> bool) {
    while !is_there(&describe(session, DESCRIBE, group)) {}
}

/// What consumers say to each other, they say in this version.
const EMBEDDED_VERSION: i16 = 0;

/// What a consumer says in its metadata: the topics that it wants.
pub(crate) fn subscription(topics: &[&str]) -> Vec<u8> {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let subscription = ConsumerProtocolSubscription { topics, ..ConsumerProtocolSubscription::default() };
    embedded::encode_subscription(&subscription, EMBEDDED_VERSION).expect("names of topics are short")
}

/// What a leader gives to one member.
pub(crate) fn assignment(topic: &str, partitions: &[i32]) -> Vec<u8> {
    let assigned = TopicPartition { topic: topic.to_owned(), partitions: partitions.to_vec() };
    embedded::encode_assignment(&EMBEDDED_VERSION.to_be_bytes(), vec![assigned])
}

pub(crate) fn protocol(name: &str, metadata: &[u8]) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol { name: name.to_owned(), metadata: metadata.to_vec() }
}

/// Somebody who joins a group.
pub(crate) struct Member {
    pub(crate) session: Session,
    /// What it joins with; its id, once it has one.
    pub(crate) request: JoinGroupRequest,
    /// The generation that it is in.
    pub(crate) joined: JoinGroupResponse,
}

impl Member {
    /// Somebody who has not joined yet, and knows the protocol `range`.
    pub(crate) fn new(session: &Session, group: &str) -> Self {
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: LONG_MS,
            rebalance_timeout_ms: LONG_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol("range", &subscription(&["read"]))],
            ..Default::default()
        };
        Self { session: session.open_another(), request, joined: JoinGroupResponse::default() }
    }

    /// With an instance id.
    pub(crate) fn fixed(session: &Session, group: &str, instance: &str) -> Self {
        let mut member = Self::new(session, group);
        member.request.group_instance_id = Some(instance.to_owned());
        member
    }

    /// The only member of a new group that is stable.
    pub(crate) fn alone(session: &mut Session, base: &str) -> Self {
        let group = fresh_group(session, base);
        let mut member = Self::new(session, &group);
        member.join(JOIN);
        member.assign(&[]);
        member
    }

    pub(crate) fn id(&self) -> &str {
        &self.request.member_id
    }

    pub(crate) fn instance(&self) -> Option<String> {
        self.request.group_instance_id.clone()
    }

    pub(crate) fn group(&self) -> String {
        self.request.group_id.clone()
    }

    /// Gets an id, if the version gives ids first.
    pub(crate) fn introduce(&mut self, version: i16) {
        if version >= ID_FIRST && self.request.group_instance_id.is_none() && self.request.member_id.is_empty() {
            let response = self.session.ask(version, &self.request);
            expect(response.error_code, ErrorCode::MemberIdRequired);
            self.request.member_id = response.member_id;
        }
    }

    /// Joins, and waits for the generation.
    pub(crate) fn join(&mut self, version: i16) {
        self.begin_join(version);
        self.end_join(version);
    }

    /// Asks to join.
    pub(crate) fn begin_join(&mut self, version: i16) {
        self.introduce(version);
        self.session.tell(version, &self.request);
    }

    /// Waits for the generation.
    pub(crate) fn end_join(&mut self, version: i16) {
        self.joined = self.session.hear::<JoinGroupRequest>(version);
        expect(self.joined.error_code, ErrorCode::None);
        self.request.member_id.clone_from(&self.joined.member_id);
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.joined.leader == self.joined.member_id
    }

    /// A request for its assignment.
    pub(crate) fn sync_request(&self, version: i16, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
        let given = assignments.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment {
            member_id: (*member_id).to_owned(),
            assignment: assignment.to_vec(),
        });
        SyncGroupRequest {
            group_id: self.group(),
            generation_id: self.joined.generation_id,
            member_id: self.id().to_owned(),
            group_instance_id: self.instance().filter(|_| version >= 3),
            protocol_type: Some(self.request.protocol_type.clone()).filter(|_| version >= 5),
            protocol_name: self.joined.protocol_name.clone().filter(|_| version >= 5),
            assignments: given.collect(),
        }
    }

    /// Asks for its assignment, or brings the others theirs.
    pub(crate) fn sync(&mut self, version: i16, assignments: &[(&str, &[u8])]) -> SyncGroupResponse {
        let request = self.sync_request(version, assignments);
        self.session.ask(version, &request)
    }

    /// The leader assigns.
    pub(crate) fn assign(&mut self, assignments: &[(&str, &[u8])]) {
        assert!(self.is_leader());
        expect(self.sync(SYNC, assignments).error_code, ErrorCode::None);
    }

    pub(crate) fn heartbeat_request(&self, version: i16) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group(),
            generation_id: self.joined.generation_id,
            member_id: self.id().to_owned(),
            group_instance_id: self.instance().filter(|_| version >= 3),
        }
    }

    pub(crate) fn heartbeat(&mut self, version: i16) -> i16 {
        let request = self.heartbeat_request(version);
        self.session.ask(version, &request).error_code
    }

    /// Sends heartbeats until it is told of a rebalance.
    pub(crate) fn await_rebalance(&mut self) {
        while ErrorCode::from_wire(self.heartbeat(HEARTBEAT)) != ErrorCode::RebalanceInProgress {}
    }

    pub(crate) fn leave(&mut self) {
        let leaving = MemberIdentity { member_id: self.id().to_owned(), ..Default::default() };
        let request = LeaveGroupRequest { group_id: self.group(), members: vec![leaving], ..Default::default() };
        let response = self.session.ask(LEAVE, &request);
        expect(response.error_code, ErrorCode::None);
        expect(response.members[0].error_code, ErrorCode::None);
    }

    /// A commit in its name.
    pub(crate) fn commit_request(&self, topics: Vec<OffsetCommitRequestTopic>) -> OffsetCommitRequest {
        OffsetCommitRequest {
            group_id: self.group(),
            generation_id_or_member_epoch: self.joined.generation_id,
            member_id: self.id().to_owned(),
            group_instance_id: self.instance(),
            topics,
            ..Default::default()
        }
    }
}

/// Two members of a new group that is stable, the leader first; each has been assigned its own id.
pub(crate) fn pair(session: &mut Session, base: &str) -> (Member, Member) {
    let group = fresh_group(session, base);
    let mut pair = (Member::new(session, &group), Member::new(session, &group));
    bring_together(&mut pair.0, &mut pair.1);
    pair
}

/// The first joins and leads, and the second joins it. Both have been assigned their own ids.
pub(crate) fn bring_together(leader: &mut Member, follower: &mut Member) {
    leader.join(JOIN);
    leader.assign(&[]);
    follower.begin_join(JOIN);
    leader.await_rebalance();
    leader.join(JOIN);
    follower.end_join(JOIN);
    assert!(leader.is_leader() && !follower.is_leader());
    let ids = (leader.id().to_owned(), follower.id().to_owned());
    leader.assign(&[(&ids.0, ids.0.as_bytes()), (&ids.1, ids.1.as_bytes())]);
    assert_eq!(follower.sync(SYNC, &[]).assignment, ids.1.as_bytes());
}

/// One partition's offset, for a commit.
pub(crate) fn commit_of(topic: &Topic, version: i16, partition: i32, offset: i64) -> OffsetCommitRequestTopic {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
    };
    let by_id = version >= 10;
    OffsetCommitRequestTopic {
        name: if by_id { String::new() } else { topic.name.clone() },
        topic_id: if by_id { topic.id } else { Uuid::default() },
        partitions: vec![partition],
    }
}

/// Commits an offset in nobody's name.
pub(crate) fn commit(session: &mut Session, group: &str, topic: &Topic, partition: i32, offset: i64) {
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![commit_of(topic, 9, partition, offset)],
        ..Default::default()
    };
    let response = session.ask(9, &request);
    expect(response.topics[0].partitions[0].error_code, ErrorCode::None);
}

/// What is committed of a partition; -1 is nothing.
pub(crate) fn committed(
    session: &mut Session,
    group: &str,
    topic: &Topic,
    partition: i32,
) -> OffsetFetchResponsePartitions {
    let topics = vec![OffsetFetchRequestTopics {
        name: topic.name.clone(),
        partition_indexes: vec![partition],
        ..Default::default()
    }];
    let group = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(topics), ..Default::default() };
    let mut response = session.ask(9, &OffsetFetchRequest { groups: vec![group], ..Default::default() });
    let mut group = response.groups.remove(0);
    expect(group.error_code, ErrorCode::None);
    group.topics.remove(0).partitions.remove(0)
}
