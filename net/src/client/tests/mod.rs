//! The client against brokers in memory, in virtual time: with random versions, cut connections, refused batches.

mod broker;

use super::*;
use crate::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use crate::seeded::Seeded;
use broker::{Cluster, Faults, Served};
use ringlog_storage::batch::{Codec, Decompressor, Header, Record};
use ringlog_storage::types::{Millis, PartitionIndex};

/// Virtual time that nothing may take longer than.
const PATIENCE: Duration = Duration::from_mins(30);
/// Virtual time that an answer is under way.
const DELAY: Duration = Duration::from_millis(3);

struct World {
    client: Client,
    cluster: Cluster,
    connections: BTreeMap<ConnectionId, Served>,
    dice: Seeded,
    now: Nanos,
    /// Answers under way: when they arrive, `None` for the end of the connection.
    answers_due: VecDeque<(Nanos, ConnectionId, Option<Vec<u8>>)>,
    lost: usize,
    deliveries: Vec<Delivery>,
    /// Values, which are tokens, by partition, in order.
    consumed: BTreeMap<TopicPartition, Vec<u64>>,
    answers: Vec<(CallId, Result<Answer, ClientError>)>,
    failed: Vec<(TopicPartition, ErrorCode)>,
}

impl World {
    fn new(seed: u64, config: ClientConfig, cluster: Cluster) -> Self {
        let nobody = Address { host: "nobody".to_owned(), port: 1 };
        let somebody = Address { host: "broker".to_owned(), port: cluster.ports[0] };
        Self {
            client: Client::new(ClientConfig { seed, ..config }, vec![nobody, somebody]),
            cluster,
            connections: BTreeMap::new(),
            dice: Seeded::new(seed),
            now: Nanos::new(1),
            answers_due: VecDeque::new(),
            lost: 0,
            deliveries: Vec::new(),
            consumed: BTreeMap::new(),
            answers: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Performs everything that can be done now.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                self.take(event);
            }
            let Some(output) = self.client.poll_output(self.now) else { return };
            match output {
                Output::Connect(id, address) => {
                    let broker = self.cluster.ports.iter().position(|port| *port == address.port);
                    match broker {
                        Some(broker) => {
                            let served = Served::new(broker, Arc::clone(&self.cluster.apis), self.now);
                            self.connections.insert(id, served);
                            self.client.connected(id, self.now);
                        }
                        None => self.client.disconnected(id, "refused", self.now),
                    }
                }
                Output::Send(id, pieces) => {
                    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
                    self.exchange(id, &bytes);
                }
                Output::Close(id) => {
                    self.connections.remove(&id);
                }
            }
        }
    }

    fn exchange(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(served) = self.connections.get_mut(&id) else { return };
        let answer = served.exchange(bytes, &mut self.cluster, self.now);
        if answer.is_none() {
            self.connections.remove(&id);
        }
        self.answers_due.push_back((self.now.saturating_add(DELAY), id, answer));
    }

    /// Delivers the answers whose time has come, in parts.
    fn deliver(&mut self) {
        while let Some((_, id, answer)) = self.answers_due.pop_front_if(|(due, ..)| *due <= self.now) {
            let Some(mut answer) = answer else {
                self.client.disconnected(id, "cut", self.now);
                continue;
            };
            while !answer.is_empty() {
                let count = self.dice.within(1..=answer.len());
                let part: Vec<u8> = answer.drain(..count).collect();
                self.client.received(id, &part, self.now);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Delivered(delivery) => self.deliveries.push(delivery),
            Event::Fetched(fetched) => {
                let records = self.consumed.entry(fetched.partition.clone()).or_default();
                let mut next = fetched.position;
                let count = fetched.visit(&mut Decompressor::default(), |each| {
                    assert_eq!(each.offset, next, "no offset is left out or comes twice");
                    next = next.next();
                    let value = each.record.value.expect("every record has a value");
                    records.push(u64::from_be_bytes(value.try_into().expect("of eight bytes")));
                });
                assert!(count.expect("the batches are sound") > 0);
                assert_eq!(next, fetched.next_position);
            }
            Event::PartitionFailed(partition, error) => self.failed.push((partition, error)),
            Event::Answered(id, result) => self.answers.push((id, result)),
            Event::ConnectionLost(..) => self.lost += 1,
        }
    }

    /// Lets time pass until `done`.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now.saturating_add(PATIENCE);
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let deadline = self.client.next_deadline().unwrap_or(end);
            assert!(deadline > self.now, "time stands still");
            self.now = self.answers_due.front().map_or(deadline, |(due, ..)| deadline.min(*due));
            self.deliver();
            assert!(self.now < end, "it takes too long");
        }
    }

    fn produce(&mut self, topic: &Arc<str>, partition: Option<i32>, key: Option<&[u8]>, token: u64) {
        let value = token.to_be_bytes();
        let headers = [Header { key: b"h", value: None }];
        let record = Record { timestamp: Millis::new(5), key, value: Some(&value), headers: &headers };
        let partition = partition.map(PartitionIndex::new);
        let produced = ProduceRecord { topic, partition, record, token };
        while self.client.produce(&produced, self.now).is_err() {
            let before = self.deliveries.len();
            self.run_until(|world| world.deliveries.len() > before);
        }
    }

    fn produce_all(&mut self, count: u64) {
        let topic: Arc<str> = Arc::from("t");
        for token in 0..count {
            let key = token.to_le_bytes();
            let key = self.dice.once_in(2).then_some(&key[..1]);
            self.produce(&topic, None, key, token);
            if self.dice.once_in(50) {
                self.settle();
            }
        }
        self.client.flush();
        self.run_until(|world| world.client.all_delivered());
        self.settle();
    }

    /// Reads all partitions from their start, and answers the tokens in order of partition and offset.
    fn consume_all(&mut self, partition_count: i32, expected: usize) -> Vec<Vec<u64>> {
        for index in 0..partition_count {
            self.client.assign(TopicPartition::new("t", PartitionIndex::new(index)), Start::Earliest);
        }
        self.run_until(|world| world.consumed.values().map(Vec::len).sum::<usize>() >= expected);
        self.consumed.values().cloned().collect()
    }
}

