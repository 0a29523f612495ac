//! What clients see while partitions go from shard to shard: nothing but waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_broker::StoreSizes;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::Request;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Trigger};
use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::batch::{BatchBuilder, Record, split};
use ringlog_storage::config::StoreConfig;
use ringlog_storage::types::{Millis, ShardId};

use crate::deletions::{broker_with_records, produce_each};
use crate::log_dirs::{DIRS, alter, name_of, places, read_each};
use crate::metrics::{admin_address, get, sample};
use crate::{Broker, PARTITIONS, SHARDS, TOPIC, connect, create_topic, fetch, receive, send};

const PRODUCERS: u32 = 6;

/// What became of the batches that one producer sent to every partition, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Acknowledged,
    /// The connection ended before it was answered.
    Unknown,
}

type Fates = Rc<RefCell<BTreeMap<(u32, u32), Fate>>>;

/// Asks for so many shards to be in use. Answers code and words, and never if the broker does not.
async fn ask_for_shards(reactor: &Reactor, address: SocketAddr, shards: usize) -> (ErrorCode, Option<String>) {
    let config = AlterableConfig {
        name: "ringlog.shards".to_owned(),
        value: Some(shards.to_string()),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource { resource_type: 4, resource_name: "1".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let socket = connect(reactor, address).await;
    send(&socket, &request, 0).await;
    let Some(mut response) = receive::<IncrementalAlterConfigsRequest>(&socket, 0).await else {
        // The broker was killed.
        return std::future::pending().await;
    };
    let told = response.responses.remove(0);
    (ErrorCode::from_wire(told.error_code), told.error_message)
}

/// Has so many shards in use. Ends when the broker says that they are, and never if it does not.
pub(crate) async fn set_shards(reactor: &Reactor, address: SocketAddr, shards: usize) {
    assert_eq!(ask_for_shards(reactor, address, shards).await, (ErrorCode::None, None));
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

/// The values of batches of one record.
fn values_of(records: Option<&[u8]>) -> Vec<(u32, u32)> {
    let value = |bytes: &[u8]| {
        let value = &bytes[bytes.len() - 9..bytes.len() - 1];
        let number = |range: std::ops::Range<usize>| u32::from_be_bytes(value[range].try_into().expect("four bytes"));
        (number(0..4), number(4..8))
    };
    split(records.unwrap_or_default()).map(|batch| value(batch.expect("sound batches").bytes())).collect()
}

/// The values of every partition, in order.
pub(crate) async fn read_all(socket: &Socket) -> Vec<Vec<(u32, u32)>> {
    let mut read = vec![Vec::new(); usize::try_from(PARTITIONS).expect("few")];
    let mut request = fetch(0);
    loop {
        send(socket, &request, 11).await;
        let response = receive::<ringlog_net::messages::fetch::FetchRequest>(socket, 11).await.expect("an answer");
        let mut is_over = true;
        for (partition, asked) in response.responses[0].partitions.iter().zip(&mut request.topics[0].partitions) {
            assert_eq!(partition.error_code, 0);
            let values = &mut read[usize::try_from(partition.partition_index).expect("an index")];
            for value in values_of(partition.records.as_deref()) {
                values.push(value);
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

const GROUP: &str = "readers";

/// The only member of a group (KIP-848): reads on from where it is, and commits that, whatever becomes of its connections.
struct Member {
    reactor: Reactor,
    address: SocketAddr,
    socket: Socket,
    id: String,
    epoch: i32,
    assigned: Vec<TopicPartitions>,
    positions: Vec<i64>,
    seen: Vec<Vec<(u32, u32)>>,
}

impl Member {
    async fn new(reactor: &Reactor, address: SocketAddr) -> Self {
        let partitions = usize::try_from(PARTITIONS).expect("few");
        Self {
            socket: connect(reactor, address).await,
            reactor: reactor.clone(),
            address,
            id: "reader".to_owned(),
            epoch: 0,
            assigned: Vec::new(),
            positions: vec![0; partitions],
            seen: vec![Vec::new(); partitions],
        }
    }

    /// Asks until there is an answer.
    async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        loop {
            let sent = self.socket.send(vec![crate::frame(request, version)[..].into()]).await;
            if sent.is_ok()
                && let Some(response) = receive::<R>(&self.socket, version).await
            {
                return response;
            }
            self.socket = connect(&self.reactor, self.address).await;
        }
    }

    /// Whether the coordinator has answered, and not that it is elsewhere or not ready.
    async fn is_final(&self, code: i16) -> bool {
        match ErrorCode::from_wire(code) {
            ErrorCode::None => true,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable => {
                self.reactor.sleep(Duration::from_millis(1)).await;
                false
            }
            other => panic!("a member goes on: {other:?}"),
        }
    }

    async fn heartbeat(&mut self) {
        loop {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: GROUP.to_owned(),
                member_id: self.id.clone(),
                member_epoch: self.epoch,
                rebalance_timeout_ms: 30_000,
                subscribed_topic_names: Some(vec![TOPIC.to_owned()]),
                topic_partitions: Some(self.assigned.clone()),
                ..ConsumerGroupHeartbeatRequest::default()
            };
            let response = self.call(&request, 1).await;
            if self.is_final(response.error_code).await {
                self.epoch = response.member_epoch;
                if let Some(assignment) = response.assignment {
                    self.assigned = assignment.topic_partitions;
                }
                return;
            }
        }
    }

    async fn join(&mut self) {
        loop {
            let request = FindCoordinatorRequest { key: GROUP.to_owned(), ..FindCoordinatorRequest::default() };
            let response = self.call(&request, 3).await;
            if self.is_final(response.error_code).await {
                break;
            }
        }
        while self.assigned.iter().all(|topic| topic.partitions.len() < self.positions.len()) {
            self.heartbeat().await;
        }
    }

    async fn read(&mut self) {
        let mut request = fetch(5);
        for (asked, position) in request.topics[0].partitions.iter_mut().zip(&self.positions) {
            asked.fetch_offset = *position;
        }
        let response = self.call(&request, 11).await;
        for partition in &response.responses[0].partitions {
            assert_eq!(partition.error_code, 0, "a fetch waits for its partition to have moved");
            let at = usize::try_from(partition.partition_index).expect("an index");
            for batch in split(partition.records.as_deref().unwrap_or_default()) {
                let batch = batch.expect("sound batches");
                assert_eq!(batch.base_offset().get(), self.positions[at], "partition {at}: nothing is left out");
                self.positions[at] = batch.next_offset().get();
            }
            self.seen[at].extend(values_of(partition.records.as_deref()));
        }
    }

    async fn commit(&mut self) {
        let of = |(partition_index, offset): (i32, &i64)| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: *offset,
            ..OffsetCommitRequestPartition::default()
        };
        let partitions = (0..).zip(&self.positions).map(of).collect();
        let topic = OffsetCommitRequestTopic { name: TOPIC.to_owned(), partitions, ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.id.clone(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        loop {
            let response = self.call(&request, 9).await;
            if self.is_final(response.topics[0].partitions[0].error_code).await {
                return;
            }
        }
    }

    async fn committed(&mut self) -> Vec<i64> {
        let topic = OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: (0..PARTITIONS).collect() };
        let request = OffsetFetchRequest {
            group_id: GROUP.to_owned(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
        loop {
            let response = self.call(&request, 5).await;
            if self.is_final(response.error_code).await {
                return response.topics[0].partitions.iter().map(|partition| partition.committed_offset).collect();
            }
        }
    }
}

#[test]
fn a_group_gets_every_record_once_and_in_order_while_the_number_of_shards_changes() {
    for seed in 0..6 {
        let (mut broker, _) = broker_with_producers(300 + seed);
        let address = broker.address();
        let (seen, all) = broker.sim.block_on("member", move |reactor| async move {
            let mut member = Member::new(&reactor, address).await;
            member.join().await;
            let resizer = {
                let reactor = reactor.clone();
                reactor.clone().spawn(async move {
                    for shards in [1, 2, 1, 2, 1] {
                        reactor.sleep(Duration::from_millis(40)).await;
                        set_shards(&reactor, address, shards).await;
                    }
                })
            };
            while !resizer.is_finished() {
                member.read().await;
                member.commit().await;
                member.heartbeat().await;
            }
            assert_eq!(member.committed().await, member.positions, "seed {seed}");
            (member.seen.clone(), read_all(&connect(&reactor, address).await).await)
        });
        let count: usize = seen.iter().map(Vec::len).sum();
        assert!(count > 1000, "seed {seed}: {count} records were read");
        for (partition, (seen, all)) in seen.iter().zip(&all).enumerate() {
            assert_eq!(seen[..], all[..seen.len()], "seed {seed}: partition {partition}");
        }
    }
}

/// How many partitions each shard has.
async fn partitions_of_shards(reactor: &Reactor, admin: SocketAddr) -> Vec<f64> {
    loop {
        let (_, metrics) = get(reactor, admin, "/metrics").await;
        let count = |shard| sample(&metrics, &format!("ringlog_shard_partitions{{shard=\"{shard}\"}}"));
        // Before recovery has ended there are none.
        if let Some(counts) = (0..SHARDS).map(count).collect() {
            return counts;
        }
        reactor.sleep(Duration::from_millis(1)).await;
    }
}

/// Shards of which each can have so many partitions.
fn sizes(partitions_max: usize) -> StoreSizes {
    let store = StoreConfig { partitions_max, ..StoreConfig::new(ShardId::new(0)) };
    StoreSizes { store, segment_bytes_max: u32::MAX }
}

/// A broker with the topic, whose four partitions on each shard are all that a shard can have beside the metadata.
fn full_broker(seed: u64) -> Broker {
    let mut broker = broker_with_records(seed);
    broker.start.store_sizes = Some(sizes(6));
    broker
}

#[test]
fn fewer_shards_than_have_room_for_all_partitions_are_refused() {
    let mut broker = full_broker(1);
    broker.kill_and_restart();
    let (address, admin) = (broker.address(), admin_address(&broker));
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let before = partitions_of_shards(&reactor, admin).await;
        let why = "ringlog.shards=1: one shard would have 9 partitions, and can have 6; put more shards to use, or delete \
                   topics first";
        let refused = (ErrorCode::InvalidConfig, Some(why.to_owned()));
        assert_eq!(ask_for_shards(&reactor, address, 1).await, refused);
        assert_eq!(partitions_of_shards(&reactor, admin).await, before, "nothing has begun");
        assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8]);
        set_shards(&reactor, address, 2).await;
    });
}

/// As a start with fewer shards finds them that nobody has refused.
#[test]
fn partitions_for_which_there_is_no_room_stay_and_are_served() {
    for seed in 0..5 {
        let mut broker = full_broker(seed);
        let sizes = broker.start.store_sizes.take();
        broker.start = crate::start(&["ringlog.shards=1"], "log.dirs=data");
        broker.start.store_sizes = sizes;
        broker.kill_and_restart();
        let (address, admin) = (broker.address(), admin_address(&broker));
        broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            while partitions_of_shards(&reactor, admin).await != [6.0, 3.0] {
                reactor.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(produce_each(&socket, 100).await, [ErrorCode::None; 8], "seed {seed}");
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, 2); 8], "seed {seed}");
            assert_eq!(partitions_of_shards(&reactor, admin).await, [6.0, 3.0], "seed {seed}");
        });
    }
}

