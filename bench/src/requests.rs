//! Requests as they go over the wire, encoded once and sent as often as a run lasts; and what is read of the answers.

use anyhow::{Context as _, bail};
use ringlog_buffer::{Chunk, Slice};
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{ApiKey, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_storage::types::Uuid;

/// The versions that a Java client of 4.x speaks.
pub(crate) const CREATE_TOPICS_VERSION: i16 = 7;
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;

/// `acks=all`.
const ACKS_ALL: i16 = -1;
/// How long the broker may take for a request.
const TIMEOUT_MS: i32 = 30_000;
/// How long a fetch waits for data.
const FETCH_WAIT_MS: i32 = 500;
const SIZE_FIELD_BYTES: usize = 4;
const CLIENT_ID: &str = "ringlog-bench";

/// A whole request frame.
pub(crate) fn frame<R: Request>(request: &R, version: i16) -> anyhow::Result<Slice> {
    let mut w = Writer::new();
    w.i32(0);
    w.i16(R::KEY.code());
    w.i16(version);
    // Answers come in the order of the requests, so nobody needs to tell them apart.
    w.i32(0);
    w.opt_string(Some(CLIENT_ID), false, true)?;
    if R::KEY.request_header_version(version) >= 2 {
        w.tagged_fields();
    }
    request.encode(&mut w, version)?;
    w.patch_i32(0, i32::try_from(w.len() - SIZE_FIELD_BYTES)?);
    let bytes = w.into_bytes();
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.append(&bytes);
    Ok(chunk.freeze())
}

/// Makes one topic.
pub(crate) fn create_topic(name: &str, partitions: i32) -> anyhow::Result<Slice> {
    let retention = CreatableTopicConfig { name: "retention.ms".to_owned(), value: Some("-1".to_owned()) };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: vec![retention],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..CreateTopicsRequest::default() };
    frame(&request, CREATE_TOPICS_VERSION)
}

/// Appends `batch` to one partition, durably.
pub(crate) fn produce(topic_id: Uuid, partition: i32, batch: &[u8]) -> anyhow::Result<Slice> {
    let data = PartitionProduceData { index: partition, records: Some(batch.to_vec()) };
    let topic = TopicProduceData { topic_id, partition_data: vec![data], ..TopicProduceData::default() };
    let request =
        ProduceRequest { acks: ACKS_ALL, timeout_ms: TIMEOUT_MS, topic_data: vec![topic], ..ProduceRequest::default() };
    frame(&request, PRODUCE_VERSION)
}

/// Fetches from one partition, at least a byte or until the wait is over.
pub(crate) fn fetch(topic_id: Uuid, partition: i32, offset: i64, bytes_max: i32) -> anyhow::Result<Slice> {
    let partition =
        FetchPartition { partition, fetch_offset: offset, partition_max_bytes: bytes_max, ..FetchPartition::default() };
    let topic = FetchTopic { topic_id, partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: FETCH_WAIT_MS,
        min_bytes: 1,
        max_bytes: bytes_max,
        session_id: 0,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    frame(&request, FETCH_VERSION)
}

/// The reader of a response's body, behind its header.
fn body(frame: &[u8], api_key: ApiKey, version: i16) -> anyhow::Result<Reader<'_>> {
    let mut r = Reader::new(frame);
    r.i32()?;
    if api_key.response_header_version(version) >= 1 {
        r.tagged_fields(|_, _| Ok(false))?;
    }
    Ok(r)
}

/// Checks that everything in a Produce response went well.
pub(crate) fn check_produced(frame: &[u8]) -> anyhow::Result<()> {
    let mut r = body(frame, ApiKey::Produce, PRODUCE_VERSION)?;
    let topics = r.varint()?;
    r.uuid()?;
    let partitions = r.varint()?;
    let partition = r.i32()?;
    let error = r.i16()?;
    // Compact arrays tell one more than their length.
    if (topics, partitions) != (2, 2) || error != 0 {
        bail!("partition {partition} answers error {error}");
    }
    Ok(())
}

/// What a Fetch response of one partition brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fetched {
    /// Bytes of batches.
    pub(crate) bytes: usize,
    /// The offset behind the last of them; `None` if there are none.
    pub(crate) next_offset: Option<i64>,
}

/// Reads a Fetch response without copying: it goes from batch to batch.
pub(crate) fn check_fetched(frame: &[u8]) -> anyhow::Result<Fetched> {
    let mut r = body(frame, ApiKey::Fetch, FETCH_VERSION)?;
    r.i32()?;
    let error = r.i16()?;
    r.i32()?;
    let topics = r.varint()?;
    if error != 0 || topics != 2 {
        bail!("error {error}, {topics} topics and one");
    }
    r.uuid()?;
    r.varint()?;
    let partition = r.i32()?;
    let error = r.i16()?;
    if error != 0 {
        bail!("partition {partition} answers error {error}");
    }
    for _ in 0..3 {
        r.i64()?;
    }
    // Aborted transactions: null, since uncommitted data is read.
    r.varint()?;
    r.i32()?;
    let records_bytes = usize::try_from(r.varint()?.saturating_sub(1))?;
    let records = r.rest().get(..records_bytes).context("records end behind the response")?;
    let mut next_offset = None;
    let mut rest = records;
    while let (Some(base), Some(length), Some(delta)) = (field::<8>(rest, 0), field::<4>(rest, 8), field::<4>(rest, 23))
    {
        next_offset = Some(i64::from_be_bytes(base) + i64::from(i32::from_be_bytes(delta)) + 1);
        let bytes = 12 + usize::try_from(i32::from_be_bytes(length))?;
        rest = rest.get(bytes..).context("a batch is cut")?;
    }
    Ok(Fetched { bytes: records.len(), next_offset })
}

fn field<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..)?.first_chunk().copied()
}
