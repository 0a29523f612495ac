//! Producers whose batches wait for room, while their partitions go from shard to shard.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_broker::StoreSizes;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::init_producer_id::InitProducerIdRequest;
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ringlog_net::wire::Reader;
use ringlog_reactor::sim::{Client, SimOptions};
use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::batch::{BatchBuilder, Producer, Record};
use ringlog_storage::config::StoreConfig;
use ringlog_storage::types::{Millis, ProducerEpoch, ProducerId, Sequence, ShardId};

use crate::resizing::{read_all, set_shards};
use crate::{Broker, TOPIC, ask, connect, create_topic, receive, send};

/// A numbered batch of an idempotent producer, or of one that is none.
fn in_sequence(producer: Producer, number: u32, partition: i32, filler: usize) -> ProduceRequest {
    let value = [&vec![7; filler][..], &0_u32.to_be_bytes(), &number.to_be_bytes()].concat();
    let mut batch = BatchBuilder::new().producer(producer);
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let data = PartitionProduceData { index: partition, records: Some(batch.build()) };
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data: vec![data], ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// The next answer of several that may arrive together.
async fn next_answer(socket: &Socket, arrived: &mut Vec<u8>) -> ProduceResponse {
    loop {
        let size =
            arrived.first_chunk::<4>().map(|size| 4 + usize::try_from(i32::from_be_bytes(*size)).expect("a size"));
        if let Some(size) = size.filter(|size| arrived.len() >= *size) {
            let frame: Vec<u8> = arrived.drain(..size).collect();
            return ProduceResponse::decode(&mut Reader::new(&frame[8..]), 7).expect("an answer");
        }
        let received = socket.recv().await.expect("no connection ends");
        assert!(!received.is_empty(), "no connection ends");
        arrived.extend_from_slice(&received);
    }
}

/// One idempotent producer after the other has a few batches under way, and sends those again, in order, that were not taken.
/// Answers how many were taken, and how many were refused because their partition had gone.
async fn produce_in_sequence(
    reactor: Reactor,
    address: SocketAddr,
    partition: i32,
    stop: Rc<Cell<bool>>,
) -> (u32, u32) {
    let socket = connect(&reactor, address).await;
    let (mut taken, mut gone, mut arrived) = (0, 0, Vec::new());
    while !stop.get() {
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let id = ProducerId::new(ask(&socket, &request, 1).await.producer_id);
        let begin = taken;
        while taken < begin + 4 {
            for number in taken..begin + 4 {
                let base_sequence = Sequence::new(i32::try_from(number - begin).expect("few"));
                let producer = Producer { id, epoch: ProducerEpoch::new(0), base_sequence };
                send(&socket, &in_sequence(producer, number, partition, 0), 7).await;
                reactor.sleep(Duration::from_micros(reactor.random_u64() % 20_000)).await;
            }
            let mut all_before_it = true;
            let sent = taken..begin + 4;
            for number in sent {
                let answer = next_answer(&socket, &mut arrived).await;
                let code = ErrorCode::from_wire(answer.responses[0].partition_responses[0].error_code);
                gone += u32::from(code == ErrorCode::NotLeaderOrFollower);
                if code == ErrorCode::None {
                    assert!(all_before_it, "batch {number} has the place of one that was refused");
                    taken = number + 1;
                } else {
                    let is_expected =
                        [ErrorCode::NotLeaderOrFollower, ErrorCode::OutOfOrderSequenceNumber].contains(&code);
                    assert!(is_expected, "{code:?}");
                    all_before_it = false;
                }
            }
        }
    }
    (taken, gone)
}

/// Takes up the room for what is not written back, so that others wait for it.
async fn fill_up(reactor: Reactor, address: SocketAddr, stop: Rc<Cell<bool>>) {
    let socket = connect(&reactor, address).await;
    for number in 0.. {
        if stop.get() {
            return;
        }
        let partition = i32::try_from(reactor.random_u64() % 4).expect("small") + 4;
        send(&socket, &in_sequence(Producer::NONE, number, partition, 60_000), 7).await;
        receive::<ProduceRequest>(&socket, 7).await.expect("no connection ends");
    }
}

#[test]
fn a_producer_whose_batches_wait_for_room_keeps_its_order_when_the_partition_goes() {
    let mut refused = 0;
    for seed in 0..6 {
        let mut options = SimOptions::default();
        options.disk.bandwidth_bytes_per_s = 3_000_000;
        let mut broker = Broker::start_with(seed, &[], options);
        let address = broker.address();
        broker
            .sim
            .block_on("setup", move |reactor| async move { create_topic(&connect(&reactor, address).await).await });
        let store = StoreConfig { unwritten_bytes_max: 100_000, ..StoreConfig::new(ShardId::new(0)) };
        broker.start.store_sizes = Some(StoreSizes { store, segment_bytes_max: u32::MAX });
        broker.kill_and_restart();
        let stop = Rc::new(Cell::new(false));
        let producers: Vec<_> = (0..4)
            .map(|partition| {
                let stop = Rc::clone(&stop);
                broker
                    .sim
                    .spawn_client("producer", move |reactor| produce_in_sequence(reactor, address, partition, stop))
            })
            .collect();
        let fillers: Vec<_> = (0..6)
            .map(|_| {
                let stop = Rc::clone(&stop);
                broker.sim.spawn_client("filler", move |reactor| fill_up(reactor, address, stop))
            })
            .collect();
        broker.sim.block_on("resizer", move |reactor| async move {
            for shards in [1, 2, 1, 2, 1, 2] {
                reactor.sleep(Duration::from_millis(200)).await;
                set_shards(&reactor, address, shards).await;
            }
        });
        stop.set(true);
        broker.sim.run_until(|_| producers.iter().all(Client::is_finished) && fillers.iter().all(Client::is_finished));
        let read = broker
            .sim
            .block_on("reader", move |reactor| async move { read_all(&connect(&reactor, address).await).await });
        for (client, values) in producers.iter().zip(&read) {
            let (taken, gone) = client.take().expect("it is finished");
            let numbers: Vec<u32> = values.iter().map(|(_, number)| *number).collect();
            assert!(numbers.len() >= usize::try_from(taken).expect("few"), "{taken} were taken, {numbers:?}");
            assert_eq!(numbers, (0..u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
            refused += gone;
        }
        assert!(broker.stop() < Duration::from_secs(2));
    }
    assert!(refused > 0, "no batch was refused, so this shows nothing");
}
