//! A producer: rounds of pipelined requests, each with a batch for some partitions. What has no answer is sent again, in
//! order, on the same connection or the next one.

use std::collections::{BTreeMap, VecDeque};

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::init_producer_id::InitProducerIdRequest;
use ringlog_net::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ringlog_storage::batch::{Codec, Compressor, Producer as ProducerFields};
use ringlog_storage::types::{ProducerEpoch, ProducerId, Sequence};

use super::{Client, code};
use crate::connection::{Connection, Lost, Ticket};
use crate::ledger::{Mark, Partition, Sender};
use crate::records::{self, BatchNumber, Form};

/// Batches of one partition without an answer; a broker remembers as many of each producer (KIP-98).
const IN_FLIGHT_MAX: usize = 5;
/// Longest pause of a producer that is refused again and again, in milliseconds: `retry.backoff.ms` of Kafka's producers. Each
/// refusal doubles the pause up to here, or a broker that refuses for seconds makes a run of millions of steps.
const BACKOFF_MS_MAX: u64 = 100;
/// From this version on topics are named by their ids.
const TOPIC_ID_VERSION_MIN: i16 = 13;
/// From this version on a batch may be compressed with zstd.
const ZSTD_VERSION_MIN: i16 = 7;

/// How a producer works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) version: i16,
    pub(crate) acks: i16,
    pub(crate) idempotent: bool,
    /// Rounds of new batches.
    pub(crate) rounds: u32,
    /// Longest pause between rounds, in milliseconds.
    pub(crate) pause_ms_max: u64,
}

/// A batch that has no final answer.
struct Unresolved {
    number: BatchNumber,
    bytes: Vec<u8>,
    mark: Mark,
}

/// The batches of one partition.
struct Lane {
    next_sequence: i32,
    unresolved: VecDeque<Unresolved>,
    crashes: u64,
}

/// What the broker did with a round of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reception {
    /// Nothing of it is to be sent again.
    Taken,
    /// Something is to be sent again.
    Refused,
}

/// A request under way, and what it carries.
type Sending = (Ticket<ProduceRequest>, Vec<(Partition, BatchNumber)>);

pub(crate) struct Producer {
    client: Client,
    manner: Manner,
    id: Option<i64>,
    lanes: BTreeMap<Partition, Lane>,
    compressor: Compressor,
}

impl Producer {
    pub(crate) fn new(client: Client, manner: Manner) -> Self {
        Self { client, manner, id: None, lanes: BTreeMap::new(), compressor: Compressor::default() }
    }

    /// Works until its rounds are over, or everything winds down, and nothing is without an answer.
    pub(crate) async fn run(mut self) {
        let mut rounds_left = self.manner.rounds;
        let mut connection = None;
        let mut pause_ms_max = self.manner.pause_ms_max;
        loop {
            if self.client.shared.winds_down.get() {
                rounds_left = 0;
            }
            if rounds_left == 0 && self.lanes.values().all(|lane| lane.unresolved.is_empty()) {
                return;
            }
            let Some(mut open) = connection.take() else {
                connection = self.client.connect().await;
                continue;
            };
            let depth = if rounds_left > 0 { 1 + self.client.random.index(IN_FLIGHT_MAX) } else { 0 };
            match self.round(&mut open, depth).await {
                Ok(reception) => {
                    pause_ms_max = match reception {
                        Reception::Taken => self.manner.pause_ms_max,
                        Reception::Refused => (2 * pause_ms_max).min(BACKOFF_MS_MAX),
                    };
                    connection = Some(open);
                }
                Err(lost) => {
                    self.client.note(|| format!("connection {lost}"));
                    self.client.shared.ledger.borrow_mut().counts.failures += 1;
                    self.forget_some();
                }
            }
            rounds_left = rounds_left.saturating_sub(1);
            self.client.pause(pause_ms_max).await;
        }
    }

