//! Records on their way out: batched by partition, sent in order, sent again after errors that pass.
//!
//! With idempotence, up to five batches of a partition are in flight, told apart by their sequence numbers; without it,
//! one, so that a retry cannot change their order. A batch that finally fails leaves a gap in the sequence, so the producer
//! then waits until nothing is in flight and goes on under a new producer id.

use super::metadata::{Metadata, partition};
use super::partitioner::partition_of_key;
use crate::conn::Body;
use crate::error::ErrorCode;
use crate::wire::{EncodeError, Writer};
use ringlog_buffer::Slice;
use ringlog_storage::batch::{BatchBuilder, Compression, Compressor, Header, Producer as Stamp, Record};
use ringlog_storage::types::{
    Millis, Nanos, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TopicPartition, Uuid,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Batches of one partition in flight at most: the broker remembers five (KIP-98).
pub const BATCHES_IN_FLIGHT_MAX: usize = 5;

/// What a record is counted with beyond its key and value: the bookkeeping around it.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// When a record counts as delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// When it was sent.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

impl Acks {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How records are produced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerConfig {
    /// When a record counts as delivered.
    pub acks: Acks,
    /// Whether retries cannot duplicate; wants [`Acks::All`].
    pub idempotent: bool,
    /// Codec and level of batches.
    pub compression: Compression,
    /// A batch of so many plain bytes is full.
    pub batch_bytes: usize,
    /// How long a batch waits to become full.
    pub linger: Duration,
    /// Plain bytes of one request, but for its first batch.
    pub request_bytes_max: usize,
    /// Bytes of records that are not delivered yet; more are refused.
    pub buffer_bytes_max: usize,
    /// A record that is not delivered after so long has failed.
    pub delivery_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::default(),
            batch_bytes: 16 * 1024,
            linger: Duration::from_millis(5),
            request_bytes_max: 1024 * 1024,
            buffer_bytes_max: 32 * 1024 * 1024,
            delivery_timeout: Duration::from_mins(2),
        }
    }
}

/// A record to be produced.
#[derive(Clone, Copy, Debug)]
pub struct ProduceRecord<'a> {
    /// The topic.
    pub topic: &'a Arc<str>,
    /// The partition; `None` leaves it to the key, or to chance if there is none.
    pub partition: Option<PartitionIndex>,
    /// Time, key, value and headers.
    pub record: Record<'a>,
    /// Comes back when the record is delivered or has failed.
    pub token: u64,
}

/// The buffer has no room; try again when something was delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the producer's buffer is full")]
pub struct BufferFull;

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Where it went.
    pub partition: TopicPartition,
    /// The offset of its first record ([`Offset::UNKNOWN`] with acks=0 and for some duplicates), or why it failed.
    pub result: Result<Offset, ErrorCode>,
    /// The tokens of its records, in order.
    pub tokens: Vec<u64>,
}

/// A record whose topic is not known yet.
#[derive(Debug)]
struct Unplaced {
    partition: Option<PartitionIndex>,
    timestamp: Millis,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    token: u64,
    since: Nanos,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Filling,
    Queued,
    InFlight,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    stage: Stage,
    builder: BatchBuilder,
    tokens: Vec<u64>,
    /// What it counts for in the buffer.
    bytes: usize,
    since: Nanos,
    /// Set when it is sent for the first time.
    sequence: Option<Sequence>,
}

/// The batches of one partition, in order: those in flight, those to be sent, and at most one that is filling.
#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    next_sequence: Sequence,
    /// Nothing is sent before this.
    retry_at: Nanos,
    /// After an error, nothing is sent until nothing is in flight: order comes first.
    settling: bool,
}

impl Queue {
    fn in_flight(&self) -> usize {
        self.batches.iter().filter(|batch| batch.stage == Stage::InFlight).count()
    }
}

/// Who the broker takes the producer for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Identity {
    /// Nobody: it is not idempotent.
    Anonymous,
    /// An id is to be asked for once nothing is in flight.
    Wanted,
    /// The question is under way.
    Asked,
    Known(ProducerId, ProducerEpoch),
}

/// A batch that is in flight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) partition: TopicPartition,
    number: u64,
}

