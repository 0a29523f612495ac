//! Reads: from the partitions of a fetch request to slices of their batches.

use futures_channel::oneshot;
use ringlog_buffer::Slice;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::{
    EpochEnd, MinOneBatch, PartitionId, PartitionOffsets, ReadBatches, ReadError, ReadLimits, ReadOutcome as StoreRead,
    ReadUpTo,
};
use ringlog_storage::types::{LeaderEpoch, Offset};

use super::lookup::locate;
use super::table::PartitionKey;
use super::watch::{WatchId, Watcher};
use crate::shard::Shard;
use crate::state::State;

/// What to read of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadItem {
    /// Where.
    pub key: PartitionKey,
    /// From here.
    pub offset: Offset,
    /// Bytes at most, as the request says for the partition.
    pub bytes_max: usize,
    /// The leader epoch that the client believes in, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has, or unknown (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
}

/// Reads of one fetch that go to one shard.
#[derive(Debug)]
pub(crate) struct ReadCall {
    /// What to read, in the order of the request.
    pub items: Vec<ReadItem>,
    /// Bytes of all of it at most; the first item that has data brings at least one batch.
    pub bytes_max: usize,
    /// Wakes this fetch when one of the partitions has more than was read.
    pub watch: Option<WatchId>,
}

/// What was read of one partition.
#[derive(Clone, Debug)]
pub(crate) struct ReadOutcome {
    /// Whether it went well.
    pub code: ErrorCode,
    /// Unknown (-1) when it did not.
    pub high_watermark: Offset,
    /// Unknown (-1) when it did not.
    pub last_stable: Offset,
    /// Unknown (-1) when it did not.
    pub log_start: Offset,
    /// Where the client's log leaves that of the leader.
    pub diverging: Option<EpochEnd>,
    /// The batches.
    pub records: Vec<Slice>,
    /// Bytes of the batches.
    pub bytes: usize,
}

impl ReadOutcome {
    /// An error, with nothing known of the partition.
    pub(crate) fn failed(code: ErrorCode) -> Self {
        let unknown = Offset::UNKNOWN;
        let (high_watermark, last_stable, log_start) = (unknown, unknown, unknown);
        Self { code, high_watermark, last_stable, log_start, diverging: None, records: Vec::new(), bytes: 0 }
    }

    fn empty(offsets: &PartitionOffsets) -> Self {
        let PartitionOffsets { log_start, high_watermark, last_stable, .. } = *offsets;
        Self { high_watermark, last_stable, log_start, ..Self::failed(ErrorCode::None) }
    }

    fn with(mut self, batches: ReadBatches) -> Self {
        self.records = batches.slices;
        self.bytes = batches.bytes;
        self
    }
}

/// Reads under way.
pub(crate) struct Begun {
    shard: Shard,
    watcher: Option<Watcher>,
    entries: Vec<Entry>,
}

enum Entry {
    Done(ReadOutcome),
    Disk(PartitionId, ReadOutcome, oneshot::Receiver<Result<ReadBatches, ReadError>>),
}

/// Reads what is in memory, and begins to read the rest, for a fetch that the shard `from` received.
pub(crate) fn begin(shard: &Shard, call: &ReadCall, from: usize) -> Begun {
    let watcher = call.watch.map(|watch| Watcher { shard: from, watch });
    let entries = shard.with(|state| {
        let mut budget = Budget { bytes: call.bytes_max, first: MinOneBatch::Yes };
        call.items.iter().map(|item| read(state, item, &mut budget, watcher)).collect()
    });
    Begun { shard: shard.clone(), watcher, entries }
}

struct Budget {
    bytes: usize,
    first: MinOneBatch,
}

