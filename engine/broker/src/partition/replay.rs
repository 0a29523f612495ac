//! Reading the whole of one of the brokers' own logs.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_storage::batch::record::RecordView;
use ringlog_storage::batch::split;
use ringlog_storage::types::{LeaderEpoch, Offset};

use super::read::{self, Look, ReadCall, ReadItem};
use super::table::PartitionKey;
use super::watch::Watcher;
use crate::shard::Shard;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// How long to wait for what cannot be read yet, before it is looked for again.
const MORE_WAIT: Duration = Duration::from_millis(200);

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("the log cannot be read at offset {offset}: {code}; restore the data directory from a backup")]
    Read { offset: Offset, code: ErrorCode },
    /// It holds something else than it should.
    #[error("the record at offset {offset} cannot be understood: {what}; start the release that wrote it")]
    Record { offset: Offset, what: String },
}

/// Gives every record of a log of this shard to `replay`, in order.
pub(crate) async fn replay_log(
    shard: &Shard,
    key: PartitionKey,
    mut replay: impl FnMut(Offset, &RecordView<'_>) -> Result<(), String>,
) -> Result<(), ReplayError> {
    let (mut offset, mut bytes) = (log_start(shard, key), Vec::new());
    loop {
        let item = ReadItem {
            key,
            offset,
            bytes_max: READ_BYTES,
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        };
        let turn = shard.with(|state| state.watches.open());
        let watch = turn.as_ref().map(|(watch, _)| *watch);
        let call = ReadCall { items: vec![item], bytes_max: READ_BYTES, watch, look: Look::Again };
        let (mut outcomes, _) = read::begin(shard, &call, shard.index()).outcomes().await;
        let outcome = outcomes.pop().expect("one item, one outcome");
        // It must never be taken for shorter than it is: nothing was read because clients' reads have all turns, or because the
        // last records are not committed yet.
        let must_wait = outcome.bytes == 0
            && outcome.code == ErrorCode::None
            && (offset < outcome.high_watermark || has_more(shard, key, offset));
        if must_wait {
            // Whatever wakes it, it looks again: a log that is left alone now is lost until the next start.
            match &turn {
                Some((_, event)) => drop(shard.reactor().timeout(event.wait(), MORE_WAIT).await),
                None => shard.reactor().sleep(MORE_WAIT).await,
            }
        }
        if let Some((watch, _)) = turn {
            shard.with(|state| {
                state.watches.close(watch);
                state.watched.remove(Watcher { shard: shard.index(), watch });
            });
        }
        if must_wait {
            continue;
        }
        if outcome.code != ErrorCode::None {
            return Err(ReplayError::Read { offset, code: outcome.code });
        }
        if outcome.bytes == 0 {
            return Ok(());
        }
        bytes.clear();
        outcome.records.iter().for_each(|slice| bytes.extend_from_slice(slice));
        offset = replay_batches(&bytes, offset, &mut replay)?;
    }
}

fn log_start(shard: &Shard, key: PartitionKey) -> Offset {
    shard.with(|state| {
        let offsets = state.table.id(key).and_then(|id| state.store.partition(id));
        offsets.map_or(Offset::ZERO, |offsets| offsets.log_start)
    })
}

/// Whether the log goes on at this offset with what is committed, or will be.
fn has_more(shard: &Shard, key: PartitionKey, offset: Offset) -> bool {
    shard.with(|state| {
        let id = state.table.id(key).filter(|id| state.store.commits(*id));
        id.and_then(|id| state.store.partition(id)).is_some_and(|offsets| offset < offsets.log_end)
    })
}

/// Answers the offset behind the last record.
fn replay_batches(
    bytes: &[u8],
    mut offset: Offset,
    replay: &mut impl FnMut(Offset, &RecordView<'_>) -> Result<(), String>,
) -> Result<Offset, ReplayError> {
    for batch in split(bytes) {
        let broken = |offset, what: String| ReplayError::Record { offset, what };
        let batch = batch.map_err(|error| broken(offset, error.to_string()))?;
        let records = batch.records().ok_or_else(|| broken(offset, "the batch is compressed".to_owned()))?;
        for record in records {
            let record = record.map_err(|error| broken(offset, error.to_string()))?;
            let at = batch.base_offset().checked_add(i64::from(record.offset_delta)).unwrap_or(offset);
            replay(at, &record).map_err(|what| broken(at, what))?;
        }
        offset = batch.next_offset();
    }
    Ok(offset)
}
