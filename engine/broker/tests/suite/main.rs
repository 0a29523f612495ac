//! A whole broker in the simulator, and clients that speak to it frame by frame.
#![forbid(unsafe_code)]

mod administration;
mod cluster_settings;
mod connections;
mod deletions;
mod descriptors;
mod ending;
mod fetching;
mod floods;
mod groups;
mod log_dirs;
mod logs;
mod long_texts;
mod memory;
mod metrics;
mod moving;
mod quotas;
mod recording;
mod resizing;
mod retention;
mod sequences;
mod telemetry;
mod timeouts;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_broker::{BrokerEnd, Logging, ShardMessage, Start, StartError, run_shard};
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Sources, StaticConfig};
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{Message, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_reactor::sim::{Node, Sim, SimOptions};
use ringlog_reactor::{Mesh, Reactor, Signal, Socket};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;

const PORT: u16 = 9092;
const ADMIN_PORT: u16 = 9644;
const SHARDS: usize = 2;
const TOPIC: &str = "topic";
/// Both shards own some of so many partitions.
const PARTITIONS: i32 = 8;

type Ends = Rc<RefCell<Vec<Result<BrokerEnd, StartError>>>>;

struct Broker {
    sim: Sim,
    node: Node,
    start: Start,
    ends: Ends,
}

/// What a shard does, and to whom it tells how it ended.
async fn run(reactor: Reactor, mesh: Mesh<ShardMessage>, start: Start, ends: Ends) {
    let end = run_shard(reactor, mesh, start).await;
    ends.borrow_mut().push(end);
}

impl Broker {
    fn start(seed: u64, settings: &[&str]) -> Self {
        Self::start_with(seed, settings, SimOptions::default())
    }

    fn start_with(seed: u64, settings: &[&str], options: SimOptions) -> Self {
        Self::start_on(seed, settings, options, "log.dirs=data")
    }

    /// With these data directories.
    fn start_in(seed: u64, settings: &[&str], dirs: &str) -> Self {
        Self::start_on(seed, settings, SimOptions::default(), dirs)
    }

    fn start_on(seed: u64, settings: &[&str], options: SimOptions, dirs: &str) -> Self {
        let start = start(settings, dirs);
        let mut sim = Sim::new(seed, options);
        let ends = Ends::default();
        let program = {
            let (start, ends) = (start.clone(), Rc::clone(&ends));
            move |reactor, mesh| run(reactor, mesh, start.clone(), Rc::clone(&ends))
        };
        let node = sim.start_node("broker", SHARDS, program);
        Self { sim, node, start, ends }
    }

    /// The next start has these data directories.
    fn set_dirs(&mut self, dirs: &str) {
        self.start = start(&[], dirs);
    }

    fn kill_and_restart(&mut self) {
        self.sim.kill(self.node);
        let (start, ends) = (self.start.clone(), Rc::clone(&self.ends));
        self.sim.restart(self.node, SHARDS, move |reactor, mesh| run(reactor, mesh, start.clone(), Rc::clone(&ends)));
    }

    fn address(&self) -> SocketAddr {
        self.sim.address(self.node, PORT)
    }

    /// Tells the broker to stop, and answers how long that took.
    fn stop(&mut self) -> Duration {
        let begin = self.sim.now();
        self.sim.signal(self.node, Signal::Terminate);
        let node = self.node;
        self.sim.run_until(|sim| !sim.is_running(node));
        let ends = self.ends.borrow();
        assert_eq!(ends.len(), SHARDS);
        assert!(ends.iter().all(|end| matches!(end, Ok(BrokerEnd::Clean))), "{ends:?}");
        self.sim.now() - begin
    }
}

fn start(settings: &[&str], dirs: &str) -> Start {
    let mut set = vec!["listeners=PLAINTEXT://:9092".to_owned(), "advertised.listeners=PLAINTEXT://b:9092".to_owned()];
    set.extend(settings.iter().map(|setting| (*setting).to_owned()));
    set.push(dirs.to_owned());
    let (fixed, _) = StaticConfig::load(&Sources { set: &set, ..Sources::default() }).expect("good settings");
    let broker = BrokerConfig::new(&ConfigLayers::of_start(&fixed), "b").expect("good settings");
    Start {
        broker: Arc::new(broker),
        fixed: Arc::new(fixed),
        cluster_id: None,
        addresses: vec![([0, 0, 0, 0], PORT).into()],
        admin_address: Some(([0, 0, 0, 0], ADMIN_PORT).into()),
        shard_memory_bytes: 0,
        journal_bytes_max: 256 << 20,
        open_files_max: 0,
        store_sizes: None,
        logging: Logging::default(),
        on_listening: Arc::new(|_| {}),
    }
}

async fn connect(reactor: &Reactor, address: SocketAddr) -> Socket {
    loop {
        match reactor.connect(address).await {
            Ok(socket) => return socket,
            Err(_) => reactor.sleep(Duration::from_millis(1)).await,
        }
    }
}

fn frame<R: Request>(request: &R, version: i16) -> Vec<u8> {
    frame_of(None, request, version)
}

/// A request of a client with this id.
fn frame_of<R: Request>(client_id: Option<&str>, request: &R, version: i16) -> Vec<u8> {
    let mut body = Writer::default();
    request.encode(&mut body, version).expect("fields of this version");
    let mut header = [R::KEY.code().to_be_bytes(), version.to_be_bytes()].concat();
    header.extend_from_slice(&[0, 0, 0, 7]);
    let id_bytes = client_id.map_or(-1, |client_id| i16::try_from(client_id.len()).expect("a short id"));
    header.extend_from_slice(&id_bytes.to_be_bytes());
    header.extend_from_slice(client_id.unwrap_or("").as_bytes());
    if R::KEY.request_header_version(version) == 2 {
        header.push(0);
    }
    let body = body.into_bytes();
    let size = i32::try_from(header.len() + body.len()).expect("small");
    [&size.to_be_bytes()[..], &header, &body].concat()
}

async fn send<R: Request>(socket: &Socket, request: &R, version: i16) {
    socket.send(vec![frame(request, version)[..].into()]).await.expect("the broker is there");
}

/// The next response; `None` when the broker has ended the connection.
async fn receive<R: Request>(socket: &Socket, version: i16) -> Option<R::Response> {
    let mut bytes = Vec::new();
    loop {
        if let Some((size, rest)) = bytes.split_first_chunk::<4>()
            && rest.len() == usize::try_from(i32::from_be_bytes(*size)).expect("a size")
        {
            let header_bytes = if R::KEY.response_header_version(version) == 1 { 5 } else { 4 };
            let response = R::Response::decode(&mut Reader::new(&rest[header_bytes..]), version);
            return Some(response.expect("the version that was asked for"));
        }
        let received = socket.recv().await.ok().filter(|received| !received.is_empty())?;
        bytes.extend_from_slice(&received);
    }
}

async fn ask<R: Request>(socket: &Socket, request: &R, version: i16) -> R::Response {
    send(socket, request, version).await;
    receive::<R>(socket, version).await.expect("an answer")
}

async fn create_topic(socket: &Socket) {
    let topic = CreatableTopic {
        name: TOPIC.to_owned(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
    assert_eq!(ask(socket, &request, 5).await.topics[0].error_code, 0);
}

fn fetch(wait_ms: i32) -> FetchRequest {
    let partition = |partition| FetchPartition { partition, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic {
        topic: TOPIC.to_owned(),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..FetchTopic::default()
    };
    FetchRequest { max_wait_ms: wait_ms, min_bytes: 1, topics: vec![topic], ..FetchRequest::default() }
}

/// A batch for each partition of the topic.
fn produce(value_bytes: usize) -> ProduceRequest {
    produce_to(PARTITIONS, value_bytes)
}

fn produce_to(partitions: i32, value_bytes: usize) -> ProduceRequest {
    produce_batch(partitions, value_bytes, BatchBuilder::new())
}

fn produce_batch(partitions: i32, value_bytes: usize, mut batch: BatchBuilder) -> ProduceRequest {
    let value = vec![7; value_bytes];
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let partition = |index| PartitionProduceData { index, records: Some(batch.build()) };
    let partition_data = (0..partitions).map(partition).collect();
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data, ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() }
}
