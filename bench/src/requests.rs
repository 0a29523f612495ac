//! Requests as they go over the wire, encoded once and sent as often as a run lasts; and what is read of the answers.

use anyhow::{Context as _, bail};
use ringlog_buffer::{Chunk, Slice};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::messages::{ApiKey, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_storage::batch::LENGTH_OVERHEAD_BYTES;
use ringlog_storage::types::Uuid;

/// The versions that a Java client of 4.x speaks.
pub(crate) const CREATE_TOPICS_VERSION: i16 = 7;
pub(crate) const METADATA_VERSION: i16 = 13;
pub(crate) const DELETE_TOPICS_VERSION: i16 = 6;
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;

/// How long the broker may take for a request.
const TIMEOUT_MS: i32 = 30_000;
/// How long a fetch waits for data.
const FETCH_WAIT_MS: i32 = 500;
const SIZE_FIELD_BYTES: usize = 4;
const CLIENT_ID: &str = "ringlog-bench";

/// Whose writes an acknowledgement waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
pub(crate) enum Acks {
    /// Those of every in-sync replica.
    #[serde(rename = "all")]
    All,
    /// That of the leader.
    #[serde(rename = "1")]
    Leader,
}

impl Acks {
    const fn on_the_wire(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
        }
    }
}

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

/// A setting of a topic, and its value.
pub(crate) type TopicSetting = (String, String);

/// What every topic of a run has, where it is told nothing else: records stay.
const RETENTION: (&str, &str) = ("retention.ms", "-1");

/// Whether a broker does what it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    Apply,
    /// It only says what would come of it.
    Ask,
}

/// Makes one topic.
pub(crate) fn create_topic(
    name: &str,
    partitions: i32,
    settings: &[TopicSetting],
    intent: Intent,
) -> anyhow::Result<Slice> {
    let is_told = settings.iter().any(|(name, _)| name == RETENTION.0);
    let retention = (!is_told).then(|| (RETENTION.0.to_owned(), RETENTION.1.to_owned()));
    let configs = settings.iter().cloned().chain(retention);
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect(),
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: intent == Intent::Ask };
    frame(&request, CREATE_TOPICS_VERSION)
}

/// Appends `batch` to one partition.
pub(crate) fn produce(topic_id: Uuid, partition: i32, acks: Acks, batch: &[u8]) -> anyhow::Result<Slice> {
    let data = PartitionProduceData { index: partition, records: Some(batch.to_vec()) };
    let topic = TopicProduceData { topic_id, partition_data: vec![data], ..TopicProduceData::default() };
    let request = ProduceRequest {
        acks: acks.on_the_wire(),
        timeout_ms: TIMEOUT_MS,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    frame(&request, PRODUCE_VERSION)
}

/// Asks for topics by their ids.
pub(crate) fn metadata(topic_ids: &[Uuid]) -> anyhow::Result<Slice> {
    let topic = |id: &Uuid| MetadataRequestTopic { topic_id: *id, name: None };
    let topics = Some(topic_ids.iter().map(topic).collect());
    let request = MetadataRequest { topics, allow_auto_topic_creation: false, ..MetadataRequest::default() };
    frame(&request, METADATA_VERSION)
}

/// Deletes topics by their ids.
pub(crate) fn delete_topics(topic_ids: &[Uuid]) -> anyhow::Result<Slice> {
    let topic = |id: &Uuid| DeleteTopicState { name: None, topic_id: *id };
    let topics = topic_ids.iter().map(topic).collect();
    frame(
        &DeleteTopicsRequest { topics, timeout_ms: TIMEOUT_MS, ..DeleteTopicsRequest::default() },
        DELETE_TOPICS_VERSION,
    )
}

/// One partition of a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TopicIdPartition {
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

/// How much a fetch asks for, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchLimits {
    /// Of each partition, and of all together.
    pub(crate) bytes_max: i32,
    pub(crate) wait_ms: i32,
}

/// Fetches from one partition, at least a byte or until the wait is over.
pub(crate) fn fetch(topic_id: Uuid, partition: i32, offset: i64, bytes_max: i32) -> anyhow::Result<Slice> {
    let limits = FetchLimits { bytes_max, wait_ms: FETCH_WAIT_MS };
    fetch_all([(TopicIdPartition { topic_id, partition }, offset)], limits)
}

/// Fetches from several partitions, each from an offset. Partitions of one topic stand together.
pub(crate) fn fetch_all(
    offsets: impl IntoIterator<Item = (TopicIdPartition, i64)>,
    limits: FetchLimits,
) -> anyhow::Result<Slice> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (TopicIdPartition { topic_id, partition }, fetch_offset) in offsets {
        if topics.last().is_none_or(|topic| topic.topic_id != topic_id) {
            topics.push(FetchTopic { topic_id, ..FetchTopic::default() });
        }
        let bytes = limits.bytes_max;
        let partition =
            FetchPartition { partition, fetch_offset, partition_max_bytes: bytes, ..FetchPartition::default() };
        topics.last_mut().expect("it was just pushed").partitions.push(partition);
    }
    let request = FetchRequest {
        max_wait_ms: limits.wait_ms,
        min_bytes: 1,
        max_bytes: limits.bytes_max,
        session_id: 0,
        session_epoch: -1,
        topics,
        ..FetchRequest::default()
    };
    frame(&request, FETCH_VERSION)
}

