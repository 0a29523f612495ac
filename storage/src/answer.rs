//! What the store answers and announces: outcomes of appends and reads, events, closed sets of errors.

use ringlog_buffer::Slice;

use crate::batch::{BatchHeader, BatchView, HEADER_BYTES, Produced};
use crate::directory::LogDir;
use crate::io::IoErrorKind;
use crate::journal::format::PartitionKey;
use crate::store::Handover;
use crate::types::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Sequence};

/// A partition within its store; given by `create_partition` and reused after `remove_partition`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId(u32);

impl PartitionId {
    /// The least one: where ranges of them begin.
    pub const MIN: Self = Self(0);

    /// Wraps the bare number.
    pub(crate) const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The bare number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A read or lookup that waits for a disk; its [`StoreEvent::ReadReady`] or [`StoreEvent::LookupReady`] names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(u64);

impl ReadId {
    /// Wraps the bare number.
    pub(crate) const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The offsets that a partition is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionOffsets {
    /// The first offset that can be read.
    pub log_start: Offset,
    /// Behind the last offset that consumers may see: what the topic's durability calls committed.
    pub high_watermark: Offset,
    /// Behind the last offset of no open transaction; at most the high watermark.
    pub last_stable: Offset,
    /// The offset that the next record gets.
    pub log_end: Offset,
}

/// Who brings a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendOrigin {
    /// A produce request: producer ids, epochs and sequences are checked.
    Client,
    /// A coordinator, for its records and control batches: no sequence is checked. On a full device it goes on while the
    /// journal has more room than what makes space may come to need.
    Coordinator,
    /// The controller, whose records are checked as little. On a full device it goes on: what it writes is how an operator
    /// makes space.
    Controller,
}

/// A batch to append, validated before: its header as it is to be stored, but for base offset and leader epoch, and
/// everything that follows the header.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch<'a> {
    /// The first 61 bytes.
    pub header: BatchHeader<'a>,
    /// What follows them.
    pub payload: &'a [u8],
}

impl NewBatch<'_> {
    /// Length of the whole batch.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

impl<'a> From<&BatchView<'a>> for NewBatch<'a> {
    fn from(batch: &BatchView<'a>) -> Self {
        Self { header: batch.header(), payload: batch.payload() }
    }
}

impl<'a> From<&'a Produced<'_>> for NewBatch<'a> {
    fn from(batch: &'a Produced<'_>) -> Self {
        Self { header: batch.header(), payload: batch.payload() }
    }
}

/// What an append came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// Offset of its last record. The append is committed once the high watermark lies beyond it.
    pub last_offset: Offset,
    /// The time that a topic with `LogAppendTime` gave the records; [`Millis::NONE`] for `CreateTime`.
    pub log_append_time: Millis,
    /// First readable offset of the partition.
    pub log_start: Offset,
    /// The batch was there already (KIP-98): nothing was appended, and the offsets are those of the first time. It may
    /// still wait for its commit, which will come: where a fence has ended that, the append is refused.
    pub duplicate: bool,
    /// It is committed already: a topic whose durability is not `sync`, or a duplicate of something committed. If not,
    /// wait for [`StoreEvent::HighWatermark`] beyond `last_offset`.
    pub committed: bool,
}

/// Why nothing was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// No such partition.
    #[error("the store has no such partition")]
    UnknownPartition,
    /// The batch continues its producer's sequence neither here nor with a gap that epochs explain (KIP-98).
    #[error("sequence {found} follows {last}, which leaves a gap")]
    OutOfOrderSequence {
        /// Last sequence known.
        last: i32,
        /// First sequence of the batch.
        found: i32,
    },
    /// A newer instance of the producer has written.
    #[error("producer epoch {found} is older than {current}")]
    InvalidProducerEpoch {
        /// The producer's current epoch.
        current: ProducerEpoch,
        /// Epoch of the batch.
        found: ProducerEpoch,
    },
    /// The leader epoch is older than one that the log already holds.
    #[error("leader epoch {found} is older than {latest}")]
    StaleLeaderEpoch {
        /// The log's latest epoch.
        latest: LeaderEpoch,
        /// Epoch of the append.
        found: LeaderEpoch,
    },
    /// The batch cannot stand in a segment: larger than `segment.bytes`.
    #[error("a batch of {bytes} bytes is larger than a segment")]
    BatchTooLarge {
        /// Size of the batch.
        bytes: usize,
    },
    /// Too much waits for the disk. Try again when a commit has completed.
    #[error("too much waits to be written")]
    Backpressure,
    /// The device is full, or the partition is fenced.
    #[error("storage: {0}")]
    Storage(StorageError),
}