/// Batches for one request.
#[derive(Debug, Default)]
pub(super) struct Shipment {
    pub(super) sent: Vec<Sent>,
    /// By topic, so that a topic stands in the request once.
    topics: BTreeMap<Arc<str>, Vec<(PartitionIndex, Slice)>>,
}

/// Collects records and says what to send.
#[derive(Debug)]
pub(super) struct Producer {
    config: ProducerConfig,
    identity: Identity,
    identity_retry_at: Nanos,
    unplaced: BTreeMap<Arc<str>, VecDeque<Unplaced>>,
    queues: BTreeMap<TopicPartition, Queue>,
    /// Where records without key go until the batch is full.
    sticky: BTreeMap<Arc<str>, PartitionIndex>,
    compressor: Compressor,
    buffered_bytes: usize,
    next_number: u64,
    seed: u64,
    flushing: bool,
}

impl Producer {
    pub(super) fn new(config: ProducerConfig, seed: u64) -> Self {
        assert!(!config.idempotent || config.acks == Acks::All, "idempotence wants acks=all");
        Self {
            config,
            identity: if config.idempotent { Identity::Wanted } else { Identity::Anonymous },
            identity_retry_at: Nanos::new(0),
            unplaced: BTreeMap::new(),
            queues: BTreeMap::new(),
            sticky: BTreeMap::new(),
            compressor: Compressor::default(),
            buffered_bytes: 0,
            next_number: 0,
            seed,
            flushing: false,
        }
    }