/// The reader of a response's body, behind its header.
pub(crate) fn body(frame: &[u8], api_key: ApiKey, version: i16) -> anyhow::Result<Reader<'_>> {
    let mut r = Reader::new(frame);
    r.i32()?;
    if api_key.response_header_version(version) >= 1 {
        r.tagged_fields(|_, _| Ok(false))?;
    }
    Ok(r)
}

/// Checks that everything in a Produce response of one partition went well.
pub(crate) fn check_produced(frame: &[u8]) -> anyhow::Result<()> {
    let mut r = body(frame, ApiKey::Produce, PRODUCE_VERSION)?;
    let topics = r.varint()?;
    r.uuid()?;
    let partitions = r.varint()?;
    let partition = r.i32()?;
    let error = r.i16()?;
    check_error(error, || format!("produce to partition {partition}"))?;
    // Compact arrays tell one more than their length.
    if (topics, partitions) != (2, 2) {
        bail!("produce to one partition is answered for others");
    }
    Ok(())
}

/// A broker has refused what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} is answered with error {code}, {}", error.map_or("a code that Kafka does not have", ErrorCode::name))]
pub(crate) struct Refused {
    what: String,
    code: i16,
    pub(crate) error: Option<ErrorCode>,
}

/// An error of a response as one that names what was asked for.
pub(crate) fn check_error(code: i16, what: impl FnOnce() -> String) -> anyhow::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Refused { what: what(), code, error: ErrorCode::from_code(code) }.into()),
    }
}

/// What a Fetch response of one partition brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fetched {
    /// Bytes of batches.
    pub(crate) bytes: usize,
    /// The offset behind the last of them; `None` if there are none.
    pub(crate) next_offset: Option<i64>,
}

/// Reads a Fetch response of one partition without copying: it goes from batch to batch.
pub(crate) fn check_fetched(frame: &[u8]) -> anyhow::Result<Fetched> {
    let mut all = Fetched { bytes: 0, next_offset: None };
    read_fetched(frame, |_, records| {
        let mut rest = records;
        while let Some((batch, behind)) = next_batch(rest)? {
            all.next_offset = Some(batch.next_offset);
            all.bytes += batch.bytes.len();
            rest = behind;
        }
        Ok(())
    })?;
    Ok(all)
}

/// Goes through the partitions of a Fetch response, and shows the bytes of each.
pub(crate) fn read_fetched(
    frame: &[u8],
    mut visit: impl FnMut(TopicIdPartition, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut r = body(frame, ApiKey::Fetch, FETCH_VERSION)?;
    r.i32()?;
    check_error(r.i16()?, || "fetch".to_owned())?;
    r.i32()?;
    for _ in 1..r.varint()? {
        let topic_id = r.uuid()?;
        for _ in 1..r.varint()? {
            let partition = r.i32()?;
            check_error(r.i16()?, || format!("fetch from partition {partition}"))?;
            for _ in 0..3 {
                r.i64()?;
            }
            // Aborted transactions: null or none, since uncommitted data is read.
            r.varint()?;
            r.i32()?;
            let records_bytes = usize::try_from(r.varint()?.saturating_sub(1))?;
            let records = r.take(records_bytes).context("records end behind the response")?;
            visit(TopicIdPartition { topic_id, partition }, records)?;
            r.tagged_fields(|_, _| Ok(false))?;
        }
        r.tagged_fields(|_, _| Ok(false))?;
    }
    Ok(())
}

/// A batch of a Fetch response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchedBatch<'a> {
    pub(crate) bytes: &'a [u8],
    /// The offset behind it.
    pub(crate) next_offset: i64,
}

/// The first of some batches, and what is behind it. A cut one at the end is left out: Apache Kafka sends slices of its
/// files, as long as was asked for.
pub(crate) fn next_batch(bytes: &[u8]) -> anyhow::Result<Option<(FetchedBatch<'_>, &[u8])>> {
    let fields = (field::<8>(bytes, 0), field::<4>(bytes, 8), field::<4>(bytes, 23));
    let (Some(base), Some(length), Some(delta)) = fields else { return Ok(None) };
    let next_offset = i64::from_be_bytes(base) + i64::from(i32::from_be_bytes(delta)) + 1;
    let length = LENGTH_OVERHEAD_BYTES + usize::try_from(i32::from_be_bytes(length))?;
    let whole = bytes.split_at_checked(length);
    Ok(whole.map(|(bytes, behind)| (FetchedBatch { bytes, next_offset }, behind)))
}

fn field<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..)?.first_chunk().copied()
}
