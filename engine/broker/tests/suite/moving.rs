//! Connections go from shard to shard when another number of shards is in use, and their clients do not notice.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_net::messages::fetch::FetchRequest;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ringlog_net::wire::Reader;
use ringlog_reactor::sim::SimOptions;
use ringlog_reactor::{Limits, Reactor, Socket};
use ringlog_storage::batch::{BatchBuilder, Record, split};
use ringlog_storage::types::Millis;

use crate::metrics::{get, sample};
use crate::resizing::set_shards;
use crate::{ADMIN_PORT, Broker, PARTITIONS, TOPIC, ask, connect, create_topic, fetch, receive, send};

const PRODUCERS: u32 = 40;
/// Requests that each of them has under way.
const PIPELINED: usize = 4;
const PRODUCE_VERSION: i16 = 7;

fn partition_of(producer: u32) -> i32 {
    i32::try_from(producer).expect("small") % PARTITIONS
}

/// A numbered batch for the partition of a producer; the number is the correlation id, too.
fn numbered(producer: u32, number: u32) -> Vec<u8> {
    // Some are large enough to be received into memory of their own.
    let bytes = if number % 9 == 8 { 40_000 } else { 10 };
    let value = [&producer.to_be_bytes()[..], &number.to_be_bytes(), &vec![7; bytes]].concat();
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let data = PartitionProduceData { index: partition_of(producer), records: Some(batch.build()) };
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data: vec![data], ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() };
    let mut frame = crate::frame(&request, PRODUCE_VERSION);
    frame[8..12].copy_from_slice(&number.to_be_bytes());
    frame
}

/// Takes answers out of what has arrived, and checks that each is the next one.
fn take_answers(arrived: &mut Vec<u8>, expected: &mut VecDeque<u32>) {
    while let Some((size, rest)) = arrived.split_first_chunk::<4>() {
        let size = usize::try_from(i32::from_be_bytes(*size)).expect("a size");
        let Some(answer) = rest.get(..size) else { return };
        let (id, body) = answer.split_first_chunk::<4>().expect("a correlation id");
        assert_eq!(Some(u32::from_be_bytes(*id)), expected.pop_front(), "answers keep the order of requests");
        let body = ProduceResponse::decode(&mut Reader::new(body), PRODUCE_VERSION).expect("an answer");
        assert_eq!(body.responses[0].partition_responses[0].error_code, 0);
        arrived.drain(..4 + size);
    }
}

/// Has requests under way all the time, cut where it happens, until told to stop. Answers how many.
async fn produce_pipelined(reactor: Reactor, address: SocketAddr, producer: u32, stop: Rc<Cell<bool>>) -> u32 {
    let socket = connect(&reactor, address).await;
    let (mut arrived, mut expected, mut next) = (Vec::new(), VecDeque::new(), 0);
    loop {
        if stop.get() && expected.is_empty() {
            return next;
        }
        if !stop.get() && expected.len() < PIPELINED {
            let frame = numbered(producer, next);
            let cut = usize::try_from(reactor.random_u64() % 60).expect("small").min(frame.len());
            for part in [&frame[..cut], &frame[cut..]] {
                socket.send(vec![part.into()]).await.expect("no connection ends");
                if reactor.random_u64().is_multiple_of(4) {
                    reactor.sleep(Duration::from_micros(reactor.random_u64() % 3000)).await;
                }
            }
            expected.push_back(next);
            next += 1;
            continue;
        }
        let received = socket.recv().await.expect("no connection ends");
        assert!(!received.is_empty(), "no connection ends");
        arrived.extend_from_slice(&received);
        take_answers(&mut arrived, &mut expected);
    }
}

type Values = Vec<Vec<(u32, u32)>>;