/// Why a partition cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StorageError {
    /// The device is full; it comes back by itself ([`StoreEvent::SpaceReturned`]).
    #[error("no space is left on the device")]
    NoSpace,
    /// A write or sync failed, so what is on the disk is unknown; until a restart nothing more is written.
    #[error("fenced after a failed write: {0}")]
    Fenced(IoErrorKind),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closing,
}

/// How far a read may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReadUpTo {
    /// Only committed data: consumers.
    #[default]
    HighWatermark,
    /// Everything appended: followers.
    LogEnd,
}

/// Bounds of one read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    /// Return no more bytes than this …
    pub bytes_max: usize,
    /// … except for the first batch, which comes whole if this is set.
    pub min_one_batch: MinOneBatch,
    /// How far the reader may see.
    pub up_to: ReadUpTo,
}

/// Whether a read returns its first batch although that alone is over the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MinOneBatch {
    /// Yes: the reader makes progress whatever its limit.
    Yes,
    /// No: another partition of the same fetch has already brought data.
    No,
}

/// Whole batches, byte for byte as stored; the first may begin before the offset asked for (it holds it).
#[derive(Clone, Debug, Default)]
pub struct ReadBatches {
    /// Parts to be sent one after the other; their borders are not those of batches.
    pub slices: Vec<Slice>,
    /// Their bytes together.
    pub bytes: usize,
    /// Offset behind the last batch; the offset asked for when nothing was found.
    pub next_offset: Offset,
    /// Why there are no more.
    pub end: ReadEnd,
}

/// Why a read brought no more than it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReadEnd {
    /// The reader may see no more, until the high watermark moves.
    #[default]
    CaughtUp,
    /// The next batch would have been over the reader's limit.
    Limit,
    /// Nothing that concerns the reader: a segment ends here, what is in memory, or what one read of the disk brings. To
    /// wait for more would be in vain; the next read brings it.
    More,
}

/// The answer to `read`.
#[derive(Debug)]
pub enum ReadOutcome {
    /// The batches, by reference. None at all at the end of what may be seen.
    Ready(ReadBatches),
    /// Not in memory: [`StoreEvent::ReadReady`] will bring it.
    Disk(ReadId),
}

/// Why nothing can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// No such partition.
    #[error("the store has no such partition")]
    UnknownPartition,
    /// The offset lies outside of the log, or what was looked at was deleted while the disk was read: a lookup by time
    /// then finds something else.
    #[error("the offset is outside of {log_start}..{log_end}")]
    OffsetOutOfRange {
        /// First readable offset.
        log_start: Offset,
        /// Behind the last one.
        log_end: Offset,
    },
    /// Data that was once durable is damaged. What begins at `next_good` can be read.
    #[error("the data at {from} is damaged; {next_good} can be read")]
    Rot {
        /// First offset of the damaged range.
        from: Offset,
        /// First offset behind it.
        next_good: Offset,
    },
    /// The disk did not deliver.
    #[error("storage: {0}")]
    Storage(IoErrorKind),
    /// Too many reads wait for the disk.
    #[error("too many reads wait for the disk")]
    Backpressure,
}

/// An idempotent producer that a partition remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// The newest epoch that has written.
    pub epoch: ProducerEpoch,
    /// The last sequence that was written.
    pub last_sequence: Sequence,
    /// The largest timestamp of the batch that has it.
    pub last_timestamp: Millis,
}

/// A record found by its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampOffset {
    /// Timestamp of the record.
    pub timestamp: Millis,
    /// Its offset.
    pub offset: Offset,
    /// Leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// The answer to a lookup by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupOutcome {
    /// What was found, if anything.
    Ready(Option<TimestampOffset>),
    /// Not in memory: [`StoreEvent::LookupReady`] will bring it.
    Disk(ReadId),
}

