//! Reads: from the partitions of a fetch request to slices of their batches.

use futures_channel::oneshot;
use ringlog_buffer::Slice;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::{
    EpochEnd, MinOneBatch, PartitionId, PartitionOffsets, ReadBatches, ReadEnd, ReadError, ReadLimits,
    ReadOutcome as StoreRead, ReadUpTo,
};
use ringlog_storage::types::{LeaderEpoch, Nanos, Offset};

use super::lookup::{end_of_epoch, locate};
use super::read_error::code;
use super::table::PartitionKey;
use super::watch::{WatchId, Watcher};
use crate::metrics::counters::Traffic;
use crate::recorder::Span;
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
    /// Whether the request counts for each of the partitions.
    pub look: Look,
}

/// Which look at its partitions a request takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// The first one, or the only one.
    First,
    /// Another one, because there was not enough before; or one that no client has asked for.
    Again,
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
    /// Bytes that count towards what the fetch waits for. Where the partition's limit ended the read, that is the whole
    /// limit: Kafka fills it with a part of the next batch.
    pub counted_bytes: usize,
    /// There is more, and to wait would not bring it: the fetch is answered at once, as Kafka does where an offset lies in
    /// an older segment.
    pub has_more: bool,
}

impl ReadOutcome {
    /// An error, with nothing known of the partition.
    pub(crate) fn failed(code: ErrorCode) -> Self {
        let unknown = Offset::UNKNOWN;
        let (high_watermark, last_stable, log_start) = (unknown, unknown, unknown);
        let (records, bytes, counted_bytes) = (Vec::new(), 0, 0);
        let (diverging, has_more) = (None, false);
        Self { code, high_watermark, last_stable, log_start, diverging, records, bytes, counted_bytes, has_more }
    }

    fn empty(offsets: &PartitionOffsets) -> Self {
        let PartitionOffsets { log_start, high_watermark, last_stable, .. } = *offsets;
        Self { high_watermark, last_stable, log_start, ..Self::failed(ErrorCode::None) }
    }

    fn with(self, batches: ReadBatches, limit: Limit) -> Self {
        let ReadBatches { slices: records, bytes, end, .. } = batches;
        let (counted_bytes, has_more) = match (end, limit) {
            (ReadEnd::CaughtUp, _) => (bytes, false),
            (ReadEnd::Limit, Limit::OfPartition(bytes_max)) => (bytes.max(bytes_max), false),
            // Others may have brought less than was set aside for them.
            (ReadEnd::Limit, Limit::OfFetch) | (ReadEnd::More, _) => (bytes, true),
        };
        Self { records, bytes, counted_bytes, has_more, ..self }
    }
}

/// When the reads of a request reached each part of their way through the shard that owns their partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTimes {
    /// They were taken up.
    pub taken_at: Nanos,
    /// While they waited for the disk.
    pub disk: Option<Span>,
}

impl ReadTimes {
    /// When all was read.
    pub(crate) fn ended_at(&self) -> Nanos {
        self.disk.map_or(self.taken_at, |disk| disk.to)
    }
}

/// Reads under way.
pub(crate) struct Begun {
    shard: Shard,
    watcher: Option<Watcher>,
    /// What is known by now of every item.
    outcomes: Vec<ReadOutcome>,
    from_disk: Vec<DiskRead>,
}

/// What the disk is to bring of one item.
struct DiskRead {
    /// Of the item.
    index: usize,
    id: PartitionId,
    limit: Limit,
    receiver: oneshot::Receiver<Result<ReadBatches, ReadError>>,
}

/// Which limit a read has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limit {
    /// That of the partition, in bytes.
    OfPartition(usize),
    /// What other partitions have left of the limit of the fetch.
    OfFetch,
}

/// Reads what is in memory, and begins to read the rest, for a fetch that the shard `from` received.
pub(crate) fn begin(shard: &Shard, call: &ReadCall, from: usize) -> Begun {
    let watcher = call.watch.map(|watch| Watcher { shard: from, watch });
    let mut begun =
        Begun { shard: shard.clone(), watcher, outcomes: Vec::with_capacity(call.items.len()), from_disk: Vec::new() };
    shard.with(|state| {
        let mut budget = Budget { bytes: call.bytes_max, first: MinOneBatch::Yes };
        for item in &call.items {
            let outcome = read(state, item, &mut budget, &mut begun, call.look);
            begun.outcomes.push(outcome);
        }
    });
    begun
}

struct Budget {
    bytes: usize,
    first: MinOneBatch,
}