/// How a move to another directory ends, during which the shard of a partition changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum MoveEnd {
    Arrives,
    GivenUp,
    Fails,
}

#[test]
fn a_partition_follows_to_its_shard_when_its_directory_does_not_change_any_more() {
    for end in [MoveEnd::Arrives, MoveEnd::GivenUp, MoveEnd::Fails] {
        // 100 kB take ten seconds.
        let rate = "replica.alter.log.dirs.io.max.bytes.per.second=20000";
        let mut broker = Broker::start_in(7, &[rate], DIRS);
        let (address, admin) = (broker.address(), admin_address(&broker));
        let before = broker.sim.block_on("setup", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            assert_eq!(produce_each(&socket, 100_000).await, [ErrorCode::None; 8]);
            let before = places(&socket).await.0;
            let last = name_of(&socket, 2).await;
            let all: Vec<i32> = (0..PARTITIONS).collect();
            assert_eq!(alter(&socket, TOPIC, &last, &all).await, [ErrorCode::None; 8]);
            reactor.sleep(Duration::from_millis(100)).await;
            set_shards(&reactor, address, 1).await;
            let counts = partitions_of_shards(&reactor, admin).await;
            assert!(counts[1] > 1.0 && places(&socket).await.1, "some are on their way: {counts:?}");
            assert_eq!(produce_each(&socket, 10).await, [ErrorCode::None; 8], "all are served");
            before
        });
        if end == MoveEnd::Fails {
            let (operation, path_contains) = (DiskOperation::Write, "-future/".to_owned());
            let effect = DiskEffect::Error(Errno::IO);
            broker.sim.disk(broker.node).fault(DiskFault {
                operation,
                path_contains,
                trigger: Trigger::Always,
                effect,
            });
        }
        broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            if end == MoveEnd::GivenUp {
                for (partition, dir) in (0..PARTITIONS).zip(&before) {
                    let name = name_of(&socket, *dir).await;
                    assert_eq!(alter(&socket, TOPIC, &name, &[partition]).await, [ErrorCode::None]);
                }
            }
            let begun = reactor.now();
            while partitions_of_shards(&reactor, admin).await[1] > 0.0 || places(&socket).await.1 {
                reactor.sleep(Duration::from_millis(100)).await;
                assert!(reactor.now() - begun < Duration::from_mins(5), "{end:?}: they follow");
            }
            let places = places(&socket).await.0;
            match end {
                MoveEnd::Arrives => assert_eq!(places, [2; 8]),
                MoveEnd::GivenUp => assert_eq!(places, before),
                // Some had arrived before.
                MoveEnd::Fails => assert_ne!(places, [2; 8]),
            }
            assert_eq!(produce_each(&socket, 10).await, [ErrorCode::None; 8], "{end:?}");
            assert_eq!(read_each(&socket).await, [(ErrorCode::None, 3); 8], "{end:?}");
        });
    }
}
