//! What clients do to the broker that is watched: first all is well, then everything that one broker can be made to complain
//! about.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::DeleteTopicsRequest;
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;

use crate::client::Client;

/// Versions that name topics by their names.
const PRODUCE: i16 = 9;
const FETCH: i16 = 11;
const COMMIT: i16 = 8;

/// Written to, and read by a group that gets on.
const ORDERS: &str = "orders";
/// Written to, and read by a group that does not.
const BULK: &str = "bulk";
/// Never written to: a fetch of it waits for its time.
const IDLE: &str = "idle";
const ORDERS_PARTITIONS: i32 = 4;
/// Of a topic that is written to when nothing goes well any more.
const LATE_PARTITIONS: i32 = 4;
/// How long a round waits for data that do not come: it is what paces the rounds.
const ROUND_MS: i32 = 100;
/// Records that the group that does not get on is behind, in all: more than an alert of lag lets pass.
const BEHIND: usize = 12_000;
/// Of a batch just under the limit of a message.
const BATCH_RECORDS: usize = 8_000;
/// Of a frame that does not arrive.
const LARGE_BYTES: usize = 4 << 20;
/// How long the broker may read nothing.
const WRITE_MAX: Duration = Duration::from_millis(500);
/// The most that one address may have, later.
const CONNECTIONS_MAX: usize = 8;
/// The place of the checksum of a batch, which nothing else covers.
const CRC_AT: usize = 17;
const LEAVE: i32 = -1;

