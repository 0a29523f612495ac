//! A broker in memory, as far as the client's tests need one: it answers through the server's own connection machine.

use crate::conn::{Body, Conn, ConnLimits, Request, Response, SpareChunks, Want};
use crate::error::ErrorCode;
use crate::header::{ServedApi, ServedApis};
use crate::messages::{
    ApiKey, Message, api_versions, create_topics, fetch, init_producer_id, list_offsets, metadata, produce,
};
use crate::seeded::Seeded;
use crate::views::{FetchResponseHead, FetchResponseWriter, FetchView, ProduceView, TopicRef};
use crate::wire::{Reader, Writer};
use ringlog_buffer::{Chunk, Slice};
use ringlog_storage::batch::{BatchView, split, stamp};
use ringlog_storage::types::{LeaderEpoch, Nanos, Offset, PartitionIndex, ProducerId, Sequence, TopicPartition, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What goes wrong, once in so many times; 0 is never.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    /// A produced partition is refused with an error that passes.
    pub(super) refused_one_in: usize,
    /// A batch of so many records is refused for good.
    pub(super) poisonous_count: i32,
    /// A connection is cut after a request was performed, before it is answered.
    pub(super) cut_one_in: usize,
}

#[derive(Default)]
struct Log {
    batches: Vec<(Offset, Slice)>,
    end: Offset,
    producers: BTreeMap<ProducerId, Vec<Remembered>>,
}

/// A batch of an idempotent producer.
struct Remembered {
    first: Sequence,
    next: Sequence,
    base_offset: Offset,
}

/// All brokers of one cluster: partition n is led by broker n modulo their number.
pub(super) struct Cluster {
    pub(super) ports: Vec<u16>,
    pub(super) faults: Faults,
    pub(super) apis: Arc<ServedApis>,
    topics: BTreeMap<String, (Uuid, i32)>,
    logs: BTreeMap<TopicPartition, Log>,
    next_producer_id: i64,
    dice: Seeded,
}

pub(super) struct Served {
    broker: usize,
    conn: Conn,
}

impl Served {
    pub(super) fn new(broker: usize, apis: Arc<ServedApis>, now: Nanos) -> Self {
        Self { broker, conn: Conn::new(ConnLimits::default(), apis, SpareChunks::default(), now) }
    }

    /// Takes bytes and performs what they ask for. `None` when the connection is cut.
    pub(super) fn exchange(&mut self, bytes: &[u8], cluster: &mut Cluster, now: Nanos) -> Option<Vec<u8>> {
        self.conn.received(bytes, now);
        while let Want::Memory { bytes, .. } = self.conn.want() {
            self.conn.grant(Chunk::with_capacity(bytes));
        }
        while let Some(request) = self.conn.next_request() {
            let response = cluster.serve(&request, self.broker);
            self.conn.respond(request.seq, response);
            if cluster.happens(cluster.faults.cut_one_in) {
                return None;
            }
        }
        if let Some(reason) = self.conn.closing() {
            panic!("the client spoke nonsense: {reason}");
        }
        let mut sent = Vec::new();
        while let Some(pieces) = self.conn.transmit(now) {
            sent.extend(pieces.iter().flat_map(|piece| piece.iter().copied()));
        }
        Some(sent)
    }
}

fn encoded(message: &impl Message, version: i16) -> Response {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("the version can say it");
    Response::Send(Body::from(w.into_bytes()))
}

impl Cluster {
    /// A cluster that serves random versions, with topic `t` of `partition_count` partitions.
    pub(super) fn new(seed: u64, broker_count: u16, partition_count: i32, faults: Faults) -> Self {
        let mut dice = Seeded::new(seed);
        let mut row = |api_key: ApiKey, min: i16| {
            let valid = api_key.valid_versions();
            let newest = i16::try_from(dice.within(0..=20)).expect("small").clamp(min, *valid.end());
            ServedApi { api_key, min: *valid.start(), max: newest }
        };
        let apis = ServedApis::new([
            row(ApiKey::ApiVersions, 0),
            row(ApiKey::Metadata, 1),
            row(ApiKey::InitProducerId, 0),
            row(ApiKey::Produce, 3),
            row(ApiKey::Fetch, 4),
            row(ApiKey::ListOffsets, 1),
            row(ApiKey::CreateTopics, 2),
        ]);
        let topics = BTreeMap::from([("t".to_owned(), (Uuid::from_u128(1000), partition_count))]);
        let (ports, apis) = ((9000..9000 + broker_count).collect(), Arc::new(apis));
        Self { ports, faults, apis, topics, logs: BTreeMap::new(), next_producer_id: 0, dice }
    }

