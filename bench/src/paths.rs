//! `ringlog-paths PATH TIMES`: goes through one pure path so many times, in one thread, without I/O. `bench/gate` counts
//! the instructions of two such runs; their difference is what the path costs, without its set-up.
#![forbid(unsafe_code)]

use std::hint::black_box;

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, ValueEnum};
use ringlog_net::conn::Body;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::fetch::PartitionData;
use ringlog_net::views::{FetchResponseHead, FetchResponseWriter, TopicRef};
use ringlog_storage::LogDir;
use ringlog_storage::RecoveredShard;
use ringlog_storage::Store;
use ringlog_storage::answer::{AppendOrigin, MinOneBatch, PartitionId, ReadLimits, ReadOutcome, ReadUpTo};
use ringlog_storage::batch::validate::{Codecs, validate_produced};
use ringlog_storage::batch::validate::{CompressionRule, KeyRule, ProduceRules, TimestampRule};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::config::{Durability, LogConfig, StoreConfig};
use ringlog_storage::types::{LeaderEpoch, Millis, Offset, PartitionIndex, ShardId, TopicPartition, Uuid};

/// The version that a Java client of 4.x speaks.
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;
/// Any time will do; it is the same in every run.
const NOW: Millis = Millis::new(1_700_000_000_000);
const TOPIC_ID: Uuid = Uuid::new([7; 16]);
/// Batches in the log that fetches read.
const FETCHED_BATCHES: usize = 512;
const FETCH_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(value_enum)]
    path: Path,
    times: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Path {
    /// Validates and appends a batch of one record of 100 bytes.
    AppendOne,
    /// Validates and appends a batch of 1 KiB that holds 16 records.
    AppendSixteen,
    /// Reads the last batch from memory and writes the response.
    FetchLast,
    /// Reads 512 small batches from memory and writes the response.
    FetchMany,
}

fn main() -> anyhow::Result<()> {
    let Arguments { path, times } = Arguments::parse();
    match path {
        Path::AppendOne => Log::new(Durability::Sync)?.append(&batch(1, 100), times),
        Path::AppendSixteen => Log::new(Durability::Sync)?.append(&batch(16, 53), times),
        Path::FetchLast | Path::FetchMany => {
            // There is no disk here to commit to: readers see what is in memory.
            let mut log = Log::new(Durability::None)?;
            log.append(&batch(1, 100), FETCHED_BATCHES)?;
            let end = i64::try_from(FETCHED_BATCHES)?;
            let first = if path == Path::FetchLast { end - 1 } else { 0 };
            log.fetch(Offset::new(first), Offset::new(end), times)
        }
    }
}

fn batch(records: usize, value_bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        builder.push(&Record { timestamp: NOW, key: None, value: Some(&value), headers: &[] });
    }
    builder.build()
}

/// A store with one partition.
struct Log {
    store: Store,
    partition: PartitionId,
}

impl Log {
    fn new(durability: Durability) -> anyhow::Result<Self> {
        let shard = ShardId::new(0);
        let mut store = Store::new(StoreConfig::new(shard), RecoveredShard::empty(shard));
        let name = TopicPartition::new("bench", PartitionIndex::new(0));
        let partition = store
            .create_partition(name, TOPIC_ID, LogConfig { durability, ..LogConfig::default() }, LogDir::HOME)
            .context("a partition")?;
        Ok(Self { store, partition })
    }

    fn append(&mut self, batch: &[u8], times: usize) -> anyhow::Result<()> {
        let (rules, mut codecs) = (rules(), Codecs::default());
        for _ in 0..times {
            let produced = validate_produced(black_box(batch), &rules, NOW, &mut codecs)?;
            let appended = self.store.append(
                self.partition,
                (&produced).into(),
                AppendOrigin::Client,
                LeaderEpoch::new(0),
                NOW,
            )?;
            black_box(appended);
        }
        Ok(())
    }

    /// Reads from `offset` to `end` as a consumer does: what is committed.
    fn fetch(&mut self, offset: Offset, end: Offset, times: usize) -> anyhow::Result<()> {
        let limits =
            ReadLimits { bytes_max: FETCH_BYTES_MAX, min_one_batch: MinOneBatch::Yes, up_to: ReadUpTo::HighWatermark };
        let mut read_to = end;
        for _ in 0..times {
            let ReadOutcome::Ready(read) = self.store.read(self.partition, black_box(offset), limits)? else {
                bail!("what was just appended is not in memory");
            };
            read_to = read.next_offset;
            black_box(respond(read.slices)?);
        }
        ensure!(read_to == end, "reads end at offset {read_to}, not at {end}");
        Ok(())
    }
}

fn respond(records: Vec<ringlog_buffer::Slice>) -> anyhow::Result<Body> {
    let head = FetchResponseHead { throttle_time_ms: 0, error: ErrorCode::None, session_id: 0 };
    let mut writer = FetchResponseWriter::new(FETCH_VERSION, head, 1)?;
    writer.topic(TopicRef::Id(TOPIC_ID), 1)?;
    writer.partition(&PartitionData::default(), records)?;
    Ok(writer.finish(&[])?)
}

/// Those of a topic with default settings.
fn rules() -> ProduceRules {
    ProduceRules {
        produce_version: PRODUCE_VERSION,
        batch_bytes_max: 1024 * 1024,
        plain_bytes_max: 128 * 1024 * 1024,
        record_bytes_max: 1024 * 1024,
        keys: KeyRule::Optional,
        timestamps: TimestampRule::CreateTime { before_max_ms: i64::MAX, after_max_ms: 3_600_000 },
        compression: CompressionRule::Producer,
    }
}
