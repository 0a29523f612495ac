//! What clients see while partitions go from shard to shard: nothing but waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::batch::{BatchBuilder, Record, split};
use ringlog_storage::types::Millis;

use crate::{Broker, PARTITIONS, TOPIC, connect, create_topic, fetch, receive, send};

const PRODUCERS: u32 = 6;

/// What became of the batches that one producer sent to every partition, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Acknowledged,
    /// The connection ended before it was answered.
    Unknown,
}

type Fates = Rc<RefCell<BTreeMap<(u32, u32), Fate>>>;

/// Has so many shards in use. Ends when the broker says that they are, and never if it does not.
pub(crate) async fn set_shards(reactor: &Reactor, address: SocketAddr, shards: usize) {
    let config = AlterableConfig {
        name: "ringlog.shards".to_owned(),
        value: Some(shards.to_string()),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource { resource_type: 4, resource_name: "1".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let socket = connect(reactor, address).await;
    send(&socket, &request, 0).await;
    let Some(response) = receive::<IncrementalAlterConfigsRequest>(&socket, 0).await else {
        // The broker was killed.
        return std::future::pending().await;
    };
    assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
}

fn numbered(producer: u32, number: u32) -> ProduceRequest {
    let value = [producer.to_be_bytes(), number.to_be_bytes()].concat();
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&value), headers: &[] });
    let batch = batch.build();
    let partition = |index| PartitionProduceData { index, records: Some(batch.clone()) };
    let partition_data = (0..PARTITIONS).map(partition).collect();
    let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data, ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

async fn produce_for_ever(reactor: Reactor, address: SocketAddr, producer: u32, fates: Fates) {
    let mut socket = connect(&reactor, address).await;
    for number in 0.. {
        fates.borrow_mut().insert((producer, number), Fate::Unknown);
        let request = numbered(producer, number);
        let sent = socket.send(vec![crate::frame(&request, 7)[..].into()]).await;
        let answer = match sent {
            Ok(()) => receive::<ProduceRequest>(&socket, 7).await,
            Err(_) => None,
        };
        let Some(answer) = answer else {
            socket = connect(&reactor, address).await;
            continue;
        };
        for partition in &answer.responses[0].partition_responses {
            assert_eq!(partition.error_code, 0, "a batch waits for its partition to have moved");
        }
        fates.borrow_mut().insert((producer, number), Fate::Acknowledged);
    }
}

/// The values of every partition, in order.
async fn read_all(socket: &Socket) -> Vec<Vec<(u32, u32)>> {
    let mut read = vec![Vec::new(); usize::try_from(PARTITIONS).expect("few")];
    let mut request = fetch(0);
    loop {
        send(socket, &request, 11).await;
        let response = receive::<ringlog_net::messages::fetch::FetchRequest>(socket, 11).await.expect("an answer");
        let mut is_over = true;
        for (partition, asked) in response.responses[0].partitions.iter().zip(&mut request.topics[0].partitions) {
            assert_eq!(partition.error_code, 0);
            let values = &mut read[usize::try_from(partition.partition_index).expect("an index")];
            for batch in split(partition.records.as_deref().unwrap_or_default()) {
                let bytes = batch.expect("sound batches").bytes();
                let value = &bytes[bytes.len() - 9..bytes.len() - 1];
                let number =
                    |range: std::ops::Range<usize>| u32::from_be_bytes(value[range].try_into().expect("four bytes"));
                values.push((number(0..4), number(4..8)));
                asked.fetch_offset += 1;
            }
            is_over &= asked.fetch_offset == partition.high_watermark;
        }
        if is_over {
            return read;
        }
    }
}

fn check(read: &[Vec<(u32, u32)>], fates: &BTreeMap<(u32, u32), Fate>) {
    for (partition, values) in read.iter().enumerate() {
        for producer in 0..PRODUCERS {
            let numbers: Vec<u32> =
                values.iter().filter(|(of, _)| *of == producer).map(|(_, number)| *number).collect();
            assert!(numbers.is_sorted_by(|one, next| one < next), "partition {partition}: {numbers:?}");
            for ((_, number), fate) in fates.range((producer, 0)..=(producer, u32::MAX)) {
                let is_there = numbers.binary_search(number).is_ok();
                assert!(is_there || *fate == Fate::Unknown, "partition {partition}: {producer}:{number} is lost");
            }
        }
    }
}

/// Producers that write all the time.
fn broker_with_producers(seed: u64) -> (Broker, Fates) {
    let mut broker = Broker::start(seed, &[]);
    let (address, fates) = (broker.address(), Fates::default());
    broker.sim.block_on("setup", move |reactor| async move { create_topic(&connect(&reactor, address).await).await });
    for producer in 0..PRODUCERS {
        let fates = Rc::clone(&fates);
        broker.sim.spawn_client("producer", move |reactor| produce_for_ever(reactor, address, producer, fates));
    }
    (broker, fates)
}

#[test]
fn nothing_is_lost_doubled_or_refused_while_the_number_of_shards_changes() {
    for seed in 0..10 {
        let (mut broker, fates) = broker_with_producers(seed);
        let address = broker.address();
        broker.sim.block_on("resizer", move |reactor| async move {
            for shards in [1, 2, 1, 2, 1] {
                reactor.sleep(Duration::from_millis(50)).await;
                set_shards(&reactor, address, shards).await;
            }
        });
        let acknowledged = fates.borrow().values().filter(|fate| **fate == Fate::Acknowledged).count();
        assert!(acknowledged > 100, "{acknowledged} batches of each partition went well");
        let fates = fates.borrow().clone();
        let read = broker
            .sim
            .block_on("reader", move |reactor| async move { read_all(&connect(&reactor, address).await).await });
        check(&read, &fates);
    }
}

#[test]
fn a_crash_while_partitions_move_loses_nothing() {
    for seed in 0..60 {
        let (mut broker, fates) = broker_with_producers(1000 + seed);
        let address = broker.address();
        broker.sim.run_for(Duration::from_millis(20));
        broker.sim.spawn_client("resizer", move |reactor| async move {
            for shards in [1, 2, 1, 2, 1, 2, 1, 2] {
                set_shards(&reactor, address, shards).await;
            }
        });
        let until = Duration::from_micros(broker.sim.random().below(30_000));
        broker.sim.run_for(until);
        broker.kill_and_restart();
        let fates = fates.borrow().clone();
        let read = broker
            .sim
            .block_on("reader", move |reactor| async move { read_all(&connect(&reactor, address).await).await });
        check(&read, &fates);
    }
}