pub(crate) struct Load {
    address: SocketAddr,
    client: Client,
    /// Records of each partition of `ORDERS`.
    written: i64,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let mut load = Self { address, client: Client::open(address), written: 0 };
        for (topic, partitions) in [(ORDERS, ORDERS_PARTITIONS), (BULK, 2), (IDLE, 1)] {
            load.create(topic, partitions);
        }
        load.join("readers", "one", ORDERS);
        load
    }

    /// Some of everything that goes well. Takes [`ROUND_MS`] and a little more.
    pub(crate) fn round(&mut self) {
        const RECORDS: usize = 20;
        let partitions: Vec<i32> = (0..ORDERS_PARTITIONS).collect();
        let codes = self.produce(ORDERS, &partitions, &batch(RECORDS));
        assert!(codes.iter().all(|code| *code == ErrorCode::None), "{codes:?}");
        assert_eq!(self.fetch(ORDERS, 0, self.written), ErrorCode::None, "what was acknowledged is there");
        self.written += i64::try_from(RECORDS).expect("a small number");
        // One record is left, so that there is a lag.
        self.commit("shop", ORDERS, self.written - 1);
        self.idle_round();
    }

    /// A group is left behind by many records. It has two members, of which neither says anything from now on.
    pub(crate) fn leave_a_group_behind(&mut self) {
        const BATCHES: usize = 12;
        for _ in 0..BATCHES {
            assert_eq!(self.produce(BULK, &[0], &batch(BEHIND / BATCHES)), [ErrorCode::None]);
        }
        self.commit("slow", BULK, 1);
        for member in ["one", "two"] {
            self.join("slow", member, BULK);
        }
    }

    /// Some of everything that does not go well: refused requests, a group whose members come and go, clients that connect
    /// and are gone.
    pub(crate) fn bad_round(&mut self) {
        let mut damaged = batch(1);
        damaged[CRC_AT] ^= 0xff;
        assert_eq!(self.produce(ORDERS, &[0], &damaged), [ErrorCode::CorruptMessage]);
        assert_eq!(self.fetch(ORDERS, 0, 1 << 40), ErrorCode::OffsetOutOfRange);
        let topic = MetadataRequestTopic { name: Some("none-such".to_owned()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
        let request = MetadataRequest { allow_auto_topic_creation: false, ..request };
        let code = self.client.ask(5, &request).topics[0].error_code;
        assert_eq!(ErrorCode::from_wire(code), ErrorCode::UnknownTopicOrPartition);
        self.join("restless", "one", ORDERS);
        self.beat(&ConsumerGroupHeartbeatRequest { member_epoch: LEAVE, ..beat("restless", "one") });
        for _ in 0..100 {
            drop(TcpStream::connect(self.address).expect("the broker listens"));
        }
    }

    /// Connections that are held open for nothing.
    pub(crate) fn hold(&self, count: u32) -> Vec<TcpStream> {
        (0..count).map(|_| TcpStream::connect(self.address).expect("the broker listens")).collect()
    }

    /// Connections that have sent most of a large request each, as far as the broker reads it.
    pub(crate) fn begin_large_frames(&self) -> Vec<TcpStream> {
        const CONNECTIONS: u32 = 32;
        let begin = |mut stream: TcpStream| {
            stream.set_write_timeout(Some(WRITE_MAX)).expect("a timeout that is not zero");
            stream.write_all(&u32::try_from(LARGE_BYTES).expect("it fits").to_be_bytes()).expect("the broker reads");
            // It reads no more than it has memory for.
            _ = stream.write_all(&vec![0; LARGE_BYTES - 1]);
            stream
        };
        self.hold(CONNECTIONS).into_iter().map(begin).collect()
    }

    /// As many records as one request may have, whatever becomes of them.
    pub(crate) fn fill(&mut self) {
        self.produce(BULK, &[0, 1], &batch(BATCH_RECORDS));
    }

    /// The group that gets on commits again where it is.
    pub(crate) fn commit_once(&mut self) -> ErrorCode {
        self.try_commit("shop", ORDERS, self.written - 1)
    }

    /// Everything that [`fill`](Self::fill) has written goes.
    pub(crate) fn clear(&mut self) {
        let request = DeleteTopicsRequest { topic_names: vec![BULK.to_owned()], ..DeleteTopicsRequest::default() };
        let request = DeleteTopicsRequest { timeout_ms: 30_000, ..request };
        assert_eq!(self.client.ask(5, &request).responses[0].error_code, 0);
    }

    /// Nothing. Takes [`ROUND_MS`].
    pub(crate) fn idle_round(&mut self) {
        self.fetch(IDLE, 0, 0);
    }

    /// To the broker that has taken the place of the one before.
    pub(crate) fn connect_again(&mut self) {
        self.client = Client::open(self.address);
    }

    /// Makes partitions whose files there is no need of yet.
    pub(crate) fn create_late(&mut self, topic: &str) -> Range<i32> {
        self.create(topic, LATE_PARTITIONS);
        0..LATE_PARTITIONS
    }

    /// Records for those, whatever becomes of them. Takes [`ROUND_MS`] and a little more.
    pub(crate) fn late_round(&mut self, topic: &str) {
        let partitions: Vec<i32> = (0..LATE_PARTITIONS).collect();
        self.produce(topic, &partitions, &batch(1));
        self.idle_round();
    }

    /// From now on one address may have a few connections, and this one asks for more.
    pub(crate) fn limit_connections(&mut self) {
        let config = AlterableConfig {
            name: "max.connections.per.ip".to_owned(),
            config_operation: 0,
            value: Some(CONNECTIONS_MAX.to_string()),
        };
        // Of all brokers.
        let resource = AlterConfigsResource { resource_type: 4, resource_name: String::new(), configs: vec![config] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        assert_eq!(self.client.ask(1, &request).responses[0].error_code, 0);
    }

    /// More connections at a time than the address may have.
    pub(crate) fn ask_for_too_many_connections(&self) {
        let connect = |_| TcpStream::connect(self.address).expect("the broker listens");
        drop((0..2 * CONNECTIONS_MAX).map(connect).collect::<Vec<_>>());
    }

    fn create(&mut self, name: &str, partitions: i32) {
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
        assert_eq!(self.client.ask(7, &request).topics[0].error_code, 0, "{name}");
    }

    fn produce(&mut self, topic: &str, partitions: &[i32], batch: &[u8]) -> Vec<ErrorCode> {
        let data = partitions.iter().map(|index| PartitionProduceData { index: *index, records: Some(batch.to_vec()) });
        let topic =
            TopicProduceData { name: topic.to_owned(), partition_data: data.collect(), ..TopicProduceData::default() };
        let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topic_data: vec![topic] };
        let mut response = self.client.ask(PRODUCE, &request);
        let results = response.responses.remove(0).partition_responses;
        results.iter().map(|result| ErrorCode::from_wire(result.error_code)).collect()
    }

    fn fetch(&mut self, topic: &str, partition: i32, fetch_offset: i64) -> ErrorCode {
        let partition = FetchPartition {
            partition,
            fetch_offset,
            current_leader_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..FetchTopic::default() };
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: ROUND_MS,
            min_bytes: 1,
            max_bytes: 1 << 24,
            session_epoch: -1,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        ErrorCode::from_wire(self.client.ask(FETCH, &request).responses[0].partitions[0].error_code)
    }

    /// Asks until the group's coordinator serves.
    fn commit(&mut self, group: &str, topic: &str, committed_offset: i64) {
        self.find_coordinator(group);
        loop {
            match self.try_commit(group, topic, committed_offset) {
                ErrorCode::None => return,
                code => assert!(will_serve(code), "{group}: {code:?}"),
            }
        }
    }

    fn try_commit(&mut self, group: &str, topic: &str, committed_offset: i64) -> ErrorCode {
        let partition = OffsetCommitRequestPartition {
            committed_offset,
            committed_leader_epoch: -1,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        ErrorCode::from_wire(self.client.ask(COMMIT, &request).topics[0].partitions[0].error_code)
    }

    fn find_coordinator(&mut self, group: &str) {
        let request = FindCoordinatorRequest { key: group.to_owned(), ..FindCoordinatorRequest::default() };
        while ErrorCode::from_wire(self.client.ask(2, &request).error_code) != ErrorCode::None {}
    }

    fn join(&mut self, group: &str, member: &str, topic: &str) {
        self.find_coordinator(group);
        self.beat(&ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 120_000,
            subscribed_topic_names: Some(vec![topic.to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..beat(group, member)
        });
    }

    fn beat(&mut self, request: &ConsumerGroupHeartbeatRequest) {
        loop {
            match ErrorCode::from_wire(self.client.ask(1, request).error_code) {
                ErrorCode::None => return,
                code => assert!(will_serve(code), "{}: {code:?}", request.group_id),
            }
        }
    }
}

fn beat(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member.to_owned(),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// What a coordinator says that is about to serve.
fn will_serve(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

fn batch(records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        let timestamp = Millis::new(1_700_000_000_000);
        builder.push(&Record { timestamp, key: Some(b"key"), value: Some(&[b'v'; 100]), headers: &[] });
    }
    builder.build()
}
