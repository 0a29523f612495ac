//! Records on their way in: assigned partitions, where each is read next, what to fetch.

use super::ClientError;
use super::metadata::Metadata;
use crate::error::ErrorCode;
use crate::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use crate::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ringlog_storage::batch::{Codec, Decompressor, RecordView, Records, split};
use ringlog_storage::types::{Millis, Nanos, Offset, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// `ListOffsets` calls the log's end this.
const LATEST: i64 = -1;
/// `ListOffsets` calls the log's start this.
const EARLIEST: i64 = -2;

/// How records are consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerConfig {
    /// How long a broker may wait for `bytes_min`.
    pub wait_max: Duration,
    /// Bytes that are worth an answer.
    pub bytes_min: u32,
    /// Most bytes of one answer, but for its first batch.
    pub bytes_max: u32,
    /// Most bytes of one partition in an answer, but for the first batch.
    pub partition_bytes_max: u32,
    /// Where to go on when the position is not in the log any more; `None` makes it an error.
    pub reset: Option<Start>,
    /// A batch may not decompress to more.
    pub decompressed_bytes_max: usize,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
            reset: Some(Start::Latest),
            decompressed_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// Where to begin in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At its first record.
    Earliest,
    /// Behind its last record.
    Latest,
    /// At this offset.
    At(Offset),
    /// At the first record of this time or later; at the end if there is none.
    Time(Millis),
}

/// Records that were fetched from one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Where they come from.
    pub partition: TopicPartition,
    /// The first offset that was asked for; the first batch may begin before it.
    pub position: Offset,
    /// The offset to be read next.
    pub next_position: Offset,
    /// Where the committed part of the log ends.
    pub high_watermark: Offset,
    /// Whole batches.
    batches: Vec<u8>,
    decompressed_bytes_max: usize,
}

/// A consumed record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumedRecord<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Millis,
    /// Key, value and headers.
    pub record: RecordView<'a>,
}

impl Fetched {
    /// Hands the records to `sink`, in order, without control records. Checks checksums. Answers how many there were.
    pub fn visit(
        &self,
        decompressor: &mut Decompressor,
        mut sink: impl FnMut(ConsumedRecord<'_>),
    ) -> Result<u64, ClientError> {
        let damaged = || ClientError::Broker(ErrorCode::CorruptMessage);
        let mut count = 0;
        for batch in split(&self.batches) {
            let batch = batch.map_err(|_| damaged())?;
            if !batch.check_crc() {
                return Err(damaged());
            }
            if batch.is_control() {
                continue;
            }
            let codec: Codec = batch.codec().map_err(|_| damaged())?;
            let plain = decompressor.decompress(codec, batch.payload(), self.decompressed_bytes_max);
            for record in Records::new(plain.map_err(|_| damaged())?, batch.record_count()) {
                let record = record.map_err(|_| damaged())?;
                let offset = batch.offset_of(record.offset_delta);
                if offset >= self.position {
                    count += 1;
                    let timestamp = batch.timestamp_of(record.timestamp_delta);
                    sink(ConsumedRecord { offset, timestamp, record });
                }
            }
        }
        Ok(count)
    }

    /// The batches as they came.
    pub fn batches(&self) -> &[u8] {
        &self.batches
    }
}

/// What there is to say about a partition after an answer.
#[derive(Debug)]
pub(super) enum Outcome {
    Records(Fetched),
    Failed(TopicPartition, ErrorCode),
    /// Nothing; the leader has to be looked up again.
    Stale,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Position {
    Unresolved(Start),
    At(Offset),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Idle,
    Asked,
    /// Records wait to be taken by the caller: nothing more is fetched until then.
    Delivered,
    Failed,
}

#[derive(Debug)]
struct Assigned {
    position: Position,
    stage: Stage,
    retry_at: Nanos,
    /// Answers to questions asked before the last assignment do not count.
    generation: u64,
}

/// A question about a partition that is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    position: Position,
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Consumer {
    config: ConsumerConfig,
    assigned: BTreeMap<TopicPartition, Assigned>,
    generation: u64,
}

/// What can be asked of one broker now.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Partitions whose position has to be looked up.
    pub(super) unresolved: Vec<Asked>,
    /// Partitions to fetch from.
    pub(super) readable: Vec<Asked>,
}

impl Consumer {
    pub(super) fn new(config: ConsumerConfig) -> Self {
        Self { config, assigned: BTreeMap::new(), generation: 0 }
    }

    pub(super) fn assign(&mut self, partition: TopicPartition, start: Start) {
        self.generation += 1;
        let position = match start {
            Start::At(offset) => Position::At(offset),
            other => Position::Unresolved(other),
        };
        let retry_at = Nanos::new(0);
        let assigned = Assigned { position, stage: Stage::Idle, retry_at, generation: self.generation };
        self.assigned.insert(partition, assigned);
    }

    pub(super) fn unassign(&mut self, partition: &TopicPartition) {
        self.assigned.remove(partition);
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.assigned.get(partition)?.position {
            Position::At(offset) => Some(offset),
            Position::Unresolved(_) => None,
        }
    }

    /// The caller has taken the records.
    pub(super) fn taken(&mut self, partition: &TopicPartition) {
        if let Some(assigned) = self.assigned.get_mut(partition)
            && assigned.stage == Stage::Delivered
        {
            assigned.stage = Stage::Idle;
        }
    }