    /// Sends what is unresolved and new batches, up to `depth` of each partition, and takes the answers.
    async fn round(&mut self, connection: &mut Connection, depth: usize) -> Result<Reception, Lost> {
        if self.manner.idempotent && self.id.is_none() && !self.take_id(connection).await? {
            return Ok(Reception::Refused);
        }
        let chosen = self.choose_partitions(depth > 0);
        for partition in &chosen {
            self.fill(*partition, depth);
        }
        let deepest = chosen.iter().map(|partition| self.lanes[partition].unresolved.len()).max().unwrap_or(0);
        let mut under_way = Vec::new();
        for index in 0..deepest {
            under_way.push(self.send(connection, &chosen, index).await?);
        }
        if self.manner.acks == 0 {
            // Nobody will tell what became of them.
            self.lanes.clear();
            return Ok(Reception::Taken);
        }
        let mut failed = Vec::new();
        for (ticket, batches) in under_way {
            let response = connection.receive(ticket).await?;
            self.answered(&batches, &response, &mut failed);
        }
        Ok(if failed.is_empty() { Reception::Taken } else { Reception::Refused })
    }

    async fn take_id(&mut self, connection: &mut Connection) -> Result<bool, Lost> {
        let request =
            InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 1000, ..Default::default() };
        let version = i16::try_from(self.client.random.below(6)).expect("small");
        let response = connection.call(&request, version).await?;
        let mut ledger = self.client.shared.ledger.borrow_mut();
        match code(response.error_code) {
            ErrorCode::None => {
                assert_eq!(response.producer_epoch, 0, "a new producer begins with epoch 0");
                ledger.producer_id_given(response.producer_id);
                self.id = Some(response.producer_id);
                self.lanes.clear();
                Ok(true)
            }
            ErrorCode::RequestTimedOut => Ok(false),
            ErrorCode::KafkaStorageError if ledger.storage_may_fail => Ok(false),
            other => panic!("InitProducerId: unexpected {}", other.name()),
        }
    }

    /// Those with unresolved batches, and some others.
    fn choose_partitions(&mut self, more: bool) -> Vec<Partition> {
        let mut chosen: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| !lane.unresolved.is_empty()).map(|(key, _)| *key).collect();
        if more {
            let by_name = self.manner.version < TOPIC_ID_VERSION_MIN;
            let candidates: Vec<_> = {
                let ledger = self.client.shared.ledger.borrow();
                let mut all = ledger.partitions();
                all.retain(|partition| !by_name || ledger.topic(partition.topic).is_lasting);
                all
            };
            for _ in 0..=self.client.random.below(3) {
                if candidates.is_empty() {
                    break;
                }
                let one = candidates[self.client.random.index(candidates.len())];
                if !chosen.contains(&one) {
                    chosen.push(one);
                }
            }
        }
        let crashes = self.client.shared.ledger.borrow().crashes();
        for partition in &chosen {
            let lane = || Lane { next_sequence: 0, unresolved: VecDeque::new(), crashes };
            self.lanes.entry(*partition).or_insert_with(lane);
        }
        chosen
    }

    /// Makes new batches.
    fn fill(&mut self, partition: Partition, depth: usize) {
        let lane = self.lanes.get_mut(&partition).expect("chosen just now");
        let codecs = [Codec::None, Codec::None, Codec::Lz4, Codec::Snappy, Codec::Gzip, Codec::Zstd];
        let codecs = if self.manner.version < ZSTD_VERSION_MIN { &codecs[..5] } else { &codecs };
        while lane.unresolved.len() < depth {
            let form = Form::random(&mut self.client.random, codecs);
            let mut ledger = self.client.shared.ledger.borrow_mut();
            let (sender, fields) = match self.id {
                Some(producer_id) => (
                    Sender::Idempotent { producer_id, sequence: lane.next_sequence },
                    ProducerFields {
                        id: ProducerId::new(producer_id),
                        epoch: ProducerEpoch::new(0),
                        base_sequence: Sequence::new(lane.next_sequence),
                    },
                ),
                None => (
                    Sender::Plain { client: self.client.number, connection: self.client.connection_number() },
                    ProducerFields::NONE,
                ),
            };
            let number = ledger.new_batch(partition, sender, form);
            let bytes = records::build(ledger.start, number, form, fields, &mut self.compressor);
            let mark = ledger.mark(partition);
            lane.next_sequence += i32::try_from(form.records).expect("few");
            lane.unresolved.push_back(Unresolved { number, bytes, mark });
        }
    }

    /// Sends the unresolved batch of this index of every chosen partition that has one.
    async fn send(&mut self, connection: &mut Connection, chosen: &[Partition], index: usize) -> Result<Sending, Lost> {
        let mut request = ProduceRequest { acks: self.manner.acks, timeout_ms: 30_000, ..ProduceRequest::default() };
        let mut batches = Vec::new();
        {
            let mut ledger = self.client.shared.ledger.borrow_mut();
            for partition in chosen {
                let lane = self.lanes.get_mut(partition).expect("chosen");
                let Some(batch) = lane.unresolved.get_mut(index) else { continue };
                batch.mark = ledger.mark(*partition);
                ledger.sending(batch.number, &batch.bytes, self.client.connection_number());
                batches.push((*partition, batch.number));
                let data = PartitionProduceData { index: partition.index, records: Some(batch.bytes.clone()) };
                let known = request.topic_data.iter_mut().find(|topic| topic.topic_id == partition.topic);
                if let Some(topic) = known {
                    topic.partition_data.push(data);
                } else {
                    let name = ledger.topic(partition.topic).name.clone();
                    let topic = TopicProduceData { name, topic_id: partition.topic, partition_data: vec![data] };
                    request.topic_data.push(topic);
                }
            }
        }
        self.client.note(|| format!("produce {batches:?}"));
        let ticket = connection.send(&request, self.manner.version).await?;
        Ok((ticket, batches))
    }

    /// Takes the answers to one request.
    fn answered(
        &mut self,
        batches: &[(Partition, BatchNumber)],
        response: &ProduceResponse,
        failed: &mut Vec<Partition>,
    ) {
        let mut left = batches.to_vec();
        for topic in &response.responses {
            for answer in &topic.partition_responses {
                let ledger = self.client.shared.ledger.borrow();
                let is_it = |(partition, _): &(Partition, BatchNumber)| {
                    let named = if self.manner.version < TOPIC_ID_VERSION_MIN {
                        ledger.topic(partition.topic).name == topic.name
                    } else {
                        partition.topic == topic.topic_id
                    };
                    named && partition.index == answer.index
                };
                let place = left.iter().position(is_it).expect("an answer to what was asked");
                drop(ledger);
                let (partition, number) = left.swap_remove(place);
                self.one_answered(partition, number, answer, failed);
            }
        }
        assert!(left.is_empty(), "no answer for {left:?}");
    }

    fn one_answered(
        &mut self,
        partition: Partition,
        number: BatchNumber,
        answer: &PartitionProduceResponse,
        failed: &mut Vec<Partition>,
    ) {
        let code = code(answer.error_code);
        self.client.note(|| format!("batch {} of {partition:?}: {} {}", number.0, code.name(), answer.base_offset));
        // The lane may be gone: an earlier answer ended it.
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        let Some(place) = lane.unresolved.iter().position(|batch| batch.number == number) else { return };
        let mark = lane.unresolved[place].mark;
        let now = self.client.reactor.now();
        let mut ledger = self.client.shared.ledger.borrow_mut();
        let follows_failure = failed.contains(&partition);
        match code {
            ErrorCode::None => {
                lane.unresolved.remove(place);
                ledger.acknowledged(number, &mark, answer.base_offset, answer.log_start_offset, now);
            }
            ErrorCode::OutOfOrderSequenceNumber if follows_failure => {}
            ErrorCode::OutOfOrderSequenceNumber => {
                let excused = !ledger.is_durable(partition) && lane.crashes != ledger.crashes();
                assert!(excused, "{partition:?}: batch {} is out of order, and nothing before it failed", number.0);
                drop(ledger);
                self.begin_anew();
            }
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                ledger.refused(partition, &mark, code);
                self.lanes.remove(&partition);
            }
            code => {
                ledger.refused(partition, &mark, code);
                failed.push(partition);
            }
        }
    }

    /// Takes a new id: what has no answer is given up.
    fn begin_anew(&mut self) {
        self.id = None;
        self.lanes.clear();
    }

    /// A plain producer sometimes gives up what has no answer.
    fn forget_some(&mut self) {
        if !self.manner.idempotent && self.client.random.chance(500) {
            self.lanes.clear();
        }
    }
}