/// Reads every partition, and waits for more, until told that this is all. Answers the values.
async fn consume(reactor: Reactor, address: SocketAddr, is_all: Rc<Cell<bool>>) -> Values {
    let socket = connect(&reactor, address).await;
    let mut values = vec![Vec::new(); usize::try_from(PARTITIONS).expect("few")];
    let mut request = fetch(400);
    loop {
        let was_all = is_all.get();
        send(&socket, &request, 11).await;
        let response = receive::<FetchRequest>(&socket, 11).await.expect("no connection ends");
        let mut is_over = was_all;
        for (partition, asked) in response.responses[0].partitions.iter().zip(&mut request.topics[0].partitions) {
            assert_eq!(partition.error_code, 0);
            for batch in split(partition.records.as_deref().unwrap_or_default()) {
                values[usize::try_from(partition.partition_index).expect("an index")]
                    .push(numbers_of(batch.expect("sound batches").bytes()));
                asked.fetch_offset += 1;
            }
            is_over &= asked.fetch_offset == partition.high_watermark;
        }
        if is_over {
            return values;
        }
    }
}

/// The producer and the number in a batch of one record, whose value ends before the count of its headers.
fn numbers_of(batch: &[u8]) -> (u32, u32) {
    let filler = batch[..batch.len() - 1].iter().rev().take_while(|byte| **byte == 7).count();
    // A number may end like the filler goes on.
    let filler = if filler >= 40_000 { 40_000 } else { 10 };
    let value = &batch[batch.len() - 1 - filler - 8..];
    let number = |at: usize| u32::from_be_bytes(value[at..at + 4].try_into().expect("four bytes"));
    (number(0), number(4))
}

/// Connects again and again: whoever comes is served, whatever becomes of the shard that accepts.
async fn come_again_and_again(reactor: Reactor, address: SocketAddr, stop: Rc<Cell<bool>>) {
    while !stop.get() {
        let socket = reactor.connect(address).await.expect("nobody is turned away");
        ask(&socket, &MetadataRequest::default(), 1).await;
    }
}

/// Connections that each shard has.
async fn connections(reactor: &Reactor, admin: SocketAddr) -> [f64; 2] {
    let (_, metrics) = get(reactor, admin, "/metrics").await;
    ["0", "1"].map(|shard| sample(&metrics, &format!("ringlog_connections{{shard=\"{shard}\"}}")).expect("it is there"))
}

async fn moved(reactor: &Reactor, admin: SocketAddr) -> f64 {
    let (_, metrics) = get(reactor, admin, "/metrics").await;
    let of = |shard| sample(&metrics, &format!("ringlog_connections_moved_total{{shard=\"{shard}\"}}"));
    of(0).expect("it is there") + of(1).expect("it is there")
}

#[test]
fn clients_do_not_notice_that_their_connections_move() {
    for seed in 0..3 {
        let mut broker = Broker::start(seed, &[]);
        let (address, admin) = (broker.address(), broker.sim.address(broker.node, ADMIN_PORT));
        broker
            .sim
            .block_on("setup", move |reactor| async move { create_topic(&connect(&reactor, address).await).await });
        let (stop, is_all) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let stop = Rc::clone(&stop);
                broker.sim.spawn_client("producer", move |reactor| produce_pipelined(reactor, address, producer, stop))
            })
            .collect();
        let comer = {
            let stop = Rc::clone(&stop);
            broker.sim.spawn_client("comer", move |reactor| come_again_and_again(reactor, address, stop))
        };
        let consumer = {
            let is_all = Rc::clone(&is_all);
            broker.sim.spawn_client("consumer", move |reactor| consume(reactor, address, is_all))
        };
        broker.sim.block_on("resizer", move |reactor| async move {
            for shards in [1, 2, 1, 2, 1, 2, 1, 2] {
                reactor.sleep(Duration::from_micros(reactor.random_u64() % 60_000)).await;
                set_shards(&reactor, address, shards).await;
            }
            reactor.sleep(Duration::from_millis(300)).await;
            let [first, second] = connections(&reactor, admin).await;
            assert!((first - second).abs() <= 12.0 && first + second >= 41.0, "{first} and {second} connections");
            assert!(moved(&reactor, admin).await >= 60.0);
            set_shards(&reactor, address, 1).await;
            reactor.sleep(Duration::from_millis(300)).await;
            let [first, second] = connections(&reactor, admin).await;
            assert!(first >= 41.0 && second < 0.5, "{first} and {second} connections");
        });
        stop.set(true);
        broker
            .sim
            .run_until(|_| comer.is_finished() && producers.iter().all(ringlog_reactor::sim::Client::is_finished));
        is_all.set(true);
        broker.sim.run_until(|_| consumer.is_finished());
        let values = consumer.take().expect("it is finished");
        for (producer, client) in (0..).zip(&producers) {
            let of_partition = &values[usize::try_from(partition_of(producer)).expect("an index")];
            let numbers: Vec<u32> =
                of_partition.iter().filter(|(of, _)| *of == producer).map(|(_, number)| *number).collect();
            let count = client.take().expect("it is finished");
            assert!(count > 10 && numbers == (0..count).collect::<Vec<_>>(), "{producer}: {count}, {numbers:?}");
        }
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

