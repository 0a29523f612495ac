//! Classic groups and offsets, command by command. After each, the state is what the log says, and what the compacted log
//! says.

#![allow(clippy::unchecked_time_subtraction, reason = "the times of these tests are constants")]

mod bounds;
mod consumers;
mod joining;
mod leaving;
mod migration;
mod offsets;
mod storms;

use std::collections::BTreeMap;

use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::metadata_log::{MetadataRecord, PartitionRecord, RemoveTopicRecord, TopicRecord};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_net::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ringlog_storage::types::{BrokerId, Uuid};

use super::consumer::ConsumerGroup;
use super::*;
use crate::config::MigrationPolicy;
use crate::coordinator::Rehearsal;

/// A newest version of every request.
const NEWEST: i16 = 9;
const GROUP: &str = "readers";
const TOPIC: &str = "orders";
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_mins(1);
const INITIAL_DELAY: Duration = Duration::from_secs(3);
const RETENTION: Duration = Duration::from_hours(24);

/// A coordinator, its clock and its clients.
struct World {
    rehearsal: Rehearsal<Groups>,
    now: Now,
    image: Image,
    asked: u64,
    replies: BTreeMap<u64, GroupReply>,
    /// What changed about members, in order.
    news: Vec<GroupNews>,
}

fn config() -> GroupConfig {
    GroupConfig {
        session_timeout_ms_min: 6000,
        session_timeout_ms_max: 1_800_000,
        classic_members_max: 5,
        initial_rebalance_delay_ms: millis(INITIAL_DELAY).into(),
        consumer_members_max: 5,
        consumer_session_timeout_ms: millis(SESSION).into(),
        consumer_session_timeout_ms_min: 1000,
        consumer_session_timeout_ms_max: 60_000,
        consumer_heartbeat_interval_ms: 3000,
        migration: MigrationPolicy { upgrades: true, downgrades: true },
        consumer_heartbeat_interval_ms_min: 1000,
        consumer_heartbeat_interval_ms_max: 15_000,
        consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
        offset_metadata_bytes_max: 8,
        offsets_commit_timeout_ms: 5000,
        offsets_retention_minutes: 24 * 60,
        offsets_retention_check_interval_ms: 600_000,
        offsets_topic_partitions: 50,
        offsets_topic_segment_bytes: 1 << 20,
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).expect("tests wait for less than that")
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    /// Whose first rebalances do not wait.
    fn without_delay() -> Self {
        Self::with(GroupConfig { initial_rebalance_delay_ms: 0, ..config() })
    }

    fn with(config: GroupConfig) -> Self {
        let now = Now { monotonic: Nanos::new(1), wall: Millis::new(1_000_000) };
        let mut blank = Groups::new(Arc::new(config));
        let image = Image::new("cluster", BrokerId::new(1));
        assert!(blank.open(now, &image, ErrorCode::NotCoordinator).is_empty());
        let mut world =
            Self { rehearsal: Rehearsal::new(blank), now, image, asked: 0, replies: BTreeMap::new(), news: Vec::new() };
        world.create_topic(TOPIC, 77, 6);
        world
    }

    fn create_topic(&mut self, name: &str, id: u128, partitions: i32) {
        let topic_id = Uuid::from_u128(id);
        let topic = TopicRecord { name: name.to_owned(), topic_id };
        self.change(&MetadataRecord::Topic(topic));
        for partition_id in 0..partitions {
            let partition = PartitionRecord { partition_id, topic_id, replicas: vec![1], ..PartitionRecord::default() };
            self.change(&MetadataRecord::Partition(PartitionRecord { isr: vec![1], leader: 1, ..partition }));
        }
    }

    fn delete_topic(&mut self, id: u128) {
        self.change(&MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: Uuid::from_u128(id) }));
    }

    fn change(&mut self, record: &MetadataRecord) {
        self.image.replay(self.image.offset().next(), record).expect("the record can be applied");
    }

    fn step(&mut self, decide: impl FnOnce(&mut Groups, &Image) -> Decision) {
        let answers = self.rehearsal.step(|groups| {
            let decision = decide(groups, &self.image);
            let bytes: usize = decision.records.iter().map(record_bytes).sum();
            assert!(bytes <= DECISION_BYTES_MAX, "the log does not take {bytes} bytes at once");
            decision
        });
        self.news.extend(self.rehearsal.live.take_news());
        self.take(answers);
    }

    /// What changed about a member of the group, since that was asked last.
    fn changes(&mut self, member: &str) -> Vec<MemberChange> {
        let is_about = |news: &GroupNews| &*news.group == GROUP && &*news.member == member;
        let (about, others) = std::mem::take(&mut self.news).into_iter().partition(is_about);
        self.news = others;
        about.into_iter().map(|news| news.change).collect()
    }

    /// Has offsets of topics that are gone forgotten.
    fn forget(&mut self) {
        self.rehearsal.live.topics_deleted();
        self.pass(Duration::ZERO);
    }

    fn take(&mut self, answers: Vec<Answer>) {
        for Answer { ticket, reply } in answers {
            assert!(ticket.id <= self.asked, "nobody asked {ticket:?}");
            let twice = self.replies.insert(ticket.id, reply);
            assert_eq!(twice, None, "{ticket:?} is answered twice");
        }
    }

    /// Sends a request; the answer may come later.
    fn send(&mut self, api_version: i16, request: GroupRequest) -> u64 {
        self.asked += 1;
        let (now, ticket) = (self.now, Ticket { shard: 0, id: self.asked });
        let caller = Caller { client_id: "client".to_owned(), client_host: "/127.0.0.1".to_owned(), api_version };
        self.step(|groups, image| groups.handle(now, image, ticket, &caller, request));
        self.asked
    }

    /// Sends a request that is answered at once.
    fn ask(&mut self, request: GroupRequest) -> GroupReply {
        let ticket = self.send(NEWEST, request);
        self.replies.remove(&ticket).expect("it is answered at once")
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic.saturating_add(time);
        while self.rehearsal.live.next_deadline() <= end {
            self.advance_to(self.rehearsal.live.next_deadline().max(self.now.monotonic));
            let now = self.now;
            self.step(|groups, image| groups.handle_timeout(now, image));
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, at: Nanos) {
        let passed = at.since(self.now.monotonic);
        self.now.wall = self.now.wall.saturating_add(i64::try_from(passed.as_millis()).expect("tests are short"));
        self.now.monotonic = at;
    }

    /// The coordinator is lost; another one reads the log.
    fn restart(&mut self) {
        let mut next = Groups::new(Arc::clone(&self.rehearsal.live.config));
        for record in &self.rehearsal.log {
            let Ok(()) = next.replay(Offset::ZERO, record);
        }
        assert!(
            next.open(self.now, &self.image, ErrorCode::NotCoordinator).is_empty(),
            "nobody waits for a new coordinator"
        );
        self.rehearsal.live = next;
    }

    fn joined(&mut self, ticket: u64) -> JoinGroupResponse {
        match self.replies.remove(&ticket) {
            Some(Ok(GroupResponse::Join(response))) => response,
            other => panic!("no answer to a join: {other:?}"),
        }
    }

    fn refused(&mut self, ticket: u64) -> ErrorCode {
        match self.replies.remove(&ticket) {
            Some(Err(code)) => code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// A member that has its id.
    fn new_member(&mut self) -> String {
        let ticket = self.send(NEWEST, join("", None));
        let response = self.joined(ticket);
        assert_eq!(response.error_code, ErrorCode::MemberIdRequired.code());
        response.member_id
    }

    /// A group in which members share [`TOPIC`]; the first one leads.
    fn stable_group(&mut self, members: usize) -> (i32, Vec<String>) {
        let ids: Vec<_> = (0..members).map(|_| self.new_member()).collect();
        let mut tickets: Vec<_> = ids.iter().map(|id| self.send(NEWEST, join(id, None))).collect();
        self.pass(INITIAL_DELAY * 2);
        if tickets.iter().any(|ticket| !self.replies.contains_key(ticket)) {
            // Without a delay the first one is alone, until the others have joined.
            assert_eq!(self.joined(tickets[0]).generation_id, 1);
            tickets[0] = self.send(NEWEST, join(&ids[0], None));
        }
        let joined: Vec<_> = tickets.into_iter().map(|ticket| self.joined(ticket)).collect();
        let generation = joined[0].generation_id;
        let leader = joined[0].leader.clone();
        let (leading, others): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| *id == leader);
        let waiting: Vec<_> = others.iter().map(|id| self.send(NEWEST, sync(id, generation, &[]))).collect();
        let given: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
        assert!(self.ask(sync(&leader, generation, &given)).is_ok());
        for ticket in waiting {
            assert!(matches!(self.replies.remove(&ticket), Some(Ok(GroupResponse::Sync(_)))));
        }
        (generation, leading.into_iter().chain(others).collect())
    }

    fn state(&self) -> &'static str {
        match self.rehearsal.live.sessions.get(GROUP) {
            Some(Session::Classic(group)) => group.state_name(),
            Some(Session::Consumer(_)) => {
                self.rehearsal.live.state.consumer(GROUP).map_or("Empty", ConsumerGroup::state_name)
            }
            None => "Dead",
        }
    }

    fn fetch(&mut self) -> i64 {
        let topic = OffsetFetchRequestTopics {
            name: TOPIC.to_owned(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        match self.ask(GroupRequest::FetchOffsets(group)) {
            Ok(GroupResponse::FetchOffsets(fetched)) => fetched.topics[0].partitions[0].committed_offset,
            other => panic!("no offsets: {other:?}"),
        }
    }
}

fn protocols(names: &[&str]) -> Vec<JoinGroupRequestProtocol> {
    // A subscription of one topic, as consumers write it.
    let metadata = [&[0, 0, 0, 0, 0, 1, 0, 6][..], TOPIC.as_bytes(), &[0xff; 4]].concat();
    let protocol = |name: &&str| JoinGroupRequestProtocol { name: (*name).to_owned(), metadata: metadata.clone() };
    names.iter().map(protocol).collect()
}

fn join_request(member: &str, instance: Option<&str>) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: millis(SESSION),
        rebalance_timeout_ms: millis(REBALANCE),
        member_id: member.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        protocol_type: embedded::CONSUMER_PROTOCOL_TYPE.to_owned(),
        protocols: protocols(&["range", "sticky"]),
        reason: None,
    }
}