    pub(super) fn push(
        &mut self,
        produce: &ProduceRecord<'_>,
        metadata: &Metadata,
        now: Nanos,
    ) -> Result<(), BufferFull> {
        let ProduceRecord { topic, record, token, .. } = *produce;
        if self.buffered_bytes > 0 && self.buffered_bytes + record_bytes(&record) > self.config.buffer_bytes_max {
            return Err(BufferFull);
        }
        self.flushing = false;
        self.buffered_bytes += record_bytes(&record);
        match metadata.partition_count(topic) {
            Some(count) if !self.unplaced.contains_key(topic) => {
                self.place(topic, produce.partition, count, &record, token, now);
            }
            _ => {
                let headers = record.headers.iter();
                let unplaced = Unplaced {
                    partition: produce.partition,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: headers.map(|each| (each.key.to_vec(), each.value.map(<[u8]>::to_vec))).collect(),
                    token,
                    since: now,
                };
                self.unplaced.entry(Arc::clone(topic)).or_default().push_back(unplaced);
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        topic: &Arc<str>,
        chosen: Option<PartitionIndex>,
        partition_count: u32,
        record: &Record<'_>,
        token: u64,
        now: Nanos,
    ) {
        let mut index = match (chosen, record.key) {
            (Some(index), _) => index,
            (None, Some(key)) => partition_of_key(key, partition_count),
            (None, None) => self.sticky_partition(topic, partition_count),
        };
        let bytes = record_bytes(record);
        if self.make_room(topic, index, bytes) && chosen.is_none() && record.key.is_none() {
            index = self.sticky_partition(topic, partition_count);
            self.make_room(topic, index, bytes);
        }
        let queue = self.queues.entry(partition(topic, index)).or_default();
        if queue.batches.back().is_none_or(|batch| batch.stage != Stage::Filling) {
            queue.batches.push_back(Batch {
                number: self.next_number,
                stage: Stage::Filling,
                builder: BatchBuilder::new().compression(self.config.compression),
                tokens: Vec::new(),
                bytes: 0,
                since: now,
                sequence: None,
            });
            self.next_number += 1;
        }
        let batch = queue.batches.back_mut().expect("one is filling");
        batch.builder.push(record);
        batch.tokens.push(token);
        batch.bytes += bytes;
        if batch.builder.plain_bytes() >= self.config.batch_bytes {
            batch.stage = Stage::Queued;
            self.sticky.remove(topic);
        }
    }

    /// Closes the partition's filling batch if so many bytes more would make it larger than a batch is to be: a broker that
    /// takes the record alone might refuse it behind others. Answers whether it did.
    fn make_room(&mut self, topic: &Arc<str>, index: PartitionIndex, bytes: usize) -> bool {
        let queue = self.queues.get_mut(&partition(topic, index));
        let filling = queue.and_then(|queue| queue.batches.back_mut()).filter(|batch| batch.stage == Stage::Filling);
        let over = filling.filter(|batch| batch.builder.plain_bytes() + bytes > self.config.batch_bytes);
        let Some(batch) = over else { return false };
        batch.stage = Stage::Queued;
        self.sticky.remove(topic);
        true
    }

    fn sticky_partition(&mut self, topic: &Arc<str>, partition_count: u32) -> PartitionIndex {
        if let Some(index) = self.sticky.get(topic) {
            return *index;
        }
        // SplitMix64, of the seed that the client was given.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let index = (mixed ^ (mixed >> 31)) % u64::from(partition_count);
        let index = PartitionIndex::new(i32::try_from(index).expect("a partition's number has 31 bits"));
        self.sticky.insert(Arc::clone(topic), index);
        index
    }

    /// Sends everything without waiting for batches to become full, until the next record comes.
    pub(super) fn flush(&mut self) {
        self.flushing = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffered_bytes == 0
    }

    /// Places what waited for metadata, closes batches that have waited long enough, and gives up what is too old.
    pub(super) fn advance(&mut self, metadata: &Metadata, now: Nanos, deliveries: &mut Vec<Delivery>) {
        for (topic, mut waiting) in std::mem::take(&mut self.unplaced) {
            let given_up = metadata.topic_error(&topic).filter(|error| !error.is_retriable());
            let count = metadata.partition_count(&topic);
            while let Some(each) = waiting.pop_front() {
                let headers: Vec<Header<'_>> =
                    each.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
                let (key, value) = (each.key.as_deref(), each.value.as_deref());
                let record = Record { timestamp: each.timestamp, key, value, headers: &headers };
                let too_old = now >= each.since.saturating_add(self.config.delivery_timeout);
                match (count, given_up.or(too_old.then_some(ErrorCode::RequestTimedOut))) {
                    (Some(count), _) => self.place(&topic, each.partition, count, &record, each.token, now),
                    (None, Some(error)) => {
                        self.buffered_bytes -= record_bytes(&record);
                        let partition = partition(&topic, each.partition.unwrap_or(PartitionIndex::new(-1)));
                        deliveries.push(Delivery { partition, result: Err(error), tokens: vec![each.token] });
                    }
                    (None, None) => {
                        drop(headers);
                        waiting.push_front(each);
                        break;
                    }
                }
            }
            if !waiting.is_empty() {
                self.unplaced.insert(topic, waiting);
            }
        }
        let (config, flushing) = (self.config, self.flushing);
        let mut too_old = Vec::new();
        for (partition, queue) in &mut self.queues {
            for batch in &mut queue.batches {
                let waited = now >= batch.since.saturating_add(config.linger);
                if batch.stage == Stage::Filling && (flushing || waited) {
                    batch.stage = Stage::Queued;
                    self.sticky.remove(&partition.topic);
                }
                let expired = now >= batch.since.saturating_add(config.delivery_timeout);
                if batch.stage == Stage::Queued && expired {
                    too_old.push(Sent { partition: partition.clone(), number: batch.number });
                }
            }
        }
        for sent in too_old {
            deliveries.extend(self.fail(&sent, ErrorCode::RequestTimedOut));
        }
    }

    /// When [`advance`](Self::advance) or [`shipments`](Self::shipments) may have something new to do.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let unplaced = self.unplaced.values().filter_map(VecDeque::front).map(|each| each.since);
        let unplaced = unplaced.map(|since| since.saturating_add(self.config.delivery_timeout));
        let queues = self.queues.values().filter_map(|queue| {
            let batch = queue.batches.iter().find(|batch| batch.stage != Stage::InFlight)?;
            match batch.stage {
                Stage::Filling => Some(batch.since.saturating_add(self.config.linger)),
                Stage::Queued if matches!(self.identity, Identity::Wanted) => Some(self.identity_retry_at),
                _ => Some(queue.retry_at),
            }
        });
        unplaced.chain(queues).min()
    }

    /// Whether a producer id has to be asked for now.
    pub(super) fn wants_identity(&self, now: Nanos) -> bool {
        let idle = || self.queues.values().all(|queue| queue.in_flight() == 0);
        let needed = || self.queues.values().any(|queue| !queue.batches.is_empty());
        self.identity == Identity::Wanted && now >= self.identity_retry_at && needed() && idle()
    }

    pub(super) fn asked_identity(&mut self) {
        self.identity = Identity::Asked;
    }

    /// Takes the answer; `None` where there was none, and it is asked for again after `retry_at`.
    pub(super) fn identity(&mut self, identity: Option<(ProducerId, ProducerEpoch)>, retry_at: Nanos) {
        self.identity = identity.map_or(Identity::Wanted, |(id, epoch)| Identity::Known(id, epoch));
        self.identity_retry_at = retry_at;
        for queue in self.queues.values_mut() {
            queue.next_sequence = Sequence::new(0);
            queue.batches.iter_mut().for_each(|batch| batch.sequence = None);
        }
    }

    /// Partitions with a batch that may be sent now.
    pub(super) fn sendable(&self, now: Nanos) -> Vec<TopicPartition> {
        let most = if self.config.idempotent { BATCHES_IN_FLIGHT_MAX } else { 1 };
        if matches!(self.identity, Identity::Wanted | Identity::Asked) {
            return Vec::new();
        }
        let sendable = self.queues.iter().filter(|(_, queue)| {
            let in_flight = queue.in_flight();
            let queued = queue.batches.get(in_flight).is_some_and(|batch| batch.stage == Stage::Queued);
            queued && now >= queue.retry_at && in_flight < most && (in_flight == 0 || !queue.settling)
        });
        sendable.map(|(partition, _)| partition.clone()).collect()
    }

    /// Takes one batch of each of `partitions`, up to the size of a request.
    pub(super) fn ship(&mut self, partitions: &[TopicPartition]) -> Shipment {
        let mut shipment = Shipment::default();
        let mut bytes = 0;
        for partition in partitions {
            let queue = self.queues.get_mut(partition).expect("it was sendable");
            let in_flight = queue.in_flight();
            let batch = &mut queue.batches[in_flight];
            bytes += batch.builder.plain_bytes();
            if bytes > self.config.request_bytes_max && !shipment.sent.is_empty() {
                break;
            }
            if in_flight == 0 {
                queue.settling = false;
            }
            let stamp = match self.identity {
                Identity::Known(id, epoch) => {
                    let base_sequence = *batch.sequence.get_or_insert_with(|| {
                        let sequence = queue.next_sequence;
                        queue.next_sequence = sequence.advance(batch.builder.record_count());
                        sequence
                    });
                    Stamp { id, epoch, base_sequence }
                }
                _ => Stamp::NONE,
            };
            let builder = std::mem::take(&mut batch.builder).producer(stamp);
            let records = Slice::from(&builder.build_with(&mut self.compressor)[..]);
            batch.builder = builder;
            batch.stage = Stage::InFlight;
            shipment.sent.push(Sent { partition: partition.clone(), number: batch.number });
            let topic = shipment.topics.entry(Arc::clone(&partition.topic)).or_default();
            topic.push((partition.partition, records));
        }
        shipment
    }

    /// Takes what became of a batch. An error that passes sends it again, after `retry_at`.
    pub(super) fn settle(
        &mut self,
        sent: &Sent,
        result: Result<Offset, ErrorCode>,
        retry_at: Nanos,
    ) -> Option<Delivery> {
        let replaced = self.identity == Identity::Wanted;
        let queue = self.queues.get_mut(&sent.partition)?;
        let position = queue.batches.iter().position(|batch| batch.number == sent.number)?;
        let result = match result {
            Err(ErrorCode::DuplicateSequenceNumber) => Ok(Offset::UNKNOWN),
            // It was refused because one before it is missing: that one comes again, or the producer gets a new id.
            Err(ErrorCode::OutOfOrderSequenceNumber) if position > 0 || replaced => Err(ErrorCode::NetworkException),
            other => other,
        };
        match result {
            Err(error) if error.is_retriable() => {
                queue.batches[position].stage = Stage::Queued;
                queue.retry_at = retry_at;
                queue.settling = true;
                None
            }
            Err(error) => self.fail(sent, error),
            Ok(offset) => {
                let batch = queue.batches.remove(position).expect("it was found there");
                self.buffered_bytes -= batch.bytes;
                Some(Delivery { partition: sent.partition.clone(), result: Ok(offset), tokens: batch.tokens })
            }
        }
    }

    fn fail(&mut self, sent: &Sent, error: ErrorCode) -> Option<Delivery> {
        let queue = self.queues.get_mut(&sent.partition)?;
        let position = queue.batches.iter().position(|batch| batch.number == sent.number)?;
        let batch = queue.batches.remove(position).expect("it was found there");
        self.buffered_bytes -= batch.bytes;
        if batch.sequence.is_some() {
            // Its sequence numbers are lost, or may yet be used: nothing may follow under this id.
            self.identity = Identity::Wanted;
        }
        Some(Delivery { partition: sent.partition.clone(), result: Err(error), tokens: batch.tokens })
    }
}

impl Shipment {
    /// The body of a Produce request. Panics if `topic_id` is needed and not given.
    pub(super) fn body(
        &self,
        version: i16,
        acks: Acks,
        timeout: Duration,
        topic_id: impl Fn(&str) -> Uuid,
    ) -> Result<Body, EncodeError> {
        let flexible = crate::messages::ApiKey::Produce.is_flexible(version);
        let (mut w, mut body) = (Writer::with_capacity(128), Body::default());
        w.opt_string(None, flexible, true)?;
        w.i16(acks.code());
        w.i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        w.array_length(Some(self.topics.len()), flexible)?;
        for (topic, partitions) in &self.topics {
            if version >= 13 {
                w.uuid(topic_id(topic));
            } else {
                w.string(topic, flexible)?;
            }
            w.array_length(Some(partitions.len()), flexible)?;
            for (index, records) in partitions {
                w.i32(index.get());
                w.array_length(Some(records.len()), flexible)?;
                body.insert_at(w.len(), records.clone());
                if flexible {
                    w.tagged_fields();
                }
            }
            if flexible {
                w.tagged_fields();
            }
        }
        if flexible {
            w.tagged_fields();
        }
        *body.bytes_mut() = w.into_bytes();
        Ok(body)
    }
}

fn record_bytes(record: &Record<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|header| header.key.len() + length(header.value)).sum::<usize>();
    RECORD_OVERHEAD_BYTES + length(record.key) + length(record.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};