/// Clients whose groups wait for others before they answer their first member.
async fn join_groups(reactor: &Reactor, address: SocketAddr) -> Vec<Socket> {
    let first = connect(reactor, address).await;
    let coordinator = FindCoordinatorRequest { key: "group".to_owned(), ..FindCoordinatorRequest::default() };
    while ask(&first, &coordinator, 3).await.error_code != 0 {
        reactor.sleep(Duration::from_millis(10)).await;
    }
    let mut sockets = Vec::new();
    for number in 0..GROUPS {
        let socket = connect(reactor, address).await;
        let protocols =
            vec![JoinGroupRequestProtocol { name: "range".to_owned(), ..JoinGroupRequestProtocol::default() }];
        let request = JoinGroupRequest {
            group_id: format!("group-{number}"),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols,
            ..JoinGroupRequest::default()
        };
        send(&socket, &request, 2).await;
        sockets.push(socket);
    }
    reactor.sleep(Duration::from_millis(200)).await;
    sockets
}

async fn are_answered(sockets: &[Socket]) {
    for socket in sockets {
        receive::<JoinGroupRequest>(socket, 2).await.expect("no connection ends");
        ask(socket, &MetadataRequest::default(), 1).await;
    }
}

const GROUPS: u32 = 12;

#[test]
fn a_connection_goes_when_its_requests_are_answered() {
    let mut broker = Broker::start(3, &["group.initial.rebalance.delay.ms=10000"]);
    let (address, admin) = (broker.address(), broker.sim.address(broker.node, ADMIN_PORT));
    broker.sim.block_on("client", move |reactor| async move {
        let sockets = join_groups(&reactor, address).await;
        set_shards(&reactor, address, 1).await;
        reactor.sleep(Duration::from_secs(8)).await;
        // Those whose coordinator has moved, too, were told so, and have gone.
        let [_, waited_for] = connections(&reactor, admin).await;
        assert!(waited_for > 0.5, "some wait for their group");
        are_answered(&sockets).await;
        reactor.sleep(Duration::from_secs(16)).await;
        let [first, second] = connections(&reactor, admin).await;
        assert!(second < 0.5 && (first - f64::from(GROUPS)).abs() < 0.5, "{first} and {second}");
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

#[test]
fn a_connection_that_does_not_come_to_rest_stays_where_it_may() {
    let mut broker = Broker::start(3, &["group.initial.rebalance.delay.ms=10000", "ringlog.shards=1"]);
    let (address, admin) = (broker.address(), broker.sim.address(broker.node, ADMIN_PORT));
    broker.sim.block_on("client", move |reactor| async move {
        let sockets = join_groups(&reactor, address).await;
        set_shards(&reactor, address, 2).await;
        are_answered(&sockets).await;
        reactor.sleep(Duration::from_secs(1)).await;
        let [first, second] = connections(&reactor, admin).await;
        assert!(second > 0.5 && first > f64::from(GROUPS / 2) + 0.5, "{first} and {second}");
    });
    assert!(broker.stop() < Duration::from_secs(1));
}

#[test]
fn limits_count_connections_that_have_moved_once() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &["max.connections.per.ip=6", "max.connections=20"]);
        let (address, admin) = (broker.address(), broker.sim.address(broker.node, ADMIN_PORT));
        broker.sim.spawn_client("resizer", move |reactor| async move {
            for shards in [1, 2].into_iter().cycle().take(9) {
                reactor.sleep(Duration::from_millis(50)).await;
                set_shards(&reactor, address, shards).await;
            }
        });
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = Vec::new();
            for _ in 0..6 {
                let socket = connect(&reactor, address).await;
                ask(&socket, &MetadataRequest::default(), 1).await;
                sockets.push(socket);
            }
            for _ in 0..20 {
                reactor.sleep(Duration::from_millis(40)).await;
                for socket in &sockets {
                    ask(socket, &MetadataRequest::default(), 1).await;
                }
                assert!(is_turned_away(&reactor, address).await, "the address has all that it may have");
            }
            assert!(moved(&reactor, admin).await >= 6.0);
            sockets.pop();
            reactor.sleep(Duration::from_millis(500)).await;
            ask(&connect(&reactor, address).await, &MetadataRequest::default(), 1).await;
        });
        assert!(broker.stop() < Duration::from_secs(1));
    }
}

