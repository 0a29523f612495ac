//! What a store and a log are told once, or whenever a setting changes.

use std::time::Duration;

use crate::limits::PARTITIONS_MAX;
use crate::types::ShardId;

/// When an append counts as committed: `ringlog.durability` of its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When a power cut cannot take it any more. What was appended while one group commit was under way is the next.
    #[default]
    Sync,
    /// At once; it becomes durable within `flush.ms` or `flush.messages`.
    Interval,
    /// At once; it becomes durable when convenient.
    None,
}

/// The settings of one shard's store. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Whose store it is; names its journal folder.
    pub shard: ShardId,
    /// Partitions that it can have open.
    pub partitions_max: usize,
    /// Bound of the shard's journal, a multiple of `journal_file_bytes` and at least three times that.
    pub journal_bytes_max: u64,
    /// Length of one journal file, a multiple of 4096, at least 64 KiB.
    pub journal_file_bytes: u64,
    /// From this many pending bytes on, a partition's batches go to its segment and not through the journal. What a
    /// record of the journal has no room for does so in any case.
    pub direct_bytes_min: u64,
    /// Time from the begin of one commit to that of the next. What comes meanwhile is written together, unless it is as much
    /// as `direct_bytes_min`: that does not wait.
    pub commit_interval: Duration,
    /// Tail chunks kept in memory, written back or not. Above it, written chunks go, oldest first.
    pub tail_bytes_max: usize,
    /// Bytes appended and not yet in their segments, at which appends are refused until some are.
    pub unwritten_bytes_max: u64,
    /// Blocks read from segments that are kept for other readers.
    pub cache_bytes_max: usize,
    /// Journaled data older than this is written to its segment.
    pub writeback_age: Duration,
    /// Bytes written past the journal after which a checkpoint is made, to bound what recovery reads.
    pub direct_bytes_per_checkpoint: u64,
}

impl StoreConfig {
    /// The defaults for one shard.
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            partitions_max: PARTITIONS_MAX,
            journal_bytes_max: 256 << 20,
            journal_file_bytes: 16 << 20,
            direct_bytes_min: 256 << 10,
            commit_interval: Duration::ZERO,
            tail_bytes_max: 64 << 20,
            unwritten_bytes_max: 48 << 20,
            cache_bytes_max: 32 << 20,
            writeback_age: Duration::from_secs(10),
            direct_bytes_per_checkpoint: 256 << 20,
        }
    }
}

/// The settings of one partition's log: the topic configuration as far as it concerns storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: a segment that would grow beyond is sealed, and the next one begins.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is sealed when its first record is older.
    pub segment_ms: i64,
    /// `index.interval.bytes`: distance of entries in the sparse index.
    pub index_interval_bytes: u32,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` keeps everything.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`: how long files of a deleted partition or segment stay, renamed.
    pub file_delete_delay_ms: u64,
    /// `producer.id.expiration.ms`: a producer idle for longer is forgotten.
    pub producer_id_expiration_ms: i64,
    /// `flush.messages`: with [`Durability::Interval`] or [`Durability::None`], flush after so many records.
    pub flush_messages: Option<u64>,
    /// `flush.ms`: with [`Durability::Interval`] or [`Durability::None`], flush what is older.
    pub flush_ms: Option<u64>,
    /// `ringlog.durability`.
    pub durability: Durability,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * 24 * 3600 * 1000),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: 24 * 3600 * 1000,
            flush_messages: None,
            flush_ms: None,
            durability: Durability::Sync,
        }
    }
}
