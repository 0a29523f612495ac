//! Moves of partitions between data directories.

use ringlog_net::error::ErrorCode;
use ringlog_storage::LogDir;
use ringlog_storage::types::LeaderEpoch;

use super::lookup::locate;
use super::table::PartitionKey;
use crate::state::State;

/// A partition, and where it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MoveItem {
    /// Which.
    pub key: PartitionKey,
    /// Where.
    pub to: LogDir,
}

/// That it is there, or on its way.
pub(crate) type MoveOutcome = Result<(), ErrorCode>;

/// Begins moves, in the order of the items.
pub(crate) fn begin(state: &mut State, items: &[MoveItem]) -> Vec<MoveOutcome> {
    let mut begin_one = |item: &MoveItem| {
        let (id, _) = locate(state, item.key, LeaderEpoch::UNKNOWN)?;
        state.store.move_partition(id, item.to).map_err(|_| ErrorCode::KafkaStorageError)
    };
    items.iter().map(&mut begin_one).collect()
}