async fn is_turned_away(reactor: &Reactor, address: SocketAddr) -> bool {
    let socket: Socket = connect(reactor, address).await;
    let frame = crate::frame(&MetadataRequest::default(), 1);
    socket.send(vec![frame[..].into()]).await.is_err() || receive::<MetadataRequest>(&socket, 1).await.is_none()
}

/// Connects so many times. The answer comes on every connection.
async fn open(reactor: &Reactor, address: SocketAddr, count: usize) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        sockets.push(connect(reactor, address).await);
    }
    ask_all(&sockets).await;
    sockets
}

async fn ask_all(sockets: &[Socket]) {
    for socket in sockets {
        ask(socket, &MetadataRequest::default(), 1).await;
    }
}

#[test]
fn connections_stay_where_they_are_until_there_is_room_elsewhere() {
    const SOCKETS_MAX: usize = 40;
    let limits = Limits { sockets: SOCKETS_MAX, ..SimOptions::default().limits };
    for seed in 0..4 {
        let mut broker = Broker::start_with(seed, &[], SimOptions { limits, ..SimOptions::default() });
        let (address, admin) = (broker.address(), broker.sim.address(broker.node, ADMIN_PORT));
        let go_on = Rc::new(Cell::new(true));
        let other = {
            let go_on = Rc::clone(&go_on);
            broker.sim.spawn_client("other", move |reactor| async move {
                let sockets = open(&reactor, address, 14).await;
                while go_on.get() {
                    reactor.sleep(Duration::from_secs(1)).await;
                    ask_all(&sockets).await;
                }
            })
        };
        broker.sim.block_on("client", move |reactor| async move {
            let mut sockets = open(&reactor, address, 14).await;
            set_shards(&reactor, address, 1).await;
            reactor.sleep(Duration::from_secs(20)).await;
            let [_, left] = connections(&reactor, admin).await;
            assert!(left >= 4.0, "all others have no room for {left}");
            // Who comes in now is served too, wherever there is room.
            sockets.extend(open(&reactor, address, 3).await);
            ask_all(&sockets).await;
            sockets.truncate(4);
            reactor.sleep(Duration::from_secs(20)).await;
            ask_all(&sockets).await;
            let [first, second] = connections(&reactor, admin).await;
            assert!((first - 18.0).abs() < 0.5 && second < 0.5, "{first} and {second}");
        });
        go_on.set(false);
        broker.sim.run_until(|_| other.is_finished());
        other.take().expect("no connection ends");
        assert!(broker.stop() < Duration::from_secs(1));
    }
}
