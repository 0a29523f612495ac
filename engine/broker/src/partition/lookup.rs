//! Lookups: offsets by time, the ends of the log, the ends of leader epochs.

use futures_channel::oneshot;
use ringlog_net::error::ErrorCode;
use ringlog_net::views::Isolation;
use ringlog_storage::answer::{
    EpochEnd, LookupOutcome, PartitionId, PartitionOffsets, ReadError, ReadUpTo, TimestampOffset,
};
use ringlog_storage::types::{LeaderEpoch, Millis, Offset};

use super::read_error::code;
use super::table::PartitionKey;
use crate::shard::Shard;
use crate::state::State;

/// What is looked for (the negative timestamps of `ListOffsetsRequest`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// The first record at or after this time.
    Time(Millis),
    /// The end: the high watermark, or the last stable offset.
    Latest(Isolation),
    /// The first readable offset.
    Earliest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// What only tiered storage has: nothing here (KIP-405).
    Tiered,
}

/// A lookup in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetItem {
    /// Where.
    pub key: PartitionKey,
    /// The leader epoch that the client believes in, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// What.
    pub target: Target,
}

/// What was found: time, offset and epoch, all unknown (-1) where there is nothing.
pub(crate) type OffsetOutcome = Result<TimestampOffset, ErrorCode>;

/// A question for the end of a leader epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochItem {
    /// Where.
    pub key: PartitionKey,
    /// The leader epoch that the client believes in, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch in question.
    pub leader_epoch: LeaderEpoch,
}

/// Where the epoch ends.
pub(crate) type EpochOutcome = Result<EpochEnd, ErrorCode>;

const NOTHING: TimestampOffset =
    TimestampOffset { timestamp: Millis::NONE, offset: Offset::UNKNOWN, leader_epoch: LeaderEpoch::UNKNOWN };

/// Lookups under way.
pub(crate) struct Begun {
    shard: Shard,
    entries: Vec<(OffsetItem, Entry)>,
}

enum Entry {
    Done(OffsetOutcome),
    Disk(oneshot::Receiver<Result<Option<TimestampOffset>, ReadError>>),
}

/// Looks in memory, and begins to look on the disk for the rest.
pub(crate) fn begin(shard: &Shard, items: &[OffsetItem]) -> Begun {
    let entries = shard.with(|state| items.iter().map(|item| (*item, look_up(state, item))).collect());
    Begun { shard: shard.clone(), entries }
}

fn look_up(state: &mut State, item: &OffsetItem) -> Entry {
    let (id, offsets) = match locate(state, item.key, item.current_leader_epoch) {
        Ok(located) => located,
        Err(code) => return Entry::Done(Err(code)),
    };
    let found = match item.target {
        Target::Time(time) => state.store.offset_for_timestamp(id, time, ReadUpTo::HighWatermark),
        Target::MaxTimestamp => state.store.max_timestamp(id, ReadUpTo::HighWatermark),
        Target::Latest(isolation) => {
            return Entry::Done(Ok(end(
                state,
                id,
                match isolation {
                    Isolation::ReadUncommitted => offsets.high_watermark,
                    Isolation::ReadCommitted => offsets.last_stable,
                },
            )));
        }
        Target::Earliest => return Entry::Done(Ok(end(state, id, offsets.log_start))),
        Target::Tiered => return Entry::Done(Ok(NOTHING)),
    };
    match found {
        Ok(LookupOutcome::Ready(found)) => Entry::Done(Ok(found.unwrap_or(NOTHING))),
        Ok(LookupOutcome::Disk(read)) => {
            let (sender, receiver) = oneshot::channel();
            state.lookups.insert(read, sender);
            Entry::Disk(receiver)
        }
        Err(error) => Entry::Done(Err(code(&error))),
    }
}

/// An end of the log: no time, and the epoch of the leader.
fn end(state: &State, id: PartitionId, offset: Offset) -> TimestampOffset {
    let leader_epoch = state.table.get(id).map_or(LeaderEpoch::UNKNOWN, |slot| slot.leader_epoch);
    TimestampOffset { timestamp: Millis::NONE, offset, leader_epoch }
}

impl Begun {
    /// The outcomes, in the order of the items.
    pub(crate) async fn outcomes(self) -> Vec<OffsetOutcome> {
        let mut outcomes = Vec::with_capacity(self.entries.len());
        for (item, mut entry) in self.entries {
            outcomes.push(loop {
                let receiver = match entry {
                    Entry::Done(outcome) => break outcome,
                    Entry::Disk(receiver) => receiver,
                };
                match receiver.await.expect("the state keeps who waits for a lookup until it has ended") {
                    Ok(found) => break Ok(found.unwrap_or(NOTHING)),
                    // Retention was faster: what is left is another log.
                    Err(ReadError::OffsetOutOfRange { .. }) => {
                        entry = self.shard.with(|state| look_up(state, &item));
                    }
                    Err(error) => break Err(code(&error)),
                }
            });
        }
        outcomes
    }
}

/// Where leader epochs end, in the order of the items.
pub(crate) fn epoch_ends(state: &State, items: &[EpochItem]) -> Vec<EpochOutcome> {
    let end = |item: &EpochItem| {
        let (id, _) = locate(state, item.key, item.current_leader_epoch)?;
        end_of_epoch(state, id, item.leader_epoch).ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    items.iter().map(end).collect()
}

/// Where an epoch ends. The leader's own has begun with it, also where nothing was written in it.
pub(super) fn end_of_epoch(state: &State, id: PartitionId, epoch: LeaderEpoch) -> Option<EpochEnd> {
    let end = state.store.end_offset_for_epoch(id, epoch)?;
    if state.table.get(id)?.leader_epoch != epoch {
        return Some(end);
    }
    Some(EpochEnd { leader_epoch: epoch, end_offset: state.store.partition(id)?.log_end })
}

/// The partition, if it is here and the client knows its leader epoch.
pub(super) fn locate(
    state: &State,
    key: PartitionKey,
    current_leader_epoch: LeaderEpoch,
) -> Result<(PartitionId, PartitionOffsets), ErrorCode> {
    let id = state.table.find(key)?;
    let slot = state.table.get(id).expect("every id of the table has its slot");
    check_leader_epoch(current_leader_epoch, slot.leader_epoch)?;
    let offsets = state.store.partition(id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok((id, offsets))
}

/// Refuses a client that knows another leader epoch than the partition has (KIP-320).
fn check_leader_epoch(of_client: LeaderEpoch, of_leader: LeaderEpoch) -> Result<(), ErrorCode> {
    if of_client == LeaderEpoch::UNKNOWN || of_client == of_leader {
        return Ok(());
    }
    Err(if of_client < of_leader { ErrorCode::FencedLeaderEpoch } else { ErrorCode::UnknownLeaderEpoch })
}