    /// Partitions that a question can be asked about now.
    pub(super) fn idle(&self, now: Nanos) -> impl Iterator<Item = (&TopicPartition, bool)> {
        let idle = self.assigned.iter().filter(move |(_, each)| each.stage == Stage::Idle && now >= each.retry_at);
        idle.map(|(partition, each)| (partition, matches!(each.position, Position::Unresolved(_))))
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.assigned.values().filter(|each| each.stage == Stage::Idle).map(|each| each.retry_at).min()
    }

    /// Marks a partition as asked about.
    pub(super) fn ask(&mut self, partition: &TopicPartition) -> Asked {
        let assigned = self.assigned.get_mut(partition).expect("it was idle");
        assigned.stage = Stage::Asked;
        Asked { partition: partition.clone(), position: assigned.position, generation: assigned.generation }
    }

    pub(super) fn list_offsets(asked: &[Asked]) -> ListOffsetsRequest {
        let mut topics: BTreeMap<&Arc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for each in asked {
            let timestamp = match each.position {
                Position::Unresolved(Start::Earliest) => EARLIEST,
                Position::Unresolved(Start::Time(time)) => time.get(),
                _ => LATEST,
            };
            let partition_index = each.partition.partition.get();
            let partition = ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
            topics.entry(&each.partition.topic).or_default().push(partition);
        }
        let topics =
            topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name: name.to_string(), partitions });
        ListOffsetsRequest { replica_id: -1, topics: topics.collect(), ..ListOffsetsRequest::default() }
    }

    pub(super) fn fetch(&self, asked: &[Asked], metadata: &Metadata, names: bool) -> FetchRequest {
        let mut topics: BTreeMap<&Arc<str>, Vec<FetchPartition>> = BTreeMap::new();
        for each in asked {
            let Position::At(offset) = each.position else { continue };
            let partition = FetchPartition {
                partition: each.partition.partition.get(),
                fetch_offset: offset.get(),
                partition_max_bytes: clamped(self.config.partition_bytes_max),
                ..FetchPartition::default()
            };
            topics.entry(&each.partition.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            let topic_id = metadata.topic(name).map(|topic| topic.id).unwrap_or_default();
            FetchTopic { topic: if names { name.to_string() } else { String::new() }, topic_id, partitions }
        });
        FetchRequest {
            max_wait_ms: i32::try_from(self.config.wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: clamped(self.config.bytes_min),
            max_bytes: clamped(self.config.bytes_max),
            topics: topics.collect(),
            ..FetchRequest::default()
        }
    }

    /// The partition's state, if `asked` is still the question that it waits for.
    fn current(&mut self, asked: &Asked) -> Option<&mut Assigned> {
        self.assigned.get_mut(&asked.partition).filter(|each| each.generation == asked.generation)
    }

    /// The question got no answer, or an error that passes.
    pub(super) fn retry(&mut self, asked: &Asked, retry_at: Nanos) {
        if let Some(assigned) = self.current(asked) {
            assigned.stage = Stage::Idle;
            assigned.retry_at = retry_at;
        }
    }

    fn failed(&mut self, asked: &Asked, error: ErrorCode, retry_at: Nanos) -> Outcome {
        if error.is_retriable() {
            self.retry(asked, retry_at);
            return Outcome::Stale;
        }
        let Some(assigned) = self.current(asked) else { return Outcome::Nothing };
        assigned.stage = Stage::Failed;
        Outcome::Failed(asked.partition.clone(), error)
    }

    pub(super) fn resolved(&mut self, asked: &Asked, answer: Result<Offset, ErrorCode>, retry_at: Nanos) -> Outcome {
        let offset = match answer {
            Ok(offset) => offset,
            Err(error) => return self.failed(asked, error, retry_at),
        };
        if let Some(assigned) = self.current(asked) {
            assigned.stage = Stage::Idle;
            // No record is of that time or later: the end is where such records will come.
            assigned.position =
                if offset < Offset::ZERO { Position::Unresolved(Start::Latest) } else { Position::At(offset) };
        }
        Outcome::Nothing
    }

    pub(super) fn fetched(&mut self, asked: &Asked, data: PartitionData, retry_at: Nanos) -> Outcome {
        let config = self.config;
        match (ErrorCode::from_wire(data.error_code), config.reset) {
            (ErrorCode::None, _) => {}
            (ErrorCode::OffsetOutOfRange, Some(reset)) => {
                if let Some(assigned) = self.current(asked) {
                    assigned.stage = Stage::Idle;
                    assigned.position = match reset {
                        Start::At(offset) => Position::At(offset),
                        other => Position::Unresolved(other),
                    };
                    assigned.retry_at = retry_at;
                }
                return Outcome::Nothing;
            }
            (error, _) => return self.failed(asked, error, retry_at),
        }
        let (Position::At(position), Some(assigned)) = (asked.position, self.current(asked)) else {
            return Outcome::Nothing;
        };
        assigned.stage = Stage::Idle;
        let mut batches = data.records.unwrap_or_default();
        let (mut next_position, mut whole_bytes) = (position, 0);
        // The last batch may be cut off: it comes again.
        for batch in split(&batches).map_while(Result::ok) {
            next_position = next_position.max(batch.next_offset());
            whole_bytes += batch.batch_bytes();
        }
        if next_position == position {
            if !batches.is_empty() {
                return self.failed(asked, ErrorCode::InvalidFetchSize, retry_at);
            }
            return Outcome::Nothing;
        }
        batches.truncate(whole_bytes);
        assigned.stage = Stage::Delivered;
        assigned.position = Position::At(next_position);
        Outcome::Records(Fetched {
            partition: asked.partition.clone(),
            position,
            next_position,
            high_watermark: Offset::new(data.high_watermark),
            batches,
            decompressed_bytes_max: config.decompressed_bytes_max,
        })
    }
}

fn clamped(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