/// Where a leader epoch ends in this log (KIP-101, KIP-279).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The largest epoch of the log that is not larger than the one asked for; unknown if there is none.
    pub leader_epoch: LeaderEpoch,
    /// Offset behind its last record; [`Offset::UNKNOWN`] if there is none.
    pub end_offset: Offset,
}

/// Where a partition lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionPlace {
    /// The data directory.
    pub log_dir: LogDir,
    /// Bytes of its batches, as far as their segments are kept.
    pub bytes: u64,
    /// The copy of it in another directory, while it is being moved there.
    pub future: Option<FutureCopy>,
}

/// The copy of a partition that is being moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FutureCopy {
    /// The data directory that it is made in.
    pub log_dir: LogDir,
    /// Bytes that it has.
    pub bytes: u64,
    /// Offsets that it lacks; in the middle of a segment as many as may be missing.
    pub offset_lag: i64,
}

/// What a fence closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FenceScope {
    /// One partition: its segment could not be written.
    Partition(PartitionId),
    /// Every partition of the shard: its journal or checkpoint could not be written.
    Directory,
}

/// What the store announces by itself.
#[derive(Debug)]
pub enum StoreEvent {
    /// The high watermark has moved: what lies below it is committed, by the topic's durability, and visible to consumers.
    HighWatermark {
        /// Of this partition.
        partition: PartitionId,
        /// Where it is now.
        offset: Offset,
    },
    /// A read that waited for a disk has ended.
    ReadReady {
        /// Which.
        read: ReadId,
        /// How.
        result: Result<ReadBatches, ReadError>,
    },
    /// A lookup that waited for a disk has ended.
    LookupReady {
        /// Which.
        read: ReadId,
        /// How.
        result: Result<Option<TimestampOffset>, ReadError>,
    },
    /// A write failed. Appends are answered with [`StorageError::Fenced`]; what waits for a commit will not get one.
    Fenced {
        /// What is closed.
        scope: FenceScope,
        /// What went wrong.
        reason: IoErrorKind,
    },
    /// The device is full: appends of clients are refused with [`StorageError::NoSpace`].
    SpaceExhausted,
    /// There is space again: appends are accepted.
    SpaceReturned,
    /// Damage was met in data that was once durable.
    RotFound {
        /// In this partition.
        partition: PartitionId,
        /// First damaged offset.
        from: Offset,
        /// First good offset behind it.
        next_good: Offset,
    },
    /// That records were deleted ([`Store::delete_records`](crate::Store::delete_records)) will be known after a crash.
    RecordsDeleted {
        /// In this partition.
        partition: PartitionId,
        /// The first offset that is left.
        log_start: Offset,
    },
    /// A removed partition's folder does not have the name of a partition any more, unless the disk has refused that.
    Removed {
        /// Which it was; the id may be given to another partition now.
        partition: PartitionId,
    },
    /// What was committed of a partition when it was to be prepared for leaving is in its segments, or cannot be brought there.
    Prepared {
        /// Which.
        partition: PartitionId,
    },
    /// A partition has left this store, or stays: its disk has failed, or it is on its way to another directory.
    Released {
        /// Which it is, or was.
        partition: PartitionId,
        /// What the store that takes it over has to know; `None` if it stays.
        handover: Option<Box<Handover>>,
    },
    /// A checkpoint of this store tells of a partition that it has taken over: the one that let go of it may forget it.
    Adopted {
        /// Which.
        key: PartitionKey,
    },
    /// A partition lies in another directory now, durably.
    Moved {
        /// Which.
        partition: PartitionId,
        /// Where.
        to: LogDir,
    },
    /// A move to another directory has failed: the partition stays where it is.
    MoveFailed {
        /// Which.
        partition: PartitionId,
        /// Where it was to go.
        to: LogDir,
        /// What went wrong.
        reason: IoErrorKind,
    },
    /// Nothing more is to be done for a move of the partition, however it ended or if it was given up: it may go to another
    /// store.
    MoveEnded {
        /// Which.
        partition: PartitionId,
    },
    /// `shutdown` is complete. On a sound disk everything is in its segment, the journal is empty, the checkpoint is clean;
    /// on one that has failed or is full nothing is under way any more, and the next start recovers.
    Closed,
}