fn config(codec: Codec) -> ClientConfig {
    let producer = ProducerConfig {
        compression: codec.into(),
        batch_bytes: 2000,
        request_bytes_max: 5000,
        buffer_bytes_max: 50_000,
        ..ProducerConfig::default()
    };
    ClientConfig { producer, ..ClientConfig::default() }
}

/// Every record arrives once and in order within its partition, through cuts and refusals.
#[test]
fn idempotent_records_arrive_once_and_in_order() {
    let mut lost = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let faults = Faults { refused_one_in: 6, cut_one_in: 15, ..Faults::default() };
        let cluster = Cluster::new(seed, 3, 5, faults);
        let codec = Codec::ALL[usize::try_from(seed % 5).expect("small")];
        let mut world = World::new(seed, config(codec), cluster);
        world.produce_all(1500);
        lost += world.lost;
        assert!(world.deliveries.iter().all(|delivery| delivery.result.is_ok()));
        let partitions = world.consume_all(5, 1500);
        for tokens in &partitions {
            assert!(tokens.is_sorted_by(|a, b| a < b), "in order and once: {tokens:?}");
        }
        assert_eq!(partitions.iter().map(Vec::len).sum::<usize>(), 1500);
        assert!(world.failed.is_empty());
    }
    assert!(lost > 150, "connections were cut: {lost}");
}

#[test]
fn one_refused_batch_does_not_stop_those_behind_it() {
    let faults = Faults { refused_one_in: 4, poisonous_count: 13, ..Faults::default() };
    let mut world = World::new(3, config(Codec::None), Cluster::new(3, 1, 1, faults));
    let topic: Arc<str> = Arc::from("t");
    world.client.want_topic(&topic);
    world.run_until(|world| world.client.metadata().topic("t").is_some());
    let mut token = 0;
    for count in [5, 13, 7, 13, 13, 2] {
        for _ in 0..count {
            world.produce(&topic, Some(0), None, token);
            token += 1;
        }
        world.client.flush();
        let now = world.now;
        // Closes the batch without letting its answer in, so that those behind it are in flight too.
        world.client.producer.advance(&world.client.metadata, now, &mut Vec::new());
    }
    world.client.flush();
    world.run_until(|world| world.client.all_delivered());
    world.settle();
    let failed = world.deliveries.iter().filter(|delivery| delivery.result == Err(ErrorCode::MessageTooLarge));
    assert!(failed.count() >= 1);
    let lost: usize = world.deliveries.iter().filter(|each| each.result.is_err()).map(|each| each.tokens.len()).sum();
    assert_eq!(lost % 13, 0, "only batches of 13 failed");
    let arrived = usize::try_from(token).expect("small") - lost;
    let partitions = world.consume_all(1, arrived);
    assert!(partitions[0].is_sorted_by(|a, b| a < b));
    assert_eq!(partitions[0].len(), arrived);
}