/// Reads the next item.
fn read(state: &mut State, item: &ReadItem, budget: &mut Budget, begun: &mut Begun, look: Look) -> ReadOutcome {
    let (id, offsets) = match locate(state, item.key, item.current_leader_epoch) {
        Ok(located) => located,
        Err(code) => {
            if look == Look::First {
                count(&mut state.traffic, code);
            }
            return ReadOutcome::failed(code);
        }
    };
    let outcome = read_located(state, id, &offsets, item, budget, begun);
    if look == Look::First {
        let slot = state.table.get_mut(id).expect("it was located in the table");
        count(&mut slot.traffic, outcome.code);
        count(&mut state.traffic, outcome.code);
    }
    outcome
}

/// Counts a fetch of one partition. What the disk does not deliver is not known yet.
fn count(traffic: &mut Traffic, code: ErrorCode) {
    traffic.fetches += 1;
    traffic.fetches_failed += u64::from(code != ErrorCode::None);
}

fn read_located(
    state: &mut State,
    id: PartitionId,
    offsets: &PartitionOffsets,
    item: &ReadItem,
    budget: &mut Budget,
    begun: &mut Begun,
) -> ReadOutcome {
    let outcome = ReadOutcome::empty(offsets);
    if let Some(diverging) = diverging(state, id, item) {
        return ReadOutcome { diverging: Some(diverging), ..outcome };
    }
    let limits = ReadLimits {
        bytes_max: item.bytes_max.min(budget.bytes),
        min_one_batch: budget.first,
        up_to: ReadUpTo::HighWatermark,
    };
    let limit = if item.bytes_max <= budget.bytes { Limit::OfPartition(item.bytes_max) } else { Limit::OfFetch };
    let has_data = item.offset >= offsets.log_start && item.offset < offsets.high_watermark;
    if limits.bytes_max == 0 && limits.min_one_batch == MinOneBatch::No && has_data {
        return outcome.with(ReadBatches { end: ReadEnd::Limit, ..ReadBatches::default() }, limit);
    }
    match state.store.read(id, item.offset, limits) {
        Ok(StoreRead::Ready(batches)) => {
            if let Some(watcher) = begun.watcher.filter(|_| batches.end == ReadEnd::CaughtUp) {
                state.watched.add(id, watcher, offsets.high_watermark);
            }
            if batches.bytes > 0 {
                budget.first = MinOneBatch::No;
                budget.bytes = budget.bytes.saturating_sub(batches.bytes);
            }
            outcome.with(batches, limit)
        }
        Ok(StoreRead::Disk(read)) => {
            budget.first = MinOneBatch::No;
            budget.bytes = budget.bytes.saturating_sub(limits.bytes_max);
            let (sender, receiver) = oneshot::channel();
            state.reads.insert(read, sender);
            begun.from_disk.push(DiskRead { index: begun.outcomes.len(), id, limit, receiver });
            outcome
        }
        Err(ReadError::Backpressure) => {
            if let Some(watcher) = begun.watcher {
                state.watched.add_crowded_out(watcher);
            }
            outcome
        }
        Err(error) => failed(&error, outcome),
    }
}

/// A read of the disk has ended: there is room for another.
pub(crate) fn read_ended(state: &mut State) {
    let left = state.reads.len() + state.lookups.len();
    for watcher in state.watched.read_ended(left) {
        state.wake(watcher);
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
    let end = end_of_epoch(state, id, item.last_fetched_epoch)?;
    (end.leader_epoch < item.last_fetched_epoch || end.end_offset < item.offset).then_some(end)
}

fn failed(error: &ReadError, outcome: ReadOutcome) -> ReadOutcome {
    match code(error) {
        ErrorCode::UnknownTopicOrPartition => ReadOutcome::failed(ErrorCode::UnknownTopicOrPartition),
        code => match *error {
            // Retention may have moved it while the disk was read.
            ReadError::OffsetOutOfRange { log_start, .. } => ReadOutcome { code, log_start, ..outcome },
            _ => ReadOutcome { code, ..outcome },
        },
    }
}

impl Begun {
    /// The outcomes, in the order of the items, once the disk has brought what was asked of it; and how long it took that.
    pub(crate) async fn outcomes(self) -> (Vec<ReadOutcome>, Option<Span>) {
        let Self { shard, watcher, mut outcomes, from_disk } = self;
        if from_disk.is_empty() {
            return (outcomes, None);
        }
        let from = shard.now();
        for DiskRead { index, id, limit, receiver } in from_disk {
            let outcome = outcomes[index].clone();
            outcomes[index] = match receiver.await.expect("the state keeps who waits for a read until it has ended") {
                Ok(batches) => {
                    let seen = outcome.high_watermark;
                    if let Some(watcher) = watcher.filter(|_| batches.end == ReadEnd::CaughtUp) {
                        shard.with(|state| watch(state, id, watcher, seen));
                    }
                    outcome.with(batches, limit)
                }
                Err(error) => failed(&error, outcome),
            };
        }
        (outcomes, Some(Span { from, to: shard.now() }))
    }
}
