//! How long fetches wait, in the simulator's time: for what a consumer asked to have together, and for nothing else.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringlog_broker::{ShardMessage, Start, run_shard};
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Sources, StaticConfig};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::DeleteTopicsRequest;
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{Message, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Node, Sim, SimOptions, Trigger};
use ringlog_reactor::{Mesh, Reactor, Socket};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::{Millis, Uuid};

const PORT: u16 = 9092;
const TOPIC: &str = "topic";
/// From this version of Fetch on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 13;
/// Longer than anything but a wait takes.
const LONG: Duration = Duration::from_secs(20);
/// The smallest that a topic may have.
const SEGMENT_BYTES: usize = 1 << 20;

/// A broker of one shard, and a topic of one partition.
struct Broker {
    sim: Sim,
    node: Node,
    address: SocketAddr,
    topic_id: Uuid,
}

fn broker() -> Broker {
    let mut sim = Sim::new(1, SimOptions::default());
    let node = sim.start_node("broker", 1, run);
    let address = sim.address(node, PORT);
    let topic_id = sim.block_on("setup", move |reactor| async move {
        let config = CreatableTopicConfig { name: "segment.bytes".to_owned(), value: Some(SEGMENT_BYTES.to_string()) };
        let topic = CreatableTopic {
            name: TOPIC.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
        let response = ask(&connect(&reactor, address).await, &request, 7).await;
        assert_eq!(response.topics[0].error_code, 0);
        response.topics[0].topic_id
    });
    Broker { sim, node, address, topic_id }
}

async fn run(reactor: Reactor, mesh: Mesh<ShardMessage>) {
    let set = ["listeners=PLAINTEXT://:9092", "advertised.listeners=PLAINTEXT://b:9092", "log.dirs=data"];
    let set: Vec<_> = set.map(str::to_owned).into();
    let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("good settings");
    let broker = BrokerConfig::new(&ConfigLayers::of_start(&fixed), "b").expect("good settings");
    let start = Start {
        broker: Arc::new(broker),
        fixed: Arc::new(fixed),
        cluster_id: None,
        addresses: vec![([0, 0, 0, 0], PORT).into()],
        shard_memory_bytes: 0,
        store_sizes: None,
        on_listening: Arc::new(|_| {}),
    };
    run_shard(reactor, mesh, start).await.expect("the directory is good");
}

async fn connect(reactor: &Reactor, address: SocketAddr) -> Socket {
    loop {
        match reactor.connect(address).await {
            Ok(socket) => return socket,
            Err(_) => reactor.sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn ask<R: Request>(socket: &Socket, request: &R, version: i16) -> R::Response {
    let mut body = Writer::default();
    request.encode(&mut body, version).expect("fields of this version");
    let header = [&R::KEY.code().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff]].concat();
    let flexible = R::KEY.request_header_version(version) == 2;
    let tags: &[u8] = if flexible { &[0] } else { &[] };
    let frame = [&header, tags, &body.into_bytes()].concat();
    let size = u32::try_from(frame.len()).expect("small").to_be_bytes();
    socket.send(vec![[&size[..], &frame].concat()[..].into()]).await.expect("the broker is there");
    let mut bytes = Vec::new();
    loop {
        if let Some((size, rest)) = bytes.split_first_chunk::<4>()
            && rest.len() == usize::try_from(u32::from_be_bytes(*size)).expect("a size")
        {
            let header_bytes = if R::KEY.response_header_version(version) == 1 { 5 } else { 4 };
            let response = R::Response::decode(&mut Reader::new(&rest[header_bytes..]), version);
            return response.expect("the version that was asked for");
        }
        bytes.extend_from_slice(&socket.recv().await.expect("the broker is there"));
    }
}

/// Produces a batch of about so many bytes.
async fn produce(socket: &Socket, bytes: usize) {
    let mut batch = BatchBuilder::new();
    let value = vec![7; bytes];
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch.build()) }];
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data, ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() };
    assert_eq!(ask(socket, &request, 7).await.responses[0].partition_responses[0].error_code, 0);
}

/// What a fetch asks for.
#[derive(Clone, Copy)]
struct Wanted {
    offset: i64,
    min_bytes: i32,
    partition_max_bytes: i32,
}

async fn fetch(socket: &Socket, wanted: Wanted, version: i16, topic_id: Uuid) -> PartitionData {
    let Wanted { offset: fetch_offset, min_bytes, partition_max_bytes } = wanted;
    let partitions = vec![FetchPartition { fetch_offset, partition_max_bytes, ..FetchPartition::default() }];
    let mut topic = FetchTopic { partitions, ..FetchTopic::default() };
    if version < TOPIC_ID_VERSION_MIN {
        TOPIC.clone_into(&mut topic.topic);
    } else {
        topic.topic_id = topic_id;
    }
    let max_wait_ms = i32::try_from(LONG.as_millis()).expect("small");
    let request =
        FetchRequest { max_wait_ms, min_bytes, max_bytes: i32::MAX, topics: vec![topic], ..FetchRequest::default() };
    let mut response = ask(socket, &request, version).await;
    response.responses.remove(0).partitions.remove(0)
}