fn join(member: &str, instance: Option<&str>) -> GroupRequest {
    use std::sync::atomic::{AtomicU64, Ordering};
    static BITS: AtomicU64 = AtomicU64::new(0);
    GroupRequest::Join(join_request(member, instance), BITS.fetch_add(1, Ordering::Relaxed).into())
}

fn sync(member: &str, generation: i32, given: &[(&str, &[u8])]) -> GroupRequest {
    let assignment = |(id, bytes): &(&str, &[u8])| SyncGroupRequestAssignment {
        member_id: (*id).to_owned(),
        assignment: bytes.to_vec(),
    };
    GroupRequest::Sync(SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        assignments: given.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    })
}

fn heartbeat(member: &str, generation: i32) -> GroupRequest {
    GroupRequest::Heartbeat(HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        group_instance_id: None,
    })
}

fn leave(members: &[(&str, Option<&str>)]) -> GroupRequest {
    let identity = |(member, instance): &(&str, Option<&str>)| MemberIdentity {
        member_id: (*member).to_owned(),
        group_instance_id: instance.map(str::to_owned),
        reason: None,
    };
    let members = members.iter().map(identity).collect();
    GroupRequest::Leave(LeaveGroupRequest { group_id: GROUP.to_owned(), members, ..LeaveGroupRequest::default() })
}

fn commit_request(member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("note".to_owned()),
    };
    let topic =
        OffsetCommitRequestTopic { name: TOPIC.to_owned(), topic_id: Uuid::from_u128(77), partitions: vec![partition] };
    OffsetCommitRequest {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

fn commit(member: &str, generation: i32, offset: i64) -> GroupRequest {
    GroupRequest::CommitOffsets(commit_request(member, generation, offset))
}

/// What became of the one offset of a commit.
fn committed(reply: &GroupReply) -> ErrorCode {
    match reply {
        Ok(GroupResponse::CommitOffsets(OffsetCommitResponse { topics, .. })) => {
            ErrorCode::from_wire(topics[0].partitions[0].error_code)
        }
        Err(code) => *code,
        other => panic!("no answer to a commit: {other:?}"),
    }
}

#[test]
fn groups_fall_on_the_partitions_that_java_computes() {
    // Their String.hashCode is 98618, Integer.MIN_VALUE, 0, and 1771336 for a pair of surrogates.
    for (group, partition) in [("cmd", 18), ("polygenelubricants", 0), ("", 0), ("\u{10348}", 36)] {
        assert_eq!(partition_of(group, 50), PartitionIndex::new(partition), "{group}");
    }
}