fn read(state: &mut State, item: &ReadItem, budget: &mut Budget, watcher: Option<Watcher>) -> Entry {
    let (id, offsets) = match locate(state, item.key, item.current_leader_epoch) {
        Ok(located) => located,
        Err(code) => return Entry::Done(ReadOutcome::failed(code)),
    };
    let outcome = ReadOutcome::empty(&offsets);
    if let Some(diverging) = diverging(state, id, item) {
        return Entry::Done(ReadOutcome { diverging: Some(diverging), ..outcome });
    }
    let limits = ReadLimits {
        bytes_max: item.bytes_max.min(budget.bytes),
        min_one_batch: budget.first,
        up_to: ReadUpTo::HighWatermark,
    };
    if limits.bytes_max == 0 && limits.min_one_batch == MinOneBatch::No {
        return Entry::Done(outcome);
    }
    match state.store.read(id, item.offset, limits) {
        Ok(StoreRead::Ready(batches)) => {
            if let Some(watcher) = watcher.filter(|_| batches.next_offset >= offsets.high_watermark) {
                state.watched.add(id, watcher, offsets.high_watermark);
            }
            if batches.bytes > 0 {
                budget.first = MinOneBatch::No;
                budget.bytes = budget.bytes.saturating_sub(batches.bytes);
            }
            Entry::Done(outcome.with(batches))
        }
        Ok(StoreRead::Disk(read)) => {
            budget.first = MinOneBatch::No;
            budget.bytes = budget.bytes.saturating_sub(limits.bytes_max);
            let (sender, receiver) = oneshot::channel();
            state.reads.insert(read, sender);
            Entry::Disk(id, outcome, receiver)
        }
        Err(error) => Entry::Done(failed(&error, &offsets)),
    }
}

/// Watches a partition that was read to the high watermark of a moment ago.
fn watch(state: &mut State, id: PartitionId, watcher: Watcher, seen: Offset) {
    if state.store.partition(id).is_some_and(|offsets| offsets.high_watermark == seen) {
        state.watched.add(id, watcher, seen);
    } else {
        state.wake(watcher);
    }
}

/// Whether the client's last record is not the leader's (KIP-595): it has an epoch that ended earlier here.
fn diverging(state: &State, id: PartitionId, item: &ReadItem) -> Option<EpochEnd> {
    if item.last_fetched_epoch == LeaderEpoch::UNKNOWN {
        return None;
    }
    let end = state.store.end_offset_for_epoch(id, item.last_fetched_epoch)?;
    (end.leader_epoch < item.last_fetched_epoch || end.end_offset < item.offset).then_some(end)
}

fn failed(error: &ReadError, offsets: &PartitionOffsets) -> ReadOutcome {
    let code = match error {
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // Consumers do not skip what is damaged by themselves, and must not: the operator decides.
        ReadError::Rot { .. } | ReadError::Storage(_) => ErrorCode::KafkaStorageError,
        ReadError::Backpressure => ErrorCode::None,
    };
    ReadOutcome { code, ..ReadOutcome::empty(offsets) }
}

impl Begun {
    /// The outcomes, in the order of the items, once the disk has brought what was asked of it.
    pub(crate) async fn outcomes(self) -> Vec<ReadOutcome> {
        let Self { shard, watcher, entries } = self;
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            outcomes.push(match entry {
                Entry::Done(outcome) => outcome,
                Entry::Disk(id, outcome, receiver) => match receiver.await {
                    Ok(Ok(batches)) => {
                        let seen = outcome.high_watermark;
                        if let Some(watcher) = watcher.filter(|_| batches.next_offset >= seen) {
                            shard.with(|state| watch(state, id, watcher, seen));
                        }
                        outcome.with(batches)
                    }
                    Ok(Err(ReadError::OffsetOutOfRange { .. })) => {
                        ReadOutcome { code: ErrorCode::OffsetOutOfRange, ..outcome }
                    }
                    // The partition went away while the disk was read.
                    Err(_) => ReadOutcome::failed(ErrorCode::UnknownTopicOrPartition),
                    Ok(Err(_)) => ReadOutcome { code: ErrorCode::KafkaStorageError, ..outcome },
                },
            });
        }
        outcomes
    }
}