#[test]
fn every_kind_of_acknowledgement_works_without_idempotence() {
    for (seed, acks) in [(1, Acks::None), (2, Acks::Leader), (3, Acks::All)] {
        let mut config = config(Codec::Lz4);
        config.producer.acks = acks;
        config.producer.idempotent = false;
        let mut world = World::new(seed, config, Cluster::new(seed, 2, 3, Faults::default()));
        world.produce_all(500);
        let known = world.deliveries.iter().all(|each| each.result.expect("it went well") >= Offset::ZERO);
        assert_eq!(known, acks != Acks::None, "{acks:?}");
        let partitions = world.consume_all(3, 500);
        assert!(partitions.iter().all(|tokens| tokens.is_sorted_by(|a, b| a < b)));
    }
}

#[test]
fn a_topic_that_appears_later_is_found_and_one_that_never_does_times_out() {
    let mut world = World::new(1, config(Codec::None), Cluster::new(9, 2, 1, Faults::default()));
    let (later, never): (Arc<str>, Arc<str>) = (Arc::from("later"), Arc::from("never"));
    world.produce(&later, None, None, 1);
    world.produce(&never, None, None, 2);
    world.settle();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic { name: "later".to_owned(), num_partitions: 2, ..Default::default() }],
        ..Default::default()
    };
    let call = world.client.call(Target::Controller, request, world.now);
    world.run_until(|world| !world.answers.is_empty());
    let (id, answer) = world.answers.pop().expect("it came");
    assert_eq!(id, call.id);
    let response = call.decode(&answer.expect("an answer")).expect("whole");
    assert_eq!(response.topics[0].name, "later");
    world.run_until(|world| !world.deliveries.is_empty());
    assert_eq!(world.deliveries[0].result, Ok(Offset::ZERO));
    world.run_until(|world| world.client.all_delivered());
    world.settle();
    assert_eq!(world.deliveries[1].result, Err(ErrorCode::RequestTimedOut));
}

#[test]
fn a_consumer_begins_where_it_is_told() {
    let mut world = World::new(1, config(Codec::Zstd), Cluster::new(5, 1, 1, Faults::default()));
    world.produce_all(300);
    let partition = TopicPartition::new("t", PartitionIndex::new(0));
    for (start, position) in [
        (Start::Earliest, 0),
        (Start::At(Offset::new(17)), 17),
        (Start::Latest, 300),
        (Start::Time(Millis::new(i64::MAX)), 300),
        // Out of range: reset to the latest.
        (Start::At(Offset::new(900)), 300),
    ] {
        world.consumed.clear();
        world.client.assign(partition.clone(), start);
        world.run_until(|world| world.client.position(&partition) == Some(Offset::new(300)));
        world.settle();
        let count = world.consumed.get(&partition).map_or(0, Vec::len);
        assert_eq!(count, 300 - position, "{start:?}");
    }
    let mut strict = config(Codec::None);
    strict.consumer.reset = None;
    let mut world = World::new(1, strict, Cluster::new(5, 1, 1, Faults::default()));
    world.client.assign(partition.clone(), Start::At(Offset::new(5)));
    world.run_until(|world| !world.failed.is_empty());
    assert_eq!(world.failed, [(partition, ErrorCode::OffsetOutOfRange)]);
}

#[test]
fn calls_fail_when_nobody_answers() {
    let mut cluster = Cluster::new(1, 1, 1, Faults::default());
    cluster.faults.cut_one_in = 1;
    let mut world = World::new(1, config(Codec::None), cluster);
    let call = world.client.call(Target::Any, CreateTopicsRequest::default(), world.now);
    world.run_until(|world| !world.answers.is_empty());
    assert_eq!(world.answers, [(call.id, Err(ClientError::TimedOut))]);
}

/// Whatever a server sends, the client neither panics nor goes on with it.
#[test]
fn hostile_servers_do_no_harm() {
    for seed in 0..2000 {
        let mut dice = Seeded::new(seed);
        let mut client = Client::new(ClientConfig::default(), vec![Address { host: "x".to_owned(), port: 1 }]);
        client.want_topic(&Arc::from("t"));
        let now = Nanos::new(1);
        for _ in 0..20 {
            match client.poll_output(now) {
                Some(Output::Connect(id, _)) => client.connected(id, now),
                Some(Output::Send(id, _)) => {
                    let count = dice.within(0..=60);
                    let mut bytes = dice.bytes(count);
                    if dice.once_in(2) {
                        // Size and correlation id as expected; then noise, or an empty ApiVersions answer and noise.
                        let answer = [0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                        bytes.splice(0..0, answer);
                    }
                    client.received(id, &bytes, now);
                }
                Some(Output::Close(_)) | None => break,
            }
        }
    }
}