    #[test]
    fn after_an_error_nothing_is_sent_until_nothing_is_in_flight() {
        let now = Nanos::new(1);
        let topic: Arc<str> = Arc::from("t");
        let mut metadata = Metadata::default();
        let partitions = vec![MetadataResponsePartition::default()];
        let known = MetadataResponseTopic { name: Some("t".to_owned()), partitions, ..Default::default() };
        metadata.update(MetadataResponse { topics: vec![known], ..Default::default() }, now);

        let mut producer = Producer::new(ProducerConfig { batch_bytes: 1, ..ProducerConfig::default() }, 0);
        let record = ProduceRecord { topic: &topic, partition: None, record: Record::default(), token: 0 };
        for _ in 0..4 {
            producer.push(&record, &metadata, now).expect("the buffer has room");
        }
        assert!(producer.sendable(now).is_empty(), "it has no id yet");
        producer.identity(Some((ProducerId::new(1), ProducerEpoch::new(0))), now);
        let sent: Vec<Sent> = (0..3).flat_map(|_| producer.ship(&producer.sendable(now)).sent).collect();
        for each in &sent[..2] {
            assert_eq!(producer.settle(each, Err(ErrorCode::NotLeaderOrFollower), now), None);
        }
        assert!(producer.sendable(now).is_empty(), "the third batch is still in flight");
        assert_eq!(producer.settle(&sent[2], Err(ErrorCode::OutOfOrderSequenceNumber), now), None);
        let again: Vec<Sent> = (0..3).flat_map(|_| producer.ship(&producer.sendable(now)).sent).collect();
        assert_eq!(again, sent, "in their order");
    }
}
