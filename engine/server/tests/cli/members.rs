//! Members of groups, and what they commit: requests by hand, for the program's own consumer is one kind of member only.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ringlog_cluster::group::embedded;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ringlog_net::messages::consumer_protocol_assignment::TopicPartition;
use ringlog_net::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ringlog_net::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ringlog_net::messages::describe_groups::DescribeGroupsRequest;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ringlog_net::messages::{Message as _, Request};
use ringlog_net::wire::{Reader, Writer};

/// An answer that takes longer will not come.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// The versions that are spoken here; of `OffsetCommit` the last one that names topics, of `DescribeGroups` the last one to
/// which a group that is not there is no error.
const FIND: i16 = 3;
const COMMIT: i16 = 9;
const DELETE_RECORDS: i16 = 2;
const DESCRIBE: i16 = 5;
const JOIN: i16 = 9;
const SYNC: i16 = 5;
/// What consumers say to each other, they say in this version.
const EMBEDDED_VERSION: i16 = 0;
const LEAVE: i16 = 5;
const BEAT: i16 = 1;

/// A connection that speaks one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    client_id: &'static str,
}

impl Connection {
    /// Connects, as a client that calls itself so.
    pub(crate) fn plain(bootstrap: &str, client_id: &'static str) -> Self {
        let stream = TcpStream::connect(bootstrap).expect("the broker accepts");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout that is not zero");
        Self { stream, client_id }
    }

    /// Connects, and waits until a group has a coordinator that serves.
    pub(crate) fn open(bootstrap: &str, group: &str) -> Self {
        let mut connection = Self::plain(bootstrap, "cli-member");
        let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
        while connection.ask(FIND, &request).error_code != 0 {}
        // Apache Kafka answers for a while before the coordinator has loaded.
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        while connection.ask(DESCRIBE, &request).groups[0].error_code != 0 {}
        connection
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let mut w = Writer::new();
        w.i32(0);
        w.i16(R::KEY.code());
        w.i16(version);
        w.i32(7);
        w.i16(i16::try_from(self.client_id.len()).expect("a short name"));
        w.raw(self.client_id.as_bytes());
        if R::KEY.request_header_version(version) == 2 {
            w.raw(&[0]);
        }
        request.encode(&mut w, version).expect("the version can say it");
        let length = i32::try_from(w.len() - 4).expect("a short request");
        w.patch_i32(0, length);
        self.stream.write_all(w.as_slice()).expect("the broker reads");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("an answer");
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length is not negative");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).expect("the whole answer");
        let mut reader = Reader::new(&frame);
        reader.i32().expect("a correlation id");
        if R::KEY.response_header_version(version) == 1 {
            reader.tagged_fields(|_, _| Ok(false)).expect("tagged fields of the header");
        }
        R::Response::decode(&mut reader, version).expect("an answer of the version")
    }

    /// Commits offsets of a topic for a group without members: (partition, offset).
    pub(crate) fn commit(&mut self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let partition = |(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: offsets.iter().map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let request =
            OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() };
        let response = self.ask(COMMIT, &request);
        assert!(response.topics[0].partitions.iter().all(|partition| partition.error_code == 0), "{response:?}");
    }

    /// Deletes the records of a partition that are before an offset.
    pub(crate) fn delete_records(&mut self, topic: &str, partition_index: i32, offset: i64) {
        let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
        let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
        let response = self.ask(DELETE_RECORDS, &request);
        assert_eq!(response.topics[0].partitions[0].error_code, 0, "{response:?}");
    }
}

/// A member of a consumer group (KIP-848).
pub(crate) struct Consumer {
    connection: Connection,
    group: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl Consumer {
    const ID: &str = "consumer-one";

    /// Joins, and takes what it gets of a topic.
    pub(crate) fn join(connection: Connection, group: &str, topic: &str) -> Self {
        let mut consumer = Self { connection, group: group.to_owned(), epoch: 0, owned: Vec::new() };
        consumer.beat(ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![topic.to_owned()]),
            ..ConsumerGroupHeartbeatRequest::default()
        });
        consumer.live();
        consumer
    }

    fn beat(&mut self, said: ConsumerGroupHeartbeatRequest) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: Self::ID.to_owned(),
            member_epoch: self.epoch,
            topic_partitions: Some(self.owned.clone()),
            ..said
        };
        let response = self.connection.ask(BEAT, &request);
        assert_eq!(response.error_code, 0, "{response:?}");
        self.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.into_iter();
            let owned = topics.map(|each| TopicPartitions { topic_id: each.topic_id, partitions: each.partitions });
            self.owned = owned.collect();
        }
    }

    /// Says that it lives and what it has, and takes what it gets.
    pub(crate) fn live(&mut self) {
        self.beat(ConsumerGroupHeartbeatRequest::default());
    }

    /// How many partitions it has.
    pub(crate) fn assigned(&self) -> usize {
        self.owned.iter().map(|topic| topic.partitions.len()).sum()
    }

    /// Leaves the group without members.
    pub(crate) fn leave(mut self) -> Connection {
        self.epoch = -1;
        self.beat(ConsumerGroupHeartbeatRequest::default());
        self.connection
    }
}

/// The only member of a classic group of consumers.
pub(crate) struct ClassicMember {
    connection: Connection,
    group: String,
    id: String,
}

impl ClassicMember {
    /// Joins as a consumer of a topic, and assigns itself some of its partitions.
    pub(crate) fn join(mut connection: Connection, group: &str, topic: &str, partitions: &[i32]) -> Self {
        let mut request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: subscription(topic) }],
            ..JoinGroupRequest::default()
        };
        let introduced = connection.ask(JOIN, &request);
        assert_eq!(ErrorCode::from_wire(introduced.error_code), ErrorCode::MemberIdRequired);
        request.member_id = introduced.member_id;
        let joined = connection.ask(JOIN, &request);
        assert_eq!(joined.error_code, 0, "{joined:?}");
        let id = joined.member_id;
        let assignment = assignment(topic, partitions);
        let request = SyncGroupRequest {
            group_id: group.to_owned(),
            generation_id: joined.generation_id,
            member_id: id.clone(),
            protocol_type: joined.protocol_type,
            protocol_name: joined.protocol_name,
            assignments: vec![SyncGroupRequestAssignment { member_id: id.clone(), assignment }],
            ..SyncGroupRequest::default()
        };
        let synced = connection.ask(SYNC, &request);
        assert_eq!(synced.error_code, 0, "{synced:?}");
        Self { connection, group: group.to_owned(), id }
    }

    /// Leaves the group without members.
    pub(crate) fn leave(mut self) -> Connection {
        let members = vec![MemberIdentity { member_id: self.id, ..MemberIdentity::default() }];
        let request = LeaveGroupRequest { group_id: self.group, members, ..LeaveGroupRequest::default() };
        assert_eq!(self.connection.ask(LEAVE, &request).error_code, 0);
        self.connection
    }
}

fn subscription(topic: &str) -> Vec<u8> {
    let subscription =
        ConsumerProtocolSubscription { topics: vec![topic.to_owned()], ..ConsumerProtocolSubscription::default() };
    embedded::encode_subscription(&subscription, EMBEDDED_VERSION).expect("names of topics are short")
}

fn assignment(topic: &str, partitions: &[i32]) -> Vec<u8> {
    let assigned = TopicPartition { topic: topic.to_owned(), partitions: partitions.to_vec() };
    embedded::encode_assignment(&EMBEDDED_VERSION.to_be_bytes(), vec![assigned])
}
