//! How connections and the broker end, in the simulator: clients that stall, vanish or wait hold up nobody.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_broker::{BrokerEnd, ShardMessage, Start, StartError, run_shard};
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Sources, StaticConfig};
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::messages::init_producer_id::InitProducerIdRequest;
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{Message, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_reactor::sim::{Node, Sim, SimOptions};
use ringlog_reactor::{Mesh, Reactor, Signal, Socket};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::Millis;

const PORT: u16 = 9092;
const SHARDS: usize = 2;
const TOPIC: &str = "topic";
/// Both shards own some of so many partitions.
const PARTITIONS: i32 = 8;

type Ends = Rc<RefCell<Vec<Result<BrokerEnd, StartError>>>>;

struct Broker {
    sim: Sim,
    node: Node,
    ends: Ends,
}

impl Broker {
    fn start(seed: u64, settings: &[&str]) -> Self {
        let mut set =
            vec!["listeners=PLAINTEXT://:9092".to_owned(), "advertised.listeners=PLAINTEXT://b:9092".to_owned()];
        set.extend(settings.iter().map(|setting| (*setting).to_owned()));
        set.push("log.dirs=data".to_owned());
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
        let mut sim = Sim::new(seed, SimOptions::default());
        let ends = Ends::default();
        let of_shards = Rc::clone(&ends);
        let node = sim.start_node("broker", SHARDS, move |reactor: Reactor, mesh: Mesh<ShardMessage>| {
            let (start, ends) = (start.clone(), Rc::clone(&of_shards));
            async move {
                let end = run_shard(reactor, mesh, start).await;
                ends.borrow_mut().push(end);
            }
        });
        Self { sim, node, ends }
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

async fn connect(reactor: &Reactor, address: SocketAddr) -> Socket {
    loop {
        match reactor.connect(address).await {
            Ok(socket) => return socket,
            Err(_) => reactor.sleep(Duration::from_millis(1)).await,
        }
    }
}

fn frame<R: Request>(request: &R, version: i16) -> Vec<u8> {
    let mut body = Writer::default();
    request.encode(&mut body, version).expect("fields of this version");
    let mut header = [R::KEY.code().to_be_bytes(), version.to_be_bytes()].concat();
    header.extend_from_slice(&[0, 0, 0, 7, 0xff, 0xff]);
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

fn produce(value_bytes: usize) -> ProduceRequest {
    let mut batch = BatchBuilder::new();
    let value = vec![7; value_bytes];
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let partition = |index| PartitionProduceData { index, records: Some(batch.build()) };
    let partition_data = (0..PARTITIONS).map(partition).collect();
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data, ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// A stop answers fetches that wait with what there is, instead of waiting for them.
#[test]
fn a_long_poll_does_not_hold_up_a_stop() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("setup", move |reactor| async move {
        create_topic(&connect(&reactor, address).await).await;
    });
    let poll = broker.sim.spawn_client("poll", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        send(&socket, &fetch(60_000), 11).await;
        receive::<FetchRequest>(&socket, 11).await.expect("an answer").responses.len()
    });
    broker.sim.run_for(Duration::from_millis(100));
    assert!(!poll.is_finished());
    let time = broker.stop();
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert_eq!(poll.take(), Some(1));
}

/// All shards end their connections before any of them closes: requests in flight reach all of them to the end.
#[test]
fn requests_in_flight_are_answered_before_a_stop() {
    for seed in 0..20 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        let clients: Vec<_> = (0..4)
            .map(|_| {
                broker.sim.spawn_client("producer", move |reactor| async move {
                    let socket = connect(&reactor, address).await;
                    // Until the broker ends the connection, everything is answered, and well.
                    let mut answered = 0;
                    for _ in 0..1000 {
                        if socket.send(vec![frame(&produce(100), 7)[..].into()]).await.is_err() {
                            break;
                        }
                        let Some(response) = receive::<ProduceRequest>(&socket, 7).await else { break };
                        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
                        assert!(partitions.all(|partition| partition.error_code == 0), "{response:?}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        broker.sim.run_for(Duration::from_millis(20));
        let time = broker.stop();
        assert!(time < Duration::from_secs(1), "seed {seed}: {time:?}");
        assert!(clients.iter().any(|client| client.take() > Some(0)), "seed {seed}: nothing was produced");
    }
}

/// A peer that never reads is cut off once its connection is idle, and does not hold up a stop for ever.
#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut broker = Broker::start(3, &["connections.max.idle.ms=5000"]);
    let address = broker.address();
    let stalled = broker.sim.spawn_client("stalled", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        ask(&socket, &produce(100_000), 7).await;
        for _ in 0..40 {
            send(&socket, &fetch(0), 11).await;
        }
        reactor.sleep(Duration::from_mins(1)).await;
        // What was on its way is there; then the connection is over.
        let mut bytes = 0;
        while let Ok(received) = socket.recv().await
            && !received.is_empty()
        {
            bytes += received.len();
        }
        bytes
    });
    broker.sim.run_until(|_| stalled.is_finished());
    let bytes = stalled.take().expect("has finished");
    assert!((1..40 * 800_000).contains(&bytes), "{bytes} bytes came");
    assert!(broker.stop() < Duration::from_secs(1));
}

/// Connections that vanish in the midst of large frames, while they wait for memory or not, leave all of it behind.
#[test]
fn memory_for_frames_comes_back_whatever_becomes_of_their_connections() {
    for seed in 0..10 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        let clients: Vec<_> = (0..12_u64)
            .map(|number| {
                broker.sim.spawn_client("vanishing", move |reactor| async move {
                    for round in 0..3 {
                        let socket = connect(&reactor, address).await;
                        // An answer that cannot be sent is what ends the connection early.
                        send(&socket, &produce(10), 7).await;
                        let large = frame(&produce(250_000), 7);
                        let part = large.len() * usize::try_from((number + round) % 4 + 1).expect("small") / 5;
                        let sent = reactor.timeout(socket.send(vec![large[..part].into()]), Duration::from_millis(50));
                        let _ = sent.await;
                        drop(socket);
                    }
                })
            })
            .collect();
        broker.sim.run_until(|_| clients.iter().all(ringlog_reactor::sim::Client::is_finished));
        // Whole frames are still taken.
        broker.sim.block_on("after", move |reactor| async move {
            let sockets = [connect(&reactor, address).await, connect(&reactor, address).await];
            for _ in 0..8 {
                for socket in &sockets {
                    let asked = reactor.timeout(ask(socket, &produce(250_000), 7), Duration::from_secs(5)).await;
                    let response = asked.expect("there is memory");
                    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
                }
            }
        });
        assert!(broker.stop() < Duration::from_secs(1), "seed {seed}");
    }
}

/// Many clients that ask for producer ids at the same moment share one block, and nobody spins until it is there.
#[test]
fn producer_ids_are_given_to_all_who_ask_at_once() {
    let mut broker = Broker::start(5, &[]);
    let address = broker.address();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            broker.sim.spawn_client("producer", move |reactor| async move {
                let socket = connect(&reactor, address).await;
                let request = InitProducerIdRequest::default();
                let response = ask(&socket, &InitProducerIdRequest { transactional_id: None, ..request }, 4).await;
                assert_eq!(response.error_code, 0);
                response.producer_id
            })
        })
        .collect();
    broker.sim.run_until(|_| clients.iter().all(ringlog_reactor::sim::Client::is_finished));
    let mut ids: Vec<_> = clients.iter().filter_map(ringlog_reactor::sim::Client::take).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}
