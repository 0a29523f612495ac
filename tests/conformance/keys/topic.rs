//! Topics, batches, and what most cases do with them.

use std::sync::atomic::{AtomicU32, Ordering};

use ringlog_kit::target::BOOTSTRAP;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_net::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ringlog_net::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::{Millis, Uuid};

use crate::session::{Session, expect};

/// From this version on, Produce and Fetch name a topic by its id.
pub(crate) const PRODUCE_BY_ID: i16 = 13;
pub(crate) const FETCH_BY_ID: i16 = 13;

/// The time of every record that is produced here, in milliseconds since 1970.
pub(crate) const RECORD_TIME_MS: i64 = 1_700_000_000_000;

/// A topic of a test's own.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
}

/// A name that no other test and no other run uses.
pub(crate) fn fresh_name(base: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{base}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Topic {
    pub(crate) fn create(session: &mut Session, base: &str, partitions: i32) -> Self {
        Self::create_with(session, base, partitions, &[])
    }

    pub(crate) fn create_with(session: &mut Session, base: &str, partitions: i32, configs: &[(&str, &str)]) -> Self {
        Self::create_named(session, &fresh_name(base), partitions, configs)
    }

    /// Under this name, which [`fresh_name`] has made.
    pub(crate) fn create_named(session: &mut Session, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Self {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: (*name).to_owned(), value: Some((*value).to_owned()) });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
        let created = session.ask(7, &request).topics.remove(0);
        expect(created.error_code, ErrorCode::None);
        let topic = Self { name: name.to_owned(), id: created.topic_id };
        topic.settle(session, partitions);
        topic
    }

    /// Apache Kafka answers a creation before its broker leads the partitions; asking each for its end waits for that.
    pub(crate) fn settle(&self, session: &mut Session, partitions: i32) {
        if std::env::var_os(BOOTSTRAP).is_some() {
            while (0..partitions).any(|partition| self.offset(session, partition, -1).0 != 0) {}
        }
    }

    /// Error code and offset for a timestamp of `ListOffsets`: -1 is the end, -2 the beginning.
    pub(crate) fn offset(&self, session: &mut Session, partition: i32, timestamp: i64) -> (i16, i64) {
        let partition = ListOffsetsPartition { partition_index: partition, current_leader_epoch: -1, timestamp };
        let topics = vec![ListOffsetsTopic { name: self.name.clone(), partitions: vec![partition] }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let found = session.ask(10, &request).topics.remove(0).partitions.remove(0);
        (found.error_code, found.offset)
    }

    /// A request that produces to some partitions of this topic.
    pub(crate) fn produce_request(&self, version: i16, acks: i16, batches: &[(i32, &[u8])]) -> ProduceRequest {
        let data = batches
            .iter()
            .map(|(index, records)| PartitionProduceData { index: *index, records: Some(records.to_vec()) });
        let mut topic = TopicProduceData { name: self.name.clone(), topic_id: self.id, partition_data: data.collect() };
        name_for(version, PRODUCE_BY_ID, &mut topic.name, &mut topic.topic_id);
        ProduceRequest { transactional_id: None, acks, timeout_ms: 30_000, topic_data: vec![topic] }
    }

    /// Produces with acks=all. Answers the partitions' results, in the order of the request.
    pub(crate) fn produce(
        &self,
        session: &mut Session,
        version: i16,
        batches: &[(i32, &[u8])],
    ) -> Vec<PartitionProduceResponse> {
        let request = self.produce_request(version, -1, batches);
        let mut found = session.ask(version, &request).responses.remove(0).partition_responses;
        found.sort_by_key(|partition| batches.iter().position(|(index, _)| *index == partition.index));
        found
    }

    /// A request that fetches some partitions of this topic, without a session and without waiting.
    pub(crate) fn fetch_request(&self, version: i16, partitions: &[(i32, i64)]) -> FetchRequest {
        let partitions = partitions.iter().map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        });
        let mut topic = FetchTopic { topic: self.name.clone(), topic_id: self.id, partitions: partitions.collect() };
        name_for(version, FETCH_BY_ID, &mut topic.topic, &mut topic.topic_id);
        FetchRequest {
            replica_id: -1,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1 << 24,
            session_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        }
    }

    pub(crate) fn fetch(&self, session: &mut Session, version: i16, partitions: &[(i32, i64)]) -> FetchResponse {
        session.ask(version, &self.fetch_request(version, partitions))
    }
}

/// A version has either the name of a topic or its id, never both.
fn name_for(version: i16, by_id_from: i16, name: &mut String, id: &mut Uuid) {
    if version >= by_id_from {
        name.clear();
    } else {
        *id = Uuid::default();
    }
}

/// Adds records with these values to a batch.
pub(crate) fn filled(mut builder: BatchBuilder, values: &[&str]) -> Vec<u8> {
    for value in values {
        let timestamp = Millis::new(RECORD_TIME_MS);
        builder.push(&Record { timestamp, key: Some(b"key"), value: Some(value.as_bytes()), headers: &[] });
    }
    builder.build()
}

/// A plain batch of records with these values.
pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    filled(BatchBuilder::new(), values)
}