    fn happens(&mut self, one_in: usize) -> bool {
        one_in > 0 && self.dice.once_in(one_in)
    }

    fn leader(&self, partition: i32) -> usize {
        usize::try_from(partition).expect("not negative") % self.ports.len()
    }

    fn topic_name(&self, topic: TopicRef<'_>) -> Option<String> {
        match topic {
            TopicRef::Name(name) => Some(name.to_owned()),
            TopicRef::Id(id) => self.topics.iter().find(|(_, topic)| topic.0 == id).map(|(name, _)| name.clone()),
        }
    }

    fn serve(&mut self, request: &Request, broker: usize) -> Response {
        let version = request.header.api_version;
        let r = &mut Reader::new(&request.body);
        match request.header.api_key {
            ApiKey::ApiVersions => self.api_versions(version),
            ApiKey::Metadata => self.metadata(&metadata::MetadataRequest::decode(r, version).expect("whole"), version),
            ApiKey::InitProducerId => {
                let producer_id = self.next_producer_id;
                self.next_producer_id += 1;
                let response =
                    init_producer_id::InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() };
                encoded(&response, version)
            }
            ApiKey::Produce => self.produce(&request.body, version, broker),
            ApiKey::Fetch => self.fetch(&request.body, version, broker),
            ApiKey::ListOffsets => {
                self.list_offsets(&list_offsets::ListOffsetsRequest::decode(r, version).expect("whole"), version)
            }
            ApiKey::CreateTopics => {
                let request = create_topics::CreateTopicsRequest::decode(r, version).expect("whole");
                let topics = request.topics.into_iter().map(|topic| {
                    let id = Uuid::from_u128(1001);
                    self.topics.insert(topic.name.clone(), (id, topic.num_partitions));
                    create_topics::CreatableTopicResult { name: topic.name, topic_id: id, ..Default::default() }
                });
                let topics = topics.collect();
                encoded(&create_topics::CreateTopicsResponse { topics, ..Default::default() }, version)
            }
            other => panic!("{other} is not served"),
        }
    }

    fn api_versions(&self, version: i16) -> Response {
        let api_keys = self.apis.rows().map(|row| api_versions::ApiVersion {
            api_key: row.api_key.code(),
            min_version: row.min,
            max_version: row.max,
        });
        let response = api_versions::ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() };
        encoded(&response, version)
    }

    fn metadata(&self, request: &metadata::MetadataRequest, version: i16) -> Response {
        let brokers = (0..).zip(&self.ports).map(|(node_id, port)| metadata::MetadataResponseBroker {
            node_id,
            host: "broker".to_owned(),
            port: i32::from(*port),
            ..Default::default()
        });
        let topics = request.topics.iter().flatten().map(|topic| {
            let name = topic.name.clone().expect("the client names topics");
            let Some((topic_id, partition_count)) = self.topics.get(&name).copied() else {
                let error_code = ErrorCode::UnknownTopicOrPartition.code();
                return metadata::MetadataResponseTopic { error_code, name: Some(name), ..Default::default() };
            };
            let partitions = (0..partition_count).map(|partition_index| metadata::MetadataResponsePartition {
                partition_index,
                leader_id: i32::try_from(self.leader(partition_index)).expect("small"),
                ..Default::default()
            });
            let partitions = partitions.collect();
            metadata::MetadataResponseTopic { name: Some(name), topic_id, partitions, ..Default::default() }
        });
        let response = metadata::MetadataResponse {
            brokers: brokers.collect(),
            controller_id: 0,
            topics: topics.collect(),
            ..Default::default()
        };
        encoded(&response, version)
    }

    fn produce(&mut self, body: &Slice, version: i16, broker: usize) -> Response {
        let view = ProduceView::decode(body, version).expect("whole");
        let mut response = produce::ProduceResponse::default();
        for topic in view.topics.iter() {
            let name = self.topic_name(topic.topic).expect("the client knows the topic");
            let partitions = topic.partitions.iter().map(|partition| {
                let records = partition.records.expect("the client sends records");
                let result = self.append(&name, partition.index, &body[records], broker);
                produce::PartitionProduceResponse {
                    index: partition.index.get(),
                    error_code: result.err().unwrap_or(ErrorCode::None).code(),
                    base_offset: result.map_or(-1, Offset::get),
                    ..Default::default()
                }
            });
            let partition_responses = partitions.collect();
            let (name, topic_id) = match topic.topic {
                TopicRef::Name(name) => (name.to_owned(), Uuid::ZERO),
                TopicRef::Id(id) => (String::new(), id),
            };
            response.responses.push(produce::TopicProduceResponse { name, topic_id, partition_responses });
        }
        if view.acks == 0 { Response::Nothing } else { encoded(&response, version) }
    }

    fn append(
        &mut self,
        topic: &str,
        index: PartitionIndex,
        records: &[u8],
        broker: usize,
    ) -> Result<Offset, ErrorCode> {
        if broker != self.leader(index.get()) || self.happens(self.faults.refused_one_in) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let (batch, rest) = BatchView::parse(records).expect("one batch");
        assert!(rest.is_empty() && batch.check_crc());
        if batch.record_count() == self.faults.poisonous_count {
            return Err(ErrorCode::MessageTooLarge);
        }
        let log = self.logs.entry(TopicPartition::new(topic, index)).or_default();
        let base_offset = log.end;
        if batch.producer_id() != ProducerId::NONE {
            let sequence = batch.base_sequence();
            let remembered = log.producers.entry(batch.producer_id()).or_default();
            if let Some(duplicate) = remembered.iter().find(|each| each.first == sequence) {
                return Ok(duplicate.base_offset);
            }
            let expected = remembered.last().map_or(Sequence::new(0), |each| each.next);
            if sequence != expected {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            let next = sequence.advance(batch.record_count());
            remembered.push(Remembered { first: sequence, next, base_offset });
        }
        let mut bytes = records.to_vec();
        stamp(&mut bytes, base_offset, LeaderEpoch::FIRST);
        log.batches.push((base_offset, Slice::from(&bytes[..])));
        log.end = base_offset.checked_add(i64::from(batch.last_offset_delta()) + 1).expect("small");
        Ok(base_offset)
    }

    fn list_offsets(&self, request: &list_offsets::ListOffsetsRequest, version: i16) -> Response {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = PartitionIndex::new(partition.partition_index);
                let end = self.logs.get(&TopicPartition::new(&*topic.name, index)).map_or(Offset::ZERO, |log| log.end);
                list_offsets::ListOffsetsPartitionResponse {
                    partition_index: partition.partition_index,
                    offset: match partition.timestamp {
                        -2 => 0,
                        -1 => end.get(),
                        _ => -1,
                    },
                    ..Default::default()
                }
            });
            let partitions = partitions.collect();
            list_offsets::ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
        });
        encoded(&list_offsets::ListOffsetsResponse { topics: topics.collect(), ..Default::default() }, version)
    }

    fn fetch(&mut self, body: &Slice, version: i16, broker: usize) -> Response {
        let view = FetchView::decode(body, version).expect("whole");
        let head = FetchResponseHead { throttle_time_ms: 0, error: ErrorCode::None, session_id: 0 };
        let mut writer = FetchResponseWriter::new(version, head, view.topics.len()).expect("a version");
        for topic in view.topics.iter() {
            writer.topic(topic.topic, topic.partitions.len()).expect("a topic");
            let name = self.topic_name(topic.topic).expect("the client knows the topic");
            for partition in topic.partitions.iter() {
                let mut data = fetch::PartitionData {
                    partition_index: partition.partition.get(),
                    aborted_transactions: None,
                    ..Default::default()
                };
                let log = self.logs.entry(TopicPartition::new(&*name, partition.partition)).or_default();
                data.high_watermark = log.end.get();
                let mut records = Vec::new();
                if partition.fetch_offset > log.end {
                    data.error_code = ErrorCode::OffsetOutOfRange.code();
                } else {
                    // From the batch that holds the offset on, three batches, the last one cut off.
                    let wanted = log.batches.iter().skip_while(|(_, batch)| {
                        split(batch).all(|batch| batch.expect("whole").next_offset() <= partition.fetch_offset)
                    });
                    records.extend(wanted.take(3).map(|(_, batch)| batch.clone()));
                    if let Some(third) = records.get_mut(2) {
                        *third = third.slice(0..third.len() / 2);
                    }
                }
                assert_eq!(broker, self.leader(partition.partition.get()), "the client asks the leader");
                writer.partition(&data, records).expect("a partition");
            }
        }
        Response::Send(writer.finish(&[]).expect("a response"))
    }
}