impl Broker {
    fn produce(&mut self, batches: usize, bytes: usize) {
        let address = self.address;
        self.sim.block_on("producer", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            for _ in 0..batches {
                produce(&socket, bytes).await;
            }
        });
    }
}

/// Produces batches, fetches, and answers what came and how long that took.
fn fetch_of(batches: usize, bytes: usize, wanted: Wanted) -> (PartitionData, Duration) {
    let mut broker = broker();
    broker.produce(batches, bytes);
    let (address, topic_id, begin) = (broker.address, broker.topic_id, broker.sim.now());
    let data = broker.sim.block_on("consumer", move |reactor| async move {
        fetch(&connect(&reactor, address).await, wanted, 11, topic_id).await
    });
    (data, broker.sim.now() - begin)
}

fn bytes_of(data: &PartitionData) -> usize {
    assert_eq!(data.error_code, 0);
    data.records.as_ref().map_or(0, Vec::len)
}

#[test]
fn a_fetch_waits_for_as_much_as_it_asks_for() {
    let (data, time) = fetch_of(3, 50_000, Wanted { offset: 0, min_bytes: 200_000, partition_max_bytes: 1 << 20 });
    assert_eq!(bytes_of(&data) / 50_000, 3);
    assert!(time >= LONG, "{time:?}");
    let (data, time) = fetch_of(3, 50_000, Wanted { offset: 1, min_bytes: 100_000, partition_max_bytes: 1 << 20 });
    assert_eq!(bytes_of(&data) / 50_000, 2);
    assert!(time < LONG / 10, "{time:?}");
}

/// What the next segment holds does not come by waiting.
#[test]
fn a_fetch_that_ends_with_a_segment_is_answered_at_once() {
    let wanted = Wanted { offset: 0, min_bytes: 4 << 20, partition_max_bytes: 8 << 20 };
    let (data, time) = fetch_of(12, 200_000, wanted);
    assert!((1..=SEGMENT_BYTES).contains(&bytes_of(&data)));
    assert!(time < LONG / 10, "{time:?}");
    // In the last segment it waits.
    let (data, time) = fetch_of(12, 200_000, Wanted { offset: 11, ..wanted });
    assert_eq!(bytes_of(&data) / 200_000, 1);
    assert!(time >= LONG, "{time:?}");
}

/// Kafka fills the limit with a part of the next batch, so a minimum close to it is reached there.
#[test]
fn a_fetch_that_its_limit_ends_has_got_the_limit() {
    let wanted = Wanted { offset: 0, min_bytes: 100_000, partition_max_bytes: 100_000 };
    let (data, time) = fetch_of(10, 30_000, wanted);
    assert_eq!(bytes_of(&data) / 30_000, 3);
    assert!(time < LONG / 10, "{time:?}");
}

/// A consumer learns from the error that it needs new metadata.
#[test]
fn a_topic_that_is_deleted_while_the_disk_is_read_is_not_known_any_more() {
    for (version, code) in [(11, ErrorCode::UnknownTopicOrPartition), (13, ErrorCode::UnknownTopicId)] {
        let mut broker = broker();
        broker.produce(3, 50_000);
        // Nothing is in memory then.
        broker.sim.kill(broker.node);
        broker.sim.restart(broker.node, 1, run);
        broker.sim.run_for(Duration::from_secs(1));
        broker.sim.disk(broker.node).fault(DiskFault {
            operation: DiskOperation::Read,
            path_contains: ".log".to_owned(),
            trigger: Trigger::Always,
            effect: DiskEffect::Delay(Duration::from_secs(2)),
        });
        let (address, topic_id) = (broker.address, broker.topic_id);
        let wanted = Wanted { offset: 0, min_bytes: 1, partition_max_bytes: 1 << 20 };
        let consumer = broker.sim.spawn_client("consumer", move |reactor| async move {
            fetch(&connect(&reactor, address).await, wanted, version, topic_id).await
        });
        broker.sim.run_for(Duration::from_millis(500));
        let deletion = broker.sim.spawn_client("deletion", move |reactor| async move {
            let topic_names = vec![TOPIC.to_owned()];
            let request = DeleteTopicsRequest { topic_names, timeout_ms: 5000, ..DeleteTopicsRequest::default() };
            ask(&connect(&reactor, address).await, &request, 5).await.responses[0].error_code
        });
        assert!(!consumer.is_finished());
        broker.sim.run_until(|_| consumer.is_finished() && deletion.is_finished());
        assert_eq!(deletion.take(), Some(0));
        assert_eq!(consumer.take().expect("has finished").error_code, code.code(), "version {version}");
    }
}
